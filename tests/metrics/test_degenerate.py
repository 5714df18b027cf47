"""Every metric against empty, all-masked, NaN, inf and constant input: never the best value."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from g2vlm_bench.metrics import answers, points
from g2vlm_bench.metrics.depth import DELTA_AUC_BEST, DEPTH_METRICS
from g2vlm_bench.metrics.depth_edges import MAP_METRICS
from g2vlm_bench.metrics.point_maps import POINT_METRICS, compare

SHAPE = (8, 9)
DEPTH_BEST = {"delta_auc": DELTA_AUC_BEST}
TARGET_DEPTH = np.random.default_rng(0).uniform(1, 9, size=SHAPE)
TARGET_CLOUD = np.random.default_rng(1).normal(size=(40, 3))


def depth_case(metric, change) -> float:
    prediction, target = TARGET_DEPTH.copy(), TARGET_DEPTH.copy()
    mask = np.ones(SHAPE, dtype=bool)
    return float(metric(*change(prediction, target, mask)))


def cloud_case(metric, change) -> float:
    return float(metric(points.cloud_distances(*change(TARGET_CLOUD.copy(), TARGET_CLOUD.copy()))))


def point_case(metric, change) -> float:
    # Off the camera, where a true point has no meaning.
    away = TARGET_CLOUD + np.array([0, 0, 9])
    return float(metric(compare(*change(away, away.copy()))))


def normal_case(change) -> float:
    normals, true_normals = change(TARGET_CLOUD.copy(), TARGET_CLOUD.copy())
    distances = points.cloud_distances(TARGET_CLOUD, TARGET_CLOUD)
    return points.normal_consistency(distances, normals, true_normals)


def some(array: np.ndarray, value: float) -> np.ndarray:
    array.flat[5] = value
    return array


EMPTY_CLOUD = np.empty((0, 3))
DEPTH_CHANGES: dict[str, Callable] = {
    "empty": lambda p, g, m: (p[:0], g[:0], m[:0]),
    "all masked": lambda p, g, m: (p, g, ~m),
    "one NaN": lambda p, g, m: (some(p, np.nan), g, m),
    "all NaN": lambda p, g, m: (p * np.nan, g, m),
    "one inf": lambda p, g, m: (some(p, np.inf), g, m),
    "one -inf": lambda p, g, m: (some(p, -np.inf), g, m),
    "NaN target": lambda p, g, m: (p, some(g, np.nan), m),
    "inf target": lambda p, g, m: (p, some(g, np.inf), m),
    "zero target": lambda p, g, m: (p, some(g, 0.0), m),
    "constant": lambda p, g, m: (np.full_like(p, 4.0), g, m),
    "zero": lambda p, g, m: (np.zeros_like(p), g, m),
    "negative": lambda p, g, m: (-p, g, m),
    "another shape": lambda p, g, m: (p[:-1], g, m),
    "broadcastable shape": lambda p, g, m: (p[:1], g, m),
    "integer mask": lambda p, g, m: (p, g, m.astype(np.uint8)),
}
CLOUD_CHANGES: dict[str, Callable] = {
    "empty": lambda p, g: (EMPTY_CLOUD, g),
    "empty target": lambda p, g: (p, EMPTY_CLOUD),
    "both empty": lambda p, g: (EMPTY_CLOUD, EMPTY_CLOUD),
    "one point": lambda p, g: (p[:1], g),
    "one NaN": lambda p, g: (some(p, np.nan), g),
    "one inf": lambda p, g: (some(p, np.inf), g),
    "NaN target": lambda p, g: (p, some(g, np.nan)),
    "constant": lambda p, g: (np.full_like(p, 9.0), g),
    "two columns": lambda p, g: (p[:, :2], g),
}
# name: (metric of the distances, its best value)
CLOUD_METRICS = {
    "accuracy": (points.accuracy, 0.0),
    "accuracy_median": (partial(points.accuracy, statistic="median"), 0.0),
    "completeness": (points.completeness, 0.0),
    "completeness_median": (partial(points.completeness, statistic="median"), 0.0),
    "chamfer": (partial(points.chamfer, directions="sum", distance="l2"), 0.0),
    "chamfer_squared": (partial(points.chamfer, directions="mean", distance="squared"), 0.0),
    "precision": (partial(points.precision, threshold_m=0.1), 1.0),
    "recall": (partial(points.recall, threshold_m=0.1), 1.0),
    "fscore": (partial(points.fscore, threshold_m=0.1), 1.0),
}
NAN, INF = float("nan"), float("inf")
NUMBERS = [(None, 1.0), (NAN, 1.0), (INF, 1.0), (0.0, 1.0), (None, 0.0), (NAN, NAN), (INF, INF)]
tolerance = partial(answers.within_tolerance, relative=0.1)
CASES = (
    [
        pytest.param(
            partial(depth_case, metric, change),
            DEPTH_BEST.get(name, 1.0 if name.startswith(("delta", "inlier", "boundary")) else 0.0),
            id=f"{name}: {what}",
        )
        for name, metric in {**DEPTH_METRICS, **MAP_METRICS}.items()
        for what, change in DEPTH_CHANGES.items()
    ]
    + [
        pytest.param(partial(cloud_case, metric, change), best, id=f"{name}: {what}")
        for name, (metric, best) in CLOUD_METRICS.items()
        for what, change in CLOUD_CHANGES.items()
    ]
    + [
        pytest.param(
            partial(point_case, metric, change),
            0.0 if name in ("point_abs_rel", "point_error", "point_rmse") else 1.0,
            id=f"{name}: {what}",
        )
        for name, metric in POINT_METRICS.items()
        for what, change in {
            **CLOUD_CHANGES,
            "zero": lambda p, g: (np.zeros_like(p), g),
            "a true point at the camera": lambda p, g: (p, g * (np.arange(40) > 0)[:, None]),
            "another size": lambda p, g: (p[:-1], g),
        }.items()
    ]
    + [
        pytest.param(partial(normal_case, change), 1.0, id=f"normal_consistency: {what}")
        for what, change in CLOUD_CHANGES.items()
    ]
    + [
        pytest.param(partial(metric, *arguments), 1.0, id=f"{name}: {arguments}")
        for name, metric, *arguments in [
            ("exact_choice", answers.exact_choice, None, 0),
            ("exact_choice", answers.exact_choice, None, False),
            ("exact_choice", answers.exact_choice, 0, False),
            ("exact_choice", answers.exact_choice, -1, -1),
            *(("mean_relative_accuracy", answers.mean_relative_accuracy, p, g) for p, g in NUMBERS),
            *(("within_tolerance", tolerance, p, g) for p, g in NUMBERS),
            *(
                ("box_overlap", answers.box_overlap, p, g)
                for p, g in (
                    (None, (0, 0, 1, 1)),
                    ((0, 0, 0, 0), (0, 0, 1, 1)),
                    ((NAN, 0, 1, 1), (0, 0, 1, 1)),
                    ((0, 0, INF, 1), (0, 0, 1, 1)),
                    ((0, 0, 1, 1), (0, 0, 0, 0)),
                    ((0, 0, 1, 1), (0, 0, NAN, 1)),
                )
            ),
            ("text_match", answers.text_match, None, ["yes"]),
            ("text_match", answers.text_match, "", ["yes"]),
            ("text_match", answers.text_match, "", [""]),
            ("text_match", answers.text_match, "", []),
            ("text_match", answers.text_match, "?!", ["."]),
        ]
    ]
)


def outcome(score: Callable[[], float]) -> float | str:
    try:
        return score()
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize(("score", "best"), CASES)
def test_degenerate_input_never_scores_best(score, best) -> None:
    result = outcome(score)
    if isinstance(result, str):
        assert "expected" in result
        assert "got" in result
        assert "\n" not in result
    else:
        assert np.isfinite(result)
        assert result != best


RAISES = {
    "empty", "all masked", "one NaN", "all NaN", "one inf", "one -inf", "NaN target", "inf target",
    "zero target", "another shape", "broadcastable shape", "integer mask", "empty target",
    "both empty", "one point", "two columns",
}  # fmt: skip


@pytest.mark.parametrize("what", sorted(RAISES & DEPTH_CHANGES.keys()))
@pytest.mark.parametrize("name", DEPTH_METRICS)
def test_depth_without_meaning_raises(name, what) -> None:
    with pytest.raises(ValueError, match="depth metric: expected"):
        depth_case(DEPTH_METRICS[name], DEPTH_CHANGES[what])


@pytest.mark.parametrize("what", sorted(RAISES & CLOUD_CHANGES.keys()))
def test_clouds_without_meaning_raise(what) -> None:
    with pytest.raises(ValueError, match=r"(prediction|target): expected"):
        cloud_case(points.accuracy, CLOUD_CHANGES[what])
