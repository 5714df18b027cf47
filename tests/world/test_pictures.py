"""What pictures show of the record: materials, doors, lines, lights, the sky."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from g2vlm_bench.world.layout import make_scene
from g2vlm_bench.world.raycast import HORIZON_M
from g2vlm_bench.world.renderer import look, render
from g2vlm_bench.world.scene import (
    COLORS,
    MATERIALS,
    WALLS,
    Body,
    Camera,
    Door,
    Light,
    Place,
    Scene,
    Strip,
    Texture,
)
from g2vlm_bench.world.shapes import KINDS

PLAIN = Texture(((0.6, 0.6, 0.6), (0.6, 0.6, 0.6)), 0.5, 0.0)
ROOM = Place("room", 6.0, 4.0, 3.0, PLAIN, PLAIN)
ROAD = Place("road", 40.0, 20.0, 0.0, PLAIN, PLAIN)
LAMP = Light((-1.0, 0.5, 2.7), 1.5, 3.0)
AHEAD = Camera((-2.0, 0.0, 1.0), (0.0, 0.0, 1.0), 0.0, 60.0)


def scene(
    *bodies: Body, place: Place = ROOM, camera: Camera = AHEAD, lights: tuple[Light, ...] = (LAMP,)
) -> Scene:
    return Scene("hand", "test", 0, place, bodies, lights, (camera,))


def thing(kind: str = "box", color: str = "red", material: str = "matte") -> Body:
    return Body(1, kind, color, material, "medium", (0.6, 0.6, 0.6), (0.0, 0.0, 0.7), 30.0, 0)


def picture(shown: Scene, side: int = 96) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    views = render([shown.shot(0)], side, side)
    return views.rgb[0].double().numpy(), views.instance_ids[0].numpy()


def spread(material: str, kind: str) -> float:
    """How much the brightness jumps between neighbouring pixels of a thing, on average."""
    rgb, ids = picture(scene(thing(kind, "blue", material)))
    own = (ids[:, 1:] == 1) & (ids[:, :-1] == 1)
    return float(np.abs(np.diff(rgb.sum(axis=-1), axis=1))[own].mean())


@pytest.mark.parametrize("kind", ["box", "sphere", "cylinder", "cone"])
def test_materials_differ(kind: str) -> None:
    matte = spread("matte", kind)
    assert spread("striped", kind) > 2 * matte
    assert spread("checked", kind) > 2 * matte
    plain, ids = picture(scene(thing(kind, "blue", "matte")))
    shiny, _ = picture(scene(thing(kind, "blue", "shiny")))
    assert np.abs(plain - shiny)[ids == 1].mean() > 5
    np.testing.assert_allclose(plain[ids == 0], shiny[ids == 0], atol=60)


@pytest.mark.parametrize("material", MATERIALS)
@pytest.mark.parametrize("color", COLORS)
def test_colors_stay_what_they_are_called(color: str, material: str) -> None:
    rgb, ids = picture(scene(thing("sphere", color, material)))
    own = rgb[ids == 1]
    vivid = np.ptp(own, axis=1) / own.max(axis=1)
    # Patterns add a paler or darker tone: the vivid half is what names the thing.
    mean = own[vivid >= np.median(vivid)].mean(axis=0)
    # The nearest colour name by direction in RGB, once brightness is left out; black is the dark.
    names = [name for name in COLORS if name != "black"]
    hues = np.array([COLORS[name] for name in names])
    hues = hues / np.linalg.norm(hues, axis=1, keepdims=True)
    if color == "black":
        assert mean.max() - mean.min() < 40
        assert mean.mean() < 110
    else:
        assert names[int(np.argmax(hues @ (mean / np.linalg.norm(mean))))] == color


def test_patterns_turn_with_the_thing() -> None:
    # A cylinder looks the same from all sides but for its pattern.
    still = thing("cylinder", "green", "checked")
    turned = dataclasses.replace(still, yaw_deg=still.yaw_deg + 40)
    camera_turned, _ = picture(scene(turned))
    first, ids = picture(scene(still))
    assert np.abs(first - camera_turned)[ids == 1].mean() > 8
    plain = [picture(scene(dataclasses.replace(b, material="matte")))[0] for b in (still, turned)]
    assert np.abs(plain[0] - plain[1])[ids == 1].mean() < 1


@pytest.mark.parametrize("wall", WALLS)
def test_doors_are_seen_on_their_wall(wall: str) -> None:
    along = 0.7
    targets = {"east": (3, along), "north": (along, 2), "west": (-3, along), "south": (along, -2)}
    camera = Camera((0.1, 0.05, 1.2), (*map(float, targets[wall]), 1.2), 0.0, 60.0)
    door = Door(wall, along, 0.9, 2.0, "green")
    with_door, _ = picture(scene(place=dataclasses.replace(ROOM, doors=(door,)), camera=camera), 97)
    without, _ = picture(scene(camera=camera), 97)
    middle = with_door[52, 48]
    assert middle.argmax() == 1
    assert np.abs(with_door - without).max(axis=-1)[52, 48] > 30
    # The same door on the other walls is not in this picture.
    for other in set(WALLS) - {wall}:
        elsewhere = dataclasses.replace(ROOM, doors=(dataclasses.replace(door, wall=other),))
        shown, _ = picture(scene(place=elsewhere, camera=camera), 97)
        np.testing.assert_array_equal(shown[40:60, 40:57], without[40:60, 40:57])


def floor_color(strips: tuple[Strip, ...], x: float, y: float) -> NDArray[np.float64]:
    camera = Camera((x - 0.5, y, 1.5), (x, y, 0.0), 0.0, 30.0)
    place = dataclasses.replace(ROOM, strips=strips)
    return picture(scene(place=place, camera=camera), 33)[0][16, 16]


def test_later_lines_are_on_top_and_dashes_leave_gaps() -> None:
    red = Strip("red", 0.2, ((-1.0, 0.0), (0.5, 0.0), (0.5, 1.0)), False)
    blue = Strip("blue", 0.2, ((0.0, -1.0), (0.0, 1.0)), False)
    assert floor_color((red,), -0.5, 0.0).argmax() == 0
    assert floor_color((red,), 0.5, 0.7).argmax() == 0
    assert np.ptp(floor_color((red,), -0.5, 0.15)) < 10
    assert floor_color((red, blue), 0.0, 0.0).argmax() == 2
    assert floor_color((blue, red), 0.0, 0.0).argmax() == 0
    dashed = dataclasses.replace(red, dashed=True)
    # 0.25 and 0.75 m along: the first half of each metre is painted, also around the corner.
    assert floor_color((dashed,), -0.75, 0.0).argmax() == 0
    assert np.ptp(floor_color((dashed,), -0.25, 0.0)) < 10
    assert np.ptp(floor_color((dashed,), 0.5, 0.2)) < 10
    assert floor_color((dashed,), 0.5, 0.75).argmax() == 0


def test_sky_has_no_depth_no_normal_and_no_id() -> None:
    camera = Camera((0.0, 0.0, 1.5), (10.0, 0.0, 1.5), 0.0, 60.0)
    views = render([scene(place=ROAD, camera=camera).shot(0)], 64, 64)
    sky = torch.isnan(views.depth_m[0]).numpy()
    assert sky[:31].all()
    # 1.5 m over the ground: row 33.5 of a focal length of 55.4 pixels is 55.4 m away.
    assert not sky[33:].any()
    assert (views.normals_world[0].numpy()[sky] == 0).all()
    np.testing.assert_array_equal(views.normals_world[0].numpy()[~sky][:, 2], 1)
    assert (views.instance_ids[0].numpy() == 0).all()
    assert float(views.depth_m[0][~torch.isnan(views.depth_m[0])].max()) <= HORIZON_M
    assert (views.rgb[0].numpy()[:31, :, 2] > 180).all()


def test_a_second_lamp_lights_the_shadow_of_the_first() -> None:
    spot = Camera((-2.0, -1.2, 1.6), (1.0, -0.3, 0.0), 0.0, 40.0)
    low = dataclasses.replace(thing(), base_m=(0.2, 0.0, 0.0))
    first, second = Light((-1.0, 0.5, 1.5), 1.5, 3.0), Light((2.0, -1.5, 2.5), 1.0, 3.0)
    alone, _ = picture(scene(low, camera=spot, lights=(first,)))
    both, _ = picture(scene(low, camera=spot, lights=(first, second)))
    empty, _ = picture(scene(camera=spot, lights=(first,)))
    dark = (empty - alone).mean(axis=-1) > 25
    assert dark.sum() > 50
    assert (both - alone).mean(axis=-1)[dark].max() > 25
    # More light darkens nothing, but for rounding where one of them is smoothed and one is not.
    assert (both >= alone - 1).mean() > 0.995


def test_light_falls_by_half_at_its_reach() -> None:
    # On the floor under a lamp 2 m up, with nothing else, direct light is 1 / (1 + (2 / reach)^2).
    def direct(reach: float, strength: float) -> float:
        lights = (Light((0.0, 0.0, 2.0), strength, reach),)
        camera = Camera((-1.0, 0.0, 1.0), (0.0, 0.0, 0.0), 0.0, 20.0)
        views = render([scene(camera=camera, lights=lights).shot(0)], 33, 33)
        # The display's gamma is a square root.
        return float((views.rgb[0, 16, 16].double() / 255).square().mean())

    dark = direct(2.0, 0.0)
    near, far = direct(2.0, 1.0) - dark, direct(2e3, 1.0) - dark
    assert near == pytest.approx(far / 2, rel=0.05)


def test_inside_of_a_crate_gets_no_light_through_its_walls() -> None:
    # A lamp at the height of a wall's middle cannot light the floor behind it.
    crate = Body(1, "crate", "yellow", "matte", "medium", (0.8, 0.8, 0.6), (0.5, 0.0, 0.0), 0.0, 0)
    camera = Camera((0.45, 0.0, 2.5), (0.5, 0.0, 0.0), 0.0, 30.0)
    outside = Light((-2.0, 0.0, 0.3), 1.5, 5.0)
    lit, ids = picture(scene(crate, camera=camera, lights=(outside,)), 64)
    dark, _ = picture(
        scene(crate, camera=camera, lights=(dataclasses.replace(outside, strength=0.0),)), 64
    )
    floor = np.zeros_like(ids, bool)
    floor[26:38, 26:38] = True
    assert (ids[floor] == 1).all()
    np.testing.assert_array_equal(lit[floor], dark[floor])


@pytest.mark.parametrize("kind", KINDS)
def test_cameras_inside_a_thing_are_refused(kind: str) -> None:
    extent = {"torus": (0.8, 0.8, 0.24), "sign": (0.1, 0.3, 0.8)}.get(kind, (0.8, 0.8, 0.8))
    solid = Body(1, kind, "red", "matte", "medium", extent, (0.0, 0.0, 0.0), 20.0, 0)
    part = KINDS[kind].build(solid.extent_m)[0]
    inside = np.array(part.center_m)
    if part.primitive == "torus":
        inside[0] += part.extent_m[0] / 2 - part.extent_m[2] / 2
    x, y, z = solid.rotation @ inside + solid.base_m
    camera = Camera((float(x), float(y), float(z)), (2.0, 0.1, float(z)), 0.0, 60.0)
    with pytest.raises(ValueError, match="inside body 1"):
        render([scene(solid, camera=camera).shot(0)], 8, 8)


@pytest.mark.parametrize(
    ("camera", "message"),
    [
        (Camera((-2.0, 0.0, 1.0), (-2.0, 0.0, 1.0), 0.0, 60.0), "neither at itself"),
        (Camera((-2.0, 0.0, 1.0), (-2.0, 0.0, 0.0), 0.0, 60.0), "straight up or down"),
        (Camera((-2.0, 0.0, 1.0), (0.0, 0.0, 1.0), 0.0, 0.0), "between 0 and 180"),
        (Camera((-2.0, 0.0, 1.0), (0.0, 0.0, 1.0), 0.0, 180.0), "between 0 and 180"),
        (Camera((-2.0, 0.0, 1.0), (0.0, 0.0, float("nan")), 0.0, 60.0), "expected a camera"),
        (Camera((-2.0, 9.0, 1.0), (0.0, 0.0, 1.0), 0.0, 60.0), "inside the place"),
        (Camera((-2.0, 0.0, -1.0), (0.0, 0.0, 1.0), 0.0, 60.0), "inside the place"),
    ],
)
def test_impossible_cameras_are_refused(camera: Camera, message: str) -> None:
    for draw in (lambda shown: render([shown.shot(0)], 8, 8), lambda shown: look([shown], 1)):
        with pytest.raises(ValueError, match=message):
            draw(scene(camera=camera))


def test_a_round_thing_must_be_as_wide_as_deep() -> None:
    uneven = dataclasses.replace(thing("cylinder"), extent_m=(0.6, 0.5, 0.6))
    with pytest.raises(ValueError, match="expected a cylinder as wide as deep"):
        render([scene(uneven).shot(0)], 8, 8)


def test_threads_and_company_change_no_byte() -> None:
    shots = [make_scene(seed, "test", place).shot(0) for place in ("room", "road", "table_top")
             for seed in range(2)]  # fmt: skip
    together = render(shots, 48, 64)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        for index, shot in enumerate(shots):
            alone = render([shot], 48, 64)
            for name in ("rgb", "depth_m", "normals_world", "instance_ids"):
                one, all_ = getattr(alone, name)[0], getattr(together, name)[index]
                assert one.numpy().tobytes() == all_.numpy().tobytes(), (name, shot[0].id)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
