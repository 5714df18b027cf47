"""Questions in a JSON-lines file, with images in a folder beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from g2vlm_bench.data.layout import hash_content
from g2vlm_bench.data.reader import Reader
from g2vlm_bench.data.rows import (
    Text,
    answer_type_of,
    choice_of,
    field_of,
    find_all,
    number_of,
    text_of,
    yes_no_of,
)
from g2vlm_bench.errors import BenchError
from g2vlm_bench.files import load_jsonl, load_rgb
from g2vlm_bench.paths import safe_join
from g2vlm_bench.sample import AnswerType, Inputs, Sample, Target

_KINDS: tuple[AnswerType, ...] = ("choice", "yes_no", "number", "text")


class QaJsonl(Reader):
    """A file of one JSON object a question, mapped onto samples by patterns.

    A pattern such as `images/{image}` has the row's fields put in. Where a text needs more than
    that, it is written `{from: "{field}", find: "regular expression"}`: what the expression's group
    finds. A row whose image is missing or damaged fails alone, when its turn comes; all else that
    is wrong with a row is an error that names its line. One split, `test`. Licence: the data set's.

    Args:
        root: The folder; no path of a row leads out of it.
        questions: The file, below the root.
        question: Pattern of the question.
        answer: Pattern of the right answer. For yes/no questions true, false, 1 and 0 will do.
        answer_type: `choice`, `yes_no`, `number` or `text`, or a pattern of it.
        answer_is: What the answer to a choice question is: an option's `text`, its `index` (from 0)
            or its `letter`.
        unit: Of number answers, such as "m".
        choices: The options: the field that lists them, a list of patterns, or
            `{from:, find:}`, every find being one.
        images: Patterns of the images' paths below the root.
        id: Pattern of the id; the number of the line where it is empty.
        cluster: What questions of one scene share; the first image, else the id, where it is empty.
        tags: Patterns of the tags, such as `{category: "{relation}"}`.
        accepted: The field that lists further right answers of a text question.
    """

    def __init__(
        self,
        root: Path,
        *,
        questions: str,
        question: Text,
        answer: Text,
        answer_type: Text = "choice",
        answer_is: str = "text",
        unit: str = "",
        choices: Text | Sequence[Text] = (),
        images: Sequence[Text] = (),
        id: Text = "",
        cluster: Text = "",
        tags: Mapping[str, Text] | None = None,
        accepted: str = "",
    ) -> None:
        self.root = root.resolve()
        self.file = safe_join(self.root, questions)
        self.question, self.answer, self.answer_type = question, answer, answer_type
        self.choices, self.images, self.id, self.cluster = choices, images, id, cluster
        self.tags, self.accepted = tags or {}, accepted
        if answer_is not in ("text", "index", "letter"):
            raise BenchError(
                "key 'answer_is'", expected="text, index or letter", got=f"'{answer_is}'"
            )
        self.answer_is, self.unit = answer_is, unit
        self.paths: set[Path] = set()
        self.rows: dict[str, Sample] = {}
        for number, row in enumerate(load_jsonl(self.file), start=1):
            where = f"{self.file}, line {number}"
            sample = self._sample(row, number, where)
            if sample.id in self.rows:
                raise BenchError(where, expected="each id once", got=f"'{sample.id}' again")
            self.rows[sample.id] = sample

    def samples(self, split: str) -> Sequence[Sample]:
        """List the questions in the file's order."""
        return list(self.rows.values())

    def content_hash(self, split: str) -> str:
        """Hash the questions and the images they name."""
        return hash_content(self.root, [self.file, *self.paths])

    def _sample(self, row: dict[str, Any], number: int, where: str) -> Sample:
        paths = tuple(safe_join(self.root, text_of(key, row, where)) for key in self.images)
        self.paths.update(paths)
        name = text_of(self.id, row, where) or str(number)
        target = self._target(row, where)
        inputs = partial(
            Inputs,
            id=name,
            question=text_of(self.question, row, where),
            choices=target.choices,
            answer_type=target.answer_type,
        )
        default = paths[0].relative_to(self.root).as_posix() if paths else name
        return Sample(
            id=name,
            cluster=text_of(self.cluster, row, where) or default,
            load_inputs=partial(_with_images, inputs, paths),
            load_target=lambda: target,
            tags={key: text_of(pattern, row, where) for key, pattern in self.tags.items()},
        )

    def _target(self, row: dict[str, Any], where: str) -> Target:
        kind = answer_type_of(text_of(self.answer_type, row, where), where, _KINDS)
        text = text_of(self.answer, row, where).strip()
        if not text:
            raise BenchError(where, expected="an answer", got="an empty one")
        accepted = row.get(self.accepted, []) if self.accepted else []
        if not isinstance(accepted, list):
            raise BenchError(f"{where}, key '{self.accepted}'", expected="a list", got=accepted)
        choices: tuple[str, ...] = ()
        answer: str | float = text
        if kind == "choice":
            choices = self._options(row, where)
            answer = choice_of(text, choices, self.answer_is, where)
        elif kind == "yes_no":
            answer = yes_no_of(text, where)
        elif kind == "number":
            answer = number_of(text, where)
        return Target(
            answer=answer,
            accepted=tuple(map(str, accepted)),
            choices=choices,
            answer_type=kind,
            unit=self.unit,
        )

    def _options(self, row: dict[str, Any], where: str) -> tuple[str, ...]:
        if isinstance(self.choices, str):
            found = field_of(self.choices, row, where)
        elif isinstance(self.choices, Mapping):
            found = find_all(self.choices, row, where)
        else:
            found = [text_of(pattern, row, where) for pattern in self.choices]
        if not isinstance(found, list) or len(found) < 2 or len(set(map(str, found))) < len(found):
            raise BenchError(where, expected="a list of two or more different choices", got=found)
        return tuple(str(choice).strip() for choice in found)


def _with_images(inputs: partial[Inputs], paths: Sequence[Path]) -> Inputs:
    return inputs(images=tuple(load_rgb(path) for path in paths))
