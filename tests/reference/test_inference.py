"""What is asked of inference itself; the adapter's tests look at what comes out of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from g2vlm_bench.errors import BenchError
from g2vlm_bench.reference.checkpoint import load_reference
from g2vlm_bench.reference.inference import Inference, Pictures


def test_a_large_cloud_is_thinned_from_end_to_end(tiny_reference: Path) -> None:
    """Of 9,000 points every third; those of 4,096 all."""
    inference = Inference(load_reference(tiny_reference))
    points = np.random.default_rng(0).normal(size=(9000, 3))
    points[4096:] += 3
    whole, thinned, first = inference.embed_clouds([points, points[::3], points[:4096]])
    np.testing.assert_allclose(whole, thinned, atol=1e-5)
    assert not np.allclose(whole, first, atol=1e-3)
    others = points[:4096].copy()
    others[1::2] += 1
    assert not np.allclose(inference.embed_clouds([others])[0], first, atol=1e-3)


@pytest.mark.parametrize("refinements", [-1, 17, 500])
def test_so_many_refinements_are_refused(tiny_reference: Path, refinements: int) -> None:
    with pytest.raises(BenchError, match=f"refinements: expected 0 to 16, got {refinements}"):
        Inference(load_reference(tiny_reference), refinements=refinements)
    assert Inference(load_reference(tiny_reference), refinements=16).refinements == 16


def test_what_is_no_number_is_refused_and_not_reconstructed(tiny_reference: Path) -> None:
    inference = Inference(load_reference(tiny_reference))
    image = np.zeros((32, 32, 3), np.uint8)
    tiny_focal = np.array([[1e-30, 0, 16], [0, 1e-30, 16], [0, 0, 1]])
    good, bad = inference.look(
        [Pictures(images=(image,), intrinsics=(k,)) for k in (np.eye(3), tiny_focal)]
    )
    assert np.isfinite(inference.reconstruct(good).points).all()
    for refusing in (inference.check, inference.reconstruct):
        with pytest.raises(ValueError, match="of finite numbers, got others"):
            refusing(bad)


def test_an_embedding_that_is_no_number_is_refused(tiny_reference: Path) -> None:
    inference = Inference(load_reference(tiny_reference))
    (seen,) = inference.look([Pictures(images=(np.zeros((32, 32, 3), np.uint8),))])
    for name, embed in {
        "embed_text": lambda: inference.embed_texts(["the red box"]),
        "embed_geometry": lambda: inference.embed_clouds([np.eye(3)]),
    }.items():
        embed()
        getattr(inference.model, name).weight.data.fill_(np.nan)
        with pytest.raises(ValueError, match="an embedding of finite numbers"):
            embed()
    with torch.inference_mode():
        seen.group.output.embedding.fill_(np.nan)
    with pytest.raises(ValueError, match="an embedding of finite numbers"):
        inference.embed_pictures(seen)
