"""Samples as columns of a table that Hugging Face's `datasets` reads, and back, without loss.

A column for each part of the inputs (`inputs_...`, all that a model may see) and of the target
(`target_...`). Pictures and masks are PNG; arrays are nested lists in their own type, so that no
depth is rounded and views may differ in size. A part that a sample lacks is null.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.errors import BenchError
from g2vlm_bench.files import load_rgb
from g2vlm_bench.sample import Inputs, ObjectTruth, Sample, Target

# The same level everywhere: a PNG's bytes depend on it.
_PNG_LEVEL = 6


class Codec(Protocol):
    """How a part of a sample stands in a column."""

    def feature(self) -> Any:
        """Its type in the terms of `datasets`."""

    def encode(self, values: Sequence[Any]) -> Any:
        """Make an arrow array of values, None where a sample has none."""

    def decode(self, cell: Any) -> Any:
        """Read a value that is not null."""


@dataclass(frozen=True, slots=True)
class _Plain:
    """A text or a number."""

    dtype: str

    def feature(self) -> Any:
        from datasets import Value

        return Value(self.dtype)

    def encode(self, values: Sequence[Any]) -> Any:
        import pyarrow as pa

        return pa.array(values, getattr(pa, self.dtype)())

    def decode(self, cell: Any) -> Any:
        return cell.as_py()


@dataclass(frozen=True, slots=True)
class _Texts:
    """Several texts in their order."""

    def feature(self) -> Any:
        from datasets import List, Value

        return List(Value("string"))

    def encode(self, values: Sequence[Any]) -> Any:
        import pyarrow as pa

        return pa.array([None if each is None else list(each) for each in values], _texts())

    def decode(self, cell: Any) -> tuple[str, ...]:
        return tuple(cell.as_py())


@dataclass(frozen=True, slots=True)
class _Facts:
    """A set of tuples of texts; sorted, so that the same set has the same bytes."""

    def feature(self) -> Any:
        from datasets import List, Value

        return List(List(Value("string")))

    def encode(self, values: Sequence[Any]) -> Any:
        import pyarrow as pa

        rows = [None if each is None else [list(fact) for fact in sorted(each)] for each in values]
        return pa.array(rows, pa.list_(_texts()))

    def decode(self, cell: Any) -> frozenset[tuple[str, ...]]:
        return frozenset(tuple(fact) for fact in cell.as_py())


@dataclass(frozen=True, slots=True)
class _Pictures:
    """RGB pictures, one a view."""

    def feature(self) -> Any:
        from datasets import Image, List

        return List(Image())

    def encode(self, values: Sequence[Any]) -> Any:
        import pyarrow as pa

        rows = [None if each is None else list(map(_png, each)) for each in values]
        return pa.array(rows, pa.list_(_picture()))

    def decode(self, cell: Any) -> tuple[NDArray[np.uint8], ...]:
        return tuple(load_rgb(picture["bytes"]) for picture in cell.as_py())


@dataclass(frozen=True, slots=True)
class _Arrays:
    """An array, or one a view, as nested lists.

    Attributes:
        dtype: Its type.
        dims: Dimensions of one array.
        views: Whether there is one a view.
    """

    dtype: str
    dims: int
    views: bool = True

    @property
    def depth(self) -> int:
        """How deep lists are nested."""
        return self.dims + self.views

    def feature(self) -> Any:
        from datasets import List, Value

        feature = Value(self.dtype)
        for _ in range(self.depth):
            feature = List(feature)
        return feature

    def encode(self, values: Sequence[Any]) -> Any:
        import pyarrow as pa

        lengths: list[list[NDArray[np.int64]]] = [[] for _ in range(self.depth)]
        flat = []
        for value in values:
            arrays = () if value is None else value if self.views else (value,)
            if self.views or value is None:
                lengths[0].append(np.array([len(arrays)]))
            for array in arrays:
                for dim, length in enumerate(array.shape):
                    repeated = np.full(int(np.prod(array.shape[:dim])), length)
                    lengths[dim + self.views].append(repeated)
                flat.append(np.ascontiguousarray(array, self.dtype).ravel())
        column = pa.array(np.concatenate(flat) if flat else np.empty(0, self.dtype))
        for level in reversed(range(self.depth)):
            counts = np.concatenate(lengths[level]) if lengths[level] else np.empty(0, np.int64)
            offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]).astype(np.int32))
            absent = pa.array([value is None for value in values]) if level == 0 else None
            column = pa.ListArray.from_arrays(offsets, column, mask=absent)
        return column

    def decode(self, cell: Any) -> Any:
        if not self.views:
            return self._array(cell.values)
        return tuple(self._array(view.values) for view in cell)

    def _array(self, values: Any) -> NDArray[Any]:
        shape = [len(values)]
        for _ in range(self.dims - 1):
            values = values.flatten()
            shape.append(len(values) // max(int(np.prod(shape)), 1))
        # A copy: arrow's memory is read-only, and what a model does to its inputs is its own.
        return np.array(values.to_numpy(zero_copy_only=False), self.dtype).reshape(shape)


@dataclass(frozen=True, slots=True)
class _Objects:
    """Things that a question is about."""

    def feature(self) -> Any:
        from datasets import Image, List, Value

        center, masks = List(Value("float64")), List(Image())
        return List({"name": Value("string"), "center": center, "masks": masks})

    def encode(self, values: Sequence[Any]) -> Any:
        import pyarrow as pa

        parts = {"name": pa.string(), "center": pa.list_(pa.float64()), "masks": None}
        parts["masks"] = pa.list_(_picture())
        rows = [None if each is None else list(map(_object_row, each)) for each in values]
        return pa.array(rows, pa.list_(pa.struct(parts)))

    def decode(self, cell: Any) -> tuple[ObjectTruth, ...]:
        return tuple(
            ObjectTruth(
                name=row["name"],
                masks=tuple(load_rgb(mask["bytes"])[..., 0] > 0 for mask in row["masks"]),
                center=np.array(row["center"], np.float64),
            )
            for row in cell.as_py()
        )


TEXT, NUMBER = _Plain("string"), _Plain("float64")
INPUTS: Mapping[str, Codec] = {
    "images": _Pictures(),
    "intrinsics": _Arrays("float64", 2),
    "world_from_camera": _Arrays("float64", 2),
    "depth_prior_m": _Arrays("float32", 2),
    "points": _Arrays("float64", 2, views=False),
    "question": TEXT,
    "prompt": TEXT,
    "choices": _Texts(),
    "answer_type": TEXT,
}
TARGET: Mapping[str, Codec] = {
    "depth_m": _Arrays("float32", 2),
    "points_world": _Arrays("float64", 2, views=False),
    "normals_world": _Arrays("float64", 2, views=False),
    "intrinsics": _Arrays("float64", 2),
    "world_from_camera": _Arrays("float64", 2),
    "segments": _Arrays("int32", 2),
    "tolerance_m": NUMBER,
    # A number has a column of its own, so that each is of one type.
    "answer": TEXT,
    "number": NUMBER,
    "accepted": _Texts(),
    "choices": _Texts(),
    "answer_type": TEXT,
    "unit": TEXT,
    "objects": _Objects(),
    "relation": TEXT,
    "up": _Arrays("float64", 1, views=False),
    "facts": _Facts(),
    "undecided": _Facts(),
    "pair": TEXT,
    "role": TEXT,
}
# What only files of laser scans, or published benchmarks, bring along.
NOT_WRITTEN = (
    *("target_observed", "target_crop", "target_scans"),
    *("target_question_type", "target_region", "target_polygon", "target_box", "target_image_size"),
    *("inputs_earlier", "inputs_system", "inputs_fields"),
    *("inputs_continuations", "inputs_contexts", "inputs_max_new_tokens", "inputs_stop"),
    *("inputs_drawing", "target_document"),
)


def codecs(tags: Iterable[str]) -> dict[str, Codec]:
    """Every column that samples can have, in order.

    Args:
        tags: Names of the samples' tags.
    """
    return {
        "id": TEXT,
        "cluster": TEXT,
        **{f"tag_{tag}": TEXT for tag in tags},
        **{f"inputs_{part}": codec for part, codec in INPUTS.items()},
        **{f"target_{part}": codec for part, codec in TARGET.items()},
    }


def nesting(codec: Codec) -> int:
    """How deep the numbers of a column of arrays are nested; 0 for a column of another kind."""
    return codec.depth if isinstance(codec, _Arrays) else 0


def row(sample: Sample) -> dict[str, Any]:
    """Open a sample and give its parts by column; absent where it has none.

    Raises:
        BenchError: A part cannot be written, or the sample cannot be opened.
    """
    inputs, target = sample.load_inputs(), sample.load_target()
    parts = {f"inputs_{name}": value for name, value in _present(inputs) if name != "id"}
    parts |= {f"target_{name}": value for name, value in _present(target)}
    for name in NOT_WRITTEN:
        if name in parts:
            raise BenchError(f"sample {sample.id}", expected="what has a column", got=f"'{name}'")
    if isinstance(target.answer, int | float):
        parts["target_number"] = float(parts.pop("target_answer"))
    tags = {f"tag_{tag}": value for tag, value in sample.tags.items()}
    return {"id": sample.id, "cluster": sample.cluster} | tags | parts


def inputs_of(name: str, cells: Mapping[str, Any]) -> Inputs:
    """Make inputs of the cells of a row that are not null, by column."""
    return Inputs(id=name, **_decoded("inputs_", INPUTS, cells))


def target_of(cells: Mapping[str, Any]) -> Target:
    """Make a target of the cells of a row that are not null, by column."""
    parts = _decoded("target_", TARGET, cells)
    if "number" in parts:
        parts["answer"] = parts.pop("number")
    return Target(**parts)


def _decoded(
    side: str, known: Mapping[str, Codec], cells: Mapping[str, Any]
) -> dict[str, Any]:  # fmt: skip
    return {
        part: codec.decode(cells[side + part])
        for part, codec in known.items()
        if side + part in cells
    }


def _present(parts: Inputs | Target) -> Iterable[tuple[str, Any]]:
    """The parts that differ from what is there by default."""
    for field in dataclasses.fields(parts):
        value = getattr(parts, field.name)
        if value is None or (isinstance(value, Mapping) and not value):
            continue
        if not isinstance(value, np.ndarray) and value == field.default:
            continue
        yield field.name, value


def _object_row(thing: ObjectTruth) -> dict[str, Any]:
    masks = [_png(mask) for mask in thing.masks]
    return {"name": thing.name, "center": thing.center.tolist(), "masks": masks}


def _png(picture: NDArray[Any]) -> dict[str, Any]:
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(picture).save(content, "PNG", compress_level=_PNG_LEVEL)
    return {"bytes": content.getvalue(), "path": None}


def _texts() -> Any:
    import pyarrow as pa

    return pa.list_(pa.string())


def _picture() -> Any:
    import pyarrow as pa

    return pa.struct({"bytes": pa.binary(), "path": pa.string()})
