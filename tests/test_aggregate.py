"""From sample lines to numbers: failures at their worst, counts, weights, tags, bounds."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from g2vlm_bench.aggregate import Column, aggregate
from g2vlm_bench.metric import MetricSpec
from g2vlm_bench.store import Failure, SampleLine

SHARE = MetricSpec(name="share@a", unit="1", higher_is_better=True, best=1.0, worst=0.0)
ERROR = MetricSpec(name="error@a", unit="m", higher_is_better=False, best=0.0, worst=None)
MERIT = MetricSpec(name="merit@a", unit="1", higher_is_better=True, best=9.0, worst=None)
WEIGHED = MetricSpec(
    name="weighed@a", unit="1", higher_is_better=True, best=1.0, worst=-1.0, weight="pixels"
)


def line(id: str, value: float | None = None, status: str = "scored", **more: Any) -> SampleLine:
    values = {spec.name: value for spec in (SHARE, ERROR, MERIT, WEIGHED)}
    return SampleLine(
        id=id,
        cluster=more.pop("cluster", id),
        status=status,
        values=values if status == "scored" else {},
        weights=more.pop("weights", {"pixels": 1.0}),
        **more,
    )


def reduced(spec: MetricSpec, *lines: SampleLine):
    return aggregate([spec], lines).columns[spec.name].result(seed=0)


def test_a_failure_counts_as_the_worst_value_and_every_number_has_its_counts() -> None:
    lines = [
        line("a", 1.0),
        line("b", 0.4),
        line("c", status="failed"),
        line("d", status="unscored"),
    ]
    share = reduced(SHARE, *lines)
    assert share.value == pytest.approx(1.4 / 3)
    assert share.value_scored == pytest.approx(0.7)
    assert (share.n_scored, share.n_failed, share.n_unscored, share.n_clusters) == (2, 1, 1, 3)
    assert (share.metric, share.unit, share.higher_is_better) == ("share@a", "1", True)


@pytest.mark.parametrize("spec", [ERROR, MERIT])
def test_a_failure_of_a_metric_without_bound_leaves_no_mean(spec) -> None:
    found = reduced(spec, line("a", 1.0), line("b", 2.0), line("c", status="failed"))
    assert (found.value, found.low, found.high) == (None, None, None)
    assert found.value_scored == 1.5
    boot = aggregate([spec], [line("a", 1.0), line("b", status="failed")]).columns[spec.name]
    assert boot.bootstrap(0).value == (-math.inf if spec.higher_is_better else math.inf)


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_a_value_that_is_no_number_is_a_failure_of_that_metric(value) -> None:
    found = reduced(SHARE, line("a", 1.0), line("b", value))
    assert (found.value, found.n_scored, found.n_failed) == (0.5, 1, 1)


def test_a_metric_that_a_scored_sample_lacks_failed() -> None:
    lacking = SampleLine(id="b", cluster="b", status="scored", values={"other@a": 1.0})
    found = reduced(SHARE, line("a", 1.0), lacking)
    assert (found.value, found.n_failed) == (0.5, 1)


def test_weights_are_kept_by_failures_and_0_leaves_a_sample_out() -> None:
    lines = [
        line("a", 0.5, weights={"pixels": 1.0}),
        line("b", status="failed", weights={"pixels": 3.0}),
        line("c", 1.0, weights={"pixels": 0.0}),
        line("d", status="failed", weights={"pixels": 0.0}),
    ]
    found = reduced(WEIGHED, *lines)
    assert found.value == pytest.approx((0.5 * 1 - 1 * 3) / 4)
    assert (found.n_scored, found.n_failed, found.n_clusters) == (1, 1, 2)
    # Another metric does not ask for the weight.
    assert reduced(SHARE, *lines).n_scored == 2


def test_a_sample_whose_truth_leaves_a_metric_undefined_is_unscored_with_its_reason() -> None:
    nothing = {"weights": {"pixels": 0.0}, "undefined": {"pixels": "there is no edge"}}
    lines = [
        line("a", 0.5),
        line("b", 1.0, **nothing),
        line("c", status="failed", **nothing),
        line("d", status="unscored", **nothing),
        line("e", status="unscored"),
        line("f", 1.0, weights={"pixels": 0.0}),
    ]
    found = reduced(WEIGHED, *lines)
    assert (found.value, found.n_scored, found.n_failed, found.n_unscored) == (0.5, 1, 0, 4)
    assert found.undefined == {"there is no edge": 3}
    assert found.unscored == "4 unscored (3 where there is no edge)"
    # Under a metric with another weight, or none, the same samples count.
    assert reduced(SHARE, *lines).undefined == {}
    assert reduced(SHARE, *lines).n_scored == 3


def test_a_sample_may_have_a_worst_value_of_its_own() -> None:
    found = reduced(
        WEIGHED,
        line("a", 1.0),
        line("b", status="failed", worst={WEIGHED.name: -0.25}),
        line("c", None, worst={WEIGHED.name: -0.5}),
    )
    assert found.value == pytest.approx((1 - 0.25 - 0.5) / 3)


def test_without_truth_there_is_no_number() -> None:
    for lines in ([], [line("a", status="unscored")], [line("a", 1.0, weights={"pixels": 0.0})]):
        found = reduced(WEIGHED, *lines)
        assert (found.value, found.low, found.value_scored) == (None, None, None)
        assert (found.n_scored, found.n_failed, found.n_clusters) == (0, 0, 0)


def test_all_failed_is_the_worst_value_and_not_nothing() -> None:
    found = reduced(SHARE, line("a", status="failed"), line("b", status="failed"))
    assert (found.value, found.value_scored, found.n_scored, found.n_failed) == (0, None, 0, 2)
    # Two scenes alike: a share q of others stays unseen with (1 - q)^2 = 0.025, q = 0.8419.
    assert (found.low, found.high) == pytest.approx((0, 1 - 0.025**0.5))


@pytest.mark.parametrize(("value", "n"), [(1.0, 5), (0.0, 48), (0.25, 8)])
def test_scenes_that_agree_do_not_give_an_interval_without_width(value, n) -> None:
    found = reduced(SHARE, *(line(str(i), value) for i in range(n)))
    unseen = 1 - 0.025 ** (1 / n)
    expected = (value - unseen * value, value + unseen * (1 - value))
    assert (found.low, found.high) == pytest.approx(expected)


def test_a_metric_without_bounds_has_no_bound_to_lean_on() -> None:
    found = reduced(ERROR, *(line(str(i), 0.5) for i in range(5)))
    assert (found.low, found.high) == pytest.approx((0.5, 0.5))


def test_samples_of_one_scene_are_one_cluster() -> None:
    lines = [line(str(i), i % 2, cluster=f"room{i // 4}") for i in range(8)]
    found = reduced(SHARE, *lines)
    assert found.n_clusters == 2
    # Every room has the same mean: two rooms that agree, not eight samples.
    assert found.high == pytest.approx(0.5 + (1 - 0.025**0.5) * 0.5)


def test_an_interval_stays_where_values_can_be() -> None:
    # Student's t of two scenes, 12.7 times the standard error, would leave 0 ... 1.
    found = reduced(SHARE, line("a", 0.2), line("b", 0.9))
    assert (found.low, found.high) == (0, 1)
    found = reduced(ERROR, line("a", 0.2), line("b", 0.9))
    assert found.low == 0
    assert found.high > 2
    found = reduced(MERIT, line("a", 1.0), line("b", 8.0))
    assert found.low < 0
    assert found.high == 9


def test_tags_parse_statuses_and_statuses() -> None:
    lines = [
        line("a", 1.0, tags={"kind": "side", "room": "x"}, details={"parse_status": "parsed"}),
        line("b", 0.0, tags={"kind": "side"}, details={"parse_status": "empty"}),
        line("c", status="failed", tags={"kind": "size"}),
        line("d", status="unscored", tags={"kind": "size"}),
    ]
    gathered = aggregate([SHARE], lines)
    tables = gathered.categories(seed=0)
    counts = {
        tag: {
            value: (r.value, r.n_scored, r.n_failed, r.n_unscored) for value, (r,) in found.items()
        }
        for tag, found in tables.items()
    }
    assert counts == {
        "kind": {"side": (0.5, 2, 0, 0), "size": (0.0, 0, 1, 1)},
        "room": {"x": (1.0, 1, 0, 0)},
    }
    assert list(tables) == sorted(tables)
    assert gathered.parse_statuses == {"parsed": 1, "empty": 1}
    assert gathered.statuses == {"scored": 2, "failed": 1, "unscored": 1}


def test_lines_are_read_once_so_that_a_run_of_any_length_fits() -> None:
    lines = (line(str(i), 1.0) for i in range(5))
    assert aggregate([SHARE, ERROR], lines).columns["error@a"].result(0).n_scored == 5


def test_two_columns_are_paired_where_they_count_the_same_samples() -> None:
    def column(*lines: SampleLine) -> Column:
        return aggregate([WEIGHED], lines).columns[WEIGHED.name]

    base = column(line("a", 1.0), line("b", 0.5))
    assert base.counts_as(column(line("a", 0.0), line("b", status="failed")))
    assert not base.counts_as(column(line("a", 1.0), line("b", status="unscored")))
    assert not base.counts_as(column(line("a", 1.0), line("b", 0.5, weights={"pixels": 2.0})))
    # Another sample of the same scene is another sample.
    other = msgspec.structs.replace(line("b", 0.5), id="another")
    assert not base.counts_as(column(line("a", 1.0), other))
    assert base.without([True, False]).ids == [line("b", 0.5).id]


def test_truth_that_cannot_be_read_is_told_from_truth_that_is_not_there() -> None:
    unscored = [
        msgspec.structs.replace(
            line(kind, status="unscored"), error=Failure(stage="target", kind=kind, message="m")
        )
        for kind in ("NoTruthError", "BenchError", "OSError")
    ]
    gathered = aggregate([SHARE], [*unscored, line("a", 1.0)])
    assert gathered.statuses == {"unscored": 3, "scored": 1}
    assert gathered.unreadable_truths == 2


def test_a_mean_of_means_counts_each_category_alike_or_by_its_share() -> None:
    lines = [
        line("a", 1.0, tags={"kind": "x"}),
        line("b", 0.0, tags={"kind": "x"}),
        line("c", 1.0, tags={"kind": "y"}),
        line("d", status="failed", tags={"kind": "z"}),
    ]
    alike = msgspec.structs.replace(SHARE, by="kind")
    # (1/2 + 1 + 0) / 3, and of what was scored (1/2 + 1) / 2.
    found = reduced(alike, *lines)
    assert found.value == pytest.approx(0.5)
    assert found.value_scored == pytest.approx(0.75)
    by_share = msgspec.structs.replace(alike, shares=(("x", 0.75), ("y", 0.25)))
    found = reduced(by_share, *lines)
    assert found.value == pytest.approx(0.75 * 0.5 + 0.25)
    assert (found.n_scored, found.n_failed) == (3, 0)
    # What a run lacks leaves its share to the others.
    assert reduced(by_share, *lines[:2]).value == pytest.approx(0.5)


def test_a_pooled_mean_counts_the_questions_of_some_categories_alike() -> None:
    lines = [
        line(str(i), score, tags={"kind": kind})
        for i, (kind, score) in enumerate(zip("xxxyz", [1.0, 1.0, 0.0, 0.0, 1.0], strict=True))
    ]
    pooled = msgspec.structs.replace(SHARE, by="kind", shares=(("x", 0.5), ("y", 0.5)), pooled=True)
    found = reduced(pooled, *lines)
    assert (found.value, found.value_scored, found.n_scored) == (0.5, 0.5, 4)


def test_samples_of_a_group_count_as_one_that_is_right_when_all_are() -> None:
    together = msgspec.structs.replace(SHARE, together="circular")
    lines = [
        line("a-0", 1.0, groups={"circular": "a"}),
        line("b-0", 1.0, groups={"circular": "b"}),
        line("a-1", 1.0, groups={"circular": "a"}),
        line("b-1", 0.0, groups={"circular": "b"}),
        line("c", 1.0),
        line("d-0", 1.0, groups={"circular": "d"}),
        line("d-1", status="failed", groups={"circular": "d"}),
    ]
    found = reduced(together, *lines)
    assert found.value == pytest.approx(2 / 4)  # a and c
    assert (found.n_scored, found.n_failed) == (3, 1)
    error = msgspec.structs.replace(ERROR, together="circular")
    assert reduced(error, *lines[:4]).value == pytest.approx((1 + 1) / 2)
