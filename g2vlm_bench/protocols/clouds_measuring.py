"""Two clouds made ready for their metrics: aligned, cut, thinned, and each indexed once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.geometry import cloud_alignment, cloud_regions, clouds, lifting
from g2vlm_bench.geometry.alignment import Similarity
from g2vlm_bench.geometry.cloud_regions import ObservedGrid, Prism
from g2vlm_bench.geometry.lifting import View
from g2vlm_bench.geometry.nearest import NeighbourIndex, as_index
from g2vlm_bench.metrics import laser
from g2vlm_bench.metrics import points as point_metrics
from g2vlm_bench.metrics.laser import BeamEvidence
from g2vlm_bench.metrics.points import CloudDistances
from g2vlm_bench.protocols.clouds import CloudProtocol
from g2vlm_bench.protocols.clouds_alignment import align
from g2vlm_bench.protocols.clouds_gathering import TrueCloud, gather
from g2vlm_bench.sample import Prediction, Target

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Measured:
    """Two clouds as they are compared, and their distances.

    Attributes:
        predicted: The index of the predicted points.
        true: The index of the true ones.
        distances: Of the points that count.
        pairs: Prediction and truth of each view's pixels, where those are compared.
        unaligned: Prediction and truth of all of these, before anything was fitted.
        beams: What a scanner's beams say of the predicted points, where they judge.
        alignment: What was fitted.
        given_normals: Of both clouds, where they came with the points.
    """

    predicted: NeighbourIndex
    true: NeighbourIndex
    distances: CloudDistances
    pairs: tuple[tuple[Array, Array], ...]
    unaligned: tuple[Array, Array]
    beams: BeamEvidence | None
    alignment: Mapping[str, Any]
    given_normals: tuple[Array, Array] | None

    @cached_property
    def normals(self) -> tuple[Array, Array]:
        """Of both clouds: those that came with them, else estimated."""
        return self.given_normals or (
            clouds.estimate_normals(self.predicted),
            clouds.estimate_normals(self.true),
        )

    def share(self, name: str, threshold_m: float) -> float:
        """Precision, recall or F-score at a threshold, by points or by a scanner's beams."""
        if self.beams is None:
            share: float = getattr(point_metrics, name)(self.distances, threshold_m)
            return share
        if name == "precision":
            return laser.free_space_accuracy(self.predicted.points, self.beams, threshold_m)
        if name == "recall":
            found = self.distances.target_to_prediction <= threshold_m
            return laser.voxel_share(self.true.points, found, np.ones(len(found), bool))
        both = self.share("precision", threshold_m), self.share("recall", threshold_m)
        return 2 * both[0] * both[1] / sum(both) if sum(both) > 0 else 0.0


def measure(
    protocol: CloudProtocol, target: Target, prediction: Prediction, true: TrueCloud | None
) -> Measured:
    """Bring both clouds together as the protocol says, and find their nearest neighbours.

    Args:
        protocol: With its lengths in metres.
        target: The truth.
        prediction: Points, or depth with what lifts it.
        true: The sample's cloud in the protocol's frame; None where it has none.

    Raises:
        ValueError: The prediction cannot be scored under this protocol.
    """
    both = gather(protocol, target, prediction, true)
    predicted, record = align(protocol, both)
    pairs: tuple[tuple[Array, Array], ...] = ()
    true_points = both.true.points if both.true is not None else both.corresponding
    assert true_points is not None
    unaligned = both.predicted, true_points
    if protocol.truth == "pixels":
        pairs = _pairs(predicted, true_points, both.views)
        if protocol.window_px is not None:
            inside = lifting.central_window(both.views, protocol.window_px)
            predicted, true_points = predicted[inside], true_points[inside]
    # A cloud that other protocols compare with, too, has its index already.
    shared = both.true if protocol.truth == "cloud" else None
    mine, other, fits = _nearer(protocol, predicted, true_points, shared, target.crop)
    normals = both.normals
    if normals is not None:
        # Only predicted points have normals of their own, and those are under one fit.
        turned = normals[0] @ np.transpose(record["rotation"])
        for fitted in fits.values():
            turned = fitted.apply_normals(turned)
        normals = turned, normals[1]
    if _cuts(protocol):
        mine, other = _reduced(protocol, _points(mine), _points(other), target.crop)
        normals = None
    elif shared is not None:
        other = shared.index
    mine, other = as_index(mine, "prediction", 2), as_index(other, "target", 2)
    return Measured(
        predicted=mine,
        true=other,
        distances=_distances(
            mine, other, target.observed if protocol.region == "observed" else None
        ),
        pairs=pairs,
        unaligned=unaligned,
        beams=laser.beam_evidence(mine.points, target.scans)
        if protocol.region == "beams"
        else None,
        alignment={
            "depth_scale": both.depth_scale,
            **record,
            **{name: fitted.record() for name, fitted in fits.items()},
        },
        given_normals=normals,
    )


def _nearer(
    protocol: CloudProtocol,
    predicted: Array,
    true: Array,
    shared: TrueCloud | None,
    crop: Prism | None,
) -> tuple[Array | NeighbourIndex, Array | NeighbourIndex, dict[str, Similarity]]:
    """Move the aligned prediction by what ICP finds; give both clouds and the motions by name."""
    fits = {}
    if protocol.scaled_icp:
        fits["scaled_icp"] = _refined(protocol, predicted, true, crop)
        predicted = fits["scaled_icp"].apply(predicted)
    if protocol.icp_m is None:
        return predicted, true, fits
    mine = as_index(predicted, "prediction")
    other = as_index(true, "target") if shared is None else shared.index
    fits["icp"] = clouds.icp_point_to_point(mine, other, protocol.icp_m)
    return mine.moved(fits["icp"]), other, fits


def _distances(
    predicted: NeighbourIndex, true: NeighbourIndex, observed: ObservedGrid | None
) -> CloudDistances:
    if observed is not None:
        return point_metrics.observed_distances(predicted, true, observed)
    return point_metrics.cloud_distances(predicted, true)


def _pairs(
    predicted: Array, true: Array, views: tuple[View, ...]
) -> tuple[tuple[Array, Array], ...]:
    """Give prediction and truth of each view's pixels."""
    ends = np.cumsum([len(view.predicted) for view in views])[:-1]
    return tuple(zip(np.split(predicted, ends), np.split(true, ends), strict=True))


def _refined(
    protocol: CloudProtocol, predicted: Array, true: Array, crop: Prism | None
) -> Similarity:
    """Fit one ICP with a scale after the other, each between what of the clouds is in the crop."""
    fitted = Similarity(1.0, np.eye(3), np.zeros(3))
    inside = crop if protocol.region == "crop" else None
    for step in protocol.scaled_icp:
        pair = []
        for name, cloud in (("prediction", fitted.apply(predicted)), ("target", true)):
            cloud = cloud if inside is None else cloud[inside.holds(cloud)]
            if not len(cloud):
                raise ValueError(f"ICP: expected points of the {name} in the crop, got none")
            if step.voxel_m is not None:
                cloud = clouds.voxel_downsample(cloud, step.voxel_m)
            elif step.at_most is not None:
                cloud = cloud[:: max(1, round(len(cloud) / step.at_most))]
            pair.append(cloud)
        found = cloud_alignment.icp_with_scale(
            pair[0], pair[1], step.within_m, still_rmse_m=step.still_rmse_m
        )
        fitted = fitted.then(found)
    return fitted


def _cuts(protocol: CloudProtocol) -> bool:
    """Whether points are merged, moved or dropped before they are compared."""
    sizes = protocol.crop_margin_m, protocol.thin_m, protocol.voxel_m, protocol.at_most_points
    return protocol.region == "crop" or any(size is not None for size in sizes)


def _reduced(
    protocol: CloudProtocol, predicted: Array, true: Array, crop: Prism | None
) -> tuple[Array, Array]:
    """Crop, thin and down-sample."""
    if protocol.region == "crop":
        assert crop is not None
        predicted, true = predicted[crop.holds(predicted)], true[crop.holds(true)]
    if protocol.crop_margin_m is not None:
        margin = protocol.crop_margin_m
        predicted = clouds.crop_box(predicted, true.min(axis=0) - margin, true.max(axis=0) + margin)
    if protocol.at_most_points is not None and len(predicted) > protocol.at_most_points:
        generator = np.random.default_rng(protocol.seed)
        drawn = generator.choice(len(predicted), protocol.at_most_points, replace=False)
        predicted = predicted[drawn]
    if protocol.thin_m is not None:
        predicted = cloud_regions.thin_greedily(predicted, protocol.thin_m, protocol.seed)
    if protocol.voxel_m is not None:
        means = clouds.voxel_downsample
        if protocol.voxel_grid == "world":
            means = cloud_regions.voxel_means_on_world_grid
        predicted, true = means(predicted, protocol.voxel_m), means(true, protocol.voxel_m)
    return predicted, true


def _points(cloud: Array | NeighbourIndex) -> Array:
    return cloud.points if isinstance(cloud, NeighbourIndex) else cloud
