"""Sizes of the reference model, and how each is trained: data, read from `configs/<name>.yaml`."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from g2vlm_bench.errors import BenchError, nearest
from g2vlm_bench.yaml_files import parse_yaml

_FOLDER = Path(__file__).parent / "configs"
_SUFFIXES = (".yaml", ".yml", ".json")
_Count = Annotated[int, msgspec.Meta(ge=1)]
_Whole = Annotated[int, msgspec.Meta(ge=0)]
_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
# JSON, in which a model's configuration is kept, has no infinity.
_LARGEST = 1e6
_Weight = Annotated[float, msgspec.Meta(ge=0, le=_LARGEST)]
# A still scene of the world has no more cameras.
_Views = Annotated[int, msgspec.Meta(ge=1, le=8)]


class ModelConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sizes of the model.

    Attributes:
        width: C, of every token.
        heads: Attention heads; their width is C / heads.
        visual_layers: Blocks of the visual encoder, behind its convolutions.
        language_layers: Blocks of the language encoder.
        trunk_layers: Layers of the trunk; odd ones look across views, even ones within one.
        decoder_layers: Layers of the unified decoder, run once more for each refinement.
        hidden: Width of feed-forward networks, in C.
        patch: P, edge of a patch in pixels, a power of two.
        merge: Edge of the square of patches that one semantic token stands for.
        cloud_tokens: Tokens that a point cloud is read into.
        embedding: D, width of the contrastive embeddings.
        vocabulary: Words of the tokenizer.
        longest_text: Tokens of a text at most.
        refinements: K where none is given at run time.
        depth_aware: Whether attention between patches is biased by their distance in space.
        experts: Whether geometry has weights of its own in the trunk (mixture of transformers).
        pointing: Whether words point at what they mean half-way up the trunk.
    """

    width: _Count
    heads: _Count
    visual_layers: _Whole
    language_layers: _Count
    trunk_layers: Annotated[int, msgspec.Meta(ge=2)]
    decoder_layers: _Count
    vocabulary: _Count
    hidden: Annotated[float, msgspec.Meta(gt=0, le=100)] = 3.0
    patch: Literal[8, 16] = 8
    merge: Literal[1, 2, 4] = 2
    cloud_tokens: _Count = 32
    embedding: _Count = 128
    longest_text: _Count = 128
    refinements: _Whole = 1
    depth_aware: bool = True
    experts: bool = True
    pointing: bool = True

    def __post_init__(self) -> None:
        """Refuse heads that do not divide the width evenly."""
        if self.width % (4 * self.heads):
            raise ValueError(
                f"expected a width that 4 x heads divides, got {self.width} and {self.heads}"
            )


class LossWeights(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much each loss counts; 0 leaves it out.

    Attributes:
        points: Robust scale-invariant error of points (G2VLM, L_points).
        depth: Robust scale-invariant log depth.
        early: Metric log depth half-way up the trunk, which words and attention are told places by.
        scale: Metric scale.
        normals: Angle between normals (G2VLM, L_normal).
        rotation: Geodesic angle of relative rotations (G2VLM, L_rot).
        translation: Huber loss of relative translations (G2VLM, L_trans).
        consistency: Points of one view seen from another agree with its depth.
        field_of_view: Error of the predicted focal length.
        contrastive: Symmetric InfoNCE of image, geometry and text.
        language: Cross-entropy of answers.
        places: Where each noun phrase is, in space.
        scene: Where each patch is, in the first camera's frame: what ties the views together.
        pointing: Which patches show what a noun phrase means.
        masks: Pixels of the thing that a phrase means.
        patches: Which colour and which kind each semantic token shows.
        masked: Colours of hidden patches, for pictures without truth.
    """

    points: _Weight = 1.0
    depth: _Weight = 0.5
    early: _Weight = 0.5
    scale: _Weight = 0.1
    normals: _Weight = 0.2
    rotation: _Weight = 0.2
    translation: _Weight = 1.0
    consistency: _Weight = 0.1
    field_of_view: _Weight = 0.1
    contrastive: _Weight = 0.1
    language: _Weight = 1.0
    places: _Weight = 1.0
    scene: _Weight = 1.0
    pointing: _Weight = 1.0
    masks: _Weight = 0.5
    patches: _Weight = 0.5
    masked: _Weight = 0.0


class Stage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One stretch of the curriculum.

    Attributes:
        steps: Optimiser steps.
        side: Edge of the square pictures, pixels.
        scenes: Scenes of a batch.
        views: How many pictures a scene has: one of these numbers, which take turns, so that one
            that stands twice is twice as frequent. A single number stands for all from 1 to it. All
            scenes of a batch have as many, and their texts speak of these pictures.
        pictures: Of a batch at most, where given: scenes of many pictures are then fewer, so that a
            step costs about the same (Wang et al. 2025, VGGT, section 3.4).
        questions: Texts of a scene, phrases among them.
        phrases: How many of these are phrases whose thing is to be found.
        easy: Share of scenes that are rooms with few plain bodies.
        families: Families of question, empty for all.
        finds: Kinds of phrase, empty for all.
        longest: Questions have so many words at most, answers and options included.
        lengths: Numbers of words, rising. One is drawn for each batch, whose questions have so many
            at most and more than the number before, where a scene has such, and are the fewer the
            longer they are: else most words of a batch are padding. Empty: all lengths together.
        even: Whether scenes and questions are drawn the more often the rarer their families are: by
            one over the root of how many questions of a family there are. Else as they come, which
            is one of a route for sixty of depth.
        agreements: Questions of a scene at most that geometry answers, too, as the consistency of
            words and geometry is asked for (`world/agreement.py`), beside those of the families.
        reworded: Share of the questions of training that are said otherwise than the world says
            them (`rewording.py`).
        stretched: Share of the texts whose words stand farther apart than they do, so that no
            place in a text means anything by itself (Ruoss et al. 2023, "Randomized Positional
            Encodings Boost Length Generalization of Transformers").
        describes: Share of the batches in which a description is told, in place of questions.
        refinements: K is 0 to this many, chosen batch by batch.
        poses: How many times as much the losses of poses count as elsewhere.
    """

    steps: _Count
    side: _Count
    scenes: _Count
    views: _Views | Annotated[tuple[_Views, ...], msgspec.Meta(min_length=1)] = 1
    pictures: _Count | None = None
    questions: _Count = 4
    phrases: _Whole = 1
    easy: _Share = 0.0
    families: tuple[str, ...] = ()
    finds: tuple[str, ...] = ()
    longest: _Count = 128
    lengths: tuple[_Count, ...] = ()
    even: bool = False
    agreements: _Whole = 0
    reworded: _Share = 0.0
    stretched: _Share = 0.0
    describes: _Share = 0.1
    refinements: _Whole = 1
    poses: _Weight = 1.0

    def __post_init__(self) -> None:
        """Refuse lengths of which one has no questions of its own."""
        if any(after <= before for before, after in pairwise(self.lengths)):
            raise ValueError(f"expected lengths that rise, got {list(self.lengths)}")

    @property
    def view_counts(self) -> tuple[int, ...]:
        """How many pictures a scene has, in turns."""
        return tuple(range(1, self.views + 1)) if isinstance(self.views, int) else self.views

    def scenes_of(self, views: int) -> int:
        """Scenes of a batch whose scenes have so many pictures."""
        if self.pictures is None:
            return self.scenes
        return min(self.scenes, max(self.pictures // views, 1))


class TrainingConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the model is trained.

    Attributes:
        stages: The curriculum, in order.
        learning_rate: Of AdamW at its highest.
        warm_up: Steps until then.
        falls: Share of the later steps, the last ones, in which it falls to a hundredth.
        averaging: What the average of the weights keeps of itself at a step; the average is what is
            measured and shipped.
        weight_decay: Of matrices.
        clip: Largest norm of the gradient.
        pool: Scenes rendered ahead and drawn from; the oldest are replaced.
        reuse: How often a scene is drawn on average before it is replaced.
        losses: Their weights.
        given: Chance that intrinsics are given.
        prior: Chance that a sparse depth map is given, and that a sparse point cloud is.
        hidden: Share of the patches that are hidden where `losses.masked` counts.
    """

    stages: Annotated[tuple[Stage, ...], msgspec.Meta(min_length=1)]
    learning_rate: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1e-3
    warm_up: _Count = 200
    falls: _Share = 1.0
    averaging: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.998
    weight_decay: _Weight = 0.05
    clip: Annotated[float, msgspec.Meta(gt=0, le=_LARGEST)] = 1.0
    pool: _Count = 512
    reuse: _Count = 4
    losses: LossWeights = LossWeights()
    given: _Share = 0.5
    prior: _Share = 0.15
    hidden: _Share = 0.5

    def stage_of(self, step: int) -> Stage:
        """The stage that a step belongs to; the last one for steps behind it."""
        after = 0
        for stage in self.stages:
            after += stage.steps
            if step < after:
                break
        return stage

    def losses_of(self, step: int) -> LossWeights:
        """What each loss counts at a step."""
        times = self.stage_of(step).poses
        return msgspec.structs.replace(
            self.losses,
            rotation=times * self.losses.rotation,
            translation=times * self.losses.translation,
        )


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A named model and its training."""

    model: ModelConfig
    training: TrainingConfig

    def __post_init__(self) -> None:
        """Refuse pictures that patches do not fill."""
        for stage in self.training.stages:
            if stage.side % self.model.patch:
                raise ValueError(
                    f"expected stages whose side the patch {self.model.patch} divides, "
                    f"got {stage.side}"
                )


def known_configs() -> list[str]:
    """Names of the configurations that are shipped."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def load_config(name: str) -> Config:
    """Read a shipped configuration, or a file of one's own by its path.

    Raises:
        BenchError: There is none of that name, it cannot be read, or it has a key or a value that
            fits nothing.
    """
    path = Path(name) if name.endswith(_SUFFIXES) else _FOLDER / f"{name}.yaml"
    if not path.is_file():
        raise BenchError(
            "configuration",
            expected=f"one of {', '.join(known_configs())}, or a YAML or JSON file",
            got=f"'{name}'",
            fix=nearest(name, known_configs()),
        )
    try:
        text = path.read_text(encoding="utf-8")
        # JSON by its own reader: to YAML 1.1, 1e-3 is a text.
        content = msgspec.json.decode(text) if path.suffix == ".json" else parse_yaml(text, path)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise BenchError(path, expected="a YAML or JSON file in UTF-8", got=str(error)) from None
    return config_from(content, str(path))


def config_from(content: Any, where: str) -> Config:
    """Check a configuration's keys and values.

    Raises:
        BenchError: A key or a value fits nothing.
    """
    try:
        return msgspec.convert(content, Config)
    except msgspec.ValidationError as error:
        fix = f"{_FOLDER / 'nano.yaml'} is one that fits."
        raise BenchError(f"configuration {where}: {error}", fix=fix) from None
