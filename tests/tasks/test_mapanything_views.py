"""MapAnything's depth over several views: one norm for all their points, from the first camera."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from g2vlm_bench.plugins import Plugins
from g2vlm_bench.profile import load_profile
from g2vlm_bench.sample import Ambiguity, Prediction, Target
from tests.tasks.depth_maps import depth_pair, poses

CAMERA = np.array([[60.0, 0, 32], [0, 60.0, 24], [0, 0, 1]])
# facebookresearch/map-anything@f7ebafb: `normalize_multiple_pointclouds(norm_mode="avg_dis")` in
# the first camera's frame, then `m_rel_ae` and `thresh_inliers` of each view's depth; seeds 0 to 3,
# by `scripts/conformance_depth.py --only mapanything --values` and the same with other cameras.
PEER = {
    (1, "true"): (0.0754176622554568, 0.2444661408662796),
    (1, "own"): (0.07703232946100025, 0.2405598908662796),
    (4, "true"): (0.07356539451205528, 0.2495930977165699),
    (4, "own"): (0.07547264724970754, 0.2481282614171505),
}


def own_cameras(count: int, unit: float = 1.0) -> dict[str, Any]:
    """Predicted cameras: another focal length and middle, half the steps, and some of their own."""
    found = poses(count)
    for index, pose in enumerate(found):
        pose[:3, 3] *= 0.5
        pose[1, 3] += 0.02 * index
        pose[:3, 3] *= unit
    camera = np.array([[66.0, 0, 31], [0, 64.0, 25], [0, 0, 1]])
    return {"intrinsics": (camera,) * count, "world_from_camera": found}


def family_of(load_family):
    fields = load_profile(Plugins.find().path("profile", "mapanything")).expand(
        "depth", None, "mapanything"
    )
    return load_family("depth", ["abs_rel", "inlier_1.03"], *fields)


def truth_of(maps: tuple[np.ndarray, ...]) -> Target:
    cameras = {"intrinsics": (CAMERA,) * len(maps), "world_from_camera": poses(len(maps))}
    return Target(depth_m=maps, **cameras)


@pytest.mark.parametrize(("count", "cameras"), PEER)
def test_the_norm_is_over_all_views_in_the_first_cameras_frame(load_family, count, cameras) -> None:
    predicted, true = zip(*map(depth_pair, range(count)), strict=True)
    given = own_cameras(count) if cameras == "own" else {}
    prediction = Prediction(depth=predicted, **given)
    score = family_of(load_family).score(truth_of(true), prediction, Ambiguity.METRIC)
    expected = PEER[count, cameras]
    assert tuple(score.values.values()) == pytest.approx(expected, rel=1e-6)


def test_the_unit_of_a_prediction_with_its_cameras_does_not_matter(load_family) -> None:
    predicted, true = zip(*map(depth_pair, range(3)), strict=True)
    family, target = family_of(load_family), truth_of(true)

    def score(unit: float) -> list[float]:
        depth = tuple(np.float32(unit) * one for one in predicted)
        prediction = Prediction(depth=depth, **own_cameras(3, unit))
        return list(family.score(target, prediction, Ambiguity.SCALE).values.values())

    assert score(4.0) == pytest.approx(score(1.0), rel=1e-9)


def test_views_are_put_together_by_cameras_that_are_there(load_family) -> None:
    predicted, true = zip(*map(depth_pair, range(2)), strict=True)
    family, target = family_of(load_family), truth_of(true)
    with pytest.raises(ValueError, match="expected poses with a depth that is not metric"):
        family.score(target, Prediction(depth=predicted), Ambiguity.SCALE)
    placeless = Target(depth_m=true, intrinsics=target.intrinsics)
    with pytest.raises(ValueError, match="expected true poses to measure distances over views"):
        family.score(placeless, Prediction(depth=predicted), Ambiguity.METRIC)
    # One view needs no pose, and no metre.
    one = Target(depth_m=true[:1], intrinsics=(CAMERA,))
    assert family.score(one, Prediction(depth=predicted[:1]), Ambiguity.SCALE).values
