"""MoGe's packs: depth on a logarithmic scale with its ends in the PNG's text."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from g2vlm_bench.data.readers.moge_pack import MogePack
from g2vlm_bench.errors import BenchError
from g2vlm_bench.files import load_png16, png_text
from g2vlm_bench.plugins import Plugins
from g2vlm_bench.profile import load_profile
from g2vlm_bench.sample import Ambiguity
from g2vlm_bench.task import TaskDefinition


def write_depth(path, depth, **text) -> None:
    near, far = np.nanmin(depth), np.nanmax(depth[np.isfinite(depth)])
    with np.errstate(invalid="ignore"):
        part = np.log(depth / near) / np.log(far / near)
    values = np.where(np.isfinite(part), 1 + np.round(part * 65533), 0).astype(np.uint16)
    values[np.isposinf(depth)] = 65535
    info = PngInfo()
    for key, value in ({"near": near, "far": far} | text).items():
        info.add_text(key, str(value))
    Image.fromarray(values).save(path, pnginfo=info)


@pytest.fixture
def root(tmp_path, shots):
    names = [f"room_{n // 2}/view_{n}" for n in range(4)]
    for name, shot in zip(names, shots, strict=True):
        folder = tmp_path / name
        shot.write_image(folder / "image.jpg")
        depth = shot.depth_m.copy()
        depth[0, 0], depth[0, 1] = np.nan, np.inf
        write_depth(folder / "depth.png", depth)
        camera = np.diag([1 / 16, 1 / 12, 1]) @ shot.intrinsics
        (folder / "meta.json").write_text(json.dumps({"intrinsics": camera.tolist()}))
    (tmp_path / ".index.txt").write_text("\n".join(names) + "\n")
    return tmp_path


def test_depth_and_camera_agree(root, shots) -> None:
    samples = MogePack(root).samples("test")
    assert [s.cluster for s in samples] == [s.id for s in samples]
    for sample, shot in zip(samples, shots, strict=True):
        target = sample.load_target()
        (depth,), (camera,) = target.depth_m, target.intrinsics
        assert np.argwhere(np.isnan(depth)).tolist() == [[0, 0], [0, 1]]
        # One step of the scale is ln(far / near) / 65533 of the depth.
        np.testing.assert_allclose(depth[1:], shot.depth_m[1:], rtol=2e-5)
        np.testing.assert_allclose(camera, shot.intrinsics)
        assert len(target.points_world) == 12 * 16 - 2


def test_scale_by_hand(root) -> None:
    # near 1, far e^2: the middle of the scale, (1 + 65534) / 2 rounded up, is e.
    path = root / "room_0/view_0/depth.png"
    info = PngInfo()
    info.add_text("near", "1")
    info.add_text("far", str(np.exp(2)))
    info.add_text("unit", "0.5")
    stored = np.ones((12, 16), np.uint16)
    stored[0, 1:3] = [32768, 65534]
    Image.fromarray(stored).save(path, pnginfo=info)
    (depth,) = MogePack(root).samples("test")[0].load_target().depth_m
    np.testing.assert_allclose(depth[0, :3], [0.5, 0.5 * np.e, 0.5 * np.e**2], rtol=3e-5)
    assert png_text(path)["unit"] == "0.5"
    assert load_png16(path).dtype == np.uint16


def write_segmentation(path, mask, labels) -> None:
    """As MoGe's `write_segmentation` (moge/utils/io.py, 0744441)."""
    info = PngInfo()
    if labels is not None:
        info.add_text("labels", json.dumps(labels, separators=(",", ":")))
    Image.fromarray(mask).save(path, pnginfo=info)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_segments_are_those_that_moges_loader_keeps(root, dtype) -> None:
    """Rows of 16: of the sky 5, of a chair 2, a lamp 3, a cup 1 and one row without a name."""
    offset = 0 if dtype is np.uint8 else 300
    mask = np.repeat([7, 7, 7, 7, 7, 1, 1, 2, 2, 2, 3, 9], 16).reshape(12, 16)
    # The smallest value is a segment, too: none is set apart by its number.
    labels = {"sky": 7, "chair": 1, "lamp": 2, "cup": 3, "background": 4, "unseen": 5}
    labels = {name: value + offset - 1 for name, value in labels.items()}
    write_segmentation(
        root / "room_0/view_0/segmentation.png", (mask + offset - 1).astype(dtype), labels
    )

    def rows(**keys):
        (segments,) = MogePack(root, **keys).samples("test")[0].load_target().segments
        assert segments.dtype == np.int32
        assert (segments == segments[:, :1]).all()
        return segments[:, 0].tolist()

    assert rows(least_segment_px=16) == [0] * 5 + [2, 2, 1, 1, 1, 3, 0]
    assert rows(least_segment_px=17) == [0] * 5 + [2, 2, 1, 1, 1, 0, 0]
    assert rows(least_segment_px=0, most_segments=1) == [0] * 5 + [0, 0, 1, 1, 1, 0, 0]
    assert rows() == [0] * 12  # 1,000 pixels
    samples = MogePack(root).samples("test")
    assert samples[1].load_target().segments is None
    assert MogePack(root, segmentation="").samples("test")[0].load_target().segments is None


def test_a_segmentation_belongs_to_the_content_and_to_its_sample(root) -> None:
    plain = MogePack(root, cluster_folders=1).content_hash("test")
    write_segmentation(
        root / "room_0/view_1/segmentation.png", np.ones((12, 16), np.uint8), {"wall": 1}
    )
    reader = MogePack(root, cluster_folders=1, least_segment_px=1)
    assert reader.content_hash("test") != plain
    assert MogePack(root, segmentation="", cluster_folders=1).content_hash("test") == plain
    found = [sample.load_target().segments is not None for sample in reader.samples("test")]
    assert found == [False, True, False, False]


def test_moge_local_is_scored_on_a_pack(root, shots) -> None:
    halves = np.repeat([[1, 2]], 12, axis=0).repeat(8, axis=1).astype(np.uint8)
    write_segmentation(root / "room_0/view_0/segmentation.png", halves, {"table": 1, "wall": 2})
    plugins = Plugins.find()
    (local,) = load_profile(plugins.path("profile", "moge")).expand("point_map", "local", "")
    definition = TaskDefinition(
        name="point_map/test", version=1, family="point_map", data={}, headline="",
        metrics=["local_abs_rel"], protocols=[local],
    )  # fmt: skip
    family = plugins.family(definition, check_headline=False)
    first, second, *_ = MogePack(root, least_segment_px=20).samples("test")
    true = first.load_target()
    values = family.score(true, family.truth(true), Ambiguity.METRIC).values
    assert values == pytest.approx({"local_abs_rel@moge.local": 0}, abs=1e-6)
    assert family.weights(true) == {"segments@moge.local": 1.0}
    assert family.weights(second.load_target()) == {"segments@moge.local": 0.0}


@pytest.mark.parametrize(
    ("mask", "labels", "says"),
    [
        (np.ones((12, 16), np.uint8), None, "'labels', names and values"),
        (np.ones((12, 16), np.uint8), ["wall"], "'labels', names and values"),
        (np.ones((12, 16), np.uint8), {"wall": "1"}, "'labels', names and values"),
        (np.ones((16, 12), np.uint8), {"wall": 1}, r"the size \(12, 16\) of depth.png"),
        (np.ones((12, 16, 3), np.uint8), {"wall": 1}, "a PNG of one channel of 8 or 16 bits"),
    ],
)
def test_segmentations_that_are_none(root, mask, labels, says) -> None:
    write_segmentation(root / "room_0/view_0/segmentation.png", mask, labels)
    with pytest.raises(BenchError, match=rf"segmentation\.png: expected {says}"):
        MogePack(root).samples("test")[0].load_target()


def test_subsets_and_scenes(root) -> None:
    samples = MogePack(root, every=3, cluster_folders=1).samples("test")
    assert [(s.id, s.cluster) for s in samples] == [
        ("room_0/view_0", "room_0"),
        ("room_1/view_3", "room_1"),
    ]
    with pytest.raises(BenchError, match="at least 1"):
        MogePack(root, every=0)


@pytest.mark.parametrize(
    "text", [{"near": "none"}, {"near": 9, "far": 1}, {"far": "inf"}, {"unit": 0}]
)
def test_scales_that_are_none(root, shots, text) -> None:
    write_depth(root / "room_0/view_0/depth.png", shots[0].depth_m, **text)
    with pytest.raises(BenchError, match=r"depth\.png: expected near and far"):
        MogePack(root).samples("test")[0].load_target()


def test_what_is_wrong_is_named(root, shots) -> None:
    folder = root / "room_0/view_0"
    shots[0].write_depth(folder / "depth.png", 1000)
    with pytest.raises(BenchError, match="near and far as text of the PNG, got 'near'"):
        MogePack(root).samples("test")[0].load_target()
    shots[0].write_image(folder / "picture.jpg")
    with pytest.raises(BenchError, match="a PNG, got JPEG"):
        png_text(folder / "picture.jpg")
    for meta in ("", "{", "[]", '{"intrinsics": [1, 2]}', '{"intrinsics": "K"}'):
        (folder / "meta.json").write_text(meta)
        with pytest.raises(BenchError, match=r"meta\.json"):
            MogePack(root, given=["intrinsics"]).samples("test")[0].load_inputs()
    (root / ".index.txt").write_text("../elsewhere\n")
    with pytest.raises(BenchError, match="within the folder"):
        MogePack(root)
    (root / ".index.txt").unlink()
    with pytest.raises(BenchError, match=r"\.index\.txt: expected a readable file"):
        MogePack(root)


def test_a_viewport_shows_picture_depth_camera_and_segments_alike(root, shots) -> None:
    mask = np.repeat([1, 2], 96).reshape(12, 16).astype(np.uint8)
    for number in range(4):
        folder = root / f"room_{number // 2}/view_{number}"
        write_segmentation(folder / "segmentation.png", mask, {"chair": 1, "lamp": 2})
    kept = {"least_segment_px": 1}
    stored = MogePack(root, **kept).samples("test")[0]
    sample = MogePack(root, viewport=[8, 6], given=["intrinsics"], **kept).samples("test")[0]
    assert sample.id == stored.id
    inputs, target = sample.load_inputs(), sample.load_target()
    assert inputs.images[0].shape == (6, 8, 3)
    assert target.depth_m[0].shape == target.segments[0].shape == (6, 8)
    assert inputs.intrinsics[0].tolist() == target.intrinsics[0].tolist()
    assert target.intrinsics[0][:2, 2].tolist() == [4, 3]
    assert set(np.unique(target.segments[0])) == {1, 2}
    # Depth is of the same things: its range is that of the stored map.
    whole = stored.load_target().depth_m[0]
    ratio = np.nanmedian(target.depth_m[0]) / np.nanmedian(whole)
    assert ratio == pytest.approx(1, abs=0.2)
    assert len(target.points_world) == np.isfinite(target.depth_m[0]).sum()


@pytest.mark.parametrize("viewport", [[8], [8, 0], [8, 6, 3]])
def test_a_viewport_has_a_width_and_a_height(root, viewport) -> None:
    with pytest.raises(BenchError, match="'viewport': expected width and height"):
        MogePack(root, viewport=viewport)


def test_a_camera_without_a_view_to_show_is_told(root) -> None:
    path = root / "room_0/view_0/meta.json"
    path.write_text(json.dumps({"intrinsics": [[1, 0, 40], [0, 1, 0.5], [0, 0, 1]]}))
    sample = MogePack(root, viewport=[8, 6]).samples("test")[0]
    with pytest.raises(BenchError, match=r"meta.json: expected a view to bring to 8 x 6 pixels"):
        sample.load_inputs()
