from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from g2vlm_bench.errors import BenchError
from g2vlm_bench.world.layout import make_scene
from g2vlm_bench.world.record import check_scene, from_record, to_record
from g2vlm_bench.world.scene import (
    COLORS,
    SPLITS,
    Body,
    Camera,
    Light,
    Scene,
)
from g2vlm_bench.world.shapes import KINDS, part_distance_m


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [make_scene(seed, split) for seed in range(60) for split in SPLITS]


def turned(body: Body, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """World points in a body's own frame, by hand."""
    yaw = math.radians(body.yaw_deg)
    x, y, z = (points - body.base_m).T
    front, left = math.cos(yaw) * x + math.sin(yaw) * y, math.cos(yaw) * y - math.sin(yaw) * x
    return np.column_stack([front, left, z])


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


def test_signed_distance_is_that_of_the_nearest_part(scenes: list[Scene]) -> None:
    rng = np.random.default_rng(1)
    for scene in scenes[:30]:
        for body in scene.bodies:
            points = body.center_m + rng.uniform(-0.8, 0.8, size=(200, 3))
            own = turned(body, points)
            np.testing.assert_allclose(body.in_own_frame(points), own, atol=1e-12)
            parts = KINDS[body.kind].build(body.extent_m)
            nearest = np.min([part_distance_m(part, own) for part in parts], axis=0)
            np.testing.assert_allclose(body.distance_m(points), nearest, atol=1e-12)


def test_front_is_the_own_x_axis() -> None:
    body = Body(1, "car", "red", "matte", "small", (3.0, 1.3, 1.1), (0.0, 0.0, 0.0), 90.0, 0)
    np.testing.assert_allclose(body.front, [0, 1, 0], atol=1e-12)
    # Its bonnet is lower than its cabin: nothing is over the front.
    assert body.distance_m([0.0, 1.4, 1.0]) > 0 > body.distance_m([0.0, -1.0, 1.0])


def test_a_way_is_walked_evenly() -> None:
    path = ((0.0, 0.0, 0.0), (2.0, 0.0, 0.0), (2.0, 2.0, 0.0))
    car = Body(1, "car", "red", "matte", "small", (3.0, 1.3, 1.1), path[0], 0.0, 0, path_m=path)
    places = [car.at(time).base_m for time in (0, 0.25, 0.5, 0.75, 1)]
    assert places == [(0, 0, 0), (1, 0, 0), (2, 0, 0), (2, 1, 0), (2, 2, 0)]
    assert [car.at(time).yaw_deg for time in (0.25, 0.75)] == [0, 90]
    assert car.at(0.5).path_m == ()


BOX = Body(1, "box", "red", "matte", "small", (0.3, 0.3, 0.3), (0.0, 0.0, 0.0), 0.0, 0)
CAMERA = Camera((2.0, 0.0, 1.2), (0.0, 0.0, 0.2), 0.0, 60.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bodies": ()}, "bodies: expected at least one, got none"),
        ({"lights": ()}, "lights: expected at least one"),
        ({"cameras": ()}, "got 0 cameras, 1 frames"),
        ({"frames": 3}, "got 1 cameras, 3 frames"),
        ({"split": "tset"}, "split: got unknown 'tset'. Did you mean 'test'"),
        ({"bodies": (replace(BOX, kind="bok"),)}, "kind of body 1: got unknown 'bok'"),
        ({"bodies": (replace(BOX, color="rad"),)}, "Did you mean 'red'"),
        ({"bodies": (replace(BOX, material="wet"),)}, "material of body 1"),
        ({"bodies": (replace(BOX, size="huge"),)}, "size of body 1"),
        ({"bodies": (replace(BOX, id=2),)}, "body 1: expected id 1, got 2"),
        ({"bodies": (replace(BOX, support=1),)}, "expected a support that comes before it"),
        ({"bodies": (replace(BOX, extent_m=(0.3, 0.0, 0.3)),)}, "expected positive extents"),
        ({"bodies": (replace(BOX, path_m=((1.0, 0.0, 0.0),) * 2),)}, "begins at its base"),
        ({"bodies": (BOX, replace(BOX, id=2))}, "expected unique names, got two 'red box'"),
        ({"cameras": (replace(CAMERA, fov_deg=0.0),)}, "camera 0: expected an angle of view"),
        ({"cameras": (replace(CAMERA, fov_deg=180.0),)}, "angle of view between 0 and 180"),
        ({"cameras": (replace(CAMERA, fov_deg=math.nan),)}, "fov_deg: expected finite numbers"),
        (
            {"cameras": (CAMERA, replace(CAMERA, target_m=(2.0, 0.0, 0.0)))},
            "camera 1: expected a d",
        ),
        ({"cameras": (replace(CAMERA, position_m=(0.0, 0.1, 0.1)),)}, "got inside the red box"),
        ({"cameras": (replace(CAMERA, position_m=(99.0, 0.0, 1.0)),)}, "inside its place, got"),
        ({"cameras": (replace(CAMERA, position_m=(2.0, 0.0, -0.1)),)}, "inside its place, got"),
        ({"cameras": (replace(CAMERA, target_m=(0.0, 0.0, math.nan)),)}, "target_m: expected fin"),
        ({"cameras": (replace(CAMERA, roll_deg=math.inf),)}, "roll_deg: expected finite numbers"),
        ({"bodies": (replace(BOX, base_m=(math.nan, 0.0, 0.0)),)}, "base_m: expected finite"),
        ({"bodies": (replace(BOX, yaw_deg=-math.inf),)}, "yaw_deg: expected finite .* got -inf"),
        ({"lights": (Light((0.0, 0.0, 2.0), 1.0, 0.0),)}, "expected positive strength and reach"),
    ],
)
def test_impossible_scenes_are_refused(change: dict[str, object], message: str) -> None:
    scene = replace(make_scene(0, "test", "room"), bodies=(BOX,), cameras=(CAMERA,))
    check_scene(scene)
    impossible = replace(scene, **change)  # type: ignore[arg-type]
    with pytest.raises(BenchError, match=message):
        check_scene(impossible)
    with pytest.raises(BenchError, match=message):
        from_record(to_record(impossible))


def test_a_record_that_is_a_list_is_refused() -> None:
    with pytest.raises(BenchError, match="scene record: expected keys and values, got list"):
        from_record([to_record(make_scene(0, "test"))])  # type: ignore[arg-type]


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
