"""Fits that bring a predicted cloud to the true one, and depth maps that are merged behind them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.geometry import (
    alignment,
    cameras,
    cloud_alignment,
    fusion,
    lifting,
    meshes,
)
from g2vlm_bench.geometry.alignment import Similarity
from g2vlm_bench.protocols.clouds import CloudProtocol

if TYPE_CHECKING:
    from g2vlm_bench.protocols.clouds_gathering import Clouds

Array = NDArray[np.float64]
_BY_SCALE = ("scale", "lower_median_scale", "mean_norm")
UNMOVED = Similarity(1.0, np.eye(3), np.zeros(3))


def align(protocol: CloudProtocol, both: Clouds) -> tuple[Array, dict[str, Any]]:
    """Give the prediction aligned, merged where the protocol says so, and what was fitted.

    Raises:
        ValueError: The fit is undetermined, or there is no true depth to fit on.
    """
    corresponding = both.corresponding
    if protocol.needs_pixels and corresponding is None:
        raise ValueError(f"expected true depth to fit {protocol.alignment} on, got none")
    if protocol.fitted_per == "view" and corresponding is not None:
        labels = lifting.view_numbers(both.views)
        of_view = partial(fit, protocol)
        moved, fits = cloud_alignment.align_segments(of_view, both.predicted, corresponding, labels)
        return moved, {"views": [fitted.record() for fitted in fits.values()]}
    fitted = both.fitted or UNMOVED
    scaled_already = both.depth_scale is not None and protocol.alignment in _BY_SCALE
    if protocol.fitted_on == "pixels" and not scaled_already:
        target = corresponding
        if target is None:
            assert both.true is not None
            target = both.true.points
        fitted = fit(protocol, both.predicted, target)
    if protocol.fusion is not None or protocol.consistency is not None:
        return _merged(protocol, both, fitted), fitted.record()
    return fitted.apply(both.predicted), fitted.record()


def fit(protocol: CloudProtocol, source: Array, target: Array) -> Similarity:
    """Fit the protocol's alignment, once.

    Raises:
        ValueError: As the alignment itself.
    """
    match protocol.alignment:
        case "none":
            return UNMOVED
        case "scale":
            return alignment.median_norm_scale(source, target)
        case "lower_median_scale":
            return cloud_alignment.lower_median_scale(source, target)
        case "mean_norm":
            return cloud_alignment.mean_norm_scale(source, target)
        case "joint_median":
            return cloud_alignment.joint_median(source, target)
        case "sim3_ransac":
            drawn = protocol.ransac
            return cloud_alignment.umeyama_ransac(
                source, target, protocol.seed, drawn.subsets, drawn.size, drawn.inlier_m
            )
        case "sim3_symmetric":
            return cloud_alignment.symmetric_similarity(source, target)
        case _:
            return alignment.umeyama(source, target, with_scale=protocol.alignment == "sim3")


def _merged(protocol: CloudProtocol, both: Clouds, fitted: Similarity) -> Array:
    """Merge the aligned depth maps: by a surface, or where they agree."""
    depth_scale = both.depth_scale or 1.0
    depths = [lifting.depth_map(view, depth_scale * fitted.scale) for view in both.views]
    poses = [
        cameras.pose_matrix(fitted.rotation @ view.pose[:3, :3], fitted.apply(view.pose[:3, 3]))
        for view in both.views
    ]
    matrices = [view.intrinsics for view in both.views]
    if protocol.consistency is not None:
        agreed = protocol.consistency
        points = fusion.consistent_points(depths, matrices, poses, agreed.within_m, agreed.views)
        if not len(points):
            raise ValueError(
                f"expected pixels that {agreed.views} depth maps agree on within "
                f"{agreed.within_m:g} m, got none"
            )
        return points
    assert protocol.fusion is not None
    sizes = protocol.fusion
    mesh = fusion.fuse_tsdf(
        depths, matrices, poses,
        sizes.voxel_m, sizes.truncation_m, sizes.max_depth_m, sizes.along,
    )  # fmt: skip
    return meshes.sample_mesh(mesh, sizes.points, protocol.seed)
