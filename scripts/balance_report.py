"""How well the procedural world's questions can be answered from their words alone, by family.

Each family is asked as its own task asks it (`tasks/spatial_qa/world_<family>.yaml`: places, views,
questions of a scene, and how many scenes are balanced together), but of several such sets, the
first of which is the task. The models of `scripts/word_probes.py` are fitted on the train split's
questions and asked the test split's, without any picture. Which of the five does best is chosen on
a random half of the test scenes and measured on the other half, and the other way round: the best
of five on the same questions would be above chance by luck alone. Intervals are 95 %, by scenes.

    python scripts/balance_report.py --questions 1500 --write docs/BALANCE.md
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

PROJECT = Path(__file__).parent.parent
sys.path[:0] = [str(PROJECT), str(PROJECT / "scripts")]

from g2vlm_bench.data.pin import split_pins  # noqa: E402
from g2vlm_bench.world.questions import FAMILIES, Question, ask  # noqa: E402
from g2vlm_bench.world.scene import Scene  # noqa: E402
from g2vlm_bench.world.sight import Sight  # noqa: E402
from word_probes import MODELS, Array, options_of, probe  # noqa: E402

# Place and number of frames of scene i, in turn: most are rooms, three of eight move.
PLAN = (
    ("room", 1), ("room", 1), ("room", 1), ("table_top", 1), ("road", 1),
    ("room", 8), ("road", 8), ("table_top", 8),
)  # fmt: skip
VIEWS = 4
FEWEST = 20
_BATCH = 8
_TWO_SIDED = 1.96

# The questions of each scene.
Asked = list[tuple[Question, ...]]


@dataclass(frozen=True)
class Row:
    """The figures of a family, or of one kind of its questions, all as shares of 1.

    Attributes:
        name: Its name.
        n: Its questions in the test split.
        options: Mean number of options; 0 where all are numbers.
        chance: What guessing gives.
        scores: By model.
        excess: How far the model that was chosen on other scenes is above chance.
        error: One standard error of that, by scenes.
    """

    name: str
    n: int
    options: float
    chance: float
    scores: Mapping[str, float]
    excess: float
    error: float


def questions(split: str, scenes: int, per_scene: int) -> Asked:
    """The questions of all families together, of a split's first scenes."""
    from g2vlm_bench.world.layout import make_scene

    made = [make_scene(seed, split, *PLAN[seed % len(PLAN)]) for seed in range(scenes)]
    return ask(made, _sights(made, VIEWS), per_scene)


def family_questions(family: str, split: str, count: int) -> Asked:
    """Some `count` questions of a family: as many sets as it takes, each as its task asks one.

    Each set is balanced by itself: in one large set the odd question of each context, which has no
    counterpart yet, would hardly count.
    """
    _, options = _task(family)
    size, sets = options["n"], _sets(family, count)
    key = (split, options["place"], options.get("moving", False), options["views"])
    scenes, sights = _world(*key, size * sets)
    per_scene = options["questions_per_scene"]
    parts = [slice(start, start + size) for start in range(0, size * sets, size)]
    return [q for part in parts for q in ask(scenes[part], sights[part], per_scene, [family])]


def _sets(family: str, count: int) -> int:
    pins, _ = _task(family)
    return max(round(count / int(pins["rows"])), 1)


@dataclass
class _Made:
    """Scenes of one sort with what is seen of them: most families share theirs."""

    scenes: list[Scene] = field(default_factory=list)
    sights: list[Sight] = field(default_factory=list)


@cache
def _made(split: str, place: str, moving: bool, views: int) -> _Made:
    return _Made()


def _world(
    split: str, place: str, moving: bool, views: int, count: int
) -> tuple[list[Scene], list[Sight]]:
    """At least so many scenes such as a task's reader makes, from the first on."""
    from g2vlm_bench.world.reader import WorldReader

    made = _made(split, place, moving, views)
    if count > len(made.scenes):
        reader = WorldReader(n=count, place=place, moving=moving, views=views)
        made.scenes[:] = [shown.scene for shown in reader.shown(split)]
        made.sights += _sights(made.scenes[len(made.sights) :], views)
    return made.scenes, made.sights


def _sights(scenes: list[Scene], views: int) -> list[Sight]:
    from g2vlm_bench.world.renderer import look

    starts = range(0, len(scenes), _BATCH)
    return [sight for at in starts for sight in look(scenes[at : at + _BATCH], views)]


def _task(family: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a family's task says of its data: pins, and the reader's options."""
    task = PROJECT / "tasks" / "spatial_qa" / f"world_{family}.yaml"
    return split_pins(yaml.safe_load(task.read_text())["data"])


def report(train: Asked, test: Asked, by_kind: bool = False) -> Iterator[Row]:
    """Measure each family of which there is enough to fit a model and something to ask it.

    With `by_kind`, the rows of a family's kinds of question follow its own; their models are the
    family's, but each kind's is chosen by itself.
    """
    for family in FAMILIES:
        known = [q for asked in train for q in asked if q.family == family]
        placed = [(i, q) for i, asked in enumerate(test) for q in asked if q.family == family]
        if len(known) < FEWEST or not placed:
            continue
        scenes, asked = np.array([i for i, _ in placed]), [q for _, q in placed]
        right = probe(known, asked)
        kinds: defaultdict[str, list[int]] = defaultdict(list)
        for i, question in enumerate(asked):
            kinds[question.kind].append(i)
        parts = {family: list(range(len(asked)))}
        if by_kind and len(kinds) > 1:
            parts |= {f"{family}: {kind}": kinds[kind] for kind in sorted(kinds)}
        for name, part in parts.items():
            scored = {model: values[part] for model, values in right.items()}
            yield _row(name, [asked[i] for i in part], scenes[part], scored)


def _row(name: str, asked: list[Question], scenes: Any, right: Mapping[str, Array]) -> Row:
    usable = np.isfinite(right["chance"])
    above = {model: (right[model] - right["chance"])[usable] for model in MODELS}
    excess, error = honest_excess(list(above.values()), scenes[usable])
    options = [len(options_of(q)) for q in asked if q.answer_type != "number"]
    return Row(
        name,
        n=int(usable.sum()),
        options=float(np.mean(options)) if options else 0.0,
        chance=float(right["chance"][usable].mean()),
        scores={model: float(right[model][usable].mean()) for model in MODELS},
        excess=excess,
        error=error,
    )


def honest_excess(above: Sequence[Array], scenes: Any) -> tuple[float, float]:
    """The mean of the best of some models, each half of the scenes judged by the other half's best.

    Args:
        above: Of each model, how far above chance it is on each question.
        scenes: The scene of each question, `(N,)`.

    Returns:
        The mean, and its standard error with scenes as clusters.
    """
    numbers, cluster = np.unique(scenes, return_inverse=True)
    half = (np.random.default_rng(0).permutation(len(numbers)) % 2)[cluster].astype(bool)
    chosen = np.zeros(len(cluster))
    for part in (half, ~half):
        elsewhere = [values[~part].sum() for values in above]
        chosen[part] = above[int(np.argmax(elsewhere))][part]
    mean = float(chosen.mean())
    by_scene = np.bincount(cluster, chosen - mean)
    return mean, float(np.sqrt((by_scene**2).sum())) / len(chosen)


HEADS = ("family", "n", "options", "chance", *MODELS, "excess", "95 %")


def table(rows: Iterable[Row]) -> str:
    """The report as a Markdown table, in percent."""
    return _markdown(HEADS, [_cells(row) for row in rows])


def _cells(row: Row) -> list[str]:
    numbers = [row.chance, *(row.scores[model] for model in MODELS), row.excess]
    reach = _TWO_SIDED * row.error
    ends = f"{100 * (row.excess - reach):.1f} to {100 * (row.excess + reach):.1f}"
    shown = [f"{100 * number:.1f}" for number in numbers]
    return [row.name, str(row.n), f"{row.options:.1f}", *shown, ends]


def _markdown(heads: Sequence[str], cells: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in (heads, *cells)]
    return "\n".join([lines[0], "|" + " --- |" * len(heads), *lines[1:]])


def pinned(family: str) -> str:
    """What a family's task pins of its questions, short."""
    pins, _ = _task(family)
    return str(pins["content_hash"]).removeprefix("sha256:")[:12]


def page(rows: Iterable[Row], before: str = "") -> str:
    """The table as a document; families that were not measured keep their rows of a page before."""
    assert __doc__ is not None
    cells = {family: list(row.values()) for family, row in read_page(before).items()}
    cells |= {row.name: [*_cells(row), pinned(row.name)] for row in rows}
    listed = [cells[family] for family in FAMILIES if family in cells]
    return f"""# What the words alone give away

Made by the command below. A row stands until its family is measured again.

{__doc__.strip()}

All in percent; seeds are 0, 1, 2, ... of the splits `train` and `test`. n: questions asked of the
models; options: their mean number, 0 of numbers; excess: of the model that was best on the other
half of the scenes, over chance; task: how the content hash begins that its task pins.

{_markdown((*HEADS, "task"), listed)}
"""


def read_page(text: str) -> dict[str, dict[str, str]]:
    """The table of a page: family -> column -> cell."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("| ")
    ]
    return {row[0]: dict(zip(rows[0], row, strict=True)) for row in rows[2:]}


def main() -> None:
    """Print the rows of each family as it is done, and write them into the page that is named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--questions", type=int, default=1500, help="questions of a family")
    parser.add_argument("--families", nargs="+", default=FAMILIES, choices=FAMILIES)
    parser.add_argument("--by-kind", action="store_true", help="rows for kinds of question, too")
    parser.add_argument("--write", type=Path, help="page to write, such as docs/BALANCE.md")
    options = parser.parse_args()
    rows: list[Row] = []

    def scenes(family: str) -> int:
        return int(_task(family)[1]["n"]) * _sets(family, options.questions)

    # The most scenes first: others share them.
    for family in sorted(options.families, key=scenes, reverse=True):
        train, test = (
            family_questions(family, split, options.questions) for split in ("train", "test")
        )
        found = list(report(train, test, options.by_kind))
        print("\n".join(table(found).splitlines()[2 if rows else 0 :]), flush=True)
        rows += found
        if options.write:
            before = options.write.read_text() if options.write.is_file() else ""
            options.write.write_text(page(found[:1], before))


if __name__ == "__main__":
    main()
