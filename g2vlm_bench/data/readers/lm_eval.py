"""Documents of a task of lm-eval, with the prompts that lm-eval itself makes of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial

from g2vlm_bench.data.reader import Reader
from g2vlm_bench.lm_eval_bridge.harness import load
from g2vlm_bench.sample import Inputs, Sample, Target


class LmEval(Reader):
    """What lm-eval would ask of each document, in its order; an image is decoded when asked for.

    The data, their place and their licence are those of the task. One split, `test`: lm-eval's own
    choice, the test documents or else the validation documents.

    Args:
        task: Name of the task in lm-eval, or the path of its YAML file.
    """

    def __init__(self, *, task: str) -> None:
        self.task = load(task)
        self.shows_images = bool(getattr(self.task.task, "MULTIMODAL", False))

    def samples(self, split: str) -> Sequence[Sample]:
        """List the documents in lm-eval's order."""
        return [
            Sample(
                id=str(index),
                cluster=str(index),
                load_inputs=partial(self._inputs, index),
                load_target=partial(self._target, index),
            )
            for index in range(len(self.task.documents))
        ]

    def content_hash(self, split: str) -> str:
        """Hash the task's definition and its documents, images as they are stored."""
        digest = hashlib.sha256()
        for part in self.task.content():
            digest.update(hashlib.sha256(part).digest())
        return f"sha256:{digest.hexdigest()}"

    def _inputs(self, index: int) -> Inputs:
        request = self.task.request(index)
        return Inputs(
            id=str(index),
            images=request.images,
            question=request.prompt,
            prompt=request.prompt,
            choices=request.continuations,
            continuations=request.continuations,
            contexts=request.contexts,
            max_new_tokens=request.generation.max_new_tokens if request.generates else None,
            stop=request.generation.stop,
            drawing=request.generation.drawing,
        )

    def _target(self, index: int) -> Target:
        return Target(document={"doc_id": index, "doc": self.task.closed[index]})
