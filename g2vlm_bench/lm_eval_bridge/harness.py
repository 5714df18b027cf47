"""A task of lm-eval, asked and scored by its own code, one document at a time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.errors import BenchError
from g2vlm_bench.lm_eval_bridge.generation import (
    GENERATE,
    ROLLING,
    Generation,
    Request,
    pair,
    pictures,
)
from g2vlm_bench.lm_eval_bridge.loading import load_task
from g2vlm_bench.sample import Prediction, Want

# Its evaluator's default, `fewshot_random_seed`.
_FEWSHOT_SEED = 1234


@dataclass(frozen=True)
class HarnessTask:
    """One task of lm-eval.

    Attributes:
        name: As lm-eval knows it.
        version: Of the task, as its file gives it.
        task: lm-eval's own object.
    """

    name: str
    version: str
    task: Any

    @property
    def output_type(self) -> str:
        """`multiple_choice`, `loglikelihood`, `loglikelihood_rolling` or `generate_until`."""
        return str(self.task.OUTPUT_TYPE)

    @cached_property
    def metrics(self) -> dict[str, bool]:
        """The metrics that the task gives, and whether higher is better.

        Functions of its own name them only when they score (`pass@1` of `pass_at_k`), so they are
        asked about the truth of the first document.
        """
        higher = dict(self.task.higher_is_better())
        names = list(higher)
        if self._scores_in_its_own_way or self._has_own_metrics:
            try:
                doc = self.closed[0]
                given = [*next(iter(self.results(doc, self.truth(doc)).values()))]
            except Exception:  # Scoring says what is wrong, of each document.
                given = names
            # It adds to its own list what its metrics turn out to be called.
            higher |= self.task.higher_is_better()
            kept = names if self._scores_in_its_own_way else [n for n in names if n in given]
            names = list(dict.fromkeys([*kept, *given]))
        return {str(name): higher.get(name) in (None, True) for name in names}

    @property
    def filters(self) -> tuple[str, ...]:
        """Names of the ways in which an answer is cut out of what a model said."""
        return tuple(str(one.name) for one in self.task._filters)

    @property
    def repeats(self) -> int:
        """How many answers lm-eval wants of each request."""
        return int(self.task.config.repeats or 1)

    @cached_property
    def wants(self) -> frozenset[Want]:
        """What a model must predict for all documents."""
        if self._asks_in_its_own_way:
            asked = [self.request(index) for index in range(len(self.documents))]
            generates = any(one.generates for one in asked)
            weighs = any(one.continuations for one in asked)
            has_contexts = any(one.contexts for one in asked)
        else:
            generates = self.output_type == "generate_until"
            weighs = not generates
            has_contexts = bool(self.task.multiple_input) or self._weighs_options_alone
        weight = Want.CONTEXT_LOGLIKELIHOODS if has_contexts else Want.CHOICE_LOGLIKELIHOODS
        return frozenset({Want.ANSWER} if generates else ()) | ({weight} if weighs else set())

    @cached_property
    def documents(self) -> Any:
        """Its documents; opening one decodes its images."""
        return self.task.eval_docs

    @cached_property
    def closed(self) -> Any:
        """Its documents with the images left as bytes."""
        return _without_decoding(self.documents)

    @cached_property
    def _contexts(self) -> list[Any] | None:
        """Prompts with examples: these are drawn in the documents' order, so all at once."""
        if not self.task.config.num_fewshot:
            return None
        self.task.set_fewshot_seed(_FEWSHOT_SEED)
        return [self._context(doc) for doc in self.documents]

    def request(self, index: int) -> Request:
        """Give what is asked of one document.

        Raises:
            ValueError: lm-eval asks it in a way that a model here cannot be asked.
        """
        doc = self.documents[index]
        asked = self._asked(
            doc, self._contexts[index] if self._contexts else self._context(doc), index
        )
        said = [one.args for one in asked if one.request_type == GENERATE]
        if len(said) > 1:
            raise ValueError(f"expected one answer to be generated, got {len(said)}")
        weighed = [pair(one) for one in asked if one.request_type != GENERATE]
        prompt = str(said[0][0]) if said else weighed[0][0]
        shown = [
            part["visual"]
            for one in asked
            for part in one.args
            if isinstance(part, Mapping) and "visual" in part
        ]
        return Request(
            prompt=prompt,
            generates=bool(said),
            continuations=tuple(text for _, text in weighed),
            contexts=tuple(before for before, _ in weighed)
            if any(before != prompt for before, _ in weighed)
            else (),
            images=pictures(shown[0] if shown else None),
            generation=Generation.read(said[0][1] if said else {}, self.repeats),
        )

    def results(self, doc: Mapping[str, Any], said: Prediction) -> dict[str, dict[str, Any]]:
        """Score what a model said of one document: filter -> metric -> what is to be aggregated.

        Raises:
            ValueError: The prediction lacks what the task scores.
        """
        from lm_eval.api.instance import Instance

        likelihoods = said.choice_loglikelihoods
        weighed = iter(self._weighed(said) if likelihoods is not None else ())
        instances = []
        for place, kind in enumerate(self._kinds(doc, likelihoods)):
            responses: list[Any]
            if kind == GENERATE:
                if said.answer is None:
                    raise ValueError("expected an answer as text, got none")
                # A model that does not draw says the same each time.
                responses = list(said.drawn) or [said.answer] * self.repeats
            else:
                value, greedy = next(weighed)
                responses = [value if kind == ROLLING else (value, greedy)] * self.repeats
            instances.append(
                Instance(
                    request_type=kind,
                    doc=dict(doc),
                    arguments=("", ""),
                    idx=place,
                    resps=responses,
                )
            )
        found = {}
        for one in self.task._filters:
            one.apply(instances)
            filtered = [instance.filtered_resps[one.name] for instance in instances]
            found[str(one.name)] = dict(self.task.process_results(doc, filtered))
        return found

    def truth(self, doc: Mapping[str, Any]) -> Prediction:
        """The right option, far ahead of the others, or the right text."""
        right = self.task.doc_to_target(doc)
        if self.output_type == "multiple_choice" and not self._asks_in_its_own_way:
            options = list(self.task.doc_to_choice(doc))
            if self.task.multiple_input:
                right = self.task.doc_to_text(doc)
            chosen = right[0] if isinstance(right, list) else right
            index = options.index(chosen) if isinstance(chosen, str) else int(chosen)
            # Far, since some metrics divide by the option's length.
            likelihoods = np.full(len(options), -1e6)
            likelihoods[index] = -0.1
            if self._weighs_options_alone:
                likelihoods = np.append(likelihoods, np.zeros(len(options)))
            return Prediction(
                choice_loglikelihoods=likelihoods, choice_is_greedy=likelihoods > -1.0
            )
        kinds = self._kinds(doc, np.zeros(1))
        count = sum(kind != GENERATE for kind in kinds)
        if self.task.config.doc_to_choice is not None and isinstance(right, int):
            right = self.task.doc_to_choice(doc)[right]
        return Prediction(
            answer=str(right[0] if isinstance(right, list) else right)
            if Want.ANSWER in self.wants
            else None,
            choice_loglikelihoods=np.zeros(count) if self.wants - {Want.ANSWER} else None,
            choice_is_greedy=np.ones(count, bool) if self.wants - {Want.ANSWER} else None,
        )

    @property
    def _asks_in_its_own_way(self) -> bool:
        from lm_eval.api.task import ConfigurableTask

        own = type(self.task).construct_requests
        return bool(own is not ConfigurableTask.construct_requests)

    @property
    def _weighs_options_alone(self) -> bool:
        listed = self.task.higher_is_better()
        return self.output_type == "multiple_choice" and "acc_mutual_info" in listed

    @property
    def _scores_in_its_own_way(self) -> bool:
        from lm_eval.api.task import ConfigurableTask

        own = type(self.task).process_results
        return bool(self.task.config.process_results or own is not ConfigurableTask.process_results)

    @property
    def _has_own_metrics(self) -> bool:
        listed = self.task.config.metric_list or []
        named = all(isinstance(one["metric"], str) for one in listed)
        return self.output_type == GENERATE and not named

    def _asked(self, doc: Any, context: Any, index: int) -> list[Any]:
        """What lm-eval asks, in the order in which it hands back what was said."""
        built = self.task.construct_requests(
            doc=doc,
            ctx=context,
            metadata=(self.name, index, self.repeats),
            apply_chat_template=False,
            chat_template=None,
        )
        return sorted(built if isinstance(built, list) else [built], key=lambda one: one.idx)

    def _kinds(self, doc: Any, likelihoods: NDArray[np.float64] | None) -> list[str]:
        """What each of a document's requests asks for."""
        if self._asks_in_its_own_way:
            kinds = [str(one.request_type) for one in self._asked(doc, "", 0)]
        elif self.output_type in (GENERATE, ROLLING):
            kinds = [self.output_type]
        else:
            kinds = ["loglikelihood"] * (1 if likelihoods is None else len(likelihoods))
        if likelihoods is None and set(kinds) != {GENERATE}:
            raise ValueError("expected log-likelihoods, got none")
        return kinds

    def _weighed(self, said: Prediction) -> list[tuple[float, bool]]:
        likelihoods, greedy = said.choice_loglikelihoods, said.choice_is_greedy
        assert likelihoods is not None
        if greedy is None and self._needs_greedy:
            raise ValueError("expected a model that says what greedy decoding gives, got none")
        greedy = np.zeros(len(likelihoods), bool) if greedy is None else greedy
        return [(float(a), bool(b)) for a, b in zip(likelihoods, greedy, strict=True)]

    @property
    def _needs_greedy(self) -> bool:
        scored = set(self.task.higher_is_better())
        if self.output_type == "loglikelihood":
            return "acc" in scored or self._scores_in_its_own_way
        return self.output_type == "multiple_choice" and "exact_match" in scored

    @property
    def may_leave_out(self) -> bool:
        """Whether a metric may be given of some documents only."""
        return self._scores_in_its_own_way

    def is_mean(self, metric: str) -> bool:
        """Whether a metric is the plain mean of its documents' values."""
        from lm_eval.api.metrics import mean

        return self._aggregation(metric) is mean

    def aggregate(self, metric: str, items: Sequence[Any]) -> float:
        """Aggregate what `results` gave of all documents, by lm-eval's own function."""
        return float(self._aggregation(metric)(list(items)))

    def _aggregation(self, metric: str) -> Callable[[list[Any]], Any]:
        from lm_eval.api.metrics import mean

        given: Callable[[list[Any]], Any] = self.task.aggregation().get(metric, mean)
        return given

    def content(self) -> Iterator[bytes]:
        """Everything that the task's numbers depend on: its definition, then its documents."""
        yield json.dumps(self.task.dump_config(), default=_plain, sort_keys=True).encode()
        for doc in self.closed:
            yield json.dumps(doc, default=_plain, sort_keys=True).encode()

    def _context(self, doc: Any) -> Any:
        return self.task.fewshot_context(
            doc,
            num_fewshot=self.task.config.num_fewshot or 0,
            gen_prefix=self.task.doc_to_prefix(doc),
        )


@lru_cache(maxsize=8)
def load(name: str) -> HarnessTask:
    """Load a task of lm-eval by its name or the path of its file.

    Raises:
        BenchError: lm-eval is not installed, the task is unknown, its file or data are broken, or
            it is of a kind that cannot be asked here.
    """
    task = load_task(name)
    found = HarnessTask(str(task.config.task), str(task.VERSION), task)
    if not len(found.documents):
        raise BenchError(f"lm-eval task '{name}'", expected="documents", got="none")
    return found


def _without_decoding(documents: Any) -> Any:
    import datasets

    if not isinstance(documents, datasets.Dataset):
        return documents
    shut = datasets.Image(decode=False)
    for name, feature in documents.features.items():
        inner = getattr(feature, "feature", None)
        if isinstance(feature, datasets.Image):
            documents = documents.cast_column(name, shut)
        elif isinstance(inner, datasets.Image):
            documents = documents.cast_column(name, type(feature)(shut))
    return documents


def _plain(value: Any) -> Any:
    """Turn what JSON has no word for into something that is the same in every process."""
    if isinstance(value, bytes | bytearray):
        return hashlib.sha256(value).hexdigest()
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if hasattr(value, "tobytes"):  # a decoded picture
        return hashlib.sha256(value.tobytes()).hexdigest()
    if callable(value):
        return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', '')}"
    return str(value)


def pseudo_values(
    aggregate: Callable[[Sequence[Any]], float], items: Sequence[Any], groups: int = 200
) -> list[float]:
    """Give each item the statistic plus its influence, so that their mean is the statistic.

    The influence is the jackknife's, `(n - 1) (mean of the statistics without one - the statistic
    without this one)`. Of more than `groups` items a group at a time is left out, and each of its
    items gets the group's influence times the root of its size, so that the spread of independent
    items stays as it is. A group without which there is no statistic is taken to have no influence.

    >>> pseudo_values(lambda some: sum(some) / len(some), [1.0, 2.0, 6.0])
    [1.0, 2.0, 6.0]
    """
    whole = aggregate(items)
    n = len(items)
    if n < 2:
        return [whole] * n
    count = min(n, groups)
    member = np.arange(n) % count
    sizes = np.bincount(member)
    without = np.array(
        [_or_nan(aggregate, [item for item, own in zip(items, member, strict=True) if own != group])
         for group in range(count)]
    )  # fmt: skip
    without = np.where(np.isfinite(without), without, whole)
    influence = (n - sizes) / sizes * (without.mean() - without) * np.sqrt(sizes)
    each = influence[member]
    return [float(value) for value in whole + each - each.mean()]


def _or_nan(aggregate: Callable[[Sequence[Any]], float], items: Sequence[Any]) -> float:
    try:
        return float(aggregate(items))
    except Exception:  # such as a division by how many there are of a kind
        return float("nan")
