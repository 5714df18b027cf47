"""A benchmark's rows as questions: texts at once, pictures and truth when they are asked for."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.data.media import Media, embedded_bytes
from g2vlm_bench.data.row_map import Kinds, Pictures, RowMap
from g2vlm_bench.data.rows import (
    Text,
    answer_type_of,
    choice_of,
    find_all,
    number_of,
    text_of,
    yes_no_of,
)
from g2vlm_bench.data.tables import Table
from g2vlm_bench.data.video import load_frames
from g2vlm_bench.errors import BenchError
from g2vlm_bench.files import image_size, load_rgb
from g2vlm_bench.sample import IMAGE_MARK, AnswerType, Inputs, Sample, Target

# What a cell of a table holds that stands for nothing: pandas writes a missing text so.
_NOTHING = ("", "nan", "None", "null")


class QuestionRow:
    """One row, on its way to a sample."""

    def __init__(
        self, of: RowMap, table: Table, number: int, content: dict[str, Any], media: Media
    ) -> None:
        self.of, self.table, self.number = of, table, number
        self.media = media
        self.content = {key: _plain(value) for key, value in content.items()}
        self.where = f"{table.path}, row {number}"

    def sample(self, count: int, after: str, picture: str = "") -> Sample:
        """Make the sample; texts are read, pictures and truth wait.

        Args:
            count: Its number among all, which names it where the row has no id.
            after: The sample of the turn before.
            picture: A name of its first picture's content, where the row holds it.
        """
        of = self.of
        name = self._text(of.id) or str(count)
        shown = (*self._paths(of.images), *self._video())
        return Sample(
            id=name,
            cluster=self._text(of.cluster) or next(iter(shown), picture or name),
            load_inputs=partial(self._inputs, name),
            load_target=self._target,
            tags={key: self._text(pattern) for key, pattern in of.tags.items()},
            groups={key: self._text(pattern) for key, pattern in of.groups.items()},
            after=after,
        )

    @property
    def files(self) -> tuple[str, ...]:
        """The names of pictures and videos that stand in files of their own."""
        return (*self._paths(self.of.images), *self._paths(self.of.mask), *self._video())

    def _paths(self, pictures: Pictures | None) -> tuple[str, ...]:
        if pictures is None or pictures.kind != "path":
            return ()
        if not pictures.columns:
            return (text_of(pictures.path, self.content, self.where),)
        return tuple(
            text_of(pictures.path, {**self.content, "value": value}, self.where)
            for column in pictures.columns
            for value in list_of(self.content[column], self.where)
        )

    def _video(self) -> tuple[str, ...]:
        video = self.of.video
        return () if video is None else (text_of(video.path, self.content, self.where),)

    @property
    def talk(self) -> str:
        """The talk that it is a turn of; empty where there is none."""
        return self._text(self.of.talk)

    def _text(self, key: Text) -> str:
        return text_of(key, self.content, self.where)

    def _inputs(self, name: str) -> Inputs:
        images, rate = self._shown()
        question, order = self._marked(len(images))
        kind = self._kind()
        return Inputs(
            id=name,
            images=tuple(images[index] for index in order),
            question=question,
            choices=self._options() if kind == "choice" else (),
            answer_type=kind,
            fields={
                "marked": "yes" if IMAGE_MARK in question else "no",
                "question_type": self._text(self.of.question_type),
                **{key: self._text(pattern) for key, pattern in self.of.fields.items()},
                **rate,
            },
        )

    def _shown(self) -> tuple[list[NDArray[np.uint8]], dict[str, str]]:
        """The pictures and frames, and what a prompt may say of the video."""
        images = [load_rgb(content) for content in self._pictures(self.of.images)]
        rate = {}
        if self.of.video is not None:
            source = self.media.source(self._video()[0])
            frames, fps = load_frames(source, self.of.video.sampling)
            images += frames
            rate = {"sample_fps": f"{fps:.2f}"}
        return images, rate

    def _pictures(self, pictures: Pictures | None) -> Iterator[bytes]:
        if pictures is None:
            return
        if pictures.kind == "path":
            yield from map(self.media.bytes_of, self._paths(pictures))
            return
        for column in pictures.columns:
            cell = self.table.cell(self.number, column)
            for each in list_of(cell, self.where):
                yield embedded_bytes(each, f"{self.where}, column '{column}'")

    def _marked(self, count: int) -> tuple[str, Sequence[int]]:
        """The question with this project's mark for its pictures, and the order that they name."""
        question = self._text(self.of.question)
        if not self.of.image_mark:
            return question, range(count)
        mark = re.compile(self.of.image_mark)
        found = mark.findall(question)
        if not found:
            return question, range(count)
        order = [int(number) - 1 for number in found] if mark.groups else range(len(found))
        if len(found) > count or (order and not 0 <= min(order) <= max(order) < count):
            raise BenchError(
                self.where, expected=f"marks of {count} pictures", got=f"{len(found)}: {found}"
            )
        if not mark.groups and len(found) < count:
            return question, range(count)
        return mark.sub(IMAGE_MARK, question), order

    def _kind(self) -> AnswerType:
        rule = self.of.answer_type
        if isinstance(rule, Kinds):
            return rule.of(self.content, self.where)
        return answer_type_of(self._text(rule), self.where)

    def _options(self) -> tuple[str, ...]:
        choices = self.of.choices
        if isinstance(choices, str):
            found = list_of(self.content[choices], self.where)
        elif isinstance(choices, Mapping):
            found = find_all(choices, self.content, self.where)
        else:
            texts = (self._text(pattern) for pattern in choices)
            found = [text for text in texts if text not in _NOTHING]
        return tuple(self._bare(str(option), index).strip() for index, option in enumerate(found))

    def _bare(self, option: str, index: int) -> str:
        """The option without the letter that the data write before it, which must be its own."""
        if not self.of.option_prefix:
            return option
        prefix = re.match(self.of.option_prefix, option)
        letter = chr(ord("A") + index)
        if prefix is None or letter not in prefix[0].upper():
            raise BenchError(self.where, expected=f"an option '{letter}'", got=f"'{option}'")
        return option[prefix.end() :]

    def _target(self) -> Target:
        kind, text = self._kind(), self._text(self.of.answer).strip()
        common = {"answer_type": kind, "question_type": self._text(self.of.question_type)}
        if kind == "points":
            return Target(answer="", **self._region(), **common)  # type: ignore[arg-type]
        if not text or text in _NOTHING:
            raise BenchError(self.where, expected="an answer", got="an empty one")
        choices: tuple[str, ...] = ()
        answer: str | float = text
        if kind == "choice":
            choices = self._options()
            if len(choices) < 2 or len(set(choices)) < len(choices):
                expected = "two or more different options"
                raise BenchError(self.where, expected=expected, got=list(choices))
            answer = choice_of(text, choices, self.of.answer_is, self.where)
        elif kind == "yes_no":
            answer = yes_no_of(text, self.where)
        elif kind == "number":
            answer = number_of(text, self.where)
        accepted = list_of(self.content[self.of.accepted], self.where) if self.of.accepted else []
        return Target(
            answer=answer,
            accepted=tuple(map(str, accepted)),
            choices=choices,
            unit=self.of.unit,
            **common,  # type: ignore[arg-type]
        )

    def _region(self) -> dict[str, Any]:
        first = next(self._pictures(self.of.images), None)
        if first is None:
            raise BenchError(self.where, expected="a picture", got="none")
        height, width = image_size(first)
        found: dict[str, Any] = {"image_size": (height, width)}
        for content in self._pictures(self.of.mask):
            values = load_rgb(content).max(axis=2)
            # Of 0 and 255, or of 0 and 1; edges that were smoothed are cut in the middle.
            mask = values > values.max() / 2
            if mask.shape != (height, width):
                raise BenchError(
                    f"{self.where}, mask", expected=f"({height}, {width})", got=mask.shape
                )
            if not mask.any():
                raise BenchError(f"{self.where}, mask", expected="a region", got="none")
            found["region"] = mask
        if self.of.polygon:
            corners = np.array(list_of(self._text(self.of.polygon), self.where), dtype=np.float64)
            if corners.ndim != 2 or corners.shape[1] != 2 or not np.isfinite(corners).all():
                expected = "a list of (x, y)"
                raise BenchError(f"{self.where}, polygon", expected=expected, got=corners.shape)
            found["polygon"] = corners * (width, height)
        if len(found) < 2:
            raise BenchError(self.where, expected="a mask or a polygon", got="neither")
        return found


def _plain(value: Any) -> Any:
    """What JSON and Parquet call nothing is an empty text, so that patterns do not say 'None'."""
    return "" if value is None or value != value else value


def list_of(cell: Any, where: str) -> list[Any]:
    """Read a cell as a list: a list, one as text (JSON or Python), or one value."""
    if isinstance(cell, dict) and set(cell) <= {"bytes", "path"}:
        return [cell] if any(cell.values()) else []
    if isinstance(cell, dict):
        cell = list(cell.values())
    if isinstance(cell, list | tuple):
        return [each for each in cell if each is not None]
    if cell is None or (isinstance(cell, str) and cell.strip() in _NOTHING):
        return []
    if isinstance(cell, str) and cell.lstrip().startswith("["):
        for read in (json.loads, ast.literal_eval):
            try:
                found = read(cell)
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                continue
            if isinstance(found, list | tuple):
                return list(found)
        raise BenchError(where, expected="a list", got=f"'{cell[:80]}'")
    return [cell]
