"""Depth: what each protocol says, golden values, ambiguities, failures, weights."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from g2vlm_bench.errors import BenchError
from g2vlm_bench.sample import Ambiguity, Prediction, Target
from g2vlm_bench.task import NoTruthError

NAN, INF = float("nan"), float("inf")
METRICS = [
    "abs_rel", "sq_rel", "rmse", "rmse_log", "log10", "si_log", "delta1", "delta2", "delta3",
    "inlier_1.03", "inlier_1.05", "inlier_1.10",
]  # fmt: skip
ALIGNMENTS = {
    "none": ("metric", Ambiguity.METRIC),
    "median_scale": ("median_scale", Ambiguity.SCALE),
    "least_squares_scale": ("lsq_scale", Ambiguity.SCALE),
    "least_squares_scale_shift": ("lsq_affine", Ambiguity.AFFINE),
    "least_squares_scale_shift_disparity": ("lsq_affine_disparity", Ambiguity.AFFINE_DISPARITY),
}
NEW_ALIGNMENTS = [
    "l1_scale", "l1_scale_shift", "l1_scale_shift_disparity", "lower_median_scale", "irls_scale",
    "adam_scale_shift", "ridge_scale_shift", "trimmed_scale_shift", "anchored_scale_shift",
    "mean_distance_scale",
]  # fmt: skip
TRUTH = [[1.0, 2.0], [4.0, 8.0]]
WRONG = [[2.0, 2.0], [4.0, 4.0]]


def maps(*views: object) -> tuple[np.ndarray, ...]:
    return tuple(np.array(view, np.float32) for view in views)


def target(*views: object) -> Target:
    return Target(depth_m=maps(*views))


def predicted(*views: object, ambiguity: Ambiguity | None = None) -> Prediction:
    return Prediction(depth=maps(*views), ambiguity=ambiguity)


# --------------------------------------------------------------------------------- protocols


def test_the_label_of_every_protocol_names_every_departure_from_the_default(load_family) -> None:
    ranges = [{}, {"min_depth_m": 0.001}, {"max_depth_m": 80}, {"max_depth_m": 80.5}]
    options = [
        {"alignment": alignment, **depths, **({} if crop is None else {"crop": crop}),
         "clip": clip, "resize": resize, "mean": mean}
        for alignment, depths, crop, clip, resize, mean in product(
            ALIGNMENTS, ranges, [None, "eigen", "garg", "nyu"], [False, True],
            ["error", "nearest", "bilinear"], ["image", "pixel"],
        )
    ]  # fmt: skip
    # What is rarer departs one at a time, and all at once.
    rarer = {
        "scope": ["view"], "pool": ["views"], "bounds": ["closed"], "max_over_near": [1000, 500.5],
        "clip_min_m": [0.1, 0.2], "clip_max_m": [70, 100], "log_floor_m": [1e-5, 1e-3],
        "relative_epsilon_m": [1e-6, 1e-3], "fit_grid": [64, 32], "fit_max_px": [1024, 512],
        "every_edge_height": [True],
        "resize": ["bicubic", "bilinear_point", "bilinear_corners"],
        "fit_weights": ["inverse_depth"], "disparity_floor": ["none", 0.001, 0.01],
        "fit_sign": ["any"],
    }  # fmt: skip
    needed = {
        "fit_weights": {"alignment": "l1_scale_shift"},
        "fit_sign": {"alignment": "least_squares_scale_shift"},
        "disparity_floor": {"alignment": "least_squares_scale_shift_disparity"},
    }
    options += [
        {key: value, **needed.get(key, {})} for key, values in rarer.items() for value in values
    ]
    options += [{"alignment": name} for name in NEW_ALIGNMENTS]
    options.append(
        # A fit is on a grid or on thinned columns.
        {key: values[0] for key, values in rarer.items() if key != "fit_max_px"}
        | {"alignment": "l1_scale_shift_disparity"}
    )
    family = load_family("depth", ["abs_rel"], *options)
    assert set(options[0]) | {"min_depth_m", "max_depth_m", "crop"} | set(rarer) == set(
        set(type(family.protocols[0]).__struct_fields__) - {"profile"}
    )
    assert len({spec.name for spec in family.specs}) == len(options)
    full = {
        "alignment": "median_scale", "min_depth_m": 0.001, "max_depth_m": 80, "crop": "garg",
        "clip": True, "resize": "bilinear", "mean": "pixel",
    }  # fmt: skip
    (spec,) = load_family("depth", ["abs_rel"], full).specs
    assert spec.name == "abs_rel@median_scale+min0.001+cap80+garg+clip+bilinear+pixel_mean"
    assert load_family("depth", ["abs_rel"]).specs[0].name == "abs_rel@metric"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_dept_m": 80}, "Did you mean 'max_depth_m'?"),
        ({"alignement": "none"}, "Did you mean 'alignment'?"),
        ({"alignment": "median"}, "alignment"),
        ({"min_depth_m": -1}, "min_depth_m"),
        ({"min_depth_m": NAN}, "min_depth_m"),
        ({"max_depth_m": 0}, "max_depth_m"),
        ({"max_depth_m": NAN}, "max_depth_m"),
        ({"min_depth_m": 5, "max_depth_m": 5}, "min_depth_m < max_depth_m"),
        ({"crop": "kitti"}, "crop"),
        ({"clip": "yes"}, "clip"),
        ({"clip_min_m": 5, "clip_max_m": 5}, "clip_min_m < clip_max_m"),
        ({"fit_weights": "inverse_depth"}, "expected an L1 alignment"),
        ({"disparity_floor": "none"}, "expected an alignment in disparity"),
        ({"disparity_floor": "nearest"}, "disparity_floor"),
        ({"max_over_near": 1}, "max_over_near"),
        ({"fit_grid": 64, "fit_max_px": 64}, "fit_grid or fit_max_px, got both"),
    ],
)
def test_a_protocol_without_meaning_is_refused_when_the_task_is_read(
    load_family, options, message
) -> None:
    with pytest.raises(BenchError, match="depth/test, key 'protocols'") as error:
        load_family("depth", ["abs_rel"], options)
    assert message in str(error.value)


def test_the_same_protocol_twice_is_refused(load_family) -> None:
    with pytest.raises(BenchError, match="protocols that differ"):
        load_family("depth", ["abs_rel"], {}, {"alignment": "none"})


def test_an_unknown_metric_is_met_with_the_nearest(load_family) -> None:
    with pytest.raises(BenchError, match="Did you mean 'abs_rel'"):
        load_family("depth", ["absrel"])


# ------------------------------------------------------------------------------ golden values


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


# -------------------------------------------------------------------------------- ambiguities


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


# ------------------------------------------------------------------------- means and failures

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


# ---------------------------------------------------------------------------- parts of profiles


def value_of(load_family, score, truth, prediction, metric="abs_rel", **protocol) -> float:
    family = load_family("depth", [metric], protocol)
    (found,) = score(family, truth, prediction).values.values()
    return found


def test_an_alignment_for_each_view_and_metrics_for_each_view(load_family, score) -> None:
    truth = target([[2.0, 2.0]], [[4.0, 4.0, 4.0, 4.0]])
    apart = predicted([[1.0, 1.0]], [[4.0, 4.0, 4.0, 4.0]])
    scaled = {"alignment": "median_scale"}
    assert value_of(load_family, score, truth, apart, **scaled, scope="view") == 0
    # Errors 0.5 at two pixels of one view and none in the other: over pixels and over views.
    assert value_of(load_family, score, truth, apart, **scaled) == pytest.approx(0.5 * 2 / 6)
    views = value_of(load_family, score, truth, apart, **scaled, pool="views")
    assert views == pytest.approx(0.25)
    weighted = value_of(load_family, score, truth, apart, **scaled, pool="views", mean="pixel")
    assert weighted == pytest.approx(0.5 * 2 / 6)
    family = load_family("depth", ["abs_rel"], {**scaled, "scope": "view"})
    records = score(family, truth, apart).details["alignment"]["median_scale+view_fit"]
    assert [record["scale"] for record in records] == [2, 1]
    # A view without valid truth has no part in it.
    holed = target([[2.0, 2.0]], [[NAN, NAN, NAN, NAN]])
    assert value_of(load_family, score, holed, apart, **scaled, pool="views", scope="view") == 0


def test_one_scale_for_a_sequence_and_what_each_frame_gets(load_family, score) -> None:
    truth = target([[2.0, 2.0]], [[4.0, 4.0]], [[NAN, NAN]])
    apart = predicted([[1.0, 1.0]], [[4.0, 4.0]], [[9.0, 9.0]])
    protocols = [
        {"alignment": "least_squares_scale", "scope": scope, "pool": "views"}
        for scope in ("sample", "view")
    ]
    family = load_family("depth", ["abs_rel", "delta1"], *protocols)
    line = score(family, truth, apart)
    # One scale of (2 * 1 + 4 * 4) / (1 + 16) = 18/17: 18/17 for 2 and 72/17 for 4.
    views = line.details["views"]["lsq_scale+view_pool"]
    assert views["abs_rel"] == [pytest.approx(8 / 17), pytest.approx(1 / 17), None]
    assert views["delta1"] == [0, 1, None]
    assert line.values["abs_rel@lsq_scale+view_pool"] == pytest.approx(4.5 / 17)
    assert line.values["abs_rel@lsq_scale+view_fit+view_pool"] == 0


def test_flicker_is_what_a_scale_for_each_frame_hides(load_family, score) -> None:
    rng = np.random.default_rng(0)
    frame = rng.uniform(1, 9, (6, 8)).astype(np.float32)
    family = load_family(
        "depth", ["temporal_flicker"],
        *({"alignment": "median_scale", "scope": scope} for scope in ("sample", "view")),
    )  # fmt: skip
    line = score(family, target(frame, frame), predicted(frame, 1.1 * frame))
    assert line.values["temporal_flicker@median_scale"] == pytest.approx(np.log(1.1))
    assert line.values["temporal_flicker@median_scale+view_fit"] == pytest.approx(0, abs=1e-6)
    # Below 0 there is no logarithm, and no failure under other metrics.
    both = load_family("depth", ["abs_rel", "temporal_flicker"])
    line = score(both, target(frame, frame), predicted(frame, -frame))
    assert line.values["temporal_flicker@metric"] is None
    assert line.values["abs_rel@metric"] == pytest.approx(1)


def test_a_sample_without_frames_in_a_row_is_left_out_of_temporal_metrics(
    load_family, score, result
) -> None:
    family = load_family("depth", ["abs_rel", "temporal_flicker", "tae"])
    one = score(family, target(TRUTH), predicted(WRONG), id="one")
    assert set(one.values) == {"abs_rel@metric"}
    assert one.weights == {"temporal_flicker@metric": 0, "tae@metric": 0}
    camera, poses = np.array([[2.0, 0, 1], [0, 2, 1], [0, 0, 1]]), (np.eye(4),) * 2
    video = Target(depth_m=maps(TRUTH, TRUTH), intrinsics=(camera,) * 2, world_from_camera=poses)
    two = score(family, video, predicted(TRUTH, 2 * np.array(TRUTH)), id="two")
    # The camera stands still: what is 1 there is 1/2 forth and 2 back.
    assert two.values["tae@metric"] == pytest.approx((0.5 + 1) / 2)
    assert two.values["temporal_flicker@metric"] == pytest.approx(np.log(2))
    # Theirs divides by the same, and the truth stands as still as the camera.
    found = two.details["tae_published"]["metric"]
    assert found == {"prediction": pytest.approx((0.5 + 1) / 2), "truth": 0}
    number = result(family, [one, two], "tae@metric")
    assert (number.value, number.n_scored) == (pytest.approx(0.75), 1)
    # Without cameras there is no tae, but there is flicker.
    blind = score(family, target(TRUTH, TRUTH), predicted(TRUTH, TRUTH))
    assert blind.weights == {"temporal_flicker@metric": 1, "tae@metric": 0}


def test_closed_bounds_and_far_truth(load_family, score) -> None:
    # Relative errors 1 0 0 0.5 of the truth 1 2 4 8.
    def value(**protocol) -> float:
        return value_of(load_family, score, target(TRUTH), predicted(WRONG), **protocol)

    assert value(min_depth_m=1, max_depth_m=8, bounds="closed") == pytest.approx(1.5 / 4)
    assert value(min_depth_m=1, max_depth_m=8) == 0
    # 1% quantile 1.03: seven times that is 7.21.
    assert value(max_over_near=7) == pytest.approx(1 / 3)
    assert value(max_over_near=8) == pytest.approx(1.5 / 4)


def test_clips_floors_and_epsilon_by_hand(load_family, score) -> None:
    truth, wrong = target([[1.0, 2.0]]), predicted([[-1.0, 9.0]])
    assert value_of(
        load_family, score, truth, wrong, clip_min_m=0.5, clip_max_m=3
    ) == pytest.approx((0.5 / 1 + 1 / 2) / 2)
    assert value_of(load_family, score, truth, wrong, relative_epsilon_m=1) == pytest.approx(
        (2 / 2 + 7 / 3) / 2
    )
    # log10 of 0.01 / 1 and of 9 / 2; AbsRel does not know the floor.
    floor = {"log_floor_m": 0.01}
    assert value_of(load_family, score, truth, wrong, "log10", **floor) == pytest.approx(
        (2 + np.log10(4.5)) / 2
    )
    assert value_of(load_family, score, truth, wrong, **floor) == pytest.approx((2 + 3.5) / 2)


def test_a_fit_on_a_grid_sees_the_nearest_valid_pixels_only(load_family, score) -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(1, 9, (12, 12)).astype(np.float32)
    truth[0, 0] = NAN
    prediction = truth * rng.uniform(0.5, 1.5, truth.shape).astype(np.float32)
    family = load_family("depth", ["abs_rel"], {"alignment": "l1_scale", "fit_grid": 4})
    line = score(family, target(truth), predicted(np.nan_to_num(prediction, nan=1.0)))
    # Cells of 3 x 3, whose middles are at 1, 4, 7 and 10.
    some = np.ix_([1, 4, 7, 10], [1, 4, 7, 10])
    ratios = np.argsort((truth / prediction)[some].ravel())
    weights = np.cumsum(prediction[some].ravel()[ratios])
    middle = np.searchsorted(weights, weights[-1] / 2)
    expected = (truth / prediction)[some].ravel()[ratios[middle]]
    assert line.details["alignment"]["l1_scale+grid4"]["scale"] == pytest.approx(expected)


def test_edges_are_measured_on_aligned_maps_of_each_view(load_family, score) -> None:
    wall = np.where(np.arange(8) < 4, 1.0, 2.0) * np.ones((6, 1))
    truth = target(wall, wall)
    moved = predicted(3 * wall, 3 * np.roll(wall, 1, axis=1))
    scaled = {"alignment": "l1_scale", "scope": "view"}
    assert value_of(load_family, score, truth, moved, "boundary_f1_r1", **scaled) == 0.5
    flat = score(
        load_family("depth", ["boundary_f1_r1"]),
        target(np.ones((4, 4))),
        predicted(np.ones((4, 4))),
    )
    assert flat.status == "failed"


def test_mean_distances_need_intrinsics(load_family, score) -> None:
    protocol = {"alignment": "mean_distance_scale"}
    truth = target(TRUTH)
    family = load_family("depth", ["abs_rel"], protocol)
    assert "intrinsics" in score(family, truth, predicted(WRONG)).error.message
    camera = np.array([[1.0, 0, 1], [0, 1, 1], [0, 0, 1]])
    given = Target(depth_m=truth.depth_m, intrinsics=(camera,))
    # All four rays are as long, sqrt(1 + 0.25 + 0.25): means 15 / 4 and 12 / 4.
    record = score(family, given, predicted(WRONG)).details["alignment"]["mean_distance_scale"]
    assert record["scale"] == pytest.approx(15 / 12)


@pytest.mark.parametrize(
    ("alignment", "ambiguity"),
    [
        ("least_squares_scale_shift", Ambiguity.AFFINE),
        ("l1_scale_shift", Ambiguity.AFFINE),
        ("least_squares_scale_shift_disparity", Ambiguity.AFFINE_DISPARITY),
        ("l1_scale_shift_disparity", Ambiguity.AFFINE_DISPARITY),
    ],
)
def test_truth_upside_down_is_no_better_than_a_constant(load_family, alignment, ambiguity) -> None:
    true = np.linspace(1, 6, 300).reshape(15, 20)
    upside_down = 10 - (true if ambiguity is Ambiguity.AFFINE else 1 / true)
    scores = {}
    for sign in ("positive", "any"):
        family = load_family("depth", ["delta1"], {"alignment": alignment, "fit_sign": sign})
        for name, depth in (("upside_down", upside_down), ("constant", np.full_like(true, 3.0))):
            score = family.score(target(true), predicted(depth), ambiguity)
            (scores[sign, name],) = score.values.values()
    assert scores["positive", "upside_down"] == scores["positive", "constant"] < 0.5
    # Published code allows it, and so do the profiles that give its numbers.
    assert scores["any", "upside_down"] == 1


# ---------------------------------------------------------------------------------- bad input

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
ASKED = [*METRICS, "si_log_half", "i_rmse", "delta_auc", "boundary_f1_r1", "temporal_flicker"]


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
