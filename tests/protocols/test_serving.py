"""What a prediction may be scored on."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from g2vlm_bench.metric import MetricSpec
from g2vlm_bench.protocols.serving import served_specs
from g2vlm_bench.sample import Ambiguity

PROTOCOLS = [
    SimpleNamespace(label="strict", needs=Ambiguity.METRIC),
    SimpleNamespace(label="loose", needs=Ambiguity.SCALE),
]
SPECS = [
    MetricSpec(name=f"m@{p.label}", unit="1", higher_is_better=True, best=1.0, worst=0.0)
    for p in PROTOCOLS
]


@pytest.mark.parametrize(
    ("ambiguity", "served"),
    [
        (Ambiguity.METRIC, ["m@strict", "m@loose"]),
        (Ambiguity.SCALE, ["m@loose"]),
        (Ambiguity.AFFINE, []),
        (None, []),
    ],
)
def test_a_prediction_is_scored_where_its_ambiguity_is_forgiven(ambiguity, served) -> None:
    assert [spec.name for spec in served_specs(SPECS, PROTOCOLS, ambiguity)] == served
