"""Rays against single primitives in their own frames, element by element, in torch.

A primitive's own frame: its middle at 0, the axis it turns about along z. Only +, -, *, /, roots
and comparisons, so that a ray's result is the same bits whatever it is batched with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

# Keeps a division by an exact 0 finite; less than the rounding of anything that matters.
TINY = 1e-9
# A torus is found by halving intervals, then by Newton's method: 2^-16 of its width, squared twice.
_HALVINGS = 16
_NEWTONS = 3


class Vectors(NamedTuple):
    """Three coordinates in tensors of one shape; apart, they are faster."""

    x: Tensor
    y: Tensor
    z: Tensor

    def dot(self, other: Vectors) -> Tensor:
        """Scalar product."""
        return self.x * other.x + self.y * other.y + self.z * other.z

    def along(self, direction: Vectors, t: Tensor) -> Vectors:
        """The points `self + t * direction`."""
        return Vectors(*(o + t * d for o, d in zip(self, direction, strict=True)))

    def plus(self, other: Vectors) -> Vectors:
        """The sums `self + other`."""
        return Vectors(*(a + b for a, b in zip(self, other, strict=True)))

    def minus(self, other: Vectors) -> Vectors:
        """The differences `self - other`."""
        return Vectors(*(a - b for a, b in zip(self, other, strict=True)))

    def times(self, factor: Tensor | float) -> Vectors:
        """The multiples `factor * self`."""
        return Vectors(*(factor * c for c in self))

    def unit(self) -> Vectors:
        """The same directions of length 1."""
        inverse = self.dot(self).clamp_min(TINY * TINY).rsqrt()
        return Vectors(*(c * inverse for c in self))

    def at(self, index: Tensor) -> Vectors:
        """The vectors at flat indices."""
        return Vectors(*(c.reshape(-1).index_select(0, index) for c in self))

    def turned(self, cosine: Tensor, sine: Tensor) -> Vectors:
        """World axes to those of a thing turned about z; with the sine negated, back."""
        return Vectors(cosine * self.x + sine * self.y, cosine * self.y - sine * self.x, self.z)


Interval = tuple[Tensor, Tensor]


def root(values: Tensor) -> Tensor:
    """Square root, 0 for what rounding has made negative."""
    return values.clamp_min(0).sqrt()


def clip(interval: Interval, start: Tensor, speed: Tensor, half: Tensor) -> Interval:
    """Narrow an interval of the ray to where one coordinate is within +-half."""
    inverse = 1 / (speed + TINY)
    middle, reach = -start * inverse, half * inverse.abs()
    return torch.maximum(interval[0], middle - reach), torch.minimum(interval[1], middle + reach)


def _through_box(local: Vectors, direction: Vectors, half: Vectors) -> Interval:
    far = torch.full_like(direction.x, torch.inf)
    interval = (-far, far)
    for axis in range(3):
        interval = clip(interval, local[axis], direction[axis], half[axis])
    return interval


def _through_sphere(local: Vectors, direction: Vectors, half: Vectors) -> Interval:
    """From the foot of the perpendicular, which loses no digits where b^2 - 4ac would (float32)."""
    square = direction.dot(direction).clamp_min(TINY)
    middle = -local.dot(direction) / square
    foot = local.along(direction, middle)
    # A ray that passes by has a negative square, and so an empty interval.
    left = (half.x * half.x - foot.dot(foot)) / square
    reach = left.abs().sqrt() * left.sign()
    return middle - reach, middle + reach


def _through_cylinder(local: Vectors, direction: Vectors, half: Vectors) -> Interval:
    zero = torch.zeros_like(local.x)
    flat = Vectors(local.x, local.y, zero), Vectors(direction.x, direction.y, zero)
    return clip(_through_sphere(*flat, half), local.z, direction.z, half.z)


def _through_cone(local: Vectors, direction: Vectors, half: Vectors) -> Interval:
    """The tip is at +z; the solid is where `x^2 + y^2 <= (k w)^2`, w the way below the tip."""
    middle = -local.dot(direction) / direction.dot(direction).clamp_min(TINY)
    foot = local.along(direction, middle)
    slope = half.x / (2 * half.z)
    width, widening = slope * (half.z - foot.z), -slope * direction.z
    a = direction.x * direction.x + direction.y * direction.y - widening * widening
    b = foot.x * direction.x + foot.y * direction.y - width * widening
    c = foot.x * foot.x + foot.y * foot.y - width * width
    a = torch.where(a.abs() < TINY, TINY, a)
    left = b * b - a * c
    # The root of the larger size first: no difference of nearly equal numbers.
    big = -(b + torch.where(b < 0, -1.0, 1.0) * root(left))
    big = torch.where(big.abs() < TINY, TINY, big)
    low, high = torch.minimum(big / a, c / big), torch.maximum(big / a, c / big)
    # Flat rays are inside between the roots, on the tip's or the other side of the double cone;
    # steep rays are inside from the root on where it widens, or up to the root where it narrows.
    flat, widens = a > 0, widening > 0
    enter = torch.where(flat, low, torch.where(widens, high, -torch.inf))
    leave = torch.where(flat, high, torch.where(widens, torch.inf, low))
    missed = (left < 0) | (flat & (width * a < widening * b))
    leave = torch.where(missed, -torch.inf, leave)
    enter, leave = clip((enter, leave), foot.z, direction.z, half.z)
    return middle + enter, middle + leave


def _through_torus(local: Vectors, direction: Vectors, half: Vectors) -> Interval:
    """The first surface ahead of the origin; what lies behind it is not told, the exit is endless.

    With s from the foot of the perpendicular, `p(s) = s^4 + q s^2 + e s + g` is negative inside.
    The roots of p'' bracket those of p', and these bracket those of p: no root is lost.
    """
    dtype = local.x.dtype
    local, direction, half = (
        Vectors(*(c.double() for c in vectors)) for vectors in (local, direction, half)
    )
    tube, ring = half.z, half.x - half.z
    length = root(direction.dot(direction)).clamp_min(TINY)
    along = direction.times(1 / length)
    start = local.dot(along)
    foot = local.along(along, -start)
    square = foot.dot(foot)
    lift, four = square + ring * ring - tube * tube, 4 * ring * ring
    q = 2 * lift - four * (along.x * along.x + along.y * along.y)
    e = -2 * four * (foot.x * along.x + foot.y * along.y)
    g = lift * lift - four * (foot.x * foot.x + foot.y * foot.y)

    def p(s: Tensor) -> Tensor:
        return ((s * s + q) * s + e) * s + g

    def slope(s: Tensor) -> Tensor:
        return (4 * s * s + 2 * q) * s + e

    reach = root(half.x * half.x - square)
    low = torch.minimum(torch.maximum(-reach, start), reach)
    bend = torch.minimum(torch.maximum(root(-q / 6), low), reach)
    # Both bends, kept within the search.
    first = torch.minimum(torch.maximum(-root(-q / 6), low), reach)
    turns = _halve(
        slope, torch.stack([low, first, bend]), torch.stack([first, bend, reach]), (1, -1, 1)
    )
    stops = [low, *turns.unbind(0), reach]
    enter_from, enter_to = low, low
    found = torch.zeros_like(low, dtype=torch.bool)
    for near, far in zip(stops[-2::-1], stops[:0:-1], strict=True):
        crosses = p(far) <= 0
        found = found | crosses
        enter_from = torch.where(crosses, near, enter_from)
        enter_to = torch.where(crosses, far, enter_to)
    within = p(low) <= 0
    s = _halve(p, enter_from[None], enter_to[None], (-1,))[0]
    for _ in range(_NEWTONS):
        s = s - p(s) / slope(s).clamp_max(-TINY)
        s = torch.minimum(torch.maximum(s, enter_from), enter_to)
    s = torch.where(within, low, s)
    met = (found | within) & (square < half.x * half.x) & (start < reach)
    enter = ((s - start) / length).to(dtype)
    return enter, torch.where(met, torch.inf, -torch.inf).to(dtype)


def _halve(
    function: Callable[[Tensor], Tensor], low: Tensor, high: Tensor, rising: tuple[int, ...]
) -> Tensor:
    """Where monotone functions of K intervals `(K, n)` cross 0; an end where they do not."""
    sense = torch.tensor(rising, dtype=low.dtype, device=low.device)[:, None]
    at, step = (low + high) / 2, (high - low) / 2 * sense
    for _ in range(_HALVINGS):
        step = step / 2
        at = at - function(at).sign() * step
    return at


def _box_normal(local: Vectors, half: Vectors) -> Vectors:
    """The outward axis of the face that a point is on."""
    out = [c.abs() - h for c, h in zip(local, half, strict=True)]
    on_x = (out[0] >= out[1]) & (out[0] >= out[2])
    on_y = ~on_x & (out[1] >= out[2])
    masks = (on_x, on_y, ~on_x & ~on_y)
    return Vectors(*(c.sign() * mask for c, mask in zip(local, masks, strict=True)))


def _sphere_normal(local: Vectors, half: Vectors) -> Vectors:
    return local.unit()


def _cylinder_normal(local: Vectors, half: Vectors) -> Vectors:
    around = root(local.x * local.x + local.y * local.y)
    cap = local.z.abs() - half.z > around - half.x
    side = (~cap).to(local.x.dtype)
    return Vectors(local.x * side, local.y * side, local.z.sign() * cap).unit()


def _cone_normal(local: Vectors, half: Vectors) -> Vectors:
    around = root(local.x * local.x + local.y * local.y)
    slant = root(half.x * half.x + 4 * half.z * half.z)
    outside = ((around - half.x) * 2 * half.z + (local.z + half.z) * half.x) / slant
    base = -half.z - local.z > outside
    side = (~base).to(local.x.dtype)
    rise = around * half.x / (2 * half.z)
    return Vectors(local.x * side, local.y * side, rise * side - base.to(rise.dtype)).unit()


def _torus_normal(local: Vectors, half: Vectors) -> Vectors:
    around = root(local.x * local.x + local.y * local.y).clamp_min(TINY)
    out = 1 - (half.x - half.z) / around
    return Vectors(local.x * out, local.y * out, local.z).unit()


class Solid(NamedTuple):
    """What a ray caster must know of a primitive; all in the primitive's own frame.

    Attributes:
        through: Origins, directions and half extents -> where rays enter and leave; rays miss where
            they enter later than they leave.
        normal: Points on the surface and half extents -> outward unit normals.
    """

    through: Callable[[Vectors, Vectors, Vectors], Interval]
    normal: Callable[[Vectors, Vectors], Vectors]


SOLIDS: Mapping[str, Solid] = {
    "box": Solid(_through_box, _box_normal),
    "sphere": Solid(_through_sphere, _sphere_normal),
    "cylinder": Solid(_through_cylinder, _cylinder_normal),
    "cone": Solid(_through_cone, _cone_normal),
    "torus": Solid(_through_torus, _torus_normal),
}
