"""Any task of lm-eval, asked and scored by lm-eval's own code: --task lm_eval:NAME."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any

import msgspec
import numpy as np

from g2vlm_bench.errors import BenchError
from g2vlm_bench.lm_eval_bridge.finding import members
from g2vlm_bench.lm_eval_bridge.harness import load, pseudo_values
from g2vlm_bench.metric import MetricSpec
from g2vlm_bench.sample import Ambiguity, Prediction, SampleScore, Target, Want
from g2vlm_bench.task import Family, NoTruthError, Protocol, TaskDefinition, convert

# Best and worst of lm-eval's metrics that are no shares; None has no bound.
_BOUNDS: dict[str, tuple[float, float | None]] = {
    "mcc": (1.0, -1.0),
    "brier_score": (0.0, 2.0),
    "bleu": (100.0, 0.0),
    "chrf": (100.0, 0.0),
    "chrf++": (100.0, 0.0),
    "ter": (0.0, None),
    "perplexity": (1.0, None),
    "word_perplexity": (1.0, None),
    "byte_perplexity": (1.0, None),
    "bits_per_byte": (0.0, None),
    "likelihood": (0.0, None),
}


class LmEvalOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What lm-eval does not say of its metrics.

    Attributes:
        bounds: Metric -> its best and its worst value. One that is named neither here nor in
            lm-eval is taken for a share, and a value outside 0 to 1 is an error.
    """

    bounds: dict[str, Annotated[list[float], msgspec.Meta(min_length=2, max_length=2)]] = {}


class LmEvalProtocol(Protocol, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of lm-eval's filters: how the answer is cut out of what the model said.

    Attributes:
        filter: Its name in the task; `none` is lm-eval's name for taking the text as it is.
    """

    filter: str = "none"

    @property
    def described(self) -> str:
        """The protocol's part of a metric's name."""
        return "lm_eval" if self.filter == "none" else f"lm_eval+{self.filter}"

    @property
    def truth_falls_short(self) -> str:
        """A filter may look for more than the bare answer."""
        return "" if self.filter == "none" else "lm-eval's filter may not find a bare answer"


class LmEval(Family):
    """Whatever lm-eval computes of a document, and whatever it makes of all of them.

    A metric that is no mean of documents (perplexity, F1, BLEU) gets for each document the
    statistic plus its influence, by leaving it out (the jackknife's pseudo-values, Tukey 1958,
    centred), so that their mean is lm-eval's own number and their spread gives the interval.
    """

    def __init__(self, definition: TaskDefinition) -> None:
        self.harness = load(str(definition.data.get("task", "")))
        self.known_metrics = tuple(self.harness.metrics)
        super().__init__(definition)
        self.protocols = self.read_protocols(LmEvalProtocol)
        where = f"task {definition.name}"
        self.options = convert(definition.options, LmEvalOptions, f"{where}, key 'options'")
        for protocol in self.protocols:
            if protocol.filter not in self.harness.filters:
                raise BenchError(
                    f"{where}, key 'protocols'",
                    expected=f"filters of the task ({', '.join(self.harness.filters)})",
                    got=f"'{protocol.filter}'",
                )
        generates = self.harness.output_type == "generate_until"
        self.wants = (frozenset({Want.ANSWER if generates else Want.CHOICE_LOGLIKELIHOODS}),)
        self.specs = tuple(
            self._spec(metric, protocol)
            for protocol in self.protocols
            for metric in definition.metrics
        )

    @classmethod
    def define(cls, name: str) -> TaskDefinition:
        """Define a task from what lm-eval says of it."""
        task = load(name)
        protocols = [{} if one == "none" else {"filter": one} for one in task.filters]
        metrics = list(task.metrics)
        if not metrics:
            raise BenchError(f"lm-eval task '{name}'", expected="metrics", got="none")
        version = task.version.partition(".")[0]
        return TaskDefinition(
            name=f"lm_eval/{task.name}",
            version=int(version) if version.isdigit() else 0,
            family="lm_eval",
            title=f"{task.name}, by lm-eval",
            data={"format": "lm_eval", "task": name},
            protocols=protocols,
            metrics=metrics,
            headline=f"{metrics[0]}@{LmEvalProtocol(**protocols[0]).label}",
        )

    @classmethod
    def members(cls, name: str) -> list[str]:
        """List the tasks of a group or a tag of lm-eval; a task alone stands for itself."""
        return members(name)

    def headline(self) -> MetricSpec:
        """Its first metric, even one without a bound: a board refuses that, a run need not."""
        named = [spec for spec in self.specs if spec.name == self.definition.headline]
        return named[0] if named else super().headline()

    def truth(self, target: Target) -> Prediction:
        """The right option, far ahead of the others, or the right text."""
        doc = _document(target)["doc"]
        right = self.harness.task.doc_to_target(doc)
        if self.harness.output_type == "multiple_choice":
            options = list(self.harness.task.doc_to_choice(doc))
            chosen = right[0] if isinstance(right, list) else right
            index = options.index(chosen) if isinstance(chosen, str) else int(chosen)
            # Far, since some metrics divide by the option's length.
            likelihoods = np.full(len(options), -1e6)
            likelihoods[index] = -0.1
            return Prediction(
                choice_loglikelihoods=likelihoods, choice_is_greedy=likelihoods > -1.0
            )
        if self.harness.output_type != "generate_until":
            return Prediction(choice_loglikelihoods=np.zeros(1), choice_is_greedy=np.ones(1, bool))
        if self.harness.task.config.doc_to_choice is not None and isinstance(right, int):
            right = self.harness.task.doc_to_choice(doc)[right]
        return Prediction(answer=str(right[0] if isinstance(right, list) else right))

    def pool(self, pairs: Iterator[tuple[Target, Prediction | None]]) -> Any:
        """Aggregate what is no mean by lm-eval's own functions; give each document its share."""
        pooled = [metric for metric in self.definition.metrics if not self.harness.is_mean(metric)]
        if not pooled:
            return None
        items: dict[tuple[str, str], dict[int, Any]] = {}
        for target, prediction in pairs:
            if prediction is None:
                continue
            try:
                found = self._results(target, prediction)
            except Exception:  # Scoring the sample says what is wrong with it.
                continue
            for filter_name, metrics in found.items():
                for metric in pooled:
                    if metric in metrics:
                        column = items.setdefault((filter_name, metric), {})
                        column[int(_document(target)["doc_id"])] = metrics[metric]
        shares = {}
        for (filter_name, metric), column in items.items():
            aggregate = partial(self.harness.aggregate, metric)
            try:
                values = pseudo_values(aggregate, list(column.values()))
            except Exception as error:  # lm-eval's functions raise what their libraries do
                raise BenchError(
                    f"task {self.definition.name}, metric '{metric}'",
                    expected="answers that lm-eval can aggregate",
                    got=f"{type(error).__name__}: {error}",
                    fix="Leave it out in a task file of the family lm_eval.",
                ) from error
            shares[filter_name, metric] = dict(zip(column, values, strict=True))
        return shares

    def score(self, target: Target, prediction: Prediction, ambiguity: Ambiguity) -> SampleScore:
        """Score one document as if it were the only one."""
        pool = self.pool(iter([(target, prediction)]))
        return self.score_in_pool(pool, target, prediction, ambiguity)

    def score_in_pool(
        self, pool: Any, target: Target, prediction: Prediction, ambiguity: Ambiguity
    ) -> SampleScore:
        """Score one document by lm-eval's own code, under each of the task's filters."""
        index = int(_document(target)["doc_id"])
        found = self._results(target, prediction)
        values: dict[str, float] = {}
        for protocol in self.protocols:
            metrics = found[protocol.filter]
            for metric in self.definition.metrics:
                if not self.harness.is_mean(metric):
                    share = (pool or {}).get((protocol.filter, metric), {})
                    if index in share:
                        values[f"{metric}@{protocol.label}"] = share[index]
                elif metric in metrics:
                    values[f"{metric}@{protocol.label}"] = self._checked(metric, metrics[metric])
        return SampleScore(values=values)

    def _results(self, target: Target, prediction: Prediction) -> dict[str, dict[str, Any]]:
        return self.harness.results(
            _document(target)["doc"],
            prediction.answer,
            prediction.choice_loglikelihoods,
            prediction.choice_is_greedy,
        )

    def _bounds(self, metric: str) -> tuple[float, float | None]:
        if metric in self.options.bounds:
            best, worst = self.options.bounds[metric]
            return best, worst
        higher = self.harness.metrics[metric]
        return _BOUNDS.get(metric, (1.0, 0.0) if higher else (0.0, 1.0))

    def _checked(self, metric: str, value: Any) -> float:
        best, worst = self._bounds(metric)
        number = float(value)
        if worst is not None and not min(best, worst) <= number <= max(best, worst):
            raise ValueError(
                f"expected '{metric}' between {min(best, worst):g} and {max(best, worst):g}, got "
                f"{number:g}; a task file of the family lm_eval can say its bounds"
            )
        return number

    def _spec(self, metric: str, protocol: LmEvalProtocol) -> MetricSpec:
        best, worst = self._bounds(metric)
        return MetricSpec(
            name=f"{metric}@{protocol.label}",
            unit="1",
            higher_is_better=self.harness.metrics[metric],
            best=best,
            worst=worst,
            description=f"{metric} as lm-eval computes it, task {self.harness.name}",
        )


def _document(target: Target) -> Any:
    if target.document is None:
        raise NoTruthError("the sample has no document of lm-eval")
    return target.document
