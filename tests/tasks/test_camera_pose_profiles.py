"""Pose profiles, as their files say them, against the numbers of the code they are named after.

The values are the peers' own, from the runs behind `scripts/conformance_pose.py`: 10 cameras of
seed 4, in float64.
"""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

from g2vlm_bench.plugins import Plugins
from g2vlm_bench.profile import load_profile
from g2vlm_bench.sample import Ambiguity, Prediction, Target
from g2vlm_bench.task import Family
from tests.tasks.published import published_labels

SCRIPTS = Path(__file__).parents[2] / "scripts"

# yyfz/Pi3@97ce97b relpose/metric.py, and rbler1234/G2VLM@ba4836a eval_code/recons/relpose/metric.py
PI3 = {"rta_3": 8 / 45, "rra_15": 0.4, "rta_15": 42 / 45, "auc_15": 0.10962962962962962,
       "auc_30": 22 / 45}  # fmt: skip
# facebookresearch/map-anything@f7ebafb mapanything/utils/metrics.py, and facebookresearch/vggt,
# branch evaluation@4b8be14, evaluation/test_co3d.py: W_i inv(W_j) there, inv(C_i) C_j here
MAPANYTHING = {"rta_3": 1 / 45, "rra_15": 0.4, "rta_15": 37 / 45, "auc_15": 5 / 45,
               "auc_30": 0.46444444444444444}  # fmt: skip
# ByteDance-Seed/Depth-Anything-3@2c21ea8 bench/utils.py
DA3 = {"auc_15": 0.029629629629629627, "auc_30": 0.26518518518518525}
# evo 1.36.5 main_ape.ape and main_rpe.rpe over one frame
RIGID = {"ate": 5.075666574169346, "rpe_translation": 6.673354650127253,
         "rpe_rotation": 15.297199619078073}  # fmt: skip
SIMILAR = {"ate": 0.12494031165870288, "rpe_translation": 0.4032122308113071,
           "rpe_rotation": 15.297199619078073}  # fmt: skip
PEERS: dict[str, dict[str, float]] = {
    "pi3.angular": PI3,
    "g2vlm": PI3,
    # evaluate_ate for the mean, with np.linalg.linalg restored
    "mapanything": MAPANYTHING | {"ate_mean": 4.865636955448556},
    "vggt": MAPANYTHING,
    # cameras_evaluation_c2w of Ropedia/SpatialBench@7f06a37 is MapAnything's formula, too.
    "spatialbench.world_from_camera": MAPANYTHING,
    "da3": DA3,
    # Its copy, once both are in their first cameras.
    "spatialbench.camera_from_world": DA3,
    # compute_trajectory_metrics
    "spatialbench.trajectory": {
        "ate": SIMILAR["ate"],
        "rpe_translation_mean": 0.3579092996368267,
        "rpe_rotation_mean": 14.64228454659792,
    },
    "evo.se3": RIGID,
    "evo.sim3": SIMILAR,
    "cut3r": SIMILAR,
    # eval_metrics of Junyi42/monst3r@574cc77 dust3r/utils/vo_eval.py
    "monst3r": SIMILAR,
    "pi3.distance": SIMILAR,
}
POOLS_PAIRS = {"pi3.angular", "g2vlm"}
# The same functions on several sequences, of a seed and a number of views each: G2VLM's
# eval_angle.py pools all pairs, VGGT's main those of a category.
POOLED = {
    ("pi3.angular", ((4, 10), (7, 6))): {"rra_15": 23 / 60, "rta_15": 0.85, "auc_30": 163 / 360},
    ("g2vlm", ((4, 10), (7, 6))): {"rra_15": 23 / 60, "rta_15": 0.85, "auc_30": 163 / 360},
    ("vggt", ((7, 10), (2, 10))): {"auc_15": 0.3148148148148148, "auc_30": 0.5651851851851852},
}


def noisy(seed: int, count: int = 10) -> tuple[Target, Prediction]:
    """The random cameras of the conformance script."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPTS)
        predicted, true = importlib.import_module("pose_peers.cases").noisy_cameras(seed, count)
    return Target(world_from_camera=tuple(true)), Prediction(world_from_camera=tuple(predicted))


@pytest.fixture(scope="module")
def cameras() -> tuple[Target, Prediction]:
    """What the peers were asked about."""
    return noisy(4)


def family_of(load_family, label: str, metrics: list[str]) -> Family:
    """A profile's protocol with any metric: the peers' functions take more thresholds than they
    report, and of these cameras few pairs are right within 5 degrees."""
    profile, _, name = label.partition(".")
    loaded = load_profile(Plugins().path("profile", profile))
    (fields,) = loaded.expand("camera_pose", name or None, "")
    fields.pop("metrics", None)
    return load_family("camera_pose", metrics, fields)


@pytest.mark.parametrize("label", PEERS)
def test_a_profile_gives_the_number_of_its_code(load_family, cameras, label) -> None:
    family = family_of(load_family, label, list(PEERS[label]))
    values = family.score(*cameras, Ambiguity.METRIC).values
    expected = {f"{metric}@{label}": value for metric, value in PEERS[label].items()}
    assert values == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("label", "sequences"), POOLED)
def test_sequences_give_the_number_of_the_code_together(
    load_family, score, result, label, sequences
) -> None:
    expected = POOLED[label, sequences]
    family = family_of(load_family, label, list(expected))
    lines = [score(family, *noisy(*one), id=str(one)) for one in sequences]
    found = {name: result(family, lines, f"{name}@{label}").value for name in expected}
    assert found == pytest.approx(expected, rel=1e-12)


def test_unaligned_evo_compares_positions_as_they_are(load_family, cameras) -> None:
    """Its definition; evo's own number without alignment was not taken down."""
    predicted, true = (np.array(one.world_from_camera)[:, :3, 3] for one in cameras[::-1])
    apart = predicted - true
    values = family_of(load_family, "evo.none", ["ate"]).score(*cameras, Ambiguity.METRIC).values
    assert values["ate@evo.none"] == pytest.approx(np.sqrt((apart**2).sum(axis=1).mean()))


@pytest.mark.parametrize("label", [name for name in PEERS if "auc_30" in PEERS[name]])
def test_sequences_are_pooled_as_the_code_does(load_family, cameras, score, result, label) -> None:
    """With a second sequence of 3 views, all right: 45 pairs of one and 3 of the other, or two."""
    family = family_of(load_family, label, ["auc_30"])
    true = Target(world_from_camera=cameras[0].world_from_camera[:3])
    right = Prediction(world_from_camera=true.world_from_camera)
    lines = [score(family, *cameras, id="a"), score(family, true, right, id="b")]
    value = PEERS[label]["auc_30"]
    expected = (45 * value + 3) / 48 if label in POOLS_PAIRS else (value + 1) / 2
    assert result(family, lines, f"auc_30@{label}").value == pytest.approx(expected, rel=1e-12)


def test_every_pose_profile_but_the_default_has_a_number() -> None:
    assert published_labels("camera_pose") == {*PEERS, "evo.none"}


# -------------------------------------------------------------------------- degenerate trajectories


@pytest.mark.parametrize(
    "label", ["cut3r", "monst3r", "spatialbench.trajectory", "pi3.distance", "evo.sim3"]
)
def test_what_peers_drop_or_call_perfect_fails_or_has_no_truth(
    load_family, cameras, score, result, label
) -> None:
    """A still camera fails as a prediction; as the truth it leaves angles of motions alone."""
    family = family_of(load_family, label, ["ate", "rpe_translation", "rpe_rotation"])
    moving = cameras[0]
    still = (np.eye(4),) * 10
    bad = score(family, moving, Prediction(world_from_camera=still))
    none = score(family, Target(world_from_camera=still), Prediction(world_from_camera=still))
    for metric, aligned in (("ate", 1), ("rpe_translation", 1), ("rpe_rotation", 0)):
        failed = result(family, [bad], f"{metric}@{label}")
        assert (failed.n_scored, failed.n_failed) == (1 - aligned, aligned)
        untold = result(family, [none], f"{metric}@{label}")
        assert (untold.n_scored, untold.n_failed) == (1 - aligned, 0)
