"""What is in the checkout is in the wheel: a package that is not listed would vanish silently."""

from __future__ import annotations

import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def setuptools_settings() -> dict[str, Any]:
    content = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    settings: dict[str, Any] = content["tool"]["setuptools"]
    return settings


def folder_of(package: str, directories: dict[str, str]) -> Path:
    """Where a package's files stand, by the longest mapped parent."""
    parts = package.split(".")
    for length in range(len(parts), 0, -1):
        parent = ".".join(parts[:length])
        if parent in directories:
            return PROJECT.joinpath(directories[parent], *parts[length:])
    raise AssertionError(f"{package} is mapped to no folder")


def test_every_package_of_the_checkout_is_listed(setuptools_settings: dict[str, Any]) -> None:
    directories = setuptools_settings["package-dir"]
    listed = {folder_of(name, directories) for name in setuptools_settings["packages"]}
    roots = [PROJECT / folder for folder in directories.values()]
    with_python = {path.parent for root in roots for path in root.rglob("*.py")}
    assert listed == with_python


def test_every_other_file_is_package_data(setuptools_settings: dict[str, Any]) -> None:
    directories = setuptools_settings["package-dir"]
    patterns = setuptools_settings["package-data"]["*"]
    for package in setuptools_settings["packages"]:
        for path in folder_of(package, directories).iterdir():
            if path.is_file() and path.suffix != ".py":
                assert any(path.match(pattern) for pattern in patterns), (
                    f"{path.relative_to(PROJECT)} would not be in the wheel"
                )


def test_a_wheel_holds_shipped_weights(
    setuptools_settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wheel of the reference model's package alone, made by the project's own settings."""
    setuptools = pytest.importorskip("setuptools")
    package = tmp_path / "g2vlm_bench" / "reference"
    files = {
        "model.safetensors", "config.json", "tokenizer.json", "log.jsonl", "log.png", "README.md",
    }  # fmt: skip
    (package / "weights" / "nano").mkdir(parents=True)
    (package / "__init__.py").touch()
    for name in files:
        (package / "weights" / "nano" / name).write_text(name)
    monkeypatch.chdir(tmp_path)
    made = setuptools.Distribution(
        {
            "name": "g2vlm-bench",
            "version": "0",
            "packages": ["g2vlm_bench.reference"],
            "package_data": setuptools_settings["package-data"],
            "script_name": "setup.py",
            "script_args": ["--quiet", "bdist_wheel"],
        }
    )
    made.parse_command_line()
    made.run_commands()
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if "/weights/" in name}
    assert inside == {f"g2vlm_bench/reference/weights/nano/{name}" for name in files}


def test_shipped_weights_are_at_most_20_mb_and_complete() -> None:
    folders = list((PROJECT / "g2vlm_bench/reference/weights").glob("*/"))
    if not folders:
        pytest.skip("no weights are shipped yet")
    for folder in folders:
        assert (folder / "model.safetensors").stat().st_size <= 20_000_000
        assert {path.name for path in folder.iterdir()} >= {
            "model.safetensors", "config.json", "tokenizer.json", "log.jsonl", "log.png",
            "README.md",
        }  # fmt: skip


def test_no_top_level_name_leaks() -> None:
    content = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    assert {name.split(".")[0] for name in content["tool"]["setuptools"]["packages"]} == {
        "g2vlm_bench"
    }


def test_the_lock_pins_every_dependency_and_names_no_host() -> None:
    content = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lock = (PROJECT / "requirements.lock").read_text(encoding="utf-8")
    lines = [line for line in lock.splitlines() if line and not line.startswith("#")]
    assert all(line.count("==") == 1 and "/" not in line and "@" not in line for line in lines)
    pinned = {line.split("==")[0] for line in lines}
    extras = [need for needs in content["optional-dependencies"].values() for need in needs]
    wanted = {need.split(">")[0].split("[")[0] for need in [*content["dependencies"], *extras]}
    assert wanted - {"g2vlm-bench"} <= pinned
    assert "torch==2.13.0" in lines
