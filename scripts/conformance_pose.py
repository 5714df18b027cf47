"""Score the same cameras with published code and with our profile of it, and print the difference.

    python scripts/conformance_pose.py --peers DIR [--realdata DIR] [--write]

DIR holds checkouts that are no part of this project and are never copied into it, each with its
commit in a file COMMIT: `Pi3` (branch evaluation: relpose, utils), `G2VLM` (rbler1234/G2VLM, which
has the evaluation: eval_code/recons), `vggt` (branch evaluation: evaluation, vggt/utils),
`map-anything` (mapanything/utils), `Depth-Anything-3` (src), `SpatialBench`
(benchmark/evaluation), `CUT3R` (eval/relpose), `monst3r` (dust3r/utils/vo_eval.py); and `venv`,
where evo 1.36.5 is installed with what it needs. A peer that is not there is left out and said.
Peers are given float64, so that formulas are compared and not float32. A difference is relative to
the peer's value where that is above 1.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from conformance_page import HEAD, Row, largest_gap, write
from peer_code import commit, load
from pose_peers import along, angular, pooled
from pose_peers.angular import Scored
from pose_peers.cases import (
    Sequence,
    noisy_cameras,
    ours,
    random_sequences,
    real_sequences,
    real_trajectories,
)  # fmt: skip

SEEDS = 300
METRICS = "RRA, RTA and AUC at 3, 5, 15, 30 degrees"


@dataclass(frozen=True)
class Compared:
    """One protocol of a profile, and the peer's own scoring of a sequence.

    Attributes:
        profile: Its name, with its protocol's behind a point.
        repository: The peer's folder.
        start: Imports the peer, whose folder it is given, and gives its scoring.
        whole: Whether real cases are whole trajectories, not frames drawn from them.
        remark: What is compared.
    """

    profile: str
    repository: str
    start: Callable[[Path], Scored]
    whole: bool = False
    remark: str = METRICS


def vggt_shares(module: Callable[[Path], Any]) -> Callable[[Path], Scored]:
    """What a descendant of VGGT, which takes camera_from_world, makes of one sequence."""
    return lambda peers: angular.lineage(module(peers))


def mapanything(peers: Path) -> Any:
    """MapAnything's mapanything/utils/metrics.py."""
    return load(peers / "map-anything/mapanything/utils/metrics.py")


def eval_metrics(file: str) -> Callable[[Path], Scored]:
    """A file's `eval_metrics`."""
    return lambda peers: along.eval_metrics(peers / file)


EVO = "ATE and RPE over one frame, RMSE"
ALL = [
    Compared("pi3.angular", "Pi3", vggt_shares(angular.pi3_module)),
    Compared("g2vlm", "G2VLM", vggt_shares(angular.g2vlm_module)),
    Compared("vggt", "vggt", vggt_shares(angular.vggt_module)),
    Compared(
        "mapanything", "map-anything", lambda p: angular.lineage(mapanything(p), False),
    ),
    Compared(
        "mapanything (distance)", "map-anything", lambda p: along.mapanything_ate(mapanything(p)),
        whole=True, remark="ATE, a mean",
    ),
    Compared("da3", "Depth-Anything-3", angular.da3, remark="AUC at 3, 5, 15, 30 degrees"),
    Compared(
        "spatialbench.camera_from_world", "SpatialBench",
        partial(angular.spatialbench, world_to_camera=True),
        remark="RRA, RTA at 3, 5, AUC at 3, 5, 15, 30 degrees",
    ),
    Compared(
        "spatialbench.world_from_camera", "SpatialBench",
        partial(angular.spatialbench, world_to_camera=False),
        remark="RRA, RTA at 3, 5, AUC at 3, 5, 15, 30 degrees",
    ),
    Compared(
        "spatialbench.trajectory", "SpatialBench", along.spatialbench_trajectory, whole=True,
        remark="ATE and mean RPE",
    ),
    Compared(
        "cut3r", "CUT3R", eval_metrics("CUT3R/eval/relpose/evo_utils.py"), whole=True, remark=EVO,
    ),
    Compared(
        "monst3r", "monst3r", eval_metrics("monst3r/dust3r/utils/vo_eval.py"), whole=True,
        remark=EVO,
    ),
    Compared(
        "pi3.distance", "Pi3", eval_metrics("Pi3/relpose/evo_utils.py"), whole=True, remark=EVO,
    ),
    Compared("evo.none", "venv", lambda _: along.evo(False, False), whole=True, remark=EVO),
    Compared("evo.se3", "venv", lambda _: along.evo(True, False), whole=True, remark=EVO),
    Compared("evo.sim3", "venv", lambda _: along.evo(True, True), whole=True, remark=EVO),
]  # fmt: skip


def measured(compared: Compared, peers: Path, seeds: int, realdata: Path | None) -> Row:
    """Run one protocol and its peer on every sequence."""
    label = compared.profile.partition(" ")[0]
    row = Row(compared.profile, version(peers, compared.repository), compared.remark)
    score = compared.start(peers)
    for sequence, real in sequences(seeds, realdata, compared.whole):
        expected = score(sequence)
        found = ours(label, tuple(expected), sequence)
        row.add(largest_gap(found, expected, least=1), sequence.name, real)
    return row


def sequences(seeds: int, realdata: Path | None, whole: bool) -> Iterator[tuple[Sequence, bool]]:
    """Random sequences, and real ones; whether each is real."""
    yield from ((sequence, False) for sequence in random_sequences(seeds))
    if realdata is not None:
        real = real_trajectories(realdata) if whole else real_sequences(realdata)
        yield from ((sequence, True) for sequence in real)


def pooled_rows(peers: Path, seeds: int, realdata: Path | None) -> Iterator[Row]:
    """What G2VLM, Pi3 and VGGT report of all sequences; a case is one report."""
    # Of 5 to 12 views: a mean over sequences would be another number.
    lengths = {seed: 5 + seed % 8 for seed in range(seeds)}
    uneven = [Sequence("", *noisy_cameras(seed, count)) for seed, count in lengths.items()]
    even = list(random_sequences(seeds))
    reports = [(uneven, even, False)]
    if realdata is not None:
        real = list(real_sequences(realdata))
        reports.append((real, [one for one in real if len(one.true) == len(real[0].true)], True))
    for label, repository, module in (
        ("pi3.angular", "Pi3", angular.pi3_module), ("g2vlm", "G2VLM", angular.g2vlm_module),
    ):  # fmt: skip
        row = Row(f"{label} (pooled)", version(peers, repository))
        row.remark = f"{METRICS} over all pairs of all sequences, of unequal lengths"
        for many, _, is_real in reports:
            expected = pooled.theirs(module(peers), many)
            gap = largest_gap(pooled.ours(label, many), expected, least=1)
            row.add(gap, f"{len(many)} sequences", is_real)
        yield row
    row = Row("vggt (pooled)", version(peers, "vggt"))
    row.remark = (
        "pairs of each of 3 or 5 categories of unequal size, and the mean of the categories' AUC"
    )
    for _, many, is_real in reports:
        categories = by_trajectory(many) if is_real else unequal(many)
        expected = pooled.theirs_by_category(angular.vggt_module(peers), categories)
        found = pooled.ours_by_category("vggt", categories)
        row.add(largest_gap(found, expected, least=1), f"{len(many)} sequences", is_real)
    yield row


def unequal(many: list[Sequence]) -> dict[str, list[Sequence]]:
    """Three categories, the last as large as the others together."""
    quarter = len(many) // 4
    return {"a": many[:quarter], "b": many[quarter : 2 * quarter], "c": many[2 * quarter :]}


def by_trajectory(many: list[Sequence]) -> dict[str, list[Sequence]]:
    """The real trajectories as categories."""
    found: dict[str, list[Sequence]] = {}
    for sequence in many:
        found.setdefault(sequence.name.partition(",")[0], []).append(sequence)
    return found


def version(peers: Path, repository: str) -> str:
    """The peer and its commit, or evo and its version."""
    if repository != "venv":
        return f"{repository} {commit(peers / repository)}"
    import evo

    return f"evo {evo.__version__}"


def rows(arguments: argparse.Namespace) -> Iterator[Row]:
    """Every row whose peer is there."""
    peers, realdata = arguments.peers, arguments.realdata
    for compared in ALL:
        if arguments.only and compared.profile.split(".")[0] not in arguments.only:
            continue
        if not (peers / compared.repository).is_dir():
            print(f"# {compared.profile}: {compared.repository} is not there")
            continue
        yield measured(compared, peers, arguments.seeds, realdata)
    if not arguments.only and all((peers / name).is_dir() for name in ("Pi3", "G2VLM", "vggt")):
        yield from pooled_rows(peers, arguments.seeds, realdata)
    if not arguments.only and realdata is not None:
        row = Row("(association by time)", version(peers, "venv"))
        row.remark = "3000 and 787 times within 10 ms: the same pairs"
        row.add((along.associated(realdata), "times"), "TUM fr1_xyz", True)
        yield row


def main() -> None:
    """Print a table of all peers that are there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", type=Path, required=True)
    parser.add_argument("--realdata", type=Path, help="real trajectories, as more cases")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="random sequences")
    parser.add_argument("--only", nargs="*", help="profiles, instead of all")
    parser.add_argument("--write", action="store_true", help="put the rows on docs/CONFORMANCE.md")
    arguments = parser.parse_args()
    # Behind everything else, so that numpy and scipy stay those that this project runs on.
    sys.path += [str(p) for p in arguments.peers.glob("venv/lib/python3*/site-packages")]
    print(HEAD, end="")
    for row in rows(arguments):
        print(row.line, flush=True)
        if arguments.write:
            write("poses", [row])


if __name__ == "__main__":
    main()
