"""Depth: golden values, what each ambiguity may be scored on, what an alignment undoes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from g2vlm_bench.plugins import load_module
from g2vlm_bench.sample import Ambiguity

made = load_module(Path(__file__).with_name("depth_maps.py"))
METRICS, ALIGNMENTS, TRUTH, WRONG = made.METRICS, made.ALIGNMENTS, made.TRUTH, made.WRONG
target, predicted = made.target, made.predicted
NAN = float("nan")


# ------------------------------------------------------------------------------- golden values


def test_golden_values_without_alignment(load_family, score) -> None:
    # d = 2 2 4 4, g = 1 2 4 8: differences 1 0 0 -4, ratios 2 1 1 2, ln d/g = ln2 0 0 -ln2.
    family = load_family("depth", METRICS)
    values = score(family, target(TRUTH), predicted(WRONG)).values
    assert values == {
        f"{name}@metric": pytest.approx(value)
        for name, value in {
            "abs_rel": (1 / 1 + 4 / 8) / 4,
            "sq_rel": (1 / 1 + 16 / 8) / 4,
            "rmse": np.sqrt((1 + 16) / 4),
            "rmse_log": np.log(2) * np.sqrt(2 / 4),
            "log10": np.log10(2) * 2 / 4,
            # The mean log error is 0, so its standard deviation is the root mean square.
            "si_log": np.log(2) * np.sqrt(2 / 4),
            "delta1": 0.5,
            "delta2": 0.5,
            "delta3": 0.5,
            "inlier_1.03": 0.5,
            "inlier_1.05": 0.5,
            "inlier_1.10": 0.5,
        }.items()
    }


@pytest.mark.parametrize(
    ("alignment", "prediction", "aligned"),
    [
        # Medians 3 of the truth and 1.5 of the prediction: times 2.
        ("median_scale", [[1, 1], [2, 2]], [[2, 2], [4, 4]]),
        # (1*1 + 1*2 + 2*4 + 2*8) / (1 + 1 + 4 + 4) = 2.7.
        ("least_squares_scale", [[1, 1], [2, 2]], [[2.7, 2.7], [5.4, 5.4]]),
        # The line through the means of both groups: 1 -> 1.5 and 2 -> 6.
        ("least_squares_scale_shift", [[1, 1], [2, 2]], [[1.5, 1.5], [6, 6]]),
        # In disparity: group means 1 -> (1 + 1/2) / 2 = 3/4 and 1/2 -> (1/4 + 1/8) / 2 = 3/16.
        ("least_squares_scale_shift_disparity", [[1, 1], [2, 2]],
         [[4 / 3, 4 / 3], [16 / 3, 16 / 3]]),
    ],
)  # fmt: skip
def test_golden_alignments(load_family, score, alignment, prediction, aligned) -> None:
    line = score(
        load_family("depth", ["abs_rel"], {"alignment": alignment}),
        target(TRUTH),
        predicted(prediction),
    )
    label = ALIGNMENTS[alignment][0]
    expected = np.mean(np.abs(np.array(aligned) - TRUTH) / TRUTH)
    assert line.values == {f"abs_rel@{label}": pytest.approx(expected)}
    assert line.details["alignment"][label]["kind"] == alignment


def test_range_and_crop_choose_the_pixels_and_clip_moves_the_prediction(load_family, score) -> None:
    def value(truth, prediction, **protocol) -> float:
        family = load_family("depth", ["abs_rel"], protocol)
        (found,) = score(family, target(truth), predicted(prediction)).values.values()
        return found

    # Relative errors 1 0 0 0.5; the bounds themselves do not count.
    assert value(TRUTH, WRONG, min_depth_m=1) == pytest.approx(0.5 / 3)
    assert value(TRUTH, WRONG, max_depth_m=8) == pytest.approx(1 / 3)
    # Clipped to [1.5, 6]: 1.5 for the pixel of 1 is no truth that counts, 0.5 -> 1.5 for 2, and
    # 20 -> 6 for 4.
    over = [[9.0, 0.5], [20.0, 1.0]]
    assert value(TRUTH, over, min_depth_m=1.5, max_depth_m=6, clip=True) == pytest.approx(0.375)
    assert value(TRUTH, over, min_depth_m=1.5, max_depth_m=6) == pytest.approx((0.75 + 4) / 2)
    # Eigen on 10 x 10 keeps rows 3 to 8 and columns 0 to 8.
    large, wrong = np.ones((10, 10)), np.ones((10, 10))
    wrong[2], wrong[9], wrong[:, 9] = 7, 7, 7
    assert value(large, wrong, crop="eigen") == 0
    wrong[3, 0] = 2
    assert value(large, wrong, crop="eigen") == pytest.approx(1 / 54)
    # Garg keeps rows 4 to 8.
    assert value(large, wrong, crop="garg") == 0
    nyu = np.ones((480, 640))
    wrong = np.full((480, 640), 3.0)
    wrong[45:471, 41:601] = 1
    assert value(nyu, wrong, crop="nyu") == 0
    assert value(nyu, wrong) > 0


def test_clip_defines_logarithms_and_repairs_no_nan(load_family, score) -> None:
    family = load_family("depth", ["log10"], {"clip": True}, {})
    line = score(family, target(TRUTH), predicted([[0.0, 2.0], [4.0, 8.0]]))
    # ln 0 is undefined; clipped to a millimetre it is three decades away from 1 m.
    assert line.values == {"log10@metric+clip": pytest.approx(3 / 4), "log10@metric": None}
    assert line.status == "scored"
    assert "log10@metric" in line.error.message
    assert score(family, target(TRUTH), predicted([[NAN, 2.0], [4.0, 8.0]])).status == "failed"


def test_resizing_is_a_protocol_of_its_own(load_family, score) -> None:
    small, large = [[1.0, 3.0]], [[1.0, 1.0, 3.0, 3.0]] * 2
    family = load_family(
        "depth", ["abs_rel"], {"resize": "nearest"}, {"resize": "bilinear"}, {"resize": "error"}
    )
    line = score(family, target(large), predicted(small))
    # Bilinear, at centres 0.25 0.75 1.25 1.75 of the small map: 1, 1.5, 2.5, 3.
    assert line.values == {
        "abs_rel@metric+nearest": 0,
        "abs_rel@metric+bilinear": pytest.approx((0.5 / 1 + 0.5 / 3) / 4),
        "abs_rel@metric": None,
    }
    strict = score(load_family("depth", ["abs_rel"]), target(large), predicted(small))
    assert strict.status == "failed"
    assert "(2, 4), got (1, 2)" in strict.error.message


# --------------------------------------------------------------------------------- ambiguities


@pytest.mark.parametrize(
    ("ambiguity", "served"),
    [
        (Ambiguity.METRIC, list(ALIGNMENTS)),
        (Ambiguity.SCALE, list(ALIGNMENTS)[1:]),
        (Ambiguity.AFFINE, ["least_squares_scale_shift"]),
        (Ambiguity.AFFINE_DISPARITY, ["least_squares_scale_shift_disparity"]),
        (None, []),
    ],
)
def test_a_prediction_may_be_weakened_never_strengthened(
    load_family, score, ambiguity, served
) -> None:
    family = load_family("depth", ["abs_rel"], *({"alignment": name} for name in ALIGNMENTS))
    names = {f"abs_rel@{ALIGNMENTS[name][0]}" for name in served}
    assert {spec.name for spec in family.servable(ambiguity)} == names
    if ambiguity is not None:
        assert set(score(family, target(TRUTH), predicted(WRONG), ambiguity).values) == names


def test_a_prediction_weaker_than_its_model_declares_is_not_scored_as_strong(
    load_family, score
) -> None:
    family = load_family("depth", ["abs_rel", "delta1"], {}, {"alignment": "median_scale"})
    weak = predicted(TRUTH, ambiguity=Ambiguity.SCALE)
    line = score(family, target(TRUTH), weak, Ambiguity.METRIC)
    assert line.values["abs_rel@metric"] is None
    assert line.values["delta1@median_scale"] == 1
    weaker = predicted(TRUTH, ambiguity=Ambiguity.AFFINE)
    assert score(family, target(TRUTH), weaker, Ambiguity.METRIC).status == "failed"


def test_a_stronger_prediction_than_its_model_declares_gains_nothing(load_family, score) -> None:
    family = load_family("depth", ["abs_rel"], {}, {"alignment": "least_squares_scale_shift"})
    strong = predicted(TRUTH, ambiguity=Ambiguity.METRIC)
    assert set(score(family, target(TRUTH), strong, Ambiguity.AFFINE).values) == {
        "abs_rel@lsq_affine"
    }


@pytest.mark.parametrize(
    ("alignment", "undoes"),
    [
        ("none", set()),
        ("median_scale", {"scale"}),
        ("least_squares_scale", {"scale"}),
        ("least_squares_scale_shift", {"scale", "affine"}),
        ("least_squares_scale_shift_disparity", {"scale", "affine_disparity"}),
    ],
)
def test_an_alignment_undoes_its_group_and_no_more(load_family, score, alignment, undoes) -> None:
    truth = np.random.default_rng(0).uniform(1, 9, (6, 8)).astype(np.float32)
    changed = {
        "scale": 3 * truth,
        "affine": 3 * truth + 2,
        "affine_disparity": 1 / (0.5 / truth + 0.1),
        "power": truth**1.3,
    }
    label, _ = ALIGNMENTS[alignment]
    family = load_family("depth", ["abs_rel"], {"alignment": alignment})
    for name, prediction in changed.items():
        value = score(family, target(truth), predicted(prediction)).values[f"abs_rel@{label}"]
        assert (value < 1e-6) == (name in undoes), name


def test_disparity_is_read_as_disparity_and_only_from_a_model_that_predicts_it(
    load_family, score
) -> None:
    family = load_family("depth", ["abs_rel"], {"alignment": "least_squares_scale_shift_disparity"})
    # Affine disparity may be negative.
    disparity = predicted(40 / np.array(TRUTH) - 11)
    name = "abs_rel@lsq_affine_disparity"
    line = score(family, target(TRUTH), disparity, Ambiguity.AFFINE_DISPARITY)
    assert line.values[name] == pytest.approx(0, abs=1e-6)
    assert line.details["alignment"]["lsq_affine_disparity"]["prediction_is"] == "disparity"
    # The same map as metric depth has pixels below 0.
    assert score(family, target(TRUTH), disparity, Ambiguity.METRIC).status == "failed"


def test_the_views_of_a_sample_share_one_alignment(load_family, score) -> None:
    family = load_family("depth", ["abs_rel"], {"alignment": "median_scale"})
    truth = target([[2.0, 2.0]], [[4.0, 4.0, 4.0, 4.0]])
    together = score(family, truth, predicted([[1.0, 1.0]], [[2.0, 2.0, 2.0, 2.0]]))
    assert together.values == {"abs_rel@median_scale": 0}
    # Each view alone would be perfect. Together: medians 4 and 4, so the first is off by one half.
    apart = score(family, truth, predicted([[1.0, 1.0]], [[4.0, 4.0, 4.0, 4.0]]))
    assert apart.values == {"abs_rel@median_scale": pytest.approx(0.5 * 2 / 6)}
    assert score(family, truth, predicted([[1.0, 1.0]])).status == "failed"
