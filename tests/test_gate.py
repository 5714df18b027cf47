"""The gate: what it stops, what it lets pass, and what it refuses to judge."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import numpy as np
import pytest

from g2vlm_bench import cli
from g2vlm_bench.errors import BenchError, NotComparableError
from g2vlm_bench.gate import compare, write_junit
from g2vlm_bench.metric import MetricSpec
from g2vlm_bench.plugins import load_module
from g2vlm_bench.store import RunFolder

runs = load_module(Path(__file__).parent / "report" / "boards.py")
DELTA, RMSE = runs.DELTA, runs.RMSE
DEPTH, QA = "depth/rooms", "spatial_qa/rooms"
N = 24
SCENES = np.linspace(0.2, 0.8, N)
NOISE = np.random.default_rng(0).uniform(-0.02, 0.02, size=N)


@pytest.fixture
def make(tmp_path):
    """Write a run into `tmp_path/<side>`: `make("base", values, rmse=..., task=...)`."""

    def written(side: str, values: Any, rmse: Any = None, task: str = DEPTH, **more: Any) -> Path:
        specs = [DELTA] if rmse is None else [DELTA, RMSE]
        lines = []
        for i, value in enumerate(values):
            found = None if value is None else {DELTA.name: float(value)}
            if rmse is not None and found is not None:
                found[RMSE.name] = None if rmse[i] is None else float(rmse[i])
            lines.append(runs.line(i, found))
        runs.make_run(tmp_path / side, task, "model", specs, lines, **more)
        return tmp_path / side

    return written


def edited(folder: Path, **changes: Any) -> Path:
    (path,) = (p.parent for p in folder.glob("*/run.json"))
    record = RunFolder(path).read_record()
    for part, fields in changes.items():
        old = getattr(record, part)
        is_part = isinstance(old, msgspec.Struct)
        setattr(record, part, msgspec.structs.replace(old, **fields) if is_part else fields)
    RunFolder(path).write_record(record)
    return folder


# --------------------------------------------------------------------------------- judgement


@pytest.mark.parametrize(
    ("change", "regressed"), [(-0.02, True), (0.0, False), (0.02, False)], ids=str
)
def test_a_significant_worsening_is_a_regression(make, change, regressed) -> None:
    # Scenes differ by 0.6, so that only a paired comparison can see 0.02.
    result = compare(make("base", SCENES), make("new", SCENES + change + NOISE / 10))
    (difference,) = result.differences
    assert result.regressed == difference.regressed == regressed
    assert difference.worsening == pytest.approx(-change, abs=0.001)
    assert difference.low < difference.worsening < difference.high
    assert difference.high - difference.low < 0.002


def test_lower_is_better_where_the_metric_says_so(make) -> None:
    result = compare(
        make("base", SCENES, rmse=SCENES), make("new", SCENES, rmse=SCENES + 0.1 + NOISE)
    )
    delta, rmse = result.differences
    assert (delta.regressed, rmse.regressed) == (False, True)
    assert rmse.worsening == pytest.approx(0.1, abs=0.01)


def test_noise_is_no_regression_and_the_same_run_is_none(make) -> None:
    base = make("base", SCENES)
    assert not compare(base, make("new", SCENES + NOISE - NOISE.mean() - 1e-4)).regressed
    (same,) = compare(str(base), str(base)).differences
    assert (same.worsening, same.low, same.high, same.regressed) == (0, 0, 0, False)


def test_failures_are_a_regression_of_a_bounded_metric(make) -> None:
    failing = [None if i % 3 == 0 else v for i, v in enumerate(SCENES)]
    (difference,) = compare(make("base", SCENES), make("new", failing)).differences
    assert difference.regressed
    assert difference.new == pytest.approx(sum(v for v in failing if v) / N)


@pytest.mark.parametrize(
    ("old_failures", "new_failures", "regressed"),
    [(0, 1, True), (1, 0, False), (1, 1, False), (1, 2, True), (2, 1, False)],
)
def test_infinite_values_are_judged_by_their_failures(
    make, old_failures, new_failures, regressed
) -> None:
    def errors(failures: int) -> list[float | None]:
        return [None] * failures + [1.0] * (N - failures)

    base = make("base", SCENES, rmse=errors(old_failures))
    new = make("new", SCENES, rmse=errors(new_failures))
    difference = compare(base, new, {"rmse": 5.0}).differences[0]
    assert difference.regressed == regressed
    assert difference.failed == (old_failures, new_failures)
    assert difference.scored == (N - max(old_failures, new_failures), 1.0, 1.0)
    assert (difference.worsening, difference.low) == (0, 0)
    assert math.isinf(difference.base) == (old_failures > 0)
    assert f"({old_failures} -> {new_failures} failed), of " in difference.text()


@pytest.mark.parametrize("limits", [None, {"rmse": 0.01}])
def test_a_failure_does_not_open_the_gate_for_what_was_scored(make, limits) -> None:
    base = make("base", SCENES, rmse=[None, *[1.0] * (N - 1)])
    new = make("new", SCENES, rmse=[None, *(5.0 + NOISE[1:])])
    difference = compare(base, new, limits).differences[-1]
    assert difference.regressed
    assert difference.worsening == pytest.approx(4 + NOISE[1:].mean())
    assert difference.low == pytest.approx(4, abs=0.1)
    assert "WORSE" in difference.text()
    assert f"(1 -> 1 failed), of {N - 1} scored in both 1.0000 -> 4.9993" in difference.text()
    assert not compare(new, base, limits).regressed
    assert not compare(base, new, {"rmse": 5.0}).regressed


def test_where_no_sample_was_scored_in_both_nothing_is_judged(make) -> None:
    half = N // 2
    base = make("base", SCENES, rmse=[None] * half + [1.0] * half)
    new = make("new", SCENES, rmse=[1.0] * half + [None] * half)
    delta, rmse = compare(base, new).differences
    assert (delta.judged, rmse.judged, rmse.worsening) == (True, False, None)
    assert "no sample scored in both" in rmse.text()
    with pytest.raises(NotComparableError, match="a sample that both scored by rmse"):
        compare(base, new, {"rmse": 1.0, "delta1": 0.5})
    # Nor is it passed by another task, whose samples were scored in both.
    for side in ("base", "new"):
        make(side, SCENES, rmse=[1.0] * N, task=QA)
    with pytest.raises(NotComparableError, match="a sample that both scored by rmse"):
        compare(base, new, {"rmse": 1.0})


def test_a_median_that_bears_failures_under_some_draws_only_is_judged(tmp_path) -> None:
    rank = MetricSpec(
        name="median_rank", unit="1", higher_is_better=False, best=1.0, worst=None,
        statistic="median",
    )  # fmt: skip

    def made(side: str, ranks: list[float | None]) -> Path:
        lines = [runs.line(i, {rank.name: value}) for i, value in enumerate(ranks)]
        runs.make_run(tmp_path / side, QA, "model", [rank], lines)
        return tmp_path / side

    base = made("base", [1.0] * 48)
    failing = made("failing", [None] * 15 + [1.0] * 33)
    (difference,) = compare(base, failing).differences
    assert (difference.base, difference.new, difference.failed) == (1, 1, (0, 15))
    assert difference.regressed
    worse = made("worse", [None] * 15 + [50.0 + i for i in range(33)])
    (difference,) = compare(failing, worse).differences
    assert difference.regressed
    assert difference.worsening == pytest.approx(65)


def test_few_scenes_that_all_say_the_same_prove_nothing(make) -> None:
    base, new = make("base", [1.0] * 5), make("new", [0.0] * 5)
    with pytest.raises(NotComparableError, match="scenes enough for the interval"):
        compare(base, new)
    assert not compare(base, base).regressed
    assert compare(make("base6", [1.0] * 6), make("new6", [0.0] * 6)).regressed


def test_a_drop_of_exactly_what_is_allowed_passes_whatever_rounding_makes_of_it(make) -> None:
    base, new = make("base", [1.0] * 8 + [0.0] * 2), make("new", [1.0] * 7 + [0.0] * 3)
    assert 0.8 - 0.7 > 0.1
    assert not compare(base, new, {"delta1": 0.1}).regressed
    assert compare(base, new, {"delta1": 0.0999}).regressed


def test_a_metric_that_the_new_run_is_refused_is_worse(make) -> None:
    base, new = make("base", SCENES, rmse=SCENES), make("new", SCENES)
    delta, rmse = compare(base, new).differences
    assert (delta.regressed, rmse.regressed, rmse.new) == (False, True, None)
    assert "refused" in rmse.text()
    assert compare(base, new, {"rmse": 100}).regressed
    assert not compare(base, new, {"delta1": 0.1}).regressed
    # The other way round nothing is lost.
    assert not compare(new, base).regressed


@pytest.mark.parametrize("name", ["delta1@median_scale", "delta1"])
@pytest.mark.parametrize(("allowed", "regressed"), [(0.05, True), (0.15, False), (-0.2, True)])
def test_what_is_allowed_decides_in_place_of_significance(make, name, allowed, regressed) -> None:
    base = make("base", SCENES, rmse=SCENES)
    new = make("new", SCENES - 0.1, rmse=SCENES + 9)
    result = compare(base, new, {name: allowed})
    (difference,) = result.differences
    assert (difference.metric, difference.allowed) == (DELTA.name, allowed)
    assert result.regressed == regressed


def test_a_drop_within_what_is_allowed_passes_though_significant(make) -> None:
    result = compare(make("base", SCENES), make("new", SCENES - 0.1), {"delta1": 0.1 + 1e-9})
    assert result.differences[0].low > 0
    assert not result.regressed


def test_one_scene_alone_is_no_pass(make) -> None:
    base, new = make("base", [0.9]), make("new", [0.1])
    with pytest.raises(NotComparableError, match=r"scenes enough for the interval.*--max-drop"):
        compare(base, new)
    assert compare(base, new, {"delta1": 0.5}).regressed
    assert not compare(base, new, {"delta1": 0.9}).regressed


def test_what_was_not_judged_beside_what_was_is_not_called_ok(make, tmp_path) -> None:
    base, new = make("base", SCENES), make("new", SCENES)
    make("base", [0.9], task=QA)
    make("new", [0.1], task=QA)
    result = compare(base, new)
    assert [d.judged for d in result.differences] == [True, False]
    assert result.text().splitlines()[1].startswith(f"?     {QA}")
    assert "no interval: too few scenes" in result.text()
    write_junit(result, tmp_path / "out.xml")
    suite = ElementTree.parse(tmp_path / "out.xml").getroot()
    assert (suite.get("skipped"), len(list(suite.iter("skipped")))) == ("1", 1)


def test_three_scenes_that_all_drop_a_little_differently_prove_nothing(make) -> None:
    assert not compare(make("base", [0.9] * 3), make("new", [0.89, 0.7, 0.85])).regressed


def test_every_task_of_the_base_is_judged(make) -> None:
    base = make("base", SCENES)
    make("base", SCENES, task=QA)
    new = make("new", SCENES)
    make("new", SCENES - 0.1, task=QA)
    make("new", SCENES, task="depth/more")
    result = compare(base, new)
    assert [(d.task, d.regressed) for d in result.differences] == [(DEPTH, False), (QA, True)]


# ------------------------------------------------------------------------- what cannot be judged


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"task": {"definition_hash": "sha256:other"}}, "task definition"),
        ({"data": {"content_hash": "sha256:other"}}, "data"),
        ({"data": {"limit": 5}}, "limit"),
        ({"scorer": {"metrics": "sha256:other"}}, "scorer"),
    ],
)
def test_runs_that_differ_in_what_fixes_their_numbers_are_refused(make, changes, what) -> None:
    base, new = make("base", SCENES), edited(make("new", SCENES), **changes)
    with pytest.raises(NotComparableError, match=f"{what}.*of {DEPTH}"):
        compare(base, new)


def test_a_task_that_was_not_run_again_is_not_passed(make) -> None:
    base = make("base", SCENES)
    make("base", SCENES, task=QA)
    with pytest.raises(NotComparableError, match=f"expected a run of {QA}"):
        compare(base, make("new", SCENES))


def test_samples_that_were_lost_are_not_passed(make, tmp_path) -> None:
    lines = [runs.line(i, {DELTA.name: float(v)}) for i, v in enumerate(SCENES)]
    # The hardest scene is gone: the mean is better for it.
    lines[0] = msgspec.structs.replace(lines[0], status="unscored", values={})
    runs.make_run(tmp_path / "new", DEPTH, "model", [DELTA], lines)
    with pytest.raises(NotComparableError, match="samples counted by delta1"):
        compare(make("base", SCENES), tmp_path / "new")


def test_runs_without_a_scored_sample_are_not_passed(make, tmp_path) -> None:
    nothing = [msgspec.structs.replace(runs.line(0, {}), status="unscored")]
    for side in ("base", "new"):
        runs.make_run(tmp_path / side, DEPTH, "model", [DELTA], nothing)
    with pytest.raises(NotComparableError, match="a metric with scored samples"):
        compare(tmp_path / "base", tmp_path / "new")


def test_unfinished_runs_and_several_of_a_task_are_refused(make, tmp_path) -> None:
    base = make("base", SCENES)
    with pytest.raises(BenchError, match="one that is running"):
        compare(base, edited(make("new", SCENES), status="running"))
    runs.make_run(tmp_path / "base", DEPTH, "another", [DELTA], runs.scored(DELTA, *SCENES))
    with pytest.raises(BenchError, match="several of depth/rooms"):
        compare(base, make("other", SCENES))


@pytest.mark.parametrize("allowed", [math.nan, math.inf, -math.inf])
def test_a_limit_that_nothing_can_exceed_is_refused(make, allowed) -> None:
    base = make("base", SCENES)
    with pytest.raises(BenchError, match="expected a finite number for delta1"):
        compare(base, base, {"delta1": allowed})


@pytest.mark.parametrize(
    ("given", "meant"), [("delta@median_scale", "delta1@median_scale"), ("delat1", "delta1")]
)
def test_a_limit_on_an_unknown_metric_is_met_with_the_nearest(make, given, meant) -> None:
    base = make("base", SCENES)
    with pytest.raises(BenchError, match=f"Did you mean '{meant}'"):
        compare(base, base, {given: 0.1})


# ---------------------------------------------------------------------------------------- output


def test_junit_has_a_case_a_metric_and_a_failure_a_regression(make, tmp_path) -> None:
    base = make("base", SCENES, rmse=[1.0] * N, task='depth/<a> & "b"')
    new = make("new", SCENES - 0.1, rmse=[None, *[1.0] * (N - 1)], task='depth/<a> & "b"')
    result = compare(base, new)
    write_junit(result, tmp_path / "out.xml")
    suite = ElementTree.parse(tmp_path / "out.xml").getroot()
    assert (suite.tag, suite.get("tests"), suite.get("failures")) == ("testsuite", "2", "2")
    cases = {case.get("name"): case for case in suite.iter("testcase")}
    assert set(cases) == {DELTA.name, RMSE.name}
    assert cases[DELTA.name].get("classname") == 'depth/<a> & "b"'
    assert "worse by +0.1000" in cases[DELTA.name].find("failure").text
    assert "inf" in cases[RMSE.name].find("failure").text


def test_junit_goes_into_a_new_folder_but_not_into_a_file(make, tmp_path) -> None:
    result = compare(make("base", SCENES), make("new", SCENES))
    write_junit(result, tmp_path / "new_folder" / "out.xml")
    assert (tmp_path / "new_folder" / "out.xml").is_file()
    (tmp_path / "file").touch()
    with pytest.raises(BenchError, match="expected a place that can be written"):
        write_junit(result, tmp_path / "file" / "out.xml")


def command(monkeypatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["g2vlm-bench", "compare", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_exit_codes(make, monkeypatch, capsys, tmp_path) -> None:
    base, worse = make("base", SCENES), make("worse", SCENES - 0.1)
    assert command(monkeypatch, base, base) == 0
    assert capsys.readouterr().out.startswith("ok    depth/rooms delta1@median_scale: 0.5000")
    assert command(monkeypatch, base, worse, "--junit", tmp_path / "j.xml") == 3
    assert capsys.readouterr().out.startswith("WORSE depth/rooms")
    assert (tmp_path / "j.xml").is_file()
    assert command(monkeypatch, base, worse, "--max-drop", "delta1=0.2") == 0
    other = edited(make("other", SCENES), data={"content_hash": "sha256:other"})
    capsys.readouterr()
    assert command(monkeypatch, base, other) == 4
    error = capsys.readouterr().err
    assert error.startswith("error: data")
    assert error.count("\n") == 1
    assert command(monkeypatch, base, worse, "--max-drop", "delta1=.nan") == 1
    assert command(monkeypatch, base, tmp_path / "nothing") == 1


def test_json_is_json_with_infinite_values_too(make, monkeypatch, capsys) -> None:
    base = make("base", SCENES, rmse=[None, *[1.0] * (N - 1)])
    assert command(monkeypatch, base, base, "--json") == 0
    delta, rmse = json.loads(capsys.readouterr().out)
    assert (delta["worsening"], delta["regressed"]) == (0, False)
    assert (rmse["base"], rmse["worsening"], rmse["scored"]) == (None, 0, [N - 1, 1, 1])
