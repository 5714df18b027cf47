"""Which metrics a prediction may be scored on, for families whose protocols forgive ambiguities."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from g2vlm_bench.metric import MetricSpec
from g2vlm_bench.sample import Ambiguity


class Forgiving(Protocol):
    """A protocol that says up to what a prediction may be known."""

    @property
    def label(self) -> str:
        """The part of a metric's name behind the `@`."""

    @property
    def needs(self) -> Ambiguity:
        """What a prediction may be known up to at most."""


def served_specs(
    specs: Iterable[MetricSpec], protocols: Iterable[Forgiving], ambiguity: Ambiguity | None
) -> tuple[MetricSpec, ...]:
    """Return the metrics under protocols that forgive what the prediction leaves open."""
    if ambiguity is None:
        return ()
    labels = {p.label for p in protocols if ambiguity.can_serve(p.needs)}
    return tuple(spec for spec in specs if spec.protocol in labels)
