"""What was measured of depth is carried over the pixels around it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

from g2vlm_bench.reference import measured
from g2vlm_bench.reference.decoder import Geometry

SIDE = 24


def made(views: int = 1, scenes: int = 1, seed: int = 0) -> Geometry:
    """Smooth depth, unit normals, cameras aside of one another."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(scenes * views, 1, 3, 3, generator=generator)
    log_depth = F.interpolate(coarse, (SIDE, SIDE), mode="bilinear")[:, 0] / 4 + 1
    poses = torch.eye(4).expand(scenes, views, 4, 4).clone()
    poses[:, 1:, :3, 3] = torch.randn(scenes, views - 1, 3, generator=generator)
    shape = (scenes, views, SIDE, SIDE)
    return Geometry(
        log_depth=log_depth.view(shape),
        log_confidence=torch.zeros(shape),
        normals=F.normalize(torch.randn(*shape, 3, generator=generator), dim=-1),
        first_from_camera=poses,
        log_focal=torch.zeros(scenes, views),
        intrinsics=torch.eye(3).expand(scenes, views, 3, 3),
        features=torch.zeros(scenes, views, 1, SIDE // 2, SIDE // 2),
    )


def sparse(depth: torch.Tensor, share: float, seed: int = 1) -> torch.Tensor:
    kept = torch.rand(depth.shape, generator=torch.Generator().manual_seed(seed)) < share
    return torch.where(kept, depth, torch.nan)


def test_it_is_what_scikit_learn_says() -> None:
    geometry = made()
    known = sparse(geometry.depth * 1.2, 0.05)
    noise = 0.1 * torch.randn(known.shape, generator=torch.Generator().manual_seed(2))
    known = known * noise.exp()
    found = measured.carry(geometry, known)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    log_depth = geometry.log_depth[0, 0].double().numpy()
    features = np.concatenate(
        [
            np.stack([rows, columns], -1) / SIDE / measured.ACROSS,
            log_depth[..., None] / measured.DEEP,
            geometry.normals[0, 0].double().numpy() / measured.TURNED,
        ],
        -1,
    )
    at = known[0, 0].isfinite().numpy()
    residual = known[0, 0].double().log().numpy()[at] - log_depth[at]
    kernel = ConstantKernel(measured.COMMON**2) + ConstantKernel(measured.LOCAL**2) * Matern(nu=0.5)
    peer = GaussianProcessRegressor(kernel, alpha=measured.NOISE**2, optimizer=None)
    expected = peer.fit(features[at], residual).predict(features.reshape(-1, 6))
    change = (found.log_depth - geometry.log_depth)[0, 0].double().numpy()
    np.testing.assert_allclose(change.ravel(), expected, atol=1e-6)
    assert np.abs(expected).max() > 0.15


def test_a_factor_is_found_and_moves_cameras_too() -> None:
    geometry = made(views=2)
    # Only the first view is measured; the other is of the same scene.
    known = sparse(2 * geometry.depth, 0.1)
    known[:, 1] = torch.nan
    found = measured.carry(geometry, known)
    factor = (found.log_depth - geometry.log_depth).exp()
    assert factor[0, 0].sub(2).abs().max() < 0.05
    aside = found.first_from_camera[0, 1, :3, 3] / geometry.first_from_camera[0, 1, :3, 3]
    # What neighbours share among themselves is taken for the scene's in part.
    torch.testing.assert_close(factor[0, 1], aside[0].expand(SIDE, SIDE))
    assert 1.8 < aside[0] < 2.05
    torch.testing.assert_close(
        found.first_from_camera[..., :3], geometry.first_from_camera[..., :3]
    )
    assert found.normals is geometry.normals


def test_it_is_nearer_to_the_truth_where_errors_are_smooth() -> None:
    geometry, truth = made(), made(seed=5)
    true = geometry.log_depth + 0.2 * truth.log_depth
    found = measured.carry(geometry, sparse(true.exp(), 0.05))
    before, after = ((each.log_depth - true).abs().mean() for each in (geometry, found))
    assert after < 0.2 * before


def test_scenes_do_not_touch_each_other() -> None:
    both = made(views=2, scenes=3)
    known = sparse(1.3 * both.depth, 0.05)
    known[1] = torch.nan
    found = measured.carry(both, known)
    for scene in range(3):
        alone = measured.carry(both.of_scene(scene), known[scene : scene + 1])
        torch.testing.assert_close(found.log_depth[scene], alone.log_depth[0])
        torch.testing.assert_close(found.first_from_camera[scene], alone.first_from_camera[0])
    assert torch.equal(found.log_depth[1], both.log_depth[1])
    assert not torch.equal(found.log_depth[2], both.log_depth[2])


def test_many_measured_pixels_are_thinned_out(monkeypatch: pytest.MonkeyPatch) -> None:
    geometry = made()
    full = 1.1 * geometry.depth
    monkeypatch.setattr(measured, "_MOST", 50)
    found = measured.carry(geometry, full)
    assert (found.log_depth - full.log()).abs().max() < 0.01


@pytest.mark.parametrize("value", [0.0, -1.0, float("inf"), float("nan")])
def test_what_is_no_depth_is_not_measured(value: float) -> None:
    geometry = made()
    found = measured.carry(geometry, torch.full_like(geometry.log_depth, value))
    assert torch.equal(found.log_depth, geometry.log_depth)


def test_what_is_no_number_is_left_for_the_check() -> None:
    geometry = made()
    broken = replace(geometry, log_depth=torch.full_like(geometry.log_depth, torch.nan))
    assert measured.carry(broken, geometry.depth).log_depth.isnan().all()
