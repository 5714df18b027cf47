"""What is read out of tokens and fed back: frames, units, and where no gradient flows."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from g2vlm_bench.geometry.cameras import transform, unproject
from g2vlm_bench.reference.decoder import Geometry, UnifiedDecoder, estimate_tokens, merge_patches
from g2vlm_bench.reference.encoders import GeometricEncoder
from g2vlm_bench.reference.trunk import Places
from tests.reference.conftest import TINY

B, V, H, W = 2, 3, 16, 24


@pytest.fixture
def geometry() -> Geometry:
    rng = np.random.default_rng(0)
    poses = np.tile(np.eye(4), (B, V, 1, 1))
    poses[:, 1:, :3, :3] = Rotation.random(B * (V - 1), rng=rng).as_matrix().reshape(B, V - 1, 3, 3)
    poses[:, 1:, :3, 3] = rng.normal(size=(B, V - 1, 3))
    camera = torch.tensor([[20.0, 0, 11], [0, 22, 9], [0, 0, 1]]).expand(B, V, 3, 3)
    torch.manual_seed(0)
    return Geometry(
        log_depth=torch.randn(B, V, H, W) / 3 + 1,
        log_confidence=torch.randn(B, V, H, W),
        normals=torch.nn.functional.normalize(torch.randn(B, V, H, W, 3), dim=-1),
        first_from_camera=torch.from_numpy(poses).float(),
        log_focal=torch.zeros(B, V),
        intrinsics=camera,
        features=torch.randn(B, V, 4, H // 2, W // 2),
    )


def test_points_are_those_of_the_harness_own_cameras(geometry) -> None:
    for scene, view in np.ndindex(B, V):
        depth = geometry.log_depth[scene, view].exp().numpy()
        camera = geometry.intrinsics[scene, view].double().numpy()
        points = unproject(depth, camera)
        np.testing.assert_allclose(geometry.points[scene, view], points, rtol=1e-5, atol=1e-5)
        pose = geometry.first_from_camera[scene, view].double().numpy()
        np.testing.assert_allclose(
            geometry.points_first[scene, view], transform(points, pose), rtol=1e-4, atol=1e-4
        )


def test_one_scene_alone(geometry) -> None:
    alone = geometry.of_scene(1)
    for each in fields(Geometry):
        torch.testing.assert_close(getattr(alone, each.name)[0], getattr(geometry, each.name)[1])


def test_what_is_fed_back_is_in_units_of_the_scene(geometry) -> None:
    """A scene ten times as large has its patches at the same places, of the order of 1."""
    encoder = GeometricEncoder(TINY)
    _, places = estimate_tokens(encoder, geometry, 2)
    poses = geometry.first_from_camera.clone()
    poses[..., :3, 3] *= 10
    large = replace(geometry, log_depth=geometry.log_depth + np.log(10), first_from_camera=poses)
    _, same = estimate_tokens(encoder, large, 2)
    torch.testing.assert_close(places.geometric, same.geometric, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(places.geometric.norm(dim=-1).mean((1, 2)), torch.ones(B))
    # Of all views in one frame: patch 4 stands in the second row and column of three.
    cell = geometry.points_first[:, :, 8:16, 8:16].mean((2, 3))
    unit = places.geometric[:, :, 4] / cell
    torch.testing.assert_close(unit, unit[:, :1, :1].expand_as(unit), rtol=1e-3, atol=1e-3)


def test_no_gradient_flows_back_through_what_is_fed_back(geometry) -> None:
    encoder = GeometricEncoder(TINY)
    with torch.no_grad():
        encoder.estimate[-1].weight.normal_()
    made = replace(geometry, log_depth=geometry.log_depth.clone().requires_grad_())
    tokens, places = estimate_tokens(encoder, made, 2)
    assert not places.geometric.requires_grad
    tokens.square().sum().backward()
    assert made.log_depth.grad is None
    assert encoder.estimate[0].weight.grad.any()


def test_the_decoder_looks_across_views_and_within_them_in_turn(make_model, batch) -> None:
    """By what another third view changes in the first, layer by layer."""
    model = make_model(decoder_layers=4)
    other = replace(batch, images=torch.cat([batch.images[:, :2], batch.images[:, :1]], 1))
    tokens = [model._encode(each)[1] for each in (batch, other)]
    reached = [
        not torch.allclose(*(layer(each, None).geometric[:, 0] for each in tokens), atol=1e-6)
        for layer in model.decoder.layers
    ]
    assert reached == 2 * [True, False]


@pytest.mark.parametrize("aware", [True, False])
def test_the_decoder_attends_by_places_where_it_is_depth_aware(make_model, batch, aware) -> None:
    model = make_model(depth_aware=aware)
    _, tokens = model._encode(batch)
    patches, merged = tokens.geometric.shape[2] - 1, tokens.semantic.shape[2]
    near, far = (
        model.decoder(
            tokens,
            Places(size * torch.randn(2, 3, patches, 3), size * torch.randn(2, 3, merged, 3)),
        ).geometric
        for size in (0.0, 1.0)
    )
    assert torch.allclose(near, far, atol=1e-5) is not aware


def test_intrinsics_are_those_given_else_those_predicted(make_model, batch) -> None:
    given = batch.intrinsics.clone()
    given[0, 1] = torch.nan
    found = make_model()(replace(batch, intrinsics=given)).geometry
    torch.testing.assert_close(found.intrinsics[1], given[1])
    torch.testing.assert_close(found.intrinsics[0, 0], given[0, 0])
    focal = float(32 * found.log_focal[0, 1].exp().detach())
    expected = torch.tensor([[focal, 0, 16], [0, focal, 16], [0, 0, 1]])
    torch.testing.assert_close(found.intrinsics[0, 1], expected)
    assert len(set(found.log_focal.flatten().tolist())) == 6


def test_poses_do_not_depend_on_what_the_first_camera_says_of_itself() -> None:
    """Turning all that the camera tokens say by one motion changes no relative pose."""
    torch.manual_seed(0)
    said = torch.randn(2, 3, 10)
    motion = torch.eye(4)
    motion[:3, :3] = torch.from_numpy(Rotation.from_rotvec([0.3, -1.0, 0.5]).as_matrix())
    motion[:3, 3] = torch.tensor([1.0, 2.0, 3.0])
    turned = said.clone()
    for start in (0, 3, 6):
        turned[..., start : start + 3] = said[..., start : start + 3] @ motion[:3, :3].T
    turned[..., 6:9] += motion[:3, 3]
    poses = UnifiedDecoder._poses(said)
    torch.testing.assert_close(UnifiedDecoder._poses(turned), poses, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(poses[:, 0], torch.eye(4).expand(2, 4, 4), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(poses[:, 1, :3, 3], poses[:, 2, :3, 3], atol=0.1)


def test_squares_of_patches_are_averaged_also_where_they_do_not_come_out_even() -> None:
    patches = torch.arange(15.0).view(1, 1, 15, 1)  # three rows of five
    merged = merge_patches(patches, 3, 2).flatten().tolist()
    # The means of 0 1 5 6, 2 3 7 8, 4 9, and of the last row's 10 11, 12 13, 14.
    assert merged == [3.0, 5.0, 6.5, 10.5, 12.5, 14.0]
