"""Our question tasks as tasks of lm-eval: asked through it, scored by their own family.

The YAML files of `lm_eval_bridge/tasks` name this class; `metadata.g2vlm_task` says which task.
`data_root` and `tasks_dir` are taken from lm-eval's metadata, which holds `--model_args`, too.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from lm_eval.api.instance import Instance
from lm_eval.api.task import Task as HarnessBase
from lm_eval.config.task import TaskConfig
from lm_eval.filters import build_filter_ensemble
from PIL import Image

from g2vlm_bench.aggregate import aggregate
from g2vlm_bench.errors import BenchError
from g2vlm_bench.plugins import Plugins
from g2vlm_bench.runner import Task
from g2vlm_bench.sample import Inputs, Prediction, Sample, Want
from g2vlm_bench.scoring import score_samples
from g2vlm_bench.store import Failure, PredictionLine, RunFolder

# What no model says: lm-eval's answers are text, and a model that failed did not answer "".
_FAILED = "\0failed "
_LANGUAGE = frozenset({Want.ANSWER, Want.CHOICE_LOGLIKELIHOODS})
_MAX_NEW_TOKENS = 128


class Question(Instance):  # type: ignore[misc]
    """A request whose words and images are made when a model asks for them.

    lm-eval builds all requests before the first is answered; as it is, it would hold every image
    decoded. Behind the answer, the log gets the images' sizes in their place.

    Attributes:
        asked_by: The task.
    """

    def __init__(
        self, asked_by: QuestionTask, doc: dict[str, Any], index: int, **more: Any
    ) -> None:
        self.asked_by = asked_by
        super().__init__(doc=doc, arguments=(), idx=index, **more)

    @property
    def arguments(self) -> tuple[Any, ...]:
        """Context, what is asked behind it, and the images."""
        inputs = self.asked_by.prepared(int(self.doc["doc_id"]))
        behind: Any
        if self.request_type == "generate_until":
            length = inputs.max_new_tokens or _MAX_NEW_TOKENS
            behind = {"until": list(inputs.stop), "max_gen_toks": length, "do_sample": False}
        else:
            behind = f" {(inputs.continuations or inputs.choices)[self.idx]}"
        if not inputs.images:
            return (inputs.prompt or "", behind)
        shown: list[Any] = [Image.fromarray(image) for image in inputs.images]
        if self.resps:
            shown = [f"image {picture.width}x{picture.height}" for picture in shown]
        return (inputs.prompt or "", behind, {"visual": shown})

    @arguments.setter
    def arguments(self, value: tuple[Any, ...]) -> None:
        """Take what the dataclass sets, which is nothing."""


class QuestionTask(HarnessBase):  # type: ignore[misc]
    """One of our tasks whose answers are text or likelihoods of options.

    Its metrics have our names, such as `accuracy@strict`, and our values: they are computed by the
    scoring pass of a run, with failures at their worst and weights where a metric has them.

    Raises:
        BenchError: The task is unknown, its data are not there, or it asks for more than language.
    """

    VERSION = "0"

    def __init__(self, config: Mapping[str, Any]) -> None:
        metadata = dict(config.get("metadata") or {})
        name = str(metadata.get("g2vlm_task", ""))
        dirs = [Path(metadata["tasks_dir"])] if metadata.get("tasks_dir") else []
        root = Path(metadata["data_root"]) if metadata.get("data_root") else None
        plugins = Plugins.find(dirs)
        definition = plugins.task(name)
        asked = plugins.family(definition).wants
        self.wants = next((wants for wants in asked if wants <= _LANGUAGE), frozenset())
        if not self.wants:
            raise BenchError(
                f"task {name} in lm-eval",
                expected="a task that asks for text or likelihoods",
                got="one that asks for geometry",
            )
        self.ours = Task.load(plugins, definition, root)
        version = definition.version
        self.VERSION = str(version)
        generates = Want.ANSWER in self.wants
        self._config = TaskConfig(
            task=str(config["task"]),
            output_type="generate_until" if generates else "multiple_choice",
            generation_kwargs={"until": [], "do_sample": False} if generates else None,
            num_fewshot=0,
            test_split=self.ours.dataset.pins.split,
            metadata={"version": version, "g2vlm_task": name},
        )
        self.OUTPUT_TYPE = self._config.output_type
        self.MULTIMODAL = self.ours.dataset.reader.shows_images
        self._filters = [build_filter_ensemble("none", [["take_first", None]])]
        self._instances = None
        self.fewshot_rnd = None
        self._scored: tuple[list[str], dict[str, float]] | None = None

    @cached_property
    def docs(self) -> list[dict[str, Any]]:
        """What lm-eval is shown of each sample: nothing that opens a file."""
        return [
            {"doc_id": index, "id": sample.id, "cluster": sample.cluster, **sample.tags}
            for index, sample in enumerate(self.ours.dataset.samples)
        ]

    def prepared(self, index: int) -> Inputs:
        """Open a sample as a model is to see it."""
        return self.ours.family.prepare(self.ours.dataset.samples[index].load_inputs())

    def construct_requests(self, doc: dict[str, Any], ctx: str, **more: Any) -> list[Instance]:
        """Ask for an answer, for each option's likelihood, or for both."""
        more = {key: value for key, value in more.items() if key == "metadata"}
        asked = [("generate_until", 0)] if Want.ANSWER in self.wants else []
        if Want.CHOICE_LOGLIKELIHOODS in self.wants:
            asked += [("loglikelihood", index) for index in range(self._options(doc))]
        return [Question(self, doc, index, request_type=kind, **more) for kind, index in asked]

    def process_results(self, doc: dict[str, Any], results: Sequence[Any]) -> dict[str, Any]:
        """Keep what was said under every metric; `aggregation` scores all of it together."""
        said = {
            "id": doc["id"],
            "answer": next((one for one in results if isinstance(one, str)), None),
            "loglikelihoods": [float(one[0]) for one in results if not isinstance(one, str)],
        }
        return {spec.name: said for spec in self.ours.family.specs}

    def aggregation(self) -> dict[str, Callable[[Sequence[Any]], float]]:
        """A function for each metric."""
        return {s.name: partial(self._aggregate, s.name) for s in self.ours.family.specs}

    def higher_is_better(self) -> dict[str, bool]:
        """As the metrics declare it."""
        return {spec.name: spec.higher_is_better for spec in self.ours.family.specs}

    def _aggregate(self, metric: str, items: Sequence[Mapping[str, Any]]) -> float:
        ids = [str(item["id"]) for item in items]
        if self._scored is None or self._scored[0] != ids:
            self._scored = (ids, self._score(items))
        return self._scored[1][metric]

    def _score(self, items: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """Score answers as a run's are scored, in a run folder that is then thrown away."""
        samples = {sample.id: sample for sample in self.ours.dataset.samples}
        asked: list[Sample] = [samples[str(item["id"])] for item in items]
        specs = list(self.ours.family.specs)
        with tempfile.TemporaryDirectory() as place, RunFolder(Path(place)) as folder:
            with folder.append_predictions() as index:
                for item in items:
                    index.write(_line(folder, item))
            score_samples(folder, self.ours.family, asked, specs, None, lambda _: None)
            results = aggregate(specs, folder.samples()).results(self.ours.definition.seed)
        # A metric that no sample has truth for has no value; one without a bound can be infinite.
        nothing = {True: float("-inf"), False: float("inf")}
        return {
            result.metric: nothing[result.higher_is_better]
            if result.value is None and result.n_failed
            else float("nan")
            if result.value is None
            else result.value
            for result in results
        }

    def _options(self, doc: dict[str, Any]) -> int:
        target = self.ours.dataset.samples[int(doc["doc_id"])].load_target()
        likelihoods = self.ours.family.truth(target).choice_loglikelihoods
        return 0 if likelihoods is None else len(likelihoods)

    # What lm-eval's base class asks of every task.

    def has_training_docs(self) -> bool:
        """None: the tasks are asked without examples."""
        return False

    def has_validation_docs(self) -> bool:
        """None."""
        return False

    def has_test_docs(self) -> bool:
        """The scored split."""
        return True

    def test_docs(self) -> list[dict[str, Any]]:
        """All documents."""
        return self.docs

    def doc_to_text(self, doc: dict[str, Any]) -> str:
        """The prompt."""
        return self.prepared(int(doc["doc_id"])).prompt or ""

    def doc_to_target(self, doc: dict[str, Any]) -> str:
        """The right answer."""
        return str(self.ours.dataset.samples[int(doc["doc_id"])].load_target().answer)

    def fewshot_context(self, doc: dict[str, Any], *args: Any, **kwargs: Any) -> str:
        """Nothing: a question makes its own words, when it is asked."""
        return ""


def failed(failure: Failure) -> str:
    """Write a failure as an answer, for a harness that knows of none."""
    return _FAILED + msgspec.json.encode(failure).decode()


def _line(folder: RunFolder, said: Mapping[str, Any]) -> PredictionLine:
    name, answer = str(said["id"]), said["answer"]
    if isinstance(answer, str) and answer.startswith(_FAILED):
        failure = msgspec.json.decode(answer[len(_FAILED) :], type=Failure)
        return PredictionLine(id=name, seconds=0.0, error=failure)
    likelihoods = said["loglikelihoods"]
    prediction = Prediction(
        answer=answer,
        choice_loglikelihoods=np.array(likelihoods, np.float64) if likelihoods else None,
    )
    return folder.save_prediction(name, prediction, 0.0)
