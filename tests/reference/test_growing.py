"""A deeper trunk that says what a shallower one says, and learns from there."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch

from g2vlm_bench.reference.growing import can_grow, grow
from g2vlm_bench.reference.model import Batch, G2Vlm

Make = Callable[..., G2Vlm]


def _said(model: G2Vlm, batch: Batch, refinements: int) -> dict[str, torch.Tensor]:
    out = model(batch, refinements)
    found: dict[str, torch.Tensor] = {}

    def gather(name: str, value: object) -> None:
        if isinstance(value, torch.Tensor):
            found[name] = value
        elif dataclasses.is_dataclass(value):
            for field in dataclasses.fields(value):
                gather(f"{name}.{field.name}", getattr(value, field.name))
        elif isinstance(value, list | tuple):
            for number, part in enumerate(value):
                gather(f"{name}.{number}", part)

    gather("out", out)
    assert len(found) >= 10
    return found


@pytest.mark.parametrize("layers", [4, 8, 12])
@pytest.mark.parametrize("changes", [{}, {"experts": False}, {"depth_aware": False}])
def test_a_grown_model_says_the_same(
    make_model: Make, batch: Batch, layers: int, changes: dict[str, object]
) -> None:
    small = make_model(**changes)
    large = make_model(**changes, trunk_layers=layers)
    grow(small, large)
    for refinements in (0, 2):
        before, after = (_said(model, batch, refinements) for model in (small, large))
        assert before.keys() == after.keys()
        for name, value in before.items():
            torch.testing.assert_close(after[name], value, rtol=0, atol=0, msg=name)


def test_growing_twice_is_growing(make_model: Make, batch: Batch) -> None:
    small, middle, large = (make_model(trunk_layers=count) for count in (4, 8, 12))
    grow(small, middle)
    grow(middle, large)
    before, after = (_said(model, batch, 1) for model in (small, large))
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, rtol=0, atol=0, msg=name)


def test_new_layers_learn_at_once(make_model: Make, batch: Batch) -> None:
    small, large = make_model(), make_model(trunk_layers=8)
    grow(small, large)
    parts = [value.float().square().mean() for value in _said(large, batch, 1).values()]
    torch.stack(parts).nansum().backward()
    for number in (2, 3, 6, 7):
        layer = large.trunk.layers[number]
        for expert in (layer.semantic, layer.geometric):
            for weight in (expert.out.weight, expert.feed_forward[-1].weight):
                assert (weight == 0).all()
                assert weight.grad is not None
                assert weight.grad.abs().max() > 0


@pytest.mark.parametrize(
    "changes",
    [{"trunk_layers": 6}, {"trunk_layers": 2}, {"width": 64, "trunk_layers": 8}, {"hidden": 2.0}],
)
def test_other_sizes_do_not_grow(make_model: Make, changes: dict[str, object]) -> None:
    small, other = make_model(), make_model(**changes)
    assert not can_grow(small.config, other.config)
    with pytest.raises(ValueError, match="sizes that grow"):
        grow(small, other)
