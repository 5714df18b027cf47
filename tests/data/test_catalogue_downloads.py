"""What the catalogue fetches: addresses, and archives that unpack to what its reader finds.

The archives themselves were not seen: names within them are those that sources and users document.
"""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from g2vlm_bench.data.catalogue import Entry, find_entry, load_catalogue
from g2vlm_bench.data.fetch import name_of
from g2vlm_bench.data.reader import Reader
from g2vlm_bench.data.unpack import unpack
from g2vlm_bench.paths import safe_join
from g2vlm_bench.plugins import Plugins, check_arguments

Held = Callable[[], dict[str, dict[str, str]]]
DAYS = ("2011_09_26", "2011_09_28", "2011_09_29", "2011_09_30", "2011_10_03")
FETCHED = [entry for entry in load_catalogue().values() if entry.download]
# Depth of camera 2 of KITTI's validation drives: their images less ten, of which 110 count.
VALIDATION_DRIVES = {
    "2011_09_26_drive_0002": 67, "2011_09_26_drive_0005": 144, "2011_09_26_drive_0013": 134,
    "2011_09_26_drive_0020": 76, "2011_09_26_drive_0023": 464, "2011_09_26_drive_0036": 793,
    "2011_09_26_drive_0079": 90, "2011_09_26_drive_0095": 258, "2011_09_26_drive_0113": 77,
    "2011_09_28_drive_0037": 79, "2011_09_29_drive_0026": 148, "2011_09_30_drive_0016": 269,
    "2011_10_03_drive_0047": 827,
}  # fmt: skip


def seven_scenes() -> dict[str, dict[str, str]]:
    rooms = ("chess", "fire", "heads", "office", "pumpkin", "redkitchen")
    sequences = [*(f"{room}/seq-01" for room in rooms), "stairs/seq-02"]
    kinds = ("color.png", "depth.png", "pose.txt")
    names = (f"{sequence}/frame-000000.{kind}" for sequence in sequences for kind in kinds)
    return {"7scenes.zip": {f"7scenes/7Scenes/{name}": "" for name in names}}


def gso() -> dict[str, dict[str, str]]:
    sample = {f"GSO/shoe/{name}": "" for name in ("image.jpg", "depth.png", "meta.json")}
    return {"GSO.zip": {"GSO/.index.txt": "shoe\n", **sample}}


def hammer() -> dict[str, dict[str, str]]:
    folder = "scene2_traj1_1/polarization"
    pictures = {f"{folder}/{name}/000000.png": "" for name in ("rgb", "_gt")}
    texts = {f"{folder}/_pose/000000.txt": "", f"{folder}/intrinsics.txt": "500 0 3 0 500 2 0 0 1"}
    return {"_dataset_processed.zip": pictures | texts}


def kitti_depth_selection() -> dict[str, dict[str, str]]:
    folder, drive = "depth_selection/val_selection_cropped", "2011_09_26_drive_0002_sync"
    kinds = ("image", "groundtruth_depth", "velodyne_raw")
    names = (f"{folder}/{kind}/{drive}_{kind}_0000000005_image_02.png" for kind in kinds)
    return {"data_depth_selection.zip": dict.fromkeys(names, "")}


def kitti_stereo_2015() -> dict[str, dict[str, str]]:
    row = "700 0 600 {} 0 700 180 0 0 0 1 0"
    lenses = f"P_rect_02: {row.format(45)}\nP_rect_03: {row.format(-333)}\n"
    names = ("image_2/000000_10.png", "image_3/000000_10.png", "disp_occ_0/000000_10.png")
    return {
        "data_scene_flow.zip": {f"training/{name}": "" for name in names},
        "data_scene_flow_calib.zip": {"training/calib_cam_to_cam/000000.txt": lenses},
    }


def nyu_h5() -> dict[str, dict[str, str]]:
    names = ("val/official/00001.h5", "train/kitchen_0004/00001.h5")
    return {"nyudepthv2.tar.gz": {f"nyudepthv2/{name}": "" for name in names}}


def scene_flow() -> dict[str, dict[str, str]]:
    frames, disparity = (
        {f"{kind}/{part}/A/0000/left/0006.{end}": "" for part in ("TEST", "TRAIN")}
        for kind, end in (("frames_cleanpass", "png"), ("disparity", "pfm"))
    )
    return {
        "flyingthings3d__frames_cleanpass.tar": frames,
        "flyingthings3d__disparity.tar.bz2": disparity,
    }


@pytest.mark.parametrize("entry", FETCHED, ids=lambda entry: entry.name)
def test_addresses_and_names(entry: Entry, tmp_path: Path) -> None:
    names = Counter(name_of(download) for download in entry.download)
    assert max(names.values()) == 1
    for download in entry.download:
        parts = urlsplit(download.url)
        assert parts.scheme in ("http", "https")
        assert parts.netloc
        assert bool(download.digests) == bool(download.hash_source)
        archive = re.search(r"\.(zip|tar|tar\.gz|tar\.bz2|tgz)$", parts.path) is not None
        assert download.unpack == archive
        safe_join(tmp_path, name_of(download))
    safe_join(tmp_path, entry.below)


@pytest.mark.parametrize(
    "held",
    [seven_scenes, gso, hammer, kitti_depth_selection, kitti_stereo_2015, nyu_h5, scene_flow],
    ids=lambda held: held.__name__,
)
def test_archives_unpack_to_what_the_reader_finds(held: Held, tmp_path: Path) -> None:
    name = "da3bench_7scenes" if held is seven_scenes else held.__name__
    assert held().keys() == {Path(each.url).name for each in find_entry(name).download}
    reader = unpacked(find_entry(name), held(), tmp_path)
    assert len(reader.samples("test")) == (7 if held is seven_scenes else 1)


def test_drives_of_kitti_unpack_to_the_frames_that_are_known(tmp_path: Path) -> None:
    entry = find_entry("kitti_depth_video")
    depth = {
        f"val/{drive}_sync/proj_depth/groundtruth/image_0{camera}/{5 + number:010d}.png": ""
        for drive, count in VALIDATION_DRIVES.items()
        for number in range(count)
        for camera in (2, 3)
    }
    held = {"data_depth_annotated.zip": depth}
    for drive in VALIDATION_DRIVES:
        day = drive[:10]
        name = f"{day}/{drive}_sync/image_02/data/0000000005.png"
        held |= {f"{drive}_sync.zip": {name: ""}, f"{day}_calib.zip": {}}
    assert held.keys() == {Path(each.url).name for each in entry.download}
    reader = unpacked(entry, held, tmp_path)
    found = {"test": len(reader.samples("test"))} | reader.counts()
    assert entry.counts.items() <= found.items()
    assert (tmp_path / "raw/2011_09_26/2011_09_26_drive_0002_sync").is_dir()
    eigen = find_entry("kitti_eigen").download
    assert sum(each.url.endswith("_sync.zip") for each in eigen) == 28
    assert {name_of(each) for each in eigen} >= {f"raw/{day}_calib.zip" for day in DAYS}


def unpacked(entry: Entry, held: dict[str, dict[str, str]], root: Path) -> Reader:
    """Unpack archives of such content where the entry's downloads stand, and open the result.

    Args:
        entry: The dataset.
        held: Last part of an archive's address -> the files in it -> what they say.
        root: The dataset's folder.
    """
    for download in entry.download:
        path = safe_join(root, name_of(download))
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in held[Path(download.url).name].items():
                archive.writestr(name, content)
        unpack(path, path.parent)
        path.unlink()
    cls = Plugins().reader(entry.format)
    offered = {"root": entry.layout_root(root)}
    return cls(**check_arguments(cls, entry.options, entry.name, offered=offered))
