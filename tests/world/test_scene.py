from __future__ import annotations

import json
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from g2vlm_bench.errors import BenchError
from g2vlm_bench.world.layout import make_scene
from g2vlm_bench.world.scene import (
    COLORS,
    SPLITS,
    Body,
    Scene,
    from_record,
    to_record,
)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [make_scene(seed, split) for seed in range(60) for split in SPLITS]


def inside(body: Body, points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Membership by the plain definition of each solid, apart from `Body.distance_m`."""
    yaw = math.radians(body.yaw_deg)
    rotation = np.array([[math.cos(yaw), math.sin(yaw)], [-math.sin(yaw), math.cos(yaw)]])
    flat = (points[:, :2] - body.base_m[:2]) @ rotation.T
    up = points[:, 2] - body.base_m[2]
    width, depth, height = body.extent_m
    if body.kind == "sphere":
        return (flat**2).sum(axis=1) + (up - width / 2) ** 2 < (width / 2) ** 2
    within = (up > 0) & (up < height)
    if body.kind == "cylinder":
        return within & ((flat**2).sum(axis=1) < (width / 2) ** 2)
    return within & (np.abs(flat[:, 0]) < width / 2) & (np.abs(flat[:, 1]) < depth / 2)


def test_record_survives_json_exactly(scenes: list[Scene]) -> None:
    for scene in scenes:
        text = json.dumps(to_record(scene))
        again = from_record(json.loads(text))
        assert again == scene
        assert json.dumps(to_record(again)) == text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 99}, "'version': expected 1, got 99"),
        ({"plaec": 1}, "Did you mean 'place'"),
        ({"lights": [[0.0, 1.0]]}, "lights: expected keys and values, got list"),
        ({"seed": "7"}, "seed: expected int, got '7'"),
        ({"bodies": 3}, "bodies: expected a list, got int"),
        ({"place": []}, "place: expected keys and values, got list"),
    ],
)
def test_broken_record_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(BenchError, match=message):
        from_record({**to_record(make_scene(0, "test")), **change})


def test_record_without_a_key_is_refused() -> None:
    record = to_record(make_scene(0, "test"))
    del record["cameras"]
    with pytest.raises(BenchError, match="expected key 'cameras', got none"):
        from_record(record)


def test_signed_distance_agrees_with_membership_and_geometry(scenes: list[Scene]) -> None:
    rng = np.random.default_rng(1)
    for scene in scenes[:20]:
        for body in scene.bodies:
            points = body.center_m + rng.uniform(-0.8, 0.8, size=(500, 3))
            distance = body.distance_m(points)
            np.testing.assert_array_equal(distance < 0, inside(body, points))
            # Nothing of the body is nearer than the distance, and something is as near.
            outside = points[distance > 0.05][:5]
            radius = np.linalg.norm(body.extent_m) / 2
            cloud = body.center_m + rng.uniform(-radius, radius, size=(20000, 3))
            cloud = cloud[inside(body, cloud)]
            for point in outside:
                nearest = np.linalg.norm(cloud - point, axis=1).min()
                exact = float(body.distance_m(point))
                assert exact <= nearest <= exact + 0.1


def test_pose_is_a_rigid_opencv_camera() -> None:
    camera = make_scene(3, "train").cameras[0]
    pose = camera.world_from_camera
    np.testing.assert_allclose(pose[:3, :3].T @ pose[:3, :3], np.eye(3), atol=1e-12)
    assert np.linalg.det(pose[:3, :3]) == pytest.approx(1)
    # The target lies on the optical axis, and y points down: its world z is negative.
    x, y, z = camera.in_camera(camera.target_m)
    assert (x, y) == (pytest.approx(0, abs=1e-9), pytest.approx(0, abs=1e-9))
    assert z == pytest.approx(math.dist(camera.position_m, camera.target_m))
    assert pose[2, 1] < 0


def test_field_of_view_spans_the_shorter_side() -> None:
    camera = make_scene(3, "train").cameras[0]
    for height, width in [(96, 96), (60, 120), (120, 60)]:
        intrinsics = camera.intrinsics(height, width)
        half = math.degrees(math.atan(min(height, width) / 2 / intrinsics[0, 0]))
        assert 2 * half == pytest.approx(camera.fov_deg)
        assert intrinsics[:2, 2].tolist() == [width / 2, height / 2]


def test_colors_are_well_separated() -> None:
    values = np.array(list(COLORS.values()))
    apart = np.linalg.norm(values[:, None] - values[None], axis=-1)
    assert apart[~np.eye(len(values), dtype=bool)].min() > 0.3
