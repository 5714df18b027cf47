from __future__ import annotations

import numpy as np
import pytest

from g2vlm_bench.geometry.relations import answer_from_geometry

UP = np.array([0.0, -1.0, 0.0])


def ball(x: float, y: float, z: float, radius: float = 0.2) -> np.ndarray:
    """Points all over a ball, in the camera's frame (y down), each with its mirror image."""
    drawn = np.random.default_rng(0).standard_normal((100, 3))
    half = radius * drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return np.array([x, y, z]) + np.concatenate([half, -half])


@pytest.mark.parametrize("unit", [1.0, 0.01, 250.0])
@pytest.mark.parametrize(
    ("relation", "first", "second", "answer"),
    [
        ("nearer", ball(0, 0, 2), ball(0, 0, 3), True),
        # As deep, but further to the side.
        ("nearer", ball(2, 0, 2), ball(0, 0, 2), False),
        ("left", ball(-1, 0, 2), ball(1, 0, 2), True),
        ("left", ball(1, 0, 2), ball(-1, 0, 2), False),
        ("above", ball(0, -1, 2), ball(0, 1, 2), True),
        ("above", ball(0, 1, 2), ball(0, -1, 2), False),
        ("on", ball(0, -0.4, 2), ball(0, 0, 2), True),
        # Beside it, and hovering over it.
        ("on", ball(1, -0.4, 2), ball(0, 0, 2), False),
        ("on", ball(0, -0.9, 2), ball(0, 0, 2), False),
    ],
)
def test_an_order_is_read_whatever_the_unit(relation, first, second, answer, unit) -> None:
    assert answer_from_geometry(relation, [unit * first, unit * second], UP) is answer


def test_lengths_are_between_middles() -> None:
    # 3-4-5, and a ball whose middle is 5 m away.
    assert answer_from_geometry("distance", [ball(0, 0, 1), ball(3, 0, 5)]) == pytest.approx(5.0)
    away = answer_from_geometry("range", [np.array([[3.0, 0.0, 4.0]] * 3 + [[np.nan] * 3])])
    assert away == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("relation", "objects", "up", "says"),
    [
        ("beside", [ball(0, 0, 1)] * 2, UP, "a relation of nearer, left"),
        ("left", [ball(0, 0, 1)], UP, "2 objects for 'left', got 1"),
        ("left", [ball(0, 0, 1), np.full((3, 3), np.nan)], UP, "finite points on the object"),
        ("left", [ball(0, 0, 1), np.zeros((0, 3))], UP, "finite points on the object"),
        ("on", [ball(0, 0, 1)] * 2, None, "the direction of gravity"),
    ],
)
def test_what_cannot_be_answered_is_refused(relation, objects, up, says) -> None:
    with pytest.raises(ValueError, match=says):
        answer_from_geometry(relation, objects, up)
