"""A layer of the trunk: whose weights each token meets, and which tokens have a place."""

from __future__ import annotations

import pytest
import torch

from g2vlm_bench.reference.trunk import Layer, Places, Tokens, Trunk

WIDTH, PATCHES, MERGED = 16, 6, 2


@pytest.fixture
def tokens() -> Tokens:
    torch.manual_seed(0)
    shapes = ((1, 2, 1 + PATCHES), (1, 2, MERGED), (1, 3), (1, 1, 4))
    return Tokens(*(torch.randn(*shape, WIDTH) for shape in shapes))


def layer(across: bool = True) -> Layer:
    torch.manual_seed(1)
    return Layer(WIDTH, 2, 2.0, across=across, experts=True, depth_aware=True).eval()


def changed(before: Tokens, after: Tokens) -> set[str]:
    return {
        name
        for name in Tokens._fields
        if not torch.allclose(getattr(before, name), getattr(after, name), atol=1e-5)
    }


@pytest.mark.parametrize(
    ("expert", "its_own"),
    [("geometric", {"geometric", "cloud"}), ("semantic", {"semantic", "text"})],
)
@pytest.mark.parametrize("part", ["out", "norm_hidden", "feed_forward.0", "feed_forward.2"])
def test_an_expert_finishes_its_own_tokens_alone(tokens, expert, its_own, part) -> None:
    whole = layer()
    before = whole(tokens, None)
    with torch.no_grad():
        whole.get_submodule(f"{expert}.{part}").weight.mul_(-1)
    assert changed(before, whole(tokens, None)) == its_own


@pytest.mark.parametrize("kind", Tokens._fields)
@pytest.mark.parametrize("expert", ["geometric", "semantic"])
def test_an_expert_projects_its_own_tokens_alone(tokens, expert, kind) -> None:
    """Whose queries, keys and values those of a kind are, by what reaches their own kind."""
    whole = layer()
    others = Tokens(*(torch.zeros_like(part) for part in tokens))
    alone = others._replace(**{kind: getattr(tokens, kind)})
    before = getattr(whole(alone, None), kind)
    with torch.no_grad():
        # Zeros stay zeros, because projections have no bias: only this kind says anything.
        getattr(whole, expert).qkv.weight.mul_(-1)
        getattr(whole, expert).norm.bias.zero_()
    after = getattr(whole(alone, None), kind)
    owner = "geometric" if kind in ("geometric", "cloud") else "semantic"
    assert torch.allclose(before, after, atol=1e-5) is not (expert == owner)


def test_all_kinds_attend_together(tokens) -> None:
    """Pictures to one another and to the cloud, words to all, and nothing to words."""
    reach = {"geometric": {"semantic", "cloud", "text"}, "semantic": {"geometric", "cloud", "text"},
             "cloud": {"geometric", "semantic", "text"}, "text": set()}  # fmt: skip
    whole = layer()
    before = whole(tokens, None)
    for kind, others in reach.items():
        moved = tokens._replace(**{kind: getattr(tokens, kind).flip(-1)})
        assert changed(before, whole(moved, None)) == others | {kind}, kind


def test_a_camera_has_no_place(tokens) -> None:
    """Its attention is the same wherever patches are, and theirs is not."""
    whole = layer(across=False)
    with torch.no_grad():
        whole.bias.strength.fill_(1.0)
    near, far = (
        whole(
            tokens,
            Places(spread * torch.randn(1, 2, PATCHES, 3), spread * torch.randn(1, 2, MERGED, 3)),
        ).geometric
        for spread in (0.1, 2.0)
    )
    torch.testing.assert_close(near[:, :, 0], far[:, :, 0])
    assert not torch.allclose(near[:, :, 1:], far[:, :, 1:], atol=1e-3)


def test_merged_tokens_have_places_of_their_own(tokens) -> None:
    """Patches attend to them by these, and they to patches."""
    whole = layer(across=False)
    spots = Places(torch.randn(1, 2, PATCHES, 3), torch.randn(1, 2, MERGED, 3))
    before = whole(tokens, spots)
    after = whole(tokens, spots._replace(semantic=-spots.semantic))
    assert changed(before, after) == {"geometric", "semantic"}


def test_a_cloud_has_no_place(tokens) -> None:
    """Its attention is the same wherever patches are; across views theirs is not."""
    whole = layer()
    with torch.no_grad():
        whole.bias.strength.fill_(1.0)
    spots = Places(torch.randn(1, 2, PATCHES, 3), torch.randn(1, 2, MERGED, 3))
    before = whole(tokens, spots)
    far = Places(3 * spots.geometric, 3 * spots.semantic)
    assert changed(before, whole(tokens, far)) == {"geometric", "semantic"}


def test_layers_look_within_views_and_across_them_in_turn(tokens) -> None:
    """By what another second view changes in the first, layer by layer."""
    trunk = Trunk(8, WIDTH, 2, 2.0, experts=True, depth_aware=True).eval()
    parts = {name: getattr(tokens, name).clone() for name in ("geometric", "semantic")}
    for part in parts.values():
        part[:, 1] = part[:, 1].flip(-1)
    other = tokens._replace(**parts)
    reached = [
        not torch.allclose(
            *(one(each, None).geometric[:, 0] for each in (tokens, other)), atol=1e-5
        )
        for one in trunk.layers
    ]
    assert reached == 4 * [False, True]


def test_places_count_within_views_of_the_upper_half_alone(tokens) -> None:
    """Each view's are in its own camera's frame, so that those of two views do not compare."""
    trunk = Trunk(8, WIDTH, 2, 2.0, experts=True, depth_aware=True).eval()
    spots = torch.randn(1, 2, PATCHES, 3), torch.randn(1, 2, MERGED, 3)
    near, far = (Places(*(size * spot for spot in spots)) for size in (0.1, 3.0))
    told = [
        not torch.allclose(*(one(tokens, each).geometric for each in (near, far)), atol=1e-5)
        for one in trunk.layers
    ]
    assert told == 4 * [False] + 2 * [True, False]
