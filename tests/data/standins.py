"""Small copies of the published question benchmarks, in their own formats and columns.

Rows are made by hand or by rule, pictures and videos are flat colours: what is tested is that each
task reads its benchmark's format, not what the benchmark asks. Nothing of the originals is here.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from g2vlm_bench.plugins import load_module

files = load_module(Path(__file__).with_name("small_files.py"))
png, mask, picture = files.png, files.mask, files.picture
encoded, video = files.encoded, files.video
write_parquet, write_json, write_tsv = files.write_parquet, files.write_json, files.write_tsv
write_files, write_zip = files.write_files, files.write_zip
Rows = list[dict[str, Any]]
WORDS = ("left", "right", "above", "below")
LETTERS = "ABCD"


def lettered(options: Sequence[str] = WORDS) -> list[str]:
    """Options with their letters before them."""
    return [f"{letter}. {text}" for letter, text in zip(LETTERS, options, strict=False)]


def four(make: Callable[[int], dict[str, Any]]) -> Rows:
    """Four rows, made by their number."""
    return [make(number) for number in range(4)]


def vsi(root: Path) -> None:
    configs = ("full", "debiased", "pruned")

    def row(n: int) -> dict[str, Any]:
        head = {"id": n, "dataset": "scannet", "scene_name": f"scene{n % 2}"}
        if n < 2:
            kind = {"question_type": "object_counting", "ground_truth": str(n + 2), "options": None}
        else:
            kind = {
                "question_type": "object_rel_direction_easy",
                "ground_truth": LETTERS[n - 2],
                "options": lettered(("left", "right")),
            }
        return {**head, **kind, "question": f"How is it in scene {n}?"}

    for config in configs:
        write_parquet(root / config / "test-00000-of-00001.parquet", four(row))
    paths = "".join(
        f"  - config_name: {each}\n    data_files:\n      - split: test\n"
        f"        path: {each}/test-*\n"
        for each in configs
    )
    (root / "README.md").write_text(f"---\nconfigs:\n{paths}---\n")
    members = {}
    for scene in ("scene0", "scene1"):
        content = io.BytesIO()
        video(content)
        members[f"scannet/{scene}.mp4"] = content.getvalue()
    write_zip(root / "scannet.zip", members)


def spar(root: Path) -> None:
    tasks = ["depth_prediction_oc", "obj_spatial_relation_oo", "view_change_infer"]
    answers = ["1.5", "B", "move_right:0.3,rotate_left:12"]
    rows = [
        {
            "id": f"{task}_{n}",
            "img_type": "single_view",
            "format_type": "select",
            "task": task,
            "source": "scannet",
            "image": [picture(n), picture(n + 1)][: 1 + n % 2],
            "question": f"What of {n}?\nA. left\nB. right\nC. above\nD. below",
            "answer": "C" if answer == "B" and n else answer,
        }
        for n in range(2)
        for task, answer in zip(tasks, answers, strict=True)
    ]
    write_parquet(root / "data/test-00000-of-00001.parquet", rows)


def mindcube(root: Path) -> None:
    settings = ("among", "around", "rotation", "among")
    rows = four(
        lambda n: {
            "id": f"{settings[n]}_group00{n}_q0_{n}_2",
            "category": ["spatial"],
            "question": f"From view {n}, what is behind? A. Red bin B. Lamp C. Sofa",
            "images": [f"other_all_image/{settings[n]}/{n}/front.png"],
            "gt_answer": "ABC"[n % 3],
        }
    )
    for file in ("MindCube_tinybench", "MindCube"):
        write_json(root / f"data/raw/{file}.jsonl", rows)
    names = [f"data/{name}" for row in rows for name in row["images"]]
    write_zip(root / "data.zip", {name: png(n) for n, name in enumerate(names)})


def omnispatial(root: Path) -> None:
    kinds = ("Dynamic_Reasoning", "Complex_Logic")
    rows = four(
        lambda n: {
            "id": f"{n // 2}_0",
            "question": f"How long, {n}?",
            "options": ["2.7s", "14.7s", "25.7s", "3.9s"],
            "answer": n,
            "task_type": kinds[n % 2],
            "sub_task_type": "Motion_Analysis",
        }
    )
    write_json(root / "data.json", rows)
    write_files(root, [f"{kind}/{n}.png" for kind in kinds for n in range(2)])


def ost(root: Path) -> None:
    kinds = ("A_quantity(int)", "AO_direction(option1)", "A_position(float)")
    rows = [
        {
            "scan_id": f"scan{scan}",
            "system_prompt": "You walk through a room.",
            "new_observations": [f"scan{scan}/{turn}_{view}.png" for view in range(2)],
            "user_message": f"Turn {turn}: what now?",
            "type": kinds[turn],
            "option": ["yes", "no"] if turn == 1 else [],
            "answer": ("3", ("yes", "no")[scan], f"{scan + 1}.5")[turn],
        }
        for scan in range(2)
        for turn in range(3)
    ]
    write_json(root / "OST_bench.json", rows)
    write_files(root / "images", [name for row in rows for name in row["new_observations"]])


def blink(root: Path) -> None:
    kinds = (
        *("Art_Style", "Counting", "Forensic_Detection", "Functional_Correspondence", "IQ_Test"),
        *("Jigsaw", "Multi-view_Reasoning", "Object_Localization", "Relative_Depth"),
        *("Relative_Reflectance", "Semantic_Correspondence", "Spatial_Relation"),
        *("Visual_Correspondence", "Visual_Similarity"),
    )
    for n, kind in enumerate(kinds):
        row = {
            "idx": f"val_{kind}_1",
            "question": "Which is closer?",
            "sub_task": kind,
            **{f"image_{i}": picture(n) if i <= 1 + n % 2 else None for i in range(1, 5)},
            "choices": ["A is closer", "B is closer"],
            "answer": ("(A)", "(B)")[n % 2],
            "prompt": "Which is closer?\n(A) A is closer\n(B) B is closer",
        }
        write_parquet(root / kind / "val-00000-of-00001.parquet", [row])


def cv_bench(root: Path) -> None:
    def row(n: int, kind: str) -> dict[str, Any]:
        return {
            "idx": n,
            "type": kind,
            "task": "Count" if kind == "2D" else "Depth",
            "image": picture(n),
            "question": f"How many, {n}?",
            "choices": ["1", "2", "3", "4"],
            "answer": f"({LETTERS[n]})",
            "prompt": f"How many, {n}? Select from:\n(A) 1\n(B) 2\n(C) 3\n(D) 4",
            "source": "COCO",
        }

    for kind in ("2D", "3D"):
        rows = [row(n, kind) for n in range(4)]
        write_parquet(root / f"test_{kind.lower()}.parquet", rows)
    (root / "README.md").write_text(
        "---\nconfigs:\n  - config_name: 2D\n    data_files:\n      - split: test\n"
        "        path: test_2d.parquet\n  - config_name: 3D\n    data_files:\n"
        "      - split: test\n        path: test_3d.parquet\n---\n"
    )


def embspatial(root: Path) -> None:
    rows = four(
        lambda n: {
            "question_id": f"mp3d_{n}",
            "question": "Where is the bed?",
            "relation": WORDS[n],
            "answer_options": list(WORDS),
            "answer": n,
            "data_source": "mp3d",
            "image": picture(n),
        }
    )
    write_parquet(root / "data/test-00000-of-00001.parquet", rows)


def viewspatial(root: Path) -> None:
    rows = four(
        lambda n: {
            "question_type": "Camera perspective - Relative Direction",
            "image_path": [f"ViewSpatial-Bench/val2017/{n}.png"],
            "question": "Where is the clock?",
            "answer": f"{LETTERS[n]}. {WORDS[n]}",
            "choices": "\n".join(lettered()),
        }
    )
    write_json(root / "ViewSpatial-Bench.json", rows)
    write_zip(root / "val2017.zip", {f"val2017/{n}.png": png(n) for n in range(4)})


def mmsi(root: Path) -> None:
    rows = four(
        lambda n: {
            "id": n,
            "images": [png(n), png(n + 9)],
            "question_type": "Motion (Cam.)",
            "question": "How did it move?\nOptions: A: left, B: right, C: above, D: below",
            "answer": LETTERS[n],
        }
    )
    write_parquet(root / "MMSI_Bench.parquet", rows)


def all_angles(root: Path) -> None:
    rows = four(
        lambda n: {
            "index": n,
            "folder": f"scene{n % 2}",
            "category": "counting",
            "sourced_dataset": "egohumans",
            "image_path": [f"All-Angles-Bench/scene{n % 2}/{view}.png" for view in range(3)],
            "question": "How many people?",
            **dict(zip("ABC", ("one", "two", "three"), strict=True)),
            "answer": "ABC"[n % 3],
        }
    )
    write_json(root / "data.json", rows)
    write_files(root, [f"scene{s}/{v}.png" for s in range(2) for v in range(3)])


def sat(root: Path) -> None:
    rows = four(
        lambda n: {
            "image_bytes": [picture(n)],
            "question": "Did it move?",
            "answers": ["to the left", "to the right"],
            "question_type": "obj_movement",
            "correct_answer": ("to the left", "to the right")[n % 2],
        }
    )
    write_parquet(root / "SAT_test.parquet", rows)


def site(root: Path) -> None:
    for kind, visual in (("image", "media/{}.png"), ("video", "media/{}.mp4")):
        rows = four(
            lambda n, visual=visual: {
                "dataset": "BLINK",
                "category": "counting & existence",
                "visual": [visual.format(n)],
                "question": "<image>\nHow many?" if n == 0 and "png" in visual else "How many?",
                "options": ["one", "two", "three"][: 2 + n % 2],
                "answer": "AB"[n % 2],
            }
        )
        write_parquet(root / f"{kind}_test/test-00000-of-00001.parquet", rows)
    (root / "README.md").write_text(
        "---\nconfigs:\n"
        + "".join(
            f"  - config_name: {kind}_test\n    data_files:\n      - split: test\n"
            f"        path: {kind}_test/test-*\n"
            for kind in ("image", "video")
        )
        + "---\n"
    )
    write_files(root, [f"media/{n}.png" for n in range(4)])
    for n in range(4):
        video(root / f"media/{n}.mp4")


def sti(root: Path) -> None:
    rows = four(
        lambda n: {
            "Video": f"{n % 2}.mp4",
            "ID": n,
            "Source": "ScanNet",
            "Task": "Speed & Acceleration",
            "time_start": 0.5,
            "time_end": 2.0,
            "Question": "How fast?",
            "Candidates": {"A": "1 m/s", "B": "2 m/s", "C": "3 m/s", "D": "4 m/s", "E": "5 m/s"},
            "Answer": "ABDE"[n],
        }
    )
    write_parquet(root / "qa.parquet", rows)
    (root / "videos").mkdir()
    for n in range(2):
        video(root / f"videos/{n}.mp4")


def spbench(root: Path) -> None:
    for kind in ("SI", "MV"):
        rows = four(
            lambda n: {
                "id": n,
                "scene_name": f"scene{n % 2}",
                "images": [f"{n}.png"],
                "question_type": "object_counting" if n < 2 else "object_rel_distance",
                "question": "What of it?",
                "options": None if n < 2 else lettered(),
                "ground_truth": str(n + 3) if n < 2 else LETTERS[n],
            }
        )
        write_parquet(root / f"SPBench-{kind}.parquet", rows)
        write_files(root / f"SPBench-{kind}/images", [f"scene{n % 2}/{n}.png" for n in range(4)])


def stare(root: Path) -> None:
    rows = four(
        lambda n: {
            "qid": f"q{n}",
            "images": [picture(n)],
            "question": "Which one?\nA. left\nB. right\nC. above\nD. below",
            "answer": LETTERS[n],
            "category": "folding_nets",
        }
    )
    write_parquet(root / "data/train-00000-of-00001.parquet", rows)


def refspatial(root: Path) -> None:
    for split in ("location", "placement", "unseen"):
        rows = four(
            lambda n: {
                "id": n,
                "object": "the cup",
                "prompt": "Please point out the cup.",
                "suffix": "Your answer should be a list of tuples.",
                "step": 1 + n % 2,
                "mask": {"bytes": mask(), "path": None},
                "image": picture(n),
            }
        )
        write_parquet(root / f"data/{split}-00000-of-00001.parquet", rows)


def robospatial(root: Path) -> None:
    asked = "Your answer should be formatted as a list of tuples, i.e. [(x1, y1), ...]."
    for split in ("context", "compatibility", "configuration"):
        rows = four(
            lambda n, split=split: {
                "category": split,
                "question": f"Find free space. {asked}"
                if split == "context"
                else "Can the cup fit? Answer yes or no.",
                "answer": "[(0.5, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 1.0)]"
                if split == "context"
                else ("yes", "no")[n % 2],
                "img": picture(n),
                "depth_image": picture(n),
                "mask": {"bytes": mask(), "path": None} if split == "context" else None,
            }
        )
        write_parquet(root / f"data/{split}-00000-of-00001.parquet", rows)


def where2place(root: Path) -> None:
    rows = four(
        lambda n: {
            "question_id": n,
            "question": "Where can the cup go?",
            "image": picture(n),
            "mask": {"bytes": mask(), "path": None},
        }
    )
    write_parquet(root / "data/test-00000-of-00001.parquet", rows)


def three_dsr(root: Path) -> None:
    ids = ("AB12CD34-0", "AB12CD34-1", "AB12CD34-flip-0", "AB12CD34-flip-1")
    rows = four(
        lambda n: {
            "index": n,
            "qid": ids[n],
            "question": "Which is higher,\nthe left or the right?",
            **dict(zip("AB", (WORDS[:2], WORDS[1::-1])[n % 2], strict=True)),
            **{"C": "", "D": "nan"},
            "answer": "AB"[n % 2],
            "category": "height_higher",
            "image": encoded(n),
        }
    )
    write_tsv(root / "3dsrbench_v1_vlmevalkit_circular.tsv", rows)


def spatialviz(root: Path) -> None:
    rows = four(
        lambda n: {
            "Category": "MentalRotation",
            "Task": "2DRotation",
            "Level": "Level0",
            "Image_id": f"{n}",
            "Question": "Which one?",
            "Choices": list(WORDS),
            "Answer": LETTERS[n],
        }
    )
    write_parquet(root / "data/test-00000-of-00001.parquet", rows)
    names = [f"MentalRotation/2DRotation/Level0/{n}.png" for n in range(4)]
    write_zip(root / "images.zip", {name: png(n) for n, name in enumerate(names)})


def spatial457(root: Path) -> None:
    levels = ("L1_single", "L2_objects", "L4_pose", "L5_collision")
    rows = four(
        lambda n: {
            "index": n,
            "question": "What is it?",
            "answer": ("True", "3", "red", "False")[n],
            "category": levels[n],
            "image": encoded(n),
        }
    )
    write_tsv(root / "Spatial457.tsv", rows)


def erqa(root: Path) -> None:
    rows = four(
        lambda n: {
            "question_id": f"ERQA_{n}",
            "question": "Which way? Choices: A. left. B. right. C. above. D. below.",
            "images": [picture(n)],
            "answer": LETTERS[n],
            "question_type": "Action Reasoning",
        }
    )
    write_parquet(root / "data/test-00000-of-00001.parquet", rows)


def lego(root: Path) -> None:
    rows = four(
        lambda n: {
            "index": n,
            "question": "Order <image 2> and <image 1>." if n == 0 else "Which is next?",
            **dict(zip(LETTERS, WORDS, strict=True)),
            "answer": "BDAC" if n == 0 else LETTERS[n],
            "category": "ordering",
            "question_type": "sort" if n == 0 else "mcq",
            "image": json.dumps([encoded(n), encoded(n + 100)]),
        }
    )
    write_tsv(root / "LEGO.tsv", rows)


def vsr(root: Path) -> None:
    rows = four(
        lambda n: {
            "image": f"{n}.jpg",
            "caption": "The cat is under the car.",
            "label": n % 2,
            "relation": "under",
        }
    )
    write_json(root / "test.jsonl", rows)
    write_files(root / "images", [f"{n}.jpg" for n in range(4)])


def nlvr(root: Path) -> None:
    rows = four(
        lambda n: {
            "sentence": "There is a box.",
            "label": ("true", "false")[n % 2],
            "identifier": f"{n}-0",
            "directory": "3",
        }
    )
    write_json(root / "dev.jsonl", rows)
    write_files(root, [f"images/3/dev-{n}-0-0.png" for n in range(4)])


def spatialmqa(root: Path) -> None:
    rows = four(
        lambda n: {
            "image": f"{n}.jpg",
            "question": "Where is the cat?",
            "options": ["on/above", "below", "in front of", "behind"],
            "answer": ("on/above", "below", "in front of", "behind")[n],
        }
    )
    write_json(root / "test.jsonl", rows)
    write_files(root / "images", [f"{n}.jpg" for n in range(4)])


def whatsup(root: Path) -> None:
    for file, folder, relations in (
        ("controlled_images_dataset", "controlled_images", ("on", "under", "left_of", "right_of")),
        ("controlled_clevr_dataset", "controlled_clevr", ("in-front_of", "behind", "left_of")),
    ):
        rows = [
            {
                "image_path": f"data/{folder}/mug_{relation}_table.jpeg",
                "caption_options": [f"A mug {relation} a table", "A mug", "A table", "A room"],
            }
            for relation in relations
        ]
        write_json(root / f"{file}.json", rows)
        names = [row["image_path"].removeprefix("data/") for row in rows]
        write_files(root, [str(name) for name in names])


# By the folder that the task's `data.root` names.
STAND_INS: dict[str, Callable[[Path], None]] = {
    "all_angles": all_angles,
    "blink": blink,
    "cv_bench": cv_bench,
    "embspatial": embspatial,
    "erqa": erqa,
    "lego_puzzles": lego,
    "mindcube": mindcube,
    "mmsi_bench": mmsi,
    "nlvr": nlvr,
    "omnispatial": omnispatial,
    "ost_bench": ost,
    "refspatial": refspatial,
    "robospatial_home": robospatial,
    "sat": sat,
    "site_bench": site,
    "spar_bench": spar,
    "spar_bench_tiny": spar,
    "spatial457": spatial457,
    "spatialmqa": spatialmqa,
    "spatialviz": spatialviz,
    "spbench": spbench,
    "stare": stare,
    "sti_bench": sti,
    "three_dsr_bench": three_dsr,
    "viewspatial": viewspatial,
    "vsi_bench": vsi,
    "vsr": vsr,
    "whatsup": whatsup,
    "where2place": where2place,
}
