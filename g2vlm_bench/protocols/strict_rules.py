"""The default: an answer is read as a careful person reads it, or counted as unparsed and wrong."""

from __future__ import annotations

from typing import Any, Literal

from g2vlm_bench.metrics import answers
from g2vlm_bench.metrics.answer_text import ParsedAnswer
from g2vlm_bench.metrics.numbers import in_unit
from g2vlm_bench.metrics.places import Scale, in_pixels
from g2vlm_bench.protocols.counted import LETTERS, Counted
from g2vlm_bench.protocols.number_rules import along_axes
from g2vlm_bench.protocols.place_rules import inside_pixels, region_of
from g2vlm_bench.sample import Target

PointsCount = Literal["share", "first", "any"]


def strict_choice(text: str, target: Target) -> Counted:
    """The option that is clearly chosen, by its letter or its text."""
    return count_choice(answers.parse_choice(text, target.choices), target)


def count_choice(parsed: ParsedAnswer[int], target: Target) -> Counted:
    """Count an option by its index."""
    score = answers.exact_choice(parsed.value, target.choices.index(str(target.answer)))
    return _counted(parsed, score, None if parsed.value is None else target.choices[parsed.value])


def strict_yes_no(text: str, target: Target) -> Counted:
    """A clear yes or no, or true or false."""
    return count_yes_no(answers.parse_yes_no(text), target)


def count_yes_no(parsed: ParsedAnswer[bool], target: Target) -> Counted:
    """Count a yes or no."""
    score = answers.exact_choice(parsed.value, target.answer == "yes")
    return _counted(parsed, score, "yes" if parsed.value else "no")


def strict_number(text: str, target: Target, tolerance: float | None) -> Counted:
    """One number in the question's unit: mean relative accuracy, or right within a tolerance."""
    parsed = in_unit(answers.parse_number(text), target.unit)
    true = float(target.answer)  # type: ignore[arg-type]
    if tolerance is None:
        score = answers.mean_relative_accuracy(parsed.value, true)
    else:
        score = answers.within_tolerance(parsed.value, true, relative=tolerance)
    return _counted(parsed, score, parsed.value)


def strict_text(text: str, target: Target) -> Counted:
    """A short text that equals the answer or an accepted one but for case, articles and marks.

    A number in digits or words where the answer is a whole number; the letters where it is an order
    of the first ones ("BADC"); else what follows the last "is" will do, too.
    """
    if str(target.answer).isdigit():
        count = answers.parse_number(text)
        return _counted(count, float(count.value == float(str(target.answer))), count.value)
    if (order := str(target.answer)) == order.upper() and _is_order(order):
        letters = answers.parse_letter_order(text, len(order))
        return _counted(letters, float(letters.value == order), letters.value)
    parsed = answers.parse_text(text)
    accepted = (str(target.answer), *target.accepted)
    score = answers.text_match(parsed.value, accepted)
    if parsed.value is not None and not score:
        # "The object is an SUV.", "It's an SUV."
        said = parsed.value.removeprefix("its ").rpartition(" is ")[2]
        score = answers.text_match(said, accepted)
    return _counted(parsed, score, parsed.value)


def _is_order(answer: str) -> bool:
    return len(answer) > 1 and sorted(answer) == list(LETTERS[: len(answer)])


def strict_points(text: str, target: Target, scale: Scale, count: PointsCount) -> Counted:
    """Points on the asked scale: the share of them in the region, or whether the first or any is.

    A point beyond the scale shows that another one was meant, and leaves the answer unparsed. The
    right and lower border belong to the last pixel.
    """
    region = region_of(target)
    height, width = region.shape
    parsed = answers.parse_points(text)
    if parsed.value is None:
        return _counted(parsed, 0.0, None)
    pixels = [in_pixels(point, scale, (height, width)) for point in parsed.value]
    if any(pixel is None for pixel in pixels):
        return Counted(0.0, None, f"a point is not on the asked scale ({scale})", "unparsed")
    whole = [(min(int(p[0]), width - 1), min(int(p[1]), height - 1)) for p in pixels if p]
    inside = inside_pixels(whole, region)
    score = {"share": sum(inside) / len(inside), "first": inside[0], "any": any(inside)}[count]
    return _counted(parsed, float(score), str(parsed.value))


def strict_box(text: str, target: Target, scale: Scale, overlap: float) -> Counted:
    """One box on the asked scale, right where it overlaps the true one enough."""
    if target.box is None or target.image_size is None:
        raise ValueError("expected a box and the image's size to score by, got none")
    parsed = answers.parse_box(text)
    pixels = parsed.value and in_pixels(parsed.value, scale, target.image_size)
    if parsed.value is not None and pixels is None:
        return Counted(0.0, None, f"the box is not on the asked scale ({scale})", "unparsed")
    score = answers.box_overlap(pixels, target.box.tolist()) >= overlap
    return _counted(parsed, float(score), str(parsed.value))


def strict_camera_change(text: str, target: Target) -> Counted:
    """The mean over axes of mean relative accuracy, relative to the truth.

    Over the axes along which truth or answer moves: not to move where nothing moves tells nothing,
    and "nothing moves" earns nothing where something does.
    """
    parsed = answers.parse_camera_change(text)
    if parsed.value is None:
        return _counted(parsed, 0.0, None)
    said = along_axes(parsed.value)
    true = along_axes(true_change(target))
    pairs = [(mine, right) for mine, right in zip(said, true, strict=True) if mine or right]
    scores = [answers.mean_relative_accuracy(mine, right) for mine, right in pairs]
    score = sum(scores) / len(scores) if scores else 1.0
    return _counted(parsed, score, ", ".join(f"{k}:{v:g}" for k, v in parsed.value.items()))


def true_change(target: Target) -> dict[str, float]:
    """The true moves and turns.

    Raises:
        ValueError: The target names none.
    """
    parsed = answers.parse_camera_change(str(target.answer))
    if parsed.value is None:
        raise ValueError(f"expected moves and turns, got {target.answer!r}")
    return parsed.value


def _counted(parsed: ParsedAnswer[Any], score: float, read: str | float | None) -> Counted:
    return Counted(score, None if parsed.value is None else read, parsed.how, parsed.status)
