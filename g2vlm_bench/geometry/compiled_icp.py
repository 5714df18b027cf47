"""Pairs of ICP, compiled: lists of near leaves are kept while the cloud moves."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.geometry.compiled import (
    FAN,
    LANES,
    MOST,
    PLACE,
    REACH,
    SQUARE,
    STACK,
    Boxes,
    Leaves,
    Y,
    Z,
    boxes_of,
    compare,
    kernel,
    leaves_near,
    search_one,
)
from g2vlm_bench.geometry.curve import Array, Indices
from g2vlm_bench.geometry.nearest import in_chunks

# So few points of the sixteen are searched one by one: a new list costs more.
FEW = 3
# How many times a step's motion a list should outlive; longer lists take longer to compare.
OUTLIVED = 3.0


class MovingCloud:
    """A cloud whose nearest targets are wanted again after each of many small motions.

    Sixteen points share a list of leaves that holds every target within a known distance of each
    of them. After a motion the nearest of the list is nearest of all if it is nearer than that
    distance less the way since; else the sixteen get a new list. So every pair is exact. A list
    begins with the leaves that matter first, and the targets of the step before tell how far it
    has to be read.

    Args:
        start: (N, 3) points, N >= 1, less the target's centre.
        target: (M, 3) offsets along a curve.
        places: (N,) the nearest target of each point, M where none is within reach.
        reach_m: targets this far or farther are no pairs.
    """

    def __init__(self, start: Array, target: Array, places: Indices, reach_m: float) -> None:
        # Points with one neighbour share a list best; they are farther apart than their neighbours.
        order = np.argsort(places, kind="stable")
        padded = np.append(order, np.repeat(order[-1], -len(order) % LANES))
        self._count, self._reach_m = len(start), reach_m
        self._start = np.ascontiguousarray(start[padded].T)
        self._boxes: Boxes = boxes_of(target)
        self._places = np.where(places < len(target), places, -1)[padded]
        self._lists = _no_lists(len(padded) // LANES)
        self._motion = np.eye(3, 4)

    def sums(self, rotation: Array, translation: Array) -> Array:
        """Sum over the pairs of the cloud moved from its start.

        Returns:
            (17,) pairs, squared distances, start points (3), targets (3), and products of targets
            by start points (9); the same whatever the number of threads.
        """
        motion = np.column_stack([rotation, translation])
        step, self._motion = motion - self._motion, motion

        def some(chunk: slice) -> Array:
            sums = np.zeros(17)
            packets = chunk.start // LANES, min(chunk.stop, self._start.shape[1]) // LANES
            if step.any():
                _pair(
                    *self._boxes, self._lists, self._start, motion, step, self._reach_m,
                    self._places, *packets,
                )  # fmt: skip
            _add_up(
                self._boxes.columns, self._start, motion, self._places, packets[0] * LANES,
                min(packets[1] * LANES, self._count), sums,
            )  # fmt: skip
            return sums

        total: Array = np.sum(in_chunks(some, self._start.shape[1]), axis=0)
        return total


class _Lists(NamedTuple):
    """What each sixteen points keep.

    Attributes:
        leaves: (P, 192) near them, `lengths` of them.
        slacks: (P, 192) how far each leaf lies inside the known distance of any of the sixteen,
            times -1 and ascending.
        lengths: (P,) of the lists; -1 where there is none.
        places: (3, 16 P) where the points stood when their list was made.
        cover: (16 P,) the distance within which the list holds every target.
    """

    leaves: Leaves
    slacks: NDArray[np.float32]
    lengths: Indices
    places: Array
    cover: Array


def _no_lists(packets: int) -> _Lists:
    return _Lists(
        leaves=np.empty((packets, MOST), dtype=np.int32),
        slacks=np.empty((packets, MOST), dtype=np.float32),
        lengths=np.full(packets, -1),
        places=np.empty((3, packets * LANES)),
        cover=np.empty(packets * LANES),
    )


@kernel
def _pair(
    groups: Array, columns: Array, starts: Indices, lists: _Lists, start: Array, motion: Array,
    step: Array, reach: float, places: Indices, first: int, last: int,
) -> None:  # fmt: skip
    """Find the nearest targets of some packets, from those of the step before."""
    lanes, eight = np.zeros(6 * LANES), np.empty(8)
    stack, waiting = np.empty(STACK, np.int64), np.empty(STACK)
    for packet in range(first, last):
        begin = packet * LANES
        for i in range(LANES):
            a, b, c = start[0, begin + i], start[1, begin + i], start[2, begin + i]
            lanes[i] = motion[0, 0] * a + motion[0, 1] * b + motion[0, 2] * c + motion[0, 3]
            lanes[Y + i] = motion[1, 0] * a + motion[1, 1] * b + motion[1, 2] * c + motion[1, 3]
            lanes[Z + i] = motion[2, 0] * a + motion[2, 1] * b + motion[2, 2] * c + motion[2, 3]
            lanes[SQUARE + i], lanes[PLACE + i] = reach * reach, -1.0
            at = places[begin + i]
            if at >= 0:
                dx, dy = columns[0, at] - lanes[i], columns[1, at] - lanes[Y + i]
                dz = columns[2, at] - lanes[Z + i]
                square = dx * dx + dy * dy + dz * dz
                if square < lanes[SQUARE + i]:
                    lanes[SQUARE + i], lanes[PLACE + i] = square, np.float64(at)
            lanes[REACH + i] = 1.0
        unproven = LANES
        if lists.lengths[packet] >= 0:
            unproven = _read(columns, lists, packet, lanes)
        singly = 0 < unproven <= FEW
        if unproven > FEW:
            a, b, c = start[0, begin], start[1, begin], start[2, begin]
            dx = step[0, 0] * a + step[0, 1] * b + step[0, 2] * c + step[0, 3]
            dy = step[1, 0] * a + step[1, 1] * b + step[1, 2] * c + step[1, 3]
            dz = step[2, 0] * a + step[2, 1] * b + step[2, 2] * c + step[2, 3]
            margin = OUTLIVED * np.sqrt(dx * dx + dy * dy + dz * dz)
            for i in range(LANES):
                radius = np.sqrt(lanes[SQUARE + i]) + margin
                lists.cover[begin + i], lanes[REACH + i] = radius, radius * radius
                lists.places[0, begin + i] = lanes[i]
                lists.places[1, begin + i] = lanes[Y + i]
                lists.places[2, begin + i] = lanes[Z + i]
            count = leaves_near(groups, starts, lanes, stack, eight, lists.leaves[packet])
            lists.lengths[packet] = count
            if count >= 0:
                _sort(groups, lists, packet, lanes)
                _read(columns, lists, packet, lanes)
            singly = count < 0
        if singly:
            for i in range(LANES):
                if lanes[REACH + i] > 0:
                    search_one(groups, columns, starts, lanes, i, stack, waiting, eight)
        for i in range(LANES):
            places[begin + i] = np.int64(lanes[PLACE + i])


@kernel
def _read(columns: Array, lists: _Lists, packet: int, lanes: Array) -> int:
    """Compare with what matters of a list; return for how many lanes it does not suffice.

    These have 1, the others 0 for their reach.
    """
    first = packet * LANES
    slacks, length = lists.slacks[packet], lists.lengths[packet]
    # A leaf nearer than the best so far was nearer than that and the way since.
    needed = -np.inf
    for i in range(LANES):
        dx = lanes[i] - lists.places[0, first + i]
        dy = lanes[Y + i] - lists.places[1, first + i]
        dz = lanes[Z + i] - lists.places[2, first + i]
        moved = np.sqrt(dx * dx + dy * dy + dz * dz)
        # A little less than known, for rounding.
        lanes[REACH + i] = lists.cover[first + i] * (1 - 1e-9) - moved
        needed = max(needed, np.sqrt(lanes[SQUARE + i]) - lanes[REACH + i])
    count = 0
    for j in range(length):
        count += 1 if slacks[j] < needed else 0
    compare(columns, lists.leaves[packet], count, lanes)
    unproven = 0
    for i in range(LANES):
        beyond = np.sqrt(lanes[SQUARE + i]) >= lanes[REACH + i]
        lanes[REACH + i] = 1.0 if beyond else 0.0
        unproven += 1 if beyond else 0
    return unproven


@kernel
def _sort(groups: Array, lists: _Lists, packet: int, lanes: Array) -> None:
    """Put the leaves of a list that matter first to the front."""
    leaves, slacks = lists.leaves[packet], lists.slacks[packet]
    cover = lists.cover[packet * LANES : (packet + 1) * LANES]
    # A little less than it is: more than single precision rounds.
    rounding = 1e-6 * cover.max()
    inside = np.empty(LANES)
    for j in range(lists.lengths[packet]):
        leaf = leaves[j]
        g, c = leaf // FAN, leaf % FAN
        x0, y0, z0 = groups[g, 0, c], groups[g, 1, c], groups[g, 2, c]
        x1, y1, z1 = groups[g, 3, c], groups[g, 4, c], groups[g, 5, c]
        for i in range(LANES):
            dx = max(max(x0 - lanes[i], lanes[i] - x1), 0.0)
            dy = max(max(y0 - lanes[Y + i], lanes[Y + i] - y1), 0.0)
            dz = max(max(z0 - lanes[Z + i], lanes[Z + i] - z1), 0.0)
            inside[i] = np.sqrt(dx * dx + dy * dy + dz * dz) - cover[i]
        for half in (8, 4, 2, 1):
            for i in range(half):
                inside[i] = min(inside[i], inside[half + i])
        slack = np.float32(inside[0] - rounding)
        at = j
        while at > 0 and slacks[at - 1] > slack:
            slacks[at], leaves[at] = slacks[at - 1], leaves[at - 1]
            at -= 1
        slacks[at], leaves[at] = slack, leaf


@kernel
def _add_up(
    columns: Array, start: Array, motion: Array, places: Indices, first: int, stop: int, sums: Array
) -> None:
    """Add some pairs to the sums."""
    for i in range(first, stop):
        at = places[i]
        if at < 0:
            continue
        a, b, c = start[0, i], start[1, i], start[2, i]
        x, y, z = columns[0, at], columns[1, at], columns[2, at]
        dx = x - (motion[0, 0] * a + motion[0, 1] * b + motion[0, 2] * c + motion[0, 3])
        dy = y - (motion[1, 0] * a + motion[1, 1] * b + motion[1, 2] * c + motion[1, 3])
        dz = z - (motion[2, 0] * a + motion[2, 1] * b + motion[2, 2] * c + motion[2, 3])
        sums[0] += 1.0
        sums[1] += dx * dx + dy * dy + dz * dz
        sums[2] += a
        sums[3] += b
        sums[4] += c
        sums[5] += x
        sums[6] += y
        sums[7] += z
        sums[8] += x * a
        sums[9] += x * b
        sums[10] += x * c
        sums[11] += y * a
        sums[12] += y * b
        sums[13] += y * c
        sums[14] += z * a
        sums[15] += z * b
        sums[16] += z * c
