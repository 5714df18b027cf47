"""Running published code beside ours: its files imported one by one, without what they do not need.

Peers' checkouts are no part of this project and are never copied into it; a file COMMIT in each
may say which commit it is.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
import types
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

PEER_MODULES = {
    "dust3r", "croco", "models", "mapanything", "unidepth", "unik3d", "depth_anything_3",
    "trajectory_io",
}  # fmt: skip
_ASIDE: dict[tuple[Path, ...], dict[str, types.ModuleType]] = {}


def load(path: Path, name: str = "") -> Any:
    """Import one file, without the package around it, under a name or one made of its path."""
    name = name or "peer_" + "_".join(path.with_suffix("").parts[1:]).replace("-", "_")
    if name in sys.modules:
        return sys.modules[name]
    if not path.is_file():
        raise FileNotFoundError(f"no {path}")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def load_from(folder: Path, name: str) -> Any:
    """Import one file of a package, whose neighbours it imports in turn."""
    if not (folder / f"{name}.py").is_file():
        raise FileNotFoundError(f"no {folder / name}.py")
    package = "peer_" + "_".join(folder.parts[-3:]).replace("-", "_")
    stand_in(package)
    sys.modules[package].__path__ = [str(folder)]
    return importlib.import_module(f"{package}.{name}")


@contextlib.contextmanager
def on_path(*folders: Path) -> Iterator[None]:
    """Let a peer import its own modules, and put them aside after, since two peers share names.

    The next time they are the same modules: what `load` keeps of the peer was made with their
    classes.
    """
    aside = _ASIDE.setdefault(folders, {})
    sys.modules.update(aside)
    sys.path[:0] = [str(folder) for folder in folders]
    try:
        yield
    finally:
        del sys.path[: len(folders)]
        for name in [*sys.modules]:
            if name.split(".")[0] in PEER_MODULES:
                aside[name] = sys.modules.pop(name)


def stand_in(name: str, **contents: Any) -> None:
    """Stand in for a module that a peer's file imports and the functions run here do not use."""
    if name not in sys.modules:
        module = types.ModuleType(name)
        module.__path__ = []
        # Others ask whether it is there by its specification.
        module.__spec__ = ModuleSpec(name, None)
        sys.modules[name] = module
    # Several peers want something of one name.
    specification = sys.modules[name].__spec__
    if specification is not None and specification.loader is None:
        sys.modules[name].__dict__.update(contents)


def commit(folder: Path) -> str:
    """The commit of a checkout, as its file COMMIT says."""
    said = folder / "COMMIT"
    return said.read_text().strip()[:7] if said.is_file() else "unknown"


def moge(peers: Path, module: str) -> Any:
    """Import a module of MoGe, with the utils3d that it pins."""
    if not (peers / "MoGe").is_dir():
        raise FileNotFoundError("no MoGe")
    sys.path[:0] = [str(peers / "MoGe"), str(peers / "utils3d")]
    import utils3d

    # The pinned utils3d has this function under another name.
    utils3d.pt.sliding_window_2d = utils3d.pt.sliding_window
    stand_in("cv2")
    stand_in("moge.utils.tools", key_average=_mean_of_each, timeit=None)
    return importlib.import_module(module)


def _mean_of_each(rows: list[dict[str, float]]) -> dict[str, float]:
    """Stand in for MoGe's `key_average`, whose module imports more than is needed here."""
    return {key: sum(row[key] for row in rows) / len(rows) for key in rows[0]}


def unidepth(peers: Path, repository: str, package: str) -> Any:
    """Import UniDepth's or UniK3D's evaluation; its neighbours, a CUDA extension, are all at 0."""
    import torch

    def no_neighbours(one: Any, other: Any, **_: Any) -> tuple[Any, ...]:
        return torch.zeros(one.shape[:2]), torch.zeros(other.shape[:2]), None, None

    stand_in(package)
    stand_in(f"{package}.utils")
    stand_in(f"{package}.utils.chamfer_distance", ChamferDistance=lambda: no_neighbours)
    stand_in(f"{package}.utils.constants", DEPTH_BINS=None)
    for name in ("", ".transforms", ".transforms.v2", ".transforms.v2.functional"):
        stand_in(f"torchvision{name}", functional=None)
    return load(peers / repository / package / "utils/evaluation_depth.py")
