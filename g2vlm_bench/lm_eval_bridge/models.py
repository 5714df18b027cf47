"""Our adapters as a model of lm-eval, `g2vlm_bench`: `model=ADAPTER` and what it takes."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM

from g2vlm_bench.adapter import FittedAdapter, TruthAdapter
from g2vlm_bench.errors import BenchError
from g2vlm_bench.lm_eval_bridge.generation import Generation, pictures
from g2vlm_bench.lm_eval_bridge.questions import Question, QuestionTask, failed
from g2vlm_bench.plugins import Plugins
from g2vlm_bench.runner import Model, Options, run
from g2vlm_bench.sample import Inputs, Prediction, Want
from g2vlm_bench.store import RunFolder

NAME = "g2vlm_bench"
_CACHE_KEY = "g2vlm_bench model"


class AdapterLM(LM):  # type: ignore[misc]
    """Any adapter, asked by lm-eval.

    Our own questions are answered in a run folder, by the very pass that `g2vlm-bench run` takes,
    so that floors, oracles and wrappers work here, too. Those of lm-eval go to `predict`.

    Args:
        model: The adapter, `NAME` or `WRAPPER:NAME`.
        out: Folder of the run folders; a temporary one where it is not given.
        adapters_dir: A folder of your own adapters.
        device: For adapters that take one.
        dtype: For adapters that take one.
        batch_size: Samples a batch, or `auto`.
        arguments: The adapter's own.

    Raises:
        BenchError: The model is unknown, or an argument is.
    """

    MULTIMODAL = True

    def __init__(
        self,
        model: str,
        out: str | None = None,
        adapters_dir: str | None = None,
        device: str | None = None,
        dtype: str = "auto",
        batch_size: int | str | None = None,
        max_batch_size: int | None = None,
        data_root: str | None = None,
        tasks_dir: str | None = None,
        **arguments: Any,
    ) -> None:
        # data_root and tasks_dir are the tasks', to which lm-eval hands the same arguments.
        super().__init__()
        self._place = None if out else tempfile.TemporaryDirectory()
        self._options = Options(
            out=Path(out or self._place.name),  # type: ignore[union-attr]
            device=device or "auto",
            dtype=dtype,
            batch_size="auto" if batch_size in (None, "auto") else int(str(batch_size)),
        )
        plugins = Plugins.find(adapters_dirs=[Path(adapters_dir)] if adapters_dir else [])
        self.model = Model.load(plugins, str(model), arguments, self._options)

    def generate_until(self, requests: Sequence[Instance], disable_tqdm: bool = False) -> list[str]:
        """Answer each request as text, cut at the texts that end it."""
        stored = self._answered(requests)
        answers: list[str] = []
        for request in requests:
            if isinstance(request, Question):
                line = stored[id(request.asked_by)][str(request.doc["id"])]
                answers.append(line if isinstance(line, str) else str(line.answer))
        foreign = iter(self._asked(requests, Want.ANSWER))
        given = iter(answers)
        return [
            next(given) if isinstance(one, Question) else str(next(foreign).answer)
            for one in requests
        ]

    def loglikelihood(
        self, requests: Sequence[Instance], disable_tqdm: bool = False
    ) -> list[tuple[float, bool]]:
        """Weigh each continuation behind its context."""
        stored = self._answered(requests)
        weighed: list[tuple[float, bool]] = []
        own = [request for request in requests if isinstance(request, Question)]
        for request in own:
            said = stored[id(request.asked_by)][str(request.doc["id"])]
            weighed.append(_weighed(said, request.idx))
        foreign = iter(self._weigh([r for r in requests if not isinstance(r, Question)]))
        given = iter(weighed)
        return [next(given) if isinstance(one, Question) else next(foreign) for one in requests]

    def loglikelihood_rolling(
        self, requests: Sequence[Instance], disable_tqdm: bool = False
    ) -> list[float]:
        """Weigh whole texts."""
        asked = [
            Inputs(id=str(i), prompt="", choices=(text := str(one.args[0]),), continuations=(text,))
            for i, one in enumerate(requests)
        ]
        return [float(_likelihoods(said)[0]) for said in self._predict(asked, _weights())]

    def set_cache_hook(self, cache_hook: Any) -> None:
        """Let lm-eval keep answers, unless its file holds another model's: its keys name none.

        Raises:
            BenchError: It does.
        """
        own = self._identity()
        stored = getattr(cache_hook, "dbdict", None)
        if stored is not None:
            if stored.get(_CACHE_KEY, own) != own or (len(stored) and _CACHE_KEY not in stored):
                raise BenchError(
                    "lm-eval's --use_cache",
                    expected="a file of this model's answers",
                    got="one of another model's",
                    fix="Name another file, or none: runs are kept by out=FOLDER.",
                )
            stored[_CACHE_KEY] = own
        super().set_cache_hook(cache_hook)

    def get_model_info(self) -> dict[str, Any]:
        """What lm-eval writes into its results of the model."""
        adapter = self.model.adapter
        return {
            "model_source": NAME,
            "model_name": self.model.spec,
            "model_sha": adapter.weights_hash or "",
            "model_revision": adapter.checkpoint or "",
        }

    def _identity(self) -> str:
        adapter = self.model.adapter
        parts = (self.model.spec, self.model.arguments, self.model.source_hash)
        kept = (*parts, adapter.checkpoint, adapter.weights_hash, self._options.dtype)
        return msgspec.json.encode(kept, enc_hook=str, order="deterministic").decode()

    def _answered(self, requests: Sequence[Instance]) -> dict[int, dict[str, Prediction | str]]:
        """Run the adapter on each task of ours, as far as its questions are asked here."""
        wanted: dict[int, tuple[QuestionTask, int]] = {}
        for request in requests:
            if isinstance(request, Question):
                task = request.asked_by
                last = wanted.get(id(task), (task, 0))[1]
                wanted[id(task)] = (task, max(last, int(request.doc["doc_id"]) + 1))
        return {key: self._run(task, limit) for key, (task, limit) in wanted.items()}

    def _run(self, task: QuestionTask, limit: int) -> dict[str, Prediction | str]:
        whole = limit >= len(task.docs)
        options = Options(
            out=self._options.out,
            device=self._options.device,
            dtype=self._options.dtype,
            batch_size=self._options.batch_size,
            limit=None if whole else limit,
        )
        folder: RunFolder
        folder, _ = run(task.ours, self.model, options)
        return {
            line.id: folder.load_prediction(line) if line.error is None else failed(line.error)
            for line in folder.predictions()
        }

    def _asked(self, requests: Sequence[Instance], want: Want) -> list[Prediction]:
        asked = []
        for index, request in enumerate(requests):
            if isinstance(request, Question):
                continue
            how = Generation.read(request.args[1])
            asked.append(
                Inputs(
                    id=f"{request.task_name}/{request.doc_id}/{index}",
                    prompt=str(request.args[0]),
                    images=_images(request),
                    stop=how.stop,
                    max_new_tokens=how.max_new_tokens,
                    drawing=how.drawing,
                )
            )
        return self._predict(asked, frozenset({want}))

    def _weigh(self, requests: Sequence[Instance]) -> list[tuple[float, bool]]:
        """Weigh the options of one document together: they share their context."""
        asked: list[Inputs] = []
        key = lambda one: (one.task_name, one.doc_id, one.args[0])  # noqa: E731
        for (task, doc, context), group in groupby(requests, key):
            options = list(group)
            texts = tuple(str(one.args[1]) for one in options)
            asked.append(
                Inputs(
                    id=f"{task}/{doc}/{len(asked)}",
                    prompt=str(context),
                    images=_images(options[0]),
                    choices=texts,
                    continuations=texts,
                )
            )
        return [
            _weighed(said, index)
            for inputs, said in zip(asked, self._predict(asked, _weights()), strict=True)
            for index in range(len(inputs.choices))
        ]

    def _predict(self, asked: Sequence[Inputs], wants: frozenset[Want]) -> list[Prediction]:
        adapter = self.model.adapter
        if isinstance(adapter, TruthAdapter | FittedAdapter) and asked:
            raise BenchError(
                f"model '{self.model.spec}' on a task of lm-eval",
                expected="a model",
                got="a reference row or a fitted floor, which need a task of g2vlm_bench",
            )
        size = self._options.batch_size
        step = 16 if isinstance(size, str) else size
        found: list[Prediction] = []
        for start in range(0, len(asked), step):
            for said in adapter.predict(asked[start : start + step], wants):
                if isinstance(said, Exception):
                    raise said
                found.append(said)
        return found


def register() -> None:
    """Make `g2vlm_bench` a model that lm-eval knows by name."""
    import lm_eval.models  # noqa: F401 - first: else lm-eval takes its own for registered
    from lm_eval.api.registry import model_registry

    model_registry.register(NAME, target=AdapterLM)


def _weights() -> frozenset[Want]:
    return frozenset({Want.CHOICE_LOGLIKELIHOODS})


def _images(request: Instance) -> tuple[Any, ...]:
    return pictures(request.args[2].get("visual") if len(request.args) > 2 else None)


def _likelihoods(said: Prediction) -> Any:
    if said.choice_loglikelihoods is None:
        raise ValueError("expected log-likelihoods, got none")
    return said.choice_loglikelihoods


def _weighed(said: Prediction | str, index: int) -> tuple[float, bool]:
    if isinstance(said, str):  # failed: no option is any likelier
        return float("nan"), False
    greedy = said.choice_is_greedy
    return float(_likelihoods(said)[index]), bool(greedy[index]) if greedy is not None else False
