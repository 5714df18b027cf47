"""Scenes with a COLMAP model, depth maps and a scan where there are some: ScanNet++, your own."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

from g2vlm_bench.colmap import ColmapImage, read_model
from g2vlm_bench.data.frames import (
    EACH_FRAME,
    MESH_POINTS,
    Frame,
    FrameReader,
    Sampling,
    Scene,
    listed,
    load_scan,
)
from g2vlm_bench.data.layout import fill
from g2vlm_bench.data.views import View
from g2vlm_bench.errors import BenchError
from g2vlm_bench.files import load_depth
from g2vlm_bench.paths import safe_join


class ColmapScenes(FrameReader):
    """Folders of scenes, each with a COLMAP model, images and depth maps.

    Layout: that of ScanNet++ with its toolkit's rendered depth, for the iPhone:
    `SCENE/iphone/colmap/{cameras,images}.txt` (or `.bin`), `SCENE/iphone/rgb/NAME`,
    `SCENE/iphone/render_depth/STEM.png` and `SCENE/scans/mesh_aligned_0.05.ply`; other layouts by
    the patterns. Depth is a 16-bit PNG of 1000 a metre, 0 = none; depth is z. Intrinsics and poses
    (`camera_from_world`, quaternions wxyz, pixel centres at +0.5) are the model's. A model fixes no
    scale; ScanNet++ aligns its own with the laser scan, so that it is in metres.

    Cameras that distort are refused: ScanNet++ has `OPENCV` (iPhone) and `OPENCV_FISHEYE` (DSLR)
    images, which its toolkit (`dslr.undistort`) or COLMAP's `image_undistorter` makes straight.
    Points made of a distorted depth map would be wrong at the borders.

    One split, `test`. Licence of ScanNet++: its own terms of use, by application.

    Source: Yeshwanth et al. 2023, "ScanNet++"; its toolkit's `common/scene_release.py` (0e09d43).

    Args:
        root: The folder of the scenes.
        scenes: Names of folders; every one where none is given.
        model: Folder of the model; `{scene}` is the scene's name.
        images: Folder of the images.
        depth: Pattern of the depth maps; `{stem}` is an image's name without suffix, `{file}` the
            same without folders. Empty where there are none.
        depth_scale: Stored value of one metre.
        scan: Pattern of the scan (a cloud, a mesh, or a model's `points3D`), the truth in place of
            the depth maps' points. Empty where there is none.
        mesh_points: How many points are drawn from a scan that is a mesh, uniformly by area: a
            million where none is said, as in Depth Anything 3's benchmark; 0 takes its vertices.
        mesh_seed: Of drawing.
        only: Take only images whose name holds this text, such as `iphone`.
        without: Patterns (`*`) of images, with their scene, that are left out, such as
            `relief/*427.JPG`.
        ignore_distortion: Take the first four parameters of a distorting camera for the whole, as
            peers do that were trained so.
        sampling: Which frames make samples.
        given: Which of `intrinsics` and `poses` a model is given besides the images.
    """

    def __init__(
        self,
        root: Path,
        *,
        scenes: Sequence[str] = (),
        model: str = "{scene}/iphone/colmap",
        images: str = "{scene}/iphone/rgb",
        depth: str = "{scene}/iphone/render_depth/{stem}.png",
        depth_scale: float | None = 1000.0,
        scan: str = "",
        mesh_points: int = MESH_POINTS,
        mesh_seed: int = 0,
        only: str = "",
        without: Sequence[str] = (),
        ignore_distortion: bool = False,
        sampling: Sampling = EACH_FRAME,
        given: Sequence[str] = (),
    ) -> None:
        root = root.resolve()
        self.images, self.depth, self.only = images, depth, only
        self.open_depth = partial(load_depth, scale=depth_scale)
        self.ignore_distortion, self.without = ignore_distortion, tuple(without)
        scan_of = partial(load_scan, mesh_points=mesh_points, mesh_seed=mesh_seed)
        found = []
        for name in [folder.name for folder in listed(root, scenes, "scene")]:
            folder = safe_join(root, fill(model, {"scene": name}, "key 'model'"))
            read = read_model(folder)
            frames = [self._frame(root, name, image) for image in read.images]
            cloud = safe_join(root, fill(scan, {"scene": name}, "key 'scan'")) if scan else None
            found.append(
                Scene(
                    name=name,
                    frames=[frame for frame in frames if frame is not None],
                    shared=(*read.files, *([cloud] if cloud else [])),
                    load_points=scan_of(cloud) if cloud else None,
                )
            )
        self.take(root, found, sampling, given)

    def _frame(self, root: Path, scene: str, image: ColmapImage) -> Frame | None:
        names = {
            "scene": scene,
            "stem": image.name.rpartition(".")[0],
            "file": Path(image.name).stem,
        }
        path = safe_join(root, Path(fill(self.images, names, "key 'images'"), image.name))
        # A model is made of more images than a benchmark ships.
        left_out = any(fnmatchcase(f"{scene}/{image.name}", pattern) for pattern in self.without)
        if left_out or self.only not in image.name or not path.is_file():
            return None
        if not image.camera.is_pinhole and not self.ignore_distortion:
            raise BenchError(
                image.where,
                expected="an image without distortion",
                got=f"the camera model {image.camera.model}",
                fix="Undistort images and depth maps, or set 'ignore_distortion: true'.",
            )
        depth = safe_join(root, fill(self.depth, names, "key 'depth'")) if self.depth else None
        view = View(
            id=f"{scene}/{names['stem']}",
            image=path,
            load_depth=partial(self.open_depth, depth) if depth else None,
            intrinsics=image.camera.intrinsics,
            load_pose=image.world_from_camera,
            image_size=image.camera.size,
        )
        return Frame(view, (path, depth) if depth else (path,))
