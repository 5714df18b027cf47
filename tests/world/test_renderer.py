from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from g2vlm_bench.geometry.cameras import pixel_grid, transform, unproject
from g2vlm_bench.world.layout import Recipe, make_scene
from g2vlm_bench.world.pack import Shot
from g2vlm_bench.world.renderer import Views, look, render
from g2vlm_bench.world.scene import Body, Camera, Light, Place, Scene, Texture

SIDE = 96


@pytest.fixture(scope="module")
def shots() -> list[Shot]:
    # Solids that are convex: a centimetre off one of them nothing else of it is nearer.
    plain = Recipe((3, 6), ("box", "sphere", "cylinder"))
    scenes = [make_scene(seed, "validation", recipe=plain) for seed in range(8)]
    return [(scene, camera) for scene in scenes for camera in scene.cameras[:2]]


@pytest.fixture(scope="module")
def views(shots: list[Shot]) -> Views:
    return render(shots, SIDE, SIDE)


def points_of(views: Views, index: int) -> NDArray[np.float64]:
    depth = views.depth_m[index].numpy()
    return transform(unproject(depth, views.intrinsics[index]), views.world_from_camera[index])


def studio(*bodies: Body) -> Scene:
    """A 6 x 4 x 3 m room with a camera at x = -2, z = 1, looking along +x."""
    plain = Texture(((0.5, 0.5, 0.5), (0.7, 0.7, 0.7)), 0.5, 0.0)
    camera = Camera((-2.0, 0.0, 1.0), (0.0, 0.0, 1.0), 0.0, 60.0)
    room = Place("room", 6.0, 4.0, 3.0, plain, plain)
    return Scene(
        "studio", "test", 0, room, bodies, (Light((0.0, 0.0, 2.8), 1.55, 3.162),), (camera,)
    )


def body(shape: str, yaw_deg: float = 0.0) -> Body:
    """A body of 0.6 m about the point (1, 0, 1)."""
    return Body(1, shape, "red", "matte", "medium", (0.6, 0.6, 0.6), (1.0, 0.0, 0.7), yaw_deg, 0)


@pytest.mark.parametrize(
    ("solid", "depth_m"),
    [
        (body("sphere"), 3 - 0.3),
        (body("cylinder"), 3 - 0.3),
        (body("box"), 3 - 0.3),
        # Turned by 45 degrees, the box shows its vertical edge: half a diagonal, 0.3 * sqrt(2).
        (body("box", 45.0), 3 - 0.3 * math.sqrt(2)),
    ],
)
def test_depth_straight_ahead(solid: Body, depth_m: float) -> None:
    scene = studio(solid)
    views = render([(scene, scene.cameras[0])], 65, 65)
    assert float(views.depth_m[0, 32, 32]) == pytest.approx(depth_m, abs=1e-5)
    assert int(views.instance_ids[0, 32, 32]) == 1
    if solid.yaw_deg == 0:
        np.testing.assert_allclose(views.normals_world[0, 32, 32], [-1, 0, 0], atol=1e-5)


def test_depth_is_z_and_not_ray_length() -> None:
    # The wall at x = 3 is 5 m ahead of x = -2 in every pixel that sees it, also off the axis.
    scene = studio()
    views = render([(scene, scene.cameras[0])], 65, 65)
    wall = views.normals_world[0, ..., 0].numpy() < -0.5
    assert wall[32, 11:54].all()
    np.testing.assert_allclose(views.depth_m[0].numpy()[wall], 5.0, atol=1e-5)
    # f = 32.5 / tan(30 deg); the floor 1 m below is seen in row 64 at depth f * 1 / (64.5 - 32.5).
    focal = 32.5 / math.tan(math.radians(30))
    assert float(views.depth_m[0, 64, 32]) == pytest.approx(focal / 32, abs=1e-5)


def test_image_axes_are_right_and_down() -> None:
    # Looking along +x with z up, the viewer's right is -y.
    right = dataclasses.replace(body("sphere"), base_m=(1.0, -0.8, 1.2))
    scene = studio(right)
    rows, columns = np.nonzero(render([(scene, scene.cameras[0])], 64, 64).instance_ids[0].numpy())
    assert rows.min() > 0
    assert rows.max() < 32
    assert columns.min() > 32


def test_unprojected_points_lie_on_the_claimed_surfaces(shots: list[Shot], views: Views) -> None:
    for index, (scene, _) in enumerate(shots):
        points, ids = points_of(views, index), views.instance_ids[index].numpy()
        for solid in scene.bodies:
            assert np.abs(solid.distance_m(points[ids == solid.id])).max(initial=0) < 1e-5
        room = points[ids == 0]
        half_x, half_y = scene.place.half_m
        to_walls = np.stack(
            [
                half_x - np.abs(room[:, 0]),
                half_y - np.abs(room[:, 1]),
                room[:, 2],
                scene.place.height_m - room[:, 2],
            ]
        )
        assert np.abs(to_walls.min(axis=0)).max() < 1e-5


def test_normals_are_the_gradient_of_the_distance(shots: list[Shot], views: Views) -> None:
    step = 1e-4
    for index, (scene, _) in enumerate(shots):
        points, ids = points_of(views, index), views.instance_ids[index].numpy()
        normals = views.normals_world[index].numpy()
        np.testing.assert_allclose(np.linalg.norm(normals, axis=-1), 1, atol=1e-5)
        for solid in scene.bodies:
            here, normal = points[ids == solid.id], normals[ids == solid.id]
            out = here + 0.01 * normal
            gradient = [
                (solid.distance_m(out + e) - solid.distance_m(out - e)) / (2 * step)
                for e in np.eye(3) * step
            ]
            agree = (np.stack(gradient, axis=-1) * normal).sum(axis=-1)
            assert (agree > 0.999).mean() > 0.99 if len(agree) else True


def test_normals_face_the_camera(shots: list[Shot], views: Views) -> None:
    for index, (_, camera) in enumerate(shots):
        towards = np.array(camera.position_m) - points_of(views, index)
        assert ((views.normals_world[index].numpy() * towards).sum(axis=-1) > -1e-4).all()


def test_same_shot_is_the_same_bytes_in_any_batch(shots: list[Shot], views: Views) -> None:
    for index in (0, 5, 15):
        alone = render(shots[index : index + 1], SIDE, SIDE)
        assert torch.equal(alone.rgb[0], views.rgb[index])
        assert torch.equal(alone.depth_m[0], views.depth_m[index])
        assert torch.equal(alone.instance_ids[0], views.instance_ids[index])
        assert torch.equal(alone.normals_world[0], views.normals_world[index])


def test_types_and_shapes(views: Views) -> None:
    assert (views.rgb.dtype, tuple(views.rgb.shape)) == (torch.uint8, (16, SIDE, SIDE, 3))
    assert (views.depth_m.dtype, views.instance_ids.dtype) == (torch.float32, torch.int32)
    assert torch.isfinite(views.depth_m).all()
    assert views.intrinsics.shape == (16, 3, 3)
    assert views.world_from_camera.shape == (16, 4, 4)


def test_pictures_use_the_range_and_show_colors(shots: list[Shot], views: Views) -> None:
    assert 60 < float(views.rgb.float().mean()) < 200
    channels = {"red": 0, "green": 1, "blue": 2}
    for index, (scene, _) in enumerate(shots):
        for solid in scene.bodies:
            seen = views.rgb[index][views.instance_ids[index] == solid.id].float()
            if solid.color in channels and len(seen) > 50:
                assert int(seen.mean(dim=0).argmax()) == channels[solid.color]


def test_lamp_casts_shadows() -> None:
    # The lamp hangs at (0, 0, 2.8): a ball at (1, 0, 1) shades the floor beyond it, at x = 1.56.
    empty, full = studio(), studio(body("sphere"))
    camera = Camera((-2.0, -1.5, 1.6), (1.56, 0.0, 0.0), 0.0, 60.0)
    lit, dark = render([(empty, camera), (full, camera)], 65, 65).rgb[:, 32, 32].float().mean(dim=1)
    assert dark < 0.75 * lit


def test_picture_of_another_shape(shots: list[Shot]) -> None:
    views = render(shots[:1], 48, 80)
    assert tuple(views.rgb.shape) == (1, 48, 80, 3)
    grid = pixel_grid(48, 80)
    assert grid.shape == (48, 80, 2)
    points = points_of(views, 0)
    scene = shots[0][0]
    for solid in scene.bodies:
        mask = views.instance_ids[0].numpy() == solid.id
        assert np.abs(solid.distance_m(points[mask])).max(initial=0) < 1e-5


@pytest.mark.parametrize(("count", "height", "width"), [(0, 8, 8), (1, 0, 8), (1, 8, 0)])
def test_nothing_to_render_is_refused(
    shots: list[Shot], count: int, height: int, width: int
) -> None:
    with pytest.raises(ValueError, match="expected at least one shot and one pixel"):
        render(shots[:count], height, width)


def test_probe_agrees_with_the_rendered_ids(shots: list[Shot], views: Views) -> None:
    sights = look([scene for scene, _ in shots[::2]], views=2)
    for index, (scene, _) in enumerate(shots):
        exact = [(views.instance_ids[index] == b.id).float().mean() for b in scene.bodies]
        np.testing.assert_allclose(sights[index // 2].share[index % 2], exact, atol=0.01)


def test_probe_of_no_scene() -> None:
    assert look([], views=2) == []
