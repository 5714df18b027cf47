"""CUT3R's `depth_evaluation` and its copies in MonST3R, Pi3 and G2VLM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from depth_peers.cases import Case, Peer
from peer_code import load, stand_in

FILES = {
    "CUT3R": "CUT3R/eval/monodepth/tools.py",
    "monst3r": "monst3r/dust3r/depth_eval.py",
    "Pi3": "Pi3/utils/depth.py",
    "G2VLM": "G2VLM/eval_code/recons/utils/depth.py",
}
NAMES = {
    "abs_rel": "Abs Rel", "sq_rel": "Sq Rel", "rmse": "RMSE", "rmse_log": "Log RMSE",
    "delta1": "δ < 1.25", "delta2": "δ < 1.25^2", "delta3": "δ < 1.25^3",
}  # fmt: skip


def lineage(repository: str, **options: Any) -> Peer:
    """A repository's `depth_evaluation`, with its options."""

    def run(peers: Path, case: Case) -> dict[str, float]:
        for name in ("dust3r.image_pairs", "dust3r.inference", "dust3r.utils.image"):
            stand_in(name, make_pairs=0, inference=0, load_images=0, rgb=0, enlarge_seg_masks=0)
        for name in ("dust3r", "dust3r.utils", "dust3r.eval_metadata", "cv2", "tqdm"):
            stand_in(name, dataset_metadata={}, tqdm=0, eval_metadata=0)
        module = load(peers / FILES[repository])
        results = module.depth_evaluation(case.predicted.copy(), case.true.copy(), **options)[0]
        return {ours: results[theirs] for ours, theirs in NAMES.items() if theirs in results}

    return run


def options_of(protocol: str, scaled: bool) -> dict[str, Any]:
    """What a protocol of the profiles is called with: its alignment, and its data set's range.

    Args:
        protocol: Its name.
        scaled: Whether single maps are fitted by `align_with_scale`, as Pi3 does, or by medians.
    """
    data: dict[str, Any] = {"max_depth": None}
    if protocol.endswith(("_sintel", "_bonn")):
        data = {"max_depth": 70}
    if protocol.endswith("_sintel"):
        data |= {"post_clip_max": 70}
    if protocol.startswith("video_scale_shift"):
        return data | {"align_with_lad2": True}
    if protocol.startswith("video_metric"):
        return data | {"metric_scale": True}
    if protocol.startswith("video_scale") or scaled:
        return data | {"align_with_scale": True}
    return data
