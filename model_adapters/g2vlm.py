"""The reference G2VLM: depth, clouds, poses, words, places and embeddings from one set of weights.

--model g2vlm
--model g2vlm --model-args weights=runs/train-nano --model-args refinements=2
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from g2vlm_bench.adapter import Adapter
from g2vlm_bench.checkpoints import find_device
from g2vlm_bench.geometry.cameras import unproject
from g2vlm_bench.sample import IMAGE_MARK, Ambiguity, Inputs, Prediction, Want

if TYPE_CHECKING:
    from g2vlm_bench.reference.inference import Pictures, Seen
    from g2vlm_bench.reference.speaker import Question

_WORDS = frozenset({Want.ANSWER, Want.CHOICE_LOGLIKELIHOODS})
_POINTING = frozenset({Want.MASKS, Want.LOCATION})
_GEOMETRY = frozenset({Want.DEPTH, Want.POINTS, Want.POINT_MAPS, Want.POSES, Want.INTRINSICS})
_OPTION = re.compile(r"^[ \t]*\(?([A-Z])[.):][ \t]+(\S.*?)[ \t]*$", re.MULTILINE)
# What families write around a question.
_AROUND = re.compile(r"^[ \t]*(options:.*|answer .*)$", re.MULTILINE | re.IGNORECASE)

# Fields of a prediction, or the exception by which that one alone failed.
_Fields = dict[str, Any]
_Part = _Fields | Exception


class G2vlm(Adapter):
    """Looks at each scene once, however many questions a batch has about it.

    A question reaches the model in the words that it learnt from: bare, each option behind a mark;
    its answer is told by the letter where the prompt shows letters.
    Where a task hands over nothing but a prompt, question and options are read out of it. A model
    asked about no picture (`blind:g2vlm`) sees a grey one.

    A prediction depends on its batch by rounding alone: some 1e-5 of a depth in float32, some 1e-2
    in bfloat16, where now and then an answer is another.

    Args:
        weights: `nano`, which is shipped, or a folder that `train` wrote.
        refinements: K, how often geometry is fed back; the model's own where None.
        use_intrinsics: Whether the model is told cameras that a task gives.
        use_prior: Whether it is told sparse depth and points that a task gives beside pictures.
        side: Shorter side of the pictures as the model sees them; as trained where None.
        device: `auto` takes a GPU where there is one.
        dtype: `bfloat16` lets matrices multiply in half precision. `auto` is float32, so that a
            device cannot change an answer.

    Raises:
        BenchError: There are no such weights, or an argument has no such value.
    """

    predicts = frozenset(Want) - {Want.CONTEXT_LOGLIKELIHOODS}
    ambiguity = Ambiguity.METRIC

    def __init__(
        self,
        *,
        weights: str = "nano",
        refinements: int | None = None,
        use_intrinsics: bool = True,
        use_prior: bool = True,
        side: int | None = None,
        device: str = "auto",
        dtype: str = "auto",
    ) -> None:
        from g2vlm_bench.reference.checkpoint import find_reference, hash_reference, load_reference
        from g2vlm_bench.reference.inference import Inference
        from g2vlm_bench.reference.speaker import Speaker

        folder = find_reference(weights)
        self.weights_hash = hash_reference(folder)
        self.checkpoint = f"{weights}@{self.weights_hash[7:19]}"
        chosen = find_device(device, "g2vlm")
        self.device = chosen.type
        self._inference = Inference(load_reference(folder, str(chosen)), dtype, refinements, side)
        self._speaker = Speaker(self._inference)
        self._use_intrinsics, self._use_prior = use_intrinsics, use_prior

    def predict(
        self, batch: Sequence[Inputs], wants: frozenset[Want]
    ) -> list[Prediction | Exception]:
        """Answer each of the inputs with what is wanted, as far as it can.

        Returns:
            A prediction for each; a `ValueError` in place of one that lacks a picture or words, or
            of which the model made what is no number.
        """
        parts: list[_Part] = [{"ambiguity": self.ambiguity} for _ in batch]
        if Want.EMBEDDING in wants:
            self._embed_lone(batch, parts)
        seen = self._look(batch, wants, parts)
        if wants & _GEOMETRY:
            self._put(parts, {i: self._geometry(scene) for i, scene in seen.items()})
        if Want.EMBEDDING in wants:
            embed = self._inference.embed_pictures
            self._put(parts, {i: {"embedding": embed(scene)} for i, scene in seen.items()})
        # One text is a phrase to find, and a question to answer: the model learnt both apart.
        if wants & _POINTING:
            self._put(parts, self._found(self._asked(batch, seen, parts, points_out=True)))
        if wants & _WORDS:
            asked = self._asked(batch, seen, parts, points_out=False)
            self._put(parts, self._spoken(batch, asked, wants))
        return [part if isinstance(part, Exception) else _prediction(part, wants) for part in parts]

    def close(self) -> None:
        """Free the model's memory."""
        import torch

        del self._inference, self._speaker
        if self.device == "cuda":
            torch.cuda.empty_cache()

    # ----------------------------------------------------------------------------- looking

    def _look(
        self, batch: Sequence[Inputs], wants: frozenset[Want], parts: list[_Part]
    ) -> dict[int, Seen]:
        """Look at the scenes of the inputs, at each once."""
        pictures: dict[Hashable, Pictures] = {}
        keys: dict[int, Hashable] = {}
        for i, inputs in enumerate(batch):
            if not inputs.images and Want.EMBEDDING in wants:
                continue
            try:
                given = self._pictures(inputs, wants)
            except ValueError as error:
                parts[i] = error
                continue
            keys[i] = _key(given)
            pictures.setdefault(keys[i], given)
        seen: dict[Hashable, Seen] = {}
        failed: dict[Hashable, Exception] = {}
        looked = self._inference.look(list(pictures.values()))
        for key, scene in zip(pictures, looked, strict=True):
            try:
                self._inference.check(scene)
                seen[key] = scene
            except ValueError as error:
                failed[key] = error
        for i, key in keys.items():
            parts[i] = failed.get(key, parts[i])
        return {i: seen[key] for i, key in keys.items() if key in seen}

    def _pictures(self, inputs: Inputs, wants: frozenset[Want]) -> Pictures:
        from g2vlm_bench.reference.inference import Pictures

        if not inputs.images and wants <= _WORDS:
            side = self._inference.side
            return Pictures(images=(np.full((side, side, 3), 127, np.uint8),))
        return Pictures(
            images=inputs.images,
            intrinsics=inputs.intrinsics if self._use_intrinsics else None,
            depth_prior_m=inputs.depth_prior_m if self._use_prior else None,
            points=inputs.points if self._use_prior else None,
        )

    def _embed_lone(self, batch: Sequence[Inputs], parts: list[_Part]) -> None:
        """Embed texts and clouds that come without a picture."""
        for i, inputs in enumerate(batch):
            if inputs.images:
                continue
            try:
                if inputs.points is not None:
                    (vector,) = self._inference.embed_clouds([inputs.points])
                else:
                    (vector,) = self._inference.embed_texts([inputs.question or ""])
                parts[i] = {"embedding": vector}
            except ValueError as error:
                parts[i] = error

    # ----------------------------------------------------------------------------- answering

    def _geometry(self, seen: Seen) -> _Fields:
        made = self._inference.reconstruct(seen)
        return {
            "depth": made.depth_m,
            "confidence": made.confidence,
            "intrinsics": made.intrinsics,
            "world_from_camera": made.first_from_camera,
            "points": made.points,
            "normals": made.normals,
            "point_maps": tuple(
                unproject(depth, camera).astype(np.float32)
                for depth, camera in zip(made.depth_m, made.intrinsics, strict=True)
            ),
        }

    def _asked(
        self,
        batch: Sequence[Inputs],
        seen: dict[int, Seen],
        parts: list[_Part],
        points_out: bool,
    ) -> dict[int, tuple[Seen, Question]]:
        """What is asked of which scene; a question that cannot be put fails alone."""
        asked = {}
        for i, scene in seen.items():
            try:
                question = _question(batch[i], points_out)
                self._speaker.check(question)
                asked[i] = scene, question
            except ValueError as error:
                parts[i] = error
        return asked

    def _found(self, asked: dict[int, tuple[Seen, Question]]) -> dict[int, _Fields]:
        located = self._speaker.locate(list(asked.values()))
        return {
            i: {"masks": masks, "location": place}
            for i, (masks, place) in zip(asked, located, strict=True)
        }

    def _spoken(
        self,
        batch: Sequence[Inputs],
        asked: dict[int, tuple[Seen, Question]],
        wants: frozenset[Want],
    ) -> dict[int, _Fields]:
        found: dict[int, _Fields] = {i: {} for i in asked}
        each = list(asked.values())
        if Want.CHOICE_LOGLIKELIHOODS in wants:
            for i, values in zip(asked, self._speaker.log_likelihoods(each), strict=True):
                found[i] |= {"choice_loglikelihoods": values}
        if Want.ANSWER in wants:
            for i, answer in zip(asked, self._speaker.answer(each), strict=True):
                letters, options = batch[i].continuations, asked[i][1].options
                # By its letter where the prompt shows letters: some scorers read nothing else.
                said = letters[options.index(answer)] if letters and answer in options else answer
                found[i] |= {"answer": said}
        return found

    @staticmethod
    def _put(parts: list[_Part], found: dict[int, _Fields]) -> None:
        for i, values in found.items():
            part = parts[i]
            if not isinstance(part, Exception):
                part |= values


def _question(inputs: Inputs, points_out: bool) -> Question:
    """What the inputs ask, in the form in which the model learnt to be asked.

    Raises:
        ValueError: They ask nothing.
    """
    from g2vlm_bench.reference.speaker import Question

    text, options = inputs.question, inputs.choices
    if text is None:
        text, options = read_prompt(inputs.prompt or "", options)
    text, options = text.replace(IMAGE_MARK, " "), options or inputs.continuations
    if points_out:
        return Question(text, "phrase")
    kind: str = inputs.answer_type or ("choice" if options else "text")
    if kind not in ("choice", "yes_no", "number"):
        kind = "description" if text.lower().startswith("describe") else "text"
    return Question(text, kind, options if kind in ("choice", "yes_no") else ())


def read_prompt(prompt: str, options: tuple[str, ...] = ()) -> tuple[str, tuple[str, ...]]:
    r"""Read question and options out of a prompt that a task handed over as one text.

    Args:
        prompt: The prompt.
        options: Where they are known already.

    >>> read_prompt("Which is nearer?\nOptions:\nA. the box\nB. the ball\nAnswer with a letter.")
    ('Which is nearer?', ('the box', 'the ball'))
    """
    found = tuple(match[2] for match in _OPTION.finditer(prompt))
    plain = _AROUND.sub("", _OPTION.sub("", prompt))
    return " ".join(plain.split()), options or found


def _prediction(fields: _Fields, wants: frozenset[Want]) -> Prediction:
    """What is wanted of what was found, with what belongs to it."""
    names = {want.field for want in wants}
    names |= {"ambiguity"}
    if Want.DEPTH in wants:
        names |= {"confidence"}
    if Want.POINTS in wants:
        names |= {"normals"}
    return Prediction(**{name: value for name, value in fields.items() if name in names})


def _key(pictures: Pictures) -> Hashable:
    """Equal for inputs that show the same."""
    shown: Any = hashlib.sha256()
    for name in ("images", "intrinsics", "depth_prior_m"):
        for array in getattr(pictures, name) or ():
            shown.update(f"{name} {array.dtype} {array.shape}".encode())
            shown.update(np.ascontiguousarray(array))
    if pictures.points is not None:
        shown.update(np.ascontiguousarray(pictures.points))
    return bytes(shown.digest())
