"""Where the parts of a question stand in a row: what a task file says of its columns."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from g2vlm_bench.data.rows import Text, answer_type_of, text_of
from g2vlm_bench.data.video import Sampling
from g2vlm_bench.errors import BenchError
from g2vlm_bench.sample import AnswerType


class Pictures(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a row's pictures are.

    Attributes:
        columns: Each holds a picture or a list of them; what is empty is left out.
        kind: Whether a cell is the picture itself (bytes, `{bytes:, path:}`, base64) or a path.
        path: Of the kind `path`: its name below the root, `{value}` being what the cell holds. With
            no columns, the pattern alone names the one picture.
    """

    columns: list[str] = []
    kind: Literal["embedded", "path"] = "embedded"
    path: Text = "{value}"


class Video(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a row's video is, and which of its frames a model sees."""

    path: Text
    sampling: Sampling = Sampling()


class Kinds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which kind of answer a row wants, by what a pattern says of it.

    Attributes:
        by: The pattern.
        kinds: Kind of answer -> what the pattern gives.
        otherwise: The kind where it gives anything else; an error where it is empty.
    """

    by: Text
    kinds: dict[str, list[str]]
    otherwise: str = ""

    def of(self, row: Mapping[str, Any], where: str) -> AnswerType:
        """Tell a row's kind of answer."""
        value = text_of(self.by, row, where)
        found = (kind for kind, values in self.kinds.items() if value in values)
        kind = next(found, self.otherwise)
        if not kind:
            known = ", ".join(value for values in self.kinds.values() for value in values)
            raise BenchError(f"{where}, {self.by}", expected=f"one of {known}", got=f"'{value}'")
        return answer_type_of(kind, where)


class RowMap(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    r"""Where the parts of a question stand in a row.

    A pattern such as `{question}` has the row's fields put in; `{from: PATTERN, find: REGEX}` is
    what the expression's group finds, or with `say: PATTERN` what that says of `{found}`;
    `{from: PATTERN, drop: REGEX}` what is left without what it finds.

    Attributes:
        question: Pattern of the question.
        answer: Pattern of the right answer; not read where a region is the truth.
        answer_type: A kind of answer, a pattern of it, or `{by:, kinds:, otherwise:}`.
        answer_is: What the answer to a choice question is: an option's `text`, its `index` (from 0)
            or its `letter`.
        unit: Of number answers.
        choices: The options: the column that lists them (a list, also as text or by letter), a
            list of patterns (empty ones are left out), or `{from:, find:}`, every find being one.
        option_prefix: What stands before an option's text in the data, such as `[A-Z]\. `; its
            letter must be the option's own.
        images: Where the pictures are.
        image_mark: Regular expression of what stands in the question where a picture belongs. Where
            it has a group, that is the picture's number, from 1.
        video: Where the video is, and which frames are shown.
        mask: Where the mask is in which a point is right.
        polygon: Pattern of the same as a list of (x, y), as fractions of width and height.
        id: Pattern of the id; the number of the row, from 0, where it is empty.
        cluster: What questions of one scene share; where it is empty the first picture (its path,
            or the content that stands in the row) or the video, else the id.
        question_type: Pattern of the benchmark's own name of the kind of question.
        tags: Patterns of the tags.
        groups: Patterns of groups that count as one question only together.
        fields: Patterns of what a prompt may say besides question and options. `question_type`,
            `marked` (whether the question has marks for its pictures: yes or no) and with a video
            `sample_fps` are always among them.
        accepted: The column that lists further right answers of a text question.
        talk: Pattern of the talk that a row is a turn of, in the order of the rows.
        only: Column -> the values of the rows that are asked; all rows where it is empty.
    """

    question: Text
    answer: Text = ""
    answer_type: Kinds | str = "choice"
    answer_is: Literal["text", "index", "letter"] = "text"
    unit: str = ""
    choices: Text | list[Text] = []
    option_prefix: str = ""
    images: Pictures | None = None
    image_mark: str = ""
    video: Video | None = None
    mask: Pictures | None = None
    polygon: Text = ""
    id: Text = ""
    cluster: Text = ""
    question_type: Text = ""
    tags: dict[str, Text] = {}
    groups: dict[str, Text] = {}
    fields: dict[str, Text] = {}
    accepted: str = ""
    talk: Text = ""
    only: dict[str, list[str]] = {}

    @property
    def heavy(self) -> set[str]:
        """Columns that hold pictures."""
        found = [one for one in (self.images, self.mask) if one and one.kind == "embedded"]
        return {column for pictures in found for column in pictures.columns}

    @property
    def columns(self) -> set[str]:
        """Every column that is named."""
        patterns: list[Text] = [self.question, self.answer, self.polygon, self.id, self.cluster]
        patterns += [self.question_type, self.talk]
        patterns += [*self.tags.values(), *self.groups.values(), *self.fields.values()]
        named = {*self.only, *([self.accepted] if self.accepted else [])}
        kind = self.answer_type
        patterns.append(kind.by if isinstance(kind, Kinds) else kind)
        if isinstance(self.choices, str):
            named.add(self.choices)
        else:
            patterns += self.choices if isinstance(self.choices, list) else [self.choices]
        for pictures in filter(None, (self.images, self.mask)):
            named |= set(pictures.columns)
            patterns.append(pictures.path)
        patterns.append(self.video.path if self.video else "")
        for pattern in patterns:
            text = pattern if isinstance(pattern, str) else pattern["from"] + pattern.get("say", "")
            named |= set(re.findall(r"\{(\w+)\}", text))
        return named - {"value", "found"}

    def asks(self, row: Mapping[str, Any]) -> bool:
        """Whether a row is one of those that are asked."""
        return all(str(row.get(key)) in values for key, values in self.only.items())
