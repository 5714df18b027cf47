"""Layouts of the catalogue that are options of a reader for many, read by those very options."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from g2vlm_bench.data.catalogue import find_entry
from g2vlm_bench.data.frames import Sampling
from g2vlm_bench.errors import BenchError
from g2vlm_bench.geometry.cameras import quaternion_from_matrix
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


def write_mesh(path) -> None:
    """Two triangles in the plane z = 3, one at x < 0 of area 1, one at x > 0 of area 3."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "ply\nformat ascii 1.0\nelement vertex 6\nproperty float x\nproperty float y\n"
        "property float z\nelement face 2\nproperty list uchar int vertex_indices\nend_header\n"
        "-2 0 3\n-1 0 3\n-1 2 3\n1 0 3\n4 0 3\n4 2 3\n3 0 1 2\n3 3 4 5\n"
    )


def is_drawn_from_the_mesh(points, count) -> bool:
    """Whether points lie on the mesh, as many and parted as its areas, 1 to 3."""
    x, y, z = points.T
    small = x < 0
    # Below the hypotenuse: y = 2 (x + 2), and y = 2 / 3 (x - 1).
    below = np.where(small, 2 * (x + 2), 2 / 3 * (x - 1))
    right = x <= np.where(small, -1, 4) + 1e-9
    on_it = (np.abs(z - 3) < 1e-9) & (y >= 0) & (y <= below + 1e-9) & right
    # Three times the deviation of a binomial share.
    near = 3 * np.sqrt(0.25 * 0.75 / count)
    return len(points) == count and bool(on_it.all()) and abs(small.mean() - 0.25) < near


def test_hiroom_of_da3bench(tmp_path, shots, agrees) -> None:
    folder = tmp_path / "data/20241230/828805/cam_0"
    (folder / "pose").mkdir(parents=True)
    np.save(folder / "cam_K.npy", pinhole_matrix(shots[0]).astype(np.float32))
    for number, shot in enumerate(shots):
        shot.write_image(folder / f"image/{number:04}.jpg")
        shot.write_depth(folder / f"depth/{number:04}.png", 655.35)
        np.save(folder / f"pose/{number:04}.npy", shot.camera_from_world)
    reader = read("da3bench_hiroom", tmp_path, scan="")
    (sample,) = reader.samples("test")
    assert sample.cluster == "20241230/828805/cam_0"
    whole = sample.load_target()
    agrees(whole, shots)
    # Of image 1 two pixels are aliased; the others lack a mask.
    aliased = np.zeros(shots[1].depth_m.shape, np.uint8)
    aliased[4, 5], aliased[6, 7] = 255, 1
    gray(folder / "aliasing_mask/0001.png", aliased)
    masked = read("da3bench_hiroom", tmp_path, scan="")
    assert masked.content_hash("test") != reader.content_hash("test")
    depths = masked.samples("test")[0].load_target().depth_m
    assert np.isfinite(whole.depth_m[1][aliased > 0]).all()
    expected = [depth.copy() for depth in whole.depth_m]
    expected[1][aliased > 0] = np.nan
    np.testing.assert_array_equal(depths, expected)
    gray(folder / "aliasing_mask/0001.png", aliased[1:])
    with pytest.raises(BenchError, match=r"aliasing_mask/0001\.png: expected a mask of"):
        masked.samples("test")[0].load_target()
    (folder / "aliasing_mask/0001.png").unlink()
    reader = read("da3bench_hiroom", tmp_path)
    (sample,) = reader.samples("test")
    assert reader.missing("test") == ["fused_pcd/20241230-828805-cam_0.ply"]
    write_mesh(tmp_path / "fused_pcd/20241230-828805-cam_0.ply")
    points = sample.load_target().points_world
    assert points.tolist() == [[-2, 0, 3], [-1, 0, 3], [-1, 2, 3], [1, 0, 3], [4, 0, 3], [4, 2, 3]]
    np.save(folder / "pose/0000.npy", np.array(["no", "numbers"]))
    with pytest.raises(BenchError, match=r"0000\.npy"):
        sample.load_target()
    np.save(folder / "pose/0000.npy", np.diag([1.0, 1, -1, 1]))
    with pytest.raises(BenchError, match="left-handed"):
        sample.load_target()


def gray(path, values) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def plain(path, width, height) -> None:
    gray(path, np.zeros((height, width, 3), np.uint8))


def test_own_folder(tmp_path, shots) -> None:
    shots[0].write_image(tmp_path / "rgb/a.png")
    shots[0].write_depth(tmp_path / "depth/a.png", 1000)
    (sample,) = read("rgbd_folder", tmp_path).samples("test")
    (depth,) = sample.load_target().depth_m
    np.testing.assert_allclose(depth[1:], shots[0].depth_m[1:], atol=1e-3)


def test_nyu_png(tmp_path) -> None:
    folder = tmp_path / "test/kitchen_0004"
    plain(folder / "rgb_0001.png", 640, 480)
    values = np.full((480, 640), 2500, np.uint16)
    values[0, 0] = 0
    gray(folder / "filled_0001.png", values)
    gray(folder / "depth_0001.png", np.zeros((480, 640), np.uint16))
    (sample,) = read("nyu_png", tmp_path).samples("test")
    assert (sample.id, sample.cluster) == ("kitchen_0004/0001", "kitchen_0004")
    target = sample.load_target()
    assert np.isnan(target.depth_m[0][0, 0])
    assert (target.depth_m[0][1:] == 2.5).all()
    np.testing.assert_allclose(target.intrinsics[0][:2, 2], [325.58245 + 0.5, 253.73617 + 0.5])


def test_diode(tmp_path) -> None:
    stem = tmp_path / "indoors/scene_00019/scan_00183/00019_00183_indoors_000_010"
    plain(stem.with_name(f"{stem.name}.png"), 1024, 768)
    depth, mask = np.full((768, 1024, 1), 3.5, np.float32), np.ones((768, 1024), np.float32)
    depth[1, 0], mask[0] = 0, 0
    np.save(stem.with_name(f"{stem.name}_depth.npy"), depth)
    np.save(stem.with_name(f"{stem.name}_depth_mask.npy"), mask)
    (sample,) = read("diode", tmp_path).samples("test")
    assert sample.cluster == "indoors/scene_00019"
    (found,) = sample.load_target().depth_m
    assert np.isnan(found[0]).all()
    assert np.isnan(found[1, 0])
    assert (found[2:] == 3.5).all()


def test_ibims1(tmp_path) -> None:
    """16 bits over 50 m: 1310.7 a metre; two masks, and camera files with commas."""
    values = np.full((480, 640), 13107, np.uint16)
    values[0, 0], values[0, 1] = 0, 65535
    masks = np.full((2, 480, 640), 255, np.uint8)
    masks[0, 1], masks[1, 2] = 0, 0
    plain(tmp_path / "rgb/corridor_01.png", 640, 480)
    gray(tmp_path / "depth/corridor_01.png", values)
    gray(tmp_path / "mask_invalid/corridor_01.png", masks[0])
    gray(tmp_path / "mask_transp/corridor_01.png", masks[1])
    (tmp_path / "calib").mkdir()
    (tmp_path / "calib/corridor_01.txt").write_text("550.3,549.8,320.1,240.2\n")
    (sample,) = read("ibims1", tmp_path).samples("test")
    target = sample.load_target()
    known = np.isfinite(target.depth_m[0])
    assert not known[0, :2].any()
    assert known[0, 2:].all()
    assert not known[1:3].any()
    np.testing.assert_allclose(target.depth_m[0][3:], 10.0)
    np.testing.assert_allclose(target.intrinsics[0][:2, 2], [320.6, 240.7])


def test_kitti_depth_selection(tmp_path, shots) -> None:
    drive = "2011_09_26_drive_0002_sync"
    for number, shot in enumerate(shots[:2]):
        end = f"{number:010d}_image_0{2 + number}"
        shot.write_image(tmp_path / f"image/{drive}_image_{end}.png")
        shot.write_depth(tmp_path / f"groundtruth_depth/{drive}_groundtruth_depth_{end}.png", 256)
        path = tmp_path / f"intrinsics/{drive}_image_{end}.txt"
        path.parent.mkdir(exist_ok=True)
        np.savetxt(path, pinhole_matrix(shot).reshape(1, 9))
    samples = read("kitti_depth_selection", tmp_path).samples("test")
    assert [sample.cluster for sample in samples] == [drive, drive]
    for sample, shot in zip(samples, shots, strict=False):
        target = sample.load_target()
        np.testing.assert_allclose(target.depth_m[0][1:], shot.depth_m[1:], atol=0.002)
        np.testing.assert_allclose(target.intrinsics[0], shot.intrinsics)


def test_ddad_export(tmp_path, shots) -> None:
    shot = shots[0]
    shot.write_image(tmp_path / "000150/rgb/CAMERA_01/15616458249936530.png")
    depth = tmp_path / "000150/depth/CAMERA_01/15616458249936530.npz"
    depth.parent.mkdir(parents=True)
    values = shot.depth_m.astype(np.float32)
    values[0, 0] = 0
    np.savez(depth, depth=values)
    (tmp_path / "000150/intrinsics").mkdir()
    np.savetxt(tmp_path / "000150/intrinsics/CAMERA_01.txt", pinhole_matrix(shot))
    (sample,) = read("ddad_export", tmp_path).samples("test")
    assert sample.cluster == "000150"
    target = sample.load_target()
    assert np.isnan(target.depth_m[0][0, 0])
    np.testing.assert_allclose(target.depth_m[0][1:], shot.depth_m[1:], rtol=1e-6)
    np.testing.assert_allclose(target.intrinsics[0], shot.intrinsics)


def write_colmap(folder, shots, names) -> None:
    folder.mkdir(parents=True)
    (folder / "cameras.txt").write_text("1 PINHOLE 16 12 14 15 8.5 5.5\n")
    lines = []
    for number, (shot, name) in enumerate(zip(shots, names, strict=True)):
        pose = [
            *quaternion_from_matrix(shot.camera_from_world[:3, :3]),
            *shot.camera_from_world[:3, 3],
        ]
        lines += [f"{number} {' '.join(map(repr, map(float, pose)))} 1 {name}", ""]
    (folder / "images.txt").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("name", "model", "images", "depth", "taken"),
    [
        ("scannetpp_dslr", "dslr/colmap_undistorted", "dslr/undistorted_images/DSC0000{}.JPG",
         "dslr/render_depth/DSC0000{}.png", 1),
        ("scannetpp_iphone", "iphone/colmap", "iphone/rgb/frame_00000{}.jpg",
         "iphone/render_depth/frame_00000{}.png", 1),
        ("da3bench_scannetpp", "merge_dslr_iphone/colmap/sparse_render_rgb",
         "merge_dslr_iphone/images/iphone/frame_00000{}.jpg",
         "merge_dslr_iphone/render_depth/frame_00000{}.png", 4),
    ],
)  # fmt: skip
def test_scannetpp(tmp_path, shots, agrees, name, model, images, depth, taken) -> None:
    scene = tmp_path / "09c1414f1b"
    below = {"da3bench_scannetpp": "merge_dslr_iphone/images/"}.get(name)
    start = below or images.rpartition("/")[0] + "/"
    write_colmap(scene / model, shots, [images.removeprefix(start).format(n) for n in range(4)])
    for number, shot in enumerate(shots):
        shot.write_image(scene / images.format(number))
        shot.write_depth(scene / depth.format(number), 1000)
    cloudless = {"scan": ""} if name == "da3bench_scannetpp" else {}
    (sample,) = read(name, tmp_path, **cloudless).samples("test")
    assert sample.cluster == "09c1414f1b"
    agrees(sample.load_target(), shots[:taken])


def test_scannetpp_of_da3bench_is_held_to_its_mesh(tmp_path, shots) -> None:
    below = tmp_path / "09c1414f1b/merge_dslr_iphone"
    names = [f"iphone/frame_00000{number}.jpg" for number in range(4)]
    write_colmap(below / "colmap/sparse_render_rgb", shots, names)
    for number, shot in enumerate(shots):
        shot.write_image(below / "images" / names[number])
        shot.write_depth(below / f"render_depth/frame_00000{number}.png", 1000)
    reader = read("da3bench_scannetpp", tmp_path)
    assert reader.missing("test") == ["09c1414f1b/scans/mesh_aligned_0.05.ply"]
    write_mesh(tmp_path / "09c1414f1b/scans/mesh_aligned_0.05.ply")
    (sample,) = reader.samples("test")
    target = sample.load_target()
    assert is_drawn_from_the_mesh(target.points_world, 1_000_000)
    # Depth says where a prediction counts.
    np.testing.assert_allclose(target.depth_m[0][1:], shots[0].depth_m[1:], atol=1e-3)


def test_eth3d_of_da3bench(tmp_path, shots) -> None:
    """Of relief the images 0427 to 0438 are left out, of courtyard none."""
    scenes = find_entry("da3bench_eth3d").options["scenes"]
    names = ["dslr_images/DSC_0426.JPG", "dslr_images/DSC_0427.JPG", "dslr_images/DSC_0438.JPG",
             "dslr_images/DSC_0439.JPG"]  # fmt: skip
    for scene in scenes:
        write_colmap(tmp_path / scene / "dslr_calibration_jpg", shots, names)
        for shot, name in zip(shots, names, strict=True):
            shot.write_image(tmp_path / scene / "images" / name)
        write_mesh(tmp_path / scene / "combined_mesh.ply")
    samples = {
        sample.cluster: sample for sample in read("da3bench_eth3d", tmp_path).samples("test")
    }
    assert list(samples) == scenes
    assert len(samples["courtyard"].load_inputs().images) == 4
    assert len(samples["relief"].load_inputs().images) == 2
    target = samples["relief"].load_target()
    assert is_drawn_from_the_mesh(target.points_world, 1_000_000)
    np.testing.assert_allclose(target.world_from_camera[1], shots[3].world_from_camera, atol=1e-9)


def test_7scenes_of_da3bench(tmp_path, shots) -> None:
    for name in find_entry("da3bench_7scenes").options["sequences"]:
        for number, shot in enumerate(shots):
            stem = tmp_path / name / f"frame-{number:06d}"
            shot.write_image(stem.with_suffix(".color.png"))
            shot.write_depth(stem.with_suffix(".depth.png"), 1000)
            np.savetxt(stem.with_suffix(".pose.txt"), shot.world_from_camera)
        write_mesh(tmp_path / f"meshes/{name.partition('/')[0]}.ply")
    samples = read("da3bench_7scenes", tmp_path).samples("test")
    assert len(samples) == find_entry("da3bench_7scenes").counts["test"]
    assert samples[-1].cluster == "stairs"
    target = samples[-1].load_target()
    assert len(target.world_from_camera) == 4
    assert is_drawn_from_the_mesh(target.points_world, 1_000_000)
    assert target.intrinsics[0][0].tolist() == [585, 0, 320.5]


def test_points_of_a_mesh_follow_from_number_and_seed(tmp_path, shots) -> None:
    """The scan of ScanNet++, whose folder has depth maps and a mesh."""
    scene = tmp_path / "09c1414f1b"
    write_mesh(scene / "scans/mesh_aligned_0.05.ply")
    write_colmap(scene / "iphone/colmap", shots[:1], ["a.jpg"])
    shots[0].write_image(scene / "iphone/rgb/a.jpg")

    def points(**keys):
        options = {"depth": "", "scan": "{scene}/scans/mesh_aligned_0.05.ply"} | keys
        (sample,) = read("scannetpp_iphone", tmp_path, **options).samples("test")
        return sample.load_target().points_world

    drawn = points(mesh_points=5000)
    assert is_drawn_from_the_mesh(drawn, 5000)
    np.testing.assert_array_equal(drawn, points(mesh_points=5000))
    assert (drawn != points(mesh_points=5000, mesh_seed=1)).any()
    assert len(points(mesh_points=0)) == 6
    with pytest.raises(BenchError, match=r"mesh_aligned_0\.05\.ply: expected a point cloud.*-1"):
        points(mesh_points=-1)


def test_a_scene_has_one_scan(tmp_path, shots) -> None:
    for name in ("a", "b"):
        shots[0].write_image(tmp_path / f"rgb/{name}.png")
    with pytest.raises(BenchError, match="key 'scan': expected one scan of scene ''"):
        read("rgbd_folder", tmp_path, scan="{id}.ply")


def test_middlebury_2014_in_the_evaluations_own_pack(realdata) -> None:
    reader = read("middlebury_2014", realdata / "stereo",
                  image="middlebury2014_{id}/im0.png", disparity="middlebury2014_{id}/disp0GT.pfm",
                  calibration="middlebury2014_{id}/calib.txt")  # fmt: skip
    (sample,) = reader.samples("test")
    (depth,) = sample.load_target().depth_m
    assert 2.0 < np.nanmin(depth) < np.nanmax(depth) < 6.0


def test_kitti_video_takes_110_frames_of_a_drive(tmp_path) -> None:
    drive = "2011_09_26_drive_0002_sync"
    for number in range(112):
        name = f"{number:010d}.png"
        image = tmp_path / f"raw/2011_09_26/{drive}/image_02/data/{name}"
        depth = tmp_path / f"depth/val/{drive}/proj_depth/groundtruth/image_02/{name}"
        for path in (image, depth):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    (sample,) = read("kitti_depth_video", tmp_path).samples("test")
    assert sample.id == f"{drive}/image_02/0000000000-{drive}/image_02/0000000109"


def test_dtu64_of_da3bench(tmp_path, shots) -> None:
    write_dtu_cameras(tmp_path, shots)
    for number, shot in enumerate(shots):
        shot.write_image(tmp_path / f"scan105/image/{number:08}.png")
    (sample,) = read("da3bench_dtu64", tmp_path).samples("test")
    target = sample.load_target()
    assert (target.depth_m, sample.cluster) == (None, "scan105")
    for pose, shot in zip(target.world_from_camera, shots, strict=True):
        expected = shot.world_from_camera.copy()
        expected[:3, 3] /= 1000  # the cameras are in millimetres
        np.testing.assert_allclose(pose, expected, atol=1e-9)


def write_dtu_cameras(root, shots) -> None:
    for number, shot in enumerate(shots):
        rows = "\n".join(" ".join(map(repr, map(float, row))) for row in shot.camera_from_world)
        camera = "\n".join(" ".join(map(repr, map(float, row))) for row in pinhole_matrix(shot))
        path = root / f"Cameras/{number:08}_cam.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"extrinsic\n{rows}\n\nintrinsic\n{camera}\n\n425 2.5\n")


def test_dtu_of_da3bench(tmp_path, shots) -> None:
    for number, shot in enumerate(shots):
        shot.write_image(tmp_path / f"Rectified/scan1/rect_{number + 1:03}_3_r5000.png")
    write_dtu_cameras(tmp_path, shots)
    scan = tmp_path / "Points/stl/stl001_total.ply"
    scan.parent.mkdir(parents=True)
    scan.write_text(
        "ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\n"
        "property float z\nend_header\n100 200 300\n"
    )
    masks = tmp_path / "SampleSet/mvs_data/ObsMask"
    masks.mkdir(parents=True)
    grid, box = np.ones((2, 2, 2), np.uint8), np.array([[0.0, 0, 0], [20, 20, 20]])
    savemat(masks / "ObsMask1_10.mat", {"ObsMask": grid, "BB": box, "Res": 10.0})
    savemat(masks / "Plane1.mat", {"P": np.array([0.0, 0, 1, 0])})
    (sample,) = read("da3bench_dtu", tmp_path).samples("test")
    target = sample.load_target()
    assert len(target.world_from_camera) == 4
    assert target.observed.voxel == 0.01
    np.testing.assert_allclose(target.points_world, [[0.1, 0.2, 0.3]])
    np.testing.assert_allclose(target.intrinsics[3], shots[3].intrinsics)
    # The scans of DTU are clouds: a mesh in their place is another truth.
    write_mesh(scan)
    with pytest.raises(BenchError, match="expected a point cloud, got a mesh of 2 triangles"):
        sample.load_target()


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
