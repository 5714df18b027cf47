"""The arrows of ARCHITECTURE.md: which room may import which, read from the source itself."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent
PACKAGE = PROJECT / "g2vlm_bench"

# Room -> the rooms of the project that it may import; the leaves are for all.
LEAVES = {"errors", "metric", "paths", "yaml_files"}
ARROWS: dict[str, set[str]] = {
    "errors": set(),
    "metric": set(),
    "paths": set(),
    "yaml_files": set(),
    "mended_torchvision": set(),
    "checkpoints": {"data.known_hashes"},
    "__init__": {"api", "gate"},
    # Only to name the types of what a target holds.
    "sample": {"geometry"},
    "geometry": set(),
    "metrics": {"geometry"},
    "files": set(),
    "colmap": {"files", "geometry"},
    "trajectory_files": {"files", "geometry", "colmap"},
    "task": {"sample"},
    "profile": set(),
    "adapter": {"sample"},
    "environment": set(),
    "progress": set(),
    "statistics": set(),
    "world": {"sample", "geometry", "data.reader"},
    # The model itself knows no truth; `examples` knows the world that it learns from.
    # `pictures` reads pictures of one's own, for the objective that needs no truth.
    "reference": {"files", "geometry", "world", "progress", "mended_torchvision"},
    "lm_eval_bridge": {
        "sample", "adapter", "plugins", "runner", "scoring", "store", "aggregate",
    },
    "data": {"sample", "geometry", "files", "colmap", "lm_eval_bridge.harness"},
    "prompts": {"sample", "data.layout"},
    "plugins": {"sample", "task", "profile", "adapter", "data.reader", "prompts"},
    "store": {"sample", "environment"},
    "aggregate": {"store", "statistics"},
    "shuffling": {"sample"},
    "talks": {"sample"},
    "predicting": {"talks", "sample", "task", "adapter", "store", "shuffling"},
    "scoring": {"sample", "task", "store", "aggregate"},
    "fitting": {"sample", "adapter"},
    "runner": {
        "sample", "task", "adapter", "plugins", "data", "store", "environment", "progress",
        "predicting", "scoring", "shuffling", "fitting", "talks",
    },
    "making": {"acquire", "data", "plugins", "progress"},
    "sheet": {"sample", "store", "progress", "report", "world"},
    "benchmarks": {"data", "plugins", "prompts", "task"},
    "acquire": {"data", "files", "plugins", "progress"},
    "published": {"plugins", "paths"},
    "board": {"store", "published", "survival"},
    "comparable": {"aggregate", "store"},
    "ranking": {"aggregate", "statistics", "store", "board", "comparable", "survival"},
    "gate": {"aggregate", "statistics", "store", "comparable"},
    "report": {"sample", "geometry", "aggregate", "store", "board", "published"},
    "scorers": {
        "sample", "task", "profile", "plugins", "runner", "store", "scoring", "aggregate",
        "statistics",
    },
    "validate": {"data", "plugins", "runner", "sample", "store"},
    "survey": {"sample", "task", "profile", "plugins", "progress"},
    "survey_files": {"sample", "files", "trajectory_files", "geometry", "survey_maps"},
    "survey_maps": {"files", "geometry", "data.views"},
    "survival": {"statistics"},
    "floors": {"comparable", "statistics", "store", "survival"},
    "api": {
        "floors", "sample", "plugins", "runner", "store", "board", "comparable", "ranking",
        "report",
    },
    "asking": {"checkpoints", "files", "geometry", "reference", "report"},
    "cli": {"*"},
    "commands": {"*"},
    "protocols": {"sample", "task", "geometry", "metrics"},
    "tasks": {
        "sample", "task", "prompts", "data", "world", "geometry", "metrics", "protocols",
        "lm_eval_bridge.finding",
        "lm_eval_bridge.harness",
    },
    "model_adapters": {
        "sample", "adapter", "files", "trajectory_files", "geometry", "reference",
        "mended_torchvision", "checkpoints",
    },
}  # fmt: skip

# One door for each heavy dependency: where it may be imported at all.
DOORS = {
    "open3d": {"geometry/clouds.py"},
    "matplotlib": {"report"},
    "jinja2": {"report"},
    "transformers": {
        "checkpoints.py",
        "model_adapters/hf_depth.py",
        "model_adapters/hf_vlm.py",
        "reference/encoders.py",
    },
    "tokenizers": {"reference/tokenizer.py"},
    "torchvision": {"mended_torchvision.py"},
    "torch": {
        "world",
        "reference",
        "geometry/nearest_torch.py",
        "metrics/depth_torch.py",
        "model_adapters",
        "environment.py",
        "mended_torchvision.py",
        "checkpoints.py",
    },
    "pandas": {"api.py", "board.py"},
    "pykdtree": {"geometry/nearest.py"},
    "numba": {"geometry/compiled.py"},
    "lm_eval": {"lm_eval_bridge"},
    "datasets": {"data", "lm_eval_bridge"},
    "huggingface_hub": {"data/hub.py", "checkpoints.py"},
    "av": {"data/video.py"},
    "pyarrow": {"data"},
    "OpenEXR": {"files.py"},
    "h5py": {"data/hdf5.py"},
    "sacrebleu": {"metrics/scene_text.py"},
}
# These may stand at the top of a module; everything else heavy stands inside the function.
TOP_LEVEL_TORCH = {
    "geometry/nearest_torch.py", "metrics/depth_torch.py",
    "world/renderer.py", "world/raycast.py", "world/shading.py",
    "world/pack.py", "world/paint.py", "world/primitives.py",
}  # fmt: skip
# Its kernels are compiled by decorators; other modules import it and its kin in functions only.
TOP_LEVEL_NUMBA = {"geometry/compiled.py"}
# Their classes are subclasses of lm-eval's; only lm-eval and its command line import them.
TOP_LEVEL_LM_EVAL = {"lm_eval_bridge/questions.py", "lm_eval_bridge/models.py"}


def sources() -> list[Path]:
    """Every Python file of the package and its plug-in folders."""
    folders = (PACKAGE, PROJECT / "tasks", PROJECT / "model_adapters")
    return sorted(path for folder in folders for path in folder.rglob("*.py"))


def place(path: Path) -> str:
    """Path below the package, or below the checkout for plug-in folders."""
    root = PACKAGE if path.is_relative_to(PACKAGE) else PROJECT
    return path.relative_to(root).as_posix()


def room(path: Path) -> str:
    """The room a file stands in."""
    return place(path).split("/")[0].removesuffix(".py")


def imports(path: Path) -> list[tuple[str, bool]]:
    """Every module a file imports, and whether it does so at its top level."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = {id(node) for node in tree.body}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, id(node) in top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports do not work in files loaded by path"
            module = node.module or ""
            found.append((module, id(node) in top))
            if module == "g2vlm_bench":
                found += [(f"{module}.{alias.name}", id(node) in top) for alias in node.names]
    return found


@pytest.mark.parametrize("path", sources(), ids=place)
def test_arrows_point_one_way(path: Path) -> None:
    own = room(path)
    assert own in ARROWS, f"{place(path)} stands in no known room; say in ARROWS what it may import"
    allowed = ARROWS[own] | LEAVES | {own}
    for module, _ in imports(path):
        if not module.startswith("g2vlm_bench."):
            continue
        target = module.removeprefix("g2vlm_bench.")
        if target in ("__version__",) or "*" in allowed:
            continue
        fits = any(target == room or target.startswith(f"{room}.") for room in allowed)
        assert fits, f"{place(path)} imports {module}; {own} may import {sorted(allowed)}"


@pytest.mark.parametrize("path", sources(), ids=place)
def test_each_heavy_dependency_has_its_door(path: Path) -> None:
    for module, at_top in imports(path):
        name = module.split(".")[0]
        if name not in DOORS:
            continue
        doors = DOORS[name]
        where = place(path)
        assert any(where == door or where.startswith(f"{door}/") for door in doors), (
            f"{where} imports {name}, whose door is {sorted(doors)}"
        )
        if at_top:
            at_home = where in TOP_LEVEL_TORCH or where.startswith("reference/")
            derived = name == "lm_eval" and where in TOP_LEVEL_LM_EVAL
            decorated = name == "numba" and where in TOP_LEVEL_NUMBA
            assert derived or decorated or (name == "torch" and at_home), (
                f"{where} imports {name} at its top; a heavy import stands in its function"
            )


def test_the_reference_model_cannot_see_truth() -> None:
    """Of its files only those that make what it learns from import the world."""
    makers = ("reference/examples.py", "reference/rewording.py")
    for path in sources():
        if place(path).startswith("reference/") and place(path) not in makers:
            assert not any(module.startswith("g2vlm_bench.world") for module, _ in imports(path))


def test_plugins_are_leaves() -> None:
    """Nothing imports a task or an adapter by name."""
    for path in sources():
        for module, _ in imports(path):
            assert not module.startswith(("tasks", "model_adapters", "g2vlm_bench.tasks"))
            assert not module.startswith("g2vlm_bench.model_adapters")


def test_nothing_reads_pickles() -> None:
    """No file that a dataset or a prediction brings along can execute code."""
    for path in sources():
        assert not {"pickle", "dill", "joblib", "marshal"} & {
            m.split(".")[0] for m, _ in imports(path)
        }
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            owner = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
            keywords = {keyword.arg: keyword.value for keyword in node.keywords}
            if (owner, node.func.attr) == ("np", "load"):
                allow = keywords.get("allow_pickle")
                assert isinstance(allow, ast.Constant), f"{place(path)}: np.load"
                assert allow.value is False
            if (owner, node.func.attr) == ("torch", "load"):
                assert "weights_only" in keywords, f"{place(path)}: torch.load"
            if owner == "yaml":
                assert node.func.attr in ("safe_load", "load"), f"{place(path)}: {node.func.attr}"
                if node.func.attr == "load":
                    loader = keywords.get("Loader")
                    assert isinstance(loader, ast.Name)
                    assert loader.id == "_SAFE_LOADER"
