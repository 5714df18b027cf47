"""The catalogue's layouts, laid out with empty files: readers find what peers' tables count."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from g2vlm_bench.data.catalogue import find_entry, load_catalogue
from g2vlm_bench.data.reader import Reader
from g2vlm_bench.plugins import Plugins, check_arguments

DRIVE = "2011_09_26_drive_0002_sync"


def open_entry(name: str, root: Path) -> Reader:
    entry = find_entry(name)
    cls = Plugins().reader(entry.format)
    return cls(**check_arguments(cls, entry.options, name, offered={"root": root}))


def touch(root: Path, names: Iterable[str]) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def diode(root: Path) -> None:
    rooms = [("indoors", 325, "00019"), ("outdoor", 446, "00022")]
    stems = [
        f"{place}/scene_{scene}/scan_00183/{scene}_00183_{place}_{number:03d}_010"
        for place, count, scene in rooms
        for number in range(count)
    ]
    touch(root, (f"{s}{end}" for s in stems for end in (".png", "_depth.npy", "_depth_mask.npy")))


def ibims1(root: Path) -> None:
    kinds = ("rgb", "depth", "mask_invalid", "mask_transp")
    touch(root, (f"{kind}/room_{n:02d}.png" for kind in kinds for n in range(100)))


def kitti_depth_selection(root: Path) -> None:
    for number in range(1000):
        end = f"{number:010d}_image_0{2 + number % 2}"
        touch(root, [f"image/{DRIVE}_image_{end}.png"])
        touch(root, [f"groundtruth_depth/{DRIVE}_groundtruth_depth_{end}.png"])


def kitti_eigen(root: Path) -> None:
    folder = f"depth/val/{DRIVE}/proj_depth/groundtruth/image_02"
    lines = []
    for number in range(697):
        has_depth = number >= 45
        depth = f"{DRIVE}/proj_depth/groundtruth/image_02/{number:010d}.png"
        lines.append(
            f"2011_09_26/{DRIVE}/image_02/data/{number:010d}.png "
            f"{depth if has_depth else 'None'} 721.5377"
        )
        touch(root, [f"{folder}/{number:010d}.png"] * has_depth)
    (root / "eigen_test_files_with_gt.txt").write_text("\n".join(lines))


def kitti_stereo_2015(root: Path) -> None:
    (root / "calib_cam_to_cam").mkdir()
    row = "700 0 600 {} 0 700 180 0 0 0 1 0"
    calibration = f"P_rect_02: {row.format(45)}\nP_rect_03: {row.format(-333)}\n"
    for number in range(200):
        # Each scene has a second image, without true disparity of its own.
        touch(root, [f"image_2/{number:06d}_10.png", f"image_2/{number:06d}_11.png"])
        (root / f"calib_cam_to_cam/{number:06d}.txt").write_text(calibration)


def middlebury_2003(root: Path) -> None:
    touch(root, (f"{scene}/{name}" for scene in ("cones", "teddy") for name in ("im2.png",)))


def middlebury_2014(root: Path) -> None:
    """As the archives that the entry names unpack."""
    names = [Path(file.url).stem for file in find_entry("middlebury_2014").download]
    assert all(name.endswith("-perfect") for name in names)
    touch(root, (f"{name}/im0.png" for name in names))
    for name in names:
        (root / name / "calib.txt").write_text(
            "cam0=[3979.911 0 1244.772; 0 3979.911 1019.507; 0 0 1]\ndoffs=124.343\n"
            "baseline=193.001\n"
        )


def nyu_h5(root: Path) -> None:
    touch(root, (f"val/official/{number:05d}.h5" for number in range(654)))


def nyu_png(root: Path) -> None:
    for number in range(654):
        room = f"test/kitchen_{number % 9:04d}"
        touch(root, (f"{room}/{kind}_{number:04d}.png" for kind in ("rgb", "depth", "filled")))


@pytest.mark.parametrize(
    "lay_out",
    [
        diode,
        ibims1,
        kitti_depth_selection,
        kitti_eigen,
        kitti_stereo_2015,
        middlebury_2003,
        middlebury_2014,
        nyu_h5,
        nyu_png,
    ],
    ids=lambda function: function.__name__,
)
def test_single_images(lay_out: Callable[[Path], None], tmp_path: Path) -> None:
    lay_out(tmp_path)
    name = lay_out.__name__
    samples = open_entry(name, tmp_path).samples("test")
    assert len(samples) == find_entry(name).counts["test"]
    assert len({sample.id for sample in samples}) == len(samples)
    found = {"test": len(samples)} | open_entry(name, tmp_path).counts()
    assert find_entry(name).counts.items() <= found.items()


def test_every_count_of_the_catalogue_can_be_taken() -> None:
    """By a split, or by a name that readers' `counts` give; places of DIODE are tested above."""
    known = {"frames", "pairs", "scenes", "sequences", "clips"}
    more = {"kitti_eigen": {"listed"}, "nyu_mat": {"labelled"}, "spatialbench": {"listed"},
            "diode": {"indoors", "outdoor"}}  # fmt: skip
    for name, entry in load_catalogue().items():
        splits = set(Plugins().reader(entry.format).splits)
        assert entry.counts.keys() <= splits | known | more.get(name, set()), name


def test_every_entry_is_read_by_a_reader_that_takes_its_options() -> None:
    for name, entry in load_catalogue().items():
        check_arguments(Plugins().reader(entry.format), entry.options, name, offered={"root": "x"})
        assert entry.layout.strip(), name
        assert entry.source, name
        assert entry.licence, name
