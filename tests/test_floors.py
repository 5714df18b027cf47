"""Floors beside a model: what is run, what is run once, what part of a score needs no images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from g2vlm_bench import evaluate, leaderboard
from g2vlm_bench.board import BoardColumn, BoardDefinition
from g2vlm_bench.cli import app
from g2vlm_bench.plugins import load_module
from g2vlm_bench.survival import Share, surviving_share

TASK = """
title: Which corner is lit
version: 1
family: spatial_qa
data:
  format: qa_jsonl
  root: .
  questions: items.jsonl
  question: "Which corner is lit? {hint}"
  choices: options
  answer: "{gold}"
  answer_is: index
  images: ["{image}"]
metrics: [accuracy, chance_corrected_accuracy]
headline: chance_corrected_accuracy@strict
"""
OPTIONS = ["top left", "top right", "bottom left", "bottom right"]
SEER = '''
"""Sees the right corner, believes a hint, and else says the first option."""
from g2vlm_bench.adapter import Adapter
from g2vlm_bench.sample import Prediction, Want

class Seer(Adapter):
    predicts = frozenset({Want.ANSWER})
    needs_images = False
    loaded = []
    asked = []

    def __init__(self, sight: bool = True, faith: bool = True) -> None:
        self.sight, self.faith = sight, faith
        Seer.loaded.append(1)

    def predict(self, batch, wants):
        Seer.asked += [one.id for one in batch]
        return [Prediction(answer=self.answer(one)) for one in batch]

    def answer(self, one):
        if one.images and self.sight:
            return one.choices[int(one.images[0][0, 0, 0])]
        hint = one.question.partition("? ")[2]
        return hint if hint and self.faith else one.choices[0]
'''


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Forty questions, each of its own scene, half of them with a hint that is true."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(40):
        gold = int(rng.integers(4))
        Image.fromarray(np.full((8, 8, 3), gold, np.uint8)).save(tmp_path / f"{i}.png")
        hint = OPTIONS[gold] if i % 2 else ""
        rows.append({"hint": hint, "options": OPTIONS, "gold": gold, "image": f"{i}.png"})
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name, text in {"tasks/toys/corners.yaml": TASK, "adapters/seer.py": SEER}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def run(place: Path, models: str | list[str] = "seer", **more: object):  # type: ignore[no-untyped-def]
    return evaluate(
        models,
        "toys/corners",
        out=place / "runs",
        data_root=place,
        tasks_dirs=[place / "tasks"],
        adapters_dirs=[place / "adapters"],
        **more,  # type: ignore[arg-type]
    )


def test_four_floors_beside_a_model(place: Path) -> None:
    done = run(place, floors=True)
    assert [one.record.adapter.label for one in done.runs] == [
        "seer", "blind:seer", "shuffled:seer", "majority", "chance"
    ]  # fmt: skip
    assert not done.skipped
    # There is no training split: the most frequent answers are those of the other scenes.
    assert done.runs[3].record.adapter.fitted_on == "held out:2 folds"


def test_weights_are_loaded_once_and_floors_run_once(place: Path) -> None:
    done = run(place, floors=True)
    seer = load_module(place / "adapters" / "seer.py").Seer
    assert len(seer.loaded) == 1
    assert len(seer.asked) == 3 * 40
    again = run(place, ["seer", "blind:seer"], floors=True)
    assert len(seer.asked) == 3 * 40, "taken from the folder, not asked again"
    assert {one.path for one in again.runs} == {one.path for one in done.runs}


def test_a_wrapper_by_hand_is_the_same_run(place: Path) -> None:
    by_hand = run(place, "blind:seer").runs[0]
    beside = run(place, floors=True).runs[1]
    assert beside.path == by_hand.path


def test_half_of_a_score_that_hints_give_away(place: Path) -> None:
    found = {one.floor: one for one in run(place, floors=True).survivals()}
    assert set(found) == {"blind", "shuffled", "majority", "chance"}
    blind = found["blind"]
    assert blind.score == 1.0
    assert blind.metric == "chance_corrected_accuracy@strict"
    # 20 hints are right; of the other 20 questions the first option is right in some.
    assert blind.share is not None
    assert blind.share.value == pytest.approx(blind.reached)
    assert 0.3 < blind.share.value < 0.8
    assert blind.share.low < blind.share.value < blind.share.high
    # It sees another scene's corner and believes that.
    assert found["shuffled"].share.value < blind.share.value
    assert found["chance"].share.low < 0 < found["chance"].share.high


def test_a_score_that_needs_no_images_survives_whole(place: Path) -> None:
    done = run(place, model_args={"sight": False}, floors=True)
    (blind,) = [one for one in done.survivals() if one.floor == "blind"]
    assert blind.share == Share(1.0, 1.0, 1.0)


def test_of_a_score_at_chance_nothing_can_survive(place: Path) -> None:
    done = run(place, model_args={"sight": False, "faith": False}, floors=True)
    (blind,) = [one for one in done.survivals() if one.floor == "blind"]
    assert blind.share is None
    assert blind.note == "the score is not significantly above chance"


def test_models_without_floors_of_their_own(place: Path) -> None:
    """References, wrappers and floors are not wrapped again."""
    done = run(place, ["oracle", "shuffled:seer", "chance"], floors=True)
    labels = [one.record.adapter.label for one in done.runs]
    assert labels == ["oracle", "shuffled:seer", "chance", "majority"]
    assert all(one.model != "oracle" for one in done.survivals())


def test_a_leaderboard_says_it_too(place: Path) -> None:
    done = run(place, floors=True)
    definition = BoardDefinition(
        name="toy", version=1, title="Toy", columns=[BoardColumn(task="toys/corners")]
    )
    runs = [one.path for one in done.runs]
    board = leaderboard(
        definition, runs, out=place / "report", data_root=place, tasks_dirs=[place / "tasks"]
    )
    rows = {row.model: row for row in board.rows}
    (survived,) = [one for one in done.survivals() if one.floor == "blind"]
    assert rows["seer"].survives_blind == survived.share
    assert rows["blind:seer"].survives_blind is None
    assert f"{survived.share} survives blind".split(" [")[0] in (
        (place / "report" / "leaderboard.md").read_text().replace("\\", "")
    )


def test_the_command_line(place: Path) -> None:
    arguments = ["run", "--model", "seer", "--task", "toys/corners", "--floors"]
    folders = ["--data-root", "--tasks-dir", "--adapters-dir", "--out"]
    places = [place, place / "tasks", place / "adapters", place / "runs"]
    for option, folder in zip(folders, places, strict=True):
        arguments += [option, str(folder)]
    shown = CliRunner().invoke(app, arguments)
    assert shown.exit_code == 0, shown.output
    told = shown.output.partition("what survives without looking")
    assert "seer on toys/corners, chance_corrected_accuracy@strict 1.0000" in told[0]
    assert "% [" in told[2]
    assert "blind " in told[2]


def test_the_command_line_in_json(place: Path) -> None:
    arguments = ["run", "--model", "seer", "--task", "toys/corners", "--floors", "--json"]
    arguments += ["--data-root", str(place), "--tasks-dir", str(place / "tasks")]
    arguments += ["--adapters-dir", str(place / "adapters"), "--out", str(place / "runs")]
    shown = CliRunner().invoke(app, arguments)
    assert shown.exit_code == 0, shown.output
    runs = {one["adapter"]["spec"]: one for one in json.loads(shown.stdout)}
    found = {one["floor"]: one for one in runs.pop("seer")["survivals"]}
    survived = {one.floor: one for one in run(place, floors=True).survivals()}
    assert set(found) == set(survived) == {"blind", "shuffled", "majority", "chance"}
    for floor, one in found.items():
        assert one["share"]["value"] == survived[floor].share.value
        assert one["reached"] == survived[floor].reached
    assert all(one["survivals"] == [] for one in runs.values())


def test_a_suite_says_it_below_its_table(place: Path) -> None:
    (place / "tasks/leaderboards").mkdir()
    (place / "tasks/leaderboards/corners.yaml").write_text(
        "title: Corners\nversion: 1\ncolumns: [{task: toys/corners}]\nmodels: [seer]\n"
    )
    arguments = ["run", "--suite", "corners", "--floors", "--out", str(place / "runs")]
    arguments += ["--data-root", str(place), "--tasks-dir", str(place / "tasks")]
    shown = CliRunner().invoke(app, [*arguments, "--adapters-dir", str(place / "adapters")])
    assert shown.exit_code == 0, shown.output
    assert "what survives without looking" in shown.output


def test_a_ratio_by_its_definition() -> None:
    """Replicates are paired: what both share leaves no spread."""
    rng = np.random.default_rng(0)
    scores = rng.normal(0.5, 0.05, 2000)
    share = surviving_share((0.1, scores / 5), (0.5, scores), 40)
    assert share.value == pytest.approx(0.2)
    assert share.low == pytest.approx(0.2)
    assert share.high == pytest.approx(0.2)
    loose = surviving_share((0.1, rng.permutation(scores) / 5), (0.5, scores), 40)
    assert loose.low < 0.19
    assert loose.high > 0.21


def test_few_scenes_give_no_interval() -> None:
    draws = np.linspace(0.49, 0.51, 2000)
    assert surviving_share((0.1, draws / 5), (0.5, draws), 4) == Share(0.2, None, None)


def test_replicates_below_chance_have_no_ratio() -> None:
    """Just significant: the upper end depends on draws in which nothing was above chance."""
    rng = np.random.default_rng(1)
    scores = rng.normal(0.1, 0.048, 2000)
    floors = rng.normal(0.05, 0.02, 2000)
    share = surviving_share((0.05, floors), (0.1, scores), 500)
    assert share is None or share.high is None or share.high > 1
