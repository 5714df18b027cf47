"""The scrambled oracle must miss the best value of every metric, however it is aligned."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from g2vlm_bench.geometry import alignment as align
from g2vlm_bench.geometry import depth_alignment, point_alignment
from g2vlm_bench.geometry.cameras import unproject
from g2vlm_bench.geometry.clouds import icp_point_to_point
from g2vlm_bench.metrics import depth as depth_metrics
from g2vlm_bench.metrics import points as point_metrics
from g2vlm_bench.metrics.point_maps import POINT_METRICS, compare
from g2vlm_bench.sample import Ambiguity, Inputs, Prediction

SEEDS = range(3)
NOTHING = Inputs(id="a")


@pytest.fixture
def scramble(make) -> Callable[..., Prediction]:
    def scrambled(perfect: Prediction, inputs: Inputs = NOTHING, seed: int = 0) -> Prediction:
        return make("scrambled").distort(perfect, inputs, np.random.default_rng(seed))

    return scrambled


# ------------------------------------------------------------------------------------- depth


@cache
def scenes() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    rows, columns = np.mgrid[:48, :64]
    room = np.minimum(1.5 * 50 / np.maximum(rows - 20.0, 1), 4.0) + 0.01 * columns
    sparse = np.where(rng.random((120, 400)) < 0.05, rng.uniform(4, 80, (120, 400)), np.nan)
    return {
        "room": room,
        # 3 to 4.2 m, within 25 % of their mean: a constant would have the best delta there.
        "shallow": 3.0 + 0.016 * columns + 0.004 * rows,
        "outdoors": np.exp(rng.uniform(0, 4.4, (48, 64))),
        "two planes": np.where(columns < 30, 1.0, 2.5),
        "sparse": sparse,
        "large": 2 + np.sin(np.mgrid[:150, :200][1] / 25.0),
        "tiny": np.exp(rng.uniform(0, 3, (6, 8))),
    }


DEPTH_ALIGNMENTS = {
    "none": lambda p, t: depth_alignment.identity(),
    "median": depth_alignment.median_scale,
    "ls scale": depth_alignment.least_squares_scale,
    "ls scale and shift": depth_alignment.least_squares_scale_shift,
    "ls disparity": lambda p, t: depth_alignment.least_squares_scale_shift_disparity(
        p, t, prediction_is="depth"
    ),
}
BEST = {
    name: 1.0 if name[:5] in ("delta", "inlie") else 0.0 for name in depth_metrics.DEPTH_METRICS
} | {"delta_auc": depth_metrics.DELTA_AUC_BEST}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("aligned", DEPTH_ALIGNMENTS)
@pytest.mark.parametrize("scene", scenes())
def test_no_alignment_makes_its_depth_best_in_any_metric(scramble, scene, aligned, seed) -> None:
    truth = scenes()[scene].astype(np.float32)
    (wrong,) = scramble(Prediction(depth=(truth,)), seed=seed).depth
    valid = np.isfinite(truth)
    predicted, target = wrong[valid].astype(float), truth[valid].astype(float)
    fitted = DEPTH_ALIGNMENTS[aligned](predicted, target).apply(predicted)
    values = depth_metrics.depth_metrics(np.clip(fitted, 1e-3, 100.0), target)
    for name, best in BEST.items():
        assert abs(values[name] - best) > 1e-4, name
    # The same check lets the truth pass: it can tell.
    perfect = depth_metrics.depth_metrics(target, target)
    assert all(abs(perfect[name] - best) < 1e-12 for name, best in BEST.items())


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("aligned", DEPTH_ALIGNMENTS)
def test_nor_within_a_crop_and_a_cap(scramble, aligned, seed) -> None:
    truth = scenes()["large"].astype(np.float32)
    (wrong,) = scramble(Prediction(depth=(truth,)), seed=seed).depth
    inside = np.zeros(truth.shape, bool)
    inside[40:140, 20:180] = True
    inside &= truth < 2.8
    predicted, target = wrong[inside].astype(float), truth[inside].astype(float)
    fitted = DEPTH_ALIGNMENTS[aligned](predicted, target).apply(predicted)
    values = depth_metrics.depth_metrics(np.clip(fitted, 1e-3, 10.0), target)
    assert all(abs(values[name] - best) > 1e-4 for name, best in BEST.items())


@pytest.mark.parametrize("scene", scenes())
def test_it_looks_like_a_bad_model_not_like_a_good_one(scramble, scene) -> None:
    truth = scenes()[scene].astype(np.float32)
    (wrong,) = scramble(Prediction(depth=(truth,))).depth
    valid = np.isfinite(truth)
    spread = np.log(truth[valid]).std()
    fitted = depth_alignment.median_scale(wrong, truth, valid).apply(wrong)
    errors = depth_metrics.depth_metrics(fitted, truth, valid)
    assert errors["rmse_log"] > 0.75 * spread  # the spread is the error of a constant
    assert depth_metrics.depth_metrics(wrong, truth, valid)["delta1"] < 0.4


@pytest.mark.parametrize(
    "depth",
    [
        np.full((5, 7), np.nan),
        np.full((5, 7), 2.0),
        np.array([[1.0]]),
        np.array([[1.0, np.nan]]),
        np.array([[1.0, 0.0, -2.0, np.inf, 3.0, 2.0, 1.0, 5.0, 4.0]]),
        *scenes().values(),
    ],
)
def test_depth_keeps_its_shape_and_is_positive_and_finite(scramble, depth) -> None:
    truth = depth.astype(np.float32)
    before = truth.copy()
    (wrong,) = scramble(Prediction(depth=(truth,))).depth
    assert wrong.shape == truth.shape
    assert wrong.dtype == np.float32
    assert np.isfinite(wrong).all()
    assert (wrong > 0).all()
    np.testing.assert_array_equal(truth, before)


# -------------------------------------------------------------------------------------- clouds


@cache
def clouds() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(2)
    sphere = rng.standard_normal((3000, 3))
    sphere /= np.linalg.norm(sphere, axis=1, keepdims=True)
    ground = np.c_[rng.uniform(-20, 20, (3000, 2)), 0.2 * rng.standard_normal(3000)]
    box = rng.uniform(-1, 1, (3000, 3)) * [2, 1.5, 1.2]
    face = rng.integers(3, size=3000)
    box[np.arange(3000), face] = np.sign(box[np.arange(3000), face]) * np.array([2, 1.5, 1.2])[face]
    return {
        "sphere": sphere + np.array([0, 0, 4]),
        "room": box + np.array([0, 0, 3]),
        "plane": np.c_[rng.uniform(-1, 1, (3000, 2)), np.full(3000, 2.0)],
        "survey": ground + np.array([5e5, 5e6, 100.0]),
    }


CLOUD_ALIGNMENTS = {
    "none": lambda p, t: p,
    "scale": lambda p, t: align.scale_only(p, t).apply(p),
    "median norm": lambda p, t: align.median_norm_scale(p, t).apply(p),
    "sim3": lambda p, t: align.umeyama(p, t).apply(p),
    "se3": lambda p, t: align.umeyama(p, t, with_scale=False).apply(p),
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("aligned", CLOUD_ALIGNMENTS)
@pytest.mark.parametrize("cloud", clouds())
def test_no_alignment_makes_its_cloud_best_in_any_metric(scramble, cloud, aligned, seed) -> None:
    truth = clouds()[cloud]
    wrong = CLOUD_ALIGNMENTS[aligned](scramble(Prediction(points=truth), seed=seed).points, truth)
    assert_not_best(wrong, truth)


@pytest.mark.parametrize("cloud", ["sphere", "room", "plane"])
def test_nor_does_icp_behind_a_similarity(scramble, cloud) -> None:
    pytest.importorskip("open3d")
    truth = clouds()[cloud]
    start = CLOUD_ALIGNMENTS["sim3"](scramble(Prediction(points=truth)).points, truth)
    assert_not_best(icp_point_to_point(start, truth, 0.1).apply(start), truth)


def assert_not_best(wrong: np.ndarray, truth: np.ndarray) -> None:
    extent = float(np.linalg.norm(np.ptp(truth, axis=0)))
    distances = point_metrics.cloud_distances(wrong, truth)
    for statistic in ("mean", "median"):
        assert point_metrics.accuracy(distances, statistic) > 1e-3 * extent
        assert point_metrics.completeness(distances, statistic) > 1e-3 * extent
    # An independent nearest neighbour, and a threshold of 2 % of the diagonal.
    far, missing = cKDTree(truth).query(wrong)[0], cKDTree(wrong).query(truth)[0]
    assert np.mean(far < 0.02 * extent) < 0.9
    assert np.mean(missing < 0.02 * extent) < 0.99


def test_normals_are_unit_and_of_no_use(scramble) -> None:
    truth = clouds()["sphere"] - [0, 0, 4]
    wrong = scramble(Prediction(points=truth, normals=truth))
    np.testing.assert_allclose(np.linalg.norm(wrong.normals, axis=1), 1.0)
    # |cos| of two random directions has mean 1/2.
    assert abs((wrong.normals * truth).sum(axis=1)).mean() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_clouds_of_few_points_keep_their_shape(scramble, count) -> None:
    truth = np.arange(3.0 * count).reshape(count, 3)
    wrong = scramble(Prediction(points=truth)).points
    assert wrong.shape == truth.shape
    assert np.isfinite(wrong).all()
    if count:
        assert not np.isclose(wrong, truth).all(axis=1).any()


# ---------------------------------------------------------------------------------- point maps

POINT_ALIGNMENTS = [
    "least_squares_scale", "mean_norm_scale", "l1_scale", "l1_z_shift", "l1_xyz_shift",
    "l1_scale_z_shift", "l1_scale_xyz_shift", "anchored_scale_z_shift", "anchored_scale_xyz_shift",
]  # fmt: skip


@pytest.mark.parametrize("scene", ["room", "shallow", "two planes", "tiny"])
@pytest.mark.parametrize("seed", SEEDS)
def test_no_alignment_makes_its_point_map_best_in_any_metric(scramble, scene, seed) -> None:
    depth = scenes()[scene]
    camera = np.array([[50.0, 0, depth.shape[1] / 2], [0, 50, depth.shape[0] / 2], [0, 0, 1]])
    truth = unproject(depth, camera)
    wrong = scramble(Prediction(point_maps=(truth.astype(np.float32),)), seed=seed).point_maps[0]
    assert wrong.shape == truth.shape
    assert np.isfinite(wrong).all()
    points, target = wrong.reshape(-1, 3), truth.reshape(-1, 3)
    for name in ("identity", *POINT_ALIGNMENTS):
        try:
            fit = getattr(point_alignment, name)
            aligned = (fit() if name == "identity" else fit(points, target)).apply(points)
        except ValueError:
            continue  # no scale above 0: the sample fails
        pairs = compare(aligned, target)
        for metric, measure in POINT_METRICS.items():
            best = measure(compare(target, target))
            assert abs(measure(pairs) - best) > 1e-4, (name, metric)


def test_a_point_map_without_truth_stays_finite(scramble) -> None:
    maps = np.full((4, 5, 3), np.nan, np.float32), np.zeros((4, 5, 3), np.float32)
    for wrong in scramble(Prediction(point_maps=maps)).point_maps:
        assert np.isfinite(wrong).all()


# ------------------------------------------------------------------------------------- cameras


def trajectory(count: int) -> tuple[np.ndarray, ...]:
    poses = []
    for step in range(count):
        pose = np.eye(4)
        pose[:3, :3] = Rotation.from_euler("y", 3 * step, degrees=True).as_matrix()
        pose[:3, 3] = [0.1 * step, 0.02 * step**2, 0.5]
        poses.append(pose)
    return tuple(poses)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("count", [3, 4, 10])
def test_poses_are_rigid_and_wrong_under_every_similarity(scramble, count, seed) -> None:
    truth = trajectory(count)
    wrong = scramble(Prediction(world_from_camera=truth), seed=seed).world_from_camera
    assert len(wrong) == count
    for pose in wrong:
        np.testing.assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-12)
        assert np.linalg.det(pose[:3, :3]) == pytest.approx(1.0)
        np.testing.assert_array_equal(pose[3], [0, 0, 0, 1])
    for i in range(count - 1):
        true_turn = truth[i][:3, :3].T @ truth[i + 1][:3, :3]
        turn = wrong[i][:3, :3].T @ wrong[i + 1][:3, :3]
        error = np.degrees(Rotation.from_matrix(true_turn.T @ turn).magnitude())
        assert error > 30  # relative rotation, whatever the world frame
    centres = np.array([pose[:3, 3] for pose in truth])
    moved = np.array([pose[:3, 3] for pose in wrong])
    ate = np.linalg.norm(align.umeyama(moved, centres).apply(moved) - centres, axis=1).mean()
    assert ate > 0.01 * np.linalg.norm(np.ptp(centres, axis=0))


def test_one_or_a_resting_camera_moves(scramble) -> None:
    for truth in (trajectory(1), (np.eye(4),) * 3):
        wrong = scramble(Prediction(world_from_camera=truth)).world_from_camera
        assert all(
            np.linalg.norm(w[:3, 3] - t[:3, 3]) > 0.1 for w, t in zip(wrong, truth, strict=True)
        )


def test_the_camera_has_another_focal_length_and_centre(scramble) -> None:
    truth = np.array([[500.0, 0, 320], [0, 400, 240], [0, 0, 1]])
    (wrong,) = scramble(Prediction(intrinsics=(truth,))).intrinsics
    # 1.5 times the focal lengths, 1.2 times the principal point
    np.testing.assert_allclose(wrong, [[750, 0, 384], [0, 600, 288], [0, 0, 1]])


# ------------------------------------------------------------------------------------- answers

CHOICES = ("left", "right", "left", "behind")


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("said", "others"),
    [
        ("left", {"right", "behind"}),
        (" Left ", {"right", "behind"}),
        ("A", {"B", "D"}),
        ("(A)", {"(B)", "(D)"}),
        ("D", {"A", "B", "C"}),
    ],
)
def test_another_option_is_named_in_the_same_way(scramble, said, others, seed) -> None:
    inputs = Inputs(id="q", choices=CHOICES, answer_type="choice")
    assert scramble(Prediction(answer=said), inputs, seed).answer in others


@pytest.mark.parametrize("seed", SEEDS)
def test_letters_that_are_options_too(scramble, seed) -> None:
    inputs = Inputs(id="q", choices=("B", "A", "C"), answer_type="choice")
    perfect = Prediction(answer="A", choice_loglikelihoods=np.array([-0.1, -10, -10]))
    assert scramble(perfect, inputs, seed).answer in ("B", "C")  # the letters of "A" and "C"


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("right", range(4))
def test_another_option_is_likeliest(scramble, right, seed) -> None:
    likelihoods = np.full(4, -np.inf)
    likelihoods[right] = 0.0
    inputs = Inputs(id="q", choices=CHOICES, answer_type="choice")
    perfect = Prediction(answer="ABCD"[right], choice_loglikelihoods=likelihoods)
    wrong = scramble(perfect, inputs, seed)
    chosen = int(np.argmax(wrong.choice_loglikelihoods))
    assert CHOICES[chosen] != CHOICES[right]
    assert wrong.answer == "ABCD"[chosen]
    assert np.isfinite(wrong.choice_loglikelihoods).all()
    assert np.exp(wrong.choice_loglikelihoods).sum() == pytest.approx(1.0)


@pytest.mark.parametrize(("said", "flipped"), [("yes", "no"), ("No", "yes"), ("no.", "yes")])
def test_yes_and_no_change_places(scramble, said, flipped) -> None:
    inputs = Inputs(id="q", answer_type="yes_no")
    assert scramble(Prediction(answer=said), inputs).answer == flipped


def test_a_likelihood_of_yes_or_no_without_listed_options(scramble) -> None:
    perfect = Prediction(answer="yes", choice_loglikelihoods=np.array([-0.1, -10]))
    wrong = scramble(perfect, Inputs(id="q", answer_type="yes_no"))
    assert int(np.argmax(wrong.choice_loglikelihoods)) == 1


@pytest.mark.parametrize(
    ("said", "moved"),
    # 3 x + sign(x)
    [("4", "13"), ("2.5", "8.5"), ("0", "1"), ("-0.5", "-2.5"), ("1.2 m", "4.6 m"), ("1e2", "301")],
)
def test_numbers_move_by_more_than_twice_themselves(scramble, said, moved) -> None:
    answer = scramble(Prediction(answer=said), Inputs(id="q", answer_type="number")).answer
    assert answer.split()[1:] == moved.split()[1:]
    assert float(answer.split()[0]) == pytest.approx(float(moved.split()[0]))


@pytest.mark.parametrize("said", ["chair", "eve", "3 red chairs", "", "...", "椅子", "A man."])
def test_text_becomes_another(scramble, said) -> None:
    answer = scramble(Prediction(answer=said), Inputs(id="q", answer_type="text")).answer
    assert answer != said
    assert not set(answer.casefold().split()) & set(said.casefold().split())


# ------------------------------------------------------------------------------------ all of it


def everything() -> Prediction:
    return Prediction(
        depth=(scenes()["room"].astype(np.float32),) * 2,
        points=clouds()["room"],
        normals=clouds()["sphere"] - [0, 0, 4],
        intrinsics=(np.eye(3),) * 2,
        world_from_camera=trajectory(2),
        confidence=(np.ones((4, 4), np.float32),) * 2,
        ambiguity=Ambiguity.METRIC,
        answer="A",
        choice_loglikelihoods=np.array([0.0, -1, -2, -3]),
    )


def test_the_same_generator_gives_the_same_bytes(scramble) -> None:
    inputs = Inputs(id="q", choices=CHOICES, answer_type="choice")
    one, two = (scramble(everything(), inputs, 7) for _ in range(2))
    other = scramble(everything(), inputs, 8)
    for field in ("points", "normals", "choice_loglikelihoods"):
        np.testing.assert_array_equal(getattr(one, field), getattr(two, field))
    for field in ("depth", "confidence", "intrinsics", "world_from_camera"):
        for a, b in zip(getattr(one, field), getattr(two, field), strict=True):
            np.testing.assert_array_equal(a, b)
    assert one.answer == two.answer
    assert not np.array_equal(one.points, other.points)


def test_views_are_scrambled_one_by_one(scramble) -> None:
    first, second = scramble(everything()).depth
    assert not np.array_equal(first, second)


def test_what_is_absent_stays_absent(scramble) -> None:
    wrong = scramble(Prediction(answer="x"), Inputs(id="q", answer_type="text"))
    assert (wrong.depth, wrong.points, wrong.choice_loglikelihoods) == (None, None, None)


def test_masks_locations_and_embeddings_are_spoilt(make) -> None:
    rng = np.random.default_rng(0)
    mask = np.eye(3, dtype=bool)
    perfect = Prediction(masks=(mask,), location=np.array([0.0, 0.0, 2.0]), embedding=np.eye(4)[0])
    wrong = make("scrambled").distort(perfect, Inputs(id="a"), rng)
    assert not (wrong.masks[0] & mask).any()
    assert np.linalg.norm(wrong.location - perfect.location) > 2
    assert wrong.embedding.shape == (4,)
    assert not np.allclose(wrong.embedding, perfect.embedding)
