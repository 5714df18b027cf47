"""Weights of a model with a deeper trunk that says what a shallower one says, to the last bit.

Each half of the trunk takes the old layers of that half in pairs, one within views and one across
them, and a new pair behind some of them. A new layer's last maps are zero, so that it adds nothing
until it has learnt to (Chen et al. 2016, Net2Net, section 2.3; zeros as in Zhang et al. 2019,
Fixup): its gradient is not zero, for the maps before them are as drawn.
"""

from __future__ import annotations

import msgspec
import torch

from g2vlm_bench.reference.config import ModelConfig
from g2vlm_bench.reference.model import G2Vlm
from g2vlm_bench.reference.trunk import Layer

# A half of the trunk is made of pairs of layers.
_UNIT = 4


def can_grow(small: ModelConfig, large: ModelConfig) -> bool:
    """Whether the larger model differs by more layers of the trunk alone, in whole pairs a half."""
    if small == large:
        return True
    layers, more = small.trunk_layers, large.trunk_layers
    alike = msgspec.structs.replace(small, trunk_layers=more) == large
    return alike and more > layers and not layers % _UNIT and not more % _UNIT


def grow(small: G2Vlm, large: G2Vlm) -> None:
    """Give a model the weights of another of its sizes, or of fewer layers in the trunk.

    Args:
        small: What is known.
        large: Drawn anew, and changed in place.

    Raises:
        ValueError: Sizes are others than `can_grow` allows.
    """
    if not can_grow(small.config, large.config):
        raise ValueError(f"expected sizes that grow, got {small.config} and {large.config}")
    places = _places(len(small.trunk.layers), len(large.trunk.layers))
    weights = {}
    for name, weight in small.state_dict().items():
        head, of_trunk, tail = name.partition("trunk.layers.")
        if of_trunk and not head:
            old, _, rest = tail.partition(".")
            name = f"trunk.layers.{places[int(old)]}.{rest}"
        weights[name] = weight
    missing, unexpected = large.load_state_dict(weights, strict=False)
    new = sorted(set(range(len(large.trunk.layers))) - set(places))
    of_new = tuple(f"trunk.layers.{number}." for number in new)
    left = [name for name in missing if not name.startswith(of_new)]
    if left or unexpected:
        raise ValueError(
            f"expected a weight for each, got none for {left} and no use of {unexpected}"
        )
    with torch.no_grad():
        for number in new:
            layer = large.trunk.layers[number]
            assert isinstance(layer, Layer)
            for expert in (layer.semantic, layer.geometric):
                for last in (expert.out, expert.feed_forward[-1]):
                    for weight in last.parameters():
                        weight.zero_()


def _places(few: int, many: int) -> list[int]:
    """Where each old layer stands among the new ones."""
    pairs, of = few // 2, many // 2
    if few == many:
        return list(range(few))
    return [2 * (pair * of // pairs) + layer for pair in range(pairs) for layer in (0, 1)]
