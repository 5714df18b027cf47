"""The shipped weights still mean what they meant: figures of one room, to a thousandth.

After new weights, or where the world makes another room:

    python -m tests.reference.shipped_figures
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest
import torch

from g2vlm_bench.reference.checkpoint import SHIPPED as WEIGHTS
from g2vlm_bench.reference.checkpoint import load_reference
from g2vlm_bench.reference.config import load_config
from g2vlm_bench.reference.examples import make_block
from g2vlm_bench.reference.model import Batch
from tests.reference import shipped_figures
from tests.reference.shipped_figures import COMMAND, FILE, Figures

# Of pixels: eight of a view, which another CPU may round to the other side.
_COUNTED = {"phrase_share": 0.002, "phrase_overlap": 0.01}


def stored() -> Mapping[str, Figures]:
    content = msgspec.json.decode(FILE.read_bytes())
    figures = content.pop("figures")
    if content != shipped_figures.identity():
        pytest.fail(f"{FILE.name} is of other weights or another world: run {COMMAND}")
    return figures


@pytest.fixture(scope="module")
def measured() -> Mapping[str, Figures]:
    return shipped_figures.measure()


def test_shipped_weights_answer_as_they_did(measured) -> None:
    expected = stored()
    assert measured.keys() == expected.keys()
    for part, figures in expected.items():
        assert measured[part].keys() == figures.keys()
        for name, values in figures.items():
            close = pytest.approx(values, rel=1e-3, abs=_COUNTED.get(name, 1e-4))
            assert measured[part][name] == close, f"{part}: {name}"


def test_the_room_is_understood(measured) -> None:
    """So that figures of weights that have been broken are not written unseen."""
    for figures in (measured["pictures"], measured["told"]):
        assert figures["depth_abs_rel"] < [0.25]
        assert figures["normals_cosine"] > [0.7]
        assert figures["phrase_overlap"] > [0.7]


def test_half_precision_says_nearly_what_full_precision_says() -> None:
    """Of depth of 16 validation scenes; rounding within the distance bias made three times more."""
    reference = load_reference(WEIGHTS / "nano")
    stage = load_config("nano_deep").training.stages[0]
    block = make_block(3, stage, "validation", reference.words)
    images = torch.stack([torch.as_tensor(scene.images) for scene in block]).movedim(-1, 2) / 255
    intrinsics = torch.stack([torch.as_tensor(scene.intrinsics) for scene in block]).float()
    batch = Batch(images=images, intrinsics=intrinsics)
    with torch.inference_mode():
        full = reference.model(batch, 1).geometry.log_depth
        with torch.autocast("cpu", torch.bfloat16):
            half = reference.model(batch, 1).geometry.log_depth
    off = (half - full).abs().flatten()
    assert float(off.median()) < 0.005
    assert float(off.kthvalue(round(0.999 * len(off))).values) < 0.04


def test_other_weights_name_the_command(monkeypatch) -> None:
    monkeypatch.setattr(shipped_figures, "identity", dict)
    with pytest.raises(pytest.fail.Exception, match=f"run {COMMAND}"):
        stored()
