"""Plug-ins are found by path and listed without being imported; what is wrong names its file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from g2vlm_bench.errors import BenchError
from g2vlm_bench.plugins import Plugins, load_class, load_module
from g2vlm_bench.runner import Model, Options
from g2vlm_bench.sample import Ambiguity, Want
from g2vlm_bench.task import Family

PROJECT = Path(__file__).parent.parent

ADAPTER = '''"""Mine."""
from g2vlm_bench.adapter import Adapter
from g2vlm_bench.sample import Ambiguity, Prediction, Want

class Mine(Adapter):
    predicts = frozenset({Want.ANSWER})

    def __init__(self, temperature: float = 0.0, *, device: str = "auto") -> None:
        self.temperature, self.device = temperature, device

    def predict(self, batch, wants):
        return [Prediction(answer="1") for _ in batch]
'''
TASK = """title: Mine
version: 1
family: toy
data: {format: toy}
metrics: [right]
headline: right@within0
"""


@pytest.fixture
def adapters(tmp_path):
    """A user's folder of adapters with one file of a text."""

    def write(text: str | bytes, name: str = "mine") -> Plugins:
        path = tmp_path / "adapters" / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return Plugins((), (path.parent,))

    return write


def _refused(call, *parts: object) -> str:
    with pytest.raises(BenchError) as caught:
        call()
    line = str(caught.value)
    assert "\n" not in line
    for part in parts:
        assert str(part) in line
    return line


def _make(plugins: Plugins, spec: str = "mine", **arguments: object) -> Model:
    return Model.load(plugins, spec, dict(arguments), Options(device="cpu"))


def test_an_adapter_of_the_user_gets_its_own_and_the_runs_arguments(adapters) -> None:
    model = _make(adapters(ADAPTER), temperature=0.5)
    assert (model.adapter.temperature, model.adapter.device) == (0.5, "cpu")


EXPLODES = '"""It explodes."""\nraise RuntimeError("imported")\n'


def test_listing_imports_nothing(tmp_path) -> None:
    (tmp_path / "tasks" / "readers").mkdir(parents=True)
    (tmp_path / "tasks" / "mine").mkdir()
    (tmp_path / "tasks" / "leaderboards").mkdir()
    (tmp_path / "adapters").mkdir()
    for file in ("tasks/family_x.py", "tasks/readers/reader_x.py", "adapters/adapter_x.py"):
        (tmp_path / file).write_text(EXPLODES)
    (tmp_path / "tasks" / "mine" / "x.yaml").write_text(TASK)
    (tmp_path / "tasks" / "mine" / "y.yml").write_text(TASK)
    (tmp_path / "tasks" / "leaderboards" / "board_x.yaml").write_text("title: Mine")
    (tmp_path / "adapters" / "_private.py").write_text(EXPLODES)
    before = set(sys.modules)
    plugins = Plugins((tmp_path / "tasks",), (tmp_path / "adapters",))
    assert {"mine/x", "mine/y", "depth/world_rooms"} <= set(plugins.names("task"))
    for kind, name in (("family", "family_x"), ("reader", "reader_x"), ("adapter", "adapter_x")):
        assert name in plugins.names(kind)
        assert plugins.summary(kind, name) == "It explodes."
    assert plugins.summary("task", "mine/y") == "Mine"
    assert plugins.summary("leaderboard", "board_x") == "Mine"
    assert "_private" not in plugins.names("adapter")
    assert not [name for name in set(sys.modules) - before if "plugin" in name]
    _refused(
        lambda: _make(plugins, "adapter_x"),
        tmp_path / "adapters" / "adapter_x.py",
        "expected a file that imports, got RuntimeError: imported",
    )


def test_every_shipped_plugin_says_what_it_is() -> None:
    plugins = Plugins()
    for kind in ("task", "family", "adapter", "reader", "leaderboard"):
        assert plugins.names(kind)
        for name in plugins.names(kind):
            assert plugins.summary(kind, name), (kind, name)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import a_package_nobody_has\n", "got ModuleNotFoundError: No module named 'a_package"),
        ("def f(:\n", "got SyntaxError: invalid syntax"),
        ("1 / 0\n", "got ZeroDivisionError: division by zero"),
        ("raise SystemExit('no GPU')\n", "got SystemExit: no GPU"),
        ("", "expected one complete subclass of Adapter, got none"),
        ("from g2vlm_bench.adapter import Adapter\n", "got none"),
        (ADAPTER + "class Other(Mine): pass\n", "got Mine, Other"),
        (ADAPTER.replace("def predict(", "def predikt("), "got none. Keep one a file, with every"),
        ("class Mine: predicts = ()\n", "got none"),
    ],
    ids=["import", "syntax", "error", "exit", "empty", "only imported", "two", "abstract", "base"],
)
def test_a_file_that_holds_no_adapter_is_named(adapters, tmp_path, text, says) -> None:
    plugins = adapters(text)
    _refused(lambda: _make(plugins), tmp_path / "adapters" / "mine.py", says)


def test_a_failed_import_can_be_mended_in_the_same_process(adapters) -> None:
    _refused(lambda: _make(adapters("1 / 0\n")))
    assert _make(adapters(ADAPTER)).adapter.temperature == 0.0


def test_a_second_name_of_one_class_is_no_second_class(adapters) -> None:
    assert _make(adapters(ADAPTER + "Model = Mine\n")).adapter.temperature == 0.0


def test_a_file_that_changes_is_imported_again(adapters, tmp_path) -> None:
    first = _make(adapters(ADAPTER))
    second = _make(adapters(ADAPTER.replace("= 0.0", "= 0.7")))
    assert (first.adapter.temperature, second.adapter.temperature) == (0.0, 0.7)
    assert first.source_hash != second.source_hash
    path = tmp_path / "adapters" / "mine.py"
    assert load_module(path) is load_module(path)


@pytest.mark.parametrize(
    ("text", "says"),
    [(b"\xff\xfe", "expected Python"), (b"x = '\x00'", "expected Python"), ("def f(:", "line 1")],
)
def test_a_file_that_cannot_be_listed_is_named(adapters, tmp_path, text, says) -> None:
    plugins = adapters(text)
    _refused(lambda: plugins.summary("adapter", "mine"), tmp_path / "adapters" / "mine.py", says)


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        ("", "attribute 'predicts': expected a set of depth, points, "),
        ("predicts = 'answer'", "attribute 'predicts': expected a set"),
        ("predicts = [Want.ANSWER]", "attribute 'predicts': expected a set"),
        ("predicts = {'depht'}", "attribute 'predicts': expected a set"),
        ("predicts = {Want.DEPTH}", "attribute 'ambiguity': expected one of metric, scale, "),
        ("predicts = {Want.POINTS}; ambiguity = 'metric'", "since it predicts depth or points"),
    ],
)
def test_an_adapter_that_does_not_say_what_it_predicts_is_refused(adapters, declared, says) -> None:
    text = ADAPTER.replace("predicts = frozenset({Want.ANSWER})", declared or "pass")
    _refused(lambda: _make(adapters(text)), "model 'mine'", says)


def test_a_plain_set_of_words_is_as_good(adapters) -> None:
    declared = "predicts = {'depth'}; ambiguity = Ambiguity.SCALE"
    text = ADAPTER.replace("predicts = frozenset({Want.ANSWER})", declared)
    adapter = _make(adapters(text)).adapter
    assert (set(adapter.predicts), adapter.ambiguity) == ({Want.DEPTH}, Ambiguity.SCALE)


def test_unknown_and_missing_arguments_are_named(adapters) -> None:
    plugins = adapters(ADAPTER)
    _refused(
        lambda: _make(plugins, temprature=1),
        "model 'mine': expected known arguments, got 'temprature'. Did you mean 'temperature'?",
    )
    required = adapters(ADAPTER.replace("temperature: float = 0.0", "temperature: float"))
    _refused(lambda: _make(required), "model 'mine': expected argument 'temperature', got none")


def test_a_constructor_that_raises_names_its_place(adapters, tmp_path) -> None:
    body = "        self.temperature, self.device = temperature, device\n"
    for raising, kind in (("open('weights.pt')", "FileNotFoundError"), ("raise SystemExit", "Sys")):
        plugins = adapters(ADAPTER.replace(body, f"        import io; {raising}\n"))
        path = tmp_path / "adapters" / "mine.py"
        _refused(
            lambda plugins=plugins: _make(plugins),
            f"model 'mine': expected a model that can be made, got {kind}",
            f"See {path}, line 9, in __init__.",
        )


def test_a_constructor_may_refuse_in_its_own_words(adapters) -> None:
    refusal = "from g2vlm_bench.errors import BenchError; raise BenchError('weights', got='none')"
    body = "self.temperature, self.device = temperature, device"
    plugins = adapters(ADAPTER.replace(body, refusal))
    assert _refused(lambda: _make(plugins)) == "weights: got none"


def test_models_are_checked_without_being_made(adapters) -> None:
    body = "self.temperature, self.device = temperature, device"
    plugins = adapters(ADAPTER.replace(body, "raise RuntimeError('made')"))
    classes, checked = plugins.adapter_classes("blind:mine", {"temperature": 1}, {"device": "cpu"})
    assert [cls.__name__ for cls in classes] == ["Blind", "Mine"]
    assert checked == {"temperature": 1.0, "device": "cpu"}


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("blnd", "model 'blnd': expected a known model, got an unknown name. Did you mean"),
        ("blind", "model 'blind': expected blind:MODEL, got no model to wrap"),
        ("blind:", "got no model to wrap"),
        ("blind:oracle", "expected a model to wrap, got a reference row"),
        ("majority:chance", "expected a wrapper before the ':', got 'majority'"),
        ("blind:chence", "model 'chence': expected a known model"),
        ("blind:plane", "expected a model that answers questions, got one that predicts depth"),
        ("", "model '': expected a known model"),
        ("../oracle", "model '../oracle': expected a known model"),
    ],
)
def test_models_that_cannot_be(spec, says) -> None:
    _refused(lambda: _make(Plugins(), spec), says)


def test_wrappers_of_wrappers(toys) -> None:
    model = _make(toys, "blind:blind:pixels")
    assert model.adapter.predicts == {Want.ANSWER}
    assert len(set(model.source_hash.split("sha256:"))) == 3, "each part's source is hashed"


def test_a_name_found_twice_names_both_files(adapters, tmp_path) -> None:
    plugins = adapters(ADAPTER, name="oracle")
    _refused(
        lambda: plugins.names("adapter"),
        "adapter 'oracle': expected one file of that name, got",
        PROJECT / "model_adapters" / "oracle.py",
        tmp_path / "adapters" / "oracle.py",
    )


@pytest.mark.parametrize(
    ("kind", "file", "shipped"),
    [
        ("task", "depth/world_rooms.yaml", "tasks/depth/world_rooms.yaml"),
        ("family", "depth.py", "tasks/depth.py"),
        ("reader", "readers/world.py", "g2vlm_bench/world/reader.py"),
        ("reader", "readers/qa_jsonl.py", "g2vlm_bench/data/readers/qa_jsonl.py"),
        ("leaderboard", "leaderboards/quick.yaml", "leaderboards/quick.yaml"),
    ],
)
def test_clashes_of_every_kind(tmp_path, kind, file, shipped) -> None:
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(TASK)
    plugins = Plugins((tmp_path,), ())
    _refused(lambda: plugins.names(kind), PROJECT / shipped, path)


def test_one_folder_named_twice_is_no_clash(adapters, tmp_path, monkeypatch) -> None:
    adapters(ADAPTER)
    (tmp_path / "link").symlink_to(tmp_path / "adapters")
    monkeypatch.setenv("G2VLM_BENCH_ADAPTERS_DIR", str(tmp_path / "adapters"))
    plugins = Plugins.find((), [tmp_path / "adapters", tmp_path / "link"])
    assert "mine" in plugins.names("adapter")


def test_folders_of_the_environment(tmp_path, monkeypatch, adapters) -> None:
    adapters(ADAPTER)
    for name in ("one", "two"):
        (tmp_path / name / "mine").mkdir(parents=True)
        (tmp_path / name / "mine" / f"{name}.yaml").write_text(TASK)
    monkeypatch.setenv("G2VLM_BENCH_TASKS_DIR", f"{tmp_path / 'one'}{os.pathsep}{tmp_path / 'two'}")
    monkeypatch.setenv("G2VLM_BENCH_ADAPTERS_DIR", str(tmp_path / "adapters"))
    plugins = Plugins.find()
    assert {"mine/one", "mine/two"} <= set(plugins.names("task"))
    assert "mine" in plugins.names("adapter")


def test_a_folder_that_is_not_there(tmp_path, monkeypatch) -> None:
    _refused(lambda: Plugins.find([tmp_path / "no"]), tmp_path / "no", "a folder of plug-ins")
    monkeypatch.setenv("G2VLM_BENCH_ADAPTERS_DIR", str(tmp_path / "nor"))
    _refused(Plugins.find, tmp_path / "nor", "expected a folder of plug-ins, got no such folder")


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package with entry points on the path, as pip would leave it there."""

    def install(points: str) -> Path:
        site = tmp_path / "site"
        package = site / "my_bench"
        (package / "adapters").mkdir(parents=True)
        (package / "tasks" / "mine").mkdir(parents=True)
        (package / "__init__.py").write_text(EXPLODES)
        (package / "adapters" / "packaged.py").write_text(ADAPTER)
        (package / "tasks" / "mine" / "packaged.yaml").write_text(TASK)
        info = site / "my_bench-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-bench\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(points)
        monkeypatch.syspath_prepend(site)
        return package

    return install


def test_an_installed_packages_plugins_are_found_without_importing_it(installed) -> None:
    points = "[g2vlm_bench.tasks]\nmine = my_bench.tasks\n"
    package = installed(points + "[g2vlm_bench.adapters]\nx = my_bench.adapters\n")
    plugins = Plugins.find()
    assert plugins.path("task", "mine/packaged") == package / "tasks" / "mine" / "packaged.yaml"
    assert plugins.summary("adapter", "packaged") == "Mine."
    assert "my_bench" not in sys.modules
    assert _make(plugins, "packaged", temperature=0.2).adapter.temperature == 0.2


def test_the_command_line_finds_an_installed_package(installed) -> None:
    package = installed("[g2vlm_bench.adapters]\nx = my_bench.adapters\n")
    done = subprocess.run(
        [sys.executable, PROJECT / "run_eval.py", "list", "models"],
        env=os.environ | {"PYTHONPATH": str(package.parent)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert any(line.split() == ["packaged", "Mine."] for line in done.stdout.splitlines())


@pytest.mark.parametrize(
    ("points", "says"),
    [
        ("x = no_such_package.tasks", "entry point 'no_such_package.tasks': expected an installed"),
        ("x = my_bench.taskz", "entry point 'my_bench.taskz': expected a folder, got none at"),
    ],
)
def test_an_entry_point_to_nothing_is_named(installed, points, says) -> None:
    installed(f"[g2vlm_bench.tasks]\n{points}\n")
    _refused(Plugins.find, says)


def test_a_task_by_the_path_of_its_file(tmp_path, toys, monkeypatch) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "x.yaml").write_text(TASK)
    monkeypatch.chdir(tmp_path)
    assert (
        toys.task("mine/x.yaml").name == toys.task(str(tmp_path / "mine/x.yaml")).name == "mine/x"
    )
    assert toys.task("toy/echo").name == "toy/echo"


def test_an_unknown_name_is_given_the_nearest() -> None:
    _refused(
        lambda: Plugins().task("depth/world_room"),
        "task 'depth/world_room': expected a known task, got an unknown name. ",
        "Did you mean 'depth/world_rooms'?",
    )


def test_two_plugins_of_one_stem_do_not_mix(toys) -> None:
    family = load_class(toys.path("family", "toy"), Family)
    reader = toys.reader("toy")
    assert family.__module__ != reader.__module__
