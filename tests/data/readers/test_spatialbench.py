"""SpatialBench: the index, encodings of depth by name, masks, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from scipy.spatial import KDTree

from g2vlm_bench.data.readers.spatialbench import Spatialbench
from g2vlm_bench.errors import BenchError


@pytest.fixture
def root(tmp_path, shots):
    """A scene of four frames; the index numbers them as in the source, the folder does not."""
    entry = {
        "scene_id": "tum_a_0_sparse",
        "source_dataset": "tum",
        "scene_path": "a/0",
        "tags": {"view_density": "sparse", "environment": "indoor"},
        "frame_indices": [3, 40, 90, 1000],
        "num_frames_total": 1215,
    }
    other = entry | {"source_dataset": "rlbench", "scene_path": "b", "scene_id": "rlbench_b_sparse"}
    (tmp_path / "all_scenes.json").write_text(json.dumps([entry, other]))
    scene = tmp_path / "sparse/tum/a/0"
    (scene / "poses").mkdir(parents=True)
    (scene / "intrinsics").mkdir()
    camera = shots[0].intrinsics.copy()
    camera[:2, 2] -= 0.5
    np.save(scene / "intrinsics/intrinsic.npy", camera)
    for number, shot in enumerate(shots):
        shot.write_image(scene / f"images/{number:06}.jpg")
        shot.write_depth(scene / f"depths/{number:06}.png", 1000)
        np.save(scene / f"poses/{number:06}.npy", shot.world_from_camera[:3])
    write_meta(scene)
    return tmp_path


def write_meta(scene, **facts) -> None:
    meta = {"depth_format": "uint16_png_div1000", "intrinsic_mode": "shared"} | facts
    (scene / "meta.json").write_text(json.dumps(meta))


def reader(root, **options) -> Spatialbench:
    return Spatialbench(root, without=["rlbench"], **options)


def test_depth_cameras_and_poses_agree(root, shots, agrees) -> None:
    found = reader(root, tags=["sparse", "indoor", "tum"])
    (sample,) = found.samples("test")
    listed = json.loads((root / "all_scenes.json").read_text())
    assert found.counts().items() >= {"scenes": 1, "frames": 4, "listed": len(listed)}.items()
    assert sample.cluster == "tum/a/0"
    assert sample.id == "tum_a_0_sparse/000000-tum_a_0_sparse/000003"
    agrees(sample.load_target(), shots)


@pytest.mark.parametrize(
    ("form", "scale"), [("uint16_png_div100", 100), ("uint16_png_div_655.35", 655.35)]
)
def test_depth_encodings(root, shots, agrees, form, scale) -> None:
    scene = root / "sparse/tum/a/0"
    write_meta(scene, depth_format=form)
    for number, shot in enumerate(shots):
        # Of these encodings one has sky from 65500 on.
        hole = 65501 if form == "uint16_png_div100" else 0
        shot.write_depth(scene / f"depths/{number:06}.png", scale, hole)
    agrees(reader(root).samples("test")[0].load_target(), shots, within_m=0.011)


def test_bare_numbers_and_arrays(root, shots, agrees) -> None:
    scene = root / "sparse/tum/a/0"
    for path in (scene / "depths").iterdir():
        path.unlink()
    for number, shot in enumerate(shots):
        np.save(scene / f"depths/{number:06}.npy", shot.depth_m.astype(np.float32))
    write_meta(scene, depth_format="npy_float32_meters")
    agrees(reader(root).samples("test")[0].load_target(), shots, holes=0)
    for number, shot in enumerate(shots):
        (scene / f"depths/{number:06}.npy").unlink()
        (scene / f"depths/{number:06}.bin").write_bytes(shot.depth_m.astype("<f4").tobytes())
    write_meta(scene, depth_format="float32_binary_12x16")
    agrees(reader(root).samples("test")[0].load_target(), shots, holes=0)


def test_masks_take_depth_out(root) -> None:
    scene = root / "sparse/tum/a/0"
    for name, kept, hole, dtype in (
        ("depth_masks", 255, 0, np.uint8),
        ("sky_masks", 0, 255, np.uint8),
        ("conf_masks", 40000, 30000, np.uint16),
    ):
        (scene / name).mkdir()
        for number in range(4):
            mask = np.full((12, 16), kept, dtype)
            mask[len(name), 2] = hole
            Image.fromarray(mask).save(scene / name / f"{number:06}.png")
    depth = reader(root).samples("test")[0].load_target().depth_m[0]
    assert np.argwhere(np.isnan(depth)).tolist() == [[0, 0], [9, 2], [10, 2], [11, 2]]


def test_scenes_without_depth_or_poses(root) -> None:
    write_meta(root / "sparse/tum/a/0", depth_format="none", pose="none")
    target = reader(root).samples("test")[0].load_target()
    assert (target.depth_m, target.world_from_camera, target.points_world) == (None, None, None)


@pytest.mark.parametrize(
    "facts",
    [
        {"image_state": "distorted_original"},
        {"pyrep_flip": [{"basename": "000000", "flip_lr": True}]},
        {"depth_format": "uint16_png_inverse_encoded"},
        {"depth_format": "float32_binary"},
    ],
)
def test_what_is_not_read_is_refused_with_a_way_out(root, facts) -> None:
    write_meta(root / "sparse/tum/a/0", **facts)
    with pytest.raises(BenchError, match="Leave its data set out by the key 'without'"):
        reader(root)


def test_what_is_wrong_is_named(root) -> None:
    scene = root / "sparse/tum/a/0"
    np.save(scene / "poses/000000.npy", np.full((3, 4), np.inf))
    with pytest.raises(BenchError, match=r"000000\.npy: expected a rigid"):
        reader(root).samples("test")[0].load_target()
    (scene / "poses/000000.npy").unlink()
    with pytest.raises(BenchError, match="poses: expected 4 files, as the index says, got 3"):
        reader(root)
    with pytest.raises(BenchError, match=r"rlbench/b/meta\.json: expected a readable file"):
        Spatialbench(root, tags=["rlbench"])
    for meta in ("", "[]", "{"):
        (scene / "meta.json").write_text(meta)
        with pytest.raises(BenchError, match=r"meta\.json"):
            reader(root)
    (root / "all_scenes.json").write_text('[{"scene_id": "a"}]')
    with pytest.raises(BenchError, match=r"all_scenes\.json: expected a list of scenes"):
        reader(root)


@pytest.mark.parametrize("viewport", ["benchmark", [14, 14]])
def test_a_viewport_shows_picture_depth_and_camera_alike(root, viewport) -> None:
    (stored,) = reader(root).samples("test")
    (sample,) = reader(root, viewport=viewport, given=["intrinsics"]).samples("test")
    width, height = (518, 392) if viewport == "benchmark" else viewport
    inputs, target, whole = sample.load_inputs(), sample.load_target(), stored.load_target()
    for image, depth, true, camera in zip(
        inputs.images, target.depth_m, whole.depth_m, target.intrinsics, strict=True
    ):
        assert image.shape == (height, width, 3)
        assert depth.shape == (height, width)
        assert np.nanmedian(depth) == pytest.approx(np.nanmedian(true), rel=0.2)
        # Cut on both sides of the principal point alike, to whole pixels of 16 x 12.
        assert camera[:2, 2] == pytest.approx([width / 2, height / 2], rel=0.12)
    for given, true in zip(inputs.intrinsics, target.intrinsics, strict=True):
        np.testing.assert_array_equal(given, true)
    # Where the pixels went, the points have stayed: the nearest stored ones are close.
    gaps, _ = KDTree(whole.points_world).query(target.points_world[::97])
    assert np.median(gaps) < 0.1


def test_a_data_set_of_pictures_of_all_proportions_is_shown_in_its_own(root) -> None:
    listing = root / "all_scenes.json"
    entries = json.loads(listing.read_text())
    listing.write_text(json.dumps([entries[0] | {"source_dataset": "lingbot"}]))
    (root / "sparse/tum").rename(root / "sparse/lingbot")
    (sample,) = Spatialbench(root, viewport="benchmark").samples("test")
    # 16 x 12: 518 x 388.5, in whole patches of 14.
    assert sample.load_inputs().images[0].shape == (392, 518, 3)


@pytest.mark.parametrize("viewport", ["518", [518], [0, 14]])
def test_a_viewport_is_the_benchmarks_or_a_size(root, viewport) -> None:
    with pytest.raises(BenchError, match="'viewport': expected benchmark, or width and height"):
        reader(root, viewport=viewport)
