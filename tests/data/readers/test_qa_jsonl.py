"""Questions in JSON lines: patterns, answers in every form, and rows that are wrong."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from g2vlm_bench.data.readers.qa_jsonl import QaJsonl
from g2vlm_bench.errors import BenchError

ROW = {"q": "Where is it?", "options": ["left", "right", "above"], "a": "right", "image": "1.png"}


def write(root: Path, rows: list[dict[str, Any]]) -> Path:
    (root / "images").mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(root / "images/1.png")
    (root / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return root


def reader(root: Path, **more: object) -> QaJsonl:
    options = {
        "questions": "q.jsonl",
        "question": "{q}",
        "answer": "{a}",
        "choices": "options",
        "images": ["images/{image}"],
        **more,
    }
    return QaJsonl(root, **options)  # type: ignore[arg-type]


def test_one_row(tmp_path: Path) -> None:
    sample = reader(write(tmp_path, [ROW]), tags={"category": "{a}"}).samples("test")[0]
    assert (sample.id, sample.cluster, dict(sample.tags)) == (
        "1",
        "images/1.png",
        {"category": "right"},
    )
    inputs, target = sample.load_inputs(), sample.load_target()
    assert inputs.images[0].shape == (4, 6, 3)
    assert (inputs.question, inputs.answer_type) == ("Where is it?", "choice")
    assert inputs.choices == target.choices == ("left", "right", "above")
    assert (target.answer, target.answer_type) == ("right", "choice")


@pytest.mark.parametrize(
    ("answer_is", "answer", "right"),
    [
        ("text", " above ", "above"),
        ("index", 0, "left"),
        ("index", "2", "above"),
        ("letter", "C", "above"),
        ("letter", "(b)", "right"),
        ("letter", "A.", "left"),
    ],
)
def test_answers_to_choices(tmp_path: Path, answer_is: str, answer: object, right: str) -> None:
    found = reader(write(tmp_path, [{**ROW, "a": answer}]), answer_is=answer_is)
    assert found.samples("test")[0].load_target().answer == right


@pytest.mark.parametrize(
    ("kind", "answer", "right"),
    [
        ("yes_no", "Yes", "yes"),
        ("yes_no", True, "yes"),
        ("yes_no", "false", "no"),
        ("yes_no", 0, "no"),
        ("number", "2.5", 2.5),
        ("number", 3, 3.0),
        ("text", "a red chair", "a red chair"),
    ],
)
def test_other_kinds_of_answer(tmp_path: Path, kind: str, answer: object, right: object) -> None:
    rows = [{**ROW, "a": answer, "kind": kind, "more": ["chair"]}]
    found = reader(write(tmp_path, rows), answer_type="{kind}", accepted="more")
    target = found.samples("test")[0].load_target()
    assert (target.answer, target.answer_type, target.choices) == (right, kind, ())
    assert target.accepted == ("chair",)


def test_choices_from_columns_and_from_a_text(tmp_path: Path) -> None:
    rows = [{**ROW, "A": "left", "B": "right", "text": "Pick:\n0. left\n1. right\nNow!"}]
    write(tmp_path, rows)
    columns = reader(tmp_path, choices=["{A}", "{B}"]).samples("test")[0]
    listed = reader(tmp_path, choices={"from": "{text}", "find": r"^\d\. (.+)$"}).samples("test")[0]
    assert columns.load_target().choices == listed.load_target().choices == ("left", "right")
    scene = reader(tmp_path, cluster={"from": "{image}", "find": r"(\d)\.png"}).samples("test")[0]
    assert scene.cluster == "1"


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"a": "below"}, "line 2, answer: expected the text of one of 3 choices, got 'below'"),
        ({"a": "Right"}, "got 'Right'"),
        ({"a": ""}, "line 2: expected an answer"),
        ({"options": ["left", "left"]}, "line 2: expected a list of two or more different"),
        ({"options": "left"}, "line 2: expected a list"),
        ({"options": ["right"]}, "line 2: expected a list"),
        ({"image": "../../1.png"}, "within the folder"),
    ],
)
def test_wrong_rows_name_their_line(tmp_path: Path, row: dict[str, Any], says: str) -> None:
    write(tmp_path, [ROW, {**ROW, **row}])
    with pytest.raises(BenchError, match=says):
        reader(tmp_path)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"question": "{qq}"}, "line 1: got no 'qq'.*Did you mean 'q'"),
        ({"choices": "option"}, "expected a field 'option'.*Did you mean 'options'"),
        ({"answer_is": "number"}, "text, index or letter"),
        ({"answer_is": "index"}, "index of one of 3 choices, got 'right'"),
        ({"answer_is": "letter"}, "letter of one of 3 choices, got 'right'"),
        ({"answer_type": "multiple"}, "choice or yes_no or number or text, got 'multiple'"),
        ({"answer_type": "yes_no"}, "yes or no, true or false, got 'right'"),
        ({"answer_type": "number"}, "a finite number, got 'right'"),
        ({"choices": {"from": "{q}"}}, "from: PATTERN"),
        ({"choices": {"from": "{q}", "find": "("}}, "a regular expression"),
        ({"choices": {"from": "{q}", "find": "x"}}, "one group"),
        ({"cluster": {"from": "{q}", "find": "(x)"}}, "a match of"),
        ({"accepted": "q"}, "expected a list"),
        ({"questions": "none.jsonl"}, "No such file"),
        ({"questions": "../q.jsonl"}, "within the folder"),
        ({"images": ["/etc/{image}"]}, "within the folder"),
        ({"id": "{q}"}, "line 2: expected each id once, got 'Where is it"),
    ],
)
def test_wrong_options(tmp_path: Path, options: dict[str, Any], says: str) -> None:
    write(tmp_path, [ROW, ROW])
    with pytest.raises(BenchError, match=says):
        reader(tmp_path, **options)


@pytest.mark.parametrize("answer", ["inf", "nan", "1e999"])
def test_numbers_are_finite(tmp_path: Path, answer: str) -> None:
    write(tmp_path, [{**ROW, "a": answer}])
    with pytest.raises(BenchError, match="a finite number"):
        reader(tmp_path, answer_type="number")


def test_a_missing_image_fails_its_own_sample(tmp_path: Path) -> None:
    write(tmp_path, [ROW, {**ROW, "image": "2.png"}, {**ROW, "image": "3.png"}])
    (tmp_path / "images/3.png").write_bytes(b"")
    found = reader(tmp_path)
    good, missing, empty = found.samples("test")
    assert good.load_inputs().images
    for sample, says in ((missing, "No such file"), (empty, "empty file")):
        with pytest.raises(BenchError, match=says):
            sample.load_inputs()
        assert sample.load_target().answer == "right"
    before = found.content_hash("test")
    Image.fromarray(np.ones((4, 6, 3), np.uint8)).save(tmp_path / "images/2.png")
    assert found.content_hash("test") != before


def test_listing_opens_no_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, [ROW] * 3)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("an image was opened")

    monkeypatch.setattr(Image, "open", refuse)
    found = reader(tmp_path)
    assert len(found.samples("test")) == 3
    assert found.content_hash("test").startswith("sha256:")
    assert all(sample.load_target().answer == "right" for sample in found.samples("test"))


# ------------------------------------------------------------------------------- real data


def test_vsr_rows_without_their_photos(realdata: Path) -> None:
    """1222 captions whose COCO photos are not there: each one fails alone."""
    found = QaJsonl(
        realdata / "spatial_qa/vsr_zeroshot_test_text",
        questions="test.jsonl",
        question="Is this true? {caption}",
        answer="{label}",
        answer_type="yes_no",
        images=["{image}"],
        tags={"relation": "{relation}"},
    )
    samples = found.samples("test")
    assert len(samples) == 1222
    assert samples[0].load_target().answer == "yes"
    with pytest.raises(BenchError, match=r"000000017697\.jpg.*No such file"):
        samples[0].load_inputs()


def test_positions_of_the_right_caption(realdata: Path) -> None:
    """Why the task takes `cap`: shuffled, one position is right in 5 of 13 rows, not in 4."""
    root = realdata / "spatial_qa/7scenes_object_relations"
    most = {}
    for choices, answer in (("cap", "cor_idx"), ("cap_shuf", "cor_idx_shuf")):
        found = QaJsonl(
            root,
            questions="items.jsonl",
            question="Which?",
            choices=choices,
            answer=f"{{{answer}}}",
            answer_is="index",
        )
        targets = [sample.load_target() for sample in found.samples("test")]
        positions = Counter(t.choices.index(str(t.answer)) for t in targets)
        most[choices] = max(positions.values())
    assert most == {"cap": 4, "cap_shuf": 5}
