"""Shared self-attention of two experts, biased by distances in space without an N x N matrix."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Widths of heads that fast kernels take are multiples of this.
_MULTIPLE = 8
# Times that the head which looks nearest holds distances dearer than the one which looks farthest.
_NARROWEST = 400.0


class Heads(NamedTuple):
    """Queries, keys and values of some tokens, each `(..., N, heads, C / heads)`."""

    query: Tensor
    key: Tensor
    value: Tensor


class FeedForward(nn.Sequential):
    """Two linear maps with a GELU between, `(..., C) -> (..., C)`."""

    def __init__(self, width: int, hidden: float) -> None:
        inner = round(width * hidden)
        super().__init__(nn.Linear(width, inner), nn.GELU(), nn.Linear(inner, width))


class Expert(nn.Module):
    """One expert's own weights in a layer: norms, projections and feed-forward network.

    Queries and keys are normalised (QK-norm), as in the published model.
    """

    def __init__(self, width: int, heads: int, hidden: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.norm_query = nn.RMSNorm(width // heads)
        self.norm_key = nn.RMSNorm(width // heads)
        self.out = nn.Linear(width, width, bias=False)
        self.norm_hidden = nn.LayerNorm(width)
        self.feed_forward = FeedForward(width, hidden)

    def project(self, tokens: Tensor) -> Heads:
        """Queries, keys and values of `(..., N, C)` tokens."""
        parts = self.qkv(self.norm(tokens)).unflatten(-1, (3, self.heads, -1))
        query, key, value = parts.unbind(-3)
        return Heads(_normed(self.norm_query, query), _normed(self.norm_key, key), value)

    def finish(self, tokens: Tensor, attended: Tensor) -> Tensor:
        """Add what was attended to, `(..., N, heads, C / heads)`, and the feed-forward network."""
        tokens = tokens + self.out(attended.flatten(-2))
        return tokens + self.feed_forward(self.norm_hidden(tokens))


def _normed(norm: nn.RMSNorm, values: Tensor) -> Tensor:
    """In the precision of the values, for which alone torch has a fused kernel."""
    assert norm.weight is not None
    return F.rms_norm(values, norm.normalized_shape, norm.weight.to(values.dtype), norm.eps)


class SpatialBias(nn.Module):
    """A penalty on attention between tokens that are far apart in space.

    Each head h subtracts `w_h |p_i - p_j|^2` from the logit of tokens i and j, with w_h >= 0
    learned from a start of its own: from a twentieth, which reaches across a scene, to twenty,
    which reaches a few patches, in even ratios (as the slopes of Press et al. 2022, "Train Short,
    Test Long: Attention with Linear Biases"). Expanded, `2 w p_i.p_j - w |p_i|^2 - w |p_j|^2` is a
    scalar product, so it is carried by five more numbers of each query and key and no N x N matrix
    is ever made. Tokens without a place (cameras, words) have zeros there: nothing is subtracted
    for them.
    """

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.full((heads,), -3.0))

    def forward(self, places: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Make the numbers that queries and keys carry.

        Args:
            places: `(..., N, 3)` positions, of the order of 1.
            known: `(..., N)` bool, whether a token has one.

        Returns:
            Two `(..., N, heads, 5)` tensors, float32.
        """
        places = torch.where(known[..., None], places, 0).unsqueeze(-2).float()
        near = torch.linspace(0, 1, len(self.strength), device=self.strength.device)
        weight = (_NARROWEST**near * F.softplus(self.strength))[:, None]
        square = places.square().sum(-1, keepdim=True)
        here = known[..., None, None].to(places.dtype)
        shape = (*places.shape[:-2], len(self.strength), 1)
        query = [
            (2 * weight * places).expand(*shape[:-1], 3),
            here.expand(shape),
            (-weight * square).expand(shape),
        ]
        key = [
            places.expand(*shape[:-1], 3),
            -(weight * square).expand(shape),
            here.expand(shape),
        ]
        return torch.cat(query, -1), torch.cat(key, -1)


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: tuple[Tensor, Tensor] | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """Softmax attention by torch's fused kernels.

    Args:
        query: `(B, N, heads, d)`.
        key: `(B, M, heads, d)`.
        value: `(B, M, heads, d)`.
        bias: What `SpatialBias` makes of the queries' and the keys' places.
        mask: Broadcastable to `(B, heads, N, M)` bool, True = may be looked at.

    Returns:
        `(B, N, heads, d)`.
    """
    width, kind = query.shape[-1], value.dtype
    scale = 1 / math.sqrt(width)
    # All in one precision, which is that of floats on a CPU: there the backward kernel for half
    # floats takes four times as long.
    with torch.autocast(query.device.type, enabled=False):
        if query.device.type == "cpu":
            query, key, value = query.float(), key.float(), value.float()
        if bias is not None:
            # The kernel scales all logits; the bias is to arrive unscaled.
            beside = carried(bias[0] / scale, bias[1], query.dtype)
            query, key = (torch.cat(both, -1) for both in zip((query, key), beside, strict=True))
            value = F.pad(value, (0, query.shape[-1] - width))
        query, key, value = (part.transpose(1, 2) for part in (query, key, value))
        out = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scale)
    return out.transpose(1, 2)[..., :width].to(kind)


def carried(query: Tensor, key: Tensor, kind: torch.dtype) -> tuple[Tensor, Tensor]:
    """Make numbers whose scalar product counts fit to stand beside queries and keys.

    A bias is a small difference of large products, of which half floats would leave noise: a logit
    off by 0.4, and by up to 12 for the shipped weights. So each of its numbers is carried as two
    halves, the nearest and what that lacks, whose products are added up in floats: `(a + a') (b +
    b')` without `a' b'`.

    Args:
        query: `(..., n)` float32.
        key: Likewise.
        kind: Of the queries and keys that they are to stand beside.

    Returns:
        Both, `(..., m)` of that kind; m is n or 3 n, filled up with zeros to a multiple of 8.
    """
    if kind in (torch.float16, torch.bfloat16):
        near, far = query.to(kind), key.to(kind)
        query_rest, key_rest = (query - near.float()).to(kind), (key - far.float()).to(kind)
        query, key = torch.cat([near, near, query_rest], -1), torch.cat([far, key_rest, far], -1)
    room = -query.shape[-1] % _MULTIPLE
    return F.pad(query.to(kind), (0, room)), F.pad(key.to(kind), (0, room))


def attend_beside(own: Heads, shared_key: Tensor, shared_value: Tensor, mask: Tensor) -> Tensor:
    """Softmax attention of several texts, each to itself and all to the same tokens.

    As `attend` with the shared tokens before each text's own, which would be as many copies of them
    as there are texts. Words times tokens is a matrix here, which grows like the tokens.

    Args:
        own: Of the texts, `(B, Q, L, heads, d)`.
        shared_key: `(B, M, heads, d)`.
        shared_value: `(B, M, heads, d)`.
        mask: `(B or 1, Q or 1, L, L)` bool, True = may be looked at; what is shared always may.

    Returns:
        `(B, Q, L, heads, d)`.
    """
    texts, length, _, width = own.query.shape[1:]
    # All in one precision, and the softmax of half floats too: it sums in floats anyway.
    with torch.autocast(own.query.device.type, enabled=False):
        query, key, value = (part.permute(0, 3, 1, 2, 4).contiguous() for part in own)
        theirs, said = (part.transpose(1, 2).contiguous() for part in (shared_key, shared_value))
        query = query / math.sqrt(width)
        far = (query.flatten(2, 3) @ theirs.transpose(-1, -2)).unflatten(2, (texts, length))
        near = (query @ key.transpose(-1, -2)).masked_fill(~mask[:, None], -math.inf)
        weights = torch.cat([far, near], -1).softmax(-1)
        # Not two slices: their gradients would be two tensors as large as the whole.
        to_far, to_near = weights.split([far.shape[-1], length], -1)
        out = (to_far.flatten(2, 3) @ said).unflatten(2, (texts, length)) + to_near @ value
    return out.permute(0, 2, 3, 1, 4)


class Block(nn.Module):
    """A plain transformer block, `(B, N, C) -> (B, N, C)`."""

    def __init__(self, width: int, heads: int, hidden: float) -> None:
        super().__init__()
        self.expert = Expert(width, heads, hidden)

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Let tokens look at one another; mask as in `attend`."""
        heads = self.expert.project(tokens)
        return self.expert.finish(tokens, attend(heads.query, heads.key, heads.value, mask=mask))
