"""The ray caster against Open3D's on fine meshes of the same scenes: every kind, every place."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from g2vlm_bench.geometry.cameras import pixel_grid
from g2vlm_bench.world.layout import make_scene
from g2vlm_bench.world.pack import Shot
from g2vlm_bench.world.raycast import HORIZON_M
from g2vlm_bench.world.renderer import Views, amodal_masks, render
from g2vlm_bench.world.scene import COLORS, PLACES, Body, Camera, Light, Place, Scene, Texture
from g2vlm_bench.world.shapes import AXES, KINDS, Part

o3d: Any = pytest.importorskip("open3d", reason="open3d cannot be imported", exc_type=ImportError)

SIDE = 96
# Largest extent 1; round things as wide as deep.
PROPORTIONS = {
    "box": (1.0, 0.7, 0.8),
    "cylinder": (0.7, 0.7, 1.0),
    "cone": (0.8, 0.8, 1.0),
    "torus": (1.0, 1.0, 0.3),
    "table": (1.0, 0.7, 0.6),
    "chair": (0.5, 0.45, 1.0),
    "shelf": (0.35, 0.8, 1.0),
    "crate": (1.0, 0.8, 0.7),
    "lamp": (0.45, 0.45, 1.0),
    "car": (1.0, 0.42, 0.34),
    "sign": (0.03, 0.3, 1.0),
    "person": (0.28, 0.28, 1.0),
    "tree": (0.5, 0.5, 1.0),
}
PLAIN = Texture(((0.5, 0.5, 0.5), (0.7, 0.7, 0.7)), 0.5, 0.0)


def body(number: int, kind: str, x: float, y: float, yaw_deg: float) -> Body:
    size = sum(KINDS[kind].sizes_m["medium"]) / 2
    a, b, c = (size * share for share in PROPORTIONS.get(kind, (1.0, 1.0, 1.0)))
    color = list(COLORS)[number % len(COLORS)]
    return Body(number, kind, color, "matte", "medium", (a, b, c), (x, y, 0.0), yaw_deg, 0)


def hall(*bodies: Body) -> Shot:
    """Things in a hall of 24 x 24 x 8 m, seen from its middle, 1.7 m up."""
    place = Place("room", 24.0, 24.0, 8.0, PLAIN, PLAIN)
    camera = Camera((0.0, 0.0, 1.7), (*bodies[0].base_m[:2], 0.6), 5.0, 65.0)
    light = Light((1.0, 2.0, 7.5), 1.5, 6.0)
    return Scene("hall", "test", 0, place, bodies, (light,), (camera,)).shot(0)


def every_kind() -> list[Shot]:
    """Each kind turned by an odd angle, with a second one of it half behind."""
    shots = []
    for number, kind in enumerate(KINDS):
        far = 1.0 + 1.6 * sum(KINDS[kind].sizes_m["medium"]) / 2
        angle = 0.45 * number
        x, y = far * math.cos(angle), far * math.sin(angle)
        first = body(1, kind, x, y, 17.0 + 40 * number)
        second = body(2, kind, 1.5 * x - 0.2 * y, 1.5 * y + 0.2 * x, 100.0 - 23 * number)
        shots.append(hall(first, second))
    return shots


def generated() -> list[Shot]:
    scenes = [make_scene(seed, "test", place) for place in PLACES for seed in range(3)]
    return [scene.shot(view) for scene in scenes for view in (0, 4)]


@pytest.mark.parametrize("make", [every_kind, generated])
def test_depth_and_ids(make: Any) -> None:
    shots = make()
    views = render(shots, SIDE, SIDE)
    for index, (scene, _) in enumerate(shots):
        depth, ids = cast(meshes(scene), views, index)
        ours = views.instance_ids[index].numpy()
        inner = smooth(ours, views.normals_world[index].numpy())
        assert inner.mean() > 0.5
        np.testing.assert_array_equal(ids[inner], ours[inner])
        mine = views.depth_m[index].numpy()[inner]
        theirs = np.where(depth[inner] < HORIZON_M, depth[inner], np.nan)
        # Meshes leave round things by under a millimetre; far ground is seen at a slant.
        np.testing.assert_allclose(mine, theirs, atol=1e-3, rtol=2e-5)
        # Across silhouettes the two may differ by a pixel, no more.
        assert (ids == ours).mean() > 0.995


def test_silhouettes_and_visibility() -> None:
    shots = every_kind()
    views = render(shots, SIDE, SIDE)
    for index, ((scene, _), masks) in enumerate(
        zip(shots, amodal_masks(shots, SIDE, SIDE), strict=True)
    ):
        seen = views.instance_ids[index].numpy()
        for solid, mask, visible in zip(scene.bodies, masks, views.visibility[index], strict=True):
            _, alone = cast([(solid.id, mesh_of(solid))], views, index)
            expected = alone == solid.id
            assert (mask.numpy() != expected).mean() < 0.01
            own = mask.numpy()
            assert not ((seen == solid.id) & ~own).any()
            assert visible == pytest.approx((seen == solid.id).sum() / own.sum())


def cast(
    bodies: list[tuple[int, Any]], views: Views, index: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Depth and instance ids of a view by Open3D; -1 where nothing is."""
    caster, numbers = o3d.t.geometry.RaycastingScene(), {}
    for number, mesh in bodies:
        added = caster.add_triangles(o3d.t.geometry.TriangleMesh.from_legacy(mesh))
        numbers[added] = number
    pose, intrinsics = views.world_from_camera[index], views.intrinsics[index]
    grid = pixel_grid(SIDE, SIDE).reshape(-1, 2)
    pixels = np.hstack([grid, np.ones((len(grid), 1))])
    directions = pixels @ np.linalg.inv(intrinsics).T @ pose[:3, :3].T
    rays = np.hstack([np.broadcast_to(pose[:3, 3], directions.shape), directions])
    hits = caster.cast_rays(o3d.core.Tensor(rays.astype(np.float32)))
    found = hits["geometry_ids"].numpy().reshape(SIDE, SIDE)
    ids = np.full(found.shape, -1)
    for added, number in numbers.items():
        ids[found == added] = number
    depth = hits["t_hit"].numpy().reshape(SIDE, SIDE)
    # The sky belongs to the place.
    has_place = any(number == 0 for number, _ in bodies)
    return depth, np.where(has_place & (ids < 0), 0, ids)


def smooth(ids: NDArray[np.int32], normals: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Pixels whose neighbours two steps around show the same thing, and no other side of it."""
    alike = np.ones(ids.shape, bool)
    for rows in range(-2, 3):
        for columns in range(-2, 3):
            moved = np.roll(ids, (rows, columns), (0, 1))
            turned = np.roll(normals, (rows, columns), (0, 1))
            alike &= (moved == ids) & ((turned * normals).sum(-1) >= 0.8 * (normals**2).sum(-1))
    alike[:2] = alike[-2:] = alike[:, :2] = alike[:, -2:] = False
    return alike


def meshes(scene: Scene) -> list[tuple[int, Any]]:
    """Every body and the place as fine meshes, by instance id."""
    return [(0, mesh_of_place(scene.place)), *((b.id, mesh_of(b)) for b in scene.bodies)]


def mesh_of_place(place: Place) -> Any:
    if place.is_open:
        ground = o3d.geometry.TriangleMesh.create_box(2000, 2000, 1)
        return ground.translate((-1000, -1000, -1))
    room = o3d.geometry.TriangleMesh.create_box(place.width_m, place.depth_m, place.height_m)
    return room.translate((-place.width_m / 2, -place.depth_m / 2, 0))


def mesh_of(solid: Body) -> Any:
    whole = o3d.geometry.TriangleMesh()
    for part in KINDS[solid.kind].build(solid.extent_m):
        whole += mesh_of_part(part)
    whole.rotate(solid.rotation, center=(0, 0, 0))
    return whole.translate(solid.base_m)


def mesh_of_part(part: Part) -> Any:
    make = o3d.geometry.TriangleMesh
    axis = AXES.index(part.axis)
    wide, long = part.extent_m[(axis + 1) % 3] / 2, part.extent_m[axis]
    if part.primitive == "box":
        mesh = make.create_box(*part.extent_m).translate(-np.array(part.extent_m) / 2)
    elif part.primitive == "sphere":
        mesh = make.create_sphere(wide, resolution=150)
    elif part.primitive == "cylinder":
        mesh = make.create_cylinder(wide, long, resolution=300, split=1)
    elif part.primitive == "cone":
        mesh = make.create_cone(wide, long, resolution=300, split=1).translate((0, 0, -long / 2))
    else:
        mesh = make.create_torus(wide - long / 2, long / 2, 300, 150)
    # Cyclic, so that the axis about z becomes the part's and no mesh is mirrored.
    turn = np.eye(3)[:, [(axis + step) % 3 for step in (1, 2, 3)]]
    if part.primitive != "box":
        mesh.rotate(turn, center=(0, 0, 0))
    return mesh.translate(part.center_m)


def test_meshes_stand_on_their_axes() -> None:
    for axis in range(3):
        extent = tuple(2.0 if i == axis else 0.5 for i in range(3))
        mesh = mesh_of_part(Part("cone", (0.0, 0.0, 0.0), extent, axis=AXES[axis]))
        points = np.asarray(mesh.vertices)
        np.testing.assert_allclose(points.max(axis=0) - points.min(axis=0), extent, atol=1e-3)
        tip = points[np.argmax(points[:, axis])]
        np.testing.assert_allclose(tip, np.eye(3)[axis], atol=1e-6)
