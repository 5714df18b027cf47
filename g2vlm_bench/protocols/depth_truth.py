"""A sample's true depth, and what protocols need of it: valid pixels, edges, links of frames.

What several protocols need is computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.metrics.depth import near_enough, valid_mask, within_quantile
from g2vlm_bench.metrics.depth_edges import DepthEdges, find_edges
from g2vlm_bench.metrics.depth_temporal import Link, follow_surface
from g2vlm_bench.protocols.depth import DepthProtocol
from g2vlm_bench.sample import Target
from g2vlm_bench.task import NoTruthError

Array = NDArray[np.float64]
Map = NDArray[np.float32]
Mask = NDArray[np.bool_]
T = TypeVar("T")


class Once:
    """Remembers what was made under a key."""

    def __init__(self) -> None:
        self._made: dict[Hashable, Any] = {}

    def __call__(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what was made under the key before, or make it."""
        if key not in self._made:
            self._made[key] = make()
        found: T = self._made[key]
        return found


class Truth:
    """The true depth maps of a sample and their valid pixels under each protocol."""

    def __init__(self, target: Target) -> None:
        """Raise `NoTruthError` where the target has no depth."""
        if not target.depth_m:
            raise NoTruthError("the sample has no true depth")
        self.target = target
        self.depths: tuple[Map, ...] = target.depth_m
        self.once = Once()

    def masks(self, protocol: DepthProtocol) -> list[Mask]:
        """The valid pixels of each view."""
        return self.once(valid_key(protocol), lambda: [_mask(d, protocol) for d in self.depths])

    def count(self, protocol: DepthProtocol) -> int:
        """How many pixels of the sample are valid."""
        return sum(int(np.count_nonzero(mask)) for mask in self.masks(protocol))

    def values(self, index: int, protocol: DepthProtocol) -> Array:
        """The true depth of a view's valid pixels, (N,)."""
        mask = self.masks(protocol)[index]
        key = "true", index, valid_key(protocol)
        return self.once(key, lambda: masked(self.depths[index], mask))

    def maps(self, protocol: DepthProtocol) -> list[Array | None]:
        """The true depth of each view, (H, W), NaN where it is not valid; None without a pixel."""
        key = "maps", valid_key(protocol)
        return self.once(
            key,
            lambda: [
                np.where(mask, depth, np.nan) if mask.any() else None
                for depth, mask in zip(self.depths, self.masks(protocol), strict=True)
            ],
        )

    def edges(self, index: int, protocol: DepthProtocol, radius: int) -> DepthEdges:
        """The edges of a view's valid pixels, within a radius as far as the map is large enough."""
        depth, mask = self.depths[index], self.masks(protocol)[index]
        key = "edges", index, radius, valid_key(protocol)
        return self.once(key, lambda: find_edges(np.where(mask, depth, np.nan), radius))

    def links(self, protocol: DepthProtocol) -> list[Link]:
        """Which valid pixels of frames in a row see the same surface.

        Raises:
            ValueError: The target has no cameras.
        """
        key = "links", valid_key(protocol)
        return self.once(key, lambda: follow_surface(self.maps(protocol), *self.cameras()))

    @property
    def has_cameras(self) -> bool:
        """Whether intrinsics and poses are known."""
        return self.target.intrinsics is not None and self.target.world_from_camera is not None

    def cameras(self) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        """Intrinsics and poses of all views.

        Raises:
            ValueError: The target has none.
        """
        target = self.target
        if target.intrinsics is None or target.world_from_camera is None:
            raise ValueError("expected true intrinsics and poses to move frames with, got none")
        return target.intrinsics, target.world_from_camera


def masked(depth: Map, mask: Mask) -> Array:
    """The depth of the masked pixels, (N,), in less than half the time of indexing by the mask."""
    return depth.ravel().take(np.flatnonzero(mask)).astype(np.float64)


def valid_key(protocol: DepthProtocol) -> Hashable:
    """All that decides which pixels are valid."""
    return (
        "mask", protocol.min_depth_m, protocol.max_depth_m, protocol.bounds, protocol.crop,
        protocol.max_over_near, protocol.max_quantile,
    )  # fmt: skip


def _mask(depth: Map, protocol: DepthProtocol) -> Mask:
    near = protocol.min_depth_m
    far = np.inf if protocol.max_depth_m is None else protocol.max_depth_m
    if protocol.bounds == "closed":
        # The next number beyond a bound leaves the bound itself inside.
        far = float(np.nextafter(np.float32(far), np.float32(np.inf)))
        near = max(0.0, float(np.nextafter(np.float32(near), np.float32(-np.inf))))
    mask = valid_mask(depth, near, far, protocol.crop)
    if protocol.max_quantile is not None:
        mask = within_quantile(depth, mask, protocol.max_quantile)
    if protocol.max_over_near is None:
        return mask
    return near_enough(depth, mask, protocol.max_over_near)
