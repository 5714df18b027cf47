"""Point maps: what each protocol says, golden values, ambiguities, cameras, failures."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import msgspec
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from g2vlm_bench.errors import BenchError
from g2vlm_bench.geometry.cameras import unproject
from g2vlm_bench.plugins import Plugins
from g2vlm_bench.protocols.point_map import Alignment, PointMapProtocol
from g2vlm_bench.sample import Ambiguity, Inputs, Prediction, Target, Want
from g2vlm_bench.task import NoTruthError

METRICS = [
    "point_abs_rel", "point_delta1", "point_error", "point_rmse", "point_inlier_1.03",
    "point_inlier_1.25", "ray_auc_15", "ray_auc_20", "ray_auc_30",
]  # fmt: skip
ALIGNMENTS = Alignment.__args__  # type: ignore[attr-defined]
CAMERA = np.array([[4.0, 0, 4], [0, 4.0, 3], [0, 0, 1]])
NAN, INF = float("nan"), float("inf")


def depth(seed: int = 0, size: tuple[int, int] = (6, 8)) -> np.ndarray:
    found = np.random.default_rng(seed).uniform(1, 6, size).astype(np.float32)
    found[0, 0] = NAN
    return found


def target(*depths: np.ndarray) -> Target:
    maps = depths or (depth(),)
    return Target(depth_m=maps, intrinsics=(CAMERA,) * len(maps))


def points(true: Target, change=lambda p: p, ambiguity: Ambiguity | None = None) -> Prediction:
    """The true points, changed; 1 where there is no truth."""
    maps = tuple(unproject(np.nan_to_num(d, nan=1.0), CAMERA) for d in true.depth_m)
    changed = tuple(np.asarray(change(one), np.float32) for one in maps)
    return Prediction(point_maps=changed, ambiguity=ambiguity)


# --------------------------------------------------------------------------------- protocols


def test_every_departure_from_the_default_is_in_the_label() -> None:
    pieces = [
        {"scope": "view"}, {"scope": "segment"}, {"fit_weights": "inverse_distance"},
        {"fit_grid": 64},
        {"fit_sign": "any"}, {"camera": "given"}, {"min_depth_m": 0.1}, {"max_depth_m": 10},
        {"max_depth_m": 10.5}, {"max_over_near": 1000}, {"crop": "nyu"}, {"crop": "garg"},
        {"at_most_pixels": 75000}, {"relative_epsilon_m": 1e-6}, {"pool": "views"},
    ]  # fmt: skip
    assert {key for piece in pieces for key in piece} | {"profile", "metrics", "alignment"} == {
        field.name for field in msgspec.structs.fields(PointMapProtocol)
    }
    labels = []
    for alignment, more in product(ALIGNMENTS, [{}, *pieces]):
        try:
            protocol = msgspec.convert({"alignment": alignment, **more}, PointMapProtocol)
        except msgspec.ValidationError:
            continue
        labels.append(protocol.label)
    assert len(labels) > 100
    assert len(set(labels)) == len(labels)
    assert labels[0] == "metric"
    assert msgspec.convert(
        {"alignment": "l1_scale", "fit_weights": "inverse_distance", "camera": "given"},
        PointMapProtocol,
    ).label == "l1_scale+given_camera+weighted"  # fmt: skip


@pytest.mark.parametrize(
    ("protocol", "says"),
    [
        ({"min_depth_m": 2, "max_depth_m": 1}, "min_depth_m < max_depth_m"),
        ({"max_depth_m": NAN}, "max_depth_m"),
        ({"alignment": "none", "fit_weights": "inverse_distance"}, "an L1 alignment to weigh"),
        ({"alignment": "mean_norm_scale", "fit_weights": "inverse_distance"}, "an L1 alignment"),
        ({"alignment": "l1_scale", "fit_sign": "any"}, "l1_scale with a shift"),
        ({"fit_grid": 64}, "an alignment to fit on a grid"),
        ({"scope": "segment"}, "an alignment and no pool of views where segments are fitted"),
        ({"alignment": "l1_scale", "scope": "segment", "pool": "views"}, "no pool of views"),
        ({"alignment": "sim3"}, "sim3"),
        ({"align": "none"}, "Did you mean 'alignment'"),
    ],
)
def test_protocols_without_meaning_are_refused(load_family, protocol, says) -> None:
    with pytest.raises(BenchError, match=says):
        load_family("point_map", METRICS, protocol)


def test_one_camera_lifts_in_a_task(load_family) -> None:
    with pytest.raises(BenchError, match=r"one camera.*Make a task of each"):
        load_family("point_map", ["point_abs_rel"], {"camera": "given"}, {"camera": "predicted"})
    with pytest.raises(BenchError, match=r"'ray_auc_15'.*all rays are right"):
        load_family("point_map", ["ray_auc_15"], {"camera": "given"})


def test_what_a_model_is_asked_for(load_family) -> None:
    lifting = frozenset({Want.DEPTH, Want.INTRINSICS})
    assert load_family("point_map", METRICS).wants == (frozenset({Want.POINT_MAPS}), lifting)
    given = load_family("point_map", METRICS[:1], {"camera": "given"})
    assert given.wants == (frozenset({Want.DEPTH}),)


# ----------------------------------------------------------------------------------- ambiguity

UP_TO = {
    "none": "metric", "l1_z_shift": "metric", "l1_xyz_shift": "metric",
    "least_squares_scale": "scale", "mean_norm_scale": "scale", "l1_scale": "scale",
    "l1_scale_z_shift": "scale", "anchored_scale_z_shift": "scale",
    "l1_scale_xyz_shift": "affine", "anchored_scale_xyz_shift": "affine",
}  # fmt: skip
SERVES = {
    "metric": {"metric", "scale", "affine"},
    "scale": {"scale", "affine"},
    "affine": {"affine"},
    "affine_disparity": set(),
}


@pytest.mark.parametrize("known", SERVES)
@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_predictions_are_weakened_never_strengthened(load_family, known, alignment) -> None:
    family = load_family("point_map", METRICS, {"alignment": alignment})
    served = UP_TO[alignment] in SERVES[known]
    assert bool(family.servable(Ambiguity(known))) == served
    true = target()
    assert bool(family.score(true, points(true), Ambiguity(known)).values) == served
    assert family.servable(None) == ()


@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_a_score_is_invariant_under_what_the_protocol_forgives_and_no_more(
    load_family, alignment
) -> None:
    family = load_family("point_map", METRICS, {"alignment": alignment})
    true, rng = target(), np.random.default_rng(3)
    noise = rng.lognormal(0, 0.1, (6, 8, 1)) + rng.normal(0, 0.01, (6, 8, 3))

    def scores(change) -> dict[str, float]:
        found = family.score(true, points(true, lambda p: change(noise * p)), Ambiguity.METRIC)
        return dict(found.values)

    plain = scores(lambda p: p)
    moves = {
        "scale": lambda p: 3 * p,
        "z_shift": lambda p: p + np.array([0, 0, 1.5]),
        "xyz_shift": lambda p: p + np.array([0.7, -0.4, 1.5]),
        "turn": lambda p: p[..., [1, 0, 2]],
    }
    forgiven = {
        "scale": "scale" in alignment,
        "z_shift": alignment.endswith(("_z_shift", "_xyz_shift")),
        "xyz_shift": alignment.endswith("_xyz_shift"),
        "turn": False,
    }
    for name, move in moves.items():
        # Shares may differ by a pixel that lies on a threshold in float32.
        same = scores(move) == pytest.approx(plain, rel=1e-4, abs=1e-4)
        assert same == forgiven[name], name


# ------------------------------------------------------------------------------------- values


def test_golden_values_of_two_pixels(load_family) -> None:
    true = Target(
        depth_m=(np.array([[2.0, 4.0]], np.float32),),
        # Pixel centres at (0.5, 0.5) and (1.5, 0.5): rays (0, 0, 1) and (0.75, 0, 1).
        intrinsics=(np.array([[4 / 3, 0, 0.5], [0, 4 / 3, 0.5], [0, 0, 1]]),),
    )
    # True points (0, 0, 2) and (3, 0, 4), of norms 2 and 5.
    predicted = np.array([[[0, 0, 1], [3, 0, 2]]], np.float32)
    family = load_family("point_map", METRICS, {"alignment": "none"}, {"alignment": "l1_scale"})
    values = family.score(true, Prediction(point_maps=(predicted,)), Ambiguity.METRIC).values
    assert values["point_abs_rel@metric"] == pytest.approx((1 / 2 + 2 / 5) / 2)
    assert values["point_rmse@metric"] == pytest.approx(np.sqrt((1 + 4) / 2))
    assert values["point_error@metric"] == pytest.approx(1.5)
    assert values["point_delta1@metric"] == 0  # 1 > 0.25, 2 > 0.9
    # |p| = 1 and 3.6: ratios 2 and 1.387
    assert values["point_inlier_1.25@metric"] == 0
    # Ratios 2 (weight 1), 1 (3) and 2 (2): their lower median is 1, so that nothing moves.
    assert values["point_abs_rel@l1_scale"] == values["point_abs_rel@metric"]


def test_depth_is_lifted_by_the_predicted_camera_or_by_the_given_one(load_family) -> None:
    true = target()
    wider = CAMERA * [[0.5], [0.5], [1]] + [[0, 0, 2], [0, 0, 1.5], [0, 0, 0]]
    filled = np.nan_to_num(true.depth_m[0], nan=1.0)
    told = Prediction(depth=(filled,), intrinsics=(wider,))
    ours = load_family("point_map", METRICS)
    as_map = Prediction(point_maps=(unproject(filled, wider).astype(np.float32),))
    values = ours.score(true, told, Ambiguity.METRIC).values
    assert values == ours.score(true, as_map, Ambiguity.METRIC).values
    assert values["point_abs_rel@metric"] > 0.1
    given = load_family("point_map", ["point_abs_rel"], {"camera": "given"})
    assert given.score(true, told, Ambiguity.METRIC).values == {
        "point_abs_rel@metric+given_camera": 0
    }
    # A map of points is no depth that a given camera could lift.
    with pytest.raises(ValueError, match="expected a prediction with depth, got none"):
        given.score(true, as_map, Ambiguity.METRIC)


def test_affine_depth_is_not_lifted(load_family) -> None:
    family = load_family("point_map", METRICS, {"alignment": "l1_scale_xyz_shift"})
    true = target()
    told = Prediction(depth=(np.nan_to_num(true.depth_m[0], nan=1.0),), intrinsics=(CAMERA,))
    assert family.score(true, told, Ambiguity.SCALE).values
    with pytest.raises(ValueError, match="got affine depth: a shift of depth bends"):
        family.score(true, told, Ambiguity.AFFINE)


def test_views_share_a_fit_or_have_one_each(load_family) -> None:
    true = target(depth(0), depth(1, (4, 5)))
    scales = iter((2.0, 0.5))
    told = points(true, lambda p: next(scales) * p)
    metric = "point_abs_rel"
    shared, each = ({"alignment": "l1_scale", "scope": scope} for scope in ("sample", "view"))
    family = load_family("point_map", [metric], shared, each)
    found = family.score(true, told, Ambiguity.SCALE)
    assert found.values[f"{metric}@l1_scale"] > 0.1
    assert found.values[f"{metric}@l1_scale+view_fit"] == pytest.approx(0, abs=1e-6)
    records = found.details["alignment"]["l1_scale+view_fit"]
    assert [record["scale"] for record in records] == pytest.approx([0.5, 2.0])
    assert found.details["alignment"]["l1_scale"]["kind"] == "l1_scale"


def test_pixels_are_pooled_or_views_are(load_family) -> None:
    true = target(depth(0), depth(1, (4, 5)))
    factors = iter((1.1, 1.4))
    told = points(true, lambda p: next(factors) * p)
    family = load_family("point_map", ["point_abs_rel"], {}, {"pool": "views"})
    values = family.score(true, told, Ambiguity.METRIC).values
    # 47 and 19 valid pixels
    pooled = (47 * 0.1 + 19 * 0.4) / 66
    assert values["point_abs_rel@metric"] == pytest.approx(pooled, rel=1e-5)
    assert values["point_abs_rel@metric+view_pool"] == pytest.approx(0.25, rel=1e-5)


def test_only_counted_pixels_are_looked_at(load_family) -> None:
    true = target(np.array([[1.0, 2, 3, 900], [1, 2, 3, NAN]], np.float32))
    wild = points(true, lambda p: np.where(p[..., 2:] > 2.5, NAN, p))
    family = load_family("point_map", METRICS, {"max_depth_m": 2.5})
    assert family.score(true, wild, Ambiguity.METRIC).values["point_abs_rel@metric+cap2.5"] == 0
    family = load_family("point_map", METRICS, {"max_over_near": 2.0, "min_depth_m": 0.5})
    # The 1% quantile is 1, so that truth up to 2 counts.
    (value,) = {
        v for k, v in family.score(true, wild, Ambiguity.METRIC).values.items() if "abs_rel" in k
    }
    assert value == 0


# --------------------------------------------------------------------------------------- rays


def tilted(true: Target, degrees: float) -> Prediction:
    """The true map of the first view turned about the vertical, and the others as they are."""
    turn = Rotation.from_euler("y", degrees, degrees=True).as_matrix()
    turns = iter((turn, *(np.eye(3),) * (len(true.depth_m) - 1)))
    return points(true, lambda p: 3 * p @ next(turns).T)


def test_rays_are_those_of_every_pixel_whatever_counts(load_family) -> None:
    true = target(depth(0), depth(1, (4, 5)))
    same_turn = tilted(target(np.ones((6, 8), np.float32)), 2.0)
    (turned,) = same_turn.point_maps
    angles = [
        np.degrees(np.arccos(np.clip(a @ b / np.linalg.norm(a) / np.linalg.norm(b), -1, 1)))
        for a, b in zip(
            turned.reshape(-1, 3).astype(float),
            unproject(np.ones((6, 8)), CAMERA).reshape(-1, 3),
            strict=True,
        )
    ]
    first = float(np.mean(angles))
    assert 1 < first < 2
    cut = {"max_depth_m": 1.5}
    family = load_family(
        "point_map", ["ray_error"], {}, {"pool": "views"}, {"alignment": "l1_scale", **cut}
    )
    values = family.score(true, tilted(true, 2.0), Ambiguity.METRIC).values
    # 48 pixels are turned, 20 are not.
    assert values["ray_error@metric"] == pytest.approx(first * 48 / 68, rel=1e-5)
    assert values["ray_error@metric+view_pool"] == pytest.approx(first / 2, rel=1e-5)
    assert values["ray_error@l1_scale+cap1.5"] == values["ray_error@metric"]


def test_a_camera_tells_rays_where_there_is_no_depth(load_family) -> None:
    true = target()
    wider = CAMERA * [[0.9], [0.9], [1]]
    family = load_family("point_map", ["ray_error", "point_abs_rel"], {})
    holed = Prediction(depth=true.depth_m, intrinsics=(wider,))
    found = family.score(true, holed, Ambiguity.METRIC).values["ray_error@metric"]
    as_map = Prediction(point_maps=(unproject(np.ones((6, 8)), wider).astype(np.float32),))
    score = family.score(true, as_map, Ambiguity.METRIC)
    assert found == pytest.approx(score.values["ray_error@metric"], rel=1e-5)
    assert found > 1
    # A point map that is nowhere has no ray there, and its other metrics stand.
    lost = Prediction(point_maps=(unproject(true.depth_m[0], wider).astype(np.float32),))
    score = family.score(true, lost, Ambiguity.METRIC)
    assert set(score.values) == {"point_abs_rel@metric"}
    assert "a finite point at every pixel" in score.details["undefined"]
    assert "got 1 others of 48" in score.details["undefined"]


def test_what_a_shift_would_turn_is_no_error_of_rays(load_family) -> None:
    family = load_family(
        "point_map", ["ray_error", "point_abs_rel"], {}, {"alignment": "l1_xyz_shift"}
    )
    assert "ray_error@l1_xyz_shift" not in {spec.name for spec in family.specs}
    (spec,) = (spec for spec in family.specs if spec.name == "ray_error@metric")
    assert (spec.unit, spec.higher_is_better, spec.best, spec.worst) == ("deg", False, 0, 180)
    with pytest.raises(BenchError, match="ray_error"):
        load_family("point_map", ["ray_error"], {"alignment": "l1_xyz_shift"})
    with pytest.raises(BenchError, match="all rays are right"):
        load_family("point_map", ["ray_error"], {"camera": "given"})


# ----------------------------------------------------------------------------------- cameras


def test_a_field_of_view_is_of_the_camera_that_comes_with_the_points(load_family) -> None:
    true = target(depth(0), depth(1, (4, 5)))
    family = load_family("point_map", ["fov_x_error", "point_abs_rel"], {})
    (spec,) = (spec for spec in family.specs if spec.name == "fov_x_error@metric")
    assert (spec.unit, spec.higher_is_better, spec.best, spec.worst) == ("deg", False, 0, 180)
    # 8 pixels at a focal length of 4 see 90 degrees, at 4 sqrt 3 they see 60; no fit is asked.
    narrow = CAMERA * [[np.sqrt(3)], [1], [1]]
    right = points(true, lambda p: 2 * p)
    one_wrong = replace(right, intrinsics=(narrow, CAMERA))
    values = family.score(true, one_wrong, Ambiguity.METRIC).values
    assert values["fov_x_error@metric"] == pytest.approx((30 + 0) / 2)
    assert values["point_abs_rel@metric"] == pytest.approx(1)
    without = family.score(true, right, Ambiguity.METRIC)
    assert set(without.values) == {"point_abs_rel@metric"}
    assert "expected predicted intrinsics of 2 views, got 0" in without.details["undefined"]


def test_who_asks_for_a_field_of_view_asks_for_a_camera(load_family) -> None:
    family = load_family("point_map", ["fov_x_error"], {"alignment": "l1_scale_xyz_shift"})
    assert family.wants == tuple(
        frozenset({kind, Want.INTRINSICS}) for kind in (Want.POINT_MAPS, Want.DEPTH)
    )
    with pytest.raises(BenchError, match="the camera and all rays are right"):
        load_family("point_map", ["fov_x_error"], {"camera": "given"})
    with pytest.raises(BenchError, match="fov_x_error"):
        load_family("point_map", ["fov_x_error"], LOCAL)


# ----------------------------------------------------------------------------------- segments

LOCAL = {"alignment": "l1_scale_xyz_shift", "scope": "segment"}


def segmented(labels: np.ndarray) -> Target:
    return Target(
        depth_m=(depth(0, labels.shape),),
        intrinsics=(CAMERA,),
        segments=(labels.astype(np.int32),),
    )


def test_each_segment_has_its_own_fit_and_its_own_size(load_family) -> None:
    labels = np.zeros((6, 8))
    labels[:, 2:5], labels[:, 5:] = 1, 7
    true = segmented(labels)
    # Scale and shift of each segment are their own; what is no segment is wild.
    scale = np.where(labels == 1, 0.5, np.where(labels == 7, 3.0, 1e6))[..., None]
    told = points(true, lambda p: scale * p + scale)
    family = load_family("point_map", ["local_abs_rel", "local_delta1"], LOCAL)
    found = family.score(true, told, Ambiguity.AFFINE)
    assert found.values["local_abs_rel@l1_affine+segment_fit"] == pytest.approx(0, abs=1e-6)
    assert found.values["local_delta1@l1_affine+segment_fit"] == 1
    records = found.details["alignment"]["l1_affine+segment_fit"]
    assert [record["scale"] for record in records] == pytest.approx([2, 1 / 3], rel=1e-5)


def test_golden_values_of_segments(load_family) -> None:
    labels = np.repeat([[1, 2]], 6, axis=0).repeat(4, axis=1)
    true = segmented(labels)
    # Metric points, so that the fit is none but for two wild points in a segment of 24.
    told = points(true)
    told.point_maps[0][5, 4:6, 2] += 1000
    family = load_family(
        "point_map", ["local_abs_rel", "local_delta1"], {**LOCAL, "alignment": "l1_xyz_shift"}
    )
    values = family.score(true, told, Ambiguity.METRIC).values
    second = unproject(true.depth_m[0], CAMERA)[:, 4:].reshape(-1, 3)
    diameter = np.ptp(second, axis=0).max()
    rel = values["local_abs_rel@l1_xyz_shift+segment_fit"]
    assert rel == pytest.approx((0 + 2 * 1000 / diameter / 24) / 2, rel=1e-5)
    assert values["local_delta1@l1_xyz_shift+segment_fit"] == pytest.approx((1 + 22 / 24) / 2)


def test_samples_without_large_segments_are_left_out(load_family, score) -> None:
    nine = np.zeros((6, 8))
    nine.flat[10:19] = 3
    family = load_family("point_map", ["local_delta1", "point_delta1"], LOCAL, {})
    for true in (segmented(nine), target()):
        assert family.weights(true) == {"segments@l1_affine+segment_fit": 0.0}
        line = score(family, true, points(true))
        assert line.values == {"point_delta1@metric": 1.0}
        assert line.status == "scored"
        lacks = "the truth has no segment with enough valid pixels to fit"
        assert line.undefined == {"segments@l1_affine+segment_fit": lacks}
        alone = load_family("point_map", ["local_delta1"], LOCAL)
        assert score(alone, true, points(true)).status == "unscored"
    ten = nine.copy()
    ten.flat[19] = 3
    assert family.weights(segmented(ten)) == {"segments@l1_affine+segment_fit": 1.0}


def test_truth_is_best_in_segments_and_scrambled_truth_is_not(load_family) -> None:
    true = segmented(np.repeat([[1, 2]], 6, axis=0).repeat(4, axis=1))
    family = load_family(
        "point_map", ["local_abs_rel", "local_delta1"],
        LOCAL, {**LOCAL, "alignment": "anchored_scale_xyz_shift"},
    )  # fmt: skip
    perfect = family.truth(true)
    scrambled = Plugins().adapter("scrambled", {}, {})
    wrong = scrambled.distort(perfect, Inputs(id="a"), np.random.default_rng(0))
    best = {spec.name: spec.best for spec in family.specs}
    assert family.score(true, perfect, Ambiguity.METRIC).values == pytest.approx(best, abs=1e-6)
    for name, value in family.score(true, wrong, Ambiguity.METRIC).values.items():
        assert abs(value - best[name]) > 0.01, name


def test_a_metric_that_no_protocol_defines_is_refused(load_family) -> None:
    with pytest.raises(BenchError, match=r"got 'local_delta1'; metric defines point_abs_rel"):
        load_family("point_map", ["local_delta1", "point_delta1"], {})
    with pytest.raises(BenchError, match=r"got 'point_delta1'; .* defines local_abs_rel, local_d"):
        load_family("point_map", ["local_delta1", "point_delta1"], LOCAL)


# ----------------------------------------------------------------------------------- failures


def spoilt(value: float):
    def change(p: np.ndarray) -> np.ndarray:
        changed = p.copy()
        changed[2, 3, 1] = value
        return changed

    return change


@pytest.mark.parametrize(
    ("told", "says"),
    [
        (lambda t: points(t, spoilt(NAN)), "got 1 non-finite of 47|expected a finite prediction"),
        (lambda t: points(t, spoilt(INF)), "got 1 non-finite of 47|expected a finite prediction"),
        (lambda t: points(t, lambda p: p * NAN), "47 non-finite|expected a finite prediction"),
        (lambda t: points(t, lambda p: p[:-1]), r"expected point maps of the truth's sizes"),
        (lambda t: points(t, lambda p: p.swapaxes(0, 1)), r"got \[\(8, 6, 3\)\]"),
        (lambda t: points(target(depth(), depth())), r"got \[\(6, 8, 3\), \(6, 8, 3\)\]"),
        (lambda t: Prediction(), "expected a prediction with point maps, or depth with intrinsics"),
        (lambda t: Prediction(depth=t.depth_m), "point maps, or depth with intrinsics"),
        (
            lambda t: Prediction(depth=t.depth_m, intrinsics=(CAMERA,) * 2),
            "expected intrinsics for 1 depth maps, got 2",
        ),
        (
            lambda t: Prediction(depth=t.depth_m, intrinsics=(np.zeros((3, 3)),)),
            "expected positive focal lengths",
        ),
        (
            lambda t: Prediction(depth=(t.depth_m[0] * NAN,), intrinsics=(CAMERA,)),
            "non-finite|expected a finite prediction",
        ),
    ],
)
@pytest.mark.parametrize("alignment", ["none", "l1_scale", "anchored_scale_xyz_shift"])
def test_predictions_that_cannot_be_scored_fail(load_family, score, told, says, alignment) -> None:
    family = load_family("point_map", METRICS, {"alignment": alignment})
    true = target()
    with pytest.raises(ValueError, match=says):
        family.score(true, told(true), Ambiguity.METRIC)
    assert score(family, true, told(true)).status == "failed"


@pytest.mark.parametrize("alignment", ["l1_scale", "least_squares_scale"])
@pytest.mark.parametrize("change", [lambda p: 0 * p, lambda p: -p])
def test_a_scale_that_is_none_fails_its_protocol_alone(load_family, alignment, change) -> None:
    family = load_family("point_map", METRICS, {}, {"alignment": alignment})
    true = target()
    found = family.score(true, points(true, change), Ambiguity.METRIC)
    assert {name.partition("@")[2] for name in found.values} == {"metric"}
    assert "expected a best scale above 0" in found.details["undefined"]


@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_one_point_everywhere_is_scored_and_is_bad(load_family, alignment) -> None:
    family = load_family("point_map", METRICS, {"alignment": alignment})
    true = target()
    told = points(true, lambda p: np.tile([0.1, 0.2, 2.0], (6, 8, 1)))
    for name, value in family.score(true, told, Ambiguity.METRIC).values.items():
        assert np.isfinite(value)
        best = {spec.name: spec.best for spec in family.specs}[name]
        assert abs(value - best) > 0.05, name


@pytest.mark.parametrize(
    "true",
    [
        Target(),
        Target(depth_m=(depth(),)),
        Target(intrinsics=(CAMERA,)),
        target(depth() * np.float32(NAN)),
    ],
)
def test_a_sample_without_truth_is_unscored(load_family, score, true) -> None:
    family = load_family("point_map", METRICS, {"alignment": "l1_scale"})
    with pytest.raises(NoTruthError):
        family.weights(true)
    assert score(family, true, points(target())).status == "unscored"


@pytest.mark.parametrize("alignment", ALIGNMENTS)
@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_fewer_points_than_a_fit_has_freedom_are_no_truth(
    load_family, score, alignment, count
) -> None:
    """One point fits any truth by a shift, and would make any prediction perfect."""
    few = np.full((6, 8), NAN, np.float32)
    few.flat[:count] = [1.0, 3.0, 2.0][:count]
    family = load_family("point_map", METRICS, {"alignment": alignment})
    line = score(family, target(few), points(target(few), lambda p: p[::-1, ::-1]))
    least = 1 if alignment == "none" else 3 if alignment.endswith("shift") else 2
    assert (line.status == "unscored") == (count < least)
    if line.status == "scored":
        assert line.values[next(n for n in line.values if "abs_rel" in n)] > 0.01


def test_the_truth_is_whole_where_there_is_none(load_family) -> None:
    family = load_family("point_map", METRICS)
    perfect = family.truth(target())
    assert np.isfinite(perfect.point_maps[0]).all()
    assert perfect.point_maps[0].dtype == np.float32
    assert (perfect.ambiguity, perfect.depth[0][0, 0]) == (Ambiguity.METRIC, 1.0)
