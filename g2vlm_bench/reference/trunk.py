"""The trunk: two experts that attend together, within views and across them, and the words' way in.

Tokens of B scenes with V views: `geometric` `(B, V, 1 + N, C)` (a camera, then patches), `semantic`
`(B, V, M, C)` (one for each square of merged patches), `cloud` `(B, S, C)`, `text` `(B, Q, L, C)`
(Q texts of a scene, such as questions). Pictures never look at words, so that geometry does not
depend on what is asked and one pass over the pictures serves all questions.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from g2vlm_bench.reference.attention import (
    Expert,
    Heads,
    SpatialBias,
    attend,
    attend_beside,
)


class Tokens(NamedTuple):
    """All tokens of a batch; shapes as in the module's description."""

    geometric: Tensor
    semantic: Tensor
    cloud: Tensor
    text: Tensor


class Places(NamedTuple):
    """Where tokens are, in units of the scene.

    Attributes:
        geometric: `(B, V, N, 3)` of the patches.
        semantic: `(B, V, M, 3)`.
    """

    geometric: Tensor
    semantic: Tensor


class Layer(nn.Module):
    """One layer: attention within each view or across all, then words over everything.

    Args:
        width: C.
        heads: Attention heads.
        hidden: Width of the feed-forward networks, in C.
        across: Whether pictures look across views, and at the cloud.
        experts: Whether geometry has weights of its own.
        depth_aware: Whether attention knows distances in space.
    """

    def __init__(
        self, width: int, heads: int, hidden: float, across: bool, experts: bool, depth_aware: bool
    ) -> None:
        super().__init__()
        self.across = across
        self.semantic = Expert(width, heads, hidden)
        self.geometric = Expert(width, heads, hidden) if experts else self.semantic
        self.bias = SpatialBias(heads) if depth_aware else None

    def forward(self, tokens: Tokens, places: Places | None) -> Tokens:
        """Update all tokens.

        Args:
            tokens: What the layer before made.
            places: The current estimate of where patches are, in a frame that those which attend to
                one another share; None where there is none yet.
        """
        cameras_and_patches = tokens.geometric.shape[2]
        geometric = self.geometric.project(tokens.geometric)
        semantic = self.semantic.project(tokens.semantic)
        cloud = self.geometric.project(tokens.cloud)
        # Per view: camera, patches, semantic tokens.
        seen = Heads(*(torch.cat(pair, 2) for pair in zip(geometric, semantic, strict=True)))
        carried = None if places is None or self.bias is None else self._carried(places)
        if self.across:
            attended, cloud_attended = self._across(seen, cloud, carried)
        else:
            attended, cloud_attended = self._within(seen, carried), None
        new_geometric, new_semantic = attended.split(
            [cameras_and_patches, attended.shape[2] - cameras_and_patches], dim=2
        )
        new_cloud = tokens.cloud
        if cloud_attended is not None:
            new_cloud = self.geometric.finish(tokens.cloud, cloud_attended)
        return Tokens(
            self.geometric.finish(tokens.geometric, new_geometric),
            self.semantic.finish(tokens.semantic, new_semantic),
            new_cloud,
            self.read(tokens.text, seen, cloud),
        )

    def _carried(self, places: Places) -> tuple[Tensor, Tensor]:
        """What queries and keys of each view's tokens carry, `(B, V, 1 + N + M, heads, 5)`."""
        assert self.bias is not None
        camera = places.geometric.new_zeros(*places.geometric.shape[:2], 1, 3)
        where = torch.cat([camera, places.geometric, places.semantic], 2)
        known = torch.ones(where.shape[:-1], dtype=torch.bool, device=where.device)
        known[..., 0] = False
        query, key = self.bias(where, known)
        return query, key

    def _within(self, seen: Heads, carried: tuple[Tensor, Tensor] | None) -> Tensor:
        views = seen.query.shape[:2]
        query, key, value = (part.flatten(0, 1) for part in seen)
        bias = None if carried is None else (carried[0].flatten(0, 1), carried[1].flatten(0, 1))
        return attend(query, key, value, bias).unflatten(0, views)

    def _across(
        self, seen: Heads, cloud: Heads, carried: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, Tensor]:
        views = seen.query.shape[1:3]
        query, key, value = (
            torch.cat([part.flatten(1, 2), extra], 1)
            for part, extra in zip(seen, cloud, strict=True)
        )
        bias = None
        if carried is not None:
            nowhere = carried[0].new_zeros(
                len(cloud.query), cloud.query.shape[1], *carried[0].shape[-2:]
            )
            flat = [torch.cat([part.flatten(1, 2), nowhere], 1) for part in carried]
            bias = flat[0], flat[1]
        attended = attend(query, key, value, bias)
        pictures, of_cloud = attended.split(
            [views[0] * views[1], attended.shape[1] - views[0] * views[1]], dim=1
        )
        return pictures.unflatten(1, views), of_cloud

    def read(self, text: Tensor, seen: Heads, cloud: Heads) -> Tensor:
        """Words look at the words before them, at all pictures, and at the cloud.

        Args:
            text: `(B, Q, L, C)`; padding stands behind all words, so that none looks at it.
            seen: Heads of the pictures, `(B, V, 1 + N + M, heads, d)`.
            cloud: Heads of the cloud, `(B, S, heads, d)`.

        Returns:
            `(B, Q, L, C)`.
        """
        texts, length = text.shape[1:3]
        if texts == 0:
            return text
        own = self.semantic.project(text)
        keys, values = (
            torch.cat([pictures.flatten(1, 2), points], 1)
            for pictures, points in ((seen.key, cloud.key), (seen.value, cloud.value))
        )
        before = torch.ones(length, length, dtype=torch.bool, device=text.device).tril()
        return self.semantic.finish(text, attend_beside(own, keys, values, before[None, None]))


class Trunk(nn.Module):
    """Layers in turn within views and across them; an early estimate of depth half-way up.

    Args:
        count: Number of layers.
        width: C.
        heads: Attention heads.
        hidden: Width of the feed-forward networks, in C.
        experts: Whether geometry has weights of its own.
        depth_aware: Whether the upper half knows distances in space.
    """

    def __init__(
        self, count: int, width: int, heads: int, hidden: float, experts: bool, depth_aware: bool
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            Layer(
                width, heads, hidden,
                across=bool(i % 2), experts=experts,
                # Before poses are decoded, places are known within a view only.
                depth_aware=depth_aware and i >= count // 2 and not i % 2,
            )
            for i in range(count)
        )  # fmt: skip
        out = nn.Linear(width, 1)
        nn.init.constant_(out.bias, 0.7)  # two metres
        self.early = nn.Sequential(nn.LayerNorm(width), out)

    def lower(self, tokens: Tokens) -> tuple[Tokens, Tensor]:
        """The lower half, and the early log depth of the patches, `(B, V, N)`."""
        for layer in self.layers[: len(self.layers) // 2]:
            tokens = layer(tokens, None)
        # Half floats would make steps of what is fed on as places.
        with torch.autocast(tokens.geometric.device.type, enabled=False):
            early = self.early(tokens.geometric[:, :, 1:].float())
        return tokens, early.squeeze(-1)

    def upper(self, tokens: Tokens, places: Places | None) -> Tokens:
        """The upper half, which knows where patches are."""
        for layer in self.layers[len(self.layers) // 2 :]:
            tokens = layer(tokens, places)
        return tokens
