"""A floor that answers questions, fitted kind by kind on answers about other scenes."""

from __future__ import annotations

import copy
import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from g2vlm_bench.adapter import Adapter, FittedAdapter
from g2vlm_bench.errors import BenchError
from g2vlm_bench.sample import Inputs, Prediction, Sample, Target, Want

# Large folds: where answers are balanced, what a fold has more of the rest has less of, and the
# floor falls below chance by about one over the root of a fold's size.
FOLDS = 2
# What the record says a floor was fitted on.
HELD_OUT = f"held out:{FOLDS} folds"
# The tag that names the kind of question where the benchmark has no name of its own for it.
_KIND_TAG = "family"


class FittedByKind(Adapter):
    """A floor fitted on a training split, or on each half of a split's scenes for the other half.

    So no answer to a question, nor to another one about its scene, has a part in what is said to
    it. Questions of one kind are fitted on their own kind where what it is fitted on shows it: one
    median of heights and one of distances is what can be known without looking, and one of both is
    less. The kind is `Target.question_type`, else the tag `family`, and `Target.answer_type`.
    Targets alone are read, no image.

    Args:
        floor: Of which a copy is fitted for each kind.
        samples: What will be asked.
        training: The training split; without one, `samples` are halved by scene.

    Raises:
        BenchError: There is no answer that could be counted or, without a training split, one
            scene only.
    """

    def __init__(
        self, floor: FittedAdapter, samples: Sequence[Sample], training: Sequence[Sample] = ()
    ) -> None:
        self.predicts = floor.predicts
        self.needs_images = floor.needs_images
        asked = [_Known.of(sample) for sample in samples]
        folds = {} if training else _folds(samples)
        shown = [_Known.of(sample) for sample in training] if training else asked
        countable = [one for one in shown if one.target.answer not in (None, "")]
        if training and not countable:
            raise BenchError("training split", expected="answers to count", got="none")
        if not training and len({folds[one.cluster] for one in countable}) < 2:
            raise BenchError(
                "floor without a training split", expected="answers in two scenes", got="fewer"
            )
        groups = defaultdict(list)
        for one in asked:
            groups[folds.get(one.cluster), one.kind].append(one.id)
        self._fitted: dict[str, FittedAdapter] = {}
        for (fold, kind), ids in groups.items():
            others = [one for one in countable if training or folds[one.cluster] != fold]
            alike = [one for one in others if one.kind == kind]
            fitted = copy.deepcopy(floor)
            fitted.fit(_as_training(alike or others))
            self._fitted |= dict.fromkeys(ids, fitted)

    def predict(
        self, batch: Sequence[Inputs], wants: frozenset[Want]
    ) -> Sequence[Prediction | Exception]:
        """Answer each question by what was fitted for its kind, on other scenes."""
        return [self._fitted[inputs.id].predict([inputs], wants)[0] for inputs in batch]


class _Known(NamedTuple):
    id: str
    cluster: str
    kind: tuple[str, str | None]
    target: Target

    @classmethod
    def of(cls, sample: Sample) -> _Known:
        target = sample.load_target()
        kind = target.question_type or sample.tags.get(_KIND_TAG, "")
        return cls(sample.id, sample.cluster, (kind, target.answer_type), target)


def _folds(samples: Sequence[Sample]) -> dict[str, int]:
    """Deal the scenes out to folds, in an order that their names alone decide."""
    names = {sample.cluster for sample in samples}
    order = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())
    return {name: place % FOLDS for place, name in enumerate(order)}


def _as_training(known: Sequence[_Known]) -> Iterator[tuple[Inputs, Target]]:
    return ((Inputs(id=str(place)), one.target) for place, one in enumerate(known))
