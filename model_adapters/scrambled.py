"""Reference row: an oracle gone wrong, which must not get the best value of any metric."""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.adapter import TruthAdapter
from g2vlm_bench.sample import Inputs, Prediction

_SCALE = 3.0  # Beyond 1.25^3, so that unaligned depth has no inlier at any threshold.
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_OTHER_DIGITS = str.maketrans("0123456789", "5678901234")


class Scrambled(TruthAdapter):
    """The truth, spoilt so that no alignment repairs it.

    Everything stays finite, of the same shape, and positive where it is a depth. What cannot be
    spoilt stays right: an affine fit to a constant depth map, a similarity fit to two cameras or
    to cameras that do not move, the only option of a question.
    """

    def distort(self, perfect: Prediction, inputs: Inputs, rng: np.random.Generator) -> Prediction:
        """Spoil every part of a perfect prediction."""
        wrong = perfect
        if perfect.depth is not None:
            wrong = replace(wrong, depth=tuple(_spoil_depth(view, rng) for view in perfect.depth))
        if perfect.point_maps is not None:
            maps = tuple(_spoil_point_map(view, rng) for view in perfect.point_maps)
            wrong = replace(wrong, point_maps=maps)
        if perfect.points is not None:
            wrong = replace(wrong, points=_spoil_points(perfect.points, rng))
        if perfect.normals is not None:
            wrong = replace(wrong, normals=_directions(len(perfect.normals), rng))
        if perfect.intrinsics is not None:
            wrong = replace(wrong, intrinsics=tuple(map(_spoil_intrinsics, perfect.intrinsics)))
        if perfect.world_from_camera is not None:
            wrong = replace(wrong, world_from_camera=_spoil_poses(perfect.world_from_camera, rng))
        if perfect.confidence is not None:
            wrong = replace(
                wrong,
                confidence=tuple(
                    rng.random(c.shape).astype(np.float32) for c in perfect.confidence
                ),
            )
        if perfect.masks is not None:
            wrong = replace(wrong, masks=tuple(~mask for mask in perfect.masks))
        if perfect.location is not None:
            away = 1.0 + 2.0 * float(np.linalg.norm(perfect.location))
            wrong = replace(wrong, location=perfect.location + away * _directions(1, rng)[0])
        if perfect.embedding is not None:
            wrong = replace(wrong, embedding=rng.standard_normal(perfect.embedding.shape))
        return _spoil_answer(wrong, inputs, rng)


def _spoil_depth(depth_m: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Spoil a depth map: wrong scale, noise, a band that stands out, and a few extreme pixels.

    Noise alone would not do: least squares would answer it with a constant, which is within 25 %
    of the truth everywhere in a shallow scene. So noise and band leave the map correlated with the
    truth (r of about 0.75), and the outliers get the leverage at which a line fitted by least
    squares misses them most: n of N values, `std * sqrt(N / n)` away from the others, halve the
    slope and stay `r / 2 * sqrt(N / n)` standard deviations of the truth away from it. Some are
    too far, for fits in depth, and some too near, for fits in disparity. The band leaves a hole in
    a cloud, which noise in a dense one would not.
    """
    valid = np.isfinite(depth_m) & (depth_m > 0)
    count = int(valid.sum())
    if count == 0:
        return np.full(depth_m.shape, _SCALE, np.float32)
    log_depth = np.log(depth_m[valid].astype(np.float64))
    spread = max(float(log_depth.std()), 0.01)
    noise = 0.5 * spread * rng.standard_normal(count)
    wrong = _SCALE * np.exp(log_depth + noise + 2.0 * spread * _band(valid, rng))
    # Many where the scene is deep, so that some lie within any crop; in a shallow one only few can
    # be far off. Too far shows most where the truth is near, and the other way round.
    n_outliers = max(int(count * min(spread**2 / 64, 1e-3)), min(2, count // 8), 1)
    nearer_half, farther_half = np.array_split(np.argsort(log_depth, kind="stable"), 2)
    far = rng.permutation(nearer_half)[:n_outliers]
    near = rng.permutation(farther_half)[:n_outliers]
    leverage = math.sqrt(count / n_outliers)
    disparity = 1.0 / wrong
    # A floor under the spread spoils a map of one value too.
    wrong[far] += leverage * max(wrong.std(), 0.1 * wrong.mean())
    disparity[near] += leverage * max(disparity.std(), 0.1 * disparity.mean())
    wrong[near] = 1.0 / disparity[near]
    full = np.full(depth_m.shape, np.median(wrong))
    full[valid] = wrong
    return full.astype(np.float32)


def _spoil_point_map(points: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Spoil a point map: move its points along their rays as a depth map is spoilt, and turn them.

    Either alone would leave something right: the rays, or the points after a rigid fit.
    """
    depth = points[..., 2]
    moved = points * (_spoil_depth(depth, rng) / np.where(depth == 0, 1, depth))[..., None]
    turned = moved.astype(np.float64) @ _rotation(1.0, rng).T
    return np.asarray(np.where(np.isfinite(turned), turned, _SCALE), np.float32)


def _band(valid: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Choose an eighth of the valid pixels that lie side by side."""
    columns = np.nonzero(valid)[1]
    order = np.argsort(columns, kind="stable")
    width = len(columns) // 8
    start = int(rng.integers(len(columns) - width + 1))
    chosen = np.zeros(len(columns), bool)
    chosen[order[start : start + width]] = True
    return chosen


def _spoil_points(points: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Spoil a cloud: cut it in three along its longest axis, each part at a scale of its own.

    A similarity can bring one part home, never two: so neither means nor medians nor ratios of
    points are best after one. Noise takes the rest of the fit, and the normals of flat parts.
    """
    if len(points) == 0:
        return points
    centre = points.mean(axis=0)
    offset = points - centre
    spread = float(np.sqrt((offset**2).sum(axis=1).mean())) or 1.0
    longest = np.linalg.eigh(offset.T @ offset)[1][:, -1]
    rank = np.empty(len(points), np.int64)
    rank[np.argsort(offset @ longest, kind="stable")] = np.arange(len(points))
    part_scale = np.array([1.5, 1.0, 2.2])[rank * 3 // len(points)]
    noise = 0.05 * spread * rng.standard_normal(points.shape)
    wrong = _SCALE * (offset * part_scale[:, None] + noise) @ _rotation(2.0, rng).T
    return np.asarray(wrong + centre + 2.0 * spread * _directions(1, rng), np.float64)


def _spoil_intrinsics(intrinsics: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(intrinsics * np.array([[1.5, 1.0, 1.2], [1.0, 1.5, 1.2], [1.0, 1.0, 1.0]]))


def _spoil_poses(
    poses: Sequence[NDArray[np.float64]], rng: np.random.Generator
) -> tuple[NDArray[np.float64], ...]:
    """Turn every second camera round, so that neighbours disagree; throw the positions about."""
    positions = np.array([pose[:3, 3] for pose in poses])
    spread = float(np.sqrt(positions.var(axis=0).sum())) or 1.0
    wrong = []
    for index, pose in enumerate(poses):
        spoilt = np.array(pose, np.float64)
        angle = rng.uniform(2.2, math.pi) if index % 2 else rng.uniform(0.1, 0.4)
        spoilt[:3, :3] = pose[:3, :3] @ _rotation(angle, rng)
        spoilt[:3, 3] += 2.0 * spread * rng.standard_normal(3)
        wrong.append(spoilt)
    return tuple(wrong)


def _directions(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    drawn = rng.standard_normal((count, 3))
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), np.float64)


def _rotation(angle: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Rotate by an angle about a random axis (Rodrigues' formula)."""
    x, y, z = _directions(1, rng)[0]
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.asarray(np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross)


def _spoil_answer(perfect: Prediction, inputs: Inputs, rng: np.random.Generator) -> Prediction:
    wrong = perfect
    index = _wrong_choice(perfect, inputs.choices, rng)
    loglikelihoods = perfect.choice_loglikelihoods
    if loglikelihoods is not None and len(loglikelihoods) > 1:
        spoilt = np.full(len(loglikelihoods), math.log(0.1 / (len(loglikelihoods) - 1)))
        spoilt[index] = math.log(0.9)
        wrong = replace(wrong, choice_loglikelihoods=spoilt)
    if perfect.answer is None:
        return wrong
    if inputs.answer_type == "choice" and inputs.choices:
        right = _right_choice(perfect, inputs.choices)
        return replace(wrong, answer=_rename(perfect.answer, right, index, inputs.choices))
    if inputs.answer_type == "yes_no":
        said_yes = perfect.answer.strip().casefold().startswith("y")
        return replace(wrong, answer="no" if said_yes else "yes")
    if inputs.answer_type == "number":
        return replace(wrong, answer=_NUMBER.sub(_spoil_number, perfect.answer, count=1))
    return replace(wrong, answer=_spoil_text(perfect.answer))


def _right_choice(perfect: Prediction, choices: Sequence[str]) -> int:
    """Find the option that a perfect prediction means, by likelihood, by text, or by letter."""
    if perfect.choice_loglikelihoods is not None and len(perfect.choice_loglikelihoods):
        return int(np.argmax(perfect.choice_loglikelihoods))
    said = (perfect.answer or "").strip().casefold()
    texts = [choice.strip().casefold() for choice in choices]
    if said in texts:
        return texts.index(said)
    letter = said.strip("().: ")
    return ord(letter) - ord("a") if len(letter) == 1 and letter.isascii() else 0


def _wrong_choice(perfect: Prediction, choices: Sequence[str], rng: np.random.Generator) -> int:
    """Draw an option that differs from the right one, in text too where options repeat."""
    right = _right_choice(perfect, choices)
    likelihoods = perfect.choice_loglikelihoods
    count = len(choices) or (0 if likelihoods is None else len(likelihoods))
    others = [i for i in range(count) if i != right]
    if right < len(choices):
        others = [i for i in others if choices[i] != choices[right]] or others
    return int(rng.choice(others)) if others else 0


def _rename(answer: str, right: int, index: int, choices: Sequence[str]) -> str:
    """Name another option in the way the right one was named, by its letter or by its text."""
    letter = answer.strip("(). ")
    if letter.upper() == chr(ord("A") + right):
        return answer.replace(letter, chr(ord("A") + index))
    return choices[index]


def _spoil_number(match: re.Match[str]) -> str:
    """Move a number by more than twice itself, away from zero."""
    value = float(match[0])
    spoilt = 3.0 * value + math.copysign(1.0, value)
    return f"{spoilt:.0f}" if spoilt.is_integer() else repr(spoilt)


def _spoil_text(answer: str) -> str:
    spoilt = codecs.encode(answer, "rot13").translate(_OTHER_DIGITS)
    return spoilt if spoilt != answer else "scrambled"
