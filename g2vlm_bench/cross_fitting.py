"""A floor where a benchmark has no training split: fitted on the other scenes of the same split."""

from __future__ import annotations

import copy
import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence

from g2vlm_bench.adapter import Adapter, FittedAdapter
from g2vlm_bench.errors import BenchError
from g2vlm_bench.sample import Inputs, Prediction, Sample, Target, Want

# Large folds: where answers are balanced, what a fold has more of the rest has less of, and the
# floor falls below chance by about one over the root of a fold's size.
FOLDS = 2
# What the record says a floor was fitted on.
HELD_OUT = f"held out:{FOLDS} folds"


class CrossFitted(Adapter):
    """A floor fitted on each half of a split's scenes, for the other half.

    So no answer to a question, nor to another one about its scene, has a part in what is said to
    it. Questions of one kind, as the benchmark names kinds, are fitted on their own kind where the
    other half shows it. Targets alone are read, no image.

    Raises:
        BenchError: There is one scene only, or no answer that could be counted.
    """

    def __init__(self, floor: FittedAdapter, samples: Sequence[Sample]) -> None:
        self.predicts = floor.predicts
        self.needs_images = floor.needs_images
        folds = _folds(samples)
        truths = {sample.id: sample.load_target() for sample in samples}
        countable = [s for s in samples if truths[s.id].answer not in (None, "")]
        if len({folds[sample.cluster] for sample in countable}) < 2:
            raise BenchError(
                "floor without a training split", expected="answers in two scenes", got="fewer"
            )
        groups = defaultdict(list)
        for sample in samples:
            groups[folds[sample.cluster], truths[sample.id].question_type].append(sample.id)
        self._fitted: dict[str, FittedAdapter] = {}
        for (fold, kind), ids in groups.items():
            others = [truths[s.id] for s in countable if folds[s.cluster] != fold]
            alike = [target for target in others if target.question_type == kind]
            fitted = copy.deepcopy(floor)
            fitted.fit(_as_training(alike or others))
            self._fitted |= dict.fromkeys(ids, fitted)

    def predict(
        self, batch: Sequence[Inputs], wants: frozenset[Want]
    ) -> Sequence[Prediction | Exception]:
        """Answer each question by what was fitted on the other scenes."""
        return [self._fitted[inputs.id].predict([inputs], wants)[0] for inputs in batch]


def _folds(samples: Sequence[Sample]) -> dict[str, int]:
    """Deal the scenes out to folds, in an order that their names alone decide."""
    names = {sample.cluster for sample in samples}
    order = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())
    return {name: place % FOLDS for place, name in enumerate(order)}


def _as_training(targets: Sequence[Target]) -> Iterator[tuple[Inputs, Target]]:
    return ((Inputs(id=str(place)), target) for place, target in enumerate(targets))
