"""Finds tasks, families, adapters, readers and boards by path; lists them without importing."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib.machinery import SourceFileLoader
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeVar

import msgspec

from g2vlm_bench.adapter import Adapter, FittedAdapter, TruthAdapter, WrappingAdapter
from g2vlm_bench.data.reader import Reader
from g2vlm_bench.errors import BenchError, nearest
from g2vlm_bench.profile import load_profile
from g2vlm_bench.prompts import load_prompts, pick
from g2vlm_bench.sample import Ambiguity, Want
from g2vlm_bench.task import Family, TaskDefinition, load_definition

Kind = Literal["task", "family", "profile", "prompts", "adapter", "reader", "leaderboard"]
T = TypeVar("T")

_PACKAGE = Path(__file__).parent
_TASKS_VARIABLE = "G2VLM_BENCH_TASKS_DIR"
_ADAPTERS_VARIABLE = "G2VLM_BENCH_ADAPTERS_DIR"


def shipped(folder: str) -> Path:
    """Find a top-level folder of the project, in the wheel or beside the package in a checkout."""
    inside = _PACKAGE / folder
    return inside if inside.is_dir() else _PACKAGE.parent / folder


@dataclass(frozen=True, slots=True)
class Plugins:
    """Everything that can be named on the command line, found by path.

    Attributes:
        tasks_dirs: Users' folders of task files, families (`<family>.py`), readers
            (`readers/<format>.py`) and leaderboards (`leaderboards/<board>.yaml`).
        adapters_dirs: Users' folders of adapters (`<model>.py`).
    """

    tasks_dirs: tuple[Path, ...] = ()
    adapters_dirs: tuple[Path, ...] = ()
    _found: dict[Kind, dict[str, Path]] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def find(cls, tasks_dirs: Sequence[Path] = (), adapters_dirs: Sequence[Path] = ()) -> Plugins:
        """Gather the folders given, those of the environment variables, and installed packages'."""
        return cls(
            tasks_dirs=_folders(tasks_dirs, _TASKS_VARIABLE, "g2vlm_bench.tasks"),
            adapters_dirs=_folders(adapters_dirs, _ADAPTERS_VARIABLE, "g2vlm_bench.adapters"),
        )

    def names(self, kind: Kind) -> list[str]:
        """List the names of a kind. Nothing is imported."""
        return sorted(self._index(kind))

    def path(self, kind: Kind, name: str) -> Path:
        """Find the file of a name.

        Raises:
            BenchError: No file has that name; the nearest name is given.
        """
        index = self._index(kind)
        if name not in index:
            # What the command line calls it.
            shown = {"adapter": "model", "reader": "data format"}.get(kind, kind)
            family = name.rstrip("/*")
            members = [one for one in sorted(index) if one.startswith(f"{family}/")]
            raise BenchError(
                f"{shown} '{name}'",
                expected=f"a known {shown}",
                got="the name of a family" if members else "an unknown name",
                fix=_some_of(members) if members else nearest(name, index),
            )
        return index[name]

    def summary(self, kind: Kind, name: str) -> str:
        """Say in one line what a plug-in is, without importing it."""
        path = self.path(kind, name)
        if path.suffix == ".py":
            return (docstring(path) or "").partition("\n")[0]
        if kind == "task":
            return load_definition(path).title
        from g2vlm_bench.yaml_files import read_yaml

        return str(read_yaml(path).get("title", ""))

    def task(self, name: str) -> TaskDefinition:
        """Load a task by its name, or by the path of a task file, its profiles written out.

        `NAME@PROMPT` is the task with another of its benchmark's published prompts. It is a task of
        its own, so that answers to two prompts never share a column. `FAMILY:NAME` is a task that
        the family finds by itself, such as `lm_eval:arc_easy`.

        Raises:
            BenchError: The file is broken, or names a profile that is unknown or not of its family.
        """
        family, colon, rest = name.partition(":")
        if colon and family in self._index("family"):
            return load_class(self.path("family", family), Family).define(rest)
        name, _, prompt = name.partition("@")
        is_path = name.endswith((".yaml", ".yml"))
        path = Path(name).absolute() if is_path else self.path("task", name)
        definition = load_definition(path)
        return self.written_out(self._prompted(definition, prompt) if prompt else definition)

    def members(self, name: str) -> list[str]:
        """List the tasks that a name stands for: `FAMILY:GROUP` for those of the group, else one.

        Raises:
            BenchError: The family knows no such group.
        """
        family, colon, rest = name.partition(":")
        if not colon or family not in self._index("family"):
            return [name]
        names = load_class(self.path("family", family), Family).members(rest)
        return [f"{family}:{one}" for one in names]

    def _prompted(self, definition: TaskDefinition, prompt: str) -> TaskDefinition:
        own = definition.options.get("prompt")
        if not isinstance(own, str):
            raise BenchError(
                f"task {definition.name}@{prompt}",
                expected="a task with published prompts",
                got="one without the option 'prompt'",
            )
        return msgspec.structs.replace(
            definition,
            name=f"{definition.name}@{prompt}",
            options={**definition.options, "prompt": f"{own.partition('.')[0]}.{prompt}"},
        )

    def written_out(self, definition: TaskDefinition) -> TaskDefinition:
        """Write the fields of the profiles and the prompt that a definition names into it."""
        protocols = [
            fields for one in definition.protocols for fields in self._fields(definition, one)
        ]
        options = dict(definition.options)
        if isinstance(prompt := options.get("prompt"), str):
            benchmark, _, name = prompt.partition(".")
            prompts = load_prompts(self.path("prompts", benchmark))
            options["prompt"] = pick(prompts, name, f"task {definition.name}, prompt '{prompt}'")
        return msgspec.structs.replace(definition, protocols=protocols, options=options)

    def _fields(self, definition: TaskDefinition, fields: dict[str, Any]) -> list[dict[str, Any]]:
        if "profile" not in fields:
            return [fields]
        where = f"task {definition.name}, key 'protocols'"
        for key in fields:
            if key not in ("profile", "name"):
                raise BenchError(
                    where,
                    expected="a profile by itself, or one protocol of it by 'name'",
                    got=f"the key '{key}' beside it",
                    fix="A profile's fields are fixed; write the protocol out to change one.",
                )
        profile = load_profile(self.path("profile", str(fields["profile"])))
        return profile.expand(definition.family, fields.get("name"), where)

    def family(self, definition: TaskDefinition, check_headline: bool = True) -> Family:
        """Make the family of a task, which checks the task's protocols and metrics."""
        cls = load_class(self.path("family", definition.family), Family)
        family = cls(definition)
        if check_headline:
            family.headline()
        return family

    def reader(self, name: str) -> type[Reader]:
        """Load the reader of a dataset format."""
        return load_class(self.path("reader", name), Reader)

    def adapter(self, spec: str, arguments: dict[str, Any], run: dict[str, Any]) -> Adapter:
        """Make the adapter of a model spec, `model` or `wrapper:model`.

        Args:
            spec: What the user wrote.
            arguments: The model's own arguments; unknown ones are refused.
            run: What the run offers (`device`, `dtype`, ...), given to adapters that take it.

        Raises:
            BenchError: What `adapter_classes` raises, or the model cannot be made.
        """
        (*wrappers, cls), checked = self.adapter_classes(spec, arguments, run)
        where = f"model '{spec.rpartition(':')[2]}'"
        adapter = _made(where, cls, **checked)
        _check_declared(adapter, where)
        for wrapper in reversed(wrappers):
            adapter = _made(f"model '{spec}'", wrapper, adapter)
        return adapter

    def adapter_classes(
        self, spec: str, arguments: dict[str, Any], run: dict[str, Any]
    ) -> tuple[list[type[Adapter]], dict[str, Any]]:
        """Find the classes of a model spec, the outermost first, and what its model is made with.

        Nothing is made, so that many models can be checked before the first of them runs.

        Args:
            spec: As of `adapter`.
            arguments: As of `adapter`.
            run: As of `adapter`.

        Raises:
            BenchError: A name or an argument is unknown, a file does not import, or the parts of
                the spec do not go together.
        """
        outer, _, inner = spec.partition(":")
        cls = load_class(self.path("adapter", outer), Adapter)
        if issubclass(cls, WrappingAdapter):
            if not inner:
                raise BenchError(
                    f"model '{spec}'", expected=f"{outer}:MODEL", got="no model to wrap"
                )
            wrapped, checked = self.adapter_classes(inner, arguments, run)
            if issubclass(wrapped[0], TruthAdapter | FittedAdapter):
                raise BenchError(
                    f"model '{spec}'",
                    expected="a model to wrap",
                    got="a reference row or a fitted floor",
                )
            return [cls, *wrapped], checked
        if inner:
            raise BenchError(
                f"model '{spec}'", expected="a wrapper before the ':'", got=f"'{outer}'"
            )
        return [cls], check_arguments(cls, arguments, f"model '{spec}'", offered=run)

    def _index(self, kind: Kind) -> dict[str, Path]:
        if kind not in self._found:
            self._found[kind] = _unique(kind, self._candidates(kind))
        return self._found[kind]

    def _candidates(self, kind: Kind) -> Iterable[tuple[str, Path]]:
        task_roots = (shipped("tasks"), *self.tasks_dirs)
        if kind == "task":
            for root in task_roots:
                for path in sorted(root.glob("*/*.y*ml")):
                    if path.parent.name not in ("leaderboards", "profiles", "prompts", "readers"):
                        yield f"{path.parent.name}/{path.stem}", path
        elif kind == "family":
            yield from _modules(task_roots)
        elif kind == "adapter":
            yield from _modules((shipped("model_adapters"), *self.adapters_dirs))
        elif kind == "reader":
            yield "world", _PACKAGE / "world" / "reader.py"
            yield from _modules(
                (_PACKAGE / "data" / "readers", *(root / "readers" for root in self.tasks_dirs))
            )
        elif kind == "profile":
            yield from _yaml_files(root / "profiles" for root in task_roots)
        elif kind == "prompts":
            yield from _yaml_files(root / "prompts" for root in task_roots)
        else:
            users = (root / "leaderboards" for root in self.tasks_dirs)
            yield from _yaml_files((shipped("leaderboards"), *users))


def _some_of(members: Sequence[str]) -> str:
    more = f" and {len(members) - 4} more" if len(members) > 4 else ""
    return f"Name its tasks: {', '.join(members[:4])}{more}; `list tasks` has them all."


def _made(where: str, cls: type[T], *parts: Any, **arguments: Any) -> T:
    """Make an adapter; whatever its own code raises is an error of one line that names the place.

    Raises:
        BenchError: It cannot be made.
    """
    try:
        return cls(*parts, **arguments)
    except BenchError:
        raise
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if frame.filename == inspect.getsourcefile(cls)]
        last = (own or frames)[-1]
        raise BenchError(
            where,
            expected="a model that can be made",
            got=f"{type(error).__name__}: {error}",
            fix=f"See {last.filename}, line {last.lineno}, in {last.name}.",
        ) from error


def _check_declared(adapter: Adapter, where: str) -> None:
    predicts = getattr(adapter, "predicts", None)
    known = [str(want) for want in Want]
    if not isinstance(predicts, set | frozenset) or not all(want in known for want in predicts):
        raise BenchError(
            f"{where}, attribute 'predicts'",
            expected=f"a set of {', '.join(known)}",
            got="none" if predicts is None else repr(predicts),
        )
    # Undeclared must not count as metric, the strongest.
    geometry = {Want.DEPTH, Want.POINTS, Want.POINT_MAPS}
    if predicts & geometry and not isinstance(adapter.ambiguity, Ambiguity):
        raise BenchError(
            f"{where}, attribute 'ambiguity'",
            expected=f"one of {', '.join(Ambiguity)}, since it predicts depth or points",
            got=repr(adapter.ambiguity),
        )


def docstring(path: Path) -> str | None:
    """Read a module's docstring without importing it."""
    try:
        return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    except SyntaxError as error:
        raise BenchError(path, expected="Python", got=f"{error.msg}, line {error.lineno}") from None
    except ValueError as error:  # not UTF-8, or a NUL byte
        raise BenchError(path, expected="Python", got=error) from None


def load_class(path: Path, base: type[T]) -> type[T]:
    """Import a plug-in's file and take its one class.

    Raises:
        BenchError: The import fails, or the file defines no such class or several.
    """
    module = load_module(path)
    found = [
        value
        for value in dict.fromkeys(v for v in vars(module).values() if isinstance(v, type))
        if issubclass(value, base)
        and value.__module__ == module.__name__
        and not inspect.isabstract(value)
    ]
    if len(found) != 1:
        names = ", ".join(cls.__name__ for cls in found) or "none"
        raise BenchError(
            path,
            expected=f"one complete subclass of {base.__name__}",
            got=names,
            fix="Keep one a file, with every abstract method defined.",
        )
    return found[0]


def load_module(path: Path) -> ModuleType:
    """Import a file once, under a name of its own that no package can clash with."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BenchError(path, expected="a readable file", got=error.strerror) from None
    # With its content, so that a file changed in a notebook's process is imported again: its runs
    # carry the hash of the file as it is now.
    digest = hashlib.sha256(f"{path}\n".encode() + content).hexdigest()[:12]
    name = f"g2vlm_bench_plugin_{path.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    loader = SourceFileLoader(name, str(path))
    spec = importlib.util.spec_from_loader(name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        # Not `exec_module`, which takes compiled code of before for a file that was changed within
        # a second and kept its size.
        exec(loader.source_to_code(content, str(path)), module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise BenchError(
            path,
            expected="a file that imports",
            got=f"{type(error).__name__}: {error}",
            fix="Mend the file or install what it needs.",
        ) from error
    return module


def check_arguments(
    function: Any, given: dict[str, Any], where: str, offered: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Check keyword arguments against a signature, adding those on offer that it takes.

    Raises:
        BenchError: An argument is unknown (the nearest name is given), of another type, or missing.
    """
    parameters = _signature(function).parameters
    takes = {name for name, p in parameters.items() if p.kind is not p.VAR_KEYWORD}
    for name in given:
        if name not in takes:
            raise BenchError(
                where,
                expected="known arguments",
                got=f"'{name}'",
                fix=nearest(str(name), takes - set(offered or ())),
            )
    checked = {
        key: _of_type(value, parameters[key].annotation, f"{where}, key '{key}'")
        for key, value in given.items()
    }
    merged = {k: v for k, v in (offered or {}).items() if k in takes} | checked
    missing = [
        name
        for name, p in parameters.items()
        if p.default is p.empty
        and p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)
        and name not in merged
    ]
    if missing:
        raise BenchError(where, expected=f"argument '{missing[0]}'", got="none")
    return merged


def _signature(function: Any) -> inspect.Signature:
    try:
        return inspect.signature(function, eval_str=True)
    except NameError:
        # A user's annotation may name what is imported for type checkers only.
        return inspect.signature(function)


def _of_type(value: Any, kind: Any, where: str) -> Any:
    if kind is inspect.Parameter.empty or isinstance(kind, str):
        return value
    try:
        return msgspec.convert(value, kind, dec_hook=_own_type)
    except msgspec.ValidationError as error:
        raise BenchError(where, got=f"{value!r}: {error}") from None
    except TypeError:
        # An annotation that says more than a YAML value can be held to, such as `str | Path`.
        return value


def _own_type(kind: type, value: Any) -> Any:
    # A class that YAML does not know is made from the value, as `Path` is from its text.
    return value if isinstance(value, kind) else kind(value)


def _modules(roots: Iterable[Path]) -> Iterable[tuple[str, Path]]:
    for root in roots:
        for path in sorted(root.glob("*.py")):
            if not path.name.startswith("_"):
                yield path.stem, path


def _yaml_files(roots: Iterable[Path]) -> Iterable[tuple[str, Path]]:
    for root in roots:
        yield from ((path.stem, path) for path in sorted(root.glob("*.yaml")))


def _unique(kind: Kind, candidates: Iterable[tuple[str, Path]]) -> dict[str, Path]:
    index: dict[str, Path] = {}
    for name, path in candidates:
        if name in index and index[name].resolve() != path.resolve():
            raise BenchError(
                f"{kind} '{name}'",
                expected="one file of that name",
                got=f"{index[name]} and {path}",
                fix="Rename one of them.",
            )
        index[name] = path
    return index


def _folders(given: Sequence[Path], variable: str, group: str) -> tuple[Path, ...]:
    named = [*given, *(Path(p) for p in os.environ.get(variable, "").split(os.pathsep) if p)]
    for folder in named:
        if not folder.is_dir():
            raise BenchError(folder, expected="a folder of plug-ins", got="no such folder")
    installed = [_entry_point_folder(point.value) for point in entry_points(group=group)]
    return tuple(dict.fromkeys(path.absolute() for path in [*named, *installed]))


def _entry_point_folder(module: str) -> Path:
    # find_spec of a dotted name would import the parent package; only the top level is looked up.
    top, *rest = module.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None or not spec.submodule_search_locations:
        raise BenchError(
            f"entry point '{module}'", expected="an installed package", got="none of that name"
        )
    folder = Path(spec.submodule_search_locations[0], *rest)
    if not folder.is_dir():
        raise BenchError(f"entry point '{module}'", expected="a folder", got=f"none at {folder}")
    return folder
