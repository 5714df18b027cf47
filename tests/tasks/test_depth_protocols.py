"""What each field of a depth protocol does, what it is called, and what is refused."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from g2vlm_bench.errors import BenchError
from g2vlm_bench.plugins import load_module
from g2vlm_bench.sample import Ambiguity, Target

made = load_module(Path(__file__).with_name("depth_maps.py"))
ALIGNMENTS, NEW_ALIGNMENTS = made.ALIGNMENTS, made.NEW_ALIGNMENTS
TRUTH, WRONG = made.TRUTH, made.WRONG
maps, target, predicted, value_of = made.maps, made.target, made.predicted, made.value_of
NAN = float("nan")


# -------------------------------------------------------------------------------------- labels


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
        "every_edge_height": [True], "skip_to_m": [1e-6, 1e-5], "max_quantile": [0.8, 0.9],
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
        set(type(family.protocols[0]).__struct_fields__) - {"profile", "metrics"}
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


# ------------------------------------------------------------------------ what each field does


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
    family = load_family("depth", ["abs_rel", "temporal_flicker", "tae", "tae_published"])
    one = score(family, target(TRUTH), predicted(WRONG), id="one")
    assert set(one.values) == {"abs_rel@metric"}
    left_out = {"temporal_flicker@metric": 0, "tae@metric": 0, "tae_published@metric": 0}
    assert one.weights == left_out
    camera, poses = np.array([[2.0, 0, 1], [0, 2, 1], [0, 0, 1]]), (np.eye(4),) * 2
    video = Target(depth_m=maps(TRUTH, TRUTH), intrinsics=(camera,) * 2, world_from_camera=poses)
    two = score(family, video, predicted(TRUTH, 2 * np.array(TRUTH)), id="two")
    # The camera stands still: what is 1 there is 1/2 forth and 2 back.
    assert two.values["tae@metric"] == pytest.approx((0.5 + 1) / 2)
    assert two.values["temporal_flicker@metric"] == pytest.approx(np.log(2))
    # Theirs divides by the same, and the truth stands as still as the camera.
    found = two.details["tae_published"]["metric"]
    assert found == {"prediction": pytest.approx((0.5 + 1) / 2), "truth": 0}
    assert two.values["tae_published@metric"] == found["prediction"]
    number = result(family, [one, two], "tae@metric")
    assert (number.value, number.n_scored) == (pytest.approx(0.75), 1)
    lacks = "no two true frames in a row with known cameras see the same surface"
    assert (number.n_unscored, number.undefined) == (1, {lacks: 1})
    # Without cameras there is no tae, but there is flicker.
    blind = score(family, target(TRUTH, TRUTH), predicted(TRUTH, TRUTH))
    assert blind.weights == left_out | {"temporal_flicker@metric": 1}


def test_closed_bounds_and_far_truth(load_family, score) -> None:
    # Relative errors 1 0 0 0.5 of the truth 1 2 4 8.
    def value(**protocol) -> float:
        return value_of(load_family, score, target(TRUTH), predicted(WRONG), **protocol)

    assert value(min_depth_m=1, max_depth_m=8, bounds="closed") == pytest.approx(1.5 / 4)
    assert value(min_depth_m=1, max_depth_m=8) == 0
    # 1% quantile 1.03: seven times that is 7.21.
    assert value(max_over_near=7) == pytest.approx(1 / 3)
    assert value(max_over_near=8) == pytest.approx(1.5 / 4)
    # Two thirds of the way from 1 to 8 lies 4; with two pixels of no truth, 3 of 0 0 1 2 4 8 is.
    assert value(max_quantile=2 / 3) == pytest.approx(1 / 3)
    holed = target([*TRUTH, [NAN, NAN]]), predicted([*WRONG, [1, 1]])
    assert value_of(load_family, score, *holed, max_quantile=0.7) == pytest.approx(1 / 2)
    # More than that share has no truth: nothing is left out.
    assert value_of(load_family, score, *holed, max_quantile=0.1) == pytest.approx(1.5 / 4)


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
    assert value_of(load_family, score, truth, wrong, skip_to_m=0.01) == pytest.approx(3.5)
    broken = predicted([[NAN, 9.0]])
    family = load_family("depth", ["abs_rel"], {"skip_to_m": 0.01})
    assert score(family, truth, broken).status == "failed"


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
    assert flat.status == "unscored"
    assert flat.error.message == "the true depth has no edge"


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
