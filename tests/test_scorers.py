"""Stored answers under several scorers: numbers, paired differences, the answers that differ."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from g2vlm_bench.api import evaluate
from g2vlm_bench.cli import app
from g2vlm_bench.errors import BenchError
from g2vlm_bench.plugins import Plugins
from g2vlm_bench.scorers import compare_scorers, table

ADAPTER = '''
"""Says what stands in a file beside it."""

import json
from pathlib import Path

from g2vlm_bench.adapter import Adapter
from g2vlm_bench.sample import Prediction, Want

SAID = json.loads(Path(__file__).with_name("said.json").read_text())


class Parrot(Adapter):
    predicts = frozenset({Want.ANSWER})

    def predict(self, inputs, wants):
        return [Prediction(answer=SAID[one.id]) for one in inputs]
'''
TASK = """
version: 1
family: spatial_qa
data:
  format: qa_jsonl
  root: qa
  questions: rows.jsonl
  id: "{id}"
  cluster: "{scene}"
  question: "{question}"
  choices: options
  answer: "{answer}"
  answer_type: "{kind}"
  tags: {kind: "{kind}"}
protocols: [{}, {profile: official, name: vsi_bench}]
metrics: [accuracy, unparsed]
headline: accuracy@strict
"""
SAID = {"a": "A", "b": "The answer is (B).", "c": "", "d": "2.5m", "e": "right"}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> tuple[Path, Plugins, Path]:
    """A run of five answers in three scenes."""
    home = tmp_path_factory.mktemp("scorers")
    (home / "qa").mkdir()
    rows = [
        {"id": "a", "scene": "x", "answer": "left", "kind": "choice"},
        {"id": "b", "scene": "x", "answer": "right", "kind": "choice"},
        {"id": "c", "scene": "y", "answer": "left", "kind": "choice"},
        {"id": "d", "scene": "y", "answer": "2.5", "kind": "number"},
        {"id": "e", "scene": "z", "answer": "left", "kind": "choice"},
    ]
    filled = [{**row, "question": "Where?", "options": ["left", "right"]} for row in rows]
    (home / "qa" / "rows.jsonl").write_text("\n".join(map(json.dumps, filled)))
    (home / "tasks" / "mine").mkdir(parents=True)
    (home / "tasks" / "mine" / "asked.yaml").write_text(TASK)
    (home / "adapters").mkdir()
    (home / "adapters" / "parrot.py").write_text(ADAPTER)
    (home / "adapters" / "said.json").write_text(json.dumps(SAID))
    plugins = Plugins.find([home / "tasks"], [home / "adapters"])
    done = evaluate("parrot", "mine/asked", out=home / "runs", data_root=home, plugins=plugins)
    return done.runs[0].path, plugins, home


def test_every_scorer_has_its_numbers_and_its_difference_from_the_first(run) -> None:
    path, plugins, home = run
    before = (path / "run.json").read_bytes(), (path / "samples.jsonl").read_bytes()
    found = compare_scorers(plugins, path, data_root=home)
    assert [row.scorer for row in found.rows] == ["strict", "official.vsi_bench"]
    strict, official = ({r.metric.split("@")[0]: r for r in row.results} for row in found.rows)
    # Strict reads a, b and d; the official scorer a alone. Both see that e is wrong.
    assert strict["accuracy"].value == pytest.approx(3 / 5)
    assert official["accuracy"].value == pytest.approx(1 / 5)
    assert strict["unparsed"].value == pytest.approx(1 / 5)
    assert strict["accuracy"].low is not None
    value, low, high = found.rows[1].above_first
    assert value == pytest.approx(-2 / 5)
    assert low < value < high
    assert found.rows[0].above_first == ()
    assert before == ((path / "run.json").read_bytes(), (path / "samples.jsonl").read_bytes())


def test_the_answers_that_differ_are_named_with_what_was_read(run) -> None:
    path, plugins, home = run
    found = compare_scorers(plugins, path, data_root=home)
    assert [one.id for one in found.disagreements] == ["b", "d"]
    first = found.disagreements[0]
    assert first.answer == "The answer is (B)."
    assert first.scores == {"strict": 1.0, "official.vsi_bench": 0.0}
    assert first.read["official.vsi_bench"] == "The (first token)"
    shown = "\n".join(table(found, shown=1))
    assert "2 answers are counted differently:" in shown
    assert "b: 'The answer is (B).'" in shown
    assert "... and 1 more" in shown


def test_further_profiles_come_beside_those_of_the_run(run) -> None:
    path, plugins, home = run
    asked = ["lmms_eval.vsi_bench", "official.vsi_bench"]
    found = compare_scorers(plugins, path, asked, home)
    assert [row.scorer for row in found.rows] == [
        "strict", "official.vsi_bench", "lmms_eval.vsi_bench",
    ]  # fmt: skip
    everything = compare_scorers(plugins, path, ["all"], home)
    labels = [row.scorer for row in everything.rows]
    assert "vlmevalkit.spatial" in labels
    assert "lmms_eval.refspatial" not in labels  # it reads no kind of these questions
    # An empty answer is right by SPAR-Bench's rule.
    spread = [row.results[0].value for row in everything.rows]
    assert max(spread) - min(spread) > 0.2


@pytest.mark.parametrize("name", ["offical", "official.vsi"])
def test_an_unknown_profile_is_met_with_the_nearest(run, name) -> None:
    path, plugins, home = run
    with pytest.raises(BenchError, match="official"):
        compare_scorers(plugins, path, [name], home)


def test_the_command_prints_a_table_or_json(run, capsys) -> None:
    path, _, home = run
    command = ["compare_scorers", str(path), "--data-root", str(home)]
    command += ["--tasks-dir", str(home / "tasks")]
    with pytest.raises(SystemExit) as ended:
        app(command)
    assert ended.value.code == 0
    assert "official.vsi_bench  accuracy                     5   0.2000" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        app([*command, "--json"])
    content = json.loads(capsys.readouterr().out)
    assert content["n_answers"] == 5
    assert len(content["disagreements"]) == 2


def test_a_run_without_questions_is_refused(toys, tmp_path) -> None:
    done = evaluate("oracle", "toy/metres", out=tmp_path, plugins=toys)
    with pytest.raises(BenchError, match="expected questions, which have scorers"):
        compare_scorers(toys, done.runs[0].path)
