"""7-Scenes in its own layout: lists, marks, two cameras; and real frames laid out so."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from g2vlm_bench.data.frames import Sampling
from g2vlm_bench.data.readers.seven_scenes import SevenScenes
from g2vlm_bench.errors import BenchError
from g2vlm_bench.geometry.cameras import invert_pose, project, transform, unproject


def write_sequence(folder: Path, frames: int = 2) -> None:
    folder.mkdir(parents=True)
    for number in range(frames):
        stem = folder / f"frame-{number:06d}"
        Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(f"{stem}.color.png")
        depth = np.full((4, 6), 2000, np.uint16)
        depth[0, :4] = [0, 65535, 10_001, 10_000]
        for kind in ("depth", "depth.proj"):
            Image.fromarray(depth).save(f"{stem}.{kind}.png")
        np.savetxt(f"{stem}.pose.txt", np.eye(4))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for sequence in ("chess/seq-03", "chess/seq-05", "heads/seq-01"):
        write_sequence(tmp_path / sequence)
    (tmp_path / "chess/TestSplit.txt").write_text("sequence3\r\nsequence5\r\n")
    (tmp_path / "heads/TestSplit.txt").write_text("sequence1\n")
    return tmp_path


def test_sequences_are_sampled_and_rooms_are_clusters(root: Path) -> None:
    found = SevenScenes(root, sampling=Sampling(views=0)).samples("test")
    assert [(s.id, s.cluster) for s in found] == [
        ("chess/seq-03/000000-chess/seq-03/000001", "chess"),
        ("chess/seq-05/000000-chess/seq-05/000001", "chess"),
        ("heads/seq-01/000000-heads/seq-01/000001", "heads"),
    ]
    assert SevenScenes(root).samples("train") == []
    (root / "chess/TestSplit.txt").write_text("sequence3\n")
    (root / "chess/TrainSplit.txt").write_text("sequence5\n")
    split = SevenScenes(root)
    assert [s.id for s in split.samples("train")] == ["chess/seq-05/000000", "chess/seq-05/000001"]
    assert len(split.samples("test")) == 4


def test_named_sequences_with_a_mesh_for_their_truth(root: Path) -> None:
    """As DA3-BENCH lays them out, without lists of sequences."""
    for room in ("chess", "heads"):
        (root / room / "TestSplit.txt").unlink()
        scan = root / f"meshes/{room}.xyz"
        scan.parent.mkdir(exist_ok=True)
        scan.write_text(f"1 2 {len(room)}\n")
    reader = SevenScenes(
        root,
        sequences=["heads/seq-01", "chess/seq-05"],
        scan="meshes/{room}.xyz",
        sampling=Sampling(views=0),
    )
    heads, chess = reader.samples("test")
    assert (heads.cluster, chess.cluster) == ("heads", "chess")
    assert chess.id == "chess/seq-05/000000-chess/seq-05/000001"
    np.testing.assert_array_equal(heads.load_target().points_world, [[1, 2, 5]])
    assert not reader.missing("test")
    (root / "meshes/heads.xyz").unlink()
    assert reader.missing("test") == ["meshes/heads.xyz"]
    with pytest.raises(BenchError, match="within the folder"):
        SevenScenes(root, sequences=["../chess/seq-05"])


def test_marks_and_the_far(root: Path) -> None:
    depth = SevenScenes(root).samples("test")[0].load_target().depth_m
    assert depth is not None
    np.testing.assert_array_equal(depth[0][0], [np.nan, np.nan, np.nan, 10, 2, 2])
    far = SevenScenes(root, max_depth_m=20).samples("test")[0].load_target().depth_m
    assert far is not None
    assert far[0][0, 2] == np.float32(10.001)


def test_raw_depth_has_the_depth_cameras_intrinsics(root: Path) -> None:
    """Trap 1: it is not registered; `depth.proj.png` is, and shares the colour camera."""
    raw = SevenScenes(root).samples("test")[0].load_target()
    registered = SevenScenes(root, depth="depth.proj.png").samples("test")[0].load_target()
    assert raw.points_world is not None
    assert registered.points_world is not None
    for points, focal in ((raw.points_world, 585), (registered.points_world, 525)):
        # The last pixel of row 0 is at x = 5.5; the axis at 320.5.
        np.testing.assert_allclose(points[2, 0], 2 * (5.5 - 320.5) / focal)
    assert raw.intrinsics is not None
    assert raw.intrinsics[0][0].tolist() == [525, 0, 320.5]


def test_broken_lists_and_missing_sequences(root: Path) -> None:
    (root / "chess/TestSplit.txt").write_text("sequence3\nseq-05\n")
    with pytest.raises(BenchError, match=r"TestSplit\.txt, line 2: expected 'sequence'"):
        SevenScenes(root)
    (root / "chess/TestSplit.txt").write_text("sequence9\n")
    with pytest.raises(BenchError, match=r"seq-09: expected images"):
        SevenScenes(root)
    (root / "chess/TestSplit.txt").unlink()
    with pytest.raises(BenchError, match=r"chess/TestSplit\.txt: expected a readable file"):
        SevenScenes(root)
    with pytest.raises(BenchError, match="stairs: expected the folder of a room"):
        SevenScenes(root, scenes=["stairs"])


def test_broken_frames_leave_their_samples_unscored(root: Path) -> None:
    folder = root / "chess/seq-03"
    (folder / "frame-000000.depth.png").unlink()
    (folder / "frame-000001.pose.txt").write_text("inf " * 16)
    mirrored = root / "chess/seq-05/frame-000000.pose.txt"
    np.savetxt(mirrored, np.diag([1, 1, -1, 1]))
    (root / "chess/seq-05/frame-000001.pose.txt").write_text("1 0 0")
    says = ["No such file", "rigid 4x4 pose", "left-handed", "rigid 4x4 pose"]
    for sample, message in zip(SevenScenes(root).samples("test"), says, strict=False):
        assert sample.load_inputs().images
        with pytest.raises(BenchError, match=message):
            sample.load_target()


@pytest.fixture
def kitchen(tmp_path: Path, realdata: Path) -> Path:
    """Two true frames in the original layout."""
    folder = tmp_path / "redkitchen/seq-01"
    folder.mkdir(parents=True)
    (tmp_path / "redkitchen/TestSplit.txt").write_text("sequence1\n")
    source = realdata / "sequences/7scenes_redkitchen_tsdf"
    for path in sorted(source.glob("frame-*.pose.txt"))[:2]:
        stem = path.name.removesuffix(".pose.txt")
        Image.open(source / f"{stem}.color.jpg").save(folder / f"{stem}.color.png")
        for end in ("depth.png", "pose.txt"):
            shutil.copy(source / f"{stem}.{end}", folder)
    return tmp_path


def test_true_depth_agrees_with_true_poses(kitchen: Path) -> None:
    (sample,) = SevenScenes(kitchen, sampling=Sampling(views=0)).samples("test")
    target = sample.load_target()
    assert target.depth_m is not None
    assert target.world_from_camera is not None
    camera = np.array([[585, 0, 320.5], [0, 585, 240.5], [0, 0, 1]])
    first, second = target.world_from_camera

    def disagreement_m(focal: float) -> float:
        assert target.depth_m is not None
        used = camera * [[focal / 585, 1, 1], [1, focal / 585, 1], [1, 1, 1]]
        cloud = unproject(target.depth_m[0], used).reshape(-1, 3)
        pixels, z = project(transform(cloud, invert_pose(second) @ first), used)
        seen = np.all((pixels >= 0) & (pixels < (640, 480)), axis=1)
        columns, rows = pixels[seen].astype(int).T
        gap = np.abs(target.depth_m[1][rows, columns] - z[seen])
        return float(np.nanmedian(gap))

    # The manifest: 0.6 to 1.8 cm between frames.
    assert disagreement_m(585) < 0.02
    cloud = transform(unproject(target.depth_m[0], camera).reshape(-1, 3), first)
    assert target.points_world is not None
    np.testing.assert_allclose(
        target.points_world[: np.isfinite(cloud[:, 0]).sum()], cloud[np.isfinite(cloud[:, 0])]
    )
