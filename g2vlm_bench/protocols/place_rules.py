r"""How published scorers read points and say whether they are right, each with its quirks.

Commits as in `letters`; RoboRefer d97a995a, RoboSpatial-Eval 19f04a5d. A benchmark's grey mask is a
bool one here, so that rounding it (lmms-eval) and asking for more than 0 (the others) are the same.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.protocols.counted import Counted, Rule, final_answer, unread
from g2vlm_bench.sample import Target

Points = Sequence[tuple[float, float]]
# Left, top, right, bottom in whole pixels, those at the right and the bottom not among its own.
Box = tuple[int, int, int, int]
_TUPLE = re.compile(r"\(([-+]?\d+\.?\d*(?:,\s*[-+]?\d+\.?\d*)*?)\)")


def region_of(target: Target) -> NDArray[np.bool_]:
    """The pixels in which a point is right.

    Raises:
        ValueError: The target has none, or one of another size than the image.
    """
    if target.region is None:
        raise ValueError("expected a region to score points by, got none")
    if target.image_size is not None and target.region.shape != tuple(target.image_size):
        raise ValueError(
            f"expected a region as large as the image, {tuple(target.image_size)}, "
            f"got {target.region.shape}"
        )
    return target.region


def inside_pixels(points: Points, region: NDArray[np.bool_]) -> list[bool]:
    """Say of each whole pixel (x, y) whether it lies in the region; outside the image none does."""
    height, width = region.shape
    return [bool(0 <= x < width and 0 <= y < height and region[int(y), int(x)]) for x, y in points]


def _one_pixel(x: int, y: int) -> Box:
    return (x, y, x + 1, y + 1)


def _tuples(text: str) -> list[list[float | int]]:
    """All "(x, y)" and longer tuples; a number is whole where it is written without a point."""
    return [
        [float(n) if "." in n else int(n) for n in match.split(",")]
        for match in _TUPLE.findall(text)
    ]


def tuples_as_shares(text: str, width: int, height: int) -> Points:
    """RefSpatial and Where2Place in lmms-eval: "(x, y)" as shares of the image.

    "[0.3, 0.4]" is no point, and pixels or a grid of 1000 fall outside (refspatial/utils.py:
    _text2pts).
    """
    return [(int(v[0] * width), int(v[1] * height)) for v in _tuples(text) if len(v) == 2]


def tuples_on_grid(text: str, width: int, height: int) -> Points:
    """The same where the prompt asks for a grid of 0 to 999: over 1000 (`0_999`)."""
    pairs = [v for v in _tuples(text) if len(v) == 2]
    return [(int(x / 1000 * width), int(y / 1000 * height)) for x, y in pairs]


def tuples_or_boxes(text: str, width: int, height: int) -> list[Box]:
    """RefSpatial: pairs with a decimal point are shares, whole ones pixels, a box all its pixels.

    So of "(1, 0.5)" both are shares, and "(0, 1)" is a pixel in the corner. A box turned inside
    out stops the answer (RoboRefer, Evaluation/summarize_acc.py: text2pts).

    Raises:
        ValueError: A box has no size.
    """
    boxes: list[Box] = []
    for vector in _tuples(text):
        shares = len(vector) == 4 or any(isinstance(n, float) for n in vector)
        scale = (width, height) if shares else (1, 1)
        whole = [int(n * scale[i % 2]) for i, n in enumerate(vector)]
        if len(whole) == 2:
            boxes.append(_one_pixel(*whole))
        elif len(whole) == 4:
            left, top, right, bottom = whole
            if right < left or bottom < top:
                raise ValueError(f"expected a box that is not inside out, got {vector}")
            boxes.append((left, top, right, bottom))
    return boxes


def pairs_in_json(text: str, width: int, height: int) -> Points:
    """The JSON variants of lmms-eval: any pair in brackets, whole numbers over 1000, others shares.

    _task_utils/point_format.py: parse_point2d.
    """
    number = r"([-+]?\d+\.?\d*)"
    points = []
    for x, y in re.findall(rf"[\[(]\s*{number}\s*,\s*{number}\s*[\])]", text):
        over = 1 if "." in x + y else 1000
        points.append((int(float(x) / over * width), int(float(y) / over * height)))
    return points


def guessed_scale(text: str, width: int, height: int) -> list[Box]:
    """RefSpatial in VLMEvalKit: the scale is guessed from each point's larger coordinate.

    Up to 1.5 it is a share, up to 1000 a grid (in JSON) or a pixel (in text), so that pixel 700 is
    taken for 0.7 of the width, and (1, 1) for the corner. What lies outside is clipped to the edge.
    "(x, y)" counts where there is no JSON list of `point_2d` or `point`
    (tools/utils.py: Point2DParser).
    """
    return [
        (vector[0], vector[1], vector[2], vector[3])
        if len(vector) == 4
        else _one_pixel(
            round(min(max(vector[0] * width, 0), width - 1)),
            round(min(max(vector[1] * height, 0), height - 1)),
        )
        for vector in _guessed(text, width, height)
    ]


def _guessed(text: str, width: int, height: int) -> list[tuple[Any, ...]]:
    """Points as shares, (x, y), and boxes in whole pixels, (left, top, right, bottom)."""
    content = _json_or_literal(_unfenced(text))
    items = [content] if isinstance(content, dict) else content
    found: list[tuple[Any, ...]] = []
    for item in items if isinstance(items, list) else []:
        pair = (item.get("point_2d") or item.get("point")) if isinstance(item, dict) else None
        if not (isinstance(pair, list | tuple) and len(pair) == 2):
            continue
        try:
            x, y = float(pair[0]), float(pair[1])
        except (TypeError, ValueError):
            continue
        most = max(abs(x), abs(y))
        over = (1, 1) if most <= 1.5 else (1000, 1000) if most <= 1000 else (width, height)
        found.append((x / over[0], y / over[1]))
    return found or _guessed_tuples(text, width, height)


def _guessed_tuples(text: str, width: int, height: int) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    for vector in _tuples(text):
        shares = max(map(abs, vector)) <= 1.5
        if len(vector) == 2:
            over = (1, 1) if shares else (width, height)
            found.append((vector[0] / over[0], vector[1] / over[1]))
        elif len(vector) == 4:
            scale = (width, height) if shares else (1, 1)
            left, right = sorted(round(float(vector[i] * scale[0])) for i in (0, 2))
            top, bottom = sorted(round(float(vector[i] * scale[1])) for i in (1, 3))
            if left < right and top < bottom:
                found.append((left, top, right, bottom))
    return found


def _unfenced(text: str) -> str:
    plain = text.strip()
    if not plain.startswith("```"):
        return plain
    inner = plain.partition("\n")[2] if "\n" in plain else plain.lstrip("`")
    return inner.strip().removesuffix("```").strip()


def _json_or_literal(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return ast.literal_eval(text)
    except Exception:  # whatever a text can do to it, it is no literal
        return None


def fenced_json_points(text: str, width: int, height: int) -> Points:
    """RoboSpatial in lmms-eval: `point_2d` over 1000 of the JSON in the first code fence only.

    robo_spatial/utils.py: json2pts, remove_think.

    Raises:
        ValueError: The JSON is no list of objects, which stops the run there.
    """
    fence = re.search(r"```(?:\w+)?\n(.*?)```", text, re.S)
    try:
        items = json.loads(fence[1].strip()) if fence else []
    except ValueError:
        return []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ValueError("expected a list of objects, got other JSON")
    pairs = [item["point_2d"] for item in items if isinstance(item.get("point_2d"), list)]
    return [
        (int(pair[0] / 1000 * width), int(pair[1] / 1000 * height))
        for pair in pairs
        if len(pair) == 2
    ]


def _share_inside(read: Callable[[str, int, int], Points], how: str) -> Rule:
    """The share of all points that lie in the region."""

    def rule(text: str, target: Target) -> Counted:
        region = region_of(target)
        try:
            points = read(text, region.shape[1], region.shape[0])
        except ValueError:
            return unread(text, f"{how}: left out of the mean", None)
        if not points:
            return unread(text, how)
        inside = inside_pixels(points, region)
        return Counted(sum(inside) / len(inside), _shown(points), how, "parsed")

    return rule


def _share_of_boxes(
    read: Callable[[str, int, int], Sequence[Box]], how: str, *, clipped: bool = False
) -> Rule:
    """The share of all pixels of all boxes that lie in the region, a point being one pixel."""

    def rule(text: str, target: Target) -> Counted:
        region = region_of(target)
        try:
            boxes = read(text, region.shape[1], region.shape[0])
        except ValueError:
            return unread(text, f"{how}: left out of the mean", None)
        whole = sum((right - left) * (bottom - top) for left, top, right, bottom in boxes)
        if not whole:
            return unread(text, how)
        inside = sum(_pixels_inside(box, region, clipped) for box in boxes)
        return Counted(inside / whole, _shown(boxes), how, "parsed")

    return rule


def _pixels_inside(box: Box, region: NDArray[np.bool_], clipped: bool) -> int:
    """Count a box's pixels in the region; one outside the image is moved to its edge or is out.

    By rows and columns: (100, 200, 300, 400), meant in pixels and read as shares, has more pixels
    than any memory.
    """
    left, top, right, bottom = box
    height, width = region.shape
    across = _times(left, right, width, clipped)
    down = _times(top, bottom, height, clipped)
    each = region.astype(np.float64) @ across
    return int(down @ each)


def _times(first: int, end: int, size: int, clipped: bool) -> NDArray[np.float64]:
    """How often first ... end - 1 names each of `size` pixels."""
    times = np.zeros(size)
    times[max(first, 0) : max(min(end, size), 0)] = 1
    if clipped:
        times[0] += max(0, min(end, 0) - first)
        times[-1] += max(0, end - max(first, size))
    return times


def any_fenced_point(text: str, target: Target) -> Counted:
    """RoboSpatial in lmms-eval: right where any of the points is (evaluate_pointing_with_mask)."""
    region = region_of(target)
    points = fenced_json_points(final_answer(text), region.shape[1], region.shape[0])
    if not points:
        return unread(text, "no point in fenced JSON")
    right = any(inside_pixels(points, region))
    return Counted(float(right), _shown(points), "any point", "parsed")


def first_fenced_point(text: str, target: Target) -> Counted:
    """RoboSpatial's stricter variant in lmms-eval: the first point alone."""
    region = region_of(target)
    points = fenced_json_points(final_answer(text), region.shape[1], region.shape[0])
    if not points:
        return unread(text, "no point in fenced JSON")
    right = inside_pixels(points[:1], region)[0]
    return Counted(float(right), _shown(points[:1]), "first point", "parsed")


def first_pair_in_polygon(text: str, target: Target) -> Counted:
    """RoboSpatial: the first pair in round brackets, else in square ones, against the polygon.

    A pair with a sign is none. Points on the left and upper edge are inside, on the right and lower
    outside (RoboSpatial-Eval, evaluation.py: evaluate_answer).
    """
    number = r"(\d+\.?\d*)"
    for left, right in (r"\(", r"\)"), (r"\[", r"\]"):
        match = re.search(rf"{left}\s*{number}\s*,\s*{number}\s*{right}", text)
        if match:
            point = float(match[1]), float(match[2])
            inside = _crosses_oddly(*point, _polygon(target))
            return Counted(float(inside), str(point), "first pair", "parsed")
    return unread(text, "no pair")


def first_guessed_point_in_polygon(text: str, target: Target) -> Counted:
    """RoboSpatial in VLMEvalKit: the first point, its scale guessed, against the polygon.

    An upright edge is crossed wherever the point is, so that nothing is inside an upright rectangle
    (robospatialbench.py: point_in_polygon).
    """
    height, width = target.image_size or (1, 1)
    found = _guessed(text.strip(), width, height)
    if not found:
        return unread(text, "no point")
    x, y = found[0][:2]
    point = (x / width, y / height) if len(found[0]) == 4 else (x, y)
    right = _vlmevalkit_inside(*point, _polygon(target))
    return Counted(float(right), str(point), "first point", "parsed")


def _polygon(target: Target) -> list[tuple[float, float]]:
    """The corners as shares of the image, as the benchmark gives them."""
    if target.polygon is None or target.image_size is None:
        raise ValueError("expected a polygon and the image's size to score points by, got none")
    height, width = target.image_size
    return [(float(x) / width, float(y) / height) for x, y in target.polygon]


def _crosses_oddly(x: float, y: float, corners: Points) -> bool:
    inside = False
    for (x1, y1), (x2, y2) in zip(corners, [corners[-1], *corners], strict=False):
        if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
            inside = not inside
    return inside


def _vlmevalkit_inside(x: float, y: float, corners: Points) -> bool:
    inside = False
    x1, y1 = corners[0]
    for step in range(1, len(corners) + 1):
        x2, y2 = corners[step % len(corners)]
        if min(y1, y2) < y <= max(y1, y2):
            crossing = (y - y1) * (x2 - x1) / (y2 - y1) + x1
            if x1 == x2 or x <= crossing:
                inside = not inside
        x1, y1 = x2, y2
    return inside


def _shown(vectors: Sequence[Sequence[float]]) -> str:
    more = f" and {len(vectors) - 5} more" if len(vectors) > 5 else ""
    said = (", ".join(f"{number:g}" for number in vector) for vector in vectors[:5])
    return ", ".join(f"({numbers})" for numbers in said) + more


POINT_RULES: dict[str, Rule] = {
    "tuples_as_shares": _share_inside(tuples_as_shares, "share of the points"),
    "tuples_on_grid": _share_inside(tuples_on_grid, "share of the points"),
    "tuples_or_boxes": _share_of_boxes(tuples_or_boxes, "share of the points"),
    "pairs_in_json": _share_inside(pairs_in_json, "share of the points"),
    "guessed_scale": _share_of_boxes(
        guessed_scale, "share of the points, scale guessed", clipped=True
    ),
    "any_fenced_point": any_fenced_point,
    "first_fenced_point": first_fenced_point,
    "first_pair_in_polygon": first_pair_in_polygon,
    "first_guessed_point_in_polygon": first_guessed_point_in_polygon,
}
