"""Scenes put together into batches: what the model is given, and the truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from g2vlm_bench.reference.config import Config, Stage, TrainingConfig
from g2vlm_bench.reference.decoder import transform
from g2vlm_bench.reference.encoders import pixel_rays
from g2vlm_bench.reference.examples import Example, Text
from g2vlm_bench.reference.model import Batch

# Points of a cloud.
_POINTS = 256


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
        bodies: `(B, Q, L)` id of the thing that a word speaks of, 0 = none.
        places: `(B, Q, L, 3)` where it is, NaN = none.
        masks: `(B, Q, V, H, W)` bool of what each text means as a whole.
        means: `(B, Q)` bool, whether a text means one thing.
        ids: `(B, V, H, W)` what each pixel shows, 0 = the place.
        colors: `(B, V, H, W)` number of the colour that a pixel shows, 0 = the place.
        kinds: Likewise of the kind.
        captions: `(B, L)` words.
        captions_known: `(B, L)` bool.
        clouds: `(B, S, 3)` points of the scene in the first camera's frame, NaN = padding.
        plain: `(B,)` bool, scenes that are given as pictures alone, so that what is made of these
            may be compared with their cloud.
        families: Of each question of each scene whose answer is right or wrong, else empty.
        refinements: K.
    """

    inputs: Batch
    depth: Tensor
    normals: Tensor
    first_from_camera: Tensor
    intrinsics: Tensor
    answers: Tensor
    bodies: Tensor
    places: Tensor
    masks: Tensor
    means: Tensor
    ids: Tensor
    colors: Tensor
    kinds: Tensor
    captions: Tensor
    captions_known: Tensor
    clouds: Tensor
    plain: Tensor
    families: tuple[tuple[str, ...], ...]
    refinements: int


def draw(
    examples: Sequence[Example],
    stage: Stage,
    config: Config,
    rng: np.random.Generator,
) -> Drawn:
    """Put scenes of as many views together into a batch: which texts, what else is given."""
    longest, patch, training = config.model.longest_text, config.model.patch, config.training
    views = examples[0].views
    describes = bool(rng.random() < stage.describes)
    rarity = rarities(examples) if stage.even else None
    asked = _asked(stage, rng)
    texts = [_choose_texts(example, asked, describes, rng, rarity) for example in examples]
    pictures = np.stack([example.images for example in examples])
    depth = torch.from_numpy(np.stack([example.depth_m for example in examples]))
    intrinsics = torch.from_numpy(np.stack([example.intrinsics for example in examples]))
    poses = torch.from_numpy(np.stack([e.first_from_camera for e in examples]))
    given = torch.from_numpy(rng.random(len(examples)) < training.given)
    known = torch.where(given[:, None, None, None], intrinsics, torch.nan)
    ids = [example.ids for example in examples]
    words, words_known, answers, bodies = _padded(texts, longest)
    places = stretched_places(words.shape, stage.stretched, longest, rng)
    captions, captions_known, *_ = _padded(
        [[Text(e.caption, len(e.caption), (0,) * len(e.caption))] for e in examples], longest
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
            word_places=places,
            hide=hidden_patches(len(examples), views, (stage.side // patch) ** 2, training, rng),
        ),
        depth=depth,
        normals=torch.from_numpy(np.stack([e.normals for e in examples])).float(),
        first_from_camera=poses,
        intrinsics=intrinsics,
        answers=answers,
        bodies=bodies,
        places=torch.stack(
            [torch.from_numpy(e.middles)[b] for e, b in zip(examples, bodies, strict=True)]
        ),
        masks=torch.from_numpy(
            np.stack(
                [
                    np.stack([shown == text.body for text in mine])
                    for shown, mine in zip(ids, texts, strict=True)
                ]
            )
        ),
        means=torch.tensor([[text.body > 0 for text in mine] for mine in texts]),
        ids=torch.from_numpy(np.stack(ids)),
        colors=torch.from_numpy(
            np.stack([e.colors[i] for e, i in zip(examples, ids, strict=True)])
        ),
        kinds=torch.from_numpy(np.stack([e.kinds[i] for e, i in zip(examples, ids, strict=True)])),
        captions=captions[:, 0],
        captions_known=captions_known[:, 0],
        clouds=clouds,
        plain=~prior.isfinite().flatten(1).any(1) & torch.tensor(cloud is None),
        families=tuple(
            tuple(text.family if text.scored else "" for text in mine) for mine in texts
        ),
        refinements=int(rng.integers(stage.refinements + 1)),
    )


def stretched_places(
    shape: Sequence[int], share: float, longest: int, rng: np.random.Generator
) -> Tensor | None:
    """Where words stand: for a share of the texts with gaps between them, none where it is 0.

    Args:
        shape: `(B, Q, L)`.
        share: Of the texts.
        longest: Places that the model knows.
        rng: Draws.
    """
    if share == 0:
        return None
    texts, length = tuple(shape[:-1]), shape[-1]
    often = rng.random((*texts, 1)) * (rng.random((*texts, 1)) < share)
    steps = 1 + (rng.random(shape) < often)
    places = np.minimum(steps.cumsum(-1) - 1, longest - length + np.arange(length))
    return torch.from_numpy(places)


def hidden_patches(
    scenes: int, views: int, patches: int, config: TrainingConfig, rng: np.random.Generator
) -> Tensor | None:
    """`(B, V, N)` bool of patches to hide, none where hidden patches do not count."""
    if config.losses.masked == 0:
        return None
    return torch.from_numpy(rng.random((scenes, views, patches)) < config.hidden)


def rarities(examples: Sequence[Example]) -> dict[str, float]:
    """One over the root of how many questions of each family there are, by family."""
    counts = Counter(question.family for example in examples for question in example.questions)
    return {family: count**-0.5 for family, count in counts.items()}


class _Asked(NamedTuple):
    """What is asked of each scene of a batch.

    Attributes:
        texts: So many, phrases among them.
        phrases: So many of them at most.
        shortest: Words of a question at least.
        longest: At most.
    """

    texts: int
    phrases: int
    shortest: int
    longest: int


def _asked(stage: Stage, rng: np.random.Generator) -> _Asked:
    phrases = min(stage.phrases, stage.questions)
    if not stage.lengths:
        return _Asked(stage.questions, phrases, 0, stage.longest)
    which = int(rng.integers(len(stage.lengths)))
    longest = stage.lengths[which]
    texts = max(stage.questions * stage.lengths[0] // longest, phrases + 1)
    shortest = stage.lengths[which - 1] + 1 if which else 0
    return _Asked(texts, phrases, shortest, longest)


def _choose_texts(
    example: Example,
    asked: _Asked,
    describes: bool,
    rng: np.random.Generator,
    rarity: Mapping[str, float] | None,
) -> list[Text]:
    """Questions, or the description, which is as long as five; then phrases to be found."""
    phrases = _some(example.phrases, asked.phrases, rng)
    if describes:
        # A scene without a phrase has another text in its place: all scenes have as many.
        return [*[example.description] * (1 + asked.phrases - len(phrases)), *phrases]
    fitting = [q for q in example.questions if asked.shortest <= len(q.words) <= asked.longest]
    shorter = [q for q in example.questions if len(q.words) < asked.shortest]
    questions = fitting or shorter
    weights = None if rarity is None else [rarity[question.family] for question in questions]
    # A long text where nothing can be asked would lengthen all others of its batch.
    texts = questions or example.phrases or (example.description,)
    chosen = _some(texts, asked.texts - len(phrases), rng, weights if questions else None)
    return [*chosen, *phrases]


def _some(
    texts: Sequence[Text],
    count: int,
    rng: np.random.Generator,
    weights: Sequence[float] | None = None,
) -> list[Text]:
    """So many of them, some twice where there are fewer, none where there is none."""
    if not texts:
        return []
    chances = None if weights is None else np.array(weights) / sum(weights)
    return [texts[i] for i in rng.choice(len(texts), count, len(texts) < count, chances)]


def _padded(texts: Sequence[Sequence[Text]], longest: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Words, which are known, which are answers, and of which body they speak."""
    length = min(max(len(text.words) for mine in texts for text in mine), longest)
    shape = (len(texts), len(texts[0]), length)
    words, bodies = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    known, answers = np.zeros(shape, bool), np.zeros(shape, bool)
    for row, mine in enumerate(texts):
        for column, text in enumerate(mine):
            count = min(len(text.words), length)
            words[row, column, :count] = text.words[:count]
            known[row, column, :count] = True
            answers[row, column, text.answer : count] = True
            bodies[row, column, :count] = text.bodies[:count]
    numbers = (words, known, answers, bodies)
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
    few = clouds[:, : _POINTS // 2]
    noise = np.exp(0.01 * rng.standard_normal(few.shape)).astype(np.float32)
    return few * torch.from_numpy(noise)


def _clouds(depth: Tensor, intrinsics: Tensor, poses: Tensor, rng: np.random.Generator) -> Tensor:
    """Points drawn from all pixels of a scene, as retrieval hands them out."""
    height, width = depth.shape[-2:]
    camera = pixel_rays(intrinsics, height, width) * depth[..., None]
    scene = transform(poses, camera).flatten(1, -2)
    chosen = torch.from_numpy(rng.integers(scene.shape[1], size=(len(scene), _POINTS)))
    return scene.gather(1, chosen[..., None].expand(-1, -1, 3))
