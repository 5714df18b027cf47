"""CO3Dv2: PyTorch3D cameras, float16 bits in PNGs, gzipped annotations of two forms."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
from PIL import Image

from g2vlm_bench.data.frames import Sampling
from g2vlm_bench.data.readers.co3d import Co3d
from g2vlm_bench.errors import BenchError

FLIP = np.diag([-1.0, -1.0, 1.0])


def pytorch3d(shot, form: str = "ndc_norm_image_bounds") -> dict:
    """A camera in PyTorch3D's terms: row vectors, x left, y up, image borders at +-1."""
    height, width = shot.depth_m.shape
    x, y = (width / 2, height / 2) if "norm" in form else (height / 2, height / 2)
    (fx, _, cx), (_, fy, cy) = shot.intrinsics[:2]
    return {
        "R": (FLIP @ shot.camera_from_world[:3, :3]).T.tolist(),
        "T": (FLIP @ shot.camera_from_world[:3, 3]).tolist(),
        "focal_length": [fx / x, fy / y],
        "principal_point": [(width / 2 - cx) / x, (height / 2 - cy) / y],
        "intrinsics_format": form,
    }


def write(path, content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(json.dumps(content).encode()))


@pytest.fixture(params=["ndc_norm_image_bounds", "ndc_isotropic"])
def root(tmp_path, shots, request):
    frames = []
    for number, shot in enumerate(shots):
        folder = "apple/110_13051_23361"
        image = f"{folder}/images/frame{number + 1:06}.jpg"
        shot.write_image(tmp_path / image)
        depth = f"{folder}/depths/frame{number + 1:06}.png"
        (tmp_path / depth).parent.mkdir(parents=True, exist_ok=True)
        half = (shot.depth_m / 0.5).astype(np.float16)
        half[0, 0] = 0
        Image.fromarray(half.view(np.uint16)).save(tmp_path / depth)
        mask = f"{folder}/depth_masks/frame{number + 1:06}.png"
        (tmp_path / mask).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full(half.shape, 255, np.uint8)).save(tmp_path / mask)
        frames.append(
            {
                "sequence_name": "110_13051_23361",
                "frame_number": number,
                "image": {"path": image, "size": list(half.shape)},
                "depth": {"path": depth, "scale_adjustment": 0.5, "mask_path": mask},
                "viewpoint": pytorch3d(shot, request.param),
            }
        )
    write(tmp_path / "apple/frame_annotations.jgz", frames)
    return tmp_path


def test_depth_cameras_and_poses_agree(root, shots, agrees) -> None:
    (sample,) = Co3d(root, sampling=Sampling(views=0)).samples("test")
    assert sample.cluster == "110_13051_23361"
    assert sample.tags == {"category": "apple"}
    agrees(sample.load_target(), shots, within_m=0.01)  # float16 has 11 bits


def test_the_mask_takes_depth_out(root) -> None:
    mask = np.full((12, 16), 255, np.uint8)
    mask[3, 4] = 0
    Image.fromarray(mask).save(root / "apple/110_13051_23361/depth_masks/frame000001.png")
    (depth,) = Co3d(root).samples("test")[0].load_target().depth_m
    assert np.argwhere(np.isnan(depth)).tolist() == [[0, 0], [3, 4]]


def lists(root, shots, per_sequence: int = 52) -> dict:
    images = sorted(root.glob("apple/*/images/*.jpg"))
    frames = [
        {"filepath": images[n].relative_to(root).as_posix(), **pytorch3d(shot)}
        for n, shot in enumerate(shots)
    ]
    return {"110_13051_23361": frames}


def test_test_lists_without_depth(root, shots) -> None:
    write(root / "lists/apple_test.jgz", lists(root, shots))
    reader = Co3d(
        root, annotations="lists/{category}_test.jgz", sampling=Sampling(random=3, views=0)
    )
    (sample,) = reader.samples("test")
    target = sample.load_target()
    assert (target.depth_m, target.points_world) == (None, None)
    drawn = np.random.RandomState(42).choice(4, 3, replace=False)
    for index, pose in zip(drawn, target.world_from_camera, strict=True):
        np.testing.assert_allclose(pose, shots[index].world_from_camera, atol=1e-9)


def test_sequences_with_a_translation_gone_astray_are_left_out(root, shots) -> None:
    content = lists(root, shots)
    astray = json.loads(json.dumps(content["110_13051_23361"]))
    astray[2]["T"] = [2e5, 0, 0]
    # The sum has no absolute value, in peers as here.
    negative = json.loads(json.dumps(content["110_13051_23361"]))
    negative[2]["T"] = [-2e5, 0, 0]
    write(root / "apple_test.jgz", {"astray": astray, "negative": negative, "empty": []})
    reader = Co3d(root, annotations="{category}_test.jgz")
    assert {sample.cluster for sample in reader.samples("test")} == {"negative"}
    with pytest.raises(BenchError, match="annotations of 'pear'"):
        Co3d(root, annotations="{category}_test.jgz", categories=["pear"])


def test_mirrored_cameras_leave_one_sample_unscored(root, shots) -> None:
    content = lists(root, shots)
    content["110_13051_23361"][0]["R"] = np.diag([1.0, 1, -1]).tolist()
    write(root / "apple_test.jgz", content)
    samples = Co3d(root, annotations="{category}_test.jgz").samples("test")
    with pytest.raises(BenchError, match=r"frame000001\.jpg: expected a rigid .*left-handed"):
        samples[0].load_target()
    assert samples[1].load_target().world_from_camera


def test_broken_annotations_are_named(root, shots) -> None:
    path = root / "apple/frame_annotations.jgz"
    whole = path.read_bytes()
    content = lists(root, shots)
    del content["110_13051_23361"][0]["R"]
    damaged = (
        b"",
        whole[:-20],
        b"no gzip",
        gzip.compress(b"{"),
        gzip.compress(b"[3]"),
        gzip.compress(b"7"),
        gzip.compress(json.dumps(content).encode()),
    )
    for bad in damaged:
        path.write_bytes(bad)
        with pytest.raises(BenchError, match=r"frame_annotations\.jgz: expected gzipped"):
            Co3d(root)


def test_paths_out_of_the_root_are_refused(root, shots) -> None:
    content = lists(root, shots)
    content["110_13051_23361"][0]["filepath"] = "../secret.jpg"
    write(root / "apple_test.jgz", content)
    with pytest.raises(BenchError, match="within the folder"):
        Co3d(root, annotations="{category}_test.jgz")
