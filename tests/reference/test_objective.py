"""The losses together: which count, how much, and that nothing that is missing breaks them."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pytest
import torch
from msgspec import structs
from torch import Tensor

from g2vlm_bench.reference import losses
from g2vlm_bench.reference.batches import Drawn
from g2vlm_bench.reference.config import LossWeights
from g2vlm_bench.reference.decoder import transform
from g2vlm_bench.reference.encoders import pixel_rays
from g2vlm_bench.reference.objective import Readouts, meaning_tokens, total_loss
from tests.reference.conftest import TINY

ALL = LossWeights(masked=1.0)
NONE = LossWeights(**{name: 0.0 for name in LossWeights.__struct_fields__})
SIDE, COLORS, KINDS = 32, 4, 3


@pytest.fixture
def readouts() -> Readouts:
    torch.manual_seed(2)
    return Readouts(TINY, COLORS, KINDS)


@pytest.fixture
def drawn(batch) -> Drawn:
    """A truth of every kind for the two scenes of three views."""
    torch.manual_seed(3)
    texts, length = batch.words.shape[1:]
    depth = torch.rand(2, 3, SIDE, SIDE) + 1
    depth[:, :, :4] = torch.nan
    poses = torch.eye(4).expand(2, 3, 4, 4).clone()
    poses[:, 1:, :3, 3] = torch.randn(2, 2, 3)
    places = torch.full((2, texts, length, 3), torch.nan)
    places[:, :, 4] = 1.0
    bodies = torch.zeros(2, texts, length, dtype=torch.long)
    bodies[:, :, 4] = 1
    given = batch.intrinsics.clone()
    given[1] = torch.nan
    return Drawn(
        inputs=replace(batch, intrinsics=given, hide=torch.rand(2, 3, 16) < 0.3),
        depth=depth,
        normals=torch.nn.functional.normalize(torch.randn(2, 3, SIDE, SIDE, 3), dim=-1),
        first_from_camera=poses,
        intrinsics=batch.intrinsics,
        answers=batch.words_known & (torch.arange(length) > 3),
        bodies=bodies,
        places=places,
        masks=torch.rand(2, texts, 3, SIDE, SIDE) < 0.3,
        means=torch.ones(2, texts, dtype=torch.bool),
        ids=torch.randint(0, 3, (2, 3, SIDE, SIDE)),
        colors=torch.randint(0, COLORS, (2, 3, SIDE, SIDE)),
        kinds=torch.randint(0, KINDS, (2, 3, SIDE, SIDE)),
        captions=torch.randint(0, 50, (2, 6)),
        captions_known=torch.ones(2, 6, dtype=torch.bool),
        clouds=torch.randn(2, 20, 3),
        plain=torch.ones(2, dtype=torch.bool),
        families=(("direction",) * texts,) * 2,
        refinements=1,
    )


def test_the_sum_is_that_of_its_weighted_parts(make_model, readouts, drawn) -> None:
    model = make_model()
    loss, parts = total_loss(model, readouts, model(drawn.inputs), drawn, ALL)
    assert set(parts) == set(LossWeights.__struct_fields__)
    slow = sum(getattr(ALL, n) * float(p.detach()) for n, p in parts.items())
    assert float(loss.detach()) == pytest.approx(slow, rel=1e-5)


def test_every_weight_learns(make_model, readouts, drawn) -> None:
    model = make_model().train()
    loss, _ = total_loss(model, readouts, model(drawn.inputs), drawn, ALL)
    loss.backward()
    idle = [
        name
        for module in (model, readouts)
        for name, parameter in module.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().sum() > 0
    ]
    assert idle == []


@pytest.mark.parametrize("name", LossWeights.__struct_fields__)
def test_a_loss_counts_alone_and_where_it_weighs_nothing_not_at_all(
    make_model, readouts, drawn, name: str
) -> None:
    model = make_model()
    output = model(drawn.inputs)
    _, everything = total_loss(model, readouts, output, drawn, ALL)
    alone, parts = total_loss(model, readouts, output, drawn, structs.replace(NONE, **{name: 2.0}))
    assert set(parts) == {name}
    torch.testing.assert_close(parts[name], everything[name])
    torch.testing.assert_close(alone, 2 * sum(parts.values()))
    _, rest = total_loss(model, readouts, output, drawn, structs.replace(ALL, **{name: 0.0}))
    assert name not in rest


def test_geometric_losses_compare_what_they_are_named_for(make_model, readouts, drawn) -> None:
    """Without refinement: what is said against the truth, with confidence, in the scene's scale."""
    model = make_model()
    output = model(drawn.inputs, 0)
    said, valid = output.geometry, drawn.depth.isfinite()
    rays = pixel_rays(drawn.intrinsics, SIDE, SIDE)
    poses = said.first_from_camera, drawn.first_from_camera
    size = torch.stack([depth[mine].mean() for depth, mine in zip(drawn.depth, valid, strict=True)])
    expected = {
        "points": losses.points_loss(
            said.points, rays * drawn.depth[..., None], valid, said.log_confidence
        ),
        "depth": losses.depth_loss(said.log_depth, drawn.depth.log(), valid),
        "scale": losses.scale_loss(said.log_depth, drawn.depth.log(), valid),
        "normals": losses.normals_loss(said.normals, drawn.normals, torch.ones_like(valid)),
        "rotation": losses.rotation_loss(*poses),
        "translation": losses.translation_loss(*poses, size),
        "consistency": losses.consistency_loss(
            said.points, said.log_depth, said.first_from_camera, said.intrinsics
        ),
        "field_of_view": losses.field_of_view_loss(said.log_focal, drawn.intrinsics, SIDE),
    }
    _, parts = total_loss(model, readouts, output, drawn, ALL)
    for name, loss in expected.items():
        torch.testing.assert_close(parts[name], loss, msg=name)


def test_later_refinements_weigh_more(make_model, readouts, drawn) -> None:
    """Of K = 1: a third and two thirds."""
    model = make_model()
    output = model(drawn.inputs, 1)
    weights = structs.replace(NONE, depth=1.0)
    _, parts = total_loss(model, readouts, output, drawn, weights)
    valid = drawn.depth.isfinite()
    first, second = (
        losses.depth_loss(step.log_depth, drawn.depth.log(), valid) for step in output.steps
    )
    torch.testing.assert_close(parts["depth"], first / 3 + 2 * second / 3)


def test_the_early_depth_is_compared_with_the_mean_of_its_patch(
    make_model, readouts, drawn
) -> None:
    model = make_model()
    output = model(drawn.inputs)
    cells = drawn.depth.log().unflatten(-1, (4, 8)).unflatten(-3, (4, 8)).transpose(-3, -2)
    mean = cells.flatten(-2).nanmean(-1).flatten(2)
    # Its scale counts, too: one that no loss sees drifts away without end.
    for shift in (0.0, 0.7, -500.0):
        shifted = replace(output, early_log_depth=mean + shift)
        _, parts = total_loss(model, readouts, shifted, drawn, structs.replace(NONE, early=1.0))
        assert float(parts["early"].detach()) == pytest.approx(abs(shift), abs=1e-4)


def test_patches_say_where_the_middle_of_their_points_is_in_the_first_frame(
    make_model, readouts, drawn
) -> None:
    model = make_model()
    depth = drawn.depth.clone()
    depth[0, 0, 8:16, :6] = torch.nan  # three quarters of a patch of the second row are sky
    depth[0, 1, 8:16, :2] = torch.nan  # a quarter of another view's
    drawn = replace(drawn, depth=depth)
    own = pixel_rays(drawn.intrinsics, SIDE, SIDE) * depth[..., None]
    points = transform(drawn.first_from_camera, own)
    cells = points.unflatten(3, (4, 8)).unflatten(2, (4, 8)).transpose(3, 4)
    places = cells.flatten(4, 5).nanmean(-2).flatten(2, 3)
    size = torch.stack([each.nanmean() for each in depth])[:, None, None, None]

    def loss(off: Tensor) -> float:
        said = replace(model(drawn.inputs), patch_places=places + off)
        _, parts = total_loss(model, readouts, said, drawn, structs.replace(NONE, scene=1.0))
        return float(parts["scene"].detach())

    assert loss(torch.zeros(1)) == pytest.approx(0, abs=1e-5)
    # Beyond a tenth of the scene's size: the error less half of that tenth, each coordinate.
    assert loss(0.5 * size) == pytest.approx(3 * 0.45, rel=1e-4)
    sky = torch.zeros_like(places)
    sky[0, 0, 4] = 100
    assert loss(sky) == pytest.approx(0, abs=1e-5)
    few = torch.zeros_like(places)
    few[0, 1, 4] = 100
    assert loss(few) > 0.1


def test_the_contrast_is_of_pictures_clouds_and_captions_in_all_pairs(
    make_model, readouts, drawn
) -> None:
    model = make_model()
    output = model(drawn.inputs)
    _, parts = total_loss(model, readouts, output, drawn, structs.replace(NONE, contrastive=1.0))
    made = (
        output.embedding,
        model.embed_clouds(drawn.clouds),
        model.embed_texts(drawn.captions, drawn.captions_known),
    )
    each = [losses.contrastive_loss(*two, model.temperature) for two in combinations(made, 2)]
    assert len({round(float(part.detach()), 4) for part in each}) == 3
    torch.testing.assert_close(parts["contrastive"], sum(each) / 3)


def test_scenes_given_depth_stay_out_of_the_contrast(make_model, readouts, drawn) -> None:
    model = make_model()
    output = model(drawn.inputs)
    weights = structs.replace(NONE, contrastive=1.0)
    some = replace(drawn, plain=torch.tensor([True, False]))
    loss, _ = total_loss(model, readouts, output, some, weights)
    loss.backward()
    assert float(loss.detach()) == 0


def test_the_contrast_is_of_the_scenes_that_were_given_nothing(make_model, readouts, drawn) -> None:
    """Of three, the second of which was given depth: that of the first and the third."""
    model = make_model()
    torch.manual_seed(4)
    unit = torch.nn.functional.normalize(torch.randn(3, TINY.embedding), dim=-1)
    output = replace(model(drawn.inputs), embedding=unit)
    captions, clouds = torch.randint(0, 50, (3, 6)), torch.randn(3, 20, 3)

    def contrast(those: list[int], plain: list[bool]) -> Tensor:
        mine = replace(
            drawn, captions=captions[those], clouds=clouds[those], plain=torch.tensor(plain),
            captions_known=torch.ones(len(those), 6, dtype=torch.bool),
        )  # fmt: skip
        said = replace(output, embedding=unit[those])
        weights = structs.replace(NONE, contrastive=1.0)
        return total_loss(model, readouts, said, mine, weights)[0]

    found = contrast([0, 1, 2], [True, False, True])
    torch.testing.assert_close(found, contrast([0, 2], [True, True]))
    assert not torch.isclose(found, contrast([0, 1, 2], [True, True, True]), rtol=1e-3)


def test_masks_are_told_by_the_last_word_of_their_text(make_model, readouts, drawn) -> None:
    model = make_model()
    output = model(drawn.inputs)
    last = meaning_tokens(output.text, drawn.inputs.words_known)
    logits = model.decoder.spoken_masks(last, output.geometry)
    _, parts = total_loss(model, readouts, output, drawn, structs.replace(NONE, masks=1.0))
    torch.testing.assert_close(parts["masks"], losses.masks_loss(logits, drawn.masks, drawn.means))


def test_the_last_word_of_each_text_stands_for_its_thing(batch) -> None:
    text = torch.arange(2 * 2 * 9.0).view(2, 2, 9, 1)
    last = meaning_tokens(text, batch.words_known).squeeze(-1)
    assert last.tolist() == [[8, 14], [26, 35]]
    assert meaning_tokens(text, None).squeeze(-1).tolist() == [[8, 17], [26, 35]]


def test_no_truth_at_all_is_zero_and_no_nan(make_model, readouts, drawn) -> None:
    model = make_model()
    nothing = replace(
        drawn,
        depth=drawn.depth * torch.nan,
        normals=drawn.normals * 0,
        intrinsics=drawn.intrinsics * torch.nan,
        answers=drawn.answers & False,
        bodies=drawn.bodies * 0,
        places=drawn.places * torch.nan,
        means=drawn.means & False,
        plain=drawn.plain & False,
    )
    # Poses, patches and agreement between views are always known.
    weights = structs.replace(ALL, rotation=0, translation=0, patches=0, masked=0, consistency=0)
    loss, parts = total_loss(model, readouts, model(drawn.inputs), nothing, weights)
    loss.backward()
    assert {name: float(part.detach()) for name, part in parts.items() if part.detach() != 0} == {}
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())


def test_half_floats_change_rounding_alone(make_model, readouts, drawn) -> None:
    model = make_model()
    _, whole = total_loss(model, readouts, model(drawn.inputs), drawn, ALL)
    with torch.autocast("cpu", torch.bfloat16):
        _, half = total_loss(model, readouts, model(drawn.inputs), drawn, ALL)
    for name, part in whole.items():
        torch.testing.assert_close(half[name].float(), part, atol=0.05, rtol=0.05, msg=name)
