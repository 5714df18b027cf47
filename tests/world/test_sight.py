from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from g2vlm_bench.world.layout import make_scene
from g2vlm_bench.world.renderer import amodal_masks, look, render
from g2vlm_bench.world.scene import PLACES, Body, Camera, Light, Place, Scene, Texture
from g2vlm_bench.world.sight import Sight

PLAIN = Texture(((0.5, 0.5, 0.5), (0.7, 0.7, 0.7)), 0.5, 0.0)


def row_of_boxes() -> Scene:
    """A small box half hides a wide one; a third is behind the camera."""
    place = Place("room", 8.0, 8.0, 3.0, PLAIN, PLAIN)
    # Seen from x = -3 at 1 m, the first spans y in [-0.25, 0.25] at 2 m, the second y in [-1, 1].
    boxes = (
        Body(1, "box", "red", "matte", "small", (0.5, 0.5, 2.0), (-0.75, 0.0, 0.0), 0.0, 0),
        Body(2, "box", "blue", "matte", "large", (0.5, 2.0, 2.0), (1.25, 0.0, 0.0), 0.0, 0),
        Body(3, "box", "green", "matte", "small", (0.3, 0.3, 0.3), (-3.7, 0.0, 0.0), 0.0, 0),
    )
    camera = Camera((-3.0, 0.0, 1.0), (0.0, 0.0, 1.0), 0.0, 60.0)
    light = Light((0.0, 0.0, 2.8), 1.5, 3.0)
    return Scene("row", "test", 0, place, boxes, (light,), (camera, camera))


def test_shares_of_what_is_hidden() -> None:
    sight = look([row_of_boxes()], views=1)[0]
    # The small one's front is at 2 m: 0.25 / 2 to both sides. The wide one's is at 4 m: 1 / 4. Over
    # tan(30 deg): 21.65 % and 43.3 % of the picture's width. Heights: all of it, as 1 / 2 and 1 / 4
    # over 0.577 are 87 % and 43 %.
    assert sight.share[0, 0] == pytest.approx(0.2165 * 0.866, abs=0.02)
    assert sight.amodal_share[0, 0] == sight.share[0, 0]
    assert sight.amodal_share[0, 1] == pytest.approx(0.433 * 0.433, abs=0.02)
    # Of the wide one, half of its width is hidden.
    assert sight.visibility[0, 1] == pytest.approx(0.5, abs=0.04)
    hidden = sight.amodal_share[0, 1] - sight.share[0, 1]
    np.testing.assert_allclose(sight.hidden_by[0, 0, 1], hidden, atol=1e-12)
    assert sight.hidden_by[0].sum() == sight.hidden_by[0, 0, 1]
    # Nothing of the third is in the picture.
    assert sight.share[0, 2] == sight.amodal_share[0, 2] == 0
    assert np.isnan(sight.visibility[0, 2])


@pytest.mark.parametrize("place", PLACES)
def test_sight_is_what_the_masks_of_a_picture_say(place: str) -> None:
    scenes = [make_scene(seed, "test", place) for seed in range(3)]
    shots = [scene.shot(view) for scene in scenes for view in range(2)]
    views, masks = render(shots, 64, 64), amodal_masks(shots, 64, 64)
    sights = look(scenes, views=2)
    for index, (scene, _) in enumerate(shots):
        sight, view = sights[index // 2], index % 2
        seen, alone = views.instance_ids[index].numpy(), masks[index].numpy()
        for a in scene.bodies:
            assert sight.share[view, a.id - 1] == (seen == a.id).mean()
            assert sight.amodal_share[view, a.id - 1] == alone[a.id - 1].mean()
            for b in scene.bodies:
                expected = ((seen == a.id) & alone[b.id - 1]).mean() if a is not b else 0
                assert sight.hidden_by[view, a.id - 1, b.id - 1] == expected
        np.testing.assert_array_equal(views.visibility[index], sight.visibility[view])


def test_views_of_a_moving_scene_see_their_own_frame() -> None:
    scene = make_scene(0, "test", "road", frames=4)
    moving = [body for body in scene.bodies if body.path_m]
    assert moving
    sight = look([scene], views=4)[0]
    still = [look([dataclasses.replace(scene.at_frame(i), cameras=(scene.cameras[i],))], 1)[0]
             for i in range(4)]  # fmt: skip
    np.testing.assert_array_equal(sight.share, np.concatenate([s.share for s in still]))


def test_probe_has_the_pictures_aspect() -> None:
    wide = look([row_of_boxes()], views=2, aspect=2.0)[0]
    square = look([row_of_boxes()], views=2)[0]
    # The same height shows twice as much to the sides.
    np.testing.assert_allclose(wide.share[:, :2], square.share[:, :2] / 2, atol=0.01)


def test_shares_are_within_their_bounds() -> None:
    scenes = [make_scene(seed, "train") for seed in range(4)]
    for sight in look(scenes, views=4):
        assert isinstance(sight, Sight)
        assert (sight.share <= sight.amodal_share).all()
        assert (sight.amodal_share <= 1).all()
        assert (sight.hidden_by >= 0).all()
        gone = sight.amodal_share - sight.share
        np.testing.assert_allclose(sight.hidden_by.sum(axis=1), gone, atol=1e-12)


@pytest.mark.parametrize(("views", "aspect"), [(0, 1.0), (1, 0.0), (1, float("nan"))])
def test_impossible_probes_are_refused(views: int, aspect: float) -> None:
    with pytest.raises(ValueError, match="expected views and a positive aspect"):
        look([row_of_boxes()], views, aspect)


def test_more_views_than_cameras_are_refused() -> None:
    with pytest.raises(ValueError, match="expected 9 cameras of"):
        look([make_scene(0, "test")], views=9)
