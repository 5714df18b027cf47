"""Words and geometry of made-up models: what each metric makes of each kind of tie."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from g2vlm_bench.aggregate import aggregate
from g2vlm_bench.errors import BenchError
from g2vlm_bench.sample import Ambiguity, ObjectTruth, Prediction, Target

METRICS = [
    "agreement",
    "agreement_if_independent",
    "says_what_it_sees",
    "words_accuracy",
    "geometry_accuracy",
    "wrong_alike",
]
SIDE = 12
UP = np.array([0.0, -1.0, 0.0])
K = np.array([[10.0, 0, 6], [0, 10, 6], [0, 0, 1]])
Y, X = np.mgrid[:SIDE, :SIDE] + 0.5
RAYS = np.stack([(X - 6) / 10, (Y - 6) / 10, np.ones_like(X)], axis=-1)
LEFT, RIGHT = np.zeros((2, SIDE, SIDE), bool)
LEFT[4:8, 1:5] = True
RIGHT[4:8, 7:11] = True


def target(depth_left: float, depth_right: float, relation: str = "nearer") -> Target:
    """Two squares side by side before a wall."""
    depth = np.full((SIDE, SIDE), 9.0, np.float32)
    depth[LEFT], depth[RIGHT] = depth_left, depth_right
    away = depth_left * float(np.median(np.linalg.norm(RAYS[LEFT], axis=-1)))
    answer = {"nearer": "yes" if depth_left < depth_right else "no", "range": away}[relation]
    names = [("red box", LEFT), ("blue box", RIGHT)][: 1 if relation == "range" else 2]
    return Target(
        depth_m=(depth,),
        intrinsics=(K,),
        answer=answer,
        answer_type="yes_no" if relation == "nearer" else "number",
        unit="m" if relation == "range" else "",
        objects=tuple(ObjectTruth(name=n, masks=(m,), center=np.zeros(3)) for n, m in names),
        relation=relation,
        up=UP,
    )


@pytest.fixture
def consistency(load_family):
    return load_family("consistency", METRICS, {"questions": "order"}, {"questions": "metric"})


@pytest.fixture
def numbers(score):
    """Score all samples of a run in one pool, and reduce every metric."""

    def reduced(family, pairs, ambiguity=Ambiguity.METRIC):
        pool = family.pool(iter([(t, None if isinstance(p, Exception) else p) for t, p in pairs]))
        lines = [
            score(family, t, p, ambiguity, id=f"s{i}", pool=pool) for i, (t, p) in enumerate(pairs)
        ]
        columns = aggregate(family.servable(ambiguity), lines).columns
        results = {name: column.result(seed=0) for name, column in columns.items()}
        return {name: r.value for name, r in results.items()}, lines

    return reduced


def swapped(depth: np.ndarray) -> np.ndarray:
    """The squares' depths exchanged: geometry that is wrong about their order."""
    other = depth.copy()
    other[LEFT], other[RIGHT] = depth[RIGHT][0], depth[LEFT][0]
    return other


def run(words_right: list[bool], geometry_right: list[bool]) -> list[tuple[Target, Prediction]]:
    """Yes/no questions of which words and geometry answer the given ones rightly."""
    pairs = []
    for number, (words, geometry) in enumerate(zip(words_right, geometry_right, strict=True)):
        truth = target(2.0, 3.0) if number % 2 else target(3.0, 2.0)
        said = truth.answer if words else {"yes": "no", "no": "yes"}[truth.answer]
        depth = truth.depth_m[0] if geometry else swapped(truth.depth_m[0])
        pairs.append((truth, Prediction(answer=said, depth=(7 * depth,))))
    return pairs


def test_four_models_of_which_accuracy_tells_two_apart_and_the_coefficient_all(
    consistency, numbers
) -> None:
    rng = np.random.default_rng(0)
    n = 400
    geometry = (rng.random(n) < 0.75).tolist()
    others = (rng.random(n) < 0.75).tolist()
    found = {
        "follows": numbers(consistency, run(geometry, geometry))[0],
        "apart": numbers(consistency, run(others, geometry))[0],
        "knows": numbers(consistency, run([True] * n, geometry))[0],
        "contrary": numbers(consistency, run([not g for g in geometry], geometry))[0],
    }
    assert found["follows"]["words_accuracy@order"] == pytest.approx(0.75, abs=0.05)
    assert found["apart"]["words_accuracy@order"] == pytest.approx(0.75, abs=0.05)
    tied = {name: values["says_what_it_sees@order"] for name, values in found.items()}
    assert tied["follows"] == pytest.approx(1.0)
    assert tied["apart"] == pytest.approx(0.0, abs=0.12)
    assert tied["knows"] == pytest.approx(0.0, abs=1e-9)
    assert tied["contrary"] < -0.4
    assert found["follows"]["wrong_alike@order"] == 1.0
    assert found["knows"]["wrong_alike@order"] == pytest.approx(0.0)
    # p = q = 3/4: independent channels agree on 9/16 + 1/16 of the questions.
    assert found["follows"]["agreement_if_independent@order"] == pytest.approx(0.625, abs=0.06)


def test_depth_up_to_scale_is_no_lengths(consistency, numbers) -> None:
    truth = target(2.0, 3.0)
    values, _ = numbers(
        consistency, [(truth, Prediction(answer="yes", depth=truth.depth_m))], Ambiguity.SCALE
    )
    assert set(values) == {f"{metric}@order" for metric in METRICS}
    assert values["agreement@order"] == 1.0


def test_lengths_that_follow_the_geometry(consistency, numbers) -> None:
    rng = np.random.default_rng(1)
    pairs = {"follows": [], "apart": []}
    for scale, other in np.exp(0.3 * rng.standard_normal((300, 2))):
        truth = target(2.0, 3.0, "range")
        depth = (truth.depth_m[0] * np.float32(scale),)
        pairs["follows"].append(
            (truth, Prediction(answer=f"{truth.answer * scale} m", depth=depth))
        )
        pairs["apart"].append((truth, Prediction(answer=f"{truth.answer * other} m", depth=depth)))
    found = {name: numbers(consistency, each)[0] for name, each in pairs.items()}
    assert found["follows"]["says_what_it_sees@metric"] == pytest.approx(1.0, abs=1e-3)
    assert found["apart"]["says_what_it_sees@metric"] == pytest.approx(0.0, abs=0.2)
    assert found["follows"]["agreement@metric"] == pytest.approx(1.0, abs=1e-3)
    independent = found["follows"]["agreement_if_independent@metric"]
    assert found["apart"]["agreement@metric"] == pytest.approx(independent, abs=0.04)
    # Both channels of both models err alike much.
    accuracies = [
        found[name][f"{channel}_accuracy@metric"]
        for name in found
        for channel in ("words", "geometry")
    ]
    assert np.ptp(accuracies) < 0.03
    assert "wrong_alike@metric" not in found["follows"]


def test_silence_and_holes_are_disagreement(consistency, numbers) -> None:
    truth = target(2.0, 3.0)
    hole = truth.depth_m[0].copy()
    hole[LEFT] = np.nan
    values, lines = numbers(
        consistency,
        [
            (truth, Prediction(answer="It depends.", depth=truth.depth_m)),
            (truth, Prediction(answer="yes", depth=(hole,))),
            (truth, Prediction(answer="yes", depth=truth.depth_m)),
            (truth, RuntimeError("out of memory")),
        ],
    )
    assert [line.status for line in lines] == ["scored", "scored", "scored", "failed"]
    assert lines[0].details["parse_status"] == "unparsed"
    assert values["agreement@order"] == pytest.approx(1 / 4)
    # Of the three that were answered 1 - (2/3) / E; p = q = 2/3, so E = 4/9: -1/2; then one at -1.
    assert values["says_what_it_sees@order"] == pytest.approx((3 * -0.5 - 1) / 4)


def test_a_length_that_is_not_said_is_a_failure(consistency, numbers) -> None:
    truth = target(2.0, 3.0, "range")
    answers = ["far", "-2 m", "0 m", f"{truth.answer} m"]
    pairs = [(truth, Prediction(answer=a, depth=truth.depth_m)) for a in answers]
    values, lines = numbers(consistency, pairs)
    assert [line.status for line in lines] == ["failed"] * 3 + ["scored"]
    assert values["agreement@metric"] == pytest.approx(0.25, abs=1e-6)
    assert values["says_what_it_sees@metric"] == pytest.approx((3 * -1 + 1) / 4)


def test_point_maps_serve_too(consistency, numbers) -> None:
    truth = target(2.0, 3.0)
    points = (RAYS * truth.depth_m[0][..., None]).astype(np.float32)
    values, _ = numbers(consistency, [(truth, Prediction(answer="yes", point_maps=(points,)))])
    assert values["geometry_accuracy@order"] == 1.0


def test_truth_that_its_own_depth_does_not_bear_out_is_none(consistency, numbers) -> None:
    truth = dataclasses.replace(target(2.0, 3.0), answer="no")
    _, (line,) = numbers(consistency, [(truth, Prediction(answer="no", depth=truth.depth_m))])
    assert line.status == "unscored"
    assert "true depth says True, the stated answer is 'no'" in line.error.message


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"depth": (np.ones((3, 3), np.float32),)}, r"of the truth's size \(12, 12\)"),
        ({}, "predicted depth or point maps"),
    ],
)
def test_a_prediction_that_does_not_fit_fails(consistency, numbers, given, says) -> None:
    _, (line,) = numbers(consistency, [(target(2.0, 3.0), Prediction(answer="yes", **given))])
    assert line.status == "failed"
    assert says.replace("\\", "") in line.error.message


def test_an_unknown_kind_of_question_is_refused(load_family) -> None:
    with pytest.raises(BenchError, match="questions"):
        load_family("consistency", ["agreement"], {"questions": "colour"})
