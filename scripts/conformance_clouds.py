"""Runs the cloud metrics of published code beside ours and prints the largest difference of each.

    python scripts/conformance_clouds.py --peers DIR [--realdata DIR]

DIR holds checkouts that are no part of this project and are never copied into it, each with its
commit in a file COMMIT: `Pi3` (branch evaluation: mv_recon), `CUT3R` (eval/mv_recon, src),
`spann3r`, `map-anything` (mapanything/utils), `UniDepth` (unidepth/utils), `UniK3D`
(unik3d/utils), `Depth-Anything-3` (src), `SpatialBench` (benchmark/evaluation), `DTUeval-python`,
`multi-view-evaluation` (of ETH3D, built into build/ETH3DMultiViewEvaluation), `TanksAndTemples`
(python_toolbox/evaluation). A peer that is not there, or does not import, is left out and said.
Peers are given float64 where they take it, so that formulas are compared and not float32.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

from cloud_peers import dtu, functions, reconstruction, scans
from cloud_peers.cases import Case, Values, random_case, real_case
from peer_code import commit

SEEDS = range(3)
PEERS: dict[str, tuple[str, Callable[[Path, Case], tuple[Values, Values]]]] = {
    "pi3": ("Pi3", reconstruction.pi3),
    "cut3r": ("CUT3R", reconstruction.cut3r),
    "spann3r": ("spann3r", reconstruction.spann3r),
    "mapanything": ("map-anything", functions.mapanything),
    "unidepth": ("UniDepth", functions.eval_3d("UniDepth", "unidepth")),
    "unik3d": ("UniK3D", functions.eval_3d("UniK3D", "unik3d")),
    "da3 (parts)": ("Depth-Anything-3", functions.da3),
    "spatialbench (parts)": ("SpatialBench", functions.spatialbench),
    "da3.dtu_unposed": ("Depth-Anything-3", partial(dtu.da3_dtu, "unposed")),
    "da3.dtu_posed": ("Depth-Anything-3", partial(dtu.da3_dtu, "posed")),
    "dtu": ("DTUeval-python", dtu.dtu),
    "eth3d": ("multi-view-evaluation", scans.eth3d),
    "tanks_and_temples": ("TanksAndTemples", scans.tanks_and_temples),
}


def main() -> None:
    """Print one row a peer, and the numbers themselves with --values."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--peers", type=Path, required=True)
    parser.add_argument("--realdata", type=Path)
    parser.add_argument("--only", help="one profile")
    parser.add_argument("--values", action="store_true", help="print the peers' numbers")
    arguments = parser.parse_args()
    cases = {f"seed {seed}": random_case(seed) for seed in SEEDS}
    if arguments.realdata:
        cases["7-Scenes red kitchen"] = real_case(arguments.realdata)
    print(f"{'profile':<26}{'peer commit':<14}{'cases':<7}{'largest relative difference'}")
    for profile, (folder, run) in PEERS.items():
        if arguments.only and not profile.startswith(arguments.only):
            continue
        if not (arguments.peers / folder).is_dir():
            print(f"{profile:<26}{'not there':<14}")
            continue
        at = commit(arguments.peers / folder)
        try:
            found = {name: run(arguments.peers, case) for name, case in cases.items()}
        except ImportError as error:
            print(f"{profile:<26}{at:<14}does not import: {error}")
            continue
        worst, where = max((*largest_difference(*pair), name) for name, pair in found.items())[:2]
        print(f"{profile:<26}{at:<14}{len(found):<7}{worst:.1e} ({where})", flush=True)
        if arguments.values:
            for name, (theirs, _) in found.items():
                print("   ", name, {key: float(f"{value:.12g}") for key, value in theirs.items()})


def largest_difference(theirs: Values, mine: Values) -> tuple[float, str]:
    """Give the largest relative difference and the metric it is of."""
    found = [
        (abs(mine[name] - value) / max(abs(value), 1e-12), name) for name, value in theirs.items()
    ]
    return max(found)


if __name__ == "__main__":
    main()
