"""What the whole claims: who may look at whom, and that every weight has a say."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from g2vlm_bench.reference import speech
from g2vlm_bench.reference.decoder import rotation_from_six
from g2vlm_bench.reference.model import Batch
from g2vlm_bench.reference.trunk import Places, Tokens

CLOSE = {"atol": 2e-4, "rtol": 2e-4}


def test_shapes(make_model, batch) -> None:
    out = make_model()(batch)
    assert out.geometry.log_depth.shape == (2, 3, 32, 32)
    assert out.geometry.points_first.shape == (2, 3, 32, 32, 3)
    assert out.geometry.normals.shape == (2, 3, 32, 32, 3)
    assert out.geometry.first_from_camera.shape == (2, 3, 4, 4)
    assert out.logits.shape == (2, 2, 9, 50)
    assert out.word_places.shape == (2, 2, 9, 3)
    assert out.pointed.shape == (2, 2, 9, 3, 1 + 16)
    assert len(out.steps) == 2
    torch.testing.assert_close(out.geometry.normals.norm(dim=-1), torch.ones(2, 3, 32, 32))
    torch.testing.assert_close(out.geometry.first_from_camera[:, 0], torch.eye(4).expand(2, 4, 4))


def test_every_weight_gets_a_gradient(make_model, batch) -> None:
    model = make_model().train()
    hide = torch.rand(2, 3, 16) < 0.3
    out = model(replace(batch, hide=hide))
    masks = model.decoder.spoken_masks(out.text[:, :, -1], out.geometry)
    parts = [
        out.logits, out.word_places, out.pointed, out.early_log_depth, masks,
        out.semantic, out.patches,
        *(value for step in out.steps for value in (
            step.log_depth, step.log_confidence, step.normals, step.first_from_camera,
            step.log_focal)),
        model.embed_images(batch.images), model.embed_clouds(batch.cloud),
        model.embed_texts(batch.words[:, 0], batch.words_known[:, 0]),
        model.temperature,
    ]  # fmt: skip
    torch.manual_seed(3)
    sum((part.float() * torch.randn_like(part.float())).sum() for part in parts).backward()
    idle = [
        name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0
    ]
    assert idle == []


@pytest.mark.parametrize("refinements", [0, 1, 3])
def test_refinements_are_chosen_at_run_time(make_model, batch, refinements) -> None:
    out = make_model()(batch, refinements)
    assert len(out.steps) == refinements + 1
    first = make_model()(batch, 0).geometry.log_depth
    torch.testing.assert_close(out.steps[0].log_depth, first)
    if refinements:
        assert not torch.allclose(out.geometry.log_depth, first, atol=1e-4)


def test_refinements_are_the_configurations_where_none_are_chosen(make_model, batch) -> None:
    model = make_model(refinements=2)
    assert len(model(batch).steps) == 3
    assert len(speech.look(model, batch)[0].steps) == 3


def test_a_refinement_goes_on_from_what_the_decoder_made(make_model, batch) -> None:
    """With an estimate that says nothing, K refinements are the decoder's blocks K times more."""
    model = make_model(depth_aware=False)
    with torch.no_grad():
        for values in model.geometric.estimate[-1].parameters():
            values.zero_()
    given, made = [], []

    def keep(_, arguments, tokens) -> None:
        given.append(arguments[0])
        made.append(tokens)

    model.decoder.register_forward_hook(keep)
    model(batch, 2)
    for before, after in zip(made, given[1:], strict=False):
        for part, expected in zip(after, before, strict=True):
            torch.testing.assert_close(part, expected)
    assert not torch.allclose(made[0].geometric, made[2].geometric)
    assert not torch.allclose(made[0].text, made[2].text)


def test_early_places_lie_on_their_rays_at_their_depth_over_the_views_mean(
    make_model, batch
) -> None:
    early = torch.randn(2, 3, 16)
    places = make_model()._early_places(early, batch).geometric
    torch.testing.assert_close(places[..., 2], (early - early.mean(-1, keepdim=True)).exp())
    # The patch in the last column of the first row: its middle is 12 and -12 pixels off, f = 30.
    torch.testing.assert_close(places[:, :, 3, 0], places[:, :, 3, 2] * 12 / 30)
    torch.testing.assert_close(places[:, :, 3, 1], places[:, :, 3, 2] * -12 / 30)


def test_geometry_does_not_depend_on_what_is_asked(make_model, batch) -> None:
    model = make_model()
    asked = model(batch).geometry
    other = model(replace(batch, words=(batch.words + 7) % 50)).geometry
    silent = model(replace(batch, words=None, words_known=None)).geometry
    torch.testing.assert_close(asked.log_depth, other.log_depth)
    torch.testing.assert_close(asked.log_depth, silent.log_depth, **CLOSE)


def test_questions_of_a_scene_do_not_see_one_another(make_model, batch) -> None:
    model = make_model()
    both = model(batch).logits
    second = model(
        replace(batch, words=batch.words[:, 1:], words_known=batch.words_known[:, 1:])
    ).logits
    torch.testing.assert_close(both[:, 1:], second, **CLOSE)


def test_words_see_pictures_and_earlier_words_alone(make_model, batch) -> None:
    model = make_model()
    before = model(batch).logits
    later = batch.words.clone()
    later[:, :, 6:] = (later[:, :, 6:] + 1) % 50
    torch.testing.assert_close(
        model(replace(batch, words=later)).logits[:, :, :6], before[:, :, :6], **CLOSE
    )
    dark = model(replace(batch, images=torch.zeros_like(batch.images))).logits
    assert not torch.allclose(dark, before, atol=1e-2)


def test_padding_of_a_text_changes_nothing(make_model, batch) -> None:
    model = make_model()
    changed = batch.words.clone()
    changed[0, 1, 6:] = 3
    torch.testing.assert_close(
        model(replace(batch, words=changed)).logits[0, 1, :6],
        model(batch).logits[0, 1, :6],
        **CLOSE,
    )


def test_permuting_views_permutes_what_is_said_of_them(make_model, batch) -> None:
    model = make_model()
    order = [0, 2, 1]  # the first is the frame
    swapped = replace(
        batch,
        images=batch.images[:, order],
        intrinsics=batch.intrinsics[:, order],
        depth_prior=batch.depth_prior[:, order],
    )
    before, after = model(batch), model(swapped)
    torch.testing.assert_close(
        after.geometry.log_depth, before.geometry.log_depth[:, order], **CLOSE
    )
    torch.testing.assert_close(
        after.geometry.first_from_camera, before.geometry.first_from_camera[:, order], **CLOSE
    )
    torch.testing.assert_close(after.logits, before.logits, **CLOSE)


def test_the_first_camera_is_told_from_the_others(make_model, batch) -> None:
    model = make_model()
    _, tokens = model._encode(batch)
    cameras = tokens.geometric[:, :, 0]
    torch.testing.assert_close(cameras[:, :1], model.camera[:1].expand(2, 1, -1))
    torch.testing.assert_close(cameras[:, 1:], model.camera[1:].expand(2, 2, -1))


def test_within_views_one_view_is_the_first_of_many(make_model, batch) -> None:
    model = make_model()
    layer = next(layer for layer in model.trunk.layers if not layer.across)
    _, tokens = model._encode(batch)
    many = layer(tokens, None)
    alone = Tokens(tokens.geometric[:, :1], tokens.semantic[:, :1], tokens.cloud, tokens.text)
    one = layer(alone, None)
    torch.testing.assert_close(one.geometric[:, 0], many.geometric[:, 0], **CLOSE)
    torch.testing.assert_close(one.semantic[:, 0], many.semantic[:, 0], **CLOSE)
    across = next(layer for layer in model.trunk.layers if layer.across)
    assert not torch.allclose(
        across(alone, None).geometric[:, 0], across(tokens, None).geometric[:, 0],
        atol=1e-3,
    )  # fmt: skip


def test_scenes_of_a_batch_do_not_see_one_another(make_model, batch) -> None:
    model = make_model()
    first = Batch(**{
        name: getattr(batch, name)[:1] if getattr(batch, name) is not None else None
        for name in ("images", "intrinsics", "depth_prior", "cloud", "words", "words_known", "hide")
    })  # fmt: skip
    torch.testing.assert_close(
        model(first).geometry.log_depth, model(batch).geometry.log_depth[:1], **CLOSE
    )


def test_what_is_given_has_a_say(make_model, batch) -> None:
    model = make_model()
    whole = model(batch).geometry.log_depth
    for name in ("intrinsics", "depth_prior", "cloud"):
        without = model(replace(batch, **{name: None})).geometry.log_depth
        assert not torch.allclose(without, whole, atol=1e-4), name


def test_places_matter_where_attention_is_depth_aware(make_model, batch) -> None:
    for aware in (True, False):
        model = make_model(depth_aware=aware)
        _, tokens = model._encode(batch)
        patches, merged = tokens.geometric.shape[2] - 1, tokens.semantic.shape[2]
        near = Places(torch.zeros(2, 3, patches, 3), torch.zeros(2, 3, merged, 3))
        far = Places(torch.randn(2, 3, patches, 3), torch.randn(2, 3, merged, 3))
        results = [model.trunk.upper(tokens, places).geometric for places in (near, far)]
        assert torch.allclose(*results, atol=1e-5) is not aware


def test_the_early_depth_learns_from_its_own_loss_alone(make_model, batch) -> None:
    """Places, which it is taken for, send no gradient back."""
    model = make_model()
    out = model(batch)
    (out.geometry.log_depth.sum() + out.logits.sum() + out.pointed.sum()).backward()
    assert all(part.grad is None for part in model.trunk.early.parameters())


def test_a_text_is_embedded_by_its_last_word_whatever_its_padding(make_model, batch) -> None:
    model = make_model()
    words, known = batch.words[0], batch.words_known[0]  # the second of six words
    before = model.embed_texts(words, known)
    torch.testing.assert_close(
        model.embed_texts(words[1:, :6], known[1:, :6]), before[1:], atol=1e-5, rtol=1e-5
    )
    for place, told in ((5, True), (6, False)):
        other = words.clone()
        other[1, place] = (other[1, place] + 1) % 50
        after = model.embed_texts(other, known)
        assert torch.allclose(after[1], before[1], atol=1e-5) is not told


def test_one_expert_has_fewer_weights(make_model) -> None:
    both, one = make_model(), make_model(experts=False)
    assert len(list(one.trunk.parameters())) < len(list(both.trunk.parameters()))
    assert one.trunk.layers[0].geometric is one.trunk.layers[0].semantic


def test_words_that_do_not_point(make_model, batch) -> None:
    model = make_model(pointing=False)
    out = model(batch)
    assert out.pointed is None
    assert model.pointing is None


def test_what_is_pointed_at_reaches_the_word(make_model) -> None:
    """A word whose key fits one patch is told of that patch and no other."""
    pointing = make_model().pointing
    text, patches = torch.randn(1, 1, 1, 32), torch.randn(1, 2, 4, 32)
    where, depth = torch.randn(1, 2, 4, 3), torch.randn(1, 2, 4)
    with torch.no_grad():
        pointing.query.weight.zero_()
        pointing.query.bias.copy_(1e4 * pointing.key(pointing.norm_patches(patches))[0, 0, 2])
    before, logits = pointing(text, patches[:, :1], where[:, :1], depth[:, :1])
    assert logits[0, 0, 0, 0].argmax() == 3
    for index, told in ((2, True), (1, False)):
        moved = where.clone()
        moved[:, :, index] += 1
        after, _ = pointing(text, patches[:, :1], moved[:, :1], depth[:, :1])
        assert torch.allclose(after, before, atol=1e-5) is not told


def test_no_matrix_of_all_pairs_is_ever_made(make_model) -> None:
    """Twelve views of 64 patches: whatever is made is smaller than one head's matrix of pairs.

    With all that can be given, and on the way back.
    """
    model = make_model().train()
    views, side = 12, 64
    tokens = views * (1 + 64 + 16)
    given = Batch(
        images=torch.rand(1, views, 3, side, side),
        depth_prior=torch.rand(1, views, side, side) + 1,
        cloud=torch.randn(1, 256, 3),
        words=torch.randint(0, 50, (1, 2, 9)),
    )
    largest: list[int] = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            made = out if isinstance(out, tuple | list) else (out,)
            largest.extend(part.numel() for part in made if isinstance(part, torch.Tensor))
            return out

    with Watch():
        out = model(given, refinements=1)
        forth = len(largest)
        (out.geometry.points_first.sum() + out.logits.sum() + out.pointed.sum()).backward()
    assert len(largest) > 1.5 * forth
    assert max(largest) < tokens**2


def test_six_numbers_make_a_rotation() -> None:
    rotation = rotation_from_six(torch.randn(5, 6))
    torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3).expand(5, 3, 3), **CLOSE)
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(5), **CLOSE)


def test_the_same_in_bfloat16_but_for_rounding(make_model, batch) -> None:
    model = make_model()
    whole = model(batch).geometry.log_depth
    with torch.autocast("cpu", torch.bfloat16):
        rough = model(batch).geometry.log_depth
    assert (rough - whole).abs().mean() < 0.05
