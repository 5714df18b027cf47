"""Scenes as plain JSON values and back, and what makes a scene one that can be shown."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any, get_args, get_origin, get_type_hints

from g2vlm_bench.errors import BenchError, nearest
from g2vlm_bench.world.scene import (
    COLORS,
    MATERIALS,
    PLACES,
    SIZES,
    SPLITS,
    WALLS,
    WORLD_VERSION,
    Body,
    Camera,
    Scene,
)
from g2vlm_bench.world.shapes import KINDS


def to_record(scene: Scene) -> dict[str, Any]:
    """Turn a scene into plain JSON values; `from_record` gives the same scene back exactly."""
    return {"version": WORLD_VERSION, **dataclasses.asdict(scene)}


def from_record(record: Mapping[str, Any]) -> Scene:
    """Turn `to_record`'s values, also after a trip through JSON, into the scene.

    Raises:
        BenchError: The version, a key or a value is not one of a scene record, or the scene is not
            one that `check_scene` lets pass.
    """
    if not isinstance(record, Mapping):
        raise BenchError("scene record", expected="keys and values", got=type(record).__name__)
    version = record.get("version")
    if version != WORLD_VERSION:
        raise BenchError(
            "scene record, key 'version'",
            expected=WORLD_VERSION,
            got=version,
            fix="Make the scene again with this version of g2vlm_bench.",
        )
    values = {key: value for key, value in record.items() if key != "version"}
    scene: Scene = _structure(Scene, values, "scene record")
    check_scene(scene)
    return scene


def check_scene(scene: Scene) -> None:
    """Refuse a scene that has no pictures or no words.

    Raises:
        BenchError: A number is not finite; there is no body, lamp or camera; a name is unknown or
            not unique; ids do not count from 1 with supporters first; an extent or a lamp's
            strength or reach is not positive; a way does not begin where its body is; there are not
            as many cameras as frames; a camera has a degenerate angle of view or direction, or is
            inside a body or outside its place.
    """
    _check_numbers(f"scene {scene.id}", dataclasses.asdict(scene))
    for what, things in (("bodies", scene.bodies), ("lights", scene.lights)):
        if not things:
            raise BenchError(f"scene {scene.id}, {what}", expected="at least one", got="none")
    for light in scene.lights:
        if min(light.strength, light.reach_m) <= 0:
            raise BenchError(
                f"scene {scene.id}, lights", expected="positive strength and reach", got=light
            )
    _check_word(scene, "split", scene.split, SPLITS)
    _check_word(scene, "place", scene.place.kind, PLACES)
    for door in scene.place.doors:
        _check_word(scene, "door's wall", door.wall, WALLS)
        _check_word(scene, "door's color", door.color, COLORS)
    for number, body in enumerate(scene.bodies, start=1):
        _check_body(scene, number, body)
    names = [body.name for body in scene.bodies]
    for name in names:
        if names.count(name) > 1:
            raise BenchError(
                f"scene {scene.id}, bodies", expected="unique names", got=f"two '{name}'"
            )
    cameras = len(scene.cameras)
    if scene.frames < 1 or cameras < 1 or (scene.frames > 1 and cameras != scene.frames):
        expected = "a camera, or one for each of several frames"
        got = f"{cameras} cameras, {scene.frames} frames"
        raise BenchError(f"scene {scene.id}", expected=expected, got=got)
    for view in range(cameras):
        _check_camera(f"scene {scene.id}, camera {view}", *scene.shot(view))


def _check_numbers(where: str, value: object) -> None:
    """Refuse what Python's JSON reads and JSON does not have: NaN, and infinity."""
    if isinstance(value, float) and not math.isfinite(value):
        raise BenchError(where, expected="finite numbers", got=value)
    if isinstance(value, dict):
        for key, each in value.items():
            _check_numbers(f"{where}, {key}", each)
    elif isinstance(value, tuple):
        for each in value:
            _check_numbers(where, each)


def _check_body(scene: Scene, number: int, body: Body) -> None:
    where = f"scene {scene.id}, body {number}"
    for what, word, known in (
        ("kind", body.kind, KINDS),
        ("color", body.color, COLORS),
        ("material", body.material, MATERIALS),
        ("size", body.size, SIZES),
    ):
        _check_word(scene, f"{what} of body {number}", word, known)
    if body.id != number:
        raise BenchError(where, expected=f"id {number}", got=body.id)
    if not 0 <= body.support < number:
        raise BenchError(where, expected="a support that comes before it", got=body.support)
    if min(body.extent_m) <= 0:
        raise BenchError(where, expected="positive extents", got=body.extent_m)
    if body.path_m and (len(body.path_m) < 2 or body.path_m[0] != body.base_m):
        raise BenchError(where, expected="a way of two points or more that begins at its base")


def _check_camera(where: str, scene: Scene, camera: Camera) -> None:
    if not 0 < camera.fov_deg < 180:
        raise BenchError(where, expected="an angle of view between 0 and 180", got=camera.fov_deg)
    if not scene.place.holds(camera.position_m):
        raise BenchError(where, expected="inside its place", got=camera.position_m)
    if math.dist(camera.position_m[:2], camera.target_m[:2]) < 1e-6:
        got = f"from {camera.position_m} to {camera.target_m}"
        raise BenchError(where, expected="a direction that is not straight up or down", got=got)
    for body in scene.bodies:
        if body.distance_m(camera.position_m) <= 0:
            raise BenchError(where, expected="outside every body", got=f"inside the {body.name}")


def _check_word(scene: Scene, what: str, word: str, known: Collection[str]) -> None:
    if word not in known:
        raise BenchError(
            f"scene {scene.id}, {what}", got=f"unknown '{word}'", fix=nearest(word, known)
        )


def _structure(kind: Any, value: Any, where: str) -> Any:
    """Build a value of a type from plain JSON values, refusing what does not fit."""
    if dataclasses.is_dataclass(kind):
        fields = get_type_hints(kind)
        _check_keys(value, fields, where)
        made = {key: _structure(fields[key], value[key], f"{where}, {key}") for key in fields}
        return kind(**made) if isinstance(kind, type) else None
    if get_origin(kind) is tuple:
        return tuple(_structure(part, each, where) for part, each in _parts(kind, value, where))
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not kind:
        raise BenchError(where, expected=kind.__name__, got=repr(value))
    return value


def _parts(kind: Any, value: Any, where: str) -> Iterator[tuple[Any, Any]]:
    if not isinstance(value, (list, tuple)):
        raise BenchError(where, expected="a list", got=type(value).__name__)
    kinds = get_args(kind)
    if kinds[-1] is Ellipsis:
        return zip([kinds[0]] * len(value), value, strict=True)
    if len(kinds) != len(value):
        raise BenchError(where, expected=f"{len(kinds)} values", got=len(value))
    return zip(kinds, value, strict=True)


def _check_keys(value: Any, fields: Mapping[str, Any], where: str) -> None:
    if not isinstance(value, Mapping):
        raise BenchError(where, expected="keys and values", got=type(value).__name__)
    for key in value:
        if key not in fields:
            raise BenchError(where, got=f"unknown key '{key}'", fix=nearest(str(key), fields))
    for key in fields:
        if key not in value:
            raise BenchError(where, expected=f"key '{key}'", got="none")
