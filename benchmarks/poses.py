"""Measures trajectory errors beside evo's: APE and RPE of one trajectory, both Sim(3) aligned.

    python benchmarks/poses.py [--evo DIR] [--poses 10000] [--repeats 5]

DIR/venv holds evo (see scripts/conformance_pose.py); without it ours runs alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PROJECT = Path(__file__).parent.parent
sys.path[:0] = [str(PROJECT), str(PROJECT / "scripts")]

from g2vlm_bench.geometry.trajectory import check_poses  # noqa: E402
from pose_peers.along import evo_distance, ours_distance  # noqa: E402
from pose_peers.cases import noisy_cameras  # noqa: E402
from races import Race, Sections  # noqa: E402

SECTIONS = Sections()


@SECTIONS.section
def ape_rpe(options: argparse.Namespace) -> Iterator[Race]:
    """The absolute error, and the relative ones in translation and rotation."""
    predicted, true = noisy_cameras(1, options.poses)

    def named(errors: NDArray[np.float64]) -> dict[str, float]:
        return dict(zip(("ape", "rpe_translation", "rpe_rotation"), errors.tolist(), strict=True))

    def ours() -> dict[str, float]:
        # What a task does besides: both trajectories are checked to be rigid.
        return named(ours_distance(check_poses(predicted), check_poses(true), True))

    runners = {"ours": ours}
    if options.evo is not None:
        # Behind everything else, so that numpy and scipy stay those that this project runs on.
        sys.path += [str(path) for path in options.evo.glob("venv/lib/python3*/site-packages")]
        evo_distance(predicted[:10], true[:10], True)  # Its imports are no part of it.
        runners["evo"] = lambda: named(evo_distance(predicted, true, True))
    yield Race(f"APE + RPE, {options.poses} poses, Sim(3)", runners, 1e-9)


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the section needs."""
    parser.add_argument("--evo", type=Path, metavar="DIR", help="its venv holds evo")
    parser.add_argument("--poses", type=int, default=10_000)


def main() -> None:
    """Run the section."""
    parser = SECTIONS.parser(__doc__ or "")
    add_options(parser)
    SECTIONS.run(SECTIONS.parse(parser, ("numpy", "scipy")))


if __name__ == "__main__":
    main()
