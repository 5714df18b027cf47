"""Scenes of the world with pictures, truth and texts, as the model learns from them.

What a block of scenes holds follows from its number and the stage of training alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.errors import BenchError, nearest
from g2vlm_bench.geometry.cameras import invert_pose, transform
from g2vlm_bench.reference.config import Stage
from g2vlm_bench.reference.rewording import reword
from g2vlm_bench.reference.tokenizer import Words
from g2vlm_bench.world.agreement import agreement_questions, agreement_wordings
from g2vlm_bench.world.descriptions import describe
from g2vlm_bench.world.language.phrases import SYNONYMS, Mention
from g2vlm_bench.world.layout import MAX_SEED, Recipe, make_scene
from g2vlm_bench.world.queries import QUERY_KINDS, captions, queries
from g2vlm_bench.world.questions import FAMILIES, Question, ask
from g2vlm_bench.world.renderer import Views, look, render
from g2vlm_bench.world.scene import COLORS, PLACES, Body, Scene
from g2vlm_bench.world.shapes import KINDS
from g2vlm_bench.world.shown import Frame, Shown

BLOCK = 16
# The world has scenes for so many.
MOST_BLOCKS = MAX_SEED // BLOCK
# Questions and phrases of a scene at most.
QUESTIONS, PHRASES = 20, 4
# A fact turned round or denied has another answer: that teaches which word is bound to what.
_WAYS = 4
# Names of what a patch shows: 0 is the place.
COLOR_NUMBERS = {name: number for number, name in enumerate(COLORS, start=1)}
KIND_NUMBERS = {name: number for number, name in enumerate(KINDS, start=1)}
_EASY = Recipe(bodies=(3, 4), kinds=("box", "sphere", "cylinder", "cone"))


@dataclass(frozen=True, slots=True)
class Text:
    """A text that a scene is trained on.

    Attributes:
        words: Numbers of its words, prompt and answer.
        answer: Where the answer begins; the length of the text where none is to be said.
        bodies: Id of the body that each word ends the name of, in what is told that it belongs to
            the name of; 0 for all other words.
        body: Id of the body that the text as a whole means, 0 for none.
        family: Of a question, empty for all other texts.
        scored: Whether the answer is right or wrong, as no length is to the last digit.
    """

    words: tuple[int, ...]
    answer: int
    bodies: tuple[int, ...]
    body: int = 0
    family: str = ""
    scored: bool = False


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
        middles: `(bodies + 1, 3)` where each body is by id, first camera's frame; NaN for id 0.
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
    middles: NDArray[np.float32]
    questions: tuple[Text, ...]
    phrases: tuple[Text, ...]
    description: Text
    caption: tuple[int, ...]

    @property
    def views(self) -> int:
        """How many pictures it has."""
        return len(self.images)


def check_stages(stages: Sequence[Stage]) -> None:
    """See that the world knows what stages name, before hours are spent on those in front.

    Raises:
        BenchError: It knows no such family of question or kind of phrase.
    """
    for number, stage in enumerate(stages, start=1):
        for key, named, known in (
            ("families", stage.families, FAMILIES), ("finds", stage.finds, QUERY_KINDS),
        ):  # fmt: skip
            unknown = next((name for name in named if name not in known), None)
            if unknown is not None:
                raise BenchError(
                    f"training.stages, {key} of number {number}", expected="known ones",
                    got=f"'{unknown}'", fix=nearest(unknown, known),
                )  # fmt: skip


def make_block(number: int, stage: Stage, split: str, words: Words) -> list[Example]:
    """Render the scenes of a block, which have as many views, and ask about all of these.

    Args:
        number: Scenes `BLOCK * number` and following, of places in turn.
        stage: How large, how many views in turn, how many easy scenes.
        split: `train` or `validation`; never `test`.
        words: Encodes texts.

    Raises:
        ValueError: The split is the one that models are scored on.
    """
    if split not in ("train", "validation"):
        raise ValueError(f"expected scenes to train on, got the split {split!r}")
    count = stage.view_counts[number % len(stage.view_counts)]
    seeds = range(number * BLOCK, (number + 1) * BLOCK)
    scenes = [_scene(seed, stage, count, split) for seed in seeds]
    sights = look(scenes, count)
    taught = split == "train"
    families = stage.families or FAMILIES
    # An answer that is the usual one of its wording would be learnt in place of looking.
    asked = ask(
        scenes, sights, QUESTIONS, families,
        gates="kind" if taught else "all", ways=_WAYS if taught else 1,
    )  # fmt: skip
    views = render(
        [scene.shot(view) for scene in scenes for view in range(count)], stage.side, stage.side
    )
    if stage.agreements:
        shown = (_shown(scene, views, count, at) for at, scene in enumerate(scenes))
        asked = [
            (*mine, *_agreements(each, stage.agreements))
            for mine, each in zip(asked, shown, strict=True)
        ]
    if taught:
        asked = [tuple(_said_otherwise(asked[i], stage.reworded, seeds[i])) for i in range(BLOCK)]
    told = captions(scenes, sights, seed=number)
    examples = []
    for index, (scene, sight) in enumerate(zip(scenes, sights, strict=True)):
        mine = slice(index * count, (index + 1) * count)
        first_from_world = invert_pose(views.world_from_camera[mine][0])
        still = scene.shot(0)[0]
        middles = transform(np.array([b.center_m for b in still.bodies]), first_from_world)
        phrases = [
            _phrase(query.text, query.body, words)
            for query in queries(scene, sight, PHRASES)
            if not stage.finds or query.kind in stage.finds
        ]
        text = describe(scene, sight, seed=number, from_left=True).text
        examples.append(
            Example(
                **_pictures(views, mine, first_from_world),
                colors=np.array([0, *(COLOR_NUMBERS[b.color] for b in still.bodies)]),
                kinds=np.array([0, *(KIND_NUMBERS[b.kind] for b in still.bodies)]),
                middles=np.concatenate([np.full((1, 3), np.nan), middles]).astype(np.float32),
                questions=_short([_question(q, words) for q in asked[index]], stage),
                phrases=tuple(phrases),
                description=_description(text, still.bodies, words),
                caption=tuple(words.encode(told[index] or text)),
            )
        )
    return examples


def _short(texts: list[Text], stage: Stage) -> tuple[Text, ...]:
    return tuple(text for text in texts if len(text.words) <= stage.longest)


def training_texts(blocks: int) -> Iterator[list[str]]:
    """Every text that is told or asked of the first scenes of the training split, two views each.

    Args:
        blocks: How many of `BLOCK` scenes; the texts of each are one list.
    """
    stage = Stage(steps=1, side=8, scenes=1)
    for start in range(0, blocks * BLOCK, BLOCK):
        made = [_scene(seed, stage, 2, "train") for seed in range(start, start + BLOCK)]
        sights = look(made, 2)
        texts: list[str] = []
        for scene, sight, asked in zip(made, sights, ask(made, sights, 2 * QUESTIONS), strict=True):
            for question in asked:
                texts += (question.text, *question.choices, str(question.answer))
            texts += (query.text for query in queries(scene, sight, 2 * PHRASES))
            texts.append(describe(scene, sight, seed=start).text)
        yield [*texts, *(told for told in captions(made, sights, seed=start) if told)]


def agreement_texts() -> tuple[str, ...]:
    """Every wording of what `Stage.agreements` asks, without names."""
    return agreement_wordings()


def _scene(seed: int, stage: Stage, views: int, split: str) -> Scene:
    place = PLACES[seed % len(PLACES)]
    # Another stream than the scene's own.
    draw = np.random.default_rng([seed, 5]).random()
    if draw < stage.easy:
        return make_scene(seed, split, "room", recipe=_EASY)
    moving = views > 1 and draw > 0.8
    return make_scene(seed, split, place, frames=views if moving else 1)


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


def _shown(scene: Scene, views: Views, count: int, at: int) -> Shown:
    """A scene of a block, shown by the pictures that the block has of it."""
    mine = slice(at * count, (at + 1) * count)
    own = Views(**{part.name: getattr(views, part.name)[mine] for part in fields(Views)})
    height, width = own.depth_m.shape[1:]
    return Shown(scene, Frame(count, height, width), lambda *_: own)


def _agreements(shown: Shown, most: int) -> Iterator[Question]:
    """What the consistency of words and geometry asks, as questions with places of their names."""
    still = shown.scene.shot(0)[0]
    for asked in agreement_questions(shown, most):
        starts = [(body, asked.text.index(still.body(body).name)) for body in asked.bodies]
        yield Question(
            family="agreement",
            kind=asked.relation,
            text=asked.text,
            answer_type=asked.answer_type,
            choices=(),
            choice_bodies=(),
            answer=asked.answer,
            unit="" if asked.answer_type == "yes_no" else "m",
            view=0,
            bodies=asked.bodies,
            where=tuple(
                Mention(body, start, start + len(still.body(body).name))
                for body, start in sorted(starts, key=lambda each: each[1])
            ),
            template=asked.relation,
            held_out=False,
        )


def _said_otherwise(asked: Sequence[Question], share: float, seed: int) -> Iterator[Question]:
    # Another stream than the scene's own, and than what it is drawn from.
    rng = np.random.default_rng([seed, 6])
    for question in asked:
        if rng.random() >= share:
            yield question
            continue
        text, where = reword(question.text, question.where, rng)
        yield replace(question, text=text, where=where)


def _question(question: Question, words: Words) -> Text:
    numbers, spans = words.encode_with_places(question.text)
    prompt, bodies = [words.ask, *numbers], [0] * (len(numbers) + 1)
    for mention in question.where:
        # Only at the end of a name is it known what it means.
        within = [
            index
            for index, (start, end) in enumerate(spans, start=1)
            if start >= mention.start and end <= mention.end
        ]
        if within:
            bodies[within[-1]] = mention.body
    for option, body in zip(question.choices, question.choice_bodies, strict=True):
        spelled = words.encode(option)
        prompt += [words.option, *spelled]
        bodies += [0] * len(spelled) + [body]
    answer = _number(question.answer) if isinstance(question.answer, float) else question.answer
    text = _finished(prompt, words.encode(str(answer)), bodies, words)
    return replace(text, family=question.family, scored=not question.unit)


def _number(value: float) -> str:
    """Whole numbers as they are, lengths to a centimetre and a few digits at most."""
    return f"{value:.0f}" if value == int(value) or value >= 100 else f"{value:.2f}"


def _phrase(text: str, body: int, words: Words) -> Text:
    """A phrase, and the mark behind it, which is to know where its thing is."""
    numbers = (words.scene, *words.encode(text), words.answer)
    return Text(numbers, len(numbers), (*[0] * (len(numbers) - 1), body), body)


def _description(text: str, bodies: Sequence[Body], words: Words) -> Text:
    """A description, in which all words of a name point at what it means, its article among them.

    Who reads knows what a name means at its end; who tells has to choose before it begins.
    """
    numbers, spans = words.encode_with_places(text)
    meant = [0] * len(numbers)
    for body in bodies:
        nouns = "|".join((body.noun, *SYNONYMS.get(body.noun, ())))
        for found in re.finditer(rf"\b(an?|the) {body.color} ({nouns})\b", text, re.IGNORECASE):
            for index, (start, end) in enumerate(spans):
                if found.start() < end and start < found.end():
                    meant[index] = body.id
    # In front of what is told: the mark of the scene, and that of the answer.
    return _finished([words.scene], numbers, [0, 0, *meant], words)


def _finished(prompt: list[int], answer: list[int], bodies: list[int], words: Words) -> Text:
    numbers = [*prompt, words.answer, *answer, words.end]
    padded = (*bodies, *[0] * (len(numbers) - len(bodies)))
    return Text(tuple(numbers), len(prompt) + 1, padded)
