"""The sheet as pixels: what stands where, in which colours."""

from __future__ import annotations

import numpy as np
import pytest

from g2vlm_bench.report.contact_sheet import Asked, Panel, draw, instance_colours


def panel(**changes: object) -> Panel:
    depth = np.linspace(1, 4, 32 * 32, dtype=np.float32).reshape(32, 32)
    depth[:4] = np.nan
    ids = np.zeros((32, 32), np.int32)
    ids[8:16, 8:16], ids[20:28, 4:12] = 1, 2
    parts = {
        "title": "scene",
        "images": (np.full((32, 32, 3), 200, np.uint8),),
        "depth_m": depth,
        "instance_ids": ids,
        "questions": (Asked("kind", "Which?", ("left", "right"), "right"),),
    }
    return Panel(**(parts | changes))  # type: ignore[arg-type]


def test_same_panels_same_pixels() -> None:
    assert draw([panel(), panel()]).tobytes() == draw([panel(), panel()]).tobytes()


def test_picture_depth_and_objects_stand_side_by_side() -> None:
    sheet = np.asarray(draw([panel()], picture_px=32))
    row = sheet[12 + 18 + 12]  # margin, title, a row of the first object
    assert (row[12:44] == 200).all()
    assert len(np.unique(row[48:80], axis=0)) > 8  # depth changes along a row
    objects = row[84:116]
    assert [tuple(map(int, c)) for c in np.unique(objects, axis=0)] == sorted(
        {(225, 225, 225), tuple(map(int, instance_colours(panel().instance_ids)[8, 8]))}
    )


def test_none_is_grey_in_the_depth_map() -> None:
    sheet = np.asarray(draw([panel()], picture_px=32))
    assert (sheet[12 + 18 + 1, 48:80] == 128).all()


@pytest.mark.parametrize("constant", [2.0, np.nan])
def test_a_depth_of_one_value_or_none(constant: float) -> None:
    draw([panel(depth_m=np.full((32, 32), constant, np.float32))])


def test_neighbouring_ids_differ_much() -> None:
    colours = instance_colours(np.arange(1, 25, dtype=np.int32)[None])[0].astype(int)
    steps = np.abs(np.diff(colours, axis=0)).sum(axis=1)
    assert steps.min() > 120
    gaps = np.abs(colours[:, None] - colours[None]).sum(axis=2)[~np.eye(24, dtype=bool)]
    assert gaps.min() > 20


def test_long_words_are_wrapped_into_the_width() -> None:
    short = draw([panel()])
    asked = Asked("kind", "word " * 80, ("an option " * 30,), "an option " * 30)
    long = draw([panel(questions=(asked,))])
    assert long.width == short.width
    assert long.height > short.height + 5 * 17


def test_more_panels_than_columns() -> None:
    one, three = draw([panel()], columns=2), draw([panel()] * 3, columns=2)
    assert three.width == 2 * one.width - 12
    assert three.height == 2 * one.height - 12


@pytest.mark.parametrize(
    ("panels", "columns", "pixels"), [([], 2, 32), ([panel()], 0, 32), ([panel()], 2, 0)]
)
def test_nothing_to_draw(panels: list[Panel], columns: int, pixels: int) -> None:
    with pytest.raises(ValueError, match="expected panels, columns and pixels"):
        draw(panels, columns, pixels)
