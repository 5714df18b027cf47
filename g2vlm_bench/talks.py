"""Talks: samples that are turns, each asked with what the model answered to those before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from g2vlm_bench.errors import BenchError
from g2vlm_bench.sample import Sample


@dataclass(slots=True)
class Talks:
    """Samples that others follow, and what a model answered to them.

    Attributes:
        samples: By id.
        answers: The model's answers, by id; empty where it failed.
    """

    samples: dict[str, Sample] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> Talks:
        """Gather the samples that others follow."""
        followed = {sample.after for sample in samples if sample.after}
        return cls({sample.id: sample for sample in samples if sample.id in followed})

    def remember(self, sample_id: str, answer: str | None) -> None:
        """Keep an answer that a later turn will hear."""
        if sample_id in self.samples:
            self.answers[sample_id] = answer or ""

    def before(self, sample: Sample) -> list[tuple[Sample, str]]:
        """List the turns before a sample, oldest first, with the model's answers.

        Raises:
            BenchError: A turn before is not among the samples, or was not answered yet.
        """
        found: list[tuple[Sample, str]] = []
        while sample.after:
            if sample.after not in self.answers:
                raise BenchError(
                    f"sample {sample.id}",
                    expected=f"an answer to '{sample.after}', the turn before",
                    got="none",
                )
            sample = self.samples[sample.after]
            found.insert(0, (sample, self.answers[sample.id]))
        return found


def with_later_turns(samples: Sequence[Sample], ids: set[str]) -> set[str]:
    """Add to some samples the turns of their talks that follow them and heard their answers."""
    found = set(ids)
    for sample in samples:
        if sample.after in found:
            found.add(sample.id)
    return found


def next_batch(pending: Sequence[Sample], size: int) -> list[Sample]:
    """Take the first samples, up to a turn of a talk whose turn before is among them."""
    batch: list[Sample] = []
    taken: set[str] = set()
    for sample in pending[:size]:
        if sample.after in taken:
            break
        batch.append(sample)
        taken.add(sample.id)
    return batch
