"""Writes docs/PROTOCOLS.md and its picture from the profile files, so that they cannot disagree.

python scripts/protocol_page.py
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from g2vlm_bench.plugins import Plugins
from g2vlm_bench.profile import Profile, load_profile
from g2vlm_bench.sample import Ambiguity, Prediction, Target
from g2vlm_bench.survey import survey

PROJECT = Path(__file__).parent.parent
DOCS = PROJECT / "docs"
HEAD = """# Protocols

Two published tables under one metric name often differ only in an alignment or a mean. Here each
published protocol has a name, a *profile*, that fixes everything between a prediction and a number
and lists the quirks of the code whose numbers it gives. A task names it, and its name stands in the
metric's: `{profile: moge}` makes `abs_rel@moge`. Without a profile a protocol says what it does by
itself (`abs_rel@median_scale+cap80`); those are the correct ones.

A profile also names the metrics that its code reports, and gives no others: there is no `ate@vggt`,
and UniDepth's SILog is `si_log_sample@unidepth.nyu_metric`, not `si_log`, which is Marigold's. A
task's metric stands under each of its protocols that defines it; one that none defines is refused,
and so is a protocol that defines none. `default` and protocols that are written out define all.

What the protocol alone is worth, on one map:

![AbsRel of one depth map under every depth profile](protocols.png)

The map is the truth of a plane and a sphere, scaled by 1.7, shifted by 0.2 m, with 8 % noise and
3 % outliers (`scripts/protocol_page.py`, seed 0). `g2vlm-bench protocols PREDICTION TRUTH` shows
one of yours under all of them.

This page is written by `python scripts/protocol_page.py` from `tasks/profiles/*.yaml`.
"""


def main() -> None:
    """Write the page and its picture."""
    plugins = Plugins()
    (DOCS / "PROTOCOLS.md").write_text(page(plugins), encoding="utf-8")
    picture(plugins, DOCS / "protocols.png")


def page(plugins: Plugins) -> str:
    """The page: a table of profiles, then each with its protocols and quirks."""
    profiles = [load_profile(plugins.path("profile", name)) for name in plugins.names("profile")]
    rows = ["| profile | what it is | families | fixes | metrics | reference |"]
    rows += ["| --- | --- | --- | --- | --- | --- |"]
    rows += [
        f"| [`{p.name}`](#{p.name}) | {p.title} | {', '.join(sorted(p.protocols))} | {fixed(p)} "
        f"| {reported(p)} | {p.reference} |"
        for p in profiles
    ]
    sections = [section(profile) for profile in profiles]
    return "\n".join([HEAD, *rows, "", *sections]).rstrip() + "\n"


def fixed(profile: Profile) -> str:
    """The parts in which its protocols depart from the default, the most frequent first."""
    counts = Counter(
        key.replace("_", " ")
        for protocols in profile.protocols.values()
        for one in protocols
        for key in one
        if key != "name"
    )
    return ", ".join(name for name, _ in counts.most_common()) or "nothing"


def reported(profile: Profile) -> str:
    """The metrics that its code reports under any of its protocols, family by family."""
    of: dict[str, dict[str, None]] = {}
    for pattern, one in profile.reports.items():
        of.setdefault(pattern.partition(".")[0], {}).update(dict.fromkeys(one.metrics))
    if len(profile.protocols) == 1:
        return ", ".join(of.popitem()[1]) if of else "all"
    return "; ".join(
        f"{family}: {', '.join(of[family]) if family in of else 'all'}"
        for family in sorted(profile.protocols)
    )


def section(profile: Profile) -> str:
    """One profile: what it fixes in each family, and its quirks."""
    lines = [f"## {profile.name}", "", f"{profile.title}. Reference: {profile.reference}.", ""]
    for family, protocols in sorted(profile.protocols.items()):
        lines += [f"- {family} `{label(profile, one)}`: {described(one)}" for one in protocols]
    if profile.reports:
        lines += ["", "Metrics:", ""]
        lines += [
            f"- {of}: {', '.join(said.metrics)} ({said.file})"
            for of, said in profile.reports.items()
        ]
    if profile.quirks:
        lines += ["", "Quirks:", "", *(f"- {quirk}" for quirk in profile.quirks)]
    return "\n".join([*lines, ""])


def label(profile: Profile, fields: dict[str, Any]) -> str:
    """The label that stands in the metric's name."""
    return f"{profile.name}.{fields['name']}" if "name" in fields else profile.name


def described(fields: dict[str, Any]) -> str:
    """The fields that depart from the default."""
    told = [f"{key} {value}" for key, value in fields.items() if key != "name"]
    return ", ".join(told) or "the default"


def picture(plugins: Plugins, path: Path) -> None:
    """Bars of AbsRel under every depth profile, smallest first."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    truth, prediction = maps()
    target, predicted = Target(depth_m=(truth,)), Prediction(depth=(prediction,))
    readings = survey(plugins, "depth", target, predicted, Ambiguity.METRIC, ["abs_rel"])
    alike: dict[str, list[str]] = {}
    for reading in readings:
        if "abs_rel" in reading.values:
            alike.setdefault(f"{reading.values['abs_rel']:.3f}", []).append(reading.protocol)
    bars = sorted((float(value), grouped(names)) for value, names in alike.items())
    figure, axes = pyplot.subplots(figsize=(8, 0.32 * len(bars) + 0.9), layout="constrained")
    drawn = axes.barh([name for _, name in bars], [value for value, _ in bars], color="#1f6fb4")
    axes.bar_label(drawn, fmt="%.3f", padding=3, fontsize=8)
    axes.set_xlabel("AbsRel of the same map, lower is better")
    axes.margins(x=0.12, y=0.02)
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="y", labelsize=8)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def grouped(names: list[str], shown: int = 3) -> str:
    """Name the protocols that give the same number, the first few by name."""
    rest = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {rest} more" if rest > 0 else "")


def maps() -> tuple[np.ndarray, np.ndarray]:
    """A plane with a sphere in front of it, and a prediction of it that is off in many ways."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[0:240, 0:320] / 240
    truth = 6.0 - 3.5 * rows
    truth = np.where((rows - 0.5) ** 2 + (columns - 0.7) ** 2 < 0.06, 1.8, truth)
    prediction = 1.7 * truth * rng.normal(1.0, 0.08, truth.shape) + 0.2
    outliers = rng.random(truth.shape) < 0.03
    prediction[outliers] *= rng.uniform(2.0, 6.0, int(outliers.sum()))
    return truth.astype(np.float32), np.clip(prediction, 0.05, None).astype(np.float32)


if __name__ == "__main__":
    main()
