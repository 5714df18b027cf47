r"""The reference model beside every floor, and which of its targets are met.

python scripts/reference_board.py
python scripts/reference_board.py --weights runs/train-nano --out runs/reference-mine \
    --limit 16 --only depth,chamfer,camera_pose,spatial_qa/world_support
python scripts/reference_board.py --data-root data --write docs/REFERENCE.md \
    --card g2vlm_bench/reference/weights/nano/README.md

Runs the suite `reference` (an interrupted one goes on), writes the report, and prints two tables:
every row with its 95 % interval, and the targets. A limited run is quick and proves nothing; the
questions of a task are made before it starts, so that leaving tasks out saves more; so does
`--data-root data` once `data prepare world --split test` has written them. `--write` writes both
tables as a page, `--card` the second between the marks of a card.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from msgspec import structs

from g2vlm_bench import api
from g2vlm_bench.board import BoardDefinition, load_board
from g2vlm_bench.errors import BenchError
from g2vlm_bench.plugins import Plugins
from g2vlm_bench.store import MetricResult, RunRecord

MODEL = "g2vlm"
# The same model that cannot know: without pictures, with another scene's, asked another question.
UNSEEING = ("blind:g2vlm", "shuffled:g2vlm")
WRAPPED = (*UNSEEING, "misheard:g2vlm")
FLOORS = ("constant_depth", "mean_depth", "plane", "static_camera", "majority", "chance")
# Of 1, 2, 4 and 8 views.
CLOUDS, DEPTHS = (
    [f"{family}/world_rooms{views}" for views in ("", "_2_views", "_4_views", "_8_views")]
    for family in ("chamfer", "depth")
)
# Of 2, 4 and 8.
POSES = [f"camera_pose/world_rooms{views}" for views in ("_2_views", "", "_8_views")]
MARK, END = "<!-- targets -->", "<!-- end -->"
# Every metric that the issue names, besides the headlines of the board.
SHOWN = {
    "depth": (
        "abs_rel@median_scale", "delta1@median_scale", "abs_rel@median_scale+view_fit+view_pool",
        "abs_rel@metric", "delta1@metric",
    ),
    "point_map": ("point_abs_rel@l1_scale+weighted",),
    "chamfer": (
        "chamfer_mean_l2@scale", "chamfer_mean_l2@metric", "fscore_0.2m@scale",
        "normal_consistency@scale",
    ),
    "camera_pose": ("auc_30@metric", "rra_30@metric", "rta_30@metric", "ate@sim3"),
    "spatial_qa": ("accuracy@strict", "chance_corrected_accuracy@strict"),
    "scene_language": (
        "fact_f1@strict", "mask_iou@strict", "location_error@strict", "recall_1@strict",
        "recall_5@strict",
    ),
    "consistency": (
        "agreement@order", "agreement_if_independent@order", "says_what_it_sees@order",
        "words_accuracy@order", "geometry_accuracy@order",
    ),
}  # fmt: skip


@dataclass
class Rows:
    """Runs by task and model.

    Attributes:
        records: Of every run.
    """

    records: dict[tuple[str, str], RunRecord] = field(default_factory=dict)

    def result(self, task: str, metric: str, model: str = MODEL) -> MetricResult | None:
        """A number of a model; None where it took no part, or the number is undefined."""
        record = self.records.get((task, model))
        found = record.result(metric) if record else None
        return found if found is not None and found.value is not None else None

    def value(self, task: str, metric: str, model: str = MODEL) -> float | None:
        """The number alone."""
        found = self.result(task, metric, model)
        return None if found is None else found.value

    def tasks(self, prefix: str) -> list[str]:
        """Tasks of a name, in the order of the board."""
        return list(dict.fromkeys(task for task, _ in self.records if task.startswith(prefix)))

    def best_floor(self, task: str, metric: str, higher: bool) -> tuple[str, float] | None:
        """The best of the floors, with its name."""
        values = [(f, self.value(task, metric, f)) for f in FLOORS]
        found = [(name, value) for name, value in values if value is not None]
        choose = max if higher else min
        return choose(found, key=lambda pair: pair[1]) if found else None


@dataclass(frozen=True)
class Verdict:
    """Whether a target is met, with the figure that says so."""

    target: str
    figure: str
    met: bool | None


def shown(result: MetricResult | None) -> str:
    """A figure with its interval."""
    if result is None or result.value is None:
        return "-"
    text = f"{result.value:.3f}"
    if result.low is not None and result.high is not None:
        text += f" [{result.low:.3f}, {result.high:.3f}]"
    return text + (f" ({result.n_failed} failed)" if result.n_failed else "")


def verdicts(rows: Rows) -> Iterator[Verdict]:
    """The targets of issue 5, point 5, in its order, and what else the model is asked to show."""
    depth, qa = "depth/world_rooms", "spatial_qa/world"
    yield _bound(rows, depth, "abs_rel@median_scale", at_most=0.05)
    yield _bound(rows, depth, "delta1@median_scale", at_least=0.97)
    yield _half_of_the_best_floor(rows)
    yield _improves(rows, CLOUDS, "chamfer_mean_l2@scale", "falls with 1, 2, 4, 8 views")
    yield _bound(rows, "camera_pose/world_rooms", "auc_30@metric", at_least=0.6)
    yield _bound(rows, qa, "accuracy@strict", at_least=0.80)
    yield _bound(rows, "spatial_qa/world_direction", "accuracy@strict", at_least=0.92)
    yield _bound(rows, "spatial_qa/world_support", "accuracy@strict", at_least=0.75)
    yield _bound(rows, "spatial_qa/world_occlusion", "accuracy@strict", at_least=0.75)
    yield from _no_family_at_chance(rows)
    for model in WRAPPED:
        yield _at_chance(rows, model)
    yield _retrieves(rows)
    yield _agrees(rows)
    yield _is_helped_by_depth(rows)
    yield _improves(rows, DEPTHS, "abs_rel@median_scale", "falls with 1, 2, 4, 8 views")
    yield _improves(rows, POSES, "auc_30@metric", "rises with 2, 4, 8 views")


def _bound(
    rows: Rows, task: str, metric: str, at_most: float | None = None, at_least: float | None = None
) -> Verdict:
    result = rows.result(task, metric)
    sign, limit = ("<=", at_most) if at_least is None else (">=", at_least)
    met = None
    if result is not None and result.value is not None and limit is not None:
        met = result.value <= limit if sign == "<=" else result.value >= limit
    return Verdict(f"{task} {metric} {sign} {limit:g}", shown(result), met)


def _half_of_the_best_floor(rows: Rows) -> Verdict:
    metric = "chamfer_mean_l2@scale"
    own, best = rows.result(CLOUDS[0], metric), rows.best_floor(CLOUDS[0], metric, higher=False)
    target = f"{CLOUDS[0]} {metric} <= half of the best floor's"
    if own is None or own.value is None or best is None:
        return Verdict(target, shown(own), None)
    name, value = best
    figure = f"{shown(own)}, half of {name}'s is {value / 2:.3f}"
    return Verdict(target, figure, own.value <= value / 2)


def _improves(rows: Rows, tasks: Sequence[str], metric: str, how: str) -> Verdict:
    """Whether a figure falls, or rises, from each task to the next."""
    values = [rows.value(task, metric) for task in tasks]
    known = [value for value in values if value is not None]
    figure = ", ".join("-" if value is None else f"{value:.3f}" for value in values)
    sign = -1 if how.startswith("falls") else 1
    improves = all(sign * after > sign * before for before, after in pairwise(known))
    met = improves if len(known) == len(tasks) else None
    return Verdict(f"{tasks[0].partition('/')[0]} {metric} {how}", figure, met)


def _is_helped_by_depth(rows: Rows) -> Verdict:
    """Told a few true depths, the whole interval must lie below what pictures alone give."""
    metric = "abs_rel@median_scale"
    own, told = rows.value(DEPTHS[0], metric), rows.result("depth/world_rooms_sparse", metric)
    met = None
    if own is not None and told is not None and told.high is not None:
        met = told.high < own
    figure = f"{shown(told)}, by pictures alone {'-' if own is None else f'{own:.3f}'}"
    return Verdict(f"depth/world_rooms_sparse {metric} well below that of pictures", figure, met)


def _families(rows: Rows) -> list[str]:
    return [task for task in rows.tasks("spatial_qa/world_") if not task.endswith("_moving")]


def _no_family_at_chance(rows: Rows) -> Iterator[Verdict]:
    """Each family's interval must lie above guessing, the majority, and answers without sight."""
    metric = "chance_corrected_accuracy@strict"
    for task in _families(rows):
        own, best = rows.result(task, metric), rows.best_floor(task, metric, higher=True)
        unseen = [rows.value(task, metric, model) for model in UNSEEING]
        name, floor = max(
            [best or ("chance", 0.0), ("chance", 0.0)]
            + [(m, value) for m, value in zip(UNSEEING, unseen, strict=True) if value is not None],
            key=lambda pair: pair[1],
        )
        met = None if own is None or own.low is None else own.low > floor
        figure = f"{shown(own)} chance-corrected, {name} {floor:.3f}"
        yield Verdict(f"{task} above chance", figure, met)


def _at_chance(rows: Rows, model: str) -> Verdict:
    """Over all questions with options the interval must hold what a guess gets."""
    metric = "chance_corrected_accuracy@strict"
    own = rows.result("spatial_qa/world", metric, model)
    best = rows.best_floor("spatial_qa/world", metric, higher=True)
    floor = max(0.0, best[1]) if best else 0.0
    met = None if own is None or own.low is None else own.low <= floor
    figure = f"{shown(own)} chance-corrected, floor {floor:.3f}"
    return Verdict(f"{model} at chance on spatial_qa/world", figure, met)


def _retrieves(rows: Rows) -> Verdict:
    task, metric = "scene_language/world_text_to_scene", "recall_1@strict"
    record, own = rows.records.get((task, MODEL)), rows.result(task, metric)
    target = f"{task} {metric} >= 10 x chance"
    if record is None or own is None or own.value is None:
        return Verdict(target, shown(own), None)
    # Each sample is a caption that looks, or a picture that is there to be found.
    pictures = record.data.rows if record.data.limit is None else record.data.limit
    items = pictures - own.n_scored - own.n_failed
    if items < 1:
        return Verdict(target, shown(own), None)
    return Verdict(target, f"{shown(own)}, chance {1 / items:.4f}", own.value >= 10 / items)


def _agrees(rows: Rows) -> Verdict:
    task = "consistency/world"
    own = rows.result(task, "agreement@order")
    shuffled = rows.result(task, "agreement_if_independent@order")
    met = None
    if own and own.value is not None and shuffled and shuffled.high is not None:
        met = own.value > shuffled.high
    figure = f"{shown(own)}, shuffled pairing {shown(shuffled)}"
    return Verdict(f"{task} agreement@order above a shuffled pairing's interval", figure, met)


def table(rows: Rows, models: Sequence[str]) -> str:
    """Every row of the board as Markdown."""
    present = [model for model in models if any(m == model for _, m in rows.records)]
    lines = [["task", "metric", *present], ["---", "---", *["---:"] * len(present)]]
    for task in rows.tasks(""):
        for metric in SHOWN[task.partition("/")[0]]:
            cells = [shown(rows.result(task, metric, model)) for model in present]
            if any(cell != "-" for cell in cells):
                lines.append([task, f"`{metric}`", *cells])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def targets(found: Sequence[Verdict]) -> str:
    """The targets as Markdown."""
    said = {True: "met", False: "**missed**", None: "no figure"}
    lines = ["| target | figure | |", "| --- | --- | --- |"]
    lines += [f"| {each.target} | {each.figure} | {said[each.met]} |" for each in found]
    return "\n".join(lines)


def page(rows: Rows, found: Sequence[Verdict], command: str) -> str:
    """Both tables, with what they are of and the command that made them."""
    of = {r.adapter.weights_hash for (_, model), r in rows.records.items() if model == MODEL}
    weights = ", ".join(sorted((each or "none")[:19] for each in of))
    return f"""# What the reference model can do

Test split of the procedural world, 95 % intervals, weights {weights}. Made by

    {command}

## Targets

{targets(found)}

## Every row

{table(rows, [MODEL, *WRAPPED, *FLOORS])}
"""


def put_into_card(card: Path, text: str) -> None:
    """Replace what stands between a card's marks.

    Raises:
        BenchError: The marks are not there, once each.
    """
    whole = card.read_text(encoding="utf-8")
    before, mark, rest = whole.partition(MARK)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise BenchError(card, expected=f"'{MARK}' and '{END}' after it", got="no such marks")
    card.write_text(f"{before}{MARK}\n{text}\n{END}{after}", encoding="utf-8")


def chosen(board: BoardDefinition, only: str) -> BoardDefinition:
    """The columns whose tasks' names begin in one of these ways, all where none is named."""
    beginnings = tuple(part.strip() for part in only.split(",") if part.strip()) or ("",)
    columns = [column for column in board.columns if column.task.startswith(beginnings)]
    if not columns:
        raise BenchError("--only", expected=", ".join(board.tasks), got=f"'{only}'")
    return structs.replace(board, columns=columns)


def main() -> None:
    """Run, report, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", default="nano", help="nano, or a folder that `train` wrote")
    parser.add_argument("--out", type=Path, default=Path("runs/reference"))
    parser.add_argument("--limit", type=int, help="only the first samples of each task")
    parser.add_argument("--only", default="", help="beginnings of tasks' names, by comma")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch-size", type=int, default=None)
    parser.add_argument("--data-root", type=Path, help="folder that holds `world`, if exported")
    parser.add_argument("--write", type=Path, help="page that both tables are written to")
    parser.add_argument("--card", type=Path, help="card whose table of targets is replaced")
    given = parser.parse_args()
    plugins = Plugins.find()
    board = chosen(load_board(plugins.path("leaderboard", "reference")), given.only)
    rows = Rows()
    done = api.evaluate(
        board.models, board.tasks, out=given.out, device=given.device, limit=given.limit,
        model_args={f"{model}.weights": given.weights for model in (MODEL, *WRAPPED)},
        batch_size=given.batch_size or "auto", data_root=given.data_root, plugins=plugins,
    )  # fmt: skip
    for run in done.runs:
        rows.records[run.record.task.name, run.record.adapter.spec] = run.record
    api.leaderboard(board, [run.path for run in done.runs], out=given.out, plugins=plugins)
    found = list(verdicts(rows))
    text = page(rows, found, f"python scripts/reference_board.py {' '.join(sys.argv[1:])}")
    (given.out / "targets.md").write_text(text, encoding="utf-8")
    if given.write:
        given.write.write_text(text, encoding="utf-8")
    if given.card:
        put_into_card(given.card, targets(found))
    print(f"\n{text}\nreport: {given.out / 'index.html'}")


if __name__ == "__main__":
    try:
        main()
    except BenchError as error:
        sys.exit(f"error: {error}")
