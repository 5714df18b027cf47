"""Writes the README's tables from the reports of its own commands, so that no number is typed.

python run_eval.py
python run_eval.py run --data-root ../shared/realdata
python scripts/readme_tables.py
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

PROJECT = Path(__file__).parent.parent


def table(board: str) -> str:
    """A board as a table: a row a column of the board, a column a model, best rank first."""
    with (PROJECT / "runs" / board / "leaderboard.csv").open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    models = list(dict.fromkeys(line["model"] for line in lines))
    columns = list(dict.fromkeys((line["task"], line["metric"]) for line in lines))
    by_place = {(line["task"], line["metric"], line["model"]): line for line in lines}
    rows = [["task", "metric", "samples", *models], ["---", "---", "---:", *["---:"] * len(models)]]
    for task, metric in columns:
        cells = [by_place[task, metric, model] for model in models]
        samples = max(sum(int(c[f"n_{s}"]) for s in ("scored", "failed")) for c in cells)
        rows.append([task, f"`{metric}`", str(samples), *map(shown, cells)])
    scores = [next(line for line in lines if line["model"] == model) for model in models]
    ranks = [f"{s['rank']}{'=' * (s['tied'] == 'True')}" if s["rank"] else "-" for s in scores]
    rows.append(["**rank**", "", "", *ranks])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def shown(cell: dict[str, str]) -> str:
    """A value with its interval, and the failures where there are any."""
    if not cell["value"]:
        return ""
    text = f"{float(cell['value']):.3f}"
    if cell["low"]:
        text += f" [{float(cell['low']):.2f}, {float(cell['high']):.2f}]"
    return text + (f" ({cell['n_failed']} failed)" if cell["n_failed"] != "0" else "")


def main() -> None:
    """Replace what stands between the README's marks."""
    readme = PROJECT / "README.md"
    text = readme.read_text(encoding="utf-8")
    for board in ("quick", "real"):
        mark = f"<!-- table: {board} -->"
        found = re.search(f"(?<={mark}\n).*?(?=<!-- end -->)", text, re.DOTALL)
        if found is None or text.count(mark) != 1:
            raise SystemExit(f"README.md: expected one '{mark}', got {text.count(mark)}")
        text = f"{text[: found.start()]}\n{table(board)}\n\n{text[found.end() :]}"
    readme.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
