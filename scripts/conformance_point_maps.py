"""Score the same point maps with published code and with ours, and print the largest difference.

    python scripts/conformance_point_maps.py --peers DIR [--realdata DIR] [--write]

DIR holds the peers' checkouts by their repository's name (MoGe with utils3d at 3fab839, UniDepth,
UniK3D, map-anything), each at the commit that its profile names, which a file COMMIT may hold. They
are run, not copied. What is not there, or does not run, is skipped with its reason. It needs torch.

The largest relative difference is to the peer in single precision, as it computes, of any metric or
fitted number; `in double` that to the same code in double precision. Of a fit, the remark says how
much its loss differs, relatively: neighbouring fits may cost the same. Real frames and their
predictions are those of `point_map_peers.cases`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

import peer_code
from conformance_page import HEAD, Row, largest_gap, write
from depth_peers.unidepth import DATA
from g2vlm_bench.geometry import point_alignment as fits
from peer_code import commit
from point_map_peers.cases import Case, Values, cases, cases_of_data, ours
from point_map_peers.functions import eval_3d, mapanything, moge

# Profile, its protocol, the peer's folder, and the peer's own scoring.
PEERS: list[tuple[str, str | None, str, Callable[[Path, Case, Any], Values]]] = [
    ("moge", "metric", "MoGe", moge("points_metric")),
    ("moge", "scale", "MoGe", moge("points_scale_invariant")),
    ("moge", "affine", "MoGe", moge("points_affine_invariant", camera_too=True)),
    ("moge", "local", "MoGe", moge("points_affine_invariant", "local_points", "local")),
    *(
        (package, data, repository, eval_3d(repository, package, data))
        for package, repository in (("unidepth", "UniDepth"), ("unik3d", "UniK3D"))
        for data in DATA
    ),
    ("mapanything", None, "map-anything", mapanything),
]

# Our fit and MoGe's, which gives a scale and a shift, or one of them.
FITS = {
    "l1_scale": "align_points_scale",
    "l1_z_shift": "align_points_z_shift",
    "l1_xyz_shift": "align_points_xyz_shift",
    "anchored_scale_z_shift": "align_points_scale_z_shift",
    "anchored_scale_xyz_shift": "align_points_scale_xyz_shift",
}


def moge_fit(peers: Path, name: str, case: Case, dtype: Any) -> tuple[float, np.ndarray]:
    """Scale and shift by MoGe's solver of a name, weights 1 / |g|."""
    import torch

    mask = case.mask
    points, truth = (torch.tensor(a[mask].astype(dtype)) for a in (case.predicted, case.true))
    solver = getattr(peer_code.moge(peers, "moge.utils.alignment"), FITS[name])
    found = solver(points, truth, 1 / truth.norm(dim=-1))
    if isinstance(found, tuple):
        return float(found[0]), found[1].numpy().astype(np.float64)
    if found.ndim:
        return 1.0, found.numpy().astype(np.float64)
    return float(found), np.zeros(3)


def our_fit(name: str, case: Case) -> tuple[float, np.ndarray]:
    """Scale and shift by our fit of a name, weights 1 / |g|."""
    points, truth = (a[case.mask].astype(np.float64) for a in (case.predicted, case.true))
    found = getattr(fits, name)(points, truth, 1 / np.linalg.norm(truth, axis=1))
    return found.scale, np.array(found.shift)


def anchored_loss(name: str, case: Case, scale: float, shift: np.ndarray) -> float:
    """What a fit costs, as the peer counts it: what lies exactly beside the anchor is free."""
    points, truth = (a[case.mask].astype(np.float64) for a in (case.predicted, case.true))
    weights = 1 / np.linalg.norm(truth, axis=1)
    residual = np.abs(scale * points + shift - truth)
    if name.startswith("anchored"):
        shifted = [name.endswith("xyz_shift")] * 2 + [True]
        anchor = int(np.argmin(residual[:, shifted].sum(axis=1)))
        beside = points == np.where(shifted, points[anchor], 0.0)
        residual = np.where(beside, 0.0, residual)
    return float(weights @ residual.sum(axis=1))


# --------------------------------------------------------------------------------------- tables


def profile_rows(arguments: argparse.Namespace) -> Iterator[Row]:
    """How far each profile is from its peer."""
    for profile, name, repository, run in PEERS:
        label = ".".join(filter(None, (profile, name)))
        if arguments.only and not {profile, label} & {*arguments.only}:
            continue
        row = Row(
            label,
            f"{repository} {commit(arguments.peers / repository)}",
        )
        many = cases_of_data(arguments, name) if name in DATA else cases(arguments)
        try:
            for case in many:
                theirs = run(arguments.peers, case, np.float32)
                found = ours(profile, name, list(theirs), case)
                if arguments.values:
                    print(f"# {row.profile}, {case.name}: {theirs}")
                row.add(largest_gap(found, theirs), case.name, case.real)
                double = run(arguments.peers, case, np.float64)
                row.doubles.append(largest_gap(found, double)[0])
        except Exception as error:
            print(f"# {row.profile} skipped: {type(error).__name__}: {error}")
            continue
        yield row


def fit_rows(arguments: argparse.Namespace) -> Iterator[Row]:
    """How far each fit is from MoGe's, relative to the larger of scale and shift."""
    for name, solver in FITS.items():
        row = Row(f"{name} ({solver})", f"MoGe {commit(arguments.peers / 'MoGe')}")
        losses: list[float] = []
        try:
            for case in cases(arguments):
                scale, shift = our_fit(name, case)
                gaps = []
                for dtype in (np.float32, np.float64):
                    s, t = moge_fit(arguments.peers, name, case, dtype)
                    apart = np.abs(np.array([scale, *shift]) - [s, *t]).max()
                    gaps.append(float(apart / max(abs(s), np.abs(t).max())))
                row.add((gaps[0], "fit"), case.name, case.real)
                row.doubles.append(gaps[1])
                costs = anchored_loss(name, case, scale, shift)
                losses.append(abs(costs / anchored_loss(name, case, s, t) - 1))
        except Exception as error:
            print(f"# {name} skipped: {type(error).__name__}: {error}")
            continue
        row.remark = f"loss in double differs by {max(losses):.1e}"
        yield row


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
    fits_too = not arguments.only or "moge" in arguments.only
    for row in chain(profile_rows(arguments), fit_rows(arguments) if fits_too else ()):
        print(row.line, flush=True)
        if arguments.write:
            write("point maps", [row])


if __name__ == "__main__":
    main()
