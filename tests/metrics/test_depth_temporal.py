"""Temporal metrics: by hand, against plain loops, what they claim, and what they refuse.

That `published_tae` gives the number of its source is shown by scripts/conformance_depth.py, whose
value is in tests/tasks/test_depth_profiles.py.
"""

from __future__ import annotations

import numpy as np
import pytest

from g2vlm_bench.metrics.depth_temporal import (
    SAME_SURFACE,
    follow_surface,
    has_pairs,
    published_tae,
    temporal_alignment_error,
    temporal_flicker,
    temporal_geometric_motion,
)

CAMERA = np.array([[20.0, 0, 16], [0, 20.0, 12], [0, 0, 1]])
NAN = float("nan")


def pose(x: float = 0.0, z: float = 0.0, angle: float = 0.0) -> np.ndarray:
    found = np.eye(4)
    sine, cosine = np.sin(angle), np.cos(angle)
    found[[0, 0, 2, 2], [0, 2, 0, 2]] = cosine, -sine, sine, cosine
    found[:3, 3] = x, 0, z
    return found


def wall_and_post(camera: np.ndarray) -> np.ndarray:
    """A slanted wall behind a post, seen by a camera, by intersection of its rays."""
    rows, columns = np.mgrid[:24, :32] + 0.5
    rays = np.stack([(columns - 16) / 20, (rows - 12) / 20, np.ones_like(rows)], -1)
    rays = rays @ camera[:3, :3].T
    eye = camera[:3, 3]
    wall = (6 - eye[2] - 0.2 * eye[0]) / (rays[..., 2] + 0.2 * rays[..., 0])
    post = (2 - eye[2]) / rays[..., 2]
    hit = np.abs(eye[0] + post * rays[..., 0]) < 0.3
    return np.where(hit, post, wall).astype(np.float32)


POSES = [pose(), pose(0.15, 0.05, 0.02), pose(0.3, 0.1, 0.03)]
TRUTHS = [wall_and_post(one) for one in POSES]
CAMERAS = [CAMERA] * 3
LINKS = follow_surface(TRUTHS, CAMERAS, POSES)


def test_flicker_by_hand() -> None:
    g1, g2 = np.array([[1.0, 2.0, NAN]]), np.array([[2.0, 2.0, 4.0]])
    d1, d2 = np.array([[1.0, 4.0, 9.0]]), np.array([[3.0, 2.0, 9.0]])
    # ln 3/1 - ln 2/1 = ln 1.5 and ln 2/4 - ln 2/2 = -ln 2; the third pixel is not in both.
    expected = (np.log(1.5) + np.log(2)) / 2
    assert temporal_flicker([d1, d2], [g1, g2]) == pytest.approx(expected)
    # A third frame that does not flicker: the mean over two pairs.
    assert temporal_flicker([d1, d2, d2], [g1, g2, g2]) == pytest.approx(expected / 2)
    # Frames without valid pixels part those around them.
    assert not has_pairs([g1, None, g2])
    assert has_pairs([g1, g2])
    assert not has_pairs([g1])


def test_geometric_motion_by_hand() -> None:
    g1, g2 = np.array([[1.0, 2.0, NAN]]), np.array([[2.0, 2.0, 4.0]])
    d1, d2 = np.array([[1.0, 4.0, 9.0]]), np.array([[3.0, 2.0, 9.0]])
    # |3 - 1| and |2 - 4| have the mean 2, |2 - 1| and |2 - 2| that of 1/2.
    assert temporal_geometric_motion([d1, d2], [g1, g2]) == pytest.approx(1.5)
    # A still pair more, and frames without valid pixels, which part those around them.
    assert temporal_geometric_motion([d1, d2, d2], [g1, g2, g2]) == pytest.approx(0.75)
    with pytest.raises(ValueError, match="common valid pixels, got none"):
        temporal_geometric_motion([d1, None, d2], [g1, None, g2])
    # Change in the other place and direction: only its mean counts.
    assert temporal_geometric_motion([g1, np.array([[1.0, 1.0, NAN]])], [g1, g2]) == 0
    with pytest.raises(ValueError, match="expected finite predictions"):
        temporal_geometric_motion([g1, d2 * NAN], [g1, g2])


def test_flicker_forgives_one_scale_and_sees_one_for_each_frame() -> None:
    assert temporal_flicker(TRUTHS, TRUTHS) == 0
    assert temporal_flicker([3 * g for g in TRUTHS], TRUTHS) == pytest.approx(0, abs=1e-6)
    flickering = [TRUTHS[0], 1.01 * TRUTHS[1], TRUTHS[2]]
    assert temporal_flicker(flickering, TRUTHS) == pytest.approx(np.log(1.01), rel=1e-4)


def linked_slowly(first: int, second: int) -> dict[tuple[int, int], tuple[float, float]]:
    """(flat pixel, flat place) -> (moved true depth, depth there), pixel by pixel."""
    motion = np.linalg.inv(POSES[second]) @ POSES[first]
    found = {}
    for row, column in np.ndindex(24, 32):
        depth = float(TRUTHS[first][row, column])
        ray = np.array([(column + 0.5 - 16) / 20, (row + 0.5 - 12) / 20, 1])
        x, y, z = motion[:3, :3] @ (depth * ray) + motion[:3, 3]
        u, v = int(np.floor(20 * x / z + 16)), int(np.floor(20 * y / z + 12))
        if 0 <= u < 32 and 0 <= v < 24:
            there = float(TRUTHS[second][v, u])
            if abs(z - there) < SAME_SURFACE * there:
                found[row * 32 + column, v * 32 + u] = (z, there)
    return found


def test_links_by_a_plain_loop() -> None:
    assert [(link.first, link.second) for link in LINKS] == [(0, 1), (1, 0), (1, 2), (2, 1)]
    for link in LINKS:
        slow = linked_slowly(link.first, link.second)
        assert list(zip(link.pixels, link.places, strict=True)) == list(slow)
        moved = link.slopes * TRUTHS[link.first].ravel()[link.pixels] + link.offset
        np.testing.assert_allclose(moved, [z for z, _ in slow.values()], rtol=1e-9)
        np.testing.assert_allclose(link.ratios, [z / g for z, g in slow.values()], rtol=1e-9)
        # The post hides some of the wall.
        assert 300 < len(slow) < 24 * 32


def test_alignment_error_by_its_definition() -> None:
    rng = np.random.default_rng(0)
    predictions = [g * rng.lognormal(0, 0.1, g.shape) for g in TRUTHS]
    errors = []
    for link in LINKS:
        slow = linked_slowly(link.first, link.second)
        motion = np.linalg.inv(POSES[link.second]) @ POSES[link.first]
        one = []
        for (pixel, place), (z, there) in slow.items():
            row, column = divmod(pixel, 32)
            ray = np.array([(column + 0.5 - 16) / 20, (row + 0.5 - 12) / 20, 1])
            depth = predictions[link.first].ravel()[pixel]
            moved = (motion[:3, :3] @ (depth * ray) + motion[:3, 3])[2]
            one.append(abs(moved / predictions[link.second].ravel()[place] - z / there))
        errors.append(np.mean(one))
    found = temporal_alignment_error(predictions, TRUTHS, LINKS)
    assert found == pytest.approx(np.mean(errors), rel=1e-9)
    assert temporal_alignment_error(TRUTHS, TRUTHS, LINKS) == pytest.approx(0, abs=1e-12)


def test_alignment_error_sees_what_a_scale_does_to_motion() -> None:
    errors = {
        name: temporal_alignment_error(maps, TRUTHS, LINKS)
        for name, maps in {
            "far too near": [0.2 * g for g in TRUTHS],
            "flickering": [TRUTHS[0], 1.1 * TRUTHS[1], TRUTHS[2]],
            "constant": [np.full((24, 32), 2.0)] * 3,
        }.items()
    }
    assert min(errors.values()) > 5e-3
    # Every link has the second frame at one end.
    assert errors["flickering"] == pytest.approx(0.1, rel=0.1)


def test_what_is_published_is_not_best_for_the_truth() -> None:
    assert published_tae(TRUTHS, CAMERAS, POSES) > 0.01
    still = [pose()] * 3
    # Nothing moves: any depth that stays is perfect there.
    assert published_tae([np.full((24, 32), 2.0)] * 3, CAMERAS, still) == 0
    # By hand: 1 m forward, so that 4 m become 3 m, and 3 m backward 4 m, beside 3 m and 4 m...
    flat = [np.full((1, 1), 4.0), np.full((1, 1), 2.0)]
    camera = np.array([[1.0, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    # ...were it so; the prediction says 2 m: |2 - 3| / 2 and |4 - 3| / 4.
    found = published_tae(flat, [camera] * 2, [pose(), pose(z=1.0)])
    assert found == pytest.approx((1 / 2 + 1 / 4) / 2)
    # Frames that have nothing in common count as perfect.
    assert published_tae(flat, [camera] * 2, [pose(), pose(x=99.0)]) == 0
    with pytest.raises(ValueError, match="at least two frames"):
        published_tae(flat[:1], [camera], [pose()])


@pytest.mark.parametrize("metric", ["flicker", "alignment"])
@pytest.mark.parametrize("value", [NAN, np.inf, 0.0, -1.0])
def test_a_pixel_without_depth_is_refused(metric, value) -> None:
    broken = [g.copy() for g in TRUTHS]
    broken[1][12, 16] = value
    with pytest.raises(ValueError, match="got 1 others"):
        measured(metric, broken)


@pytest.mark.parametrize("metric", ["flicker", "alignment"])
def test_what_cannot_be_compared_is_refused(metric) -> None:
    with pytest.raises(ValueError, match="got none"):
        measured(metric, [TRUTHS[0], None, TRUTHS[2]])
    with pytest.raises(ValueError, match=r"expected a frame of \(24, 32\)"):
        measured(metric, [TRUTHS[0], TRUTHS[1][:-1], TRUTHS[2]])
    with pytest.raises(ValueError, match="expected"):
        measured(metric, TRUTHS[:1], TRUTHS[:1])
    masked = [np.full((24, 32), NAN)] * 3
    with pytest.raises(ValueError, match="expected"):
        measured(metric, TRUTHS, masked)


def measured(metric: str, predictions: list, truths: list = TRUTHS) -> float:
    if metric == "flicker":
        return temporal_flicker(predictions, truths)
    count = len(truths)
    links = follow_surface(truths, CAMERAS[:count], POSES[:count])
    return temporal_alignment_error(predictions, truths, links)
