"""ETH3D's high-resolution training scenes: photographs with depth from a laser scanner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.colmap import ColmapCamera, ColmapImage, ColmapModel, read_model
from g2vlm_bench.data.frames import Frame, FrameReader, Sampling, Scene, listed, load_scan
from g2vlm_bench.data.views import View, rigid
from g2vlm_bench.errors import BenchError
from g2vlm_bench.files import load_raw_depth, load_text
from g2vlm_bench.geometry.cameras import pixel_grid, transform
from g2vlm_bench.geometry.cloud_regions import Scan
from g2vlm_bench.paths import safe_join
from g2vlm_bench.sample import Target

Array = NDArray[np.float64]


class Eth3d(FrameReader):
    """Scenes with images as taken, their undistorted versions, COLMAP models and raw depth.

    Layout: `SCENE/images/dslr_images/DSC_0259.JPG`, `SCENE/dslr_calibration_jpg/{cameras,images}
    .txt`, `SCENE/ground_truth_depth/dslr_images/DSC_0259.JPG` (not a JPEG: float32, row by row,
    little-endian, without a header, along z, metres, of the size of the image **as taken**;
    infinity = none) and, for `undistorted`, `SCENE/images/dslr_images_undistorted/` with
    `SCENE/dslr_calibration_undistorted/`. Models are COLMAP's text form: `camera_from_world`,
    quaternions wxyz, pixel centres at +0.5, in metres.

    Images as taken are of a camera that is no pinhole (THIN_PRISM_FISHEYE): they have depth and
    poses but no intrinsics and no points. With `undistorted` they have all of it: each pixel of the
    undistorted image takes the depth of the pixel that its ray falls on in the image as taken, by
    the whole camera model; z is the same, for the two cameras have one centre and one direction.
    Pi3 leaves out the tangential and thin-prism terms and moves pixels forward instead.

    With `scans` the truth is the laser scans that the evaluation is made of (profile `eth3d`), and
    not the pixels with depth: `SCENE/dslr_scan_eval/scan_alignment.mlp`, a MeshLab project, names
    each scan's PLY file, whose scanner stands at its origin, and the 4x4 `world_from_scan`.

    Split: the whole folder is `test`; 13 scenes, 454 images. Marigold scores all of them as taken,
    Pi3 and G2VLM every 5th by name, 97 in all, undistorted. Licence: CC BY-NC-SA 4.0.

    Source: Schoeps et al. 2017, "A Multi-View Stereo Benchmark with High-Resolution Images and
    Multi-Camera Videos"; for the camera model COLMAP's `ThinPrismFisheyeCameraModel`.

    Args:
        root: The folder of the scenes.
        scenes: Names of folders; every one where none is given.
        undistorted: Whether to show the undistorted images.
        scans: Pattern of the MeshLab project below a scene, such as
            `dslr_scan_eval/scan_alignment.mlp`; empty where there is none.
        sampling: Which images of a scene, by name, make samples.
        given: Which of `intrinsics` and `poses` a model is given besides the images.
    """

    def __init__(
        self,
        root: Path,
        *,
        scenes: Sequence[str] = (),
        undistorted: bool = False,
        scans: str = "",
        sampling: Sampling = Sampling(),  # noqa: B008
        given: Sequence[str] = (),
    ) -> None:
        root = root.resolve()
        found = [_scene(folder, undistorted, scans) for folder in listed(root, scenes, "scene")]
        self.take(root, found, sampling, given)


def _scene(folder: Path, undistorted: bool, scans: str) -> Scene:
    models = [read_model(folder / "dslr_calibration_jpg")]
    if undistorted:
        models.append(read_model(folder / "dslr_calibration_undistorted"))
    taken, straight = _by_name(models[0]), _by_name(models[-1])
    if taken.keys() != straight.keys():
        odd = min(taken.keys() ^ straight.keys())
        raise BenchError(folder, expected="the same images in both models", got=f"'{odd}' in one")
    frames = [_frame(folder, name, taken[name], straight[name]) for name in sorted(taken)]
    shared = tuple(path for model in models for path in model.files)
    if not scans:
        return Scene(name=folder.name, frames=frames, shared=shared)
    project = safe_join(folder, scans)
    placed = _placed(project)
    return Scene(
        name=folder.name,
        frames=frames,
        shared=(*shared, project, *(path for path, _ in placed)),
        load_points=partial(_merged, placed),
        complete=partial(_with_scans, placed),
    )


def _placed(project: Path) -> list[tuple[Path, Array]]:
    """Read the scans of a MeshLab project and where they stand."""
    try:
        meshes = list(ElementTree.fromstring(load_text(project)).iter("MLMesh"))
    except ElementTree.ParseError as error:
        raise BenchError(project, expected="a MeshLab project", got=error) from None
    placed = []
    for mesh in meshes:
        name, matrix = mesh.get("filename"), mesh.findtext("MLMatrix44")
        if not name or not matrix:
            raise BenchError(project, expected="a file name and a matrix a mesh", got="none in one")
        try:
            numbers = [float(word) for word in matrix.split()]
        except ValueError as error:
            raise BenchError(project, expected="a 4x4 matrix", got=error) from None
        placed.append((safe_join(project.parent, name), rigid(numbers, project)))
    if not placed:
        raise BenchError(project, expected="a project with scans", got="none")
    return placed


def _merged(placed: Sequence[tuple[Path, Array]]) -> Array:
    return np.concatenate([transform(load_scan(path)(), pose) for path, pose in placed])


def _with_scans(placed: Sequence[tuple[Path, Array]], target: Target) -> Target:
    return replace(target, scans=tuple(Scan(load_scan(path)(), pose) for path, pose in placed))


def _by_name(model: ColmapModel) -> dict[str, ColmapImage]:
    return {Path(image.name).name: image for image in model.images}


def _frame(folder: Path, name: str, taken: ColmapImage, shown: ColmapImage) -> Frame:
    image = safe_join(folder / "images", shown.name)
    depth = folder / "ground_truth_depth/dslr_images" / name
    load = partial(load_raw_depth, depth, taken.camera.size)
    if shown.camera is not taken.camera:
        load = partial(_undistorted, load, taken.camera, shown.camera)
    view = View(
        id=f"{folder.name}/{Path(name).stem}",
        image=image,
        load_depth=load,
        intrinsics=shown.camera.intrinsics if shown.camera.is_pinhole else None,
        load_pose=shown.world_from_camera,
        image_size=shown.camera.size,
    )
    return Frame(view, (image, depth))


def _undistorted(
    load: partial[NDArray[np.float32]], taken: ColmapCamera, shown: ColmapCamera
) -> NDArray[np.float32]:
    depth_m = load()
    x, y = np.moveaxis(pixel_grid(*shown.size), -1, 0)
    camera = shown.intrinsics
    ray_x, ray_y = (x - camera[0, 2]) / camera[0, 0], (y - camera[1, 2]) / camera[1, 1]
    rows, columns = (
        np.floor(part).astype(np.int64) for part in reversed(distort(ray_x, ray_y, taken))
    )
    height, width = depth_m.shape
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    found = depth_m[rows.clip(0, height - 1), columns.clip(0, width - 1)]
    return np.where(inside, found, np.float32(np.nan))


def distort(ray_x: Array, ray_y: Array, camera: ColmapCamera) -> tuple[Array, Array]:
    """Project rays by COLMAP's model THIN_PRISM_FISHEYE.

    Args:
        ray_x: x / z of rays, (...).
        ray_y: y / z of rays, (...).
        camera: With the parameters k1, k2, p1, p2, k3, k4, sx1, sy1.

    Returns:
        Image coordinates x and y in pixels, (...), pixel centres at +0.5.

    Raises:
        BenchError: The camera is of another model.
    """
    if camera.model != "THIN_PRISM_FISHEYE":
        raise BenchError("ETH3D camera", expected="THIN_PRISM_FISHEYE", got=camera.model)
    k1, k2, p1, p2, k3, k4, sx1, sy1 = camera.distortion
    radius = np.hypot(ray_x, ray_y)
    # arctan(r) / r -> 1 at the axis.
    turn = np.where(radius > 1e-9, np.arctan(radius) / np.maximum(radius, 1e-9), 1.0)
    u, v = turn * ray_x, turn * ray_y
    r2 = u * u + v * v
    radial = r2 * (k1 + r2 * (k2 + r2 * (k3 + r2 * k4)))
    du = u * radial + 2 * p1 * u * v + p2 * (r2 + 2 * u * u) + sx1 * r2
    dv = v * radial + 2 * p2 * u * v + p1 * (r2 + 2 * v * v) + sy1 * r2
    matrix = camera.intrinsics
    return matrix[0, 0] * (u + du) + matrix[0, 2], matrix[1, 1] * (v + dv) + matrix[1, 2]
