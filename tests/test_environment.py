"""What a run says it was computed with: its checkout, its packages, the source of its scores."""

from __future__ import annotations

import shutil
from importlib import metadata
from pathlib import Path

import pytest

from g2vlm_bench import environment
from g2vlm_bench.environment import Environment, is_shipped_reader, scorer_hash
from g2vlm_bench.plugins import shipped

PACKAGE = Path(environment.__file__).parent


@pytest.mark.parametrize(
    ("earlier", "now", "together"),
    [
        (False, False, False),
        (True, False, True),
        (False, True, True),
        (True, None, True),
        (False, None, None),
        (None, False, None),
        (None, None, None),
    ],
)
def test_changes_of_any_time_are_changes_of_the_run(earlier, now, together) -> None:
    assert _looked_at("a", now).since(_looked_at("a", earlier)).dirty is together


def test_a_run_is_of_the_commit_that_it_began_at_and_names_the_others_once() -> None:
    first, second = _looked_at("a", False), _looked_at("b", False)
    assert first.since(first).other_commits == ()
    both = second.since(first)
    assert (both.commit, both.other_commits) == ("a", ("b",))
    again = second.since(first.since(second.since(both)))
    assert (again.commit, again.other_commits) == ("a", ("b",))
    assert _looked_at(None, None).since(first).other_commits == ()


def _looked_at(commit: str | None, dirty: bool | None) -> Environment:
    return Environment(
        commit=commit, dirty=dirty, code_hash="", python="3.11.0", system="Linux", packages={},
        device="cpu", driver=None, threads=1,
    )  # fmt: skip


def test_at_its_end_a_run_knows_its_device_and_keeps_its_packages(checkout, monkeypatch) -> None:
    begun = Environment.gather()
    checkout.edit()
    monkeypatch.setattr(environment, "_device", lambda: ("A GPU", "13.0"))
    monkeypatch.setattr(environment, "_versions", lambda: {"numpy": "99"})
    ended = begun.ended()
    assert (ended.device, ended.driver, ended.dirty) == ("A GPU", "13.0", True)
    assert ended.packages == begun.packages


def test_packages_that_decode_or_score_are_recorded() -> None:
    packages = Environment.gather().packages
    for name in ("numpy", "scipy", "pillow", "sacrebleu", "torchvision", "tokenizers", "av"):
        try:
            assert packages[name] == metadata.version(name)
        except metadata.PackageNotFoundError:
            assert name not in packages


def test_the_scorer_is_all_that_makes_a_score(tmp_path, monkeypatch) -> None:
    copy = tmp_path / "g2vlm_bench"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "reference"))
    monkeypatch.setattr(environment, "_FOLDER", copy)
    known = {scorer_hash.__wrapped__()}
    for file in (
        *("metrics/depth.py", "protocols/serving.py", "geometry/clouds.py", "world/reader.py"),
        *("data/readers/qa_jsonl.py", "files.py", "colmap.py"),
        *("lm_eval_bridge/harness.py", "scoring.py", "task.py", "sample.py", "metric.py"),
    ):
        with (copy / file).open("a") as source:
            source.write("# edited\n")
        found = scorer_hash.__wrapped__()
        assert found not in known, file
        known.add(found)
    # Tables read the samples' values and count them afresh, so the runs need not agree on that.
    with (copy / "statistics.py").open("a") as source:
        source.write("# edited\n")
    assert scorer_hash.__wrapped__() in known


def test_what_families_import_is_part_of_the_scorer_or_makes_no_score() -> None:
    """Of the modules right below the package; rooms are named as a whole."""
    unscored = {
        "errors.py": "words",
        "paths.py": "refuses paths",
        "prompts.py": "what is asked, stored with each prediction",
        "yaml_files.py": "reads what the definition's hash covers",
    }
    sources = [*shipped("tasks").glob("*.py"), *(PACKAGE / "data").rglob("*.py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    imported = {p.name for p in PACKAGE.glob("*.py") if f"from g2vlm_bench.{p.stem} import" in text}
    assert imported - set(environment._SCORING) == set(unscored)


def test_a_shipped_reader_is_part_of_the_scorer_and_a_users_is_not(toys) -> None:
    for name in ("world", "world_export", "qa_jsonl"):
        assert is_shipped_reader(toys.path("reader", name))
    assert not is_shipped_reader(toys.path("reader", "toy"))
