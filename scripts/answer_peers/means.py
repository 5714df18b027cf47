"""What papers average how: our means of scores drawn at random, beside the peers'."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from adversarial_answers import profiles
from answer_peers.checkouts import Peers
from g2vlm_bench.aggregate import aggregate
from g2vlm_bench.metric import MetricSpec
from g2vlm_bench.plugins import Plugins
from g2vlm_bench.protocols.answers import Mean
from g2vlm_bench.store import SampleLine
from g2vlm_bench.yaml_files import convert

# A seed in; our mean and theirs out.
Pair = Callable[[int], tuple[float, float]]


def compare(peers: Peers) -> int:
    """Print how far our means are from the peers' on the same scores; count those that differ."""
    n_different = 0
    for name, make in _published(peers).items():
        try:
            both = make()
        except FileNotFoundError as error:
            print(f"mean {name:32} skipped: {error}")
            continue
        pairs = [both(seed) for seed in range(5)]
        worst = max(abs(mine - theirs) for mine, theirs in pairs)
        # lmms-eval rounds VSI-Bench's overall to six digits.
        n_different += worst > (1e-6 if name.startswith("lmms_eval.vsi") else 1e-9)
        print(f"mean {name:32} 5 seeds, largest difference {worst:.1e}")
    return n_different


def _published(peers: Peers) -> dict[str, Callable[[], Pair]]:
    """What papers average how: name -> how to make (ours, theirs) of scores drawn by a seed."""
    return {
        "official.vsi_bench overall": lambda: _vsi(
            peers.own("thinking-in-space", "lmms_eval/tasks/vsibench/utils.py"),
            "official.vsi_bench",
            "vsibench_aggregate_results",
        ),
        "lmms_eval.vsi_bench overall": lambda: _vsi(
            peers.lmms("vsibench"), "lmms_eval.vsi_bench", "vsibench_aggregate_overall"
        ),
        **{
            f"lmms_eval.spar_bench {part}": lambda part=part: _spar(  # type: ignore[misc]
                peers.lmms("sparbench"), part, "lmms_eval.spar_bench"
            )
            for part in ("overall", "low", "middle", "high")
        },
        "official.spar_bench overall": lambda: _spar(
            peers.own("SPAR", "lmms-eval/lmms_eval/tasks/sparbench/utils.py"),
            "overall",
            "official.spar_bench",
        ),
        "ost_bench overall": lambda: _ost(
            peers.own("OST-Bench", "evaluation/OST_evaluator.py"),
            peers.kit("dataset/ost_bench.py")["name_mapping"],
        ),
        **{
            f"lmms_eval.three_d_sr {kind}": lambda kind=kind: _three_d_sr(  # type: ignore[misc]
                peers.lmms("3dsrbench"), kind
            )
            for kind in ("flip", "circular", "flip_circular")
        },
        "cv_bench, the paper's mean": lambda: _cv_bench(peers.lmms("cv_bench")),
        "site, chance-adjusted": lambda: _caa(
            peers.kit("dataset/utils/spatial_bench/cal_scores.py")
        ),
    }


def spec(by: str = "", shares: Any = (), together: str | None = None) -> MetricSpec:
    """A share that is right, reduced as a protocol's mean says."""
    return MetricSpec(
        name="right", unit="1", higher_is_better=True, best=1.0, worst=0.0,
        by=by or None, shares=shares, together=together,
    )  # fmt: skip


def reduced(one: MetricSpec, rows: list[dict[str, Any]]) -> float:
    """The value of a metric over rows of a score, tags and groups."""
    lines = (
        SampleLine(
            id=str(i), cluster=str(i), status="scored", tags=row["tags"],
            groups=row.get("groups", {}), values={"right": row["score"]},
        )
        for i, row in enumerate(rows)
    )  # fmt: skip
    return float(aggregate([one], lines).columns["right"].result(0).value or 0.0)


def drawn(kinds: list[str], tag: str, seed: int, credits: bool) -> list[dict[str, Any]]:
    """Scores at random, some kinds far more often than others."""
    rng = np.random.default_rng(seed)
    rows = []
    for kind in kinds:
        for _ in range(int(rng.integers(1, 40))):
            score = rng.integers(0, 11) / 10 if credits else float(rng.integers(0, 2))
            rows.append({"tags": {tag: kind}, "score": float(score)})
    return rows


def _vsi(space: dict[str, Any], label: str, call: str) -> Pair:
    mean = profiles()[label].means["overall"]

    def both(seed: int) -> tuple[float, float]:
        rows = drawn([kind for kind, _ in mean.shares], "question_type", seed, True)
        docs = [
            {
                "question_type": row["tags"]["question_type"],
                "accuracy": row["score"],
                "MRA:.5:.95:.05": row["score"],
            }
            for row in rows
        ]
        theirs = space[call](docs)
        theirs = theirs["overall"] if isinstance(theirs, dict) else theirs
        return mean.scale * reduced(spec("question_type", mean.shares), rows), theirs

    return both


def _spar(space: dict[str, Any], part: str, label: str) -> Pair:
    mean = profiles()[label].means[part]
    kinds = space["MCA_QUESTION_TYPES"] + space["NA_QUESTION_TYPES"] + ["view_change_infer"]

    def both(seed: int) -> tuple[float, float]:
        rows = drawn(kinds, "question_type", seed, True)
        docs = [
            {
                "task": row["tags"]["question_type"],
                **dict.fromkeys(("accuracy", "MRA:.5:.95:.05", "vci_metric"), row["score"]),
            }
            for row in rows
        ]
        theirs = space[f"sparbench_aggregate_{'results' if part == 'overall' else part}"](docs)
        return mean.scale * reduced(spec("question_type", mean.shares), rows), theirs

    return both


def _ost(space: dict[str, Any], names: Callable[[str], str]) -> Pair:
    plugins = Plugins.find()
    options = plugins.task("spatial_qa/ost_bench").options
    mean = convert(options["means"]["overall"], Mean, "ost_bench")

    def both(seed: int) -> tuple[float, float]:
        rows = drawn([kind for kind, _ in mean.shares], "type", seed, True)
        means = {
            names(kind): float(
                np.mean([row["score"] for row in rows if row["tags"]["type"] == kind])
            )
            for kind, _ in mean.shares
        }
        return reduced(spec("type", mean.shares), rows), space["collect_results"](means)[1][
            "Overall"
        ]

    return both


def _three_d_sr(space: dict[str, Any], kind: str) -> Pair:
    def both(seed: int) -> tuple[float, float]:
        rng = np.random.default_rng(seed)
        rows = []
        for number in range(60):
            for tail in ("", "-1", "-flip", "-flip-1")[: int(rng.integers(1, 5))]:
                qid = f"Q{number:07d}{tail}"
                groups = {
                    "flip": qid.replace("-flip", ""),
                    "circular": qid[:13] if "-flip" in qid else qid[:8],
                    "flip_circular": qid[:8],
                }
                score = float(rng.random() < 0.7)
                rows.append({"tags": {}, "groups": groups, "score": score, "qid": qid})
        theirs = space[f"aggregate_{kind}_accuracy"](rows)
        return reduced(spec(together=kind), rows), theirs

    return both


def _cv_bench(space: dict[str, Any]) -> Pair:
    shares = Mean(by="source", of=[["ADE20K", "COCO"], "Omni3D"]).shares

    def both(seed: int) -> tuple[float, float]:
        rows = drawn(["ADE20K", "COCO", "Omni3D"], "source", seed, False)
        docs = [{"source": r["tags"]["source"], "is_correct": r["score"]} for r in rows]
        theirs = space["cv_bench_default_aggregate_results"](docs)
        return reduced(spec("source", shares), rows), theirs

    return both


def _caa(space: dict[str, Any]) -> Pair:
    def both(seed: int) -> tuple[float, float]:
        import pandas

        rng = np.random.default_rng(seed)
        counts, hits = rng.integers(2, 7, 50), rng.integers(0, 2, 50)
        frame = pandas.DataFrame({"options": [["x"] * int(n) for n in counts], "hit": hits})
        above = spec()
        lines = (
            SampleLine(
                id=str(i), cluster=str(i), status="scored", weights={"w": 1 - 1 / n},
                values={"right": (hit - 1 / n) / (1 - 1 / n)},
            )
            for i, (n, hit) in enumerate(zip(counts, hits, strict=True))
        )  # fmt: skip
        weighed = msgspec.structs.replace(above, weight="w", worst=-1.0)
        mine = aggregate([weighed], lines).columns["right"].result(0).value
        return float(mine or 0.0), space["compute_caa_score"](frame)

    return both
