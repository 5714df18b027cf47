from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from g2vlm_bench.errors import BenchError
from g2vlm_bench.world.layout import make_scene
from g2vlm_bench.world.scene import (
    COLORS,
    MAX_CAMERAS,
    SPLITS,
    Body,
    Scene,
    to_record,
)
from g2vlm_bench.world.shapes import KINDS


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [make_scene(seed, split) for seed in range(60) for split in SPLITS]


def inside(body: Body, points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Membership; test_scene.py holds `distance_m` against the plain definitions."""
    return body.distance_m(points) < 0


@pytest.mark.parametrize(("seed", "split"), [(-1, "test"), (0, "dev")])
def test_impossible_seed_or_split_is_refused(seed: int, split: str) -> None:
    with pytest.raises(BenchError, match=r"world (seed|split): expected"):
        make_scene(seed, split)


def test_splits_never_share_a_scene(scenes: list[Scene]) -> None:
    contents = Counter(json.dumps([to_record(s)["place"], to_record(s)["bodies"]]) for s in scenes)
    assert max(contents.values()) == 1
    assert len({scene.id for scene in scenes}) == len(scenes)


def test_every_word_of_a_scene_is_defined(scenes: list[Scene]) -> None:
    for scene in scenes:
        assert 3 <= len(scene.bodies) <= 6
        assert len(scene.cameras) == MAX_CAMERAS
        assert [body.id for body in scene.bodies] == list(range(1, len(scene.bodies) + 1))
        assert len({body.name for body in scene.bodies}) == len(scene.bodies)
        for body in scene.bodies:
            low, high = KINDS[body.kind].sizes_m[body.size]
            assert low - 1e-3 <= max(body.extent_m) <= high + 1e-3
            assert body.kind in KINDS
            assert body.color in COLORS


def test_bodies_do_not_interpenetrate(scenes: list[Scene]) -> None:
    rng = np.random.default_rng(0)
    for scene in scenes:
        for body in scene.bodies:
            radius = np.linalg.norm(body.extent_m) / 2
            points = body.center_m + rng.uniform(-radius, radius, size=(4000, 3))
            mine = points[inside(body, points)]
            assert len(mine) > 100
            half_x, half_y = scene.place.half_m
            assert (np.abs(mine) < [half_x, half_y, scene.place.height_m]).all()
            assert (mine[:, 2] > 0).all()
            for other in scene.bodies[body.id :]:
                assert not inside(other, mine).any(), (scene.id, body.name, other.name)


def test_bodies_stand_on_what_they_say(scenes: list[Scene]) -> None:
    stacked = 0
    for scene in scenes:
        for body in scene.bodies:
            if body.support == 0:
                assert body.base_m[2] == 0
                continue
            stacked += 1
            under = scene.body(body.support)
            assert under.support == 0
            assert under.kind != "sphere"
            assert body.base_m[2] == pytest.approx(under.extent_m[2], abs=1e-9)
            # The middle of the underside is on the top: a hair below it is inside the supporter.
            assert inside(under, np.array([body.base_m]) - [0, 0, 1e-3]).all()
    assert stacked > 20


def test_cameras_are_free_and_see_the_bodies(scenes: list[Scene]) -> None:
    for scene in scenes:
        half_x, half_y = scene.place.half_m
        for camera in scene.cameras:
            x, y, z = camera.position_m
            assert abs(x) < half_x - 0.25
            assert abs(y) < half_y - 0.25
            assert 1.0 < z < 1.8
            assert min(float(body.distance_m(camera.position_m)) for body in scene.bodies) > 0.5
            points = camera.in_camera([body.center_m for body in scene.bodies])
            assert (points[:, 2] > 0).sum() >= 3
