"""Task files: what is wrong with one is named by file, key and the nearest right name."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import yaml

from g2vlm_bench.errors import BenchError
from g2vlm_bench.plugins import Plugins
from g2vlm_bench.runner import Task
from g2vlm_bench.task import TaskDefinition, label_number, load_definition
from g2vlm_bench.yaml_files import convert, parse_yaml, read_yaml

GOOD = (Path(__file__).parent / "toys" / "tasks" / "toy" / "echo.yaml").read_text()


@pytest.fixture
def write(tmp_path):
    def write(text: str | bytes) -> Path:
        path = tmp_path / "mine" / "task.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


def _line(error: pytest.ExceptionInfo[BenchError]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_task_is_named_by_folder_and_file(write) -> None:
    definition = load_definition(write(GOOD))
    assert (definition.name, definition.seed, definition.protocols) == ("mine/task", 0, [{}])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GOOD + "headlin: x\n", "unknown key 'headlin'. Did you mean 'headline'?"),
        (GOOD + "on: 1\n", "unknown key 'True'"),
        (GOOD + "5: 1\n", "unknown key '5'"),
        (GOOD + "name: x\n", "a key 'name'. Remove it: a task is named by its folder and file."),
        (GOOD.replace("version: 1", "version: '1'"), "`$.version`"),
        (GOOD.replace("metrics: [right, error]", "metrics: right"), "`$.metrics`"),
        (GOOD.replace("version: 1\n", ""), "`version`"),
        (GOOD + "seed: .nan\n", "`$.seed`"),
        ("a: [", "expected YAML, got while parsing"),
        ("a: b: c", "expected YAML"),
        ("\tx", "expected YAML"),
        ("- a\n", "expected keys and values, got list"),
        ("text", "expected keys and values, got str"),
        ("", "expected keys and values, got NoneType"),
        (b"\xff\xfe\x00", "expected YAML"),
        (b"\x00", "expected YAML"),
        ("!!python/object/apply:os.system ['touch /tmp/executed']", "expected YAML"),
        ("a: !!python/name:os.system", "expected YAML"),
    ],
)
def test_a_broken_file_is_one_line_that_names_it(write, text, says) -> None:
    path = write(text)
    with pytest.raises(BenchError) as caught:
        load_definition(path)
    line = _line(caught)
    assert line.startswith(f"{path}: ")
    assert says in line


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            GOOD + "title: Again\n",
            "line 7: expected each key once, got 'title' again, which line 1",
        ),
        (GOOD + "'title': Quoted\n", "got 'title' again, which line 1 has. Keep one of them."),
        (GOOD.replace("n: 6", "n: 6, n: 7"), "line 4: expected each key once, got 'n' again"),
        (GOOD + "protocols:\n  - {within: 0}\n  - {within: 1, within: 2}\n", "line 9: "),
    ],
)
def test_a_key_that_is_named_twice_is_refused_with_its_line(write, text, says) -> None:
    path = write(text)
    with pytest.raises(BenchError) as caught:
        load_definition(path)
    assert _line(caught).startswith(f"{path}, line ")
    assert says in _line(caught)


def test_a_key_may_stand_in_several_mappings_and_over_what_is_merged() -> None:
    text = "one: &one {a: 1, b: &all [1]}\ntwo: {<<: *one, a: 2, c: *all}\na: 3\n1: x\n'1': y\n"
    assert parse_yaml(text, "here") == yaml.safe_load(text)
    assert parse_yaml("a: &loop [*loop]", "here")["a"], "what holds itself is read to an end"


def test_no_shipped_file_names_a_key_twice() -> None:
    project = Path(__file__).parent.parent
    files = [
        path
        for folder in ("g2vlm_bench", "tasks", "leaderboards")
        for path in (project / folder).rglob("*.y*ml")
        # lm-eval's own tags are in these.
        if "lm_eval_bridge" not in path.parts
    ]
    assert project / "g2vlm_bench" / "world" / "language" / "templates.yaml" in files
    for path in files:
        assert parse_yaml(path.read_text(encoding="utf-8"), path), path


def test_yaml_executes_nothing(write, tmp_path) -> None:
    trace = tmp_path / "executed"
    path = write(f"a: !!python/object/apply:os.mkdir ['{trace}']")
    with pytest.raises(BenchError):
        read_yaml(path)
    assert not trace.exists()
    yaml.unsafe_load(path.read_text())
    assert trace.exists(), "the text above would have done it"


def test_a_file_that_is_not_there_or_a_folder(tmp_path) -> None:
    with pytest.raises(BenchError, match="expected a YAML file, got no file"):
        load_definition(tmp_path / "none.yaml")
    with pytest.raises(BenchError, match="expected a YAML file, got Is a directory"):
        read_yaml(tmp_path)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"family": "toyy"}, "family 'toyy': expected a known family, got an unknown name. Did"),
        ({"metrics": ["rigth"]}, "of the family 'toy', got 'rigth'. Did you mean 'right'?"),
        ({"metrics": []}, "expected one of the task's metrics, got 'right@within0'"),
        ({"headline": "right"}, "key 'headline': expected one of the task's metrics"),
        ({"headline": "error@within0"}, "key 'headline': expected a bounded metric"),
        ({"protocols": []}, "key 'protocols': expected protocols that differ, at least one"),
        ({"protocols": [{}, {"within": 0}]}, "at least one, got within0, within0"),
        ({"protocols": [{"witin": 1}]}, "got unknown key 'witin'. Did you mean 'within'?"),
        ({"protocols": [{"within": "wide"}]}, "key 'protocols': got Expected `float`, got `str`"),
        ({"data": {"format": "tooy"}}, "data format 'tooy': expected a known data format"),
        ({"data": {"seeed": 1}}, "key 'data': expected known arguments, got 'seeed'. Did"),
        ({"data": {5: 1}}, "key 'data': expected known arguments, got '5'"),
        ({"data": {"rows": "many"}}, "key 'data': got Expected `int | null`, got `str`"),
        ({"data": {"rows": 7}}, "data rows: expected 7, got 6"),
        ({"data": {"split": "tset"}}, "data split: expected test or train, got 'tset'"),
        ({"data": {"root": "somewhere"}}, "expected a folder of data, got no --data-root"),
    ],
)
def test_a_task_that_makes_no_sense_is_one_line(toy_task, changes, says) -> None:
    with pytest.raises(BenchError) as caught:
        toy_task(**changes)
    assert says in _line(caught)


def test_a_training_split_that_holds_what_is_scored_is_refused(toy_task) -> None:
    task = toy_task(data={"overlap": True})
    with pytest.raises(BenchError, match="training split: expected no sample of the scored split"):
        _ = task.dataset.training


def test_a_data_root_that_is_not_there(toys, tmp_path) -> None:
    definition = toys.task("toy/echo")
    rooted = msgspec.structs.replace(definition, data=definition.data | {"root": "none"})
    with pytest.raises(BenchError, match="data root: expected a folder, got none at"):
        Task.load(toys, rooted, tmp_path)


def test_an_unknown_key_is_named_with_the_nearest_one() -> None:
    with pytest.raises(BenchError, match=r"unknown key 'famly'\. Did you mean 'family'\?"):
        convert({"famly": "x"}, TaskDefinition, "here")


@pytest.mark.parametrize("name", Plugins().names("task"))
def test_every_shipped_task_file_makes_its_family(name) -> None:
    plugins = Plugins()
    definition = plugins.task(name)
    family = plugins.family(definition)
    assert family.headline().bounded
    assert definition.title
    assert definition.licence
    names = [spec.name for spec in family.specs]
    assert len(set(names)) == len(names)


def test_labels_of_different_numbers_differ() -> None:
    numbers = [0.1, 0.05, 1, 10, 80, 1e-3, 123456.0, 0.25]
    assert len({label_number(number) for number in numbers}) == len(numbers)
