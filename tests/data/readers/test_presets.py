"""Layouts of the catalogue that are options of a reader for many: HAMMER, HiRoom, Redwood, DTU."""

from __future__ import annotations

import numpy as np
import pytest

from g2vlm_bench.data.catalogue import find_entry
from g2vlm_bench.data.frames import Sampling
from g2vlm_bench.errors import BenchError
from g2vlm_bench.plugins import Plugins, check_arguments


def read(name, root, **changes):
    entry = find_entry(name)
    cls = Plugins().reader(entry.format)
    return cls(**check_arguments(cls, entry.options | changes, name, {"root": root}))


def pinhole_matrix(shot) -> np.ndarray:
    matrix = shot.intrinsics.copy()
    matrix[:2, 2] -= 0.5
    return matrix


def test_hammer(tmp_path, shots, agrees) -> None:
    folder = tmp_path / "scene2_traj1_1/polarization"
    (folder / "_pose").mkdir(parents=True)
    np.savetxt(folder / "intrinsics.txt", pinhole_matrix(shots[0]))
    for number, shot in enumerate(shots):
        shot.write_image(folder / f"rgb/{number:06}.png")
        shot.write_depth(folder / f"_gt/{number:06}.png", 1000)
        np.savetxt(folder / f"_pose/{number:06}.txt", shot.world_from_camera)
    samples = read("hammer", tmp_path).samples("test")
    assert {sample.cluster for sample in samples} == {"scene2_traj1_1"}
    for sample, shot in zip(samples, shots, strict=True):
        agrees(sample.load_target(), [shot])


def test_hiroom_of_da3bench(tmp_path, shots, agrees) -> None:
    folder = tmp_path / "data/20241230/828805/cam_0"
    (folder / "pose").mkdir(parents=True)
    np.save(folder / "cam_K.npy", pinhole_matrix(shots[0]).astype(np.float32))
    for number, shot in enumerate(shots):
        shot.write_image(folder / f"image/{number:04}.jpg")
        shot.write_depth(folder / f"depth/{number:04}.png", 655.35)
        np.save(folder / f"pose/{number:04}.npy", shot.camera_from_world)
    (sample,) = read("da3bench_hiroom", tmp_path).samples("test")
    assert sample.cluster == "20241230/828805/cam_0"
    agrees(sample.load_target(), shots)
    np.save(folder / "pose/0000.npy", np.array(["no", "numbers"]))
    with pytest.raises(BenchError, match=r"0000\.npy"):
        sample.load_target()
    np.save(folder / "pose/0000.npy", np.diag([1.0, 1, -1, 1]))
    with pytest.raises(BenchError, match="left-handed"):
        sample.load_target()


def test_dtu_of_da3bench(tmp_path, shots) -> None:
    for number, shot in enumerate(shots):
        shot.write_image(tmp_path / f"Rectified/scan1/rect_{number + 1:03}_3_r5000.png")
        rows = "\n".join(" ".join(map(repr, map(float, row))) for row in shot.camera_from_world)
        camera = "\n".join(" ".join(map(repr, map(float, row))) for row in pinhole_matrix(shot))
        path = tmp_path / f"Cameras/{number:08}_cam.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"extrinsic\n{rows}\n\nintrinsic\n{camera}\n\n425 2.5\n")
    scan = tmp_path / "Points/stl/stl001_total.ply"
    scan.parent.mkdir(parents=True)
    scan.write_text(
        "ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\n"
        "property float z\nend_header\n100 200 300\n"
    )
    (sample,) = read("da3bench_dtu", tmp_path).samples("test")
    target = sample.load_target()
    assert len(target.world_from_camera) == 4
    np.testing.assert_allclose(target.points_world, [[0.1, 0.2, 0.3]])
    np.testing.assert_allclose(target.intrinsics[3], shots[3].intrinsics)


def test_redwood_as_it_is_on_disk(realdata) -> None:
    folder = realdata / "sequences/redwood_livingroom1"
    with pytest.raises(BenchError, match=r"trajectory\.log"):
        read("redwood", folder).samples("test")[0].load_target()
    # Poses are known of the first five frames only; depth and poses agree to 0.06 cm (MANIFEST).
    reader = read("redwood", folder, rgb="image/0000{id}.jpg", depth="depth/0000{id}.png",
                  pose="trajectory_gt.log", sampling={"stop": 5, "views": 0})  # fmt: skip
    target = reader.samples("test")[0].load_target()
    assert len(target.depth_m) == 5
    assert np.isfinite(target.points_world).all()


def test_co3d_categories_are_those_of_pi3_in_its_order() -> None:
    options = find_entry("co3dv2_pose").options
    assert len(options["categories"]) == len(set(options["categories"])) == 51
    assert options["categories"][0] == "apple"
    rule = Sampling(**options["sampling"])
    assert rule.choose([202])[0][0][:3] == [95, 15, 30]
