"""Measures trajectory errors beside evo's: APE and RPE of one trajectory, both Sim(3) aligned.

    python benchmarks/poses.py --peers DIR [--poses 10000] [--repeats 5]

DIR/venv holds evo (see scripts/conformance_pose.py). Both give the same three numbers, in one
process and in turns; medians are printed and nothing is asserted, since times belong to a machine.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "scripts"))
from conformance_pose import evo_distance, noisy_cameras, ours_distance
from g2vlm_bench.geometry.trajectory import check_poses


def seconds(function: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    """Time one call."""
    started = time.perf_counter()
    found = function()
    return time.perf_counter() - started, found


def main() -> None:
    """Print one line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--peers", type=Path, required=True)
    parser.add_argument("--poses", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    sys.path += [str(path) for path in given.peers.glob("venv/lib/python3*/site-packages")]
    predicted, true = noisy_cameras(1, given.poses)
    evo_distance(predicted[:10], true[:10], True)  # imports

    def ours() -> np.ndarray:
        # What a task does besides: both trajectories are checked to be rigid.
        return ours_distance(check_poses(predicted), check_poses(true), True)

    own, evo = [], []
    for _ in range(given.repeats):
        own.append(seconds(ours))
        evo.append(seconds(lambda: evo_distance(predicted, true, True)))
    mine, theirs = (statistics.median(took for took, _ in runs) for runs in (own, evo))
    apart = float(np.abs(own[0][1] - evo[0][1]).max())
    print(
        f"APE + RPE translation + RPE rotation, {given.poses} poses, Sim(3): "
        f"{1000 * mine:.1f} ms, evo {1000 * theirs:.0f} ms, ratio {theirs / mine:.0f}, "
        f"largest difference {apart:.1e} (medians of {given.repeats})"
    )


if __name__ == "__main__":
    main()
