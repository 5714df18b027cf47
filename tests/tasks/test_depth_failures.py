"""Depth that is missing, bad or without a truth: what it counts as, and in which mean."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from g2vlm_bench.plugins import load_module
from g2vlm_bench.sample import Ambiguity, Prediction, Target
from g2vlm_bench.task import NoTruthError

made = load_module(Path(__file__).with_name("depth_maps.py"))
METRICS, ALIGNMENTS, NEW_ALIGNMENTS = made.METRICS, made.ALIGNMENTS, made.NEW_ALIGNMENTS
TRUTH, WRONG = made.TRUTH, made.WRONG
maps, target, predicted = made.maps, made.target, made.predicted
NAN, INF = float("nan"), float("inf")


# -------------------------------------------------------------------------- means and failures

# abs_rel 0.5 on one valid pixel, and 0.1 on three.
FEW = (target([[1.0, NAN], [NAN, NAN]]), predicted([[1.5, 9.0], [9.0, 9.0]]))
MANY = (target([[1.0, 2.0], [3.0, NAN]]), predicted([[1.1, 2.2], [3.3, 9.0]]))


def test_mean_over_images_and_over_pixels(load_family, score, result) -> None:
    family = load_family("depth", ["abs_rel"], {}, {"mean": "pixel"})
    lines = [score(family, *pair, id=str(i)) for i, pair in enumerate((FEW, MANY))]
    images = result(family, lines, "abs_rel@metric")
    pixels = result(family, lines, "abs_rel@metric+pixel_mean")
    assert images.value == pytest.approx((0.5 + 0.1) / 2)
    assert pixels.value == pytest.approx((0.5 * 1 + 0.1 * 3) / 4)
    assert (images.n_scored, pixels.n_scored) == (2, 2)


def test_a_failure_is_the_worst_value_with_its_own_weight(load_family, score, result) -> None:
    family = load_family("depth", ["abs_rel", "inlier_1.10"], {}, {"mean": "pixel"})
    perfect = predicted(np.nan_to_num(MANY[0].depth_m[0], nan=1.0))
    for failing, image_mean, pixel_mean in (
        ([FEW[0], MANY[0]], 1 / 2, 3 / 4),
        ([MANY[0], FEW[0]], 1 / 2, 3 / 4),
    ):
        lines = [
            score(family, truth, perfect if truth is MANY[0] else RuntimeError("boom"), id=str(i))
            for i, truth in enumerate(failing)
        ]
        images = result(family, lines, "inlier_1.10@metric")
        pixels = result(family, lines, "inlier_1.10@metric+pixel_mean")
        assert (images.value, pixels.value) == (image_mean, pixel_mean)
        assert (images.n_scored, images.n_failed, images.n_unscored) == (1, 1, 0)
        unbounded = result(family, lines, "abs_rel@metric")
        assert unbounded.value is None
        assert unbounded.value_scored == pytest.approx(0)
    lines = [
        score(family, MANY[0], RuntimeError("boom"), id="a"),
        score(family, FEW[0], predicted([[1.0, 9.0], [9.0, 9.0]]), id="b"),
    ]
    assert result(family, lines, "inlier_1.10@metric+pixel_mean").value == 1 / 4


@pytest.mark.parametrize("prediction", [predicted([[1.0, 1.0]]), RuntimeError("boom")])
@pytest.mark.parametrize(
    "truth",
    [
        target([[NAN, NAN]]),
        target([[0.0, -1.0]]),
        target([[INF, 0.0]]),
        Target(),
        target([[99, 99]]),
    ],
)
def test_without_valid_truth_a_sample_is_unscored_whatever_was_predicted(
    load_family, score, result, truth, prediction
) -> None:
    family = load_family("depth", ["abs_rel", "delta1"], {"max_depth_m": 80, "mean": "pixel"})
    line = score(family, truth, prediction)
    assert line.status == "unscored"
    number = result(family, [line], "delta1@metric+cap80+pixel_mean")
    assert (number.value, number.n_scored, number.n_failed, number.n_unscored) == (None, 0, 0, 1)


@pytest.mark.parametrize("alignment", ALIGNMENTS)
@pytest.mark.parametrize(
    "bad",
    [
        [[NAN, 2.0], [4.0, 8.0]], [[INF, 2.0], [4.0, 8.0]], [[-INF, 2.0], [4.0, 8.0]],
        [[1.0, 2.0]], [1.0, 2.0, 4.0, 8.0], [[[1.0, 2.0], [4.0, 8.0]]], [], 1.0,
    ],
    ids=["nan", "inf", "-inf", "size", "vector", "channel", "empty", "number"],
)  # fmt: skip
def test_a_prediction_that_is_no_depth_map_fails(load_family, score, alignment, bad) -> None:
    family = load_family("depth", METRICS, {"alignment": alignment})
    line = score(family, target(TRUTH), predicted(bad))
    assert line.status == "failed"
    assert "expected" in line.error.message
    assert score(family, target(TRUTH), Prediction(answer="2 m")).status == "failed"


def test_nan_where_there_is_no_truth_does_no_harm(load_family, score) -> None:
    family = load_family("depth", ["abs_rel"], *({"alignment": name} for name in ALIGNMENTS))
    line = score(family, target([[1.0, NAN], [4.0, 8.0]]), predicted([[1.0, NAN], [4.0, 8.0]]))
    assert all(value == pytest.approx(0, abs=1e-6) for value in line.values.values())


@pytest.mark.parametrize("bad", [[[-1.0, 2.0], [4.0, 8.0]], [[0.0, 2.0], [4.0, 8.0]]])
def test_what_one_protocol_cannot_use_is_no_failure_under_the_others(
    load_family, score, bad
) -> None:
    alone = load_family("depth", ["abs_rel", "log10"], {})
    more = load_family("depth", ["abs_rel", "log10"], *({"alignment": name} for name in ALIGNMENTS))
    values = score(more, target(TRUTH), predicted(bad)).values
    assert (
        values["abs_rel@metric"]
        == score(alone, target(TRUTH), predicted(bad)).values["abs_rel@metric"]
    )
    assert values["abs_rel@metric"] == pytest.approx((1 - bad[0][0]) / 4)
    assert values["abs_rel@lsq_affine_disparity"] is None
    assert values["log10@metric"] is None


def test_weights_need_no_prediction(load_family) -> None:
    family = load_family(
        "depth", ["abs_rel"], {"mean": "pixel"}, {"mean": "pixel", "min_depth_m": 2}
    )
    assert family.weights(MANY[0]) == {
        "pixels@metric+pixel_mean": 3,
        "pixels@metric+min2+pixel_mean": 1,
    }
    with pytest.raises(NoTruthError):
        family.weights(target([[NAN]]))


def test_the_truth_is_not_altered(load_family) -> None:
    family = load_family("depth", METRICS, {"clip": True, "max_depth_m": 5})
    truth, prediction = target(TRUTH), predicted(WRONG)
    before = truth.depth_m[0].copy(), prediction.depth[0].copy()
    family.score(truth, prediction, Ambiguity.METRIC)
    assert np.array_equal(before[0], truth.depth_m[0])
    assert np.array_equal(before[1], prediction.depth[0])


# ----------------------------------------------------------------------------------- bad input

BAD = {
    "constant": lambda g: np.full_like(g, 3.0),
    "zero": np.zeros_like,
    "below 0": lambda g: -g,
    "partly below 0": lambda g: np.where(g > 5, -g, g),
    "partly zero": lambda g: np.where(g > 5, 0, g),
    "one NaN": lambda g: np.where(g == g[3, 3], NAN, g),
    "all NaN": lambda g: g * NAN,
    "one infinite": lambda g: np.where(g == g[3, 3], INF, g),
    "another size": lambda g: g[:-1],
    "transposed": lambda g: g.T,
    "as large as can be": lambda g: np.full_like(g, np.finfo(np.float32).max),
    "as small as can be": lambda g: np.full_like(g, np.finfo(np.float32).smallest_subnormal),
}
# Lines of published code that fall as well as rise: to them the truth upside down is perfect.
FALLING = ("ridge_scale_shift", "trimmed_scale_shift", "anchored_scale_shift")
ASKED = [
    *METRICS, "si_log_half", "i_rmse", "delta_auc", "boundary_f1_r1", "temporal_flicker", "tgm",
]  # fmt: skip


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("what", BAD)
@pytest.mark.parametrize("alignment", [*ALIGNMENTS, *NEW_ALIGNMENTS])
def test_bad_depth_is_a_reason_or_a_bad_number(load_family, score, alignment, what, clip) -> None:
    rng = np.random.default_rng(0)
    frames = [rng.uniform(1, 9, (7, 9)).astype(np.float32) for _ in range(2)]
    camera = np.array([[9.0, 0, 4.5], [0, 9, 3.5], [0, 0, 1]])
    truth = Target(depth_m=tuple(frames), intrinsics=(camera,) * 2)
    family = load_family("depth", ASKED, {"alignment": alignment, "clip": clip})
    line = score(family, truth, predicted(*(BAD[what](g) for g in frames)))
    if line.status == "failed":
        assert "expected" in line.error.message
        assert "\n" not in line.error.message
    specs = {spec.name: spec for spec in family.specs}
    if what == "below 0" and alignment in FALLING:
        return
    for name, value in line.values.items():
        # None is a failure of that metric alone, which counts as its worst value.
        assert value is None or (np.isfinite(value) and value != specs[name].best), name
    if "NaN" in what or what in ("another size", "transposed", "one infinite"):
        assert line.status == "failed"


@pytest.mark.parametrize("alignment", [*ALIGNMENTS, *NEW_ALIGNMENTS])
def test_a_frame_without_truth_has_no_part_in_a_video(load_family, score, alignment) -> None:
    rng = np.random.default_rng(0)
    frames = [rng.uniform(1, 9, (7, 9)).astype(np.float32) for _ in range(2)]
    guesses = [g * rng.lognormal(0, 0.1, g.shape).astype(np.float32) for g in frames]
    camera, holed = np.array([[9.0, 0, 4.5], [0, 9, 3.5], [0, 0, 1]]), np.full((7, 9), NAN)
    for scope in ("sample", "view"):
        family = load_family(
            "depth", ["abs_rel", "delta1"],
            {"alignment": alignment, "scope": scope, "pool": "views", "clip": True},
        )  # fmt: skip
        both, three = (
            score(
                family,
                Target(depth_m=maps(*truths), intrinsics=(camera,) * len(truths)),
                predicted(*given),
            ).values
            for truths, given in (
                (frames, guesses),
                # What is predicted where there is no truth, even NaN, does not matter.
                ([frames[0], frames[1], holed], [*guesses, holed]),
            )
        )
        assert both == pytest.approx(three)
        assert None not in both.values()
