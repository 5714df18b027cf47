"""How many questions a reference model answers rightly on the validation split, by their family.

    python scripts/validation_questions.py MODEL... [--views 1 2] [--scenes 48] [--side 64]

MODEL is `nano` or a folder that `train` wrote. Scenes of all places in turn are asked what has
options, or yes and no for an answer, each answer in its turn, as on the test split. Prints a
Markdown table. For choosing what to train; the test split is for the board.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence

from g2vlm_bench.reference.checkpoint import find_reference, load_reference
from g2vlm_bench.reference.inference import Inference, Pictures
from g2vlm_bench.reference.speaker import Question, Speaker
from g2vlm_bench.world.layout import make_scene
from g2vlm_bench.world.questions import FAMILIES, ask
from g2vlm_bench.world.questions import Question as Asked
from g2vlm_bench.world.renderer import look, render
from g2vlm_bench.world.scene import PLACES

# As many as training asks; validation measures itself on the first scenes, so these are others.
_PER_SCENE = 24
_FIRST_SCENE = 10_000

Case = tuple[Pictures, list[Asked]]


def cases(views: int, count: int, side: int) -> list[Case]:
    """Pictures of scenes, and what is asked of them."""
    scenes = [
        make_scene(seed, "validation", PLACES[seed % len(PLACES)], frames=1)
        for seed in range(_FIRST_SCENE, _FIRST_SCENE + count)
    ]
    sights = look(scenes, views)
    shots = [scene.shot(view) for scene in scenes for view in range(views)]
    images = render(shots, side, side).rgb.numpy()
    return [
        (
            Pictures(images=tuple(images[index * views : (index + 1) * views])),
            [each for each in asked if each.answer_type in ("choice", "yes_no")],
        )
        for index, asked in enumerate(ask(scenes, sights, _PER_SCENE, FAMILIES))
    ]


def answered(speaker: Speaker, given: Sequence[Case]) -> dict[str, list[bool]]:
    """Which questions of each family are answered rightly."""
    found: defaultdict[str, list[bool]] = defaultdict(list)
    for pictures, asked in given:
        if not asked:
            continue
        (seen,) = speaker.inference.look([pictures])
        questions = [(seen, Question(q.text, q.answer_type, q.choices)) for q in asked]
        for question, said in zip(asked, speaker.answer(questions), strict=True):
            right = said.lower() == str(question.answer).lower()
            found[question.family].append(right)
            found["all"].append(right)
    return found


def main() -> None:
    """Print a row a family, and a column a model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--views", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--scenes", type=int, default=48)
    parser.add_argument("--side", type=int, default=64)
    arguments = parser.parse_args()
    given = [
        case for views in arguments.views for case in cases(views, arguments.scenes, arguments.side)
    ]
    counted = [
        answered(Speaker(Inference(load_reference(find_reference(name)))), given)
        for name in arguments.models
    ]
    print(f"| family | questions | {' | '.join(arguments.models)} |")
    print(f"|---|---:|{'---:|' * len(counted)}")
    for family in ("all", *FAMILIES):
        if rights := [each[family] for each in counted if family in each]:
            shares = " | ".join(f"{sum(right) / len(right):.3f}" for right in rights)
            print(f"| {family} | {len(rights[0])} | {shares} |")


if __name__ == "__main__":
    main()
