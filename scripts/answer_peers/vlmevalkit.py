"""What VLMEvalKit makes of an answer, benchmark by benchmark."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from answer_peers import rules
from answer_peers.checkouts import Peers, Scorer
from g2vlm_bench.protocols.counted import letters_of, right_letter
from g2vlm_bench.sample import Target


def scorers(peers: Peers) -> dict[str, Callable[[], Scorer]]:
    """A profile's rule -> how to make its peer."""
    return {
        "vsi_bench": lambda: _spatial(peers),
        "spar_bench": lambda: _spar(peers),
        "spatial": lambda: _spatial(peers),
        **{
            name: lambda: rules.can_infer(peers.kit("utils/matching_util.py"))
            for name in ("blink", "cv_bench", "three_d_sr")
        },
        "lego_puzzles": lambda: _lego(peers.kit("utils/matching_util.py")),
        "vsr": lambda: _vsr(peers.kit("dataset/utils/yorn.py"), peers.kit("smp/misc.py")),
        "ost_bench": lambda: rules.ost(peers.kit("dataset/ost_bench.py"), "Failed"),
        "refspatial": lambda: _refspatial(peers.kit("dataset/refspatialbench.py")),
        "robospatial": lambda: _robo(peers.kit("dataset/robospatialbench.py")),
        "spatial457": lambda: _457(peers.kit("dataset/utils/spatial457.py")),
    }


def _spatial(peers: Peers) -> Scorer:
    space = peers.kit("dataset/utils/spatial_bench/matching_func.py")
    scores = peers.kit("dataset/utils/spatial_bench/cal_scores.py")

    def score(text: str, target: Target) -> float:
        if target.answer_type == "choice":
            said = space["can_match_option"](text)
            return float(
                scores["exact_match"](said, space["can_match_option"](right_letter(target)))
            )
        number = space["can_match_na"](text)
        if number is None:
            return 0.0
        return float(scores["mean_relative_accuracy"](number, float(target.answer)))  # type: ignore[arg-type]

    return score


def _spar(peers: Peers) -> Scorer:
    plain = _spatial(peers)
    bench = next(
        value
        for name, value in peers.kit("dataset/sparbench.py").items()
        if name.lower().startswith("spar") and hasattr(value, "_compute_vci_metric")
    )
    return lambda text, target: (
        float(bench._compute_vci_metric(text, target.answer))
        if target.answer_type == "camera_change"
        else plain(text, target)
    )


def _lego(space: dict[str, Any]) -> Scorer:
    space["cp"], space["os"] = __import__("copy"), __import__("os")

    def score(text: str, target: Target) -> float:
        if target.answer_type == "text":
            return float(space["can_infer_lego"](text, "sort", {}) == target.answer)
        options = dict(zip(letters_of(target), target.choices, strict=True))
        said = space["can_infer_lego"](text, "multiple-choice", options)
        return float(said == right_letter(target))

    return score


def _vsr(space: dict[str, Any], misc: dict[str, Any]) -> Scorer:
    space["process_punctuation"] = misc["process_punctuation"]
    return lambda text, target: float(space["YOrN_Extraction"](text).lower() == target.answer)


def _refspatial(space: dict[str, Any]) -> Scorer:
    def score(text: str, target: Target) -> float:
        mask = np.asarray(target.region).astype(np.uint8)
        points = space["Point2DParser"].parse(text, mask.shape[1], mask.shape[0], output="pixel")
        return float(np.mean([mask[y, x] for x, y in points])) if len(points) else 0.0

    return score


def _robo(space: dict[str, Any]) -> Scorer:
    bench = space["RoboSpatialBench"]

    def score(text: str, target: Target) -> float:
        truth = str(target.answer) if target.answer_type == "yes_no" else rules.polygon(target)
        height, width = target.image_size or (1, 1)
        return float(bench.evaluate_answer(truth, text, width, height)[0])

    return score


def _457(space: dict[str, Any]) -> Scorer:
    rule = space["Spatial457_utils"]()

    def score(text: str, target: Target) -> float:
        # As vlmeval/dataset/spatial457.py finds the answer, with ROBUST as it is set there.
        keys = (r"Answer': '(.*?)'", r'Answer": "(.*?)"', r"Answer': (\d)")
        found = next((match[1] for key in keys if (match := re.search(key, text))), text)
        return float(rule.is_correct(rules.spelt(target), found))

    return score
