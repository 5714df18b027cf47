"""Prediction and truth as clouds in one frame, before anything is aligned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.geometry import cameras, clouds, lifting
from g2vlm_bench.geometry.alignment import Similarity
from g2vlm_bench.geometry.lifting import View
from g2vlm_bench.geometry.nearest import NeighbourIndex
from g2vlm_bench.protocols.clouds import CloudProtocol
from g2vlm_bench.protocols.clouds_alignment import UNMOVED, fit
from g2vlm_bench.sample import Prediction, Target
from g2vlm_bench.task import NoTruthError

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TrueCloud:
    """The sample's cloud in the frame of comparison, indexed once for all protocols of a task.

    Attributes:
        points: (M, 3) metres, M >= 2.
        normals: (M, 3) unit length, where known.
    """

    points: Array
    normals: Array | None

    @classmethod
    def of(cls, target: Target, frame: str) -> TrueCloud:
        """Move the sample's cloud into a frame.

        Raises:
            NoTruthError: It has none.
        """
        if target.points_world is None or len(target.points_world) < 2:
            raise NoTruthError("the sample has no true cloud")
        move, normals = to_frame(target, frame), target.normals_world
        return cls(
            move.apply(target.points_world),
            None if normals is None else move.apply_normals(normals),
        )

    @cached_property
    def index(self) -> NeighbourIndex:
        """The index of the points, built when it is first asked for."""
        return NeighbourIndex(self.points)


@dataclass(frozen=True, slots=True, eq=False)
class Clouds:
    """Prediction and truth in one frame.

    Attributes:
        true: None where the truth is that of the pixels.
        corresponding: The true point of each predicted one, where a protocol asks for it.
        depth_scale: By which several depth maps were scaled before they were lifted.
        views: That the prediction was lifted from.
        fitted: By the cameras, before anything else is.
    """

    predicted: Array
    true: TrueCloud | None
    corresponding: Array | None = None
    predicted_normals: Array | None = None
    depth_scale: float | None = None
    views: tuple[View, ...] = ()
    fitted: Similarity | None = None

    @property
    def normals(self) -> tuple[Array, Array] | None:
        """Of both clouds, where they came with the points."""
        if self.predicted_normals is None or self.true is None or self.true.normals is None:
            return None
        return self.predicted_normals, self.true.normals


def gather(
    protocol: CloudProtocol, target: Target, prediction: Prediction, true: TrueCloud | None
) -> Clouds:
    """Take predicted points, or lift predicted depth, into the frame of comparison.

    Args:
        protocol: Says which frame, which cameras, and what is fitted on them.
        target: The truth.
        prediction: Points, or depth with what lifts it.
        true: The sample's cloud in that frame; None where it has none.

    Raises:
        ValueError: Neither points nor depth were predicted, or cameras lack or do not match.
    """
    of_cloud = true if protocol.truth == "cloud" else None
    if prediction.points is not None and not protocol.needs_depth:
        _check_digits(prediction.points, protocol.finest_m(target))
        on_cameras = protocol.fitted_on == "cameras"
        return Clouds(
            prediction.points,
            of_cloud,
            predicted_normals=prediction.normals,
            fitted=_fit_cameras(protocol, target, prediction) if on_cameras else None,
        )
    if prediction.depth is None:
        got = "neither" if prediction.points is None else "points alone"
        expected = "depth" if protocol.needs_depth else "points or depth"
        raise ValueError(f"expected predicted {expected}, got {got}")
    views = tuple(_views(protocol, target, prediction))
    scale, fitted = None, None
    if protocol.brings_depth_to_scale and len(views) > 1:
        scale = lifting.shared_depth_scale(views)
    if protocol.fitted_on == "cameras":
        fitted = _fit_cameras(protocol, target, prediction)
        if protocol.camera == "given":
            scale, fitted = fitted.scale, UNMOVED
    corresponding = None
    if protocol.needs_pixels:
        poses = target.world_from_camera or (np.eye(4),)
        in_frame = to_frame(target, protocol.frame)
        corresponding = in_frame.apply(lifting.true_cloud(views, poses))
    lifted = lifting.predicted_cloud(views, scale or 1.0)
    return Clouds(lifted, of_cloud, corresponding, None, scale, views, fitted)


def to_frame(target: Target, frame: str) -> Similarity:
    """The motion from the world into the frame of comparison."""
    if frame == "world" or not target.world_from_camera:
        return UNMOVED
    pose = cameras.invert_pose(target.world_from_camera[0])
    return Similarity(1.0, pose[:3, :3], pose[:3, 3])


def _check_digits(points: Array, finest_m: float) -> None:
    step = clouds.resolution(points) if np.isfinite(points).all() else 0.0
    if step > finest_m:
        raise ValueError(
            f"expected coordinates that tell {finest_m:g} m apart, got float32 ones rounded to "
            f"{step:g} m: keep them in float64, or near the origin"
        )


def _fit_cameras(protocol: CloudProtocol, target: Target, prediction: Prediction) -> Similarity:
    """Fit the predicted cameras' centres to the true ones, both in the protocol's frame."""
    centres = []
    for poses in (prediction.world_from_camera or (), target.world_from_camera or ()):
        if len(poses) < 3:
            raise ValueError(f"expected three cameras to fit on at least, got {len(poses)}")
        from_world = np.eye(4) if protocol.frame == "world" else cameras.invert_pose(poses[0])
        centres.append(np.stack([(from_world @ pose)[:3, 3] for pose in poses]))
    return fit(protocol, *centres)


def _views(protocol: CloudProtocol, target: Target, prediction: Prediction) -> list[View]:
    cams = prediction if protocol.camera == "predicted" else target
    depths = prediction.depth or ()
    if cams.intrinsics is None:
        raise ValueError(f"expected {protocol.camera} intrinsics to lift depth by, got none")
    poses = cams.world_from_camera or ((np.eye(4),) if len(depths) == 1 else ())
    expected = len(target.depth_m or target.intrinsics or cams.intrinsics)
    counts = len(depths), len(cams.intrinsics), len(poses)
    if counts != (expected,) * 3:
        raise ValueError(
            f"expected {expected} depth maps, each with intrinsics and a pose; "
            f"got {counts[0]}, {counts[1]} and {counts[2]}"
        )
    from_world = np.eye(4) if protocol.frame == "world" else cameras.invert_pose(poses[0])
    truths: Sequence[NDArray[Any] | None] = (None,) * expected
    if target.depth_m:
        truths = [protocol.lifted_where(depth) for depth in target.depth_m]
    true_intrinsics = target.intrinsics or (None,) * expected
    return [
        lifting.lift(depths[i], cams.intrinsics[i], from_world @ poses[i], truths[i], matrix)
        for i, matrix in enumerate(true_intrinsics)
    ]
