"""Score the same point maps with published code and with ours, and print the largest difference.

    python scripts/conformance_point_maps.py --peers DIR [--realdata DIR] [--write]

DIR holds the peers' checkouts by their repository's name (MoGe with utils3d at 3fab839, UniDepth,
UniK3D, map-anything), each at the commit that its profile names, which a file COMMIT may hold. They
are run, not copied. What is not there, or does not run, is skipped with its reason. It needs torch.

The largest relative difference is to the peer in single precision, as it computes, of any metric or
fitted number; `in double` that to the same code in double precision. Of a fit, the remark says how
much its loss differs, relatively: neighbouring fits may cost the same. Real frames and their
predictions are those of `REAL`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

import peer_code
import real_frames
from conformance_page import HEAD, Row, largest_gap, write
from g2vlm_bench.geometry import point_alignment as fits
from g2vlm_bench.geometry.cameras import unproject
from g2vlm_bench.sample import Ambiguity, Prediction, Target
from our_scores import family_of, unlabelled
from peer_code import commit, load, stand_in

Values = dict[str, float]
SIZE = (24, 32)
LARGE = (300, 400)
STEP = 32  # of the pixels of real frames; MoGe's solvers compare all pixels with all
# Real frames: of a task so many, and the predictions of it.
REAL = (
    ("depth/real_nyu", 3, "nano"),
    ("depth/real_tum", 1, "nano"),
    ("depth/real_kitti", 1, "nano"),
    ("depth/real_middlebury", 1, "nano"),
    ("depth/real_nyu", 1, "degraded"),
    (real_frames.REDWOOD, 1, "sensor"),
)


@dataclass(frozen=True)
class Case:
    """A predicted point map (H, W, 3) float32, true depth (H, W) float32, and its camera."""

    name: str
    predicted: np.ndarray
    depth: np.ndarray
    intrinsics: np.ndarray
    real: bool = False

    @property
    def true(self) -> np.ndarray:
        """The true point map, float32, NaN where there is none."""
        return unproject(self.depth, self.intrinsics).astype(np.float32)

    @property
    def segments(self) -> np.ndarray:
        """Four upright stripes, of which the first is no segment."""
        height, width = self.depth.shape
        return np.tile((np.arange(width) * 4 // width).astype(np.int32), (height, 1))

    @property
    def mask(self) -> np.ndarray:
        """The valid pixels."""
        return np.asarray(np.isfinite(self.depth))


def random_case(seed: int, size: tuple[int, int] = SIZE, ties: bool = False) -> Case:
    """Piecewise planes with steps and holes, seen by a camera that is not quite the true one."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: size[0], : size[1]] / np.array(size)[:, None, None]
    depth = 2 + 3 * rows + 1.5 * np.floor(4 * columns) * rng.uniform(0.5, 1)
    depth[rng.random(size) < 0.05] = np.nan
    camera = camera_of(size)
    seen_by = camera * np.array([[1.15, 1, 1.02], [1, 1.15, 0.97], [1, 1, 1]])
    guess = (0.6 * np.nan_to_num(depth, nan=3.0) + 0.4) * rng.lognormal(0, 0.08, size)
    predicted = unproject(guess, seen_by) + np.array([0.05, -0.03, 0.1])
    if ties:
        predicted = np.round(predicted / 0.1037) * 0.1037
        predicted[..., 2] = np.maximum(predicted[..., 2], 2.0)
    return Case(f"seed {seed}", predicted.astype(np.float32), depth.astype(np.float32), camera)


def camera_of(size: tuple[int, int]) -> np.ndarray:
    """A pinhole whose focal length is the picture's width."""
    height, width = size
    return np.array([[width, 0, width / 2], [0, width, height / 2], [0, 0, 1.0]])


def ours(profile: str, name: str | None, metrics: list[str], case: Case) -> Values:
    """Score one case under one protocol of a profile, as a task would."""
    scored = family_of("point_map", profile, name or "", tuple(metrics)).score(
        Target(depth_m=(case.depth,), intrinsics=(case.intrinsics,), segments=(case.segments,)),
        Prediction(point_maps=(case.predicted,)),
        Ambiguity.METRIC,
    )
    return unlabelled(scored.values)


# --------------------------------------------------------------------------------------- peers


def moge(key: str, found_in: str = "", prefix: str = "point") -> Callable[..., Values]:
    """MoGe's `compute_metrics` of points."""

    def run(peers: Path, case: Case, dtype: Any) -> Values:
        import torch

        metrics = peer_code.moge(peers, "moge.test.metrics")
        mask = case.mask
        truth = {
            "depth": torch.tensor(case.depth.astype(dtype)),
            "points": torch.tensor(np.where(mask[..., None], case.true, 1).astype(dtype)),
            "depth_mask": torch.tensor(mask), "is_metric": True, "has_sharp_boundary": False,
        }  # fmt: skip
        if found_in == "local_points":
            truth["segmentation_mask"] = torch.tensor(case.segments)
            truth["segmentation_labels"] = {"one": 1, "two": 2, "three": 3}
        # Offered in the key's own name: what is metric would be fitted in all three ways.
        found = metrics.compute_metrics({key: torch.tensor(case.predicted.astype(dtype))}, truth)
        of_points = found[0][found_in or key]
        return {f"{prefix}_abs_rel": of_points["rel"], f"{prefix}_delta1": of_points["delta1"]}

    return run


def eval_3d(repository: str, package: str) -> Callable[[Path, Case, Any], Values]:
    """UniDepth's and UniK3D's `eval_3d`; its neighbours, a CUDA extension, are not asked for."""
    names = {"point_error": "MSE_3d"}
    if package == "unik3d":
        names |= {
            "point_abs_rel": "arel_3d",
            "point_inlier_1.25": "tau_3d",
            "ray_auc_15": "rays",
        }

    def run(peers: Path, case: Case, dtype: Any) -> Values:
        import torch

        module = peer_code.unidepth(peers, repository, package)
        maps = [
            torch.tensor(np.where(case.mask[..., None], a, 1).astype(dtype)).permute(2, 0, 1)[None]
            for a in (case.true, case.predicted)
        ]
        # As their `AnnotationMask` does for iBims-1.
        mask = torch.tensor(case.mask & (case.depth < 25))[None, None]
        found = module.eval_3d(*maps, mask, thresholds=torch.tensor([0.1]))
        return {ours: float(found[theirs]) for ours, theirs in names.items()}

    return run


def mapanything(peers: Path, case: Case, dtype: Any) -> Values:
    """MapAnything's normalisation and metrics, for one view."""
    import torch

    sys.path.insert(0, str(peers / "map-anything"))
    stand_in("einops")
    geometry = load(peers / "map-anything/mapanything/utils/geometry.py")
    module = load(peers / "map-anything/mapanything/utils/metrics.py")
    mask = case.mask
    normed = []
    for points in (case.true, case.predicted):
        filled = np.where(mask[..., None], points, 0).astype(dtype)
        views, masks = [torch.tensor(filled)[None]], [torch.tensor(mask)[None]]
        normed.append(geometry.normalize_multiple_pointclouds(views, masks)[0][0].numpy())
    return {
        "point_abs_rel": float(module.m_rel_ae(gt=normed[0], pred=normed[1], mask=mask)),
        "point_inlier_1.03": float(
            module.thresh_inliers(gt=normed[0], pred=normed[1], thresh=1.03, mask=mask)
        ),
    }


# Profile, its protocol, the peer's folder, and the peer's own scoring.
PEERS: list[tuple[str, str | None, str, Callable[[Path, Case, Any], Values]]] = [
    ("moge", "metric", "MoGe", moge("points_metric")),
    ("moge", "scale", "MoGe", moge("points_scale_invariant")),
    ("moge", "affine", "MoGe", moge("points_affine_invariant")),
    ("moge", "local", "MoGe", moge("points_affine_invariant", "local_points", "local")),
    ("unidepth", "ibims", "UniDepth", eval_3d("UniDepth", "unidepth")),
    ("unik3d", "ibims", "UniK3D", eval_3d("UniK3D", "unik3d")),
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


def real_case(scene: real_frames.Scene, step: int) -> Case:
    """The first view of a real sample, thinned."""
    (depth, *_), (points, *_) = scene.target.depth_m or (), scene.prediction.point_maps or ()
    matrix = real_frames.thinned((scene.target.intrinsics or ())[0], step)
    return Case(
        scene.name, points[::step, ::step].astype(np.float32),
        depth[::step, ::step].astype(np.float32), matrix, real=True,
    )  # fmt: skip


def cases(arguments: argparse.Namespace, step: int = STEP) -> Iterator[Case]:
    """Random maps, every third with tied predictions, and real ones."""
    for seed in range(arguments.seeds):
        yield random_case(seed, ties=seed % 3 == 2)
    for task, count, kind in REAL if arguments.realdata else ():
        for scene in real_frames.scenes(arguments.realdata, task, kind)[:count]:
            yield real_case(scene, step)


def profile_rows(arguments: argparse.Namespace) -> Iterator[Row]:
    """How far each profile is from its peer."""
    for profile, name, repository, run in PEERS:
        if arguments.only and profile not in arguments.only:
            continue
        row = Row(
            ".".join(filter(None, (profile, name))),
            f"{repository} {commit(arguments.peers / repository)}",
        )
        # Their maps are large enough to be thinned.
        thinning = profile.startswith("uni")
        many = [*cases(arguments, 2 if thinning else STEP)]
        many += [random_case(99, LARGE)] if thinning else []
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
    parser.add_argument("--only", nargs="*", help="profiles, instead of all")
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
