"""Every published benchmark's task reads its format, asks as published, refuses what is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from g2vlm_bench.data.pin import DataPins, split_pins
from g2vlm_bench.errors import BenchError
from g2vlm_bench.plugins import Plugins, load_module
from g2vlm_bench.runner import Task
from g2vlm_bench.sample import IMAGE_MARK, Inputs
from g2vlm_bench.task import TaskDefinition
from g2vlm_bench.validate import validate_task
from g2vlm_bench.yaml_files import convert

files = load_module(Path(__file__).with_name("small_files.py"))
standins = load_module(Path(__file__).with_name("standins.py"))

PLUGINS = Plugins()
TASKS = [
    name
    for name in PLUGINS.names("task")
    if "format: qa_hub" in PLUGINS.path("task", name).read_text(encoding="utf-8")
]
VIDEOS = {"vsi_bench", "site_bench", "sti_bench"}
ISSUE = """
vsi_bench vsi_bench_debiased vsi_bench_pruned spar_bench spar_bench_tiny mindcube mindcube_tiny
omnispatial ost_bench blink cv_bench_2d cv_bench_3d embspatial viewspatial mmsi_bench all_angles
sat site_image site_video sti_bench spbench_si spbench_mv stare refspatial_location
refspatial_placement refspatial_unseen robospatial_context robospatial_compatibility
robospatial_configuration where2place three_dsr_bench spatialviz spatial457 erqa lego_puzzles vsr
nlvr spatialmqa whatsup_a whatsup_b
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("benchmarks")


@pytest.fixture
def standin(root: Path) -> Callable[..., Task]:
    """Load a task on its stand-in, its pins of the true data left out."""

    def load(name: str, **changes: Any) -> Task:
        return Task.load(PLUGINS, unpinned(name, root, **changes), root)

    return load


def unpinned(name: str, root: Path, **changes: Any) -> TaskDefinition:
    definition = PLUGINS.task(f"spatial_qa/{name}")
    folder = definition.data["root"]
    if folder in VIDEOS:
        pytest.importorskip("av", reason="videos need the package av (the extra `video`)")
    if not (root / folder).exists():
        (root / folder).mkdir()
        standins.STAND_INS[folder](root / folder)
    data = {k: v for k, v in definition.data.items() if k not in ("rows", "revision")}
    return msgspec.structs.replace(definition, data=data | changes)


def opened(task: Task) -> list[Inputs]:
    return [task.family.prepare(sample.load_inputs()) for sample in task.dataset.samples]


def test_the_issue_s_benchmarks_are_all_here() -> None:
    assert {name.removeprefix("spatial_qa/") for name in TASKS} == set(ISSUE.split())


@pytest.mark.parametrize("name", TASKS)
def test_what_is_not_known_is_said_and_where_the_rest_is_from(name: str) -> None:
    definition = PLUGINS.task(name)
    pins = convert(split_pins(definition.data)[0], DataPins, name)
    known = {"revision": pins.revision, "rows": pins.rows, "content_hash": pins.content_hash}
    assert pins.awaits == [key for key, value in known.items() if not value]
    assert not pins.revision or re.fullmatch("[0-9a-f]{40}", pins.revision)
    assert pins.sources
    assert definition.citation


@pytest.mark.parametrize("name", [name.removeprefix("spatial_qa/") for name in TASKS])
def test_every_task_reads_its_benchmark_s_format_and_truth_is_best(
    name: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    definition = unpinned(name, root)
    monkeypatch.setattr(Plugins, "task", lambda self, asked: definition)
    found = validate_task(PLUGINS, name, root)
    assert found.problems == ()
    assert found.unscored == 0
    assert found.prompt
    where = "at its <image>" if IMAGE_MARK in found.prompt else "before it"
    assert re.fullmatch(rf", \d+ images? {where}", found.pictures)
    assert not re.search(r"\{\w+\}", found.prompt)


@pytest.mark.parametrize(
    ("name", "index", "prompt"),
    [
        (
            "vsi_bench",
            0,
            "These are frames of a video.\nHow is it in scene 0?\n"
            "Please answer the question using a single word or phrase.",
        ),
        (
            "vsi_bench",
            2,
            "These are frames of a video.\nHow is it in scene 2?\nOptions:\nA. left\nB. right\n"
            "Answer with the option's letter from the given choices directly.",
        ),
        (
            "vsi_bench@vlmevalkit",
            0,
            "These are frames of a video.\nHow is it in scene 0?\n"
            "Answer briefly and directly in one float number.",
        ),
        (
            "vsi_bench@vlmevalkit",
            2,
            "These are frames of a video.\nHow is it in scene 2?\nA. left\nB. right\n"
            "Answer with the option's letter from the given choices directly.",
        ),
        (
            "spar_bench",
            0,
            "\nWhat of 0?\nA. left\nB. right\nC. above\nD. below\n"
            "Please answer the question using a single word or phrase.",
        ),
        (
            "spar_bench",
            1,
            "\nWhat of 0?\nA. left\nB. right\nC. above\nD. below\n\n"
            "Answer with the option's letter from the given choices directly.",
        ),
        ("spar_bench", 2, "\nWhat of 0?\nA. left\nB. right\nC. above\nD. below\n\n"),
        ("blink", 0, "Which is closer?\n(A) A is closer\n(B) B is closer"),
        (
            "blink@lmms_eval",
            0,
            "Note: You only need to respond with A, B without providing any additional "
            "information.\nWhich is closer?\n(A) A is closer\n(B) B is closer",
        ),
        (
            "embspatial",
            0,
            "Note: You only need to respond with A, B, C, D without providing any additional "
            "information.\nWhere is the bed?\nA) left\nB) right\nC) above\nD) below",
        ),
        (
            "embspatial@vlmevalkit",
            0,
            "Question: Where is the bed?\nOptions:\nA: left\nB: right\nC: above\nD: below\n"
            "Give me the answer letter directly. The best answer is:",
        ),
        (
            "viewspatial",
            0,
            "Question: Where is the clock?\nChoices: A. left\nB. right\nC. above\nD. below\n"
            "Reply only to the corresponding option.\nAnswer:",
        ),
        (
            "mmsi_bench",
            0,
            "How did it move?\nOptions: A: left, B: right, C: above, D: below\nAnswer with the "
            "option's letter from the given choices directly. Enclose the option's letter "
            "within ``.",
        ),
        (
            "sti_bench",
            0,
            "Answer the question below based on the frames provided, which are sampled at about "
            "4.00 FPS.\nQuestion: From 0.5 seconds to 2.0 seconds. How fast?\nA 1 m/s\nB 2 m/s\n"
            "C 3 m/s\nD 4 m/s\nE 5 m/s\nPlease output only the option you choose!",
        ),
        (
            "refspatial_location",
            0,
            "Please point out the cup. Your answer should be a list of tuples. Return only list "
            "of tuples, don't add anything else.",
        ),
        (
            "robospatial_context@vlmevalkit",
            0,
            "Find free space.\n\nOutput the point coordinates in JSON format.\nFor example:\n[\n"
            '  {"point_2d": [x, y], "label": "point_1"}\n]\n',
        ),
        ("robospatial_compatibility", 0, "Can the cup fit? Answer yes or no."),
        (
            "three_dsr_bench",
            0,
            "Question: Which is higher,\nthe left or the right?\nOptions:\nA. left\nB. right\n"
            "Please select the correct answer from the options above. \n",
        ),
        (
            "lego_puzzles",
            0,
            f"Question: Order {IMAGE_MARK} and {IMAGE_MARK}.\nOptions:\n\nPlease respond with "
            "only the sequence of letters (e.g., 'BDAC') that correctly orders the steps.\n",
        ),
        (
            "site_image",
            0,
            "Question: <image>\nHow many?\nOptions:\nA: one\nB: two\n",
        ),
        ("site_image", 1, "<image>\nQuestion: How many?\nOptions:\nA: one\nB: two\nC: three\n"),
    ],
)
def test_prompts_are_those_that_are_published(
    name: str, index: int, prompt: str, standin: Callable[..., Task]
) -> None:
    assert opened(standin(name))[index].prompt == prompt


def test_prompts_are_named_and_a_task_with_another_one_is_another_task(
    standin: Callable[..., Task],
) -> None:
    task = standin("blink@lmms_eval")
    assert task.name == "spatial_qa/blink@lmms_eval"
    assert task.definition.options["prompt"]["name"] == "blink.lmms_eval"
    with pytest.raises(BenchError, match=r"expected a prompt \(official, lmms_eval, vlmevalkit\)"):
        PLUGINS.task("spatial_qa/blink@lmms")
    with pytest.raises(BenchError, match="expected a task with published prompts"):
        PLUGINS.task("spatial_qa/world@official")


def test_system_prompts_and_token_limits_reach_the_model(standin: Callable[..., Task]) -> None:
    one = opened(standin("omnispatial"))[0]
    assert one.system.startswith("\nYou are a spatial-reasoning assistant.")
    assert one.system.endswith("where X ∈ {A, B, C, D}.\n")
    assert one.prompt == "How long, 0?\nA. 2.7s\nB. 14.7s\nC. 25.7s\nD. 3.9s\n"
    assert opened(standin("vsi_bench"))[0].max_new_tokens == 16


def test_validate_shows_what_a_model_is_told_and_asked(root: Path, monkeypatch) -> None:
    definition = unpinned("omnispatial", root)
    monkeypatch.setattr(Plugins, "task", lambda self, name: definition)
    said = validate_task(PLUGINS, "omnispatial", root).text()
    assert "     | [system]\n     | \n     | You are a spatial-reasoning assistant." in said
    assert "     | [question]\n     | How long, 0?\n     | A. 2.7s" in said


def test_answers_in_every_form_of_the_data(standin: Callable[..., Task]) -> None:
    def answers(name: str) -> list[object]:
        return [sample.load_target().answer for sample in standin(name).dataset.samples]

    assert answers("vsi_bench") == [2.0, 3.0, "left", "right"]
    assert answers("omnispatial") == ["2.7s", "14.7s", "25.7s", "3.9s"]
    assert answers("embspatial") == list(standins.WORDS)
    assert answers("sat") == ["to the left", "to the right"] * 2
    assert answers("sti_bench") == ["1 m/s", "2 m/s", "4 m/s", "5 m/s"]
    assert answers("vsr") == ["no", "yes", "no", "yes"]
    assert answers("spatial457") == ["yes", 3.0, "red", "no"]
    assert answers("lego_puzzles") == ["BDAC", "right", "above", "below"]
    assert answers("whatsup_a")[0] == "A mug on a table"


def test_regions_and_polygons_of_points(standin: Callable[..., Task]) -> None:
    target = standin("robospatial_context").dataset.samples[0].load_target()
    height, width = files.SIZE
    assert target.image_size == (height, width)
    assert target.region is not None
    assert target.region.sum() == height * width / 2
    assert target.polygon is not None
    np.testing.assert_array_equal(target.polygon[2], (width, height))
    assert standin("where2place").dataset.samples[0].load_target().polygon is None


def test_groups_of_3dsrbench_are_vlmevalkit_s(standin: Callable[..., Task]) -> None:
    """qid without `-flip`; its first 8, or 13 where it is mirrored; its first 8."""
    groups = [sample.groups for sample in standin("three_dsr_bench").dataset.samples]
    for sample, found in zip(standin("three_dsr_bench").dataset.samples, groups, strict=True):
        ids = ("AB12CD34-0", "AB12CD34-1", "AB12CD34-flip-0", "AB12CD34-flip-1")
        qid = ids[int(sample.id)]
        assert found == {
            "flip": qid.replace("-flip", ""),
            "circular": qid[:8] if "-flip" not in qid else qid[:13],
            "flip_circular": qid[:8],
        }


def test_pictures_stand_where_the_question_names_them(standin: Callable[..., Task]) -> None:
    first, second = opened(standin("lego_puzzles"))[:2]
    assert [int(image[0, 0, 0]) for image in first.images] == [100, 0]
    assert [int(image[0, 0, 0]) for image in second.images] == [1, 101]


def test_a_question_is_asked_with_the_talk_before_it(
    standin: Callable[..., Task], tmp_path: Path
) -> None:
    samples = standin("ost_bench").dataset.samples
    assert [(s.cluster, s.after) for s in samples] == [
        *(("scan0", ""), ("scan1", "")),
        *(("scan0", "0"), ("scan1", "3")),
        *(("scan0", "1"), ("scan1", "4")),
    ]


# What is wrong with data


def test_data_that_are_not_here_say_what_to_do(tmp_path: Path) -> None:
    definition = PLUGINS.task("spatial_qa/blink")
    with pytest.raises(
        BenchError, match=r"--data-root DIR, a copy of BLINK-Benchmark/BLINK in DIR/blink; or"
    ):
        Task.load(PLUGINS, definition)
    with pytest.raises(BenchError, match="Put a copy of BLINK-Benchmark/BLINK in DIR/blink"):
        Task.load(PLUGINS, definition, tmp_path)
    (tmp_path / "blink").mkdir()
    with pytest.raises(BenchError, match=r"expected files 'Art_Style/val-\*.parquet', got none"):
        Task.load(PLUGINS, definition, tmp_path)


def test_a_count_of_rows_that_is_not_the_published_one(root: Path) -> None:
    definition = unpinned("mmsi_bench", root, rows=1000)
    with pytest.raises(BenchError, match="data rows: expected 1000, got 4"):
        Task.load(PLUGINS, definition, root)


def test_columns_that_are_others_are_listed(tmp_path: Path) -> None:
    rows = [{"idx": 1, "frage": "Wo?", "choices": ["a", "b"], "answer": "(A)"}]
    files.write_parquet(tmp_path / "cv/t.parquet", rows)
    definition = msgspec.structs.replace(
        PLUGINS.task("spatial_qa/cv_bench_2d"),
        data={**PLUGINS.task("spatial_qa/cv_bench_2d").data, "files": ["t.parquet"], "root": "cv"},
    )
    with pytest.raises(BenchError) as caught:
        Task.load(PLUGINS, definition, tmp_path)
    said = str(caught.value)
    assert "expected columns answer, choices, idx, image, prompt, question, source, task" in said
    assert "got idx, frage, choices, answer, without image, prompt, question" in said


def test_a_moved_revision_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "vsr"
    standins.vsr(folder)
    note = folder / ".cache/huggingface/download/test.jsonl.metadata"
    note.parent.mkdir(parents=True)
    note.write_text(f"{'a' * 40}\netag\n1.0\n")
    data = {k: v for k, v in PLUGINS.task("spatial_qa/vsr").data.items() if k != "rows"}
    definition = msgspec.structs.replace(PLUGINS.task("spatial_qa/vsr"), data=data)
    with pytest.raises(BenchError, match=f"data revision: expected 148b3777.*, got {'a' * 40}"):
        Task.load(PLUGINS, definition, tmp_path)
    other = note.with_name("dev.jsonl.metadata")
    other.write_text(f"{'b' * 40}\netag\n1.0\n")
    with pytest.raises(BenchError, match="expected files of one revision"):
        Task.load(PLUGINS, definition, tmp_path)


def test_first_use_is_recorded_and_held_to(tmp_path: Path, monkeypatch) -> None:
    standins.vsr(tmp_path / "vsr")
    definition = PLUGINS.task("spatial_qa/vsr")
    data = {k: v for k, v in definition.data.items() if k not in ("rows", "revision")}
    definition = msgspec.structs.replace(definition, data=data)
    monkeypatch.setattr(Plugins, "task", lambda self, name: definition)
    first = validate_task(PLUGINS, "vsr", tmp_path)
    assert first.recorded == tmp_path / "vsr/.g2vlm-bench-pins.json"
    assert "not pinned; pin with rows: 4, content_hash: sha256:" in first.text()
    assert "first use recorded in" in first.text()
    assert validate_task(PLUGINS, "vsr", tmp_path).recorded is None
    (tmp_path / "vsr/images/0.jpg").write_bytes(files.png(77))
    with pytest.raises(BenchError, match=r"data content: expected sha256:.* at first use"):
        Task.load(PLUGINS, definition, tmp_path)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"options": ["on/above", "on/above"]}, "expected two or more different options"),
        ({"options": ["on/above"]}, "expected two or more different options"),
        ({"answer": "beside"}, "expected the text of one of 4 choices, got 'beside'"),
        ({"answer": ""}, "expected an answer, got an empty one"),
        ({"answer": None}, "expected an answer, got an empty one"),
    ],
)
def test_a_row_without_a_truth_is_unscored_and_the_others_are_not(
    tmp_path: Path, change: dict[str, Any], why: str
) -> None:
    standins.spatialmqa(tmp_path / "spatialmqa")
    path = tmp_path / "spatialmqa/test.jsonl"
    lines = path.read_text().splitlines()
    row = msgspec.json.decode(lines[1]) | change
    path.write_text("\n".join([lines[0], msgspec.json.encode(row).decode(), *lines[2:]]) + "\n")
    definition = PLUGINS.task("spatial_qa/spatialmqa")
    data = {k: v for k, v in definition.data.items() if k != "rows"}
    task = Task.load(PLUGINS, msgspec.structs.replace(definition, data=data), tmp_path)
    first, second = task.dataset.samples[:2]
    assert first.load_target().answer == "on/above"
    assert second.load_inputs().question == "Where is the cat?"
    with pytest.raises(BenchError, match=re.escape(why)):
        second.load_target()


def test_a_mask_of_another_size_is_unscored(tmp_path: Path) -> None:
    rows = [
        {
            "question_id": n,
            "question": "Where?",
            "image": files.picture(n),
            "mask": {"bytes": files.mask(size), "path": None},
        }
        for n, size in enumerate([(24, 32), (32, 24)])
    ]
    files.write_parquet(tmp_path / "where2place/data/test-0.parquet", rows)
    task = Task.load(PLUGINS, PLUGINS.task("spatial_qa/where2place"), tmp_path)
    first, second = task.dataset.samples
    assert first.load_target().region is not None
    with pytest.raises(BenchError, match=r"row 1, mask: expected \(24, 32\), got \(32, 24\)"):
        second.load_target()


def test_a_missing_picture_fails_its_own_sample(tmp_path: Path) -> None:
    standins.vsr(tmp_path / "vsr")
    (tmp_path / "vsr/images/1.jpg").unlink()
    data = {k: v for k, v in PLUGINS.task("spatial_qa/vsr").data.items() if k != "rows"}
    definition = msgspec.structs.replace(PLUGINS.task("spatial_qa/vsr"), data=data)
    first, second = Task.load(PLUGINS, definition, tmp_path).dataset.samples[:2]
    assert first.load_inputs().images
    with pytest.raises(BenchError, match=r"images/1.jpg: expected a readable file"):
        second.load_inputs()


# Real rows, as far as they are here


def copied(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(source.read_bytes())


def test_all_real_rows_of_vsr(realdata: Path, tmp_path: Path) -> None:
    source = realdata / "spatial_qa/vsr_zeroshot_test_text/test.jsonl"
    copied(source, tmp_path / "vsr/test.jsonl")
    task = Task.load(PLUGINS, PLUGINS.task("spatial_qa/vsr"), tmp_path)
    rows = [msgspec.json.decode(line) for line in source.read_bytes().splitlines()]
    answers = [sample.load_target().answer for sample in task.dataset.samples]
    assert answers == [("no", "yes")[row["label"]] for row in rows]
    assert len(answers) == 1222


def test_real_questions_of_spatialmqa(realdata: Path, tmp_path: Path) -> None:
    source = realdata / "spatial_qa/spatialmqa_examples"
    copied(source / "examples.jsonl", tmp_path / "spatialmqa/test.jsonl")
    for photo in (source / "images").iterdir():
        copied(photo, tmp_path / "spatialmqa/images" / photo.name)
    data = {k: v for k, v in PLUGINS.task("spatial_qa/spatialmqa").data.items() if k != "rows"}
    definition = msgspec.structs.replace(PLUGINS.task("spatial_qa/spatialmqa"), data=data)
    first = Task.load(PLUGINS, definition, tmp_path).dataset.samples[0]
    assert first.load_target().answer == "on/above"
    assert first.load_inputs().images[0].shape[2] == 3


def test_real_questions_of_nlvr(realdata: Path, tmp_path: Path) -> None:
    source = realdata / "spatial_qa/nlvr_dev_subset"
    copied(source / "items.jsonl", tmp_path / "nlvr/dev.jsonl")
    rows = [
        msgspec.json.decode(line) for line in (source / "items.jsonl").read_bytes().splitlines()
    ]
    for row in rows:
        name = f"dev-{row['identifier']}-0.png"
        copied(source / "images" / name, tmp_path / "nlvr/images" / row["directory"] / name)
    samples = Task.load(PLUGINS, PLUGINS.task("spatial_qa/nlvr"), tmp_path).dataset.samples
    answers = {"true": "yes", "false": "no"}
    assert [s.load_target().answer for s in samples] == [answers[row["label"]] for row in rows]
    assert all(sample.load_inputs().images for sample in samples)
    assert samples[0].cluster == rows[0]["identifier"].rpartition("-")[0]
