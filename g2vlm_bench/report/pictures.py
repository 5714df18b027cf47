"""Pictures of samples, and how to read them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from g2vlm_bench.metric import MetricSpec
from g2vlm_bench.report import answers, drawing, predicted
from g2vlm_bench.report.choosing import Choice, Entry, choose, entries, shown_runs
from g2vlm_bench.report.contents import TaskRuns
from g2vlm_bench.sample import Inputs, Sample, Target

VIEWS = 4
Kind = Literal[
    "answers", "agreement", "description", "retrieval", "masks", "cameras", "depth", "cloud", ""
]


@dataclass(frozen=True, slots=True)
class Panel:
    """One sample as it is shown.

    Attributes:
        kind: What is shown of it; empty where it could not be opened, or has nothing to show.
        phrase: What was asked of the pictures, where no answer in words belongs to it.
    """

    choice: Choice
    kind: Kind = ""
    pictures: tuple[drawing.Picture, ...] = ()
    phrase: str = ""
    question: answers.Question | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Gallery:
    """The pictures of one task, and how to read them."""

    how_to_read: str
    panels: tuple[Panel, ...]
    left_out: str = ""


def gallery(task: TaskRuns, samples: Sequence[Sample], budget: int) -> Gallery | None:
    """Picture some samples of a task.

    Args:
        task: The task and its runs.
        samples: The task's samples; only those shown are opened.
        budget: Bytes that the task's images may take on the page; at least one sample is shown.
    """
    spec = task.specs.get(task.headline)
    is_answered = task.first.task.family in ("spatial_qa", "consistency")
    choices = choose(task, 6 if is_answered else 3)
    if spec is None or not choices:
        return None
    by_id = {sample.id: sample for sample in samples}
    of = entries(shown_runs(task), {choice.sample_id for choice in choices})
    panels: list[Panel] = []
    used = 0
    for choice in choices:
        panel = _panel(task, choice, by_id.get(choice.sample_id), of(choice.sample_id), spec)
        used += sum(len(picture.uri) for picture in panel.pictures)
        if panels and used > budget:
            break
        panels.append(panel)
    return Gallery(_how_to_read(panels, task), tuple(panels), _left_out(task, choices, panels))


def _left_out(task: TaskRuns, choices: Sequence[Choice], panels: Sequence[Panel]) -> str:
    samples = len(choices) - len(panels)
    models = sum(not r.adapter.reads_truth for _, r in task.runs) - len(shown_runs(task))
    parts = [f"{samples} more samples"] if samples else []
    parts += [f"{models} lower-ranked models"] if models > 0 else []
    return f"Left out to keep the page small: {' and '.join(parts)}." if parts else ""


def _how_to_read(panels: Sequence[Panel], task: TaskRuns) -> str:
    in_world = predicted.in_world(task.headline.partition("@")[2])
    seen = (
        "x to the right, z up the page; right: x to the right, y up."
        if in_world
        else "from above, x to the right, z up the page; right: as the first camera looks, x to "
        "the right, y down."
    )
    texts: dict[Kind, str] = {
        "answers": "The true option is marked; below it what each model said.",
        "agreement": "What each model said, and what its own depth answers to the same question.",
        "description": "A text that is true of the scene; below it what each model wrote.",
        "retrieval": "What is looked for, and where each model ranks what belongs to it.",
        "masks": "White outline: the object that the phrase means; magenta: the predicted mask.",
        "cameras": (
            "Blue: true cameras; orange: predicted ones, a grey line joining each to its true one. "
            "A pyramid opens the way its camera looks, the dot is the first view, the line follows "
            f"the order. Left: {seen}"
        ),
        "cloud": (
            "Blue: true points; orange: predicted points, as the headline's protocol aligns them. "
            f"Left: {seen}"
        ),
        "depth": (
            "Depth: yellow is near, violet is far, on the truth's own scale. Each model's depth is "
            "shown aligned as the headline's protocol scores it; beside it |d - g| / g, black is 0 "
            f"and pale yellow is {predicted.LARGEST_ERROR:g} or more. Grey: no truth, or no number."
        ),
    }
    return " ".join(texts[kind] for kind in dict.fromkeys(p.kind for p in panels) if kind)


def _panel(
    task: TaskRuns,
    choice: Choice,
    sample: Sample | None,
    models: Sequence[Entry],
    spec: MetricSpec,
) -> Panel:
    if sample is None:
        return Panel(choice, problem="This sample is no longer in the data.")
    try:
        inputs, target = sample.load_inputs(), sample.load_target()
    except Exception as error:  # A reader may be a user's own, and no picture is worth a report.
        kind = type(error).__name__
        return Panel(choice, problem=f"This sample could not be opened ({kind}).")
    kind = _kind(task.first.task.family, target)
    pictures = [*_input_pictures(inputs)]
    phrase, question = "", None
    match kind:
        case "answers" | "agreement" | "description" | "retrieval":
            question = answers.question(inputs, target, models, spec, kind)
        case "masks":
            phrase = inputs.question or ""
            pictures = [*predicted.mask_pictures(inputs, target, models, spec)]
        case "cameras":
            pictures += predicted.camera_pictures(target, models, spec)
        case "depth":
            from_points = task.first.task.family == "point_map"
            pictures += predicted.depth_pictures(target, models, spec, from_points)
        case "cloud":
            pictures += predicted.cloud_pictures(target, models, spec)
    return Panel(choice, kind, tuple(pictures), phrase, question)


def _kind(family: str, target: Target) -> Kind:
    """What a sample is shown by: what its task judges."""
    kinds: tuple[tuple[Kind, object], ...] = (
        ("retrieval", target.pair),
        ("description", target.facts),
        ("agreement", target.relation),
        ("answers", target.answer is not None),
        ("masks", target.objects),
        ("cameras", family == "camera_pose" and target.world_from_camera),
        ("depth", family != "chamfer" and target.depth_m),
        ("cloud", target.points_world is not None),
    )
    return next((kind for kind, holds in kinds if holds), "")


def _input_pictures(inputs: Inputs) -> Iterator[drawing.Picture]:
    total = len(inputs.images)
    for index, image in enumerate(inputs.images[:VIEWS]):
        which = f", view {index + 1} of {total}" if total > 1 else ""
        yield drawing.jpeg(
            drawing.resized(image), f"Input image of {inputs.id}{which}", f"input{which}"
        )
