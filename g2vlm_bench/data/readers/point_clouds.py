"""Clouds as truth, scanned or from a laser scanner, with images where there are some."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.data.layout import fill, find, hash_content
from g2vlm_bench.data.reader import Reader
from g2vlm_bench.data.views import check_given, pinhole, read_pinhole
from g2vlm_bench.errors import BenchError
from g2vlm_bench.files import image_size, load_rgb, load_text
from g2vlm_bench.geometry.cameras import project, transform
from g2vlm_bench.geometry.clouds import Cloud
from g2vlm_bench.geometry.meshes import read_points
from g2vlm_bench.paths import safe_join
from g2vlm_bench.sample import Inputs, Sample, Target

Array = NDArray[np.float64]


class Item(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One cloud, as a task file lists it; all paths are below the root.

    Attributes:
        id: Names the sample.
        target: The true cloud.
        images: What a model sees; nothing where a cloud is all there is.
        calibration: A KITTI object calibration file.
        cluster: The scene; the id where it is empty.
    """

    id: str
    target: str
    images: tuple[str, ...] = ()
    calibration: str = ""
    cluster: str = ""


class PointClouds(Reader):
    """Clouds in PLY, PCD, XYZ, PTS or KITTI BIN, listed one by one or found by a pattern.

    Meshes (PLY with faces, OBJ, GLB) are clouds of points drawn from their surface, uniformly by
    area; how many and by which seed, the task says.

    Coordinates are kept as they are, in float64: metrics centre them where they must. Points with
    NaN are dropped. The cloud's own frame is the world, with one exception: where an item has a
    KITTI calibration, its laser points are moved into the frame of the left colour camera by
    `R0_rect Tr_velo_to_cam` and the offset in `P2`, and those that fall into the image are kept;
    the world is then that camera's frame, and they make a sparse depth map, too (the nearest one
    counts where a pixel has several). A sample without images can be scored only on predictions
    made elsewhere (the adapter `files`). One split, `test`. Licence: the data set's.

    Source: Geiger et al. 2012, KITTI object development kit (projection of laser points).

    Args:
        root: The folder.
        target: Pattern of the clouds, such as `velodyne/{id}.bin`.
        images: Patterns of the images of a cloud.
        calibration: Pattern of KITTI calibration files.
        cluster: Pattern of the scene's name; each sample is one where it is empty.
        items: The clouds one by one, instead of patterns: `id`, `target`, and if need be `images`,
            `calibration`, `cluster`.
        intrinsics: `[fx, fy, cx, cy]` of an image whose camera frame the cloud is in already.
        pixel_centre: Where the intrinsics put the centre of the first pixel, 0 or 0.5.
        unit_m: What the files' unit is in metres, such as 0.001.
        mesh_points: How many points are drawn from a mesh; 0 takes its vertices. Needed where a
            file has faces.
        mesh_seed: Of drawing.
        given: `intrinsics`, if a model is given them besides the image.
    """

    def __init__(
        self,
        root: Path,
        *,
        target: str = "",
        images: Sequence[str] = (),
        calibration: str = "",
        cluster: str = "",
        items: Sequence[Mapping[str, Any]] = (),
        intrinsics: Sequence[float] | str | None = None,
        pixel_centre: float = 0.0,
        unit_m: float = 1.0,
        mesh_points: int | None = None,
        mesh_seed: int = 0,
        given: Sequence[str] = (),
    ) -> None:
        self.root = root.resolve()
        self.unit_m, self.given = unit_m, check_given(given)
        self.mesh_points, self.mesh_seed = mesh_points, mesh_seed
        self.intrinsics = None
        if intrinsics is not None:
            self.intrinsics = read_pinhole(self.root, intrinsics, pixel_centre)
        if bool(target) == bool(items):
            raise BenchError(self.root, expected="either 'target' or 'items'", got="both or none")
        self.items = [_item(number, given) for number, given in enumerate(items)]
        for match in find(self.root, target) if target else ():
            names = {"id": match.id, **match.names}
            self.items.append(
                Item(
                    id=match.id,
                    target=match.path.relative_to(self.root).as_posix(),
                    images=tuple(fill(pattern, names, "key 'images'") for pattern in images),
                    calibration=fill(calibration, names, "key 'calibration'"),
                    cluster=fill(cluster, names, "key 'cluster'"),
                )
            )
        self.shows_images = any(item.images for item in self.items)

    def samples(self, split: str) -> Sequence[Sample]:
        """List one sample a cloud."""
        return [
            Sample(
                id=item.id,
                cluster=item.cluster or item.id,
                load_inputs=partial(self._inputs, item),
                load_target=partial(self._target, item),
            )
            for item in self.items
        ]

    def content_hash(self, split: str) -> str:
        """Hash clouds, images and calibrations."""
        return hash_content(
            self.root,
            [
                safe_join(self.root, name)
                for item in self.items
                for name in (item.target, *item.images, item.calibration)
                if name
            ],
        )

    def _inputs(self, item: Item) -> Inputs:
        images = tuple(load_rgb(safe_join(self.root, name)) for name in item.images)
        intrinsics, poses = self._cameras(item)
        return Inputs(
            id=item.id,
            images=images,
            intrinsics=intrinsics if "intrinsics" in self.given else None,
            world_from_camera=poses if "poses" in self.given else None,
        )

    def _target(self, item: Item) -> Target:
        cloud = self._read(safe_join(self.root, item.target))
        points, normals, depth = cloud.points * self.unit_m, cloud.normals, None
        if item.calibration:
            camera = self._calibration(item)
            points = transform(points, camera.camera_from_laser)
            inside, depth = self._seen(points, camera.intrinsics, item)
            points = points[inside]
            if normals is not None:
                normals = normals[inside] @ camera.camera_from_laser[:3, :3].T
        intrinsics, poses = self._cameras(item)
        return Target(
            depth_m=None if depth is None else (depth,),
            points_world=points,
            normals_world=normals,
            intrinsics=intrinsics,
            world_from_camera=poses,
        )

    def _read(self, path: Path) -> Cloud:
        try:
            return read_points(path, self.mesh_points, self.mesh_seed)
        except (ValueError, OSError, ImportError) as error:
            raise BenchError(path, expected="a point cloud", got=error) from None

    def _cameras(self, item: Item) -> tuple[tuple[Array, ...] | None, tuple[Array, ...] | None]:
        if len(item.images) != 1:
            return None, None
        intrinsics = self._calibration(item).intrinsics if item.calibration else self.intrinsics
        return (None, None) if intrinsics is None else ((intrinsics,), (np.eye(4),))

    def _calibration(self, item: Item) -> KittiCamera:
        return read_kitti_calibration(safe_join(self.root, item.calibration))

    def _seen(
        self, points: Array, intrinsics: Array, item: Item
    ) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """Say which points fall into the image, and the sparse depth map they make there."""
        if len(item.images) != 1:
            raise BenchError(
                f"item '{item.id}'", expected="the one image that is calibrated", got=item.images
            )
        height, width = image_size(safe_join(self.root, item.images[0]))
        pixels, depth_m = project(points, intrinsics)
        # NaN, behind the camera, compares as outside.
        inside: NDArray[np.bool_] = np.all((pixels >= 0) & (pixels < (width, height)), axis=1)
        columns, rows = pixels[inside].astype(np.int64).T
        sparse = np.full((height, width), np.inf, np.float32)
        np.minimum.at(sparse, (rows, columns), depth_m[inside].astype(np.float32))
        sparse[np.isinf(sparse)] = np.nan
        return inside, sparse


class KittiCamera(msgspec.Struct, frozen=True):
    """The left colour camera of a KITTI calibration file.

    Attributes:
        intrinsics: 3x3, pixel centres at +0.5.
        camera_from_laser: 4x4, metres.
    """

    intrinsics: Array
    camera_from_laser: Array


def read_kitti_calibration(path: Path) -> KittiCamera:
    """Read `P2`, `R0_rect` and `Tr_velo_to_cam` of a KITTI object calibration file.

    Raises:
        BenchError: The file is missing, or one of the three is missing or of another shape.
    """
    rows = dict(line.split(":", 1) for line in load_text(path).splitlines() if ":" in line)
    try:
        projection = np.array(rows["P2"].split(), dtype=np.float64).reshape(3, 4)
        rectification, laser = np.eye(4), np.eye(4)
        rectification[:3, :3] = np.array(rows["R0_rect"].split(), dtype=np.float64).reshape(3, 3)
        laser[:3] = np.array(rows["Tr_velo_to_cam"].split(), dtype=np.float64).reshape(3, 4)
    except (KeyError, ValueError) as error:
        raise BenchError(path, expected="P2, R0_rect and Tr_velo_to_cam", got=error) from None
    # P2 = K [I | t]: the colour camera stands beside the grey one that the laser is calibrated to.
    offset = np.eye(4)
    offset[:3, 3] = np.linalg.solve(projection[:, :3], projection[:, 3])
    return KittiCamera(
        pinhole(projection[:, :3].ravel().tolist(), 0.0, path), offset @ rectification @ laser
    )


def _item(number: int, given: Mapping[str, Any]) -> Item:
    try:
        return msgspec.convert(given, Item)
    except msgspec.ValidationError as error:
        raise BenchError(f"key 'items', item {number}", got=error, fix="Mend the item.") from None
