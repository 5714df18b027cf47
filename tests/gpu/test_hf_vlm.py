"""hf_vlm on a GPU; skipped where there is none, run by scripts/gpu_check.sh."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from g2vlm_bench.mended_torchvision import import_torchvision
from g2vlm_bench.plugins import Plugins, load_module
from g2vlm_bench.sample import Inputs, Want

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
import_torchvision()
tiny = load_module(Path(__file__).parents[1] / "adapters" / "tiny_vlms.py")
BOTH = frozenset({Want.ANSWER, Want.CHOICE_LOGLIKELIHOODS})


@pytest.mark.parametrize("family", tiny.FAMILIES)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_batches_change_nothing_on_a_gpu(family: str, dtype: str, tmp_path: Path) -> None:
    """In bfloat16 a batch may tip a token of a random model, so likelihoods are compared there."""
    arguments = {"checkpoint": str(tiny.save(family, tmp_path)), "max_new_tokens": 6}
    rng = np.random.default_rng(0)
    batch = [
        Inputs(
            id=str(n),
            prompt="Where is the lamp? " * (n + 1),
            images=tuple(rng.integers(0, 256, (40, 60, 3), np.uint8) for _ in range(1 + n % 2)),
            choices=("left", "in front of it", "A"),
        )
        for n in range(4)
    ]
    there = Plugins().adapter("hf_vlm", arguments, {"device": "cuda", "dtype": dtype})
    here = Plugins().adapter("hf_vlm", arguments, {"device": "cpu", "dtype": dtype})
    together, on_cpu = there.predict(batch, BOTH), here.predict(batch, BOTH)
    tolerance = {"atol": 1e-2} if dtype == "float32" else {"rtol": 0.1}
    for inputs, among, cpu in zip(batch, together, on_cpu, strict=True):
        (alone,) = there.predict([inputs], BOTH)
        for other in (alone, cpu):
            np.testing.assert_allclose(
                among.choice_loglikelihoods, other.choice_loglikelihoods, **tolerance
            )
        if dtype == "float32":
            assert among.answer == alone.answer
