"""MPI Sintel's depth training set: rendered film scenes with `.dpt` depth and `.cam` cameras."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.data.frames import Frame, FrameReader, Sampling, Scene, images_of, listed
from g2vlm_bench.data.views import View, pinhole, rigid
from g2vlm_bench.files import load_cam, load_depth
from g2vlm_bench.geometry.cameras import invert_pose


class Sintel(FrameReader):
    """Sequences of one render pass, with depth and cameras of every frame.

    Layout: `final/SEQUENCE/frame_0001.png` (1024 x 436), `depth/SEQUENCE/frame_0001.dpt`,
    `camdata_left/SEQUENCE/frame_0001.cam`, as in the folder `training` of the two archives (images;
    depth and cameras) put together. A `.dpt` is a tag, width, height and float32 depth along z, in
    the unit of the poses; 0 = none, and the sky has large values, so peers cap at 70. A `.cam` is a
    tag, the 3x3 intrinsics (pixel centres at whole numbers: the centre of 1024 columns is 511.5)
    and the 3x4 `camera_from_world`; the focal length changes within some sequences.

    Split: the whole folder is `test`; 23 sequences of 1,064 frames have truth. MonST3R and those
    after it score 14 of them in the pass `final`, 643 frames: alley_2, ambush_4, ambush_5,
    ambush_6, cave_2, cave_4, market_2, market_5, market_6, shaman_3, sleeping_1, sleeping_2,
    temple_2 and temple_3. Licence: that of the film, CC BY 3.0; the project page asks for citation.

    Source: Butler et al. 2012, "A Naturalistic Open Source Movie for Optical Flow Evaluation".

    Args:
        root: The folder `training`.
        sequences: Names of folders; every one where none is given.
        render: `final`, with blur and haze, or `clean`.
        sampling: Which frames make samples.
        given: Which of `intrinsics` and `poses` a model is given besides the images.
    """

    def __init__(
        self,
        root: Path,
        *,
        sequences: Sequence[str] = (),
        render: str = "final",
        sampling: Sampling = Sampling(),  # noqa: B008
        given: Sequence[str] = (),
    ) -> None:
        root = root.resolve()
        scenes = [
            Scene(
                name=folder.name,
                frames=[_frame(root, image) for image in images_of(folder, "frame_*.png")],
            )
            for folder in listed(root / render, sequences, "sequence")
        ]
        self.take(root, scenes, sampling, given)


def _frame(root: Path, image: Path) -> Frame:
    name = f"{image.parent.name}/{image.stem}"
    depth, camera = root / f"depth/{name}.dpt", root / f"camdata_left/{name}.cam"
    view = View(
        id=name,
        image=image,
        load_depth=partial(load_depth, depth),
        intrinsics=partial(_intrinsics, camera),
        load_pose=partial(_pose, camera),
    )
    return Frame(view, (image, depth, camera))


def _intrinsics(path: Path) -> NDArray[np.float64]:
    return pinhole(load_cam(path)[0].ravel().tolist(), 0.0, path)


def _pose(path: Path) -> NDArray[np.float64]:
    camera_from_world = np.vstack([load_cam(path)[1], [0, 0, 0, 1]])
    return invert_pose(rigid(camera_from_world.ravel().tolist(), path))
