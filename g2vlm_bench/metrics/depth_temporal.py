"""How steady the aligned depth of a video is from frame to frame, beside how steady the truth is.

The errors are 0 for the truth itself, whatever the camera does and whatever hides what, because
they compare the prediction's change with the truth's. `published_tae` is the number that the field
prints under that name; the truth does not get 0 there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.geometry.cameras import project, relative_pose, transform, unproject

Array = NDArray[np.float64]
Maps = Sequence[NDArray[Any] | None]

# Farther from the surface that the other frame sees there, relative to its depth, is another one.
SAME_SURFACE = 0.05
MISSING = "expected two frames in a row with common valid pixels, got none"


def temporal_flicker(predictions: Maps, targets: Maps) -> float:
    """Return how much more or less the logarithm of depth changes at a pixel than the truth's does.

    For two frames in a row the mean of |(ln d' - ln d) - (ln g' - ln g)| over the pixels that are
    valid in both, then the mean over all such pairs. One scale for all frames does not change it;
    a scale that differs from frame to frame by 1 % adds about 0.01.

    Args:
        predictions: aligned depth of each frame, (H, W) each, NaN where it does not count; None for
            a frame without valid pixels.
        targets: depth in metres, as the predictions.

    Raises:
        ValueError: for predictions at or below 0, frames of another size than their truth, or where
            no two frames in a row share a valid pixel.

    Source: the temporal gradient of Chen et al. 2025 (Video Depth Anything, arXiv 2501.12375,
    section 3.2, `L_TGM`), which compares |d' - d| with |g' - g|. Named departures: signed, so that
    a change in the wrong direction is one, and in logarithms, so that far pixels count alike.
    """
    errors = [
        float(np.mean(np.abs(_log(d2) - _log(d1) - (np.log(g2) - np.log(g1)))))
        for d1, d2, g1, g2 in _common_pixels(predictions, targets)
    ]
    if not errors:
        raise ValueError(f"temporal flicker: {MISSING}")
    return float(np.mean(errors))


def temporal_geometric_motion(predictions: Maps, targets: Maps) -> float:
    """Return how much more or less depth changes on the whole from frame to frame than the truth.

    For two frames in a row | mean |d' - d| - mean |g' - g| |, in metres, over the pixels that are
    valid in both, then the mean over all such pairs. Only the sizes of the two means are compared:
    a change in the wrong place or direction costs nothing where its mean is right, as it does in
    `temporal_flicker`.

    Args:
        predictions: aligned depth of each frame, (H, W) each, NaN where it does not count; None for
            a frame without valid pixels.
        targets: depth in metres, as the predictions.

    Raises:
        ValueError: for predictions that are not finite, a pair of frames without a prediction above
            0, frames of another size than their truth, or where no two frames in a row share a
            valid pixel.

    Source: SpatialBench (7f06a37, benchmark/evaluation/metrics.py, `compute_tgm_metric`), "TGM".
    Named departure: it calls the truth times -1 perfect.
    """
    errors = []
    for d1, d2, g1, g2 in _common_pixels(predictions, targets):
        both = np.array([d1, d2])
        if not (np.isfinite(both).all() and both.max() > 0):
            raise ValueError(
                "temporal geometric motion: expected finite predictions, some of them above 0, "
                "got others"
            )
        errors.append(abs(float(np.mean(np.abs(d2 - d1)) - np.mean(np.abs(g2 - g1)))))
    if not errors:
        raise ValueError(f"temporal geometric motion: {MISSING}")
    return float(np.mean(errors))


@dataclass(frozen=True, eq=False)
class Link:
    """Pixels of two frames that see the same points of the true surface, K of them.

    Attributes:
        first: the frame that is moved.
        second: the frame it is moved into.
        pixels: flat places in the first frame, (K,).
        places: flat places in the second frame, (K,).
        slopes: of the depth in the second camera by the depth in the first, (K,).
        offset: of the same, metres: the motion along the second camera's axis.
        ratios: of the moved true depth by the true depth there, (K,), near 1.
    """

    first: int
    second: int
    pixels: NDArray[np.int64]
    places: NDArray[np.int64]
    slopes: Array
    offset: float
    ratios: Array


def follow_surface(
    targets: Maps,
    intrinsics: Sequence[NDArray[Any]],
    world_from_camera: Sequence[NDArray[Any]],
) -> list[Link]:
    """Return which pixels of frames in a row see the same surface, both ways in time.

    A valid pixel is followed to the one that its true point falls into; what is hidden there, or
    has moved, does not count: the true depths must agree within 5 %.

    Args:
        targets: depth in metres of each frame, (H, W) each, NaN where it does not count; None for a
            frame without valid pixels.
        intrinsics: (3, 3) of each frame, pixel centres at +0.5.
        world_from_camera: (4, 4) of each frame, metres.

    Raises:
        ValueError: for bad cameras.
    """
    pairs = [(i + way, i + 1 - way) for i in range(len(targets) - 1) for way in (0, 1)]
    links = []
    for first, second in pairs:
        near, far = targets[first], targets[second]
        if near is None or far is None:
            continue
        motion = relative_pose(world_from_camera[second], world_from_camera[first])
        points = transform(unproject(near, intrinsics[first]), motion)
        # The pixel a point falls into is the one whose centre is nearest.
        pixels = np.floor(project(points, intrinsics[second])[0])
        inside = np.logical_and.reduce((pixels >= 0) & (pixels < far.shape[::-1]), axis=-1)
        columns, rows = pixels[inside].astype(np.int64).T
        moved, true = points[inside][:, 2], np.asarray(far, np.float64)[rows, columns]
        seen = np.abs(moved - true) < SAME_SURFACE * true
        if seen.any():
            chosen = np.flatnonzero(inside)[seen]
            depth = np.asarray(near, np.float64).ravel()[chosen]
            links.append(
                Link(
                    first=first,
                    second=second,
                    pixels=chosen,
                    places=(rows * far.shape[1] + columns)[seen],
                    slopes=(moved[seen] - motion[2, 3]) / depth,
                    offset=float(motion[2, 3]),
                    ratios=moved[seen] / true[seen],
                )
            )
    return links


def temporal_alignment_error(predictions: Maps, targets: Maps, links: Sequence[Link]) -> float:
    """Return how badly the predicted surface of a frame fits that of the next, beside the truth's.

    Where two frames see the same point of the true surface, the predicted depth of the one is moved
    into the other by the true cameras and divided by what is predicted there. The truth gives 1,
    but for the rounding to pixels, which cancels: its own ratio is taken off. Mean of the absolute
    differences over pixels, then over all pairs of frames in a row, both ways in time.

    Args:
        predictions: aligned depth of each frame, (H, W) each; None for a frame without valid
            pixels.
        targets: depth in metres, as the predictions.
        links: from `follow_surface`, of these targets.

    Raises:
        ValueError: for predictions that are not above 0 where they are compared, frames of another
            size than their truth, or no links.

    Source: Chen et al. 2025 (Video Depth Anything, arXiv 2501.12375, appendix, TAE), whose code is
    `published_tae`. Named departures: correspondences, occlusion and the zero come from the truth.
    """
    if not links:
        raise ValueError("temporal alignment: expected frames in a row that see one surface")
    errors = []
    for link in links:
        before = _at(predictions[link.first], targets[link.first], link.pixels)
        after = _at(predictions[link.second], targets[link.second], link.places)
        ratios = (link.slopes * before + link.offset) / after
        errors.append(float(np.mean(np.abs(ratios - link.ratios))))
    return float(np.mean(errors))


def has_pairs(targets: Maps) -> bool:
    """Return whether two frames in a row share a valid pixel, so that changes are defined."""
    return any(True for _ in _common_pixels(targets, targets))


def published_tae(
    depths: Sequence[NDArray[Any]],
    intrinsics: Sequence[NDArray[Any]],
    world_from_camera: Sequence[NDArray[Any]],
) -> float:
    """Return TAE as it is published, without the factor 100 that it is printed with.

    The points of a frame are moved into the next and rounded to its pixels, the last of several
    there wins; the mean of |moved - predicted| / predicted over the pixels that were met, both
    ways, over all pairs. What is hidden counts, so that even the truth has some; a pair without
    common pixels counts as 0, and points behind the camera are projected, too. The truth plays no
    part but in the alignment, by which constant depth is good and, before a still camera, perfect.

    Args:
        depths: aligned depth of each frame, (H, W) each, at or below 0 where there is none.
        intrinsics: (3, 3) of each frame, pixel centres at +0.5 (theirs are at 0; that of the first
            of a pair is used for both).
        world_from_camera: (4, 4) of each frame, metres.

    Raises:
        ValueError: for fewer than two frames.

    Source: Video Depth Anything (4f5ae23, benchmark/eval/eval_tae.py, `tae_torch`, `eval_TAE`);
    where it runs on CUDA, which of several points wins is left to chance.
    """
    if len(depths) < 2:
        raise ValueError(f"TAE: expected at least two frames, got {len(depths)}")
    total = 0.0
    for index in range(len(depths) - 1):
        there = relative_pose(world_from_camera[index + 1], world_from_camera[index])
        total += _published(depths[index], depths[index + 1], intrinsics[index], there)
        back = relative_pose(world_from_camera[index], world_from_camera[index + 1])
        total += _published(depths[index + 1], depths[index], intrinsics[index], back)
    return total / (2 * (len(depths) - 1))


def _published(
    first: NDArray[Any], second: NDArray[Any], intrinsics: NDArray[Any], motion: Array
) -> float:
    points = transform(unproject(first, intrinsics), motion).reshape(-1, 3)
    homogeneous = points @ np.asarray(intrinsics, np.float64).T
    with np.errstate(divide="ignore", invalid="ignore"):
        pixels = np.rint(homogeneous[:, :2] / homogeneous[:, 2:] - 0.5)
    height, width = second.shape
    inside = ((pixels >= 0) & (pixels < (width, height))).all(axis=1)
    columns, rows = pixels[inside].astype(np.int64).T
    moved = np.zeros((height, width))
    moved[rows, columns] = points[inside, 2]
    met = (moved > 0) & (second > 0)
    return float(np.mean(np.abs(second[met] - moved[met]) / second[met])) if met.any() else 0.0


def _common_pixels(predictions: Maps, targets: Maps) -> Iterator[tuple[Array, ...]]:
    """Predictions and truth of two frames in a row at the pixels valid in both."""
    for index in range(len(targets) - 1):
        first, second = targets[index], targets[index + 1]
        if first is None or second is None or first.shape != second.shape:
            continue
        common = np.isfinite(first) & np.isfinite(second)
        if common.any():
            before = _sized(predictions[index], first)
            after = _sized(predictions[index + 1], second)
            yield tuple(
                np.asarray(one, np.float64)[common] for one in (before, after, first, second)
            )


def _sized(prediction: NDArray[Any] | None, target: NDArray[Any]) -> NDArray[Any]:
    if prediction is None or prediction.shape != target.shape:
        got = "none" if prediction is None else prediction.shape
        raise ValueError(f"temporal metric: expected a frame of {target.shape}, got {got}")
    return prediction


def _at(
    prediction: NDArray[Any] | None, target: NDArray[Any] | None, places: NDArray[np.int64]
) -> Array:
    assert target is not None  # A link leads from valid pixels to valid pixels.
    values = np.asarray(_sized(prediction, target), dtype=np.float64).ravel()[places]
    _check_positive(values)
    return values


def _log(values: Array) -> Array:
    _check_positive(values)
    return np.log(values)


def _check_positive(values: Array) -> None:
    if not (np.isfinite(values).all() and values.min() > 0):
        raise ValueError(
            "temporal metric: expected finite predictions above 0 at valid pixels, "
            f"got {int((~(np.isfinite(values) & (values > 0))).sum())} others of {values.size}"
        )
