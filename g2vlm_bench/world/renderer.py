"""Pictures of scenes with exact depth, normals and instance ids; CPU and CUDA alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from g2vlm_bench.world.raycast import Hits, Pack, Vectors, pack_scenes, root, trace
from g2vlm_bench.world.scene import Camera, Scene
from g2vlm_bench.world.shading import Paint, Rgb, paint_scenes, shade

Shot = tuple[Scene, Camera]

# Rays of a chunk. On a CPU a chunk stays below the size that torch cuts into threads: two threads
# gain little here, and on a machine whose cores are all busy waiting for each other costs tenfold.
_RAYS_AT_ONCE = {"cpu": 1 << 15, "cuda": 1 << 22}
# With the centre, which is known already, four samples in different rows and columns.
_SUBPIXELS = ((0.05, -0.4), (-0.37, 0.16), (0.32, 0.24))
_EDGE_CONTRAST = 0.07
_PROBE_SIDE = 64


@dataclass(frozen=True, slots=True)
class Views:
    """What V cameras see; tensors on the device that rendered them.

    Attributes:
        rgb: `(V, H, W, 3)` uint8.
        depth_m: `(V, H, W)` float32 z-depth in metres; every pixel is valid.
        normals_world: `(V, H, W, 3)` float32 unit normals in the world frame, towards the camera.
        instance_ids: `(V, H, W)` int32; 0 is the room, a body has its id.
        intrinsics: `(V, 3, 3)` float64, pixels.
        world_from_camera: `(V, 4, 4)` float64.
    """

    rgb: Tensor
    depth_m: Tensor
    normals_world: Tensor
    instance_ids: Tensor
    intrinsics: NDArray[np.float64]
    world_from_camera: NDArray[np.float64]


def render(
    shots: Sequence[Shot], height: int, width: int, device: torch.device | str = "cpu"
) -> Views:
    """Render V pictures in one go.

    Geometry is sampled once a pixel, at its centre (+0.5), in float32 (errors under 1e-5 m).
    Colour is averaged over four samples where the picture has an edge. The same shot gives the
    same bytes whatever it is batched with.

    Args:
        shots: The scene and the camera of each view.
        height: Rows.
        width: Columns.
        device: Where to compute and to leave the result.

    Raises:
        ValueError: There is no shot, or the picture has no pixel.
    """
    if not shots or height < 1 or width < 1:
        got = f"{len(shots)} shots of {height} x {width}"
        raise ValueError(f"expected at least one shot and one pixel, got {got}")
    parts = zip(*(stage.picture() for stage in _stages(shots, height, width, device)), strict=True)
    rgb, depth, normals, ids = (torch.cat(part) for part in parts)
    return Views(
        rgb=rgb,
        depth_m=depth,
        normals_world=normals,
        instance_ids=ids,
        intrinsics=np.stack([camera.intrinsics(height, width) for _, camera in shots]),
        world_from_camera=np.stack([camera.world_from_camera for _, camera in shots]),
    )


def visible_shares(
    scenes: Sequence[Scene], views: int, aspect: float = 1.0, device: torch.device | str = "cpu"
) -> list[NDArray[np.float64]]:
    """Measure how much of each picture each body fills, without shading it.

    The probe has 64 rows or columns on its shorter side whatever size is rendered later, so that
    questions do not depend on the resolution.

    Args:
        scenes: The scenes.
        views: How many of a scene's cameras, from the first.
        aspect: Width over height of the picture.
        device: Where to compute.

    Returns:
        Per scene `(views, bodies)`, the share of the picture's pixels in [0, 1].
    """
    height = round(_PROBE_SIDE / min(aspect, 1))
    width = round(_PROBE_SIDE * max(aspect, 1))
    shots = [(scene, camera) for scene in scenes for camera in scene.cameras[:views]]
    seen = [stage.ids().cpu().numpy() for stage in _stages(shots, height, width, device)]
    ids = np.concatenate([np.zeros((0, height * width)), *seen])
    ids = ids.reshape(len(scenes), views, height * width)
    return [
        np.stack([(maps == body.id).mean(axis=-1) for body in scene.bodies], axis=-1)
        for scene, maps in zip(scenes, ids, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class _Stage:
    """A few shots on a device, ready to shoot rays."""

    pack: Pack
    paint: Paint
    axes: Tensor
    """`(V, 3, 3)`, world_from_camera rotations."""
    position: Tensor
    """`(V, 3)`, metres."""
    focal: Tensor
    """`(V, 1)`, pixels."""
    height: int
    width: int

    def ids(self) -> Tensor:
        """`(V, H*W)` int32 instance ids."""
        return self._ids(trace(self.pack, *self._rays(*self._pixel_centers())))

    def picture(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Rgb, depth, normals and ids of every pixel."""
        x, y = self._pixel_centers()
        hits = trace(self.pack, *self._rays(x, y))
        light = self._smoothed(shade(self.pack, self.paint, hits), x, y)
        shape = (len(self.focal), self.height, self.width)
        rgb = torch.stack([(_shown(part) * 255 + 0.5).to(torch.uint8) for part in light], dim=-1)
        normals = torch.stack(list(hits.normal), dim=-1)
        return (
            rgb.reshape(*shape, 3),
            hits.t.reshape(shape),
            normals.reshape(*shape, 3),
            self._ids(hits).reshape(shape),
        )

    def _pixel_centers(self) -> tuple[Tensor, Tensor]:
        device = self.focal.device
        rows = torch.arange(self.height, dtype=torch.float32, device=device) + 0.5
        columns = torch.arange(self.width, dtype=torch.float32, device=device) + 0.5
        y, x = torch.meshgrid(rows, columns, indexing="ij")
        return x.reshape(1, -1), y.reshape(1, -1)

    def _rays(self, x: Tensor, y: Tensor) -> tuple[Vectors, Vectors]:
        """Rays through image points `(V or 1, R)`, as long as z = 1, so that t is z-depth."""
        right = (x - self.width / 2) / self.focal
        down = (y - self.height / 2) / self.focal
        axes = self.axes[..., None]
        direction = (axes[:, i, 0] * right + axes[:, i, 1] * down + axes[:, i, 2] for i in range(3))
        return Vectors(*self.position[..., None].unbind(1)), Vectors(*direction)

    def _ids(self, hits: Hits) -> Tensor:
        if not self.pack.shapes:
            return torch.zeros_like(hits.slot, dtype=torch.int32)
        return torch.where(hits.slot < 0, 0, self.pack.ids.gather(1, hits.slot.clamp_min(0)))

    def _smoothed(self, light: Rgb, x: Tensor, y: Tensor) -> Rgb:
        """Average four samples where neighbours differ."""
        edges = self._edges(light)
        most = int(edges.sum(dim=1).max())
        if most == 0:
            return light
        # Views have different numbers of edge pixels: all get as many slots as the busiest one.
        chosen = torch.argsort(edges.to(torch.uint8), dim=1, descending=True, stable=True)[:, :most]
        x, y = (part.expand_as(edges).gather(1, chosen) for part in (x, y))
        centers = [part.gather(1, chosen) for part in light]
        sums = [center.clamp(0, 1) for center in centers]
        for dx, dy in _SUBPIXELS:
            hits = trace(self.pack, *self._rays(x + dx, y + dy))
            parts = shade(self.pack, self.paint, hits)
            sums = [total + part.clamp(0, 1) for total, part in zip(sums, parts, strict=True)]
        is_edge = edges.gather(1, chosen)
        return tuple(
            part.scatter(1, chosen, torch.where(is_edge, total / (len(_SUBPIXELS) + 1), center))
            for part, center, total in zip(light, centers, sums, strict=True)
        )

    def _edges(self, light: Rgb) -> Tensor:
        """Pixels `(V, H*W)` that differ visibly from a neighbour."""
        edges = torch.zeros_like(light[0], dtype=torch.bool)
        marks = edges.view(-1, self.height, self.width)
        for part in light:
            picture = _shown(part).view(marks.shape)
            down = (picture[:, 1:] - picture[:, :-1]).abs() > _EDGE_CONTRAST
            across = (picture[:, :, 1:] - picture[:, :, :-1]).abs() > _EDGE_CONTRAST
            marks[:, 1:] |= down
            marks[:, :-1] |= down
            marks[:, :, 1:] |= across
            marks[:, :, :-1] |= across
        return edges


def _stages(
    shots: Sequence[Shot], height: int, width: int, device: torch.device | str
) -> Iterator[_Stage]:
    step = max(1, _RAYS_AT_ONCE[torch.device(device).type] // (height * width))
    for start in range(0, len(shots), step):
        chunk = shots[start : start + step]
        scenes = [scene for scene, _ in chunk]
        poses = np.stack([camera.world_from_camera for _, camera in chunk])
        focal = [[camera.intrinsics(height, width)[0, 0]] for _, camera in chunk]
        yield _Stage(
            pack=pack_scenes(scenes, device),
            paint=paint_scenes(scenes, device),
            axes=torch.tensor(poses[:, :3, :3], dtype=torch.float32, device=device),
            position=torch.tensor(poses[:, :3, 3], dtype=torch.float32, device=device),
            focal=torch.tensor(focal, dtype=torch.float32, device=device),
            height=height,
            width=width,
        )


def _shown(light: Tensor) -> Tensor:
    """Brightness on a display, in [0, 1]; its gamma is a square root."""
    return root(light.clamp(0, 1))
