"""ETH3D's raw depth, its models, and depth moved into the undistorted image by the lens model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.optimize import fsolve

from g2vlm_bench.colmap import ColmapCamera
from g2vlm_bench.data.frames import Sampling
from g2vlm_bench.data.readers.eth3d import Eth3d, distort
from g2vlm_bench.errors import BenchError
from g2vlm_bench.geometry.cloud_files import write_ply

# Stronger than the data set's lenses, so that a wrong term shows.
LENS = (-0.05, 0.02, 0.004, -0.003, 0.01, -0.002, 0.005, -0.004)
TAKEN = ColmapCamera(
    "THIN_PRISM_FISHEYE", (60, 90), np.array([[60, 0, 45.0], [0, 61, 30.0], [0, 0, 1]]), LENS
)
SHOWN = "50 50 40 27"  # of 80 x 54
PLANE = np.array([0.2, -0.1, 1.0]) / 3  # PLANE . X = 1


def z_of_ray(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return 1 / (PLANE[0] * x + PLANE[1] * y + PLANE[2])


def ray_of_pixel(x: float, y: float) -> np.ndarray:
    """Invert the lens numerically."""

    def gap(ray: np.ndarray) -> list[float]:
        px, py = distort(np.array(ray[0]), np.array(ray[1]), TAKEN)
        return [float(px) - x, float(py) - y]

    return np.asarray(fsolve(gap, [(x - 45) / 60, (y - 30) / 61]))


@pytest.fixture(scope="module")
def depth_as_taken() -> np.ndarray:
    rays = [[ray_of_pixel(j + 0.5, i + 0.5) for j in range(90)] for i in range(60)]
    x, y = np.moveaxis(np.array(rays), -1, 0)
    return z_of_ray(x, y)


def write_model(folder: Path, camera: str, names: list[str]) -> None:
    folder.mkdir(parents=True)
    (folder / "cameras.txt").write_text(f"# cameras\n0 {camera}\n")
    # camera_from_world: half a turn about z, then a step.
    lines = [f"{n} 0 0 0 1 {n} 2 3 0 {name}\n1.0 2.0 -1\n" for n, name in enumerate(names, start=1)]
    (folder / "images.txt").write_text("# images\n" + "".join(lines))


@pytest.fixture
def root(tmp_path: Path, depth_as_taken: np.ndarray) -> Path:
    scene = tmp_path / "pipes"
    names = [f"DSC_000{n}.JPG" for n in range(1, 7)]
    lens = " ".join(map(str, LENS))
    models = (
        ("jpg", "dslr_images", f"THIN_PRISM_FISHEYE 90 60 60 61 45 30 {lens}", (60, 90)),
        ("undistorted", "dslr_images_undistorted", f"PINHOLE 80 54 {SHOWN}", (54, 80)),
    )
    for model, folder, camera, size in models:
        relative = [f"{folder}/{name}" for name in names]
        write_model(scene / f"dslr_calibration_{model}", camera, relative)
        (scene / "images" / folder).mkdir(parents=True)
        for name in relative:
            Image.fromarray(np.zeros((*size, 3), np.uint8)).save(scene / "images" / name)
    truth = depth_as_taken.astype("<f4")
    truth[0, 0] = np.inf
    (scene / "ground_truth_depth/dslr_images").mkdir(parents=True)
    for name in names:
        (scene / "ground_truth_depth/dslr_images" / name).write_bytes(truth.tobytes())
    return tmp_path


def test_images_as_taken_have_depth_and_no_pinhole(root: Path, depth_as_taken: np.ndarray) -> None:
    samples = Eth3d(root, sampling=Sampling(every=5)).samples("test")
    assert [(s.id, s.cluster) for s in samples] == [
        ("pipes/DSC_0001", "pipes"),
        ("pipes/DSC_0006", "pipes"),
    ]
    target = samples[1].load_target()
    assert target.depth_m is not None
    assert target.world_from_camera is not None
    assert np.isnan(target.depth_m[0][0, 0])
    np.testing.assert_allclose(target.depth_m[0][1:], depth_as_taken[1:], rtol=1e-6)
    assert target.intrinsics is None
    assert target.points_world is None
    # -R^T t of half a turn about z and t = (6, 2, 3).
    np.testing.assert_allclose(target.world_from_camera[0][:3, 3], [6, 2, -3])


def test_undistorted_images_take_depth_through_the_lens(root: Path) -> None:
    sample = Eth3d(root, undistorted=True).samples("test")[0]
    assert sample.load_inputs().images[0].shape == (54, 80, 3)
    target = sample.load_target()
    assert target.depth_m is not None
    assert target.intrinsics is not None
    assert target.points_world is not None
    found = target.depth_m[0]
    x = (np.arange(80) + 0.5 - 40) / 50
    y = (np.arange(54) + 0.5 - 27) / 50
    expected = z_of_ray(*np.meshgrid(x, y))
    seen = np.isfinite(found)
    assert seen.mean() > 0.9
    # The nearest pixel is at most 0.71 of one away, over which the plane changes by less than 1 %.
    np.testing.assert_allclose(found[seen], expected[seen], rtol=0.01)
    assert np.median(np.abs(found - expected)[seen]) < 0.01
    assert target.intrinsics[0].tolist() == [[50, 0, 40], [0, 50, 27], [0, 0, 1]]


def test_the_lens_model() -> None:
    """By hand, for the ray (1, 0): r = 1, so u = atan(1) = pi / 4 and v = 0."""
    k1, k2, _, p2, k3, k4, sx1, sy1 = LENS
    p1 = LENS[2]
    u = np.pi / 4
    r2 = u * u
    radial = k1 * r2 + k2 * r2**2 + k3 * r2**3 + k4 * r2**4
    x, y = distort(np.array(1.0), np.array(0.0), TAKEN)
    assert x == pytest.approx(60 * (u + u * radial + 3 * p2 * r2 + sx1 * r2) + 45)
    assert y == pytest.approx(61 * (p1 * r2 + sy1 * r2) + 30)
    assert [float(part) for part in distort(np.array(0.0), np.array(0.0), TAKEN)] == [45, 30]
    with pytest.raises(BenchError, match="THIN_PRISM_FISHEYE, got PINHOLE"):
        distort(np.zeros(1), np.zeros(1), ColmapCamera("PINHOLE", (4, 6), np.eye(3), ()))


def test_broken_scenes(root: Path) -> None:
    depth = root / "pipes/ground_truth_depth/dslr_images"
    (depth / "DSC_0001.JPG").write_bytes(bytes(4 * 60 * 90 - 2))
    (depth / "DSC_0002.JPG").unlink()
    image = root / "pipes/images/dslr_images/DSC_0003.JPG"
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(image)
    first, second, third, fourth = Eth3d(root).samples("test")[:4]
    with pytest.raises(BenchError, match=r"DSC_0001\.JPG: expected 21600 bytes .* got 21598"):
        first.load_target()
    with pytest.raises(BenchError, match=r"DSC_0002\.JPG.*No such file"):
        second.load_target()
    with pytest.raises(BenchError, match=r"90 x 60 pixels.*got 8 x 8"):
        third.load_inputs()
    assert fourth.load_target().depth_m is not None
    images = root / "pipes/dslr_calibration_undistorted/images.txt"
    images.write_text("\n".join(images.read_text().splitlines()[:-2]))
    with pytest.raises(BenchError, match=r"same images in both models, got 'DSC_0006\.JPG'"):
        Eth3d(root, undistorted=True)
    images = root / "pipes/dslr_calibration_jpg/images.txt"
    images.write_text("1 1 0 0 0 1 2 3 0 ../../../etc/DSC_0004.JPG\n\n")
    with pytest.raises(BenchError, match="within the folder"):
        Eth3d(root)
    images.write_text("1 0 0 0 0 1 2 3 0 dslr_images/DSC_0004.JPG\n\n")
    with pytest.raises(BenchError, match="a rigid pose"):
        Eth3d(root).samples("test")[0].load_target()


PROJECT = """<!DOCTYPE MeshLabDocument>
<MeshLabProject>
 <MeshGroup>
  <MLMesh label="scan1.ply" filename="scan1.ply">
   <MLMatrix44>
1 0 0 0
0 1 0 0
0 0 1 0
0 0 0 1
</MLMatrix44>
  </MLMesh>
  <MLMesh label="scan2.ply" filename="scan2.ply">
   <MLMatrix44>
0 -1 0 10
1 0 0 20
0 0 1 30
0 0 0 1
</MLMatrix44>
  </MLMesh>
 </MeshGroup>
</MeshLabProject>
"""


@pytest.fixture
def scanned(root: Path) -> Path:
    folder = root / "pipes/dslr_scan_eval"
    folder.mkdir()
    (folder / "scan_alignment.mlp").write_text(PROJECT)
    write_ply(folder / "scan1.ply", np.array([[1.0, 2, 3], [4, 5, 6]]))
    write_ply(folder / "scan2.ply", np.array([[1.0, 0, 0]]))
    return root


SCANS = "dslr_scan_eval/scan_alignment.mlp"


def test_scans_stand_where_the_meshlab_project_puts_them(scanned) -> None:
    target = Eth3d(scanned, scans=SCANS).samples("test")[0].load_target()
    # The second scan is turned by 90 degrees about z: x becomes y.
    np.testing.assert_allclose(target.points_world, [[1, 2, 3], [4, 5, 6], [10, 21, 30]])
    assert [len(scan.points) for scan in target.scans] == [2, 1]
    np.testing.assert_array_equal(target.scans[1].points, [[1, 0, 0]])
    np.testing.assert_allclose(target.scans[1].world_from_scan[:3, 3], [10, 20, 30])
    assert Eth3d(scanned).samples("test")[0].load_target().scans == ()


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("</MeshGroup>", "", "a MeshLab project"),
        ("MLMesh", "Mesh", "a project with scans"),
        ("MLMatrix44", "Matrix", "a file name and a matrix"),
        ('filename="scan1.ply"', "", "a file name and a matrix"),
        ("0 -1 0 10", "0 -2 0 10", "a rigid 4x4 pose"),
        ("0 -1 0 10", "0 -1 0", "a rigid 4x4 pose"),
        ("0 -1 0 10", "0 -1 0 ten", "a 4x4 matrix"),
        ("scan2.ply", "../../../scan2.ply", "scan2"),
    ],
)
def test_projects_that_are_none(scanned, old, new, says) -> None:
    path = scanned / "pipes" / SCANS
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(BenchError, match=says):
        Eth3d(scanned, scans=SCANS)


def test_a_missing_scan_leaves_the_sample_unscored(scanned) -> None:
    reader = Eth3d(scanned, scans=SCANS)
    (scanned / "pipes/dslr_scan_eval/scan2.ply").unlink()
    assert reader.missing("test") == ["pipes/dslr_scan_eval/scan2.ply"]
    with pytest.raises(BenchError, match=r"scan2\.ply"):
        reader.samples("test")[0].load_target()
