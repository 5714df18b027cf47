"""Scenes of the training split, rendered as training goes, and drawn into batches.

Scenes are made in blocks. What block i holds follows from its number and the stage alone, and what
a step draws from the number of the step alone: so a run that was killed goes on exactly where it
was, and worker processes change nothing but the speed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context

import numpy as np
import torch
from msgspec import structs
from numpy.typing import NDArray
from torch import Tensor

from g2vlm_bench.geometry.cameras import invert_pose, transform
from g2vlm_bench.reference.config import Config, Stage, TrainingConfig
from g2vlm_bench.reference.model import Batch
from g2vlm_bench.reference.tokenizer import Words
from g2vlm_bench.world.descriptions import describe
from g2vlm_bench.world.layout import Recipe, make_scene
from g2vlm_bench.world.queries import captions, queries
from g2vlm_bench.world.questions import FAMILIES, Question, ask
from g2vlm_bench.world.renderer import Views, look, render
from g2vlm_bench.world.scene import COLORS, PLACES, Scene
from g2vlm_bench.world.shapes import KINDS

BLOCK = 16
# Names of what a patch shows: 0 is the place.
COLOR_NUMBERS = {name: number for number, name in enumerate(COLORS, start=1)}
KIND_NUMBERS = {name: number for number, name in enumerate(KINDS, start=1)}
_QUESTIONS = 12
_PHRASES = 4
# Points of a cloud.
_POINTS = 512
# Of the validation split, for each stage.
_VALIDATION_BLOCKS = 6
_EASY = Recipe(bodies=(2, 4), kinds=("box", "sphere", "cylinder", "cone"))


@dataclass(frozen=True, slots=True)
class Text:
    """A text that a scene is trained on.

    Attributes:
        words: Numbers of its words, prompt and answer.
        answer: Where the answer begins; the length of the text where none is to be said.
        places: `(words, 3)` where the thing is that a word speaks of, first camera's frame, NaN for
            words that speak of none.
        body: Id of the body that the text as a whole means, 0 for none.
        family: Of a question whose answer is right or wrong, empty for all other texts.
    """

    words: tuple[int, ...]
    answer: int
    places: NDArray[np.float32]
    body: int = 0
    family: str = ""


@dataclass(frozen=True, slots=True)
class Example:
    """A rendered scene with its texts; V views of S x S pixels.

    Attributes:
        images: `(V, S, S, 3)` uint8.
        depth_m: `(V, S, S)` float32, NaN = sky.
        normals: `(V, S, S, 3)` float16, camera frame, 0 = none.
        ids: `(V, S, S)` uint8 instance ids.
        intrinsics: `(V, 3, 3)` float32.
        first_from_camera: `(V, 4, 4)` float32.
        colors: `(bodies + 1,)` number of each body's colour by id.
        kinds: Likewise of its kind.
        questions: With answers.
        phrases: Each means one body.
        description: Prompt and text.
        caption: Words of a text that tells the scene from others.
    """

    images: NDArray[np.uint8]
    depth_m: NDArray[np.float32]
    normals: NDArray[np.float16]
    ids: NDArray[np.uint8]
    intrinsics: NDArray[np.float32]
    first_from_camera: NDArray[np.float32]
    colors: NDArray[np.int64]
    kinds: NDArray[np.int64]
    questions: tuple[Text, ...]
    phrases: tuple[Text, ...]
    description: Text
    caption: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A batch with its truth, on the CPU; shapes as in `model.py`.

    Attributes:
        inputs: What the model is given.
        depth: `(B, V, H, W)` metres, NaN = none.
        normals: `(B, V, H, W, 3)`, camera frame, 0 = none.
        first_from_camera: `(B, V, 4, 4)`.
        intrinsics: `(B, V, 3, 3)`.
        answers: `(B, Q, L)` bool, True for words that the model is to say.
        places: `(B, Q, L, 3)`, NaN where a word speaks of no thing.
        masks: `(B, Q, V, H, W)` bool of what each text means as a whole.
        means: `(B, Q)` bool, whether a text means one thing.
        colors: `(B, V, H, W)` number of the colour that a pixel shows, 0 = the place.
        kinds: Likewise of the kind.
        captions: `(B, L)` words.
        captions_known: `(B, L)` bool.
        clouds: `(B, S, 3)` points of the scene in the first camera's frame, NaN = padding.
        plain: `(B,)` bool, scenes that are given as pictures alone, so that what is made of these
            may be compared with their cloud.
        families: Family of each text of each scene.
        refinements: K.
    """

    inputs: Batch
    depth: Tensor
    normals: Tensor
    first_from_camera: Tensor
    intrinsics: Tensor
    answers: Tensor
    places: Tensor
    masks: Tensor
    means: Tensor
    colors: Tensor
    kinds: Tensor
    captions: Tensor
    captions_known: Tensor
    clouds: Tensor
    plain: Tensor
    families: tuple[tuple[str, ...], ...]
    refinements: int


def make_block(number: int, stage: Stage, split: str, words: Words) -> list[Example]:
    """Render the scenes of a block and ask about them.

    Args:
        number: Scenes `BLOCK * number` and following, of places in turn.
        stage: How large, how many views, how many easy scenes.
        split: `train` or `validation`; never `test`.
        words: Encodes texts.

    Raises:
        ValueError: The split is the one that models are scored on.
    """
    if split not in ("train", "validation"):
        raise ValueError(f"expected scenes to train on, got the split {split!r}")
    scenes = [_scene(seed, stage, split) for seed in range(number * BLOCK, (number + 1) * BLOCK)]
    sights = look(scenes, stage.views)
    asked = ask(scenes, sights, _QUESTIONS, stage.families or FAMILIES)
    told = captions(scenes, sights, seed=number)
    shots = [scene.shot(view) for scene in scenes for view in range(stage.views)]
    views = render(shots, stage.side, stage.side)
    examples = []
    for index, (scene, sight) in enumerate(zip(scenes, sights, strict=True)):
        mine = slice(index * stage.views, (index + 1) * stage.views)
        first_from_world = invert_pose(views.world_from_camera[mine][0])
        still = scene.shot(0)[0]
        middles = transform(np.array([b.center_m for b in still.bodies]), first_from_world)
        phrases = [
            _phrase(query.text, query.body, middles, words)
            for query in queries(scene, sight, _PHRASES)
            if not stage.finds or query.kind in stage.finds
        ]
        text = describe(scene, sight, seed=number).text
        examples.append(
            Example(
                **_pictures(views, mine, first_from_world),
                colors=np.array([0, *(COLOR_NUMBERS[b.color] for b in still.bodies)]),
                kinds=np.array([0, *(KIND_NUMBERS[b.kind] for b in still.bodies)]),
                questions=tuple(_question(q, middles, words) for q in asked[index]),
                phrases=tuple(phrases),
                description=_description(text, words),
                caption=tuple(words.encode(told[index] or text)),
            )
        )
    return examples


def _scene(seed: int, stage: Stage, split: str) -> Scene:
    place = PLACES[seed % len(PLACES)]
    # Another stream than the scene's own.
    draw = np.random.default_rng([seed, 5]).random()
    if draw < stage.easy:
        return make_scene(seed, split, "room", recipe=_EASY)
    moving = stage.views > 1 and draw > 0.8
    return make_scene(seed, split, place, frames=stage.views if moving else 1)


def _pictures(
    views: Views, mine: slice, first_from_world: NDArray[np.float64]
) -> dict[str, NDArray]:  # type: ignore[type-arg]
    poses = views.world_from_camera[mine]
    normals = views.normals_world[mine].numpy().astype(np.float64)
    in_camera = np.einsum("vhwi,vij->vhwj", normals, poses[:, :3, :3])
    return {
        "images": views.rgb[mine].numpy(),
        "depth_m": views.depth_m[mine].numpy(),
        "normals": in_camera.astype(np.float16),
        "ids": views.instance_ids[mine].numpy().astype(np.uint8),
        "intrinsics": views.intrinsics[mine].astype(np.float32),
        "first_from_camera": (first_from_world @ poses).astype(np.float32),
    }


def _question(question: Question, middles: NDArray[np.float64], words: Words) -> Text:
    numbers, spans = words.encode_with_places(question.text)
    places = np.full((len(numbers) + 1, 3), np.nan, np.float32)
    for mention in question.where:
        for index, (start, end) in enumerate(spans, start=1):
            if start >= mention.start and end <= mention.end and mention.body:
                places[index] = middles[mention.body - 1]
    prompt = [words.ask, *numbers]
    for option, body in zip(question.choices, question.choice_bodies, strict=True):
        spelled = words.encode(option)
        prompt += [words.option, *spelled]
        where = middles[body - 1] if body else np.full(3, np.nan)
        places = np.concatenate([places, np.full((1, 3), np.nan), [where] * len(spelled)])
    answer = _number(question.answer) if isinstance(question.answer, float) else question.answer
    text = _finished(prompt, words.encode(str(answer)), places, words)
    # A length is never right to the last digit.
    return text if question.unit else replace(text, family=question.family)


def _number(value: float) -> str:
    """Whole numbers as they are, lengths to a centimetre and a few digits at most."""
    return f"{value:.0f}" if value == int(value) or value >= 100 else f"{value:.2f}"


def _phrase(text: str, body: int, middles: NDArray[np.float64], words: Words) -> Text:
    """A phrase, and the mark behind it, which is to know where its thing is."""
    numbers = [words.scene, *words.encode(text), words.answer]
    places = np.full((len(numbers), 3), np.nan, np.float32)
    places[-1] = middles[body - 1]
    return Text(tuple(numbers), len(numbers), places, body)


def _description(text: str, words: Words) -> Text:
    return _finished([words.scene], words.encode(text), np.full((1, 3), np.nan), words)


def _finished(
    prompt: list[int], answer: list[int], places: NDArray[np.floating], words: Words
) -> Text:
    numbers = [*prompt, words.answer, *answer, words.end]
    padded = np.full((len(numbers), 3), np.nan, np.float32)
    padded[: len(places)] = places
    return Text(tuple(numbers), len(prompt) + 1, padded)


def training_texts(scenes: int) -> Iterator[str]:
    """Every text that is told or asked of the first scenes of the training split, two views each.

    Args:
        scenes: How many.
    """
    stage = Stage(steps=1, side=8, scenes=1, views=2)
    for start in range(0, scenes, BLOCK):
        made = [_scene(seed, stage, "train") for seed in range(start, start + BLOCK)]
        sights = look(made, stage.views)
        for scene, sight, asked in zip(
            made, sights, ask(made, sights, 2 * _QUESTIONS), strict=True
        ):
            for question in asked:
                yield question.text
                yield from (*question.choices, str(question.answer))
            yield from (query.text for query in queries(scene, sight, 2 * _PHRASES))
            yield describe(scene, sight, seed=start).text
        yield from (told for told in captions(made, sights, seed=start) if told)


class Feeder:
    """Keeps a pool of rendered scenes and draws batches from it.

    Args:
        config: The model's sizes, and how it is trained.
        words: Encodes texts.
        seed: Of what is drawn.
        workers: Processes that render ahead; 0 renders in this one.
    """

    def __init__(self, config: Config, words: Words, seed: int, workers: int = 0) -> None:
        self.config, self.words, self.seed = config, words, seed
        self._training = config.training
        self._validation: dict[Stage, list[Drawn]] = {}
        self._workers = workers

    def batches(self, start: int = 0) -> Generator[Drawn]:
        """Batches of steps `start`, `start + 1`, ... to the end of the last stage."""
        before = 0
        block = 0
        for stage in self._training.stages:
            after = before + stage.steps
            blocks = self._blocks_of(stage)
            if start < after:
                first = max(start - before, 0)
                yield from self._stage(stage, before, first, block)
            before, block = after, block + blocks

    def validation(self, step: int) -> list[Drawn]:
        """Scenes of the validation split like those of a step, with pictures and texts alone."""
        after = 0
        stage = self._training.stages[-1]
        for each in self._training.stages:
            after += each.steps
            if step < after:
                stage = each
                break
        if stage not in self._validation:
            self._validation[stage] = self._validation_of(stage)
        return self._validation[stage]

    def _validation_of(self, stage: Stage) -> list[Drawn]:
        shown = structs.replace(
            stage, describes=0.0, phrases=_PHRASES, questions=_PHRASES + _QUESTIONS // 2
        )
        unaided = structs.replace(
            self._training, prior=0.0, losses=structs.replace(self._training.losses, masked=0.0)
        )
        config = structs.replace(self.config, training=unaided)
        batches = []
        for number in range(_VALIDATION_BLOCKS):
            block = make_block(number, stage, "validation", self.words)
            batch = draw(block, shown, config, np.random.default_rng([self.seed, number]))
            batches.append(replace(batch, refinements=stage.refinements))
        return batches

    def _interval(self, stage: Stage) -> float:
        """Steps between two new blocks, so that a scene is drawn `reuse` times on average."""
        return self._training.reuse * BLOCK / stage.scenes

    def _held(self) -> int:
        return max(self._training.pool // BLOCK, 1)

    def _blocks_of(self, stage: Stage) -> int:
        return self._held() + int(stage.steps / self._interval(stage)) + 1

    def _stage(self, stage: Stage, before: int, first: int, block: int) -> Iterator[Drawn]:
        held, interval = self._held(), self._interval(stage)
        oldest = int(first / interval)
        numbers = range(block + oldest, block + self._blocks_of(stage))
        with _Maker(stage, self.words, numbers, self._workers) as maker:
            pool = deque((maker.next() for _ in range(held)), maxlen=held)
            for step in range(first, stage.steps):
                while int(step / interval) > oldest:
                    pool.append(maker.next())
                    oldest += 1
                rng = np.random.default_rng([self.seed, before + step])
                scenes = [example for made in pool for example in made]
                chosen = rng.choice(len(scenes), stage.scenes, replace=len(scenes) < stage.scenes)
                yield draw([scenes[i] for i in chosen], stage, self.config, rng)


class _Maker:
    """Makes blocks in order, ahead of their use where there are workers."""

    def __init__(self, stage: Stage, words: Words, numbers: range, workers: int) -> None:
        self.stage, self.words = stage, words
        self._numbers = iter(numbers)
        self._pool = _workers(workers) if workers else None
        self._ahead: deque[Future[list[Example]]] = deque()
        self._depth = 2 * workers

    def __enter__(self) -> _Maker:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def next(self) -> list[Example]:
        """The next block."""
        if self._pool is None:
            return make_block(next(self._numbers), self.stage, "train", self.words)
        while len(self._ahead) < self._depth and (number := next(self._numbers, None)) is not None:
            self._ahead.append(
                self._pool.submit(make_block, number, self.stage, "train", self.words)
            )
        return self._ahead.popleft().result()


def _workers(count: int) -> ProcessPoolExecutor:
    """Not forked, because a process that has run torch's threads must not be; one thread each."""
    return ProcessPoolExecutor(
        count, get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)
    )


def draw(
    examples: Sequence[Example],
    stage: Stage,
    config: Config,
    rng: np.random.Generator,
) -> Drawn:
    """Put scenes together into a batch: how many views, which texts, what else is given."""
    longest, patch, training = config.model.longest_text, config.model.patch, config.training
    views = int(rng.integers(1, stage.views + 1))
    describes = bool(rng.random() < stage.describes)
    texts = [_choose_texts(example, stage, describes, rng) for example in examples]
    pictures = np.stack([example.images[:views] for example in examples])
    depth = torch.from_numpy(np.stack([example.depth_m[:views] for example in examples]))
    intrinsics = torch.from_numpy(np.stack([example.intrinsics[:views] for example in examples]))
    poses = torch.from_numpy(np.stack([e.first_from_camera[:views] for e in examples]))
    given = torch.from_numpy(rng.random(len(examples)) < training.given)
    known = torch.where(given[:, None, None, None], intrinsics, torch.nan)
    ids = [example.ids[:views] for example in examples]
    words, words_known, answers, places = _padded(texts, longest)
    captions, captions_known, *_ = _padded(
        [[Text(e.caption, len(e.caption), _nowhere(len(e.caption)))] for e in examples],
        longest,
    )
    clouds = _clouds(depth, intrinsics, poses, rng)
    prior = _prior(depth, training.prior, rng)
    cloud = _sparse_clouds(clouds, training.prior, rng)
    return Drawn(
        inputs=Batch(
            images=torch.from_numpy(pictures).permute(0, 1, 4, 2, 3).float() / 255,
            intrinsics=known,
            depth_prior=prior,
            cloud=cloud,
            words=words,
            words_known=words_known,
            hide=hidden_patches(len(examples), views, (stage.side // patch) ** 2, training, rng),
        ),
        depth=depth,
        normals=torch.from_numpy(np.stack([e.normals[:views] for e in examples])).float(),
        first_from_camera=poses,
        intrinsics=intrinsics,
        answers=answers,
        places=places,
        masks=torch.from_numpy(
            np.stack(
                [
                    np.stack([shown == text.body for text in mine])
                    for shown, mine in zip(ids, texts, strict=True)
                ]
            )
        ),
        means=torch.tensor([[text.body > 0 for text in mine] for mine in texts]),
        colors=torch.from_numpy(
            np.stack([e.colors[i] for e, i in zip(examples, ids, strict=True)])
        ),
        kinds=torch.from_numpy(np.stack([e.kinds[i] for e, i in zip(examples, ids, strict=True)])),
        captions=captions[:, 0],
        captions_known=captions_known[:, 0],
        clouds=clouds,
        plain=~prior.isfinite().flatten(1).any(1) & torch.tensor(cloud is None),
        families=tuple(tuple(text.family for text in mine) for mine in texts),
        refinements=int(rng.integers(stage.refinements + 1)),
    )


def _nowhere(words: int) -> NDArray[np.float32]:
    return np.full((words, 3), np.nan, np.float32)


def _choose_texts(
    example: Example, stage: Stage, describes: bool, rng: np.random.Generator
) -> list[Text]:
    """Questions, then phrases whose thing is to be found; the description for the first of them."""
    phrases = _some(example.phrases, min(stage.phrases, stage.questions), rng)
    chosen = _some(example.questions or (example.description,), stage.questions - len(phrases), rng)
    if describes and chosen:
        chosen[0] = example.description
    return [*chosen, *phrases]


def _some(texts: Sequence[Text], count: int, rng: np.random.Generator) -> list[Text]:
    """So many of them, some twice where there are fewer, none where there is none."""
    if not texts:
        return []
    return [texts[i] for i in rng.choice(len(texts), count, replace=len(texts) < count)]


def _padded(texts: Sequence[Sequence[Text]], longest: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Words, which are known, which are answers, and the places of what they speak of."""
    length = min(max(len(text.words) for mine in texts for text in mine), longest)
    shape = (len(texts), len(texts[0]), length)
    words, answers = np.zeros(shape, np.int64), np.zeros(shape, bool)
    known, places = np.zeros(shape, bool), np.full((*shape, 3), np.nan, np.float32)
    for row, mine in enumerate(texts):
        for column, text in enumerate(mine):
            count = min(len(text.words), length)
            words[row, column, :count] = text.words[:count]
            known[row, column, :count] = True
            answers[row, column, text.answer : count] = True
            places[row, column, :count] = text.places[:count]
    numbers = (words, known, answers, places)
    first, second, third, fourth = (torch.from_numpy(part) for part in numbers)
    return first, second, third, fourth


def _prior(depth: Tensor, chance: float, rng: np.random.Generator) -> Tensor:
    """Sparse noisy depth for some scenes, none for the others."""
    given = rng.random(len(depth)) < chance
    kept = rng.random(depth.shape) < np.exp(rng.uniform(-6, -2, (len(depth), 1, 1, 1)))
    noise = np.exp(0.03 * rng.standard_normal(depth.shape)).astype(np.float32)
    known = torch.from_numpy(kept & given[:, None, None, None])
    return torch.where(known, depth * torch.from_numpy(noise), torch.nan)


def _sparse_clouds(clouds: Tensor, chance: float, rng: np.random.Generator) -> Tensor | None:
    """A few noisy points, for a whole batch or for none of it: they cost as much as a picture."""
    if rng.random() >= chance:
        return None
    few = clouds[:, : _POINTS // 4]
    noise = np.exp(0.01 * rng.standard_normal(few.shape)).astype(np.float32)
    return few * torch.from_numpy(noise)


def hidden_patches(
    scenes: int, views: int, patches: int, config: TrainingConfig, rng: np.random.Generator
) -> Tensor | None:
    """`(B, V, N)` bool of patches to hide, none where hidden patches do not count."""
    if config.losses.masked == 0:
        return None
    return torch.from_numpy(rng.random((scenes, views, patches)) < config.hidden)


def _clouds(depth: Tensor, intrinsics: Tensor, poses: Tensor, rng: np.random.Generator) -> Tensor:
    """Points drawn from all pixels of a scene, as retrieval hands them out."""
    from g2vlm_bench.reference.decoder import transform as moved
    from g2vlm_bench.reference.encoders import pixel_rays

    height, width = depth.shape[-2:]
    camera = pixel_rays(intrinsics, height, width) * depth[..., None]
    scene = moved(poses, camera).flatten(1, -2)
    chosen = torch.from_numpy(rng.integers(scene.shape[1], size=(len(scene), _POINTS)))
    return scene.gather(1, chosen[..., None].expand(-1, -1, 3))
