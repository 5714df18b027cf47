"""A model small enough for tests, with inputs of every kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from g2vlm_bench.reference.config import ModelConfig
from g2vlm_bench.reference.model import Batch, G2Vlm

TINY = ModelConfig(
    width=32, heads=4, visual_layers=1, language_layers=1, trunk_layers=4, decoder_layers=2,
    vocabulary=50, cloud_tokens=4, embedding=16, longest_text=12,
)  # fmt: skip


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def make_model() -> Callable[..., G2Vlm]:
    """A model whose every weight matters: the plain start has zeros where it must not stay."""

    def make(**changes: object) -> G2Vlm:
        torch.manual_seed(0)
        fields = {name: getattr(TINY, name) for name in TINY.__struct_fields__}
        model = G2Vlm(ModelConfig(**(fields | changes)))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
        return model.eval()

    return make


@pytest.fixture
def batch() -> Batch:
    """Two scenes of three views, with everything given."""
    torch.manual_seed(1)
    intrinsics = torch.tensor([[30.0, 0, 16], [0, 30, 16], [0, 0, 1]]).expand(2, 3, 3, 3).clone()
    prior = torch.rand(2, 3, 32, 32) + 1
    prior[torch.rand_like(prior) < 0.9] = torch.nan
    known = torch.ones(2, 2, 9, dtype=torch.bool)
    known[0, 1, 6:] = False
    return Batch(
        images=torch.rand(2, 3, 3, 32, 32),
        intrinsics=intrinsics,
        depth_prior=prior,
        cloud=torch.randn(2, 20, 3),
        words=torch.randint(0, 50, (2, 2, 9)),
        words_known=known,
    )
