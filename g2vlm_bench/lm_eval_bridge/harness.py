"""A task of lm-eval, asked and scored by its own code, one document at a time."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.errors import BenchError
from g2vlm_bench.lm_eval_bridge.finding import find_yaml, require_lm_eval

# What its HFLM generates where a task says nothing.
_MAX_NEW_TOKENS = 256
# Its evaluator's default, `fewshot_random_seed`.
_FEWSHOT_SEED = 1234


@dataclass(frozen=True, slots=True)
class Request:
    """What lm-eval asks a model of one document.

    Attributes:
        prompt: The context.
        continuations: What is to be weighed behind it; empty where an answer is to be generated.
        images: As lm-eval hands them over, decoded.
        stop: Texts that end an answer.
        max_new_tokens: How long an answer may be.
    """

    prompt: str
    continuations: tuple[str, ...]
    images: tuple[NDArray[np.uint8], ...]
    stop: tuple[str, ...]
    max_new_tokens: int | None


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

    @property
    def metrics(self) -> dict[str, bool]:
        """The metrics that the task lists, and whether higher is better."""
        return {str(k): bool(v) for k, v in self.task.higher_is_better().items()}

    @property
    def filters(self) -> tuple[str, ...]:
        """Names of the ways in which an answer is cut out of what a model said."""
        return tuple(str(one.name) for one in self.task._filters)

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
        context = self._contexts[index] if self._contexts else self._context(doc)
        if isinstance(context, list):
            raise ValueError("expected one context for all options, got one each")
        built = self.task.construct_requests(
            doc=doc, ctx=context, metadata=(self.name, index, 1), apply_chat_template=False
        )
        asked = [one.args for one in (built if isinstance(built, list) else [built])]
        rolling = self.output_type == "loglikelihood_rolling"
        prompt = "" if rolling else str(asked[0][0])
        if not rolling and any(arguments[0] != prompt for arguments in asked):
            raise ValueError("expected one context for all options, got several (acc_mutual_info)")
        more = asked[0][2] if len(asked[0]) > 2 else {}
        stop: tuple[str, ...] = ()
        length: int | None = None
        weighed = tuple(str(arguments[0 if rolling else 1]) for arguments in asked)
        if self.output_type == "generate_until":
            stop, length = generation(asked[0][1])
            weighed = ()
        return Request(prompt, weighed, pictures(more.get("visual")), stop, length)

    def results(
        self,
        doc: Mapping[str, Any],
        answer: str | None,
        loglikelihoods: NDArray[np.float64] | None,
        is_greedy: NDArray[np.bool_] | None,
    ) -> dict[str, dict[str, Any]]:
        """Score what a model said of one document: filter -> metric -> what is to be aggregated.

        Raises:
            ValueError: The prediction lacks what the task scores.
        """
        from lm_eval.api.instance import Instance

        said: list[Any]
        if self.output_type == "generate_until":
            if answer is None:
                raise ValueError("expected an answer as text, got none")
            said = [answer]
        elif loglikelihoods is None:
            raise ValueError("expected log-likelihoods, got none")
        elif self.output_type == "loglikelihood_rolling":
            said = [float(loglikelihoods[0])]
        else:
            if is_greedy is None and self._needs_greedy:
                raise ValueError("expected a model that says what greedy decoding gives, got none")
            greedy = np.zeros(len(loglikelihoods), bool) if is_greedy is None else is_greedy
            said = [(float(a), bool(b)) for a, b in zip(loglikelihoods, greedy, strict=True)]
        kind = self.output_type if self.output_type != "multiple_choice" else "loglikelihood"
        instances = [
            Instance(request_type=kind, doc=dict(doc), arguments=("", ""), idx=i, resps=[one])
            for i, one in enumerate(said)
        ]
        found = {}
        for one in self.task._filters:
            one.apply(instances)
            filtered = [instance.filtered_resps[one.name] for instance in instances]
            found[str(one.name)] = dict(self.task.process_results(doc, filtered))
        return found

    @property
    def _needs_greedy(self) -> bool:
        scored = set(self.metrics)
        return "exact_match" in scored or (self.output_type == "loglikelihood" and "acc" in scored)

    def is_mean(self, metric: str) -> bool:
        """Whether a metric is the plain mean of its documents' values."""
        from lm_eval.api.metrics import mean

        return self.task.aggregation()[metric] is mean

    def aggregate(self, metric: str, items: Sequence[Any]) -> float:
        """Aggregate what `results` gave of all documents, by lm-eval's own function."""
        return float(self.task.aggregation()[metric](list(items)))

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
    require_lm_eval()
    path = find_yaml(name)
    where = f"lm-eval task '{name}'"
    task = _attempt(where, lambda: _construct(_read(path)))
    config = task.config
    refused = {
        "one answer a document": (config.repeats or 1) > 1 and f"repeats: {config.repeats}",
        "images or text alone": bool(getattr(config, "doc_to_audio", None)) and "audio",
        "greedy decoding": _draws(config.generation_kwargs) and "do_sample: true",
        "options weighed behind their question only": (
            "acc_mutual_info" in task.higher_is_better() and "acc_mutual_info"
        ),
        "one question for all options": task.multiple_input and "one for each, as in winogrande",
    }
    for expected, got in refused.items():
        if got:
            fix = "lm-eval itself can run it, or a copy of its file without that can be run here."
            raise BenchError(where, expected=expected, got=str(got), fix=fix)
    if config.num_fewshot is None:
        task.set_config("num_fewshot", 0)
    found = HarnessTask(str(config.task), str(task.VERSION), task)
    if not len(found.documents):
        raise BenchError(where, expected="documents", got="none")
    return found


def _read(path: Any) -> dict[str, Any]:
    from lm_eval.tasks._yaml_loader import load_yaml

    return dict(load_yaml(path))


def _construct(config: dict[str, Any]) -> Any:
    import lm_eval.models  # noqa: F401 - before any registration: else its own names are lost
    from lm_eval.api.task import ConfigurableTask

    class LazyTask(ConfigurableTask):  # type: ignore[misc]
        """Without the list of all examples, which decodes every image, where none is drawn."""

        def fewshot_docs(self) -> Any:
            return super().fewshot_docs() if self.config.num_fewshot else None

    for key in ("tag", "group", "task_list"):
        config.pop(key, None)
    own = config.pop("class", None)
    if own is None:
        return LazyTask(config=config)
    takes = "config" in inspect.signature(own.__init__).parameters
    return own(config=config) if takes else own()


def _attempt(where: str, load_it: Callable[[], Any]) -> Any:
    # A task is code and data of others: whatever they raise is one line here.
    try:
        return load_it()
    except Exception as error:
        first = (str(error).strip().splitlines() or ["no message"])[0][:200]
        raise BenchError(
            where, expected="a task whose data can be read", got=f"{type(error).__name__}: {first}"
        ) from error


def generation(arguments: Mapping[str, Any]) -> tuple[tuple[str, ...], int]:
    """Read lm-eval's generation arguments: what ends an answer, and how long it may be."""
    until = arguments.get("until") or ()
    names = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
    length = next((int(arguments[name]) for name in names if name in arguments), _MAX_NEW_TOKENS)
    return ((until,) if isinstance(until, str) else tuple(until)), length


def _draws(arguments: Mapping[str, Any] | None) -> bool:
    arguments = arguments or {}
    return bool(arguments.get("do_sample")) and float(arguments.get("temperature", 1.0) or 0) > 0


def pictures(visual: Any) -> tuple[NDArray[np.uint8], ...]:
    """Turn lm-eval's images into `(H, W, 3)` uint8 RGB."""
    if visual is None:
        return ()
    pictures = visual if isinstance(visual, list | tuple) else [visual]
    return tuple(np.asarray(picture.convert("RGB"), np.uint8) for picture in pictures)


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
    items stays as it is.

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
        [aggregate([item for item, own in zip(items, member, strict=True) if own != group])
         for group in range(count)]
    )  # fmt: skip
    influence = (n - sizes) / sizes * (without.mean() - without) * np.sqrt(sizes)
    each = influence[member]
    return [float(value) for value in whole + each - each.mean()]
