"""Score the same depth with published code and with our profile of it, and print the difference.

    python scripts/conformance_depth.py --peers DIR [--realdata DIR] [--write]

DIR holds the peers' checkouts by their repository's name (MoGe, CUT3R, Pi3, G2VLM, monst3r,
Marigold, UniDepth, UniK3D, Depth-Anything-V2, robustmvd, map-anything, Video-Depth-Anything,
SpatialBench, and utils3d at 3fab839 for MoGe), each at the commit that its profile names, which a
file COMMIT may hold. They are run, not copied. What is not there, or does not run, is skipped with
its reason. It needs torch. Real frames and their predictions are those of `depth_peers.cases.REAL`.

`its own` is how far the peer is from itself when the same pixels come in another order, `in double`
how far we are from it when it is given double precision, and `its own there` how far it is from
itself then. No order is asked where it matters where a pixel stands.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from conformance_page import HEAD, Row, largest_gap, write
from depth_peers import functions
from depth_peers.cases import (
    DISPARITY,
    SIZE,
    SIZES,
    Case,
    Peer,
    ours,
    random_case,
    random_video,
    real_cases,
)
from depth_peers.lineage import lineage, options_of
from depth_peers.marigold import marigold
from depth_peers.spatialbench import spatialbench
from depth_peers.unidepth import DATA, unidepth
from g2vlm_bench.sample import Ambiguity
from peer_code import commit

IRLS = "ten IRLS steps, each led by few pixels, blow up rounding"
ADAM = "1000 steps of Adam in single precision"


@dataclass(frozen=True)
class Compared:
    """One protocol of a profile, and the peer's own scoring of it.

    Attributes:
        profile: Its name.
        protocol: Of the profile, empty where it has but one.
        repository: The peer's folder.
        run: The peer's scoring.
        kind: Of the cases: `map`, `video`, `nyu`, `kitti` and `wide` for their sizes.
        ambiguity: What the prediction is.
        positional: Whether it matters where a pixel stands.
        orders: Of the pixels, in how many the peer is asked again.
        shrunk: What all depths are multiplied by, so that some lie within the protocol's limits.
        remark: Why it is not nearer, for the page.
    """

    profile: str
    protocol: str
    repository: str
    run: Peer
    kind: str = "map"
    ambiguity: Ambiguity = Ambiguity.METRIC
    positional: bool = False
    orders: int = 1
    shrunk: float = 1.0
    remark: str = ""


def of_lineage(profile: str, repository: str, scaled: bool, *protocols: str) -> list[Compared]:
    """Protocols of a profile that are calls of one `depth_evaluation`."""
    found = []
    for protocol in protocols:
        run = lineage(repository, **options_of(protocol, scaled))
        kind = "video" if protocol.startswith("video") else "map"
        compared = Compared(profile, protocol, repository, run, kind)
        if "shift" in protocol:
            compared = replace(compared, remark=ADAM)
        elif "_scale" in protocol or (scaled and kind == "map"):
            compared = replace(compared, remark=IRLS, orders=8)
        found.append(compared)
    return found


def of_unidepth(profile: str, repository: str) -> Iterator[Compared]:
    """Every protocol of UniDepth's or UniK3D's profile."""
    remarks = {
        "metric": "",
        "si": "inlier_1.03: single pixels at the threshold",
        "ssi": "a 2 x 2 inverse in single precision; single pixels at the threshold",
    }
    for name, data in DATA.items():
        for fit, remark in remarks.items():
            run = unidepth(repository, profile, fit, data.far_m, data.crop)
            yield Compared(
                profile, f"{name}_{fit}", repository, run, name if data.crop else "map",
                positional=data.crop is not None, remark=remark,
            )  # fmt: skip


MONO = ("mono", "mono_sintel", "mono_bonn")
SCALE = ("video_scale", "video_scale_sintel", "video_scale_bonn")
SHIFT = ("video_scale_shift", "video_scale_shift_sintel", "video_scale_shift_bonn")
MOGE = {
    "metric": "depth_metric", "scale": "depth_scale_invariant",
    "affine": "depth_affine_invariant", "affine_disparity": "disparity_affine_invariant",
}  # fmt: skip
MARIGOLD = {
    "scannet": (marigold(0.001, 10), "map"),
    "nyu": (marigold(0.001, 10, "nyu"), "nyu"),
    "kitti": (marigold(1e-5, 80, "eigen"), "kitti"),
    "eth3d": (marigold(1e-5, np.inf), "map"),
    "eth3d_1024": (marigold(1e-5, np.inf, None, 1024), "wide"),
    "diode": (marigold(0.6, 350, own_mask=True), "map"),
}
SPATIALBENCH = {
    "1m": (1, None), "3m": (3, None), "5m": (5, None), "ropedia": (8, 80), "10m": (10, None),
    "20m": (20, None), "30m": (30, None), "50m": (50, None), "80m": (80, None),
}  # fmt: skip
VIDEO_DEPTH_ANYTHING = {"scannet": 10, "bonn": 10, "nyuv2": 10, "kitti": 80, "sintel": 70}
ALL = [
    *of_lineage("cut3r", "CUT3R", False, *MONO, *SCALE, *SHIFT, "video_metric"),
    *of_lineage("monst3r", "monst3r", False, *MONO, *SHIFT),
    *of_lineage("pi3", "Pi3", True, *MONO, *SCALE, *SHIFT, "video_metric"),
    *of_lineage("g2vlm", "G2VLM", True, *MONO),
    *(
        Compared("moge", name, "MoGe", functions.moge(key), positional=True)
        for name, key in MOGE.items()
    ),
    *(
        Compared("marigold", name, "Marigold", run, kind, positional=kind != "map")
        for name, (run, kind) in MARIGOLD.items()
    ),
    Compared(
        "marigold", "disparity_nyu", "Marigold", marigold(0.001, 10, "nyu", None, True),
        "nyu", DISPARITY, positional=True,
    ),
    *of_unidepth("unidepth", "UniDepth"),
    *of_unidepth("unik3d", "UniK3D"),
    *(
        Compared("depth_anything_v2", name, "Depth-Anything-V2", functions.depth_anything(far))
        for name, far in (("kitti", 80), ("hypersim", 20))
    ),
    *(
        Compared("robustmvd", name, "robustmvd", functions.robustmvd(alignment))
        for name, alignment in (
            ("none", None), ("median", "median"), ("scale_shift", "least_squares_scale_shift"),
        )
    ),
    *(
        Compared(
            "mapanything", "", "map-anything", functions.mapanything, kind, positional=True,
            remark={"map": "one view", "video": "three views, true cameras"}[kind],
        )
        for kind in ("map", "video")
    ),
    *(
        Compared(
            "spatialbench", f"{alignment}_{name}", "SpatialBench",
            spatialbench(alignment == "median", *limits), "video", positional=True,
            shrunk=0.1 if name == "1m" else 1.0,
            remark=", ".join(
                ["TGM among it"] * (alignment == "median")
                + ["maps a tenth as deep"] * (name == "1m")
            ),
        )
        for alignment in ("metric", "median")
        for name, limits in SPATIALBENCH.items()
    ),
    *(
        Compared(
            "video_depth_anything", name, "Video-Depth-Anything",
            functions.video_depth_anything(far), "video", DISPARITY, positional=True,
            remark="TAE among it",
        )
        for name, far in VIDEO_DEPTH_ANYTHING.items()
    ),
]  # fmt: skip


def spread(compared: Compared, peers: Path, case: Case, values: dict[str, float]) -> float:
    """How far the peer's own values lie apart, relatively, over orders of the pixels."""
    runs = [values]
    runs += [compared.run(peers, shuffled(case, seed)) for seed in range(compared.orders)]
    return max(largest_gap(other, one)[0] for one in runs for other in runs)


def shuffled(case: Case, seed: int) -> Case:
    """The same pixels in another order, which moves no sum but by rounding."""
    order = np.random.default_rng(seed).permutation(case.true.size)
    predicted, true = (
        maps.ravel()[order].reshape(maps.shape) for maps in (case.predicted, case.true)
    )
    return replace(case, predicted=predicted, true=true)


def doubled(case: Case) -> Case:
    """The same numbers in double precision."""
    return replace(
        case, predicted=case.predicted.astype(np.float64), true=case.true.astype(np.float64)
    )


def cases(compared: Compared, seeds: int, realdata: Path | None) -> Iterator[Case]:
    """Random maps without and with tied predictions, then real ones.

    Every second random map is large enough to have a grid that MoGe fits on.
    """
    found = []
    for seed in range(seeds):
        ties = seed % 3 == 2
        size = (96, 131) if seed % 2 else SIZE
        video = compared.kind == "video"
        found.append(
            random_video(seed, ties) if video
            else random_case(seed, SIZES.get(compared.kind, size), ties)
        )  # fmt: skip
    if realdata is not None:
        found += real_cases(realdata, compared.kind)
    for case in found:
        near = np.float32(compared.shrunk)
        case = replace(case, predicted=near * case.predicted, true=near * case.true)
        disparity = compared.ambiguity is DISPARITY
        yield replace(case, predicted=1 / case.predicted) if disparity else case


def measured(compared: Compared, arguments: argparse.Namespace) -> Row:
    """Run one protocol and its peer on all cases."""
    label = ".".join(filter(None, (compared.profile, compared.protocol)))
    at = f"{compared.repository} {commit(arguments.peers / compared.repository)}"
    if compared.profile == "mapanything":
        label += f" ({compared.remark})"
    row = Row(label, at, compared.remark)
    for case in cases(compared, arguments.seeds, arguments.realdata):
        theirs = compared.run(arguments.peers, case)
        asked = sorted({*theirs, "delta1"})
        found = ours(compared.profile, compared.protocol, asked, case, compared.ambiguity)
        if arguments.values:
            print(f"# {label}, {case.name}: {theirs}")
        row.add(largest_gap(found, theirs), case.name, case.real)
        double = doubled(case)
        in_double = compared.run(arguments.peers, double)
        row.doubles.append(largest_gap(found, in_double)[0])
        if not compared.positional:
            row.spreads.append(spread(compared, arguments.peers, case, theirs))
            row.double_spreads.append(spread(compared, arguments.peers, double, in_double))
    return row


def main() -> None:
    """Run every peer that is there on every case and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", type=Path, required=True)
    parser.add_argument("--realdata", type=Path, help="real frames, as more cases")
    parser.add_argument("--seeds", type=int, default=6, help="random cases")
    parser.add_argument("--values", action="store_true", help="print the peers' values")
    parser.add_argument("--only", nargs="*", help="profiles or protocols of them, not all")
    parser.add_argument("--write", action="store_true", help="put the rows on docs/CONFORMANCE.md")
    arguments = parser.parse_args()
    print(HEAD, end="")
    for compared in ALL:
        label = f"{compared.profile}.{compared.protocol}"
        if arguments.only and not {compared.profile, label} & {*arguments.only}:
            continue
        try:
            row = measured(compared, arguments)
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            print(f"# {compared.profile}.{compared.protocol} skipped: {what}", flush=True)
            continue
        print(row.line, flush=True)
        if arguments.write:
            write("depth", [row])


if __name__ == "__main__":
    main()
