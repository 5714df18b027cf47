from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from g2vlm_bench.reference.attention import (
    Block,
    Expert,
    Heads,
    SpatialBias,
    attend,
    attend_beside,
    carried,
)


def test_the_bias_is_the_distance_squared_times_a_weight() -> None:
    torch.manual_seed(0)
    heads, width = 3, 8
    query, key, value = torch.randn(3, 2, 7, heads, width)
    places, known = torch.randn(2, 7, 3), torch.rand(2, 7) < 0.7
    bias = SpatialBias(heads)
    with torch.no_grad():
        bias.strength.copy_(torch.tensor([1.0, -2.0, -4.0]))
    fast = attend(query, key, value, bias(places, known))
    # The definition, with its N x N matrix: tokens without a place are at no distance from any.
    square = (places[:, :, None] - places[:, None]).square().sum(-1)
    both = known[:, :, None] & known[:, None]
    weight = torch.tensor([1.0, 20.0, 400.0]) * F.softplus(bias.strength)
    penalty = weight[:, None, None] * torch.where(both, square, 0)[:, None]
    logits = torch.einsum("bnhd,bmhd->bhnm", query, key) / math.sqrt(width)
    # From a token with a place to one without, the row's own |p|^2 is not there to cancel.
    slow = torch.einsum("bhnm,bmhd->bnhd", (logits - penalty).softmax(-1), value)
    torch.testing.assert_close(fast, slow, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float32])
def test_near_tokens_far_from_the_camera_keep_their_bias_in_half_floats(kind) -> None:
    """A scene some three units away, patches a twentieth apart, the head that looks nearest."""
    torch.manual_seed(0)
    places = torch.tensor([1.0, -2.0, 3.0]) + 0.05 * torch.randn(1, 64, 3)
    query, key = SpatialBias(6)(places, torch.ones(1, 64, dtype=torch.bool))
    held = [part[0, :, -1].detach() for part in carried(query, key, kind)]
    assert {part.dtype for part in held} == {kind}
    assert held[0].shape[-1] % 8 == 0
    exact = (
        -(places[0, :, None] - places[0]).double().square().sum(-1)
        * 400
        * F.softplus(torch.tensor(-3.0).double())
    )
    error = (held[0].double() @ held[1].double().T - exact).abs().max()
    assert float(error) < 0.02
    assert float(exact.abs().median()) > 5 * float(error)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float32])
def test_attention_in_half_floats_keeps_the_bias(kind) -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 1, 64, 6, 32)
    places = torch.tensor([1.0, -2.0, 3.0]) + 0.2 * torch.randn(1, 64, 3)
    bias = SpatialBias(6)(places, torch.ones(1, 64, dtype=torch.bool))
    exact = attend(query, key, value, bias)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = attend(query.to(kind), key.to(kind), value.to(kind), bias)
    assert rounded.dtype == kind
    torch.testing.assert_close(rounded.float(), exact, atol=0.03, rtol=0)


def test_heads_start_with_reaches_from_the_scene_to_a_few_patches() -> None:
    query, key = SpatialBias(3)(torch.tensor([[[1.0, 0, 0], [0, 0, 0]]]), torch.ones(1, 2) > 0)
    penalty = -(query[:, 0] * key[:, 1]).sum(-1)[0].detach()
    torch.testing.assert_close(penalty, penalty[0] * torch.tensor([1.0, 20.0, 400.0]))
    assert float(penalty[0]) == pytest.approx(1 / 20, rel=0.05)


def test_far_tokens_are_looked_at_less() -> None:
    bias = SpatialBias(1)
    with torch.no_grad():
        bias.strength.fill_(3.0)
    places = torch.tensor([[[0.0, 0, 0], [0.1, 0, 0], [5.0, 0, 0]]])
    values = torch.eye(3)[None, :, None]
    zeros = torch.zeros(1, 3, 1, 3)
    looked = attend(zeros, zeros, values, bias(places, torch.ones(1, 3, dtype=torch.bool)))[0, 0, 0]
    assert looked[0] > looked[1] > 0.4
    assert looked[2] < 1e-6


def test_without_places_the_bias_is_nothing() -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 1, 5, 2, 4)
    nowhere = torch.zeros(1, 5, dtype=torch.bool)
    bias = SpatialBias(2)(torch.randn(1, 5, 3), nowhere)
    torch.testing.assert_close(attend(query, key, value, bias), attend(query, key, value))


def test_a_mask_hides_tokens() -> None:
    torch.manual_seed(0)
    block = Block(16, 2, 2.0)
    tokens = torch.randn(1, 4, 16)
    causal = torch.ones(4, 4, dtype=torch.bool).tril()
    whole = block(tokens, causal)
    tokens[:, 3] = 7
    torch.testing.assert_close(block(tokens, causal)[:, :3], whole[:, :3])
    assert not torch.allclose(block(tokens, causal)[:, 3], whole[:, 3])


@pytest.mark.parametrize("scale", [0.1, 100.0])
def test_queries_and_keys_have_no_length(scale: float) -> None:
    torch.manual_seed(0)
    expert = Expert(16, 2, 2.0)
    tokens = torch.randn(1, 4, 16)
    with torch.no_grad():
        before = expert.project(tokens)
        expert.qkv.weight[:32] *= scale
        after = expert.project(tokens)
    torch.testing.assert_close(before.query, after.query, rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(before.key, after.key, rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(before.value, after.value)


def test_texts_that_share_tokens_look_as_if_each_had_its_own_copy() -> None:
    torch.manual_seed(0)
    scenes, texts, length, heads, width, shared = 2, 3, 4, 2, 8, 5
    own = torch.randn(3, scenes, texts, length, heads, width, requires_grad=True)
    common = torch.randn(2, scenes, shared, heads, width, requires_grad=True)
    mask = torch.rand(scenes, texts, length, length) < 0.5
    fast = attend_beside(Heads(*own), common[0], common[1], mask)

    copies = common[:, :, None].expand(-1, -1, texts, -1, -1, -1)
    key, value = torch.cat([copies, own[1:]], 3).flatten(1, 2)
    whole = torch.cat([mask.new_ones(scenes, texts, length, shared), mask], -1)
    slow = attend(own[0].flatten(0, 1), key, value, mask=whole.flatten(0, 1)[:, None])
    slow = slow.unflatten(0, (scenes, texts))
    torch.testing.assert_close(fast, slow)
    towards = torch.randn_like(fast)
    fast_grads = torch.autograd.grad((fast * towards).sum(), (own, common))
    torch.testing.assert_close(
        fast_grads, torch.autograd.grad((slow * towards).sum(), (own, common))
    )
