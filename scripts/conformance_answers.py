"""Score the same answers with published scorers' own functions and with our profiles of them.

    python scripts/conformance_answers.py --peers DIR [--write]

DIR holds the peers' checkouts by their repository's name (lmms-eval, VLMEvalKit, thinking-in-space,
SPAR, MindCube, OmniSpatial, OST-Bench, BLINK_Benchmark, ViewSpatial-Bench, MMSI-Bench, RoboRefer,
RoboSpatial-Eval, All-Angles-Bench, SpatialMQA), each at the commit that the profiles name. Their
functions are run, not copied: of a file only plain imports, functions, classes and constants are
executed, so that nothing is downloaded and no model is run. What is not there is skipped with its
reason. The answers are those of tests/protocols/adversarial_answers.yaml; `--write` puts the peers'
scores beside them, in adversarial_scores.json, which the tests hold our profiles to.

Exits with 1 where a profile and its peer disagree.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
from pathlib import Path

from adversarial_answers import SCORES, SOURCES, ours, profiles, read_answers
from answer_peers import lmms_eval, means, official, vlmevalkit
from answer_peers.checkouts import Peers, Scorer
from g2vlm_bench.plugins import Plugins
from g2vlm_bench.profile import load_profile
from g2vlm_bench.protocols.answers import QaProtocol, without_thoughts
from g2vlm_bench.sample import Target

PEERS = {"official": official, "lmms_eval": lmms_eval, "vlmevalkit": vlmevalkit}


def main() -> int:
    """Compare every profile with its peer on every answer."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--peers", type=Path, required=True)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    peers = Peers(arguments.peers)
    scorers = {
        f"{name}.{rule}": make
        for name, source in PEERS.items()
        for rule, make in source.scorers(peers).items()
    }
    written: dict[str, list[float | None]] = {}
    n_different = 0
    for label, protocol in profiles().items():
        try:
            peer = scorers[label]()
        except Exception as error:
            print(f"{label:32} skipped: {type(error).__name__}: {error}")
            continue
        written[label], different = compare(label, protocol, peer)
        n_different += different
    n_different += means.compare(peers)
    if arguments.write:
        commits = {n: load_profile(Plugins.find().path("profile", n)).reference for n in SOURCES}
        content = {"run": "scripts/conformance_answers.py --write", "peers": commits}
        SCORES.write_text(json.dumps({**content, "scores": written}, indent=None) + "\n")
    return int(n_different > 0)


def compare(label: str, protocol: QaProtocol, peer: Scorer) -> tuple[list[float | None], int]:
    """Print where a profile and its peer differ; give the peer's scores and how many differ."""
    targets, answers = read_answers()
    scores: list[float | None] = []
    different = 0
    for name, said, _ in answers:
        target = targets[name]
        if not protocol.applies(target):
            continue
        text = without_thoughts(said) if protocol.thought == "lmms_eval" else said
        with contextlib.redirect_stdout(io.StringIO()):
            theirs = _ran(peer, text, target)
        mine = ours(protocol, said, target)
        scores.append(theirs)
        if not _same(mine, theirs):
            different += 1
            print(f"  {label}: {name}, {said!r}: {mine} here, {theirs} there")
    print(f"{label:32} {len(scores):4} answers, {different} differ")
    return scores, different


def _ran(peer: Scorer, text: str, target: Target) -> float | None:
    try:
        return peer(text, target)
    except Exception as error:
        print(error)
        return float("nan")


def _same(mine: float | None, theirs: float | None) -> bool:
    if mine is None or theirs is None:
        return mine is theirs
    return abs(mine - theirs) < 1e-12


if __name__ == "__main__":
    sys.exit(main())
