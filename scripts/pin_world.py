"""Write rows and content hashes of the procedural world into its task files.

Run it after a change of the world's version, and only then: a pin that follows the data by itself
would hold nothing. `tests/world/test_reader.py` keeps the version's golden hash.

    python scripts/pin_world.py                        # all of them
    python scripts/pin_world.py spatial_qa/world_route
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import yaml

PROJECT = Path(__file__).parent.parent
sys.path.insert(0, str(PROJECT))

from g2vlm_bench.data.pin import split_pins  # noqa: E402
from g2vlm_bench.world.reader import WorldReader  # noqa: E402


def main() -> None:
    """Pin the tasks that are named, or every task whose data are the world's."""
    named = {PROJECT / "tasks" / f"{name}.yaml" for name in sys.argv[1:]}
    for path in sorted(named or (PROJECT / "tasks").glob("*/*.yaml")):
        text = path.read_text()
        data = yaml.safe_load(text).get("data", {})
        if data.get("format") != "world":
            continue
        pins, options = split_pins(data)
        reader = WorldReader(**options)
        rows, content = len(reader.samples(pins["split"])), reader.content_hash(pins["split"])
        new = re.sub(r"(?m)^  rows: .*$", f"  rows: {rows}", text)
        new = re.sub(r"(?m)^  content_hash: .*$", f"  content_hash: {content}", new)
        print(f"{path.relative_to(PROJECT)}: {rows} rows{'' if new == text else ', pinned anew'}")
        path.write_text(new)


if __name__ == "__main__":
    main()
