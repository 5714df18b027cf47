"""Any image-text-to-text model of transformers, with its own processor and chat template.

    --model hf_vlm --model-args checkpoint=Qwen/Qwen2.5-VL-3B-Instruct

Qwen2-VL, Qwen2.5-VL, Qwen3-VL, LLaVA-OneVision, SmolVLM, Idefics3, Gemma 3, InternVL, and what else
`AutoModelForImageTextToText` knows. Answers as text, and the exact log-likelihood of each option.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from g2vlm_bench.adapter import Adapter
from g2vlm_bench.checkpoints import DTYPES, Checkpoint, check_choice, find_device
from g2vlm_bench.errors import BenchError
from g2vlm_bench.mended_torchvision import import_torchvision
from g2vlm_bench.sample import IMAGE_MARK, LANGUAGE, Drawing, Inputs, Prediction, Turn, Want

if TYPE_CHECKING:
    import torch

_FILES = (
    "config.json", "generation_config.json", "processor_config.json", "preprocessor_config.json",
    "video_preprocessor_config.json", "chat_template.jinja", "chat_template.json", "tokenizer.json",
    "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json",
    "merges.txt", "tokenizer.model",
)  # fmt: skip
_MAX_NEW_TOKENS = 128
# Of one question: as many sequences stand in memory together.
_DRAWN_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class _Asked:
    """One question on its way through the model.

    Attributes:
        text: The whole prompt as the tokenizer gets it, a placeholder for each image.
        images: In the order of the placeholders.
        options: Token ids of each option, as they follow the text.
        max_new_tokens: How long an answer may be.
        stop: Texts that end an answer.
        seed: Of this question's own randomness.
        drawing: How answers are drawn; None for the likeliest.
        prefix: The text's one token where nothing but it stands before the options, which are then
            whole texts of their own; None of a question.
    """

    text: str
    images: tuple[Image.Image, ...]
    options: tuple[tuple[int, ...], ...]
    max_new_tokens: int
    stop: tuple[str, ...]
    seed: int
    drawing: Drawing | None
    prefix: int | None


@dataclass(frozen=True, slots=True)
class _Weighed:
    """Log-likelihoods of one question's options, and whether greedy decoding says each."""

    loglikelihoods: NDArray[np.float64]
    is_greedy: NDArray[np.bool_]


class HfVlm(Adapter):
    """Answers questions about any number of images, by text and by likelihood.

    Images stand where the prompt has an `<image>` mark, else all before it. An option's likelihood
    is the sum over its tokens of log p(token | prompt, tokens before): no division by its length,
    no end-of-sequence token behind it. Its tokens are those that prompt and option have together
    less those of the prompt alone (lm-eval's rule). One forward pass gives all options that differ
    in their last token only, such as letters. An option with a context of its own stands behind
    that in place of the prompt, with the images before it where it has no marks. A text behind an
    empty prompt (perplexity) may be longer than the model can read; it is then weighed in windows,
    as lm-eval does.

    Questions share a batch where they have as many images each; they are padded on the left, and
    neither text nor likelihoods depend on it beyond the last digits of the arithmetic.

    Args:
        checkpoint: A folder written by `save_pretrained`, or an id on the Hugging Face hub, which
            is looked for in the local cache when there is no network. Safetensors only.
        revision: Branch, tag or commit of a hub id.
        chat: Put the prompt into the checkpoint's chat template. Without it the model goes on
            behind the bare prompt, as lm-eval has it; white space at its end goes to the options.
        system: What stands in the system's place of the chat; the task's own where it is empty.
        max_new_tokens: Of an answer; the benchmark's own, else 128, where it is not given.
        temperature: 0 is greedy decoding. Else each answer is drawn from a seed of its own, and
            from all tokens. Where it is not given, answers are drawn where the task says so.
        seed: Where the drawing starts.
        device: `auto` takes a GPU where there is one.
        dtype: Of weights and activations. `auto` is float32, so that a device cannot change it.

    Raises:
        BenchError: The checkpoint is missing, incomplete, damaged, pickled or of another kind, has
            no chat template, or an argument has no such value.
    """

    predicts = LANGUAGE
    needs_images = False

    def __init__(
        self,
        *,
        checkpoint: str,
        revision: str | None = None,
        chat: bool = True,
        system: str = "",
        max_new_tokens: int | None = None,
        temperature: float | None = None,
        seed: int = 0,
        device: str = "auto",
        dtype: str = "auto",
    ) -> None:
        from transformers import AutoModelForImageTextToText
        from transformers.models.auto.modeling_auto import (
            MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
        )

        check_choice("hf_vlm", "dtype", dtype, DTYPES)
        _check_at_least("max_new_tokens", max_new_tokens, 1)
        _check_at_least("temperature", temperature, 0)
        self._device = find_device(device, "hf_vlm")
        self.device = self._device.type
        found = Checkpoint.find(checkpoint, revision, _FILES, "AutoModelForImageTextToText")
        self.checkpoint = found.name
        config = found.config(
            "an image-text-to-text model, such as qwen2_5_vl or llava_onevision",
            MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
        )
        self._processor = _load_processor(found, chat)
        self._tokenizer = self._processor.tokenizer
        self._tokenizer.padding_side = "left"
        if self._tokenizer.pad_token_id is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        self.weights_hash = found.weights_hash()
        model = found.model(AutoModelForImageTextToText, config, dtype)
        self._model = model.to(self._device)
        self._longest = getattr(config.get_text_config(), "max_position_embeddings", None)
        self._keeps_logits = "logits_to_keep" in inspect.signature(self._model.forward).parameters
        self._chat, self._system = chat, system
        self._max_new_tokens, self._temperature = max_new_tokens, temperature
        self._seed = seed

    def predict(
        self, batch: Sequence[Inputs], wants: frozenset[Want]
    ) -> list[Prediction | Exception]:
        """Answer each question, weigh its options, or both.

        Returns:
            A prediction for each of the inputs; a `ValueError` in place of one without a prompt, or
            whose marks are not as many as its images.

        Raises:
            ValueError: One is longer than the model can read, its images and options included.
        """
        asked = [self._ask(inputs) for inputs in batch]
        usable = [parts for parts in asked if isinstance(parts, list)]
        by_text = Want.ANSWER in wants
        first = [parts[0] for parts in usable]
        answers = iter(self._answer(first) if by_text else [None] * len(usable))
        by_weight = bool(wants - {Want.ANSWER})
        every = [part for parts in usable for part in parts]
        weighed = iter(self._weigh(every, len(batch)) if by_weight else ())
        return [
            _prediction(next(answers), _gathered(inputs, [*islice(weighed, len(parts))]))
            if isinstance(parts, list)
            else parts
            for inputs, parts in zip(batch, asked, strict=True)
        ]

    def close(self) -> None:
        """Free the model's memory."""
        import torch

        del self._model
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _ask(self, inputs: Inputs) -> list[_Asked] | ValueError:
        try:
            return [self._put(part) for part in _by_context(inputs)]
        except ValueError as error:
            return error

    def _put(self, inputs: Inputs) -> _Asked:
        text, images = self._written(inputs)
        options = inputs.continuations or inputs.choices
        bare = text
        if not self._chat:
            # A word's token begins with the space before it.
            bare = text.rstrip()
            options = tuple(text[len(bare) :] + option for option in options)
            # With nothing before it, a text is conditioned on the token that begins one.
            text = bare or self._tokenizer.bos_token or self._tokenizer.eos_token
        ids = self._ids(text)
        is_prefix = not self._chat and not bare and not images and len(ids) == 1
        return _Asked(
            text=text,
            images=images,
            options=tuple(tuple(self._ids(text + option)[len(ids) :]) for option in options),
            max_new_tokens=self._max_new_tokens or inputs.max_new_tokens or _MAX_NEW_TOKENS,
            stop=inputs.stop,
            seed=_seed_of(self._seed, inputs.id),
            drawing=self._drawing(inputs),
            prefix=ids[0] if is_prefix else None,
        )

    def _drawing(self, inputs: Inputs) -> Drawing | None:
        if self._temperature is None:
            return inputs.drawing
        if self._temperature == 0:
            return None
        answers = inputs.drawing.answers if inputs.drawing else 1
        return Drawing(temperature=self._temperature, top_p=1.0, top_k=0, answers=answers)

    def _written(self, inputs: Inputs) -> tuple[str, tuple[Image.Image, ...]]:
        """Write the conversation as one text, and gather its images in order."""
        if inputs.prompt is None:
            raise ValueError("expected a prompt, got none")
        turns = (*inputs.earlier, Turn(prompt=inputs.prompt, images=inputs.images))
        images = tuple(Image.fromarray(image) for turn in turns for image in turn.images)
        if not self._chat:
            if inputs.earlier:
                raise ValueError("expected one question, got a conversation; it needs chat=true")
            return self._unchatted(inputs.prompt, len(images)), images
        messages: list[dict[str, Any]] = []
        if system := self._system or inputs.system:
            messages.append(_message("system", [{"type": "text", "text": system}]))
        content: list[dict[str, str]] = []
        for turn in turns:
            content += _content(turn.prompt, len(turn.images))
            # A turn without its answer is the beginning of the next question.
            if turn.answer is not None:
                messages.append(_message("user", content))
                messages.append(_message("assistant", [{"type": "text", "text": turn.answer}]))
                content = []
        messages.append(_message("user", content))
        text = self._processor.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=False
        )
        return str(text), images

    def _unchatted(self, prompt: str, n_images: int) -> str:
        mark = str(getattr(self._processor, "image_token", ""))
        if n_images and not mark:
            raise ValueError("expected a processor with an image token, got none; use chat=true")
        return "".join(
            mark if part["type"] == "image" else part["text"] for part in _content(prompt, n_images)
        )

    def _begins(self, text: str) -> bool:
        """Whether a text already begins with the token that begins one."""
        begin = self._tokenizer.bos_token
        return bool(begin and text.startswith(begin)) or text == self._tokenizer.eos_token

    def _ids(self, text: str) -> list[int]:
        own = not self._begins(text)
        return list(self._tokenizer(text, add_special_tokens=own)["input_ids"])

    def _encode(self, asked: Sequence[_Asked]) -> dict[str, torch.Tensor]:
        """Make the tensors of questions that have as many images each, padded on the left."""
        more: dict[str, Any] = {}
        if asked[0].images:
            more["images"] = [list(one.images) for one in asked]
        if all(self._begins(one.text) for one in asked):
            # Not all processors take it where it says nothing.
            more["add_special_tokens"] = False
        made = self._processor(
            text=[one.text for one in asked], padding=True, return_tensors="pt", **more
        ).to(self._device, dtype=self._model.dtype)
        tensors = dict(made)
        self._check_length(int(tensors["attention_mask"].sum(dim=1).max()))
        return tensors

    def _check_length(self, length: int) -> None:
        if self._longest is not None and length > self._longest:
            raise ValueError(
                f"expected {self._longest} tokens at most, images included, got {length}"
            )

    def _answer(self, asked: Sequence[_Asked]) -> list[tuple[str, ...]]:
        """Give each question's answer, or all that were to be drawn."""
        answers: dict[int, tuple[str, ...]] = {}

        def alike(one: _Asked) -> tuple[Any, ...]:
            drawn = (one.seed, one.drawing) if one.drawing else None
            return (len(one.images), one.max_new_tokens, one.stop, self._begins(one.text), drawn)

        for indices in _grouped(asked, alike):
            texts = self._generate([asked[index] for index in indices])
            answers.update(zip(indices, texts, strict=True))
        return [answers[index] for index in range(len(asked))]

    def _generate(self, asked: Sequence[_Asked]) -> list[tuple[str, ...]]:
        import torch

        first = asked[0]
        inputs = self._encode(asked)
        how = _decoding(first.drawing)
        if first.stop:
            how |= {"stop_strings": list(first.stop), "tokenizer": self._tokenizer}
        answers: list[tuple[str, ...]] = [()] * len(asked)
        wanted = first.drawing.answers if first.drawing else 1
        devices = [self._device] if self._device.type == "cuda" else []
        with torch.inference_mode(), torch.random.fork_rng(devices):
            torch.manual_seed(first.seed)
            for start in range(0, wanted, _DRAWN_AT_ONCE):
                count = min(_DRAWN_AT_ONCE, wanted - start)
                produced = self._model.generate(
                    **inputs,
                    **how,
                    num_beams=1,
                    num_return_sequences=count,
                    max_new_tokens=first.max_new_tokens,
                    pad_token_id=self._tokenizer.pad_token_id,
                )
                texts = self._tokenizer.batch_decode(
                    produced[:, inputs["input_ids"].shape[1] :],
                    skip_special_tokens=True,
                    clean_up_tokenization_spaces=False,
                )
                for index, text in enumerate(texts):
                    answers[index // count] += (_cut(text, first.stop),)
        return answers

    def _weigh(self, asked: Sequence[_Asked], at_once: int) -> list[_Weighed]:
        """Sum the log-probabilities of each option's tokens."""
        found: dict[tuple[int, tuple[int, ...]], tuple[float, bool]] = {
            (index, option): self._in_windows(one.prefix, option)
            for index, one in enumerate(asked)
            for option in one.options
            if one.prefix is not None and self._longest and len(option) > self._longest
        }
        # Options that differ in their last token only are read off one row.
        rows = [
            (index, prefix)
            for index, one in enumerate(asked)
            for prefix in dict.fromkeys(
                option[:-1] for option in one.options if (index, option) not in found
            )
        ]

        def alike(row: tuple[int, tuple[int, ...]]) -> tuple[Any, ...]:
            one = asked[row[0]]
            return (len(one.images), self._begins(one.text))

        for indices in _grouped(rows, alike):
            for start in range(0, len(indices), at_once):
                chunk = [rows[index] for index in indices[start : start + at_once]]
                found.update(self._read_off(asked, chunk))
        return [
            _Weighed(
                np.array([found[index, option][0] for option in one.options], np.float64),
                np.array([found[index, option][1] for option in one.options], bool),
            )
            for index, one in enumerate(asked)
        ]

    def _read_off(
        self, asked: Sequence[_Asked], rows: Sequence[tuple[int, tuple[int, ...]]]
    ) -> dict[tuple[int, tuple[int, ...]], tuple[float, bool]]:
        """Run rows of prompt and prefix; give likelihood and greediness of the options they end."""
        import torch

        inputs = _with_tails(
            self._encode([asked[index] for index, _ in rows]),
            [prefix for _, prefix in rows],
            self._tokenizer.pad_token_id,
        )
        self._check_length(int(inputs["attention_mask"].sum(dim=1).max()))
        tail = max(len(prefix) for _, prefix in rows)
        keep = {"logits_to_keep": tail + 1} if self._keeps_logits else {}
        with torch.inference_mode():
            logits = self._model(**inputs, **keep, use_cache=False).logits[:, -tail - 1 :]
            logs = torch.log_softmax(logits.float(), dim=-1)
            best = logs.argmax(dim=-1)
        found = {}
        for row, (index, prefix) in enumerate(rows):
            for option in asked[index].options:
                if option[:-1] == prefix:
                    ids = torch.tensor(option, device=logs.device)
                    steps = logs[row, : len(option)].gather(1, ids[:, None]).double()
                    greedy = bool((best[row, : len(option)] == ids).all())
                    found[index, option] = (float(steps.sum()), greedy)
        return found

    def _in_windows(self, prefix: int, text: tuple[int, ...]) -> tuple[float, bool]:
        """Weigh a text that is longer than the model can read, each of its tokens once."""
        import torch

        total, is_greedy = 0.0, True
        for before, weighed in _windows(prefix, text, self._longest or len(text)):
            ids = torch.tensor([before], device=self._device)
            with torch.inference_mode():
                logits = self._model(
                    input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False
                ).logits
                logs = torch.log_softmax(logits[0, -len(weighed) :].float(), dim=-1)
            said = torch.tensor(weighed, device=self._device)
            total += float(logs.gather(1, said[:, None]).double().sum())
            is_greedy &= bool((logs.argmax(dim=-1) == said).all())
        return total, is_greedy


def _windows(
    prefix: int, text: Sequence[int], longest: int
) -> Iterator[tuple[list[int], list[int]]]:
    """Part a text into windows of as much context as a model can read; lm-eval's rule.

    Yields:
        What the model reads, and its last tokens' followers, which are weighed.

    >>> [*_windows(0, [1, 2, 3, 4, 5], 3)]
    [([0, 1, 2], [1, 2, 3]), ([2, 3, 4], [4, 5])]
    """
    for start in range(0, len(text), longest):
        end = min(start + longest, len(text))
        before = [prefix, *text][max(0, end - longest) : end]
        yield before, list(text[start:end])


def _by_context(inputs: Inputs) -> list[Inputs]:
    """Part what is asked by what stands before the options: the prompt, then contexts."""
    if not inputs.contexts:
        return [inputs]
    options = inputs.continuations or inputs.choices
    return [
        replace(
            inputs,
            prompt=context,
            choices=(),
            continuations=tuple(options[i] for i in places),
            contexts=(),
        )
        for context, places in _places(inputs).items()
    ]


def _places(inputs: Inputs) -> dict[str | None, list[int]]:
    """Where the options of each context stand."""
    places: dict[str | None, list[int]] = {inputs.prompt: []}
    for index, context in enumerate(inputs.contexts):
        places.setdefault(context, []).append(index)
    return places


def _gathered(inputs: Inputs, parts: Sequence[_Weighed]) -> _Weighed | None:
    """Put what was weighed behind each context back into the options' order."""
    if not inputs.contexts or not parts:
        return parts[0] if parts else None
    order = np.argsort([place for places in _places(inputs).values() for place in places])
    return _Weighed(
        np.concatenate([part.loglikelihoods for part in parts])[order],
        np.concatenate([part.is_greedy for part in parts])[order],
    )


def _prediction(answers: tuple[str, ...] | None, weighed: _Weighed | None) -> Prediction:
    said = Prediction(
        answer=answers[0] if answers else None,
        drawn=answers if answers and len(answers) > 1 else (),
    )
    if weighed is None:
        return said
    return replace(
        said,
        choice_loglikelihoods=weighed.loglikelihoods,
        choice_is_greedy=weighed.is_greedy,
    )


def _decoding(drawing: Drawing | None) -> dict[str, Any]:
    """What the library's `generate` takes."""
    if drawing is None:
        return {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    # What is not said is the checkpoint's own, as it is for lm-eval.
    own = {"top_p": drawing.top_p, "top_k": drawing.top_k}
    return {"do_sample": True, "temperature": drawing.temperature} | {
        name: value for name, value in own.items() if value is not None
    }


def _message(role: str, content: list[dict[str, str]]) -> dict[str, Any]:
    return {"role": role, "content": content}


def _content(prompt: str, n_images: int) -> list[dict[str, str]]:
    """Part a prompt into texts and images: at its marks, else with the images before it."""
    texts = prompt.split(IMAGE_MARK)
    if n_images == 0 or len(texts) == 1:
        # A blindfolded model is asked the same words.
        pictures = [{"type": "image"}] * n_images
        return [*pictures, {"type": "text", "text": "".join(texts)}]
    if len(texts) != n_images + 1:
        raise ValueError(f"expected {len(texts) - 1} images, one a mark, got {n_images}")
    parts: list[dict[str, str]] = []
    for index, text in enumerate(texts):
        if text:
            parts.append({"type": "text", "text": text})
        if index < n_images:
            parts.append({"type": "image"})
    return parts


def _with_tails(
    inputs: dict[str, torch.Tensor], tails: Sequence[tuple[int, ...]], pad: int
) -> dict[str, torch.Tensor]:
    """Put tokens behind prompts; what follows a shorter tail is masked, and nothing sees it."""
    import torch

    width = max(map(len, tails))
    if width == 0:
        return inputs
    prompts = inputs["input_ids"]
    ids = torch.tensor([[*tail, *[pad] * (width - len(tail))] for tail in tails])
    mask = torch.tensor([[1] * len(tail) + [0] * (width - len(tail)) for tail in tails])
    ends = {"input_ids": ids, "attention_mask": mask}
    longer = dict(inputs)
    for name, tensor in inputs.items():
        # Token types and the like: a tail is text, which is type 0.
        if tensor.shape == prompts.shape and not tensor.is_floating_point():
            end = ends.get(name, torch.zeros_like(ids)).to(tensor)
            longer[name] = torch.cat([tensor, end], dim=1)
    return longer


def _grouped(items: Sequence[Any], alike: Callable[[Any], Any]) -> Iterable[list[int]]:
    groups: dict[Any, list[int]] = {}
    for index, item in enumerate(items):
        groups.setdefault(alike(item), []).append(index)
    return groups.values()


def _cut(text: str, stop: Sequence[str]) -> str:
    for end in stop:
        text = text.partition(end)[0] if end else text
    return text


def _seed_of(seed: int, sample_id: str) -> int:
    digest = hashlib.sha256(f"{seed}:{sample_id}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def _check_at_least(name: str, given: float | None, least: float) -> None:
    if given is not None and not given >= least:
        raise BenchError(f"hf_vlm argument '{name}'", expected=f"{least} or more", got=given)


def _load_processor(found: Checkpoint, chat: bool) -> Any:
    from transformers.utils.import_utils import is_torchvision_available

    # First, since transformers' own import of it would fail beside a torch of another build.
    if is_torchvision_available():
        import_torchvision()
    from transformers import AutoProcessor, ProcessorMixin

    def load() -> Any:
        auto: Any = AutoProcessor
        processor = auto.from_pretrained(
            found.folder, trust_remote_code=False, local_files_only=True
        )
        # Where its own files are missing, the library hands out a bare tokenizer.
        if not isinstance(processor, ProcessorMixin):
            raise TypeError(f"only a {type(processor).__name__} could be made")
        return processor

    processor = found.attempt(load, "a processor: of images and of text")
    if chat and getattr(processor, "chat_template", None) is None:
        template = getattr(processor.tokenizer, "chat_template", None)
        if template is None:
            raise BenchError(
                f"checkpoint '{found.given}'",
                expected="a chat template",
                got="none",
                fix="Give it one (chat_template.jinja), or use chat=false.",
            )
        processor.chat_template = template
    return processor
