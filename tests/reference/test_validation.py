"""What is measured while training, on answers that are known to be right or wrong."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from g2vlm_bench.reference.batches import Drawn
from g2vlm_bench.reference.model import Batch
from g2vlm_bench.reference.validation import measure

WORDS, LENGTH, SIDE = 9, 4, 8


@pytest.fixture
def drawn() -> Drawn:
    """Two scenes of two views with a question and a phrase each."""
    torch.manual_seed(0)
    words = torch.randint(1, WORDS, (2, 2, LENGTH))
    poses = torch.eye(4).expand(2, 2, 4, 4).clone()
    places = torch.full((2, 2, LENGTH, 3), torch.nan)
    # On the middle of the picture, and a pixel to the right of it, at 2 m: f = 8, c = 4.
    places[:, 1, -1] = torch.tensor([[0.1, 0.1, 2.0], [0.35, 0.1, 2.0]])
    bodies = torch.zeros(2, 2, LENGTH, dtype=torch.long)
    bodies[:, 1, -1] = 1
    masks = torch.zeros(2, 2, 2, SIDE, SIDE, dtype=torch.bool)
    masks[0, 1, 0, 4, 4] = masks[1, 1, 0, 4, 5] = True
    answers = torch.zeros(2, 2, LENGTH, dtype=torch.bool)
    answers[:, 0, 2:] = True
    depth = torch.rand(2, 2, SIDE, SIDE) + 1
    depth[:, :, 0] = torch.nan
    intrinsics = torch.tensor([[8.0, 0, 4], [0, 8, 4], [0, 0, 1]]).expand(2, 2, 3, 3)
    inputs = Batch(
        images=torch.zeros(2, 2, 3, SIDE, SIDE),
        words=words,
        words_known=torch.ones_like(words, dtype=torch.bool),
    )
    empty = torch.zeros(0)
    return Drawn(
        inputs=inputs, depth=depth, normals=empty, first_from_camera=poses, intrinsics=intrinsics,
        answers=answers, bodies=bodies, places=places, masks=masks,
        means=torch.tensor([[False, True]] * 2), ids=masks[:, 1].long(), colors=empty, kinds=empty,
        captions=torch.zeros(2, 3), captions_known=torch.ones(2, 3) > 0, clouds=empty,
        plain=torch.ones(2) > 0, families=(("support", ""), ("counting", "")),
        refinements=0,
    )  # fmt: skip


def _model(drawn: Drawn, **changes: torch.Tensor) -> torch.nn.Module:
    """A model that says the truth but for what is changed."""
    words = drawn.inputs.words
    logits = torch.nn.functional.one_hot(words.roll(-1, -1), WORDS).float()
    fields = {
        "depth": drawn.depth.nan_to_num(5.0), "poses": drawn.first_from_camera, "logits": logits,
        "places": drawn.places.nan_to_num(0), "embedding": torch.eye(2),
    } | changes  # fmt: skip
    # In four patches a view, both things are on the last one; the first number is of nothing.
    pointed = torch.zeros(2, 2, LENGTH, 2, 5)
    pointed[..., 4] = 1
    fields = {"pointed": pointed} | fields
    geometry = SimpleNamespace(depth=fields["depth"], first_from_camera=fields["poses"])
    output = SimpleNamespace(
        geometry=geometry, logits=fields["logits"], word_places=fields["places"],
        embedding=fields["embedding"], pointed=fields["pointed"],
    )  # fmt: skip

    class Says(torch.nn.Module):
        def forward(self, batch: Batch, refinements: int) -> SimpleNamespace:
            return output

        def embed_texts(self, words: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
            return torch.eye(2)

    return Says()


def test_truth_is_best_at_any_scale(drawn) -> None:
    found = measure(_model(drawn, depth=3 * drawn.depth.nan_to_num(5.0)), [drawn, drawn])
    assert found["abs_rel"] == pytest.approx(0, abs=1e-6)
    assert found["rotation_deg"] == pytest.approx(0, abs=0.05)
    assert found["phrase_m"] == 0
    best = ("delta1", "phrase_hit", "answers", "answers/support", "answers/counting", "recall1")
    assert {name: found[name] for name in best} == dict.fromkeys(best, 1.0)
    # Two places 0.25 m apart are 0.125 m from their middle.
    assert found["phrase_mid_m"] == pytest.approx(0.125)


def test_each_error_shows_in_its_own_figure(drawn) -> None:
    poses = drawn.first_from_camera.clone()
    poses[:, 1, :3, :3] = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    logits = _model(drawn)(drawn.inputs, 0).logits.clone()
    logits[0, 0, 1] = 0
    logits[0, 0, 1, 0] = 9.0
    depth = drawn.depth.nan_to_num(5.0).clone()
    depth[:, :, :2] *= 2
    found = measure(
        _model(
            drawn, poses=poses, logits=logits, depth=depth, embedding=torch.eye(2).flip(0),
            places=drawn.places.nan_to_num(0) + torch.tensor([0.0, 0, -1.0]),
        ),
        [drawn],
    )  # fmt: skip
    assert found["rotation_deg"] == pytest.approx(90, abs=0.01)
    assert found["answers"] == 0.5
    assert (found["answers/support"], found["answers/counting"]) == (0, 1)
    # One valid row of seven is twice too far.
    assert found["abs_rel"] == pytest.approx(1 / 7, abs=1e-5)
    assert found["delta1"] == pytest.approx(6 / 7, abs=1e-5)
    assert found["phrase_m"] == pytest.approx(1)
    # At half the depth the first stays within its pixel, the second leaves it.
    assert found["phrase_hit"] == 0.5
    assert found["recall1"] == 0


def test_what_has_no_truth_is_not_told(drawn) -> None:
    silent = replace(
        drawn, inputs=replace(drawn.inputs, words=None, words_known=None),
            bodies=torch.zeros(2, 0, 0, dtype=torch.long),
        captions=torch.zeros(0), depth=drawn.depth[:, :1],
    )  # fmt: skip
    model = _model(drawn, depth=drawn.depth[:, :1].nan_to_num(5.0))
    assert set(measure(model, [silent])) == {"abs_rel", "delta1"}


def test_a_picture_of_nothing_but_sky_says_nothing_of_depth(drawn) -> None:
    sky = drawn.depth.clone()
    sky[1, 0] = torch.nan
    half = torch.where(torch.arange(SIDE) < SIDE // 2, 3.0, 1.0)
    said = drawn.depth.nan_to_num(5.0)
    said[1, 0] *= half  # what is wrong there alone cannot be seen
    found = measure(_model(drawn, depth=said), [replace(drawn, depth=sky)])
    assert found["abs_rel"] == pytest.approx(0, abs=1e-6)
    assert found["delta1"] == 1


def test_the_mode_is_left_as_it_was(drawn) -> None:
    for mode in (True, False):
        model = _model(drawn).train(mode)
        measure(model, [drawn])
        assert model.training == mode


def test_pointing_is_measured_where_the_thing_is_shown(drawn) -> None:
    assert measure(_model(drawn), [drawn])["pointed"] == 1
    pointed = torch.zeros(2, 2, LENGTH, 2, 5)
    pointed[0, ..., 4] = pointed[1, ..., 2] = 1
    assert measure(_model(drawn, pointed=pointed), [drawn])["pointed"] == 0.5
    # A thing that the first view does not show counts for nothing.
    hidden = replace(drawn, ids=drawn.ids * torch.tensor([1, 0])[:, None, None, None])
    assert measure(_model(drawn, pointed=pointed), [hidden])["pointed"] == 1
