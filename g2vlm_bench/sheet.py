"""A contact sheet of the procedural world: what its pictures show, and what is asked of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from io import BytesIO
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from g2vlm_bench.errors import BenchError
from g2vlm_bench.progress import progress
from g2vlm_bench.report.contact_sheet import Asked, Panel, draw
from g2vlm_bench.sample import Sample
from g2vlm_bench.store import disk_errors, write_atomically
from g2vlm_bench.world.reader import MIXED, WorldReader
from g2vlm_bench.world.shown import Shown


def write_sheet(
    out: Path,
    split: str = "test",
    n: int = 12,
    *,
    per_scene: int = 1,
    columns: int = 2,
    picture_px: int = 192,
    place: str = MIXED,
    side: int = 256,
    **options: Any,
) -> None:
    """Write the first scenes of a split that something is asked of as one PNG.

    Their questions are of as many families as there are.

    Args:
        out: The file.
        split: Which split.
        n: How many scenes; fewer where not half of the first ones are asked anything.
        per_scene: Questions under a scene.
        columns: Scenes beside one another.
        picture_px: Width of a picture on the sheet.
        place: A place of scenes, or all in turn.
        side: Rows and columns that are rendered.
        options: Further options of `WorldReader`, such as `views` and `moving`.

    Raises:
        BenchError: The split or an option is unknown, or the file cannot be written.
    """
    if split not in WorldReader.splits:
        raise BenchError("world split", expected=" or ".join(WorldReader.splits), got=f"'{split}'")
    # Of a bare scene nothing may be asked: the turn of none of its answers has come.
    reader = WorldReader(
        n=2 * n, content="questions", place=place, height=side, width=side, **options
    )  # fmt: skip
    panels = []
    with progress(f"drawing scenes of {split}", n) as advance:
        for panel in islice(_panels(reader, split, per_scene), n):
            panels.append(panel)
            advance(1)
    buffer = BytesIO()
    draw(panels, columns, picture_px).save(buffer, "PNG", optimize=True)
    with disk_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(out, buffer.getvalue())


def _panels(reader: WorldReader, split: str, per_scene: int) -> Iterator[Panel]:
    grouped = groupby(reader.samples(split), key=lambda sample: sample.cluster)
    asked = {scene: list(samples) for scene, samples in grouped}
    drawn: Counter[str] = Counter()
    for shown in reader.shown(split):
        if shown.scene.id in asked:
            yield _panel(shown, _rarest(asked[shown.scene.id], drawn, per_scene))


def _rarest(samples: Sequence[Sample], drawn: Counter[str], count: int) -> list[Sample]:
    chosen: list[Sample] = []
    for _ in range(min(count, len(samples))):
        rest = [sample for sample in samples if sample not in chosen]
        chosen.append(min(rest, key=lambda sample: drawn[sample.tags["family"]]))
        drawn[chosen[-1].tags["family"]] += 1
    return chosen


def _panel(shown: Shown, samples: Sequence[Sample]) -> Panel:
    views = shown.views
    return Panel(
        title=shown.id,
        images=tuple(views.rgb.numpy()),
        depth_m=views.depth_m[0].numpy(),
        instance_ids=views.instance_ids[0].numpy(),
        questions=tuple(map(_asked, samples)),
    )


def _asked(sample: Sample) -> Asked:
    inputs, target = sample.load_inputs(), sample.load_target()
    number = isinstance(target.answer, int | float)
    answer = f"{target.answer:.4g} {target.unit}".strip() if number else str(target.answer)
    label = f"{sample.tags['family']}, {sample.id.rpartition('-')[2]}"
    return Asked(label, inputs.question or "", inputs.choices, answer)
