"""What is measured of aligned depth maps: of pixels, of edges, of frames in a row."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.metrics import depth as depth_metrics
from g2vlm_bench.metrics import depth_temporal
from g2vlm_bench.metrics.depth_edges import MAP_METRICS, DepthEdges, edge_f1, find_edges
from g2vlm_bench.protocols.depth import DepthProtocol
from g2vlm_bench.protocols.depth_truth import Truth
from g2vlm_bench.protocols.depth_views import AlignedView

Array = NDArray[np.float64]

CHANGES = {
    "temporal_flicker": depth_temporal.temporal_flicker,
    "tgm": depth_temporal.temporal_geometric_motion,
}
TEMPORAL_METRICS = (*CHANGES, "tae", "tae_published")
# What a sample's truth lacks where it is unscored under these: nothing could be met or missed.
SOMETIMES_UNDEFINED = {
    **dict.fromkeys(MAP_METRICS, "the true depth has no edge"),
    **dict.fromkeys(CHANGES, "no two true frames in a row share a valid pixel"),
    "tae_published": "fewer than two true frames with known cameras",
    "tae": "no two true frames in a row with known cameras see the same surface",
}


class Measured:
    """The metrics of one sample under one protocol.

    Attributes:
        details: What explains the values, gathered while they are asked for: those of each view,
            and TAE as it is published.
    """

    def __init__(
        self, views: Sequence[AlignedView], truth: Truth, protocol: DepthProtocol, radius: int
    ) -> None:
        """Hold what is measured; `radius` is the largest that edges will be asked for."""
        self.views, self.truth, self.protocol, self.radius = views, truth, protocol, radius
        self.details: dict[str, Any] = {}

    def value(self, metric: str) -> float:
        """Measure.

        Raises:
            ValueError: The metric is undefined for this prediction, or for this truth.
        """
        if metric in MAP_METRICS:
            return self._edge_score(metric)
        if metric in TEMPORAL_METRICS:
            return self._temporal(metric)
        if self.protocol.pool == "pixels" or len(self.views) == 1:
            return _pixel_metric(metric, *self._pooled, self.protocol)
        values = [_pixel_metric(metric, v.depth, v.true, self.protocol) for v in self.views]
        self._note_views(metric, self.views, values)
        by_pixels = [v.true.size for v in self.views] if self.protocol.mean == "pixel" else None
        return float(np.average(values, weights=by_pixels))

    @cached_property
    def _pooled(self) -> tuple[Array, Array]:
        if len(self.views) == 1:
            return self.views[0].depth, self.views[0].true
        depths, truths = zip(*((view.depth, view.true) for view in self.views), strict=True)
        return np.concatenate(depths), np.concatenate(truths)

    def _edge_score(self, metric: str) -> float:
        """The mean over views that have a true edge."""
        views, values = [], []
        for view, predicted in zip(self.views, self._edges, strict=True):
            true = self.truth.edges(view.index, self.protocol, self.radius)
            if true.any_within(_radius(metric)):
                views.append(view)
                values.append(
                    edge_f1(
                        predicted,
                        true,
                        radius=_radius(metric),
                        every_threshold=self.protocol.every_edge_height,
                    )
                )
        if not values:
            raise ValueError("expected an edge in the true depth, got none")
        if len(self.views) > 1:
            self._note_views(metric, views, values)
        return float(np.mean(values))

    @cached_property
    def _edges(self) -> list[DepthEdges]:
        for view in self.views:
            depth_metrics.masked_pixels(view.depth, view.true)
        return [find_edges(view.predicted_map(), self.radius) for view in self.views]

    def _temporal(self, metric: str) -> float:
        predicted: list[Array | None] = [None] * len(self.truth.depths)
        for view in self.views:
            predicted[view.index] = view.predicted_map()
        true = self.truth.maps(self.protocol)
        if metric in CHANGES:
            return CHANGES[metric](predicted, true)
        self.details["tae_published"] = published = self._published
        if metric == "tae":
            links = self.truth.links(self.protocol)
            return depth_temporal.temporal_alignment_error(predicted, true, links)
        if published["prediction"] is None:
            raise ValueError(f"{metric}: expected at least two frames, got {len(self.views)}")
        return published["prediction"]

    @cached_property
    def _published(self) -> dict[str, float | None]:
        """TAE as it is published, which has a mean of its own and gives the truth some, too."""
        return {
            "prediction": self._published_tae([view.whole_map() for view in self.views]),
            "truth": self.truth.once(
                ("published", *(view.index for view in self.views)),
                lambda: self._published_tae([self.truth.depths[v.index] for v in self.views]),
            ),
        }

    def _published_tae(self, depths: Sequence[NDArray[Any]]) -> float | None:
        if len(depths) < 2:
            return None
        intrinsics, poses = (
            [known[view.index] for view in self.views] for known in self.truth.cameras()
        )
        return depth_temporal.published_tae(depths, intrinsics, poses)

    def _note_views(
        self, metric: str, views: Sequence[AlignedView], values: Sequence[float]
    ) -> None:
        """Remember the value of each view, None for those that have none."""
        found = {view.index: value for view, value in zip(views, values, strict=True)}
        self.details.setdefault("views", {})[metric] = [
            found.get(index) for index in range(len(self.truth.depths))
        ]


def is_defined(metric: str, truth: Truth, protocol: DepthProtocol, radius: int) -> bool:
    """Whether a sample's truth has what one of `SOMETIMES_UNDEFINED` measures.

    Args:
        metric: Its name.
        truth: Of the sample.
        protocol: Which pixels are valid.
        radius: The largest that edges will be asked for.
    """
    if metric in MAP_METRICS:
        indices = range(len(truth.depths))
        return any(
            truth.edges(index, protocol, radius).any_within(_radius(metric)) for index in indices
        )
    if metric in CHANGES:
        return depth_temporal.has_pairs(truth.maps(protocol))
    if metric == "tae_published":
        return truth.has_cameras and sum(one is not None for one in truth.maps(protocol)) > 1
    return truth.has_cameras and bool(truth.links(protocol))


def edge_radius(metrics: Sequence[str]) -> int:
    """The largest radius that these metrics look for edges in, 0 where none does."""
    return max((_radius(metric) for metric in metrics if metric in MAP_METRICS), default=0)


def _radius(metric: str) -> int:
    return int(metric[-1])


def _pixel_metric(metric: str, predicted: Array, true: Array, protocol: DepthProtocol) -> float:
    if protocol.skip_to_m is not None:
        # Only what is seen to lie below is left out: NaN stays, and fails.
        counted = ~(predicted <= protocol.skip_to_m)
        predicted, true = predicted[counted], true[counted]
    if metric == "abs_rel":
        return depth_metrics.abs_rel(predicted, true, epsilon=protocol.relative_epsilon_m)
    if metric in depth_metrics.LOG_METRICS and protocol.log_floor_m is not None:
        predicted = depth_metrics.clip_prediction(predicted, protocol.log_floor_m, np.inf)
    return depth_metrics.DEPTH_METRICS[metric](predicted, true, None)
