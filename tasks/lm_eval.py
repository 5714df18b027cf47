"""Any task of lm-eval, asked and scored by lm-eval's own code: --task lm_eval:NAME."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any

import msgspec

from g2vlm_bench.errors import BenchError
from g2vlm_bench.lm_eval_bridge.finding import members
from g2vlm_bench.lm_eval_bridge.harness import load, pseudo_values
from g2vlm_bench.metric import MetricSpec
from g2vlm_bench.sample import Ambiguity, Prediction, SampleScore, Target
from g2vlm_bench.task import Family, NoTruthError, Protocol, TaskDefinition
from g2vlm_bench.yaml_files import convert

# Best and worst of metrics that are no shares, by name; None has no bound. The first that fits.
_BOUNDS: tuple[tuple[str, tuple[float, float | None]], ...] = (
    (r"mcc|pearsonr", (1.0, -1.0)),
    (r"brier_score", (0.0, 2.0)),
    (r"(bleu|rouge\w*)_acc", (1.0, 0.0)),
    (r"(bleu|rouge\w*)_diff", (100.0, -100.0)),
    (r".*bleu.*|chrf.*|rouge.*|percent_\w+", (100.0, 0.0)),
    (r"eqbench", (100.0, None)),
    (r"\w*bias_score\w*", (-1.0, 1.0)),
    (r"ter|wer|bits_per_byte|likelihood|likelihood_diff|average_len", (0.0, None)),
    (r"\w*perplexity", (1.0, None)),
)
# What a share is called: words of its name.
_SHARE = re.compile(
    r"(^|_|\b)(acc|accuracy|exact|match|em|f1|fscore|precision|recall|score|pass@\d+|r@\d+|mrr"
    r"|pct|rate|contains|verify|reward|validity|compliance)(_|\b)",
    re.IGNORECASE,
)


class LmEvalOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What lm-eval does not say of its metrics.

    Attributes:
        bounds: Metric -> its best and its worst value. One that is not named here, and whose own
            name does not tell, has no worst value.
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
        self.wants = (self.harness.wants,)
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
            headline=_name(metrics[0], LmEvalProtocol(filter=protocols[0].get("filter", "none"))),
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
        """What the task says is right."""
        return self.harness.truth(_document(target)["doc"])

    def pool(self, pairs: Iterator[tuple[Target, Prediction | None]]) -> Any:
        """Aggregate what is no mean of all by lm-eval's own functions; give each its share."""
        every = list(self.definition.metrics)
        pooled = [metric for metric in every if not self.harness.is_mean(metric)]
        if not pooled and not self.harness.may_leave_out:
            return None
        items: dict[tuple[str, str], dict[int, Any]] = {}
        seen = set()
        for target, prediction in pairs:
            if prediction is None:
                continue
            try:
                found = self._results(target, prediction)
            except Exception:  # Scoring the sample says what is wrong with it.
                continue
            index = int(_document(target)["doc_id"])
            seen.add(index)
            for filter_name, metrics in found.items():
                for metric in set(every) & set(metrics):
                    items.setdefault((filter_name, metric), {})[index] = metrics[metric]
        return {
            (filter_name, metric): self._shares(metric, column, seen)
            for (filter_name, metric), column in items.items()
            if metric in pooled or len(column) < len(seen)
        }

    def _shares(self, metric: str, items: dict[int, Any], seen: set[int]) -> dict[int, float]:
        """Give each document a value so that their mean is lm-eval's number.

        What a metric leaves out has no influence on it; the others have as much more, so that the
        interval is that of as many documents as count.
        """
        aggregate = partial(self.harness.aggregate, metric)
        try:
            values = pseudo_values(aggregate, list(items.values()))
        except Exception as error:  # lm-eval's functions raise what their libraries do
            raise BenchError(
                f"task {self.definition.name}, metric '{metric}'",
                expected="answers that lm-eval can aggregate",
                got=f"{type(error).__name__}: {error}",
                fix="Leave it out in a task file of the family lm_eval.",
            ) from error
        whole = sum(values) / len(values)
        scale = len(seen) / len(values)
        shares = dict.fromkeys(seen, whole)
        return shares | {
            index: whole + scale * (value - whole)
            for index, value in zip(items, values, strict=True)
        }

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
                share = (pool or {}).get((protocol.filter, metric), {})
                if index in share:
                    values[_name(metric, protocol)] = share[index]
                elif metric in metrics:
                    values[_name(metric, protocol)] = float(metrics[metric])
        return SampleScore(values=values)

    def _results(self, target: Target, prediction: Prediction) -> dict[str, dict[str, Any]]:
        return self.harness.results(_document(target)["doc"], prediction)

    def _bounds(self, metric: str) -> tuple[float, float | None]:
        if metric in self.options.bounds:
            best, worst = self.options.bounds[metric]
            return best, worst
        higher = self.harness.metrics[metric]
        for form, (best, bound) in _BOUNDS:
            if re.fullmatch(form, metric) and (bound is None or (best > bound) == higher):
                return best, bound
        share = _SHARE.search(metric) is not None
        return (1.0, 0.0 if share else None) if higher else (0.0, 1.0 if share else None)

    def _spec(self, metric: str, protocol: LmEvalProtocol) -> MetricSpec:
        best, worst = self._bounds(metric)
        return MetricSpec(
            name=_name(metric, protocol),
            unit="1",
            higher_is_better=self.harness.metrics[metric],
            best=best,
            worst=worst,
            description=f"{metric} as lm-eval computes it, task {self.harness.name}",
        )


def _name(metric: str, protocol: LmEvalProtocol) -> str:
    # What follows the first @ is the protocol: pass@1 is pass_at_1 here.
    return f"{metric.replace('@', '_at_')}@{protocol.label}"


def _document(target: Target) -> Any:
    if target.document is None:
        raise NoTruthError("the sample has no document of lm-eval")
    return target.document
