"""Each word points into each view, and is told what it points at and where that is.

Words that mean a thing are bound to its pixels before anything is concluded from them: the layers
above reason about places that the word has been told, and the truth of what a word means teaches
the pointing itself (`losses.pointing_loss`), which is what makes binding begin early.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from g2vlm_bench.reference.encoders import waves

_KEY = 64


class Pointing(nn.Module):
    """Attention of words over the patches of each view by itself, and over nothing.

    Args:
        width: C.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm_words, self.norm_patches = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key = nn.Linear(width, _KEY), nn.Linear(width, _KEY)
        self.nothing = nn.Parameter(torch.zeros(_KEY))
        self.place = nn.Linear(36 + 7, width)
        self.value = nn.Linear(width, width)
        self.first, self.other = nn.Linear(width, width), nn.Linear(width, width)

    def forward(
        self, text: Tensor, patches: Tensor, where: Tensor, log_depth: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Point, and add what is pointed at to the words.

        Args:
            text: `(B, Q, L, C)`.
            patches: `(B, V, N, C)`.
            where: `(B, V, N, 3)` of the patches, in their own camera's frame and of the order of 1.
            log_depth: `(B, V, N)` of the patches, whose mean is the scene's unit.

        Returns:
            `(B, Q, L, C)` words; `(B, Q, L, V, 1 + N)` logits, first of pointing at nothing.
        """
        seen = self.norm_patches(patches)
        query, key = self.query(self.norm_words(text)), self.key(seen)
        nothing = self.nothing.to(key.dtype).expand(*key.shape[:2], 1, _KEY)
        logits = torch.einsum("bqlk,bvnk->bqlvn", query, torch.cat([nothing, key], 2)) / _KEY**0.5
        value = self.value(seen) + self.place(_numbers(where, log_depth).to(patches.dtype))
        shares = logits.float().softmax(-1)[..., 1:].to(value.dtype)
        found = torch.einsum("bqlvn,bvnc->bqlvc", shares, value)
        told = self.first(found[..., 0, :])
        if found.shape[-2] > 1:
            told = told + self.other(found[..., 1:, :].mean(-2))
        return text + told, logits


def _numbers(where: Tensor, log_depth: Tensor) -> Tensor:
    """`(B, V, N, 43)`: a place in waves of the scene's unit, in metres, and in their logarithm.

    Metres go in as they are, and linearly, so that to say where a thing is takes no learning but
    of the way through.
    """
    metres = where * log_depth.mean(-1, keepdim=True).exp()[..., None]
    near, far = (metres / 4).clamp(-3, 3), metres.sign() * metres.abs().log1p()
    return torch.cat([waves(torch.tanh(where / 2)), near, far, log_depth[..., None]], -1)
