"""Pictures of scenes with exact depth, normals and instance ids; CPU and CUDA alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from g2vlm_bench.world.pack import Pack, Shot, pack_shots
from g2vlm_bench.world.paint import Rgb
from g2vlm_bench.world.primitives import Vectors, root
from g2vlm_bench.world.raycast import Hits, Meetings, Pairs, camera_pairs, meet, silhouettes, trace
from g2vlm_bench.world.scene import Scene
from g2vlm_bench.world.shading import Looks, looks_of, shade
from g2vlm_bench.world.sight import Sight

# Rays of a chunk: as many as keep a CPU's cache in use, and a GPU busy.
_RAYS_AT_ONCE = {"cpu": 1 << 16, "cuda": 1 << 22}
# With the centre, which is known already, four samples in different rows and columns.
_SUBPIXELS = ((0.05, -0.4), (-0.37, 0.16), (0.32, 0.24))
_EDGE_CONTRAST = 0.07
_PROBE_SIDE = 64


@dataclass(frozen=True, slots=True)
class Views:
    """What V cameras see; tensors on the device that rendered them.

    Attributes:
        rgb: `(V, H, W, 3)` uint8.
        depth_m: `(V, H, W)` float32 z-depth in metres; NaN for the sky of an open place.
        normals_world: `(V, H, W, 3)` float32 unit normals in the world frame, towards the camera; 0
            for the sky.
        instance_ids: `(V, H, W)` int32; 0 is the place and the sky, a body has its id.
        visibility: Per view `(bodies,)` in [0, 1]: the visible share of the pixels that each body
            would fill alone; NaN where it would fill none.
        intrinsics: `(V, 3, 3)` float64, pixels.
        world_from_camera: `(V, 4, 4)` float64.
    """

    rgb: Tensor
    depth_m: Tensor
    normals_world: Tensor
    instance_ids: Tensor
    visibility: tuple[NDArray[np.float64], ...]
    intrinsics: NDArray[np.float64]
    world_from_camera: NDArray[np.float64]


def render(
    shots: Sequence[Shot], height: int, width: int, device: torch.device | str = "cpu"
) -> Views:
    """Render V pictures in one go.

    Geometry is sampled once a pixel, at its centre (+0.5), in float32 (errors under 1e-5 m in
    rooms). Colour is averaged over four samples where the picture has an edge. Ground farther than
    `raycast.HORIZON_M` is sky. The same shot gives the same bytes whatever it is batched with.

    Args:
        shots: The still scene and the camera of each view, as `Scene.shot` gives them.
        height: Rows.
        width: Columns.
        device: Where to compute and to leave the result.

    Raises:
        ValueError: There is no shot or no pixel; a camera looks nowhere, or is inside a body or
            outside its place; a round part is not as wide as it is deep.
    """
    stages = _stages(shots, height, width, device)
    parts = zip(*(stage.picture() for stage in stages), strict=True)
    rgb, depth, normals, ids, sights = parts
    return Views(
        rgb=torch.cat(rgb),
        depth_m=torch.cat(depth),
        normals_world=torch.cat(normals),
        instance_ids=torch.cat(ids),
        visibility=tuple(sight.visibility[0] for found in sights for sight in found),
        intrinsics=np.stack([camera.intrinsics(height, width) for _, camera in shots]),
        world_from_camera=np.stack([camera.world_from_camera for _, camera in shots]),
    )


def amodal_masks(
    shots: Sequence[Shot], height: int, width: int, device: torch.device | str = "cpu"
) -> list[Tensor]:
    """Per view `(bodies, H, W)` bool: where each body would be seen if it were alone.

    Raises:
        ValueError: As in `render`.
    """
    found = []
    for stage in _stages(shots, height, width, device):
        masks = stage.silhouettes().view(len(stage.pack.shots), -1, height, width)
        for (scene, _), mask in zip(stage.pack.shots, masks, strict=True):
            found.append(mask[: len(scene.bodies)])
    return found


def look(
    scenes: Sequence[Scene], views: int, aspect: float = 1.0, device: torch.device | str = "cpu"
) -> list[Sight]:
    """Measure what each scene's first cameras see of each body, without shading it.

    The probe has 64 rows or columns on its shorter side whatever size is rendered later, so that
    questions do not depend on the resolution.

    Args:
        scenes: The scenes; of moving ones, each view sees its own frame.
        views: How many of a scene's cameras, from the first.
        aspect: Width over height of the picture.
        device: Where to compute.

    Raises:
        ValueError: There are no views or more than cameras, the aspect is not positive, or as in
            `render`.
    """
    if views < 1 or not 0 < aspect < np.inf:
        raise ValueError(f"expected views and a positive aspect, got {views} and {aspect}")
    for scene in scenes:
        if views > len(scene.cameras):
            raise ValueError(f"expected {views} cameras of {scene.id}, got {len(scene.cameras)}")
    if not scenes:
        return []
    height = round(_PROBE_SIDE / min(aspect, 1))
    width = round(_PROBE_SIDE * max(aspect, 1))
    shots = [scene.shot(view) for scene in scenes for view in range(views)]
    seen = [sight for stage in _stages(shots, height, width, device) for sight in stage.sights()]
    return [
        Sight(
            share=np.concatenate([s.share for s in own]),
            amodal_share=np.concatenate([s.amodal_share for s in own]),
            hidden_by=np.concatenate([s.hidden_by for s in own]),
        )
        for own in (seen[i : i + views] for i in range(0, len(seen), views))
    ]


@dataclass(frozen=True, slots=True)
class _Stage:
    """A few shots on a device, ready to shoot rays."""

    pack: Pack
    pairs: list[Pairs]
    height: int
    width: int

    def sights(self) -> list[Sight]:
        """What each view sees of each body, one view a sight."""
        origin, direction = self._rays(*self._pixel_centers())
        met = meet(self.pack, origin, direction, self.pairs)
        return self._sights(trace(self.pack, origin, direction, met), met)

    def silhouettes(self) -> Tensor:
        """`(V, N, H*W)` bool, where each body would be seen alone."""
        rays = self._rays(*self._pixel_centers())
        return silhouettes(self.pack, meet(self.pack, *rays, self.pairs))

    def picture(self) -> tuple[Tensor, Tensor, Tensor, Tensor, list[Sight]]:
        """Rgb, depth, normals and ids of every pixel, and what is seen of the bodies."""
        x, y = self._pixel_centers()
        origin, direction = self._rays(x, y)
        met = meet(self.pack, origin, direction, self.pairs)
        hits = trace(self.pack, origin, direction, met)
        looks = looks_of(self.pack)
        light = self._smoothed(looks, shade(self.pack, looks, direction, hits), x, y)
        shape = (len(self.pack.shots), self.height, self.width)
        rgb = torch.stack([(_shown(part) * 255 + 0.5).to(torch.uint8) for part in light], dim=-1)
        normals = torch.stack(list(hits.normal), dim=-1)
        return (
            rgb.reshape(*shape, 3),
            torch.where(torch.isinf(hits.t), torch.nan, hits.t).reshape(shape),
            normals.reshape(*shape, 3),
            self._ids(hits).reshape(shape),
            self._sights(hits, met),
        )

    def _pixel_centers(self) -> tuple[Tensor, Tensor]:
        device = self.pack.focal.device
        rows = torch.arange(self.height, dtype=torch.float32, device=device) + 0.5
        columns = torch.arange(self.width, dtype=torch.float32, device=device) + 0.5
        y, x = torch.meshgrid(rows, columns, indexing="ij")
        return x.reshape(1, -1), y.reshape(1, -1)

    def _rays(self, x: Tensor, y: Tensor) -> tuple[Vectors, Vectors]:
        """Rays through image points `(V or 1, R)`, as long as z = 1, so that t is z-depth."""
        right = (x - self.width / 2) / self.pack.focal
        down = (y - self.height / 2) / self.pack.focal
        axes = self.pack.axes[..., None]
        direction = (axes[:, i, 0] * right + axes[:, i, 1] * down + axes[:, i, 2] for i in range(3))
        return Vectors(*self.pack.position[..., None].unbind(1)), Vectors(*direction)

    def _ids(self, hits: Hits) -> Tensor:
        ids = self.pack.bodies.ids.view(-1).index_select(0, hits.body.clamp_min(0).view(-1))
        return torch.where(hits.body < 0, 0, ids.view(hits.body.shape))

    def _sights(self, hits: Hits, met: Meetings) -> list[Sight]:
        slots = self.pack.bodies.ids.shape[1]
        pixels = self.height * self.width
        views = torch.arange(len(hits.body), device=hits.body.device)[:, None]
        number = torch.arange(slots, device=hits.body.device)[:, None]
        seen = (hits.body - views * slots)[:, None] == number
        alone = silhouettes(self.pack, met)
        # Sums of ones and zeros are exact in float32 up to 2^24 pixels.
        both = torch.bmm(seen.float(), alone.float().transpose(1, 2)).cpu().double().numpy()
        amodal = alone.sum(dim=2).cpu().double().numpy() / pixels
        sights = []
        for (scene, _), pair, whole in zip(self.pack.shots, both / pixels, amodal, strict=True):
            n = len(scene.bodies)
            pair = pair[:n, :n]
            share = np.diagonal(pair).copy()
            sights.append(Sight(share[None], whole[None, :n], (pair - np.diag(share))[None]))
        return sights

    def _smoothed(self, looks: Looks, light: Rgb, x: Tensor, y: Tensor) -> Rgb:
        """Average four samples where neighbours differ."""
        edges = self._edges(light)
        most = int(edges.sum(dim=1).max())
        if most == 0:
            return light
        # Views have different numbers of edge pixels: all get as many slots as the busiest one.
        chosen = torch.argsort(edges.to(torch.uint8), dim=1, descending=True, stable=True)[:, :most]
        pairs = self._of_pixels(chosen)
        x, y = (part.expand_as(edges).gather(1, chosen) for part in (x, y))
        x, y = (
            torch.cat([part + offset[axis] for offset in _SUBPIXELS], dim=1)
            for axis, part in enumerate((x, y))
        )
        origin, direction = self._rays(x, y)
        hits = trace(self.pack, origin, direction, meet(self.pack, origin, direction, pairs))
        parts = shade(self.pack, looks, direction, hits)
        is_edge = edges.gather(1, chosen)
        smooth = []
        for part, more in zip(light, parts, strict=True):
            center = part.gather(1, chosen)
            total = center.clamp(0, 1)
            for sample in more.clamp(0, 1).view(len(more), -1, most).unbind(1):
                total = total + sample
            mean = total / (len(_SUBPIXELS) + 1)
            smooth.append(part.scatter(1, chosen, torch.where(is_edge, mean, center)))
        return tuple(smooth)

    def _of_pixels(self, chosen: Tensor) -> list[Pairs]:
        """The camera's pairs for the subpixels of chosen pixels `(V, most)`."""
        views, most = chosen.shape
        pixels, samples = self.height * self.width, len(_SUBPIXELS)
        starts = torch.arange(views, device=chosen.device)[:, None]
        slots = torch.arange(most, device=chosen.device)
        # Where a chosen pixel's first subpixel stands among the new rays; -1 for other pixels.
        place = torch.full((views * pixels,), -1, dtype=torch.int64, device=chosen.device)
        place[(starts * pixels + chosen).view(-1)] = (starts * most * samples + slots).view(-1)
        found = []
        for pairs in self.pairs:
            first = place.index_select(0, pairs.ray)
            kept = (first >= 0).nonzero().view(-1)
            first, part = first.index_select(0, kept), pairs.part.index_select(0, kept)
            ray = torch.cat([first + sample * most for sample in range(samples)])
            found.append(Pairs(ray, part.repeat(samples)))
        return found

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
    if not shots or height < 1 or width < 1:
        got = f"{len(shots)} shots of {height} x {width}"
        raise ValueError(f"expected at least one shot and one pixel, got {got}")
    with _one_thread():
        yield from _chunks(shots, height, width, device)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep torch's operations on a CPU whole.

    They are too small to be shared: two threads gain little, and on a machine whose cores are all
    busy waiting for each other costs tenfold. Who has cores to spare renders in more processes.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _chunks(
    shots: Sequence[Shot], height: int, width: int, device: torch.device | str
) -> Iterator[_Stage]:
    step = max(1, _RAYS_AT_ONCE[torch.device(device).type] // (height * width))
    for start in range(0, len(shots), step):
        pack = pack_shots(shots[start : start + step], height, width, device)
        yield _Stage(pack, camera_pairs(pack), height, width)


def _shown(light: Tensor) -> Tensor:
    """Brightness on a display, in [0, 1]; its gamma is a square root."""
    return root(light.clamp(0, 1))
