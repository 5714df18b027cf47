"""A training from its first weights to a model that can be loaded: what it starts from, and how.

`running.py` takes the steps.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import torch

from g2vlm_bench.errors import BenchError
from g2vlm_bench.progress import progress
from g2vlm_bench.reference.checkpoint import (
    TOKENIZER,
    WEIGHTS,
    Reference,
    find_public,
    hash_reference,
    load_reference,
    save_reference,
)
from g2vlm_bench.reference.config import Config
from g2vlm_bench.reference.examples import agreement_texts, check_stages, training_texts
from g2vlm_bench.reference.feed import LARGEST_SEED, Feeder
from g2vlm_bench.reference.growing import can_grow, grow
from g2vlm_bench.reference.running import (
    LOG,
    STATE,
    Learner,
    Plan,
    Run,
    Source,
    check_validation,
)
from g2vlm_bench.reference.tokenizer import Words

_TEXTS_OF = 32  # blocks of scenes whose texts the tokenizer is learnt from


def make_plan(device: str, precision: str, seed: int = 0, **others: Any) -> Plan:
    """A plan whose device and precision are those of this machine where they are `auto`.

    Raises:
        BenchError: The precision is unknown, this machine has no such device, or the world has no
            scenes for the seed.
    """
    if not 0 <= seed <= LARGEST_SEED:
        raise BenchError("--seed", expected=f"0 to {LARGEST_SEED}", got=seed)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)  # only an allocation shows whether the device is there
    except (RuntimeError, AssertionError):
        raise BenchError(
            "--device", expected="one that is here", got=f"'{device}'", fix="Say cpu or auto."
        ) from None
    if precision == "auto":
        precision = "bfloat16" if device.startswith("cuda") else "float32"
    if precision not in ("float32", "bfloat16"):
        raise BenchError("--precision", expected="auto, float32 or bfloat16", got=precision)
    return Plan(device, precision, seed, **others)  # type: ignore[arg-type]


def train(
    config: Config,
    out: Path,
    plan: Plan,
    public: str | None = None,
    pictures: Path | None = None,
    said: Callable[[str], None] = lambda line: None,
    start: Path | None = None,
) -> None:
    """Train a model, or go on with one; writes all that `load_reference` reads.

    Args:
        config: Sizes and curriculum.
        out: Folder of the state, the log and the model.
        plan: How it is run.
        public: Source of a public vision transformer for the visual encoder; that of the model to
            start from where there is one.
        pictures: A folder of pictures to learn from without truth, in place of the world.
        said: Is told each measurement, in one line.
        start: Folder of a trained model whose weights are the first ones, and whose words are used;
            of the configuration's sizes, or with fewer layers in the trunk.

    Raises:
        BenchError: A stage names what the world does not know; the folder holds another training,
            or a model without its state, or cannot be written to; the model has no room for its
            words; that to start from has other sizes or a visual encoder of its own; or the loss,
            the last validation or a weight is no number any more, where no model is written.
    """
    check_stages(config.training.stages)
    _prepare(out)
    trained = None
    if start is not None:
        if public is not None:
            raise BenchError(
                "--public-vit", expected="none beside --start-from", got=public,
                fix="The model to start from keeps the visual encoder that it has.",
            )  # fmt: skip
        trained = _trained(start, config)
        public = find_public(start)
    words = _words(config, out) if trained is None else trained.words
    if any(stage.agreements for stage in config.training.stages):
        words = _extended(words, config.model.vocabulary)
    origin = {"words": _hash(words.vocabulary), "pictures": ""}
    origin["start"] = "" if start is None else hash_reference(start)
    source: Source
    if pictures is None:
        source = Feeder(config, words, plan.seed, plan.workers)
    else:
        from g2vlm_bench.reference.pictures import PictureFeeder, self_supervised

        config = self_supervised(config)
        source = PictureFeeder(pictures, config, plan.seed)
        origin["pictures"] = _hash(source.listing())
    torch.manual_seed(plan.seed)
    learner = Learner(config, public).to(plan.device)
    if trained is not None:
        grow(trained.model, learner.model)
    run = Run(config, plan, learner, source, out, said, origin)
    run.resume()
    run.go()
    check_validation(out / LOG)
    save_reference(out, run.smoothed, words, config, plan.half)


def _trained(folder: Path, config: Config) -> Reference:
    """The model to start from.

    Raises:
        BenchError: It has sizes that do not grow into the configuration's.
    """
    trained = load_reference(folder)
    if not can_grow(trained.config.model, config.model):
        raise BenchError(
            folder, expected="a model of the configuration's sizes, or fewer trunk_layers",
            got="another",
            fix="Give --config the same model: its config.json has it. Only trunk_layers may be "
            "more, by a multiple of 4, where they are one.",
        )  # fmt: skip
    return trained


def _prepare(out: Path) -> None:
    """Make the folder of a training, or see that it is one.

    Raises:
        BenchError: It cannot be written to, or holds a model that training anew would replace.
    """
    if (out / WEIGHTS).exists() and not (out / STATE).exists():
        raise BenchError(
            out, expected=f"a training to go on with, which has a {STATE}", got="a model alone",
            fix="Give --out a new folder; --start-from begins at a model's weights.",
        )  # fmt: skip
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / LOG).open("ab").close()
    except OSError as error:
        raise BenchError(
            error.filename or out, expected="a folder with a log to write to", got=error.strerror
        ) from None


def _words(config: Config, out: Path) -> Words:
    """The tokenizer of the training that is there, else one learnt from the training split's texts.

    Raises:
        BenchError: The model has no room for its words, or the folder has another one already.
    """
    path = out / TOKENIZER
    there = Words.load(path) if path.is_file() else None
    if there is not None and (out / STATE).is_file():
        words = there
    else:
        words = _learn_words(config.model.vocabulary)
    if there is not None and there.vocabulary != words.vocabulary:
        raise BenchError(
            path, expected="the words of the world, or no file", got="other words",
            fix="Give --out a new folder, or remove this file.",
        )  # fmt: skip
    if len(words) > config.model.vocabulary:
        raise BenchError(
            "model.vocabulary", expected=f"at least {len(words)}", got=config.model.vocabulary
        )
    words.save(path)
    return words


def _extended(words: Words, room: int) -> Words:
    """With the words in which the consistency of words and geometry is asked for.

    Raises:
        BenchError: The model has no room for them.
    """
    more = words.extended(agreement_texts())
    if len(more) > room:
        raise BenchError("model.vocabulary", expected=f"at least {len(more)}", got=room)
    return more


def _learn_words(room: int) -> Words:
    """Words of the training split's texts, whose scenes take a while to make.

    Raises:
        BenchError: There are more than the model has room for.
    """
    texts: list[str] = []
    met: set[str] = set()
    with progress("read texts", _TEXTS_OF) as advance:
        for block in training_texts(_TEXTS_OF):
            texts += block
            met |= Words.learn(block).vocabulary.keys()
            if len(met) > room:
                raise BenchError(
                    "model.vocabulary", expected=f"at least {len(met)}, and more for more scenes",
                    got=room, fix="640, as in the shipped configurations, is enough.",
                )  # fmt: skip
            advance(1)
    return Words.learn(texts)


def _hash(content: object) -> str:
    return hashlib.sha256(msgspec.json.encode(content, order="sorted")).hexdigest()
