"""Sample, inputs, target and prediction: what a model sees, what is true, what it answered.

Conventions: metres; depth is z, `(H, W)` float32, invalid = NaN; images `(H, W, 3)` uint8 RGB;
OpenCV camera (x right, y down, z forward), pixel centres at +0.5; poses `world_from_camera` 4x4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from g2vlm_bench.geometry.cloud_regions import ObservedGrid, Prism, Scan

# What of a sample may be another one's.
Swapped = Literal["", "scene", "question"]
AnswerType = Literal["choice", "yes_no", "number", "text", "points", "box", "camera_change"]
IMAGE_MARK = "<image>"


class Want(StrEnum):
    """Something a model can be asked to predict."""

    DEPTH = "depth"
    POINTS = "points"
    POINT_MAPS = "point_maps"
    POSES = "poses"
    INTRINSICS = "intrinsics"
    ANSWER = "answer"
    CHOICE_LOGLIKELIHOODS = "choice_loglikelihoods"
    # The same behind `Inputs.contexts`; a model that knows of none is not asked.
    CONTEXT_LOGLIKELIHOODS = "context_loglikelihoods"
    MASKS = "masks"
    LOCATION = "location"
    EMBEDDING = "embedding"

    @property
    def field(self) -> str:
        """Where a prediction holds it."""
        return _FIELDS.get(self, self.value)


_FIELDS = {
    Want.POSES: "world_from_camera",
    Want.CONTEXT_LOGLIKELIHOODS: "choice_loglikelihoods",
}
LANGUAGE = frozenset({Want.ANSWER, Want.CHOICE_LOGLIKELIHOODS, Want.CONTEXT_LOGLIKELIHOODS})


class Ambiguity(StrEnum):
    """Up to what a predicted depth, point cloud or point map is known.

    A prediction may be weakened, never strengthened: metric depth may be scored up to scale, but
    affine depth offered to a metric protocol is refused.
    """

    METRIC = "metric"
    SCALE = "scale"
    AFFINE = "affine"
    AFFINE_DISPARITY = "affine_disparity"

    def can_serve(self, required: Ambiguity) -> bool:
        """Whether a prediction of this ambiguity may be scored where `required` is allowed.

        >>> Ambiguity.METRIC.can_serve(Ambiguity.SCALE)
        True
        >>> Ambiguity.AFFINE.can_serve(Ambiguity.METRIC)
        False
        """
        return required in _WEAKER[self]


# Affine depth and affine disparity do not contain one another: 1 / (a d + b) is not affine in d.
_WEAKER: dict[Ambiguity, frozenset[Ambiguity]] = {
    Ambiguity.METRIC: frozenset(Ambiguity),
    Ambiguity.SCALE: frozenset(
        {Ambiguity.SCALE, Ambiguity.AFFINE, Ambiguity.AFFINE_DISPARITY},
    ),
    Ambiguity.AFFINE: frozenset({Ambiguity.AFFINE}),
    Ambiguity.AFFINE_DISPARITY: frozenset({Ambiguity.AFFINE_DISPARITY}),
}


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Turn:
    """What was said before in the same talk.

    Attributes:
        prompt: What the model was asked, exactly as it saw it.
        images: What it was shown with that, each `(H, W, 3)` uint8 RGB.
        answer: What it said itself; None where each question is asked without the model's answers.
    """

    prompt: str
    images: tuple[NDArray[np.uint8], ...] = ()
    answer: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """How answers are to be drawn, where the likeliest is not what a task wants.

    Attributes:
        temperature: Above 0; the logits are divided by it.
        top_p: The likeliest tokens that make up this share are drawn from; None is the model's own.
        top_k: So many of the likeliest tokens are drawn from; None is the model's own.
        answers: How many, each drawn independently.
    """

    temperature: float
    top_p: float | None = None
    top_k: int | None = None
    answers: int = 1


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Inputs:
    """What an adapter is handed for one sample: everything a model may see, nothing that is true.

    Attributes:
        id: The sample's id, unique within its task.
        images: Views, each `(H, W, 3)` uint8 RGB.
        intrinsics: A 3x3 pinhole matrix per view in pixels, where the task gives the camera.
        world_from_camera: A 4x4 pose per view, where the task gives the poses.
        depth_prior_m: A sparse or noisy depth map per view in metres (NaN = unknown), where given.
        points: `(N, 3)` points in metres in the first camera's frame, where the task gives a cloud.
        question: The bare question.
        prompt: The question exactly as a language model is to see it, options included. Where it
            holds `IMAGE_MARK`s, one an image, the images stand there in their order; else they all
            stand before it.
        choices: The options of a choice question, in the order shown.
        answer_type: The kind of answer the question wants.
        continuations: The texts whose log-likelihoods are asked for, one an option and verbatim,
            such as the letters that the prompt shows; the options themselves where it is empty.
        contexts: What stands before each continuation in place of the prompt, one a continuation,
            where they do not share it; `CONTEXT_LOGLIKELIHOODS` is wanted then.
        max_new_tokens: How much a generated answer may hold, where the benchmark says so.
        stop: Texts at which a generated answer ends; it holds none of them.
        drawing: How answers are to be drawn; a model that draws none gives its one answer.
        earlier: What was said before in the same talk, oldest first.
        system: What a chat model is told before it is asked anything, where the task says so.
        fields: What else the data say of the question, such as its `category`; never its answer.
    """

    id: str
    images: tuple[NDArray[np.uint8], ...] = ()
    intrinsics: tuple[NDArray[np.float64], ...] | None = None
    world_from_camera: tuple[NDArray[np.float64], ...] | None = None
    depth_prior_m: tuple[NDArray[np.float32], ...] | None = None
    points: NDArray[np.float64] | None = None
    question: str | None = None
    prompt: str | None = None
    choices: tuple[str, ...] = ()
    answer_type: AnswerType | None = None
    continuations: tuple[str, ...] = ()
    contexts: tuple[str, ...] = ()
    max_new_tokens: int | None = None
    stop: tuple[str, ...] = ()
    drawing: Drawing | None = None
    earlier: tuple[Turn, ...] = ()
    system: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ObjectTruth:
    """One object of a scene, as far as a question is about it.

    Attributes:
        name: What the question calls it.
        masks: Per view, `(H, W)` bool, the pixels that show it.
        center: `(3,)` middle of its bounding box in metres, in the first camera's frame.
    """

    name: str
    masks: tuple[NDArray[np.bool_], ...]
    center: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Target:
    """What is true of one sample. An adapter never sees it.

    Attributes:
        depth_m: A depth map per view, `(H, W)` float32 metres, NaN = no truth there.
        points_world: `(N, 3)` float64 metres in the world frame.
        normals_world: `(N, 3)` unit normals of `points_world`, where known.
        intrinsics: A 3x3 pinhole matrix per view in pixels.
        world_from_camera: A 4x4 pose per view.
        segments: A map per view, `(H, W)` int32: what each pixel shows, 0 = no segment.
        observed: The part of the world that the scanner has observed, where that is known.
        crop: The part of the world that counts, where the benchmark says so.
        scans: The laser scans that `points_world` is made of, with where they were taken from.
        tolerance_m: How near counts as right in this scene, where the benchmark says so.
        answer: The right answer: an option's text, "yes"/"no", a number in the question's unit,
            or free text. For a camera's change its signed moves and turns, such as
            "move_right:0.3,rotate_left:12". For points the region's name or "", for a box "".
        accepted: Further free-text answers that count as right.
        choices: The options, as in `Inputs.choices`, so that scoring opens no image.
        answer_type: As in `Inputs.answer_type`.
        question_type: The benchmark's own name of the kind of question, as its data spell it; some
            published scorers read an answer by it.
        region: `(H, W)` bool, the pixels of the first image in which a point is right.
        polygon: `(K, 2)` float64, the same region as a polygon where the data give one: corners
            (x, y) in pixels.
        box: `(4,)` float64, the right box in the first image: left, top, right, bottom in pixels.
        image_size: Height and width of the first image, for points and boxes given as shares of it.
        unit: Of a number answer, such as "m"; an answer in another unit of its kind is converted.
        objects: What the question is about, in the order in which it names them.
        relation: What it asks of them, where geometry can answer it too, such as `nearer`.
        up: `(3,)` unit vector against gravity in the first camera's frame, where known.
        facts: What is true of the scene, each as subject, relation and object.
        undecided: What may be said of it without being right or wrong, in the same form.
        pair: What belongs together in a retrieval: equal for a text, picture or cloud of one scene.
        role: In a retrieval, whether the sample looks for its pair or is there to be found.
        document: The benchmark's own row, where another harness's code scores it.
    """

    depth_m: tuple[NDArray[np.float32], ...] | None = None
    points_world: NDArray[np.float64] | None = None
    normals_world: NDArray[np.float64] | None = None
    intrinsics: tuple[NDArray[np.float64], ...] | None = None
    world_from_camera: tuple[NDArray[np.float64], ...] | None = None
    segments: tuple[NDArray[np.int32], ...] | None = None
    observed: ObservedGrid | None = None
    crop: Prism | None = None
    scans: tuple[Scan, ...] = ()
    tolerance_m: float | None = None
    answer: str | float | None = None
    accepted: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    answer_type: AnswerType | None = None
    question_type: str = ""
    region: NDArray[np.bool_] | None = None
    polygon: NDArray[np.float64] | None = None
    box: NDArray[np.float64] | None = None
    image_size: tuple[int, int] | None = None
    unit: str = ""
    objects: tuple[ObjectTruth, ...] = ()
    relation: str = ""
    up: NDArray[np.float64] | None = None
    facts: frozenset[tuple[str, ...]] = frozenset()
    undecided: frozenset[tuple[str, ...]] = frozenset()
    pair: str = ""
    role: Literal["query", "item"] = "query"
    document: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Prediction:
    """What a model answered for one sample; stored on its own, so scoring never needs the model.

    Attributes:
        depth: A map per view, `(H, W)` float32. Metres where `ambiguity` is METRIC; otherwise depth
            up to scale or affine; **disparity** (larger = nearer) where it is AFFINE_DISPARITY.
        points: `(N, 3)` points in the frame that the task's protocol names (first camera or world).
        normals: `(N, 3)` unit normals of `points`.
        point_maps: A map per view, `(H, W, 3)` float32: the point that each pixel sees, in that
            view's own camera frame. Metres where `ambiguity` is METRIC; otherwise up to scale, or
            where it is AFFINE up to scale and a shift in x, y and z.
        ambiguity: Of `depth`, `points` and `point_maps`; the adapter's declared one where it is
            None.
        intrinsics: A 3x3 pinhole matrix per view in pixels.
        world_from_camera: A 4x4 pose per view.
        confidence: A map per view, `(H, W)` float32, larger = surer.
        answer: The generated text, untouched.
        drawn: All answers where several were to be drawn, `answer` the first of them.
        choice_loglikelihoods: `(C,)` log-likelihood of each option, in the order of `choices`.
        choice_is_greedy: `(C,)` bool, whether greedy decoding would have said the option; optional.
        masks: Per view, `(H, W)` bool, the pixels of the object that the prompt asks for.
        location: `(3,)` the middle of that object in the first camera's frame; `ambiguity` applies.
        embedding: `(D,)` of all that the inputs hold; compared by the cosine.
    """

    depth: tuple[NDArray[np.float32], ...] | None = None
    points: NDArray[np.float64] | None = None
    normals: NDArray[np.float64] | None = None
    point_maps: tuple[NDArray[np.float32], ...] | None = None
    ambiguity: Ambiguity | None = None
    intrinsics: tuple[NDArray[np.float64], ...] | None = None
    world_from_camera: tuple[NDArray[np.float64], ...] | None = None
    confidence: tuple[NDArray[np.float32], ...] | None = None
    answer: str | None = None
    drawn: tuple[str, ...] = ()
    choice_loglikelihoods: NDArray[np.float64] | None = None
    choice_is_greedy: NDArray[np.bool_] | None = None
    masks: tuple[NDArray[np.bool_], ...] | None = None
    location: NDArray[np.float64] | None = None
    embedding: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Sample:
    """One item of a task: a light record that opens its files only when asked.

    The predict stage calls `load_inputs` only, the score stage `load_target` only.

    Attributes:
        id: Unique within its dataset.
        cluster: The scene it shows; samples of one cluster are resampled together.
        load_inputs: Opens images and text. May raise `BenchError`; then this sample alone fails.
        load_target: Opens the truth. May raise `BenchError`; then this sample is unscored.
        tags: Categories for per-category tables, such as `{"family": "direction"}`.
        groups: What counts as one question only together, such as `{"circular": "q12"}` for the
            rotations of one question's options, `{"flip": "q12a"}` for an image and its mirror.
        after: The sample that asked the turn before, where samples are turns of one talk; it stands
            earlier in the data, and what the model answered to it is in `Inputs.earlier`.
    """

    id: str
    cluster: str
    load_inputs: Callable[[], Inputs]
    load_target: Callable[[], Target]
    tags: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)
    after: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleScore:
    """What a family says of one prediction.

    Attributes:
        values: Metric name -> value, for every metric of the task that could be scored.
        details: What explains the numbers: fitted alignment, parse status, pixel counts.
    """

    values: Mapping[str, float]
    details: Mapping[str, Any] = field(default_factory=dict)
