"""Points, boxes and camera changes read from answers: what is understood and what is not."""

from __future__ import annotations

import pytest

from g2vlm_bench.metrics.answers import box_overlap
from g2vlm_bench.metrics.places import in_pixels, parse_box, parse_camera_change, parse_points


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ("(0.5, 0.25)", ((0.5, 0.25),)),
        ("[(0.5,0.25), (1, 0)]", ((0.5, 0.25), (1.0, 0.0))),
        ("[[0.5, 0.25], [0.1, 0.2]]", ((0.5, 0.25), (0.1, 0.2))),
        ('[{"point_2d": [512, 300], "label": "a"}]', ((512.0, 300.0),)),
        ('<point x="12.5" y="40.0">cup</point>', ((12.5, 40.0),)),
        ('{"x": 3, "y": 4}', ((3.0, 4.0),)),
        ("x = .5, y = .25", ((0.5, 0.25),)),
        ("0.5 0.25", ((0.5, 0.25),)),
        ("\uff080.5, 0.25\uff09", ((0.5, 0.25),)),
        ("(0.5, \u22120.25)", ((0.5, -0.25),)),
        ("Around (0.1, 0.1)? <answer>(0.5, 0.25)</answer>", ((0.5, 0.25),)),
        ("<think>(9, 9)</think>(0.5, 0.25)", ((0.5, 0.25),)),
        ("(1, 2) and again (1, 2)", ((1.0, 2.0),)),
    ],
)
def test_points_are_read(text, points) -> None:
    parsed = parse_points(text)
    assert (parsed.status, parsed.value) == ("parsed", points)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("", "empty"), ("<think>(0.5, 0.5)", "empty"), ("on the table", "unparsed"),
        ("0.5", "unparsed"), ("(0.1, 0.2, 0.3)", "unparsed"), ("(0.1, 0.2, 0.3, 0.4)", "unparsed"),
        ("(0.1, 0.2), (0.1, 0.2, 0.3, 0.4)", "unparsed"), ("3 chairs, 4 tables", "unparsed"),
    ],
)  # fmt: skip
def test_what_names_no_points_is_unparsed(text, status) -> None:
    assert parse_points(text).status == status


@pytest.mark.parametrize(
    ("text", "box"),
    [
        ("[10, 20, 30, 40]", (10.0, 20.0, 30.0, 40.0)),
        ("(10, 20), (30, 40)", (10.0, 20.0, 30.0, 40.0)),
        ('{"bbox_2d": [10, 20, 30, 40]}', (10.0, 20.0, 30.0, 40.0)),
        ("The box is [10, 20, 30, 40]. Again: [10, 20, 30, 40]", (10.0, 20.0, 30.0, 40.0)),
    ],
)
def test_a_box_is_read(text, box) -> None:
    assert parse_box(text).value == box


@pytest.mark.parametrize(
    "text",
    ["[30, 20, 10, 40]", "[1, 2, 3, 4] or [5, 6, 7, 8]", "[1, 2]", "none", "[1, 2, 3, 4], [5, 6]"],
)
def test_what_is_no_one_box_is_unparsed(text) -> None:
    assert parse_box(text).status == "unparsed"


@pytest.mark.parametrize(
    ("numbers", "scale", "pixels"),
    [
        ((0.5, 0.25), "unit", (100.0, 25.0)),
        ((500, 250), "thousand", (100.0, 25.0)),
        ((100, 25), "pixel", (100.0, 25.0)),
        ((1, 1), "unit", (200.0, 100.0)),
        ((0, 0, 1, 1), "unit", (0.0, 0.0, 200.0, 100.0)),
        ((1.01, 0.5), "unit", None),
        ((-0.1, 0.5), "unit", None),
        ((500, 1001), "thousand", None),
        ((50, 101), "pixel", None),
    ],
)
def test_each_scale_is_brought_to_pixels(numbers, scale, pixels) -> None:
    assert in_pixels(numbers, scale, (100, 200)) == pixels


def test_a_camera_change_is_read() -> None:
    said = "I think move_right: 0.3, then rotate left by 12 degrees and Move-Up = -0.5."
    assert parse_camera_change(said).value == {
        "move_right": 0.3, "rotate_left": 12.0, "move_up": -0.5,
    }  # fmt: skip
    assert parse_camera_change("move_right:1,move_right:2").status == "unparsed"
    assert parse_camera_change("rotate_forward:3").status == "unparsed"
    assert parse_camera_change("it stays").status == "unparsed"
    assert parse_camera_change(" ").status == "empty"


def test_boxes_overlap_by_intersection_over_union() -> None:
    # 10 x 10 each, shared 5 x 10: 50 / (200 - 50).
    assert box_overlap((0, 0, 10, 10), (5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert box_overlap((0, 0, 10, 10), (0, 0, 10, 10)) == 1
    assert box_overlap((0, 0, 1, 1), (5, 5, 6, 6)) == 0
    assert box_overlap(None, (0, 0, 1, 1)) == 0
    with pytest.raises(ValueError, match="expected left < right"):
        box_overlap((0, 0, 1, 1), (0, 0, 0, 1))


def test_a_long_text_takes_linear_time() -> None:
    """Runs of blanks and numbers without an end are read in a moment, not in minutes."""
    for text in ("(" + "1 " * 40_000, "( " * 40_000, "x" * 80_000, "(1" + " " * 60_000 + "2)"):
        assert parse_points(text).status == "unparsed"
