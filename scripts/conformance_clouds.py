"""Runs the cloud metrics of published code beside ours and prints the largest difference of each.

    python scripts/conformance_clouds.py --peers DIR [--realdata DIR] [--write]

DIR holds checkouts that are no part of this project and are never copied into it, each with its
commit in a file COMMIT: `Pi3` (branch evaluation: mv_recon), `G2VLM`
(eval_code/recons/mv_recon), `CUT3R` (eval/mv_recon, src),
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
from cloud_peers.cases import Case, Values, large_cases, random_case, real_cases
from conformance_page import HEAD, Row, largest_gap, write
from depth_peers.unidepth import DATA
from peer_code import commit

PEERS: dict[str, tuple[str, Callable[[Path, Case], tuple[Values, Values]]]] = {
    "pi3": ("Pi3", partial(reconstruction.pi3, "pi3", "Pi3")),
    "g2vlm": ("G2VLM", partial(reconstruction.pi3, "g2vlm", "G2VLM/eval_code/recons")),
    "cut3r": ("CUT3R", reconstruction.cut3r),
    "spann3r": ("spann3r", reconstruction.spann3r),
    "mapanything": ("map-anything", functions.mapanything),
    **{
        f"{package}.{data}": (repository, functions.eval_3d(repository, package, data))
        for package, repository in (("unidepth", "UniDepth"), ("unik3d", "UniK3D"))
        for data in DATA
    },
    "da3 (parts)": ("Depth-Anything-3", functions.da3),
    "spatialbench (parts)": ("SpatialBench", functions.spatialbench),
    "da3.dtu_unposed": ("Depth-Anything-3", partial(dtu.da3_dtu, "unposed")),
    "da3.dtu_posed": ("Depth-Anything-3", partial(dtu.da3_dtu, "posed")),
    "dtu": ("DTUeval-python", dtu.dtu),
    "eth3d": ("multi-view-evaluation", scans.eth3d),
    "tanks_and_temples": ("TanksAndTemples", scans.tanks_and_temples),
}


APPROXIMATE = "medians of normals, by Open3D's approximate solver"
REMARKS = {
    "pi3": APPROXIMATE,
    "g2vlm": APPROXIMATE,
    "cut3r": APPROXIMATE,
    "spann3r": APPROXIMATE,
    "da3 (parts)": "fusion apart, as SpatialBench's",
    "da3.dtu_posed": "the cases' cameras see a plane, so that maps agree",
    "spatialbench (parts)": "fusion apart",
    "dtu": "the same shuffle handed to both; a twentieth of the cases' size",
    "eth3d": "the program prints six digits; built against stand-ins for PCL and Eigen",
    "tanks_and_temples": "from one fit of the cameras; the program's own is unseeded: F 0.924, "
    "0.956, 0.939 in three runs of one scene, ours 0.950",
}


def main() -> None:
    """Print a table of all peers that are there."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--peers", type=Path, required=True)
    parser.add_argument("--realdata", type=Path, help="real frames, as more cases")
    parser.add_argument("--seeds", type=int, default=3, help="random cases")
    parser.add_argument("--only", nargs="*", help="profiles or protocols of them, not all")
    parser.add_argument("--values", action="store_true", help="print the peers' numbers")
    parser.add_argument("--write", action="store_true", help="put the rows on docs/CONFORMANCE.md")
    arguments = parser.parse_args()
    made = {f"seed {seed}": random_case(seed) for seed in range(arguments.seeds)}
    real = real_cases(arguments.realdata) if arguments.realdata else {}
    print(HEAD, end="")
    for profile, (folder, run) in PEERS.items():
        names = {profile.partition(" ")[0], profile.partition(".")[0]}
        if arguments.only and not names & {*arguments.only}:
            continue
        if not (arguments.peers / folder).is_dir():
            print(f"# {profile}: {folder} is not there")
            continue
        at = f"{folder} {commit(arguments.peers / folder)}"
        row = Row(profile, at, REMARKS.get(profile, ""))
        data = profile.partition(".")[2]
        cases = made | real
        if data in DATA and DATA[data].crop:
            cases = dict(large_cases(arguments.realdata, data, arguments.seeds))
        try:
            for name, case in cases.items():
                try:
                    theirs, mine = run(arguments.peers, case)
                except ValueError as error:
                    print(f"# {profile}, {name}, is no case: {error}")
                    continue
                row.add(largest_gap(mine, theirs), name, not name.startswith("seed"))
                if arguments.values:
                    print(f"# {profile}, {name}: {theirs}", flush=True)
        except ImportError as error:
            print(f"# {profile} does not import: {error}")
            continue
        print(row.line, flush=True)
        if arguments.write:
            write("clouds", [row])


if __name__ == "__main__":
    main()
