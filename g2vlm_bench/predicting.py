"""The predict stage: batches of inputs go to an adapter, its answers into the run folder.

Nothing an adapter does to one sample may cost another: a batch that fails is asked again one by
one, and what still fails is kept as a failure with its exception.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.adapter import Adapter, TruthAdapter
from g2vlm_bench.sample import Ambiguity, Inputs, Prediction, Sample, Turn, Want
from g2vlm_bench.shuffling import swapped
from g2vlm_bench.store import Failure, PredictionLine, RunFolder
from g2vlm_bench.talks import Talks, next_batch
from g2vlm_bench.task import Family

AUTO_BATCH = 16


@dataclass(slots=True)
class Predictor:
    """Asks one adapter for the predictions of one task.

    Attributes:
        batch_size: Samples a batch; halved for good when memory runs out.
        seed: Of the randomness that reference rows are given, with the sample's id.
        partners: By a sample's id, the one whose scene or question is given in place of its own,
            as the adapter's `swapped` says; none for models that are given what they answer.
    """

    adapter: Adapter
    family: Family
    wants: frozenset[Want]
    batch_size: int
    seed: int
    partners: Mapping[str, Sample] = field(default_factory=dict)
    _talks: Talks = field(default_factory=Talks)

    def run(
        self, folder: RunFolder, samples: Sequence[Sample], advance: Callable[[int], None]
    ) -> None:
        """Predict what the folder does not hold yet; each batch is flushed before the next.

        Turns of one talk are never in one batch, since a model hears what it said before.
        """
        self._talks = Talks.of(samples)
        done = set()
        for line in folder.predictions():
            done.add(line.id)
            self._talks.remember(line.id, line.answer)
        pending = [sample for sample in samples if sample.id not in done]
        with folder.append_predictions() as index:
            while batch := next_batch(pending, self.batch_size):
                pending = pending[len(batch) :]
                for line in self._predict(folder, batch):
                    index.write(line)
                    self._talks.remember(line.id, line.answer)
                advance(len(batch))

    def _predict(self, folder: RunFolder, batch: Sequence[Sample]) -> Iterator[PredictionLine]:
        started = time.perf_counter()
        inputs = [self._load(sample) for sample in batch]
        asked = [(i.prompt, i.system) if isinstance(i, Inputs) else (None, "") for i in inputs]
        usable = [(s, i) for s, i in zip(batch, inputs, strict=True) if isinstance(i, Inputs)]
        answers = iter(self._ask([s for s, _ in usable], [i for _, i in usable]))
        outcomes = [next(answers) if isinstance(i, Inputs) else i for i in inputs]
        seconds = round((time.perf_counter() - started) / len(batch), 6)
        for sample, outcome, (prompt, system) in zip(batch, outcomes, asked, strict=True):
            if isinstance(outcome, Failure):
                yield PredictionLine(id=sample.id, seconds=seconds, error=outcome)
            else:
                yield folder.save_prediction(sample.id, outcome, seconds, prompt, system)

    def _load(self, sample: Sample) -> Inputs | Failure:
        try:
            inputs = sample.load_inputs()
            if sample.id in self.partners:
                other = self.partners[sample.id].load_inputs()
                inputs = swapped(self.adapter.swapped, inputs, other)
            if sample.after and self.adapter.swapped != "question":
                inputs = replace(inputs, earlier=self._earlier(sample))
            return _storable(self.family.prepare(inputs))
        except Exception as error:
            return Failure.of("inputs", error)

    def _earlier(self, sample: Sample) -> tuple[Turn, ...]:
        """What was asked before in the same talk, and what the model answered."""
        turns = []
        for before, answer in self._talks.before(sample):
            asked = self.family.prepare(before.load_inputs())
            # Who is shown another scene must not see its own in what was asked before.
            images = () if sample.id in self.partners else asked.images
            turns.append(Turn(prompt=asked.prompt or "", images=images, answer=answer))
        return tuple(turns)

    def _ask(
        self, samples: Sequence[Sample], inputs: Sequence[Inputs]
    ) -> list[Prediction | Failure]:
        if not inputs:
            return []
        answers = self._attempt(samples, inputs)
        if not isinstance(answers, Failure):
            return [_checked(a, i, self.wants) for a, i in zip(answers, inputs, strict=True)]
        if len(inputs) == 1:
            return [answers]
        # The exception is gone by now, and with its traceback all that the model held when memory
        # ran out. Inputs are loaded afresh: the adapter may have changed those it was given.
        return [self._ask_alone(sample) for sample in samples]

    def _ask_alone(self, sample: Sample) -> Prediction | Failure:
        inputs = self._load(sample)
        return inputs if isinstance(inputs, Failure) else self._ask([sample], [inputs])[0]

    def _attempt(
        self, samples: Sequence[Sample], inputs: Sequence[Inputs]
    ) -> Sequence[Any] | Failure:
        try:
            answers = self._answer(samples, inputs)
            if not isinstance(answers, list | tuple):
                raise TypeError(f"expected a list of predictions, got {type(answers).__name__}")
            if len(answers) != len(inputs):
                raise ValueError(f"expected {len(inputs)} predictions, got {len(answers)}")
        except (Exception, SystemExit) as error:
            if len(inputs) > 1 and _out_of_memory(error):
                self.batch_size = max(1, self.batch_size // 2)
            return Failure.of("predict", error)
        return answers

    def _answer(self, samples: Sequence[Sample], inputs: Sequence[Inputs]) -> Any:
        if not isinstance(self.adapter, TruthAdapter):
            return self.adapter.predict(inputs, self.wants)
        return [
            self.adapter.distort(
                self.family.truth(sample.load_target()), one, rng_of(self.seed, sample.id)
            )
            for sample, one in zip(samples, inputs, strict=True)
        ]


def rng_of(seed: int, sample_id: str) -> np.random.Generator:
    """Seed a generator by a sample, so that its randomness does not depend on the batches."""
    digest = hashlib.sha256(f"{seed}:{sample_id}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def _out_of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def _storable(inputs: Inputs) -> Inputs:
    """Refuse what the index could not say a model was asked; JSON data can spell such text."""
    for name in ("prompt", "system"):
        _text(name, getattr(inputs, name) or "")
    return inputs


def _checked(answer: object, inputs: Inputs, wants: frozenset[Want]) -> Prediction | Failure:
    if isinstance(answer, Exception):
        return Failure.of("predict", answer)
    try:
        return check_prediction(answer, inputs, wants)
    except Exception as error:  # a tensor that needs a gradient raises RuntimeError, and so on
        return Failure.of("prediction", error)


def check_prediction(answer: object, inputs: Inputs, wants: frozenset[Want]) -> Prediction:
    """Check the types and shapes of what an adapter returned, and bring its arrays to one dtype.

    Whether the values are any good (NaN, negative depth) is for the scorer to judge.

    Raises:
        TypeError: Not a prediction, or a field of the wrong type.
        ValueError: A wanted field is missing, an array has the wrong shape, the ambiguity is none,
            or the answer is no valid Unicode, such as half of a surrogate pair.
    """
    if not isinstance(answer, Prediction):
        raise TypeError(f"expected a Prediction, got {type(answer).__name__}")
    for want in wants:
        if getattr(answer, want.field) is None:
            raise ValueError(f"expected a prediction with '{want.field}', got none")
    views = len(inputs.images) or None
    loglikelihoods = answer.choice_loglikelihoods
    if loglikelihoods is not None:
        asked = len(inputs.continuations or inputs.choices)
        loglikelihoods = _array("choice_loglikelihoods", loglikelihoods, (asked,))
    text = None if answer.answer is None else _text("answer", answer.answer)
    drawn = tuple(_text("drawn", one) for one in answer.drawn)
    asked_for = inputs.drawing.answers if inputs.drawing else 1
    if drawn and (len(drawn) != asked_for or drawn[0] != text):
        raise ValueError(
            f"expected 'drawn' to hold {asked_for} answers, the first as 'answer', got {len(drawn)}"
        )
    return Prediction(
        depth=_views("depth", answer.depth, (None, None), views, np.float32),
        point_maps=_views("point_maps", answer.point_maps, (None, None, 3), views, np.float32),
        confidence=_views("confidence", answer.confidence, (None, None), views, np.float32),
        intrinsics=_views("intrinsics", answer.intrinsics, (3, 3), views, np.float64),
        world_from_camera=_views(
            "world_from_camera", answer.world_from_camera, (4, 4), views, np.float64
        ),
        points=None if answer.points is None else _array("points", answer.points, (None, 3)),
        normals=None if answer.normals is None else _array("normals", answer.normals, (None, 3)),
        ambiguity=None if answer.ambiguity is None else Ambiguity(answer.ambiguity),
        answer=text,
        drawn=drawn,
        choice_loglikelihoods=loglikelihoods,
        choice_is_greedy=(
            None if answer.choice_is_greedy is None else np.asarray(answer.choice_is_greedy, bool)
        ),
        masks=_masks(answer.masks, views),
        location=None if answer.location is None else _array("location", answer.location, (3,)),
        embedding=(
            None if answer.embedding is None else _array("embedding", answer.embedding, (None,))
        ),
    )


def _text(field: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected '{field}' as text, got {type(value).__name__}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"expected '{field}' as text that is valid Unicode, {error}") from None
    return str(value)  # numpy has a kind of its own


def _masks(value: Any, views: int | None) -> tuple[NDArray[np.bool_], ...] | None:
    if value is not None and not all(np.asarray(mask).dtype == np.bool_ for mask in value):
        raise TypeError("expected 'masks' as bool arrays, got another dtype; compare logits with 0")
    as_numbers = None if value is None else tuple(np.asarray(mask, np.uint8) for mask in value)
    masks = _views("masks", as_numbers, (None, None), views, np.uint8)
    return None if masks is None else tuple(mask.astype(bool) for mask in masks)


def _views(
    field: str, value: Any, shape: tuple[int | None, ...], views: int | None, dtype: type
) -> tuple[NDArray[Any], ...] | None:
    if value is None:
        return None
    if not isinstance(value, tuple | list):
        raise TypeError(
            f"expected '{field}' as a tuple with an array per view, got {type(value).__name__}"
        )
    if views is not None and len(value) != views:
        raise ValueError(f"expected '{field}' for {views} views, got {len(value)}")
    return tuple(_array(field, view, shape, dtype) for view in value)


def _array(
    field: str, value: Any, shape: tuple[int | None, ...], dtype: type = np.float64
) -> NDArray[Any]:
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"expected '{field}' as numbers, got dtype {array.dtype}")
    fits = array.ndim == len(shape) and all(
        wanted in (None, size) for size, wanted in zip(array.shape, shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        raise ValueError(f"expected '{field}' of shape ({wanted}), got {array.shape}")
    with np.errstate(over="ignore"):
        return array.astype(dtype)
