"""A scene as a task shows it: its pictures, rendered when a sample is opened, and its truth."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.geometry.cameras import invert_pose, transform, unproject
from g2vlm_bench.sample import Inputs, ObjectTruth, Target
from g2vlm_bench.world.scene import Scene

if TYPE_CHECKING:
    from g2vlm_bench.world.renderer import Views

UP_WORLD = np.array([0.0, 0.0, 1.0])
# A sparse depth map knows so many of the pixels, each with a relative error of this deviation.
SPARSE_SHARE, SPARSE_NOISE = 0.005, 0.03


@dataclass(frozen=True, slots=True)
class Frame:
    """How scenes are shown.

    Attributes:
        views: Pictures of a scene: the first cameras around a still one, frames of a moving one.
        height: Rows of a picture.
        width: Columns of a picture.
        given: What the inputs hold beside pictures: `intrinsics`, `poses`, `sparse_depth`.
    """

    views: int
    height: int
    width: int
    given: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Shown:
    """One scene, and how it is shown.

    Attributes:
        scene: The scene.
        frame: How.
        render: Gives its pictures; may keep the last ones.
    """

    scene: Scene
    frame: Frame
    render: Callable[[Scene, Frame], Views] = field(repr=False)

    @property
    def id(self) -> str:
        """Names the scene and its number of views."""
        return f"{self.scene.id}-{self.frame.views}v"

    @property
    def views(self) -> Views:
        """Its pictures and their truth, on the CPU."""
        return self.render(self.scene, self.frame)

    def inputs(self, name: str) -> Inputs:
        """What a model sees of it."""
        views = self.views
        poses, given = views.world_from_camera, self.frame.given
        return Inputs(
            id=name,
            images=tuple(views.rgb.numpy().copy()),
            intrinsics=_each(views.intrinsics) if "intrinsics" in given else None,
            world_from_camera=_each(poses) if "poses" in given else None,
            depth_prior_m=self._sparse_depth() if "sparse_depth" in given else None,
        )

    def _sparse_depth(self) -> tuple[NDArray[np.float32], ...]:
        """A few pixels' depth with noise, as of a small laser; the same for a scene always."""
        depth = self.views.depth_m.numpy()
        rng = np.random.default_rng(zlib.crc32(self.id.encode()))
        known = rng.random(depth.shape) < SPARSE_SHARE
        noisy = depth * np.exp(SPARSE_NOISE * rng.standard_normal(depth.shape))
        return tuple(np.where(known, noisy, np.nan).astype(np.float32))

    def depth(self) -> Target:
        """Depth, cameras and what each pixel shows, of every view."""
        views = self.views
        return Target(
            depth_m=tuple(views.depth_m.numpy().copy()),
            intrinsics=_each(views.intrinsics),
            world_from_camera=_each(views.world_from_camera),
            segments=tuple(views.instance_ids.numpy().copy()),
        )

    def cloud(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The surface point and normal of every pixel that shows one, in the world frame."""
        views = self.views
        cameras = zip(views.depth_m.numpy(), views.intrinsics, views.world_from_camera, strict=True)
        points = np.concatenate(
            [transform(unproject(depth, k), pose).reshape(-1, 3) for depth, k, pose in cameras]
        )
        normals = views.normals_world.numpy().reshape(-1, 3).astype(np.float64)
        seen = np.isfinite(points).all(axis=1)  # the sky of an open place has no point
        return points[seen], normals[seen]

    def objects(self, bodies: Sequence[int]) -> tuple[ObjectTruth, ...]:
        """The bodies of some ids: their pixels in every view, and their middles."""
        views = self.views
        ids = views.instance_ids.numpy()
        first_from_world = invert_pose(views.world_from_camera[0])
        # Of a moving scene, the middle is where it is in the first picture.
        still = self.scene.shot(0)[0]
        return tuple(
            ObjectTruth(
                name=still.body(number).name,
                masks=tuple(picture == number for picture in ids),
                center=transform(still.body(number).center_m[None], first_from_world)[0],
            )
            for number in bodies
        )

    def up(self) -> NDArray[np.float64]:
        """The direction against gravity in the first camera's frame."""
        return np.asarray(self.views.world_from_camera[0][:3, :3].T @ UP_WORLD)


def _each(matrices: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    # Copies: what a model does to its inputs must not reach the cached views.
    return tuple(matrices.copy())
