"""Score the same answers with published scorers' own functions and with our profiles of them.

    python scripts/conformance_answers.py --peers DIR [--write]

DIR holds the peers' checkouts by their repository's name (lmms-eval, VLMEvalKit, thinking-in-space,
SPAR, MindCube, OmniSpatial, OST-Bench, BLINK_Benchmark, ViewSpatial-Bench, MMSI-Bench, RoboRefer,
RoboSpatial-Eval, All-Angles-Bench, SpatialMQA), each at the commit that the profiles name. Their
functions are run, not copied: of a file only plain imports, functions, classes and constants are
executed, so that nothing is downloaded and no model is run. What is not there is skipped with its
reason. The answers are those of tests/protocols/adversarial_answers.yaml; `--write` puts the peers'
scores beside them, in adversarial_scores.json, which the tests hold our profiles to.

Exits with 1 where a profile and its peer disagree.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import io
import json
import random
import re
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from g2vlm_bench.aggregate import aggregate
from g2vlm_bench.metric import MetricSpec
from g2vlm_bench.plugins import Plugins
from g2vlm_bench.protocols.answers import Mean, QaProtocol, without_thoughts
from g2vlm_bench.protocols.counted import letters_of, right_letter
from g2vlm_bench.sample import Prediction, Target
from g2vlm_bench.store import SampleLine
from g2vlm_bench.task import convert, load_profile

ANSWERS = Path(__file__).parent.parent / "tests" / "protocols" / "adversarial_answers.yaml"
SCORES = ANSWERS.with_name("adversarial_scores.json")
PLAIN = {
    "re", "json", "math", "ast", "string", "random", "copy", "os", "numpy", "collections", "typing",
    "functools", "logging", "word2number", "pandas", "time", "enum", "dataclasses",
}  # fmt: skip
Peer = Callable[[str, Target], float | None]


@cache
def names_of(path: Path) -> dict[str, Any]:
    """Execute a file's plain imports, functions, classes and constants, each where it can be."""
    module = types.ModuleType(path.stem)
    space = module.__dict__
    import pandas

    space |= {"re": re, "json": json, "np": np, "pd": pandas, "num2words": _num2words}
    space["logger"] = space["eval_logger"] = _Silent()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            named = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module]
            plain = all((name or "").split(".")[0] in PLAIN for name in named)
            if not plain or (isinstance(node, ast.ImportFrom) and node.level):
                continue
        elif isinstance(node, ast.ClassDef):
            node.bases = []
        elif isinstance(node, ast.For):
            calls = (each for each in ast.walk(node) if isinstance(each, ast.Call))
            if any(not ast.unparse(call).endswith(".items()") for call in calls):
                continue
        elif not isinstance(node, ast.FunctionDef | ast.Assign | ast.AnnAssign):
            continue
        part = ast.fix_missing_locations(ast.Module([node], []))
        with contextlib.suppress(Exception):
            exec(compile(part, str(path), "exec"), space)
    return space


class _Silent:
    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


def _num2words(value: int, lang: str = "en") -> str:
    """What num2words says up to twenty, so that the peer needs no package."""
    words = (
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
        "fifteen sixteen seventeen eighteen nineteen twenty"
    )
    return words.split()[value]


@dataclass(frozen=True)
class Peers:
    """The peers' functions as scorers: text and truth in, score out; None leaves the mean."""

    folder: Path

    def lmms(self, task: str) -> dict[str, Any]:
        """A task's functions in lmms-eval."""
        return names_of(self.folder / "lmms-eval" / "lmms_eval" / "tasks" / task / "utils.py")

    def kit(self, file: str) -> dict[str, Any]:
        """A file's functions in VLMEvalKit, with what it imports from its neighbours."""
        base = self.folder / "VLMEvalKit" / "vlmeval"
        space = names_of(base / file)
        if file == "dataset/utils/spatial_bench/cal_scores.py":
            return space
        tools = names_of(base / "dataset" / "utils" / "spatial_bench" / "tools" / "utils.py")
        scores = names_of(base / "dataset" / "utils" / "spatial_bench" / "cal_scores.py")
        space.setdefault("Point2DParser", tools.get("Point2DParser"))
        space.setdefault("mean_relative_accuracy", scores["mean_relative_accuracy"])
        return space

    def own(self, repository: str, file: str) -> dict[str, Any]:
        """A benchmark's own file."""
        return names_of(self.folder / repository / file)

    def scorers(self) -> dict[str, Callable[[], Peer]]:
        """Profile -> how to make its peer."""
        lmms = {
            "vsi_bench": lambda: _vsi(self.lmms("vsibench")),
            "spar_bench": lambda: _spar(self.lmms("sparbench")),
            "mindcube": lambda: _letter(self.lmms("mindcube")["extract_answer"], strip=True),
            "omnispatial": lambda: _omnispatial(
                self.folder / "lmms-eval/lmms_eval/tasks/omnispatial"
            ),
            "omnispatial_direct": lambda: _omni_direct(self.lmms("omni_spatial")),
            "blink": lambda: _letter(self.lmms("blink")["_extract_answer_letter"]),
            "cv_bench": lambda: _letter(self.lmms("cv_bench")["_extract_answer_letter"]),
            "embspatial": lambda: _letter(self.lmms("embspatial")["_extract_answer_letter"]),
            "viewspatial": lambda: _viewspatial(self.lmms("viewspatial")),
            "mmsi_bench": lambda: _mmsi(self.lmms("mmsi_bench")),
            "sat": lambda: _sat(self.lmms("sat")),
            "erqa": lambda: _erqa(
                self.own("lmms-eval", "lmms_eval/tasks/_task_utils/mcq_extract.py")
            ),
            "three_d_sr": lambda: _letter(self.lmms("3dsrbench")["extract_answer"], strip=True),
            "spatialviz": lambda: _spatialviz(self.lmms("spatialviz")),
            "spatial457": lambda: _spatial457(self.lmms("spatial457")),
            "site": lambda: _site(self.lmms("sitebench")),
            "stare": lambda: _stare(self.lmms("stare")),
            "refspatial": lambda: _masked(
                self.lmms("refspatial"), "_text2pts", "_refspatial_acc", 1
            ),
            "refspatial_grid": lambda: _masked(
                self.lmms("refspatial"), "_text2pts", "_refspatial_acc", 1000
            ),
            "refspatial_json": lambda: self._json_points("refspatial", "_refspatial_acc"),
            "where2place": lambda: _masked(
                self.lmms("where2place"), "_text2pts", "_where2place_acc", 1
            ),
            "where2place_grid": lambda: _masked(
                self.lmms("where2place"), "_text2pts", "_where2place_acc", 1000
            ),
            "where2place_json": lambda: self._json_points("where2place", "_where2place_acc"),
            "robospatial": lambda: _robo_lmms(self.lmms("robo_spatial"), first=False),
            "robospatial_first": lambda: _robo_lmms(self.lmms("robo_spatial"), first=True),
        }
        option = "dataset/utils/spatial_bench/matching_func.py"
        kit = {
            "vsi_bench": lambda: _kit_spatial(self, option),
            "spar_bench": lambda: _kit_spar(self, option),
            "spatial": lambda: _kit_spatial(self, option),
            **{
                name: lambda: _can_infer(self.kit("utils/matching_util.py"))
                for name in ("blink", "cv_bench", "three_d_sr")
            },
            "lego_puzzles": lambda: _lego(self.kit("utils/matching_util.py")),
            "vsr": lambda: _vsr(self.kit("dataset/utils/yorn.py"), self.kit("smp/misc.py")),
            "ost_bench": lambda: _ost(self.kit("dataset/ost_bench.py"), "Failed"),
            "refspatial": lambda: _kit_refspatial(self.kit("dataset/refspatialbench.py")),
            "robospatial": lambda: _kit_robo(self.kit("dataset/robospatialbench.py")),
            "spatial457": lambda: _kit_457(self.kit("dataset/utils/spatial457.py")),
        }
        official = {
            "vsi_bench": lambda: _vsi(
                self.own("thinking-in-space", "lmms_eval/tasks/vsibench/utils.py")
            ),
            "spar_bench": lambda: _spar(
                self.own("SPAR", "lmms-eval/lmms_eval/tasks/sparbench/utils.py")
            ),
            "mindcube": lambda: _letter(
                self.own("MindCube", "src/evaluation/core/extractors.py")["extract_answer"]
            ),
            "omnispatial": lambda: _omni_own(self.folder / "OmniSpatial/api_eval.py", "re"),
            "omnispatial_json": lambda: _omni_own(self.folder / "OmniSpatial/api_eval.py", "json"),
            "omnispatial_direct": lambda: _omni_own(
                self.folder / "OmniSpatial/api_eval.py", "direct"
            ),
            "ost_bench": lambda: _ost(self.own("OST-Bench", "evaluation/OST_evaluator.py"), None),
            "blink": lambda: _blink(self.own("BLINK_Benchmark", "eval/test_benchmark.py")),
            "viewspatial": lambda: _viewspatial(self.own("ViewSpatial-Bench", "evaluate.py")),
            "mmsi_bench": lambda: _mmsi_readme(self.folder / "MMSI-Bench/README.md"),
            "all_angles": lambda: _can_infer(
                self.own("All-Angles-Bench", "VLMEvalkit/vlmeval/utils/matching_util.py")
            ),
            "spatialmqa": lambda: _spatialmqa(
                self.folder / "SpatialMQA/Code/close_models/gpt4_zero_shot.py"
            ),
            "refspatial": lambda: _roborefer(self.own("RoboRefer", "Evaluation/summarize_acc.py")),
            "robospatial": lambda: _robo_own(self.own("RoboSpatial-Eval", "evaluation.py")),
        }
        named = {"lmms_eval": lmms, "vlmevalkit": kit, "official": official}
        return {f"{name}.{one}": make for name, all_ in named.items() for one, make in all_.items()}

    def _json_points(self, task: str, accuracy: str) -> Peer:
        parse = self.own("lmms-eval", "lmms_eval/tasks/_task_utils/point_format.py")[
            "parse_point2d"
        ]
        return _points(parse, self.lmms(task)[accuracy])


def _letter(extract: Callable[[str], Any], strip: bool = False) -> Peer:
    return lambda text, target: float(
        extract(text.strip() if strip else text) == right_letter(target)
    )


def _vsi(space: dict[str, Any]) -> Peer:
    def score(text: str, target: Target) -> float:
        truth = right_letter(target) if target.answer_type == "choice" else str(target.answer)
        kind = {"choice": "route_planning", "number": "object_counting"}[str(target.answer_type)]
        doc: dict[str, Any] = {"question_type": kind, "ground_truth": truth}
        space["vsibench_process_results"](doc, [text])
        return float(doc["accuracy" if target.answer_type == "choice" else "MRA:.5:.95:.05"])

    return score


def _spar(space: dict[str, Any]) -> Peer:
    def score(text: str, target: Target) -> float:
        kinds = {"choice": "position_matching", "number": "depth_prediction_oc"}
        kind = kinds.get(str(target.answer_type), "view_change_infer")
        if target.question_type.endswith("_mv"):
            kind = target.question_type
        truth = right_letter(target) if target.answer_type == "choice" else str(target.answer)
        doc = {"task": kind, "answer": truth}
        space["sparbench_process_results"](doc, [text])
        key = {"choice": "accuracy", "number": "MRA:.5:.95:.05"}
        return float(doc[key.get(str(target.answer_type), "vci_metric")])

    return score


def _branch(path: Path, mode: str, response: str, letter: str) -> float:
    """Run the branch of OmniSpatial's `if eval_type == ...` on an answer."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.If) and "eval_type" in ast.unparse(node.test) and (
            f"'{mode}'" in ast.unparse(node.test)
        ):  # fmt: skip
            space = {"re": re, "json": json, "response": response, "gt_letter": letter}
            space["grounded_output"] = letter
            part = ast.fix_missing_locations(ast.Module(node.body, []))
            exec(compile(part, str(path), "exec"), space)
            return float(space["flag"])  # type: ignore[arg-type]
    raise KeyError(mode)


def _omni_own(path: Path, mode: str) -> Peer:
    return lambda text, target: _branch(path, mode, text, right_letter(target))


def _omnispatial(folder: Path) -> Peer:
    return _omni_own(folder / "utils.py", "re")


def _omni_direct(space: dict[str, Any]) -> Peer:
    return lambda text, target: float(
        space["omni_spatial_process_results"](
            {"answer": target.choices.index(str(target.answer))}, [text]
        )["omni_spatial_score"]["score"]
    )


def _viewspatial(space: dict[str, Any]) -> Peer:
    extract = space["extract_option"]
    return lambda text, target: float(extract(text.split("\n")[-1]) == right_letter(target))


def _mmsi(space: dict[str, Any]) -> Peer:
    rule = space["extract_single_choice_with_word_boundary"]
    return lambda text, target: float(rule(text, right_letter(target)) or 0.0)


def _mmsi_readme(path: Path) -> Peer:
    code = next(
        block
        for block in path.read_text(encoding="utf-8").split("```")
        if "def extract_single_choice_with_word_boundary" in block
    )
    space: dict[str, Any] = {"re": re}
    exec(compile(code, str(path), "exec"), space)
    return _mmsi(space)


def _sat(space: dict[str, Any]) -> Peer:
    # Its base class only keeps arguments; `apply` is what scores.
    apply = space["MultiChoiceRegexFilter"].apply

    def score(text: str, target: Target) -> float:
        options = zip(letters_of(target), target.choices, strict=True)
        question = "\n".join(f"{letter}. {choice}" for letter, choice in options)
        said = apply(None, [[text]], [{"question": question}])[0]
        # exact_match with ignore_case and ignore_punctuation, as the task's YAML asks.
        return float(re.sub(r"[^\w\s]", "", said).lower() == right_letter(target).lower())

    return score


def _erqa(space: dict[str, Any]) -> Peer:
    extract = space["extract_mcq_answer"]
    return lambda text, target: float(extract(text, choices=list("ABCD")) == right_letter(target))


def _spatialviz(space: dict[str, Any]) -> Peer:
    def score(text: str, target: Target) -> float:
        fields = ("Question", "Image_id", "Category", "Task", "Level")
        doc = {**dict.fromkeys(fields, ""), "Choices": [], "Answer": right_letter(target)}
        return float(
            space["spatialviz_process_results"](doc, [text])["spatialviz_score"]["is_correct"]
        )

    return score


def _spatial457(space: dict[str, Any]) -> Peer:
    return lambda text, target: float(
        space["spatial457_process_results"]({"answer": _spelt(target)}, [text])[
            "spatial457_accuracy"
        ]["is_correct"]
    )


def _site(space: dict[str, Any]) -> Peer:
    """Its random letter is answered by each letter in turn: the mean is its expectation."""

    def score(text: str, target: Target) -> float:
        letters = list(letters_of(target))
        found = []
        for letter in letters:
            space["random"] = types.SimpleNamespace(choice=lambda _, letter=letter: letter)
            found.append(space["parse_multi_choice_response"](text.strip(), letters))
        space["random"] = random
        return float(np.mean([letter == right_letter(target) for letter in found]))

    return score


def _stare(space: dict[str, Any]) -> Peer:
    return lambda text, target: float(
        space["is_equal"](space["fast_extract_answer"](text), right_letter(target))
    )


def _points(parse: Callable[..., Any], accuracy: Callable[..., float]) -> Peer:
    def score(text: str, target: Target) -> float:
        mask = np.asarray(target.region).astype(int)
        return float(accuracy(mask, parse(text, mask.shape[1], mask.shape[0])))

    return score


def _masked(space: dict[str, Any], parse: str, accuracy: str, over: int) -> Peer:
    return _points(
        lambda text, width, height: space[parse](text, width, height, over), space[accuracy]
    )


def _robo_lmms(space: dict[str, Any], first: bool) -> Peer:
    def score(text: str, target: Target) -> float:
        said = space["remove_think"](text)
        if target.answer_type == "yes_no":
            return float(space["evaluate_binary_answer"](target.answer, said))
        mask = np.asarray(target.region)
        points = space["json2pts"](said, width=mask.shape[1], height=mask.shape[0])
        inside = [
            0 <= x < mask.shape[1] and 0 <= y < mask.shape[0] and bool(mask[y, x])
            for x, y in (points[:1] if first else points)
        ]
        return float(any(inside))

    return score


def _kit_spatial(peers: Peers, option: str) -> Peer:
    space, scores = peers.kit(option), peers.kit("dataset/utils/spatial_bench/cal_scores.py")

    def score(text: str, target: Target) -> float:
        if target.answer_type == "choice":
            said = space["can_match_option"](text)
            return float(
                scores["exact_match"](said, space["can_match_option"](right_letter(target)))
            )
        number = space["can_match_na"](text)
        if number is None:
            return 0.0
        return float(scores["mean_relative_accuracy"](number, float(target.answer)))  # type: ignore[arg-type]

    return score


def _kit_spar(peers: Peers, option: str) -> Peer:
    plain = _kit_spatial(peers, option)
    bench = next(
        value
        for name, value in peers.kit("dataset/sparbench.py").items()
        if name.lower().startswith("spar") and hasattr(value, "_compute_vci_metric")
    )
    return lambda text, target: (
        float(bench._compute_vci_metric(text, target.answer))
        if target.answer_type == "camera_change"
        else plain(text, target)
    )


def _can_infer(space: dict[str, Any]) -> Peer:
    space["cp"], space["os"] = __import__("copy"), __import__("os")

    def score(text: str, target: Target) -> float:
        options = dict(zip(letters_of(target), target.choices, strict=True))
        return float(space["can_infer"](text, options) == right_letter(target))

    return score


def _lego(space: dict[str, Any]) -> Peer:
    space["cp"], space["os"] = __import__("copy"), __import__("os")

    def score(text: str, target: Target) -> float:
        if target.answer_type == "text":
            return float(space["can_infer_lego"](text, "sort", {}) == target.answer)
        options = dict(zip(letters_of(target), target.choices, strict=True))
        said = space["can_infer_lego"](text, "multiple-choice", options)
        return float(said == right_letter(target))

    return score


def _vsr(space: dict[str, Any], misc: dict[str, Any]) -> Peer:
    space["process_punctuation"] = misc["process_punctuation"]
    return lambda text, target: float(space["YOrN_Extraction"](text).lower() == target.answer)


def _spatialmqa(path: Path) -> Peer:
    """Its two lines: what is taken for the answer, and what it is held against."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    taken = next(
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and "model_answer.strip()" in ast.unparse(node.value)
    )
    test = next(
        node for node in ast.walk(tree)
        if isinstance(node, ast.Compare) and ast.unparse(node) == "output in data['answer']"
    )  # fmt: skip
    run = [compile(ast.Expression(part), str(path), "eval") for part in (taken, test)]

    def score(text: str, target: Target) -> float:
        said = eval(run[0], {"model_answer": text})
        return float(eval(run[1], {"output": said, "data": {"answer": str(target.answer)}}))

    return score


def _ost(space: dict[str, Any], left_out: str | None) -> Peer:
    def score(text: str, target: Target) -> float | None:
        if not text or (left_out and left_out in text):
            return None
        form = {"choice": "x(Judgement)"}.get(str(target.answer_type), target.question_type)
        if target.answer_type == "number" and "(" not in form:
            form = "x(Counting)"
        answer = target.answer if target.answer_type == "choice" else float(target.answer)  # type: ignore[arg-type]
        sample = {"type": form, "answer": answer, "option": list(target.choices)}
        sample["pred"] = space["process_answer"](text)
        return float(space["OST_evaluator"]().evaluation(sample)["metric"])

    return score


def _blink(space: dict[str, Any]) -> Peer:
    space["match_multiple_choice"] = lambda *_: "(Z) Failed to get multiple choice"

    def score(text: str, target: Target) -> float:
        known = [f"({letter})" for letter in letters_of(target)]
        doc = {"choices": list(target.choices), "question": ""}
        return float(space["analyze_answer"](doc, text, known) == f"({right_letter(target)})")

    return score


def _roborefer(space: dict[str, Any]) -> Peer:
    def score(text: str, target: Target) -> float | None:
        mask = np.asarray(target.region).astype(np.uint8)
        try:
            points = space["text2pts"](text, mask.shape[1], mask.shape[0])
        except Exception:
            return None
        if not len(points):
            return 0.0
        inside = [
            0 <= x < mask.shape[1] and 0 <= y < mask.shape[0] and bool(mask[y, x])
            for x, y in points
        ]
        return float(np.mean(inside))

    return score


def _polygon(target: Target) -> str:
    height, width = target.image_size  # type: ignore[misc]
    return str([(float(x) / width, float(y) / height) for x, y in target.polygon])  # type: ignore[union-attr]


def _robo_own(space: dict[str, Any]) -> Peer:
    return lambda text, target: float(
        space["evaluate_answer"](
            str(target.answer) if target.answer_type == "yes_no" else _polygon(target), text
        )[0]
    )


def _kit_robo(space: dict[str, Any]) -> Peer:
    bench = space["RoboSpatialBench"]

    def score(text: str, target: Target) -> float:
        truth = str(target.answer) if target.answer_type == "yes_no" else _polygon(target)
        height, width = target.image_size or (1, 1)
        return float(bench.evaluate_answer(truth, text, width, height)[0])

    return score


def _kit_refspatial(space: dict[str, Any]) -> Peer:
    def score(text: str, target: Target) -> float:
        mask = np.asarray(target.region).astype(np.uint8)
        points = space["Point2DParser"].parse(text, mask.shape[1], mask.shape[0], output="pixel")
        return float(np.mean([mask[y, x] for x, y in points])) if len(points) else 0.0

    return score


def _kit_457(space: dict[str, Any]) -> Peer:
    rule = space["Spatial457_utils"]()

    def score(text: str, target: Target) -> float:
        # As vlmeval/dataset/spatial457.py finds the answer, with ROBUST as it is set there.
        keys = (r"Answer': '(.*?)'", r'Answer": "(.*?)"', r"Answer': (\d)")
        found = next((match[1] for key in keys if (match := re.search(key, text))), text)
        return float(rule.is_correct(_spelt(target), found))

    return score


def _spelt(target: Target) -> str:
    """The answer as Spatial457's data spell it: Yes, No, whole numbers, words."""
    if target.answer_type == "number":
        return f"{target.answer:g}"
    return str(target.answer).capitalize() if target.answer_type == "yes_no" else str(target.answer)


def read_answers() -> tuple[dict[str, Target], list[tuple[str, str, float | str]]]:
    """Read the adversarial answers: targets by name; each answer with its target and score."""
    import yaml

    content = yaml.safe_load(ANSWERS.read_text(encoding="utf-8"))
    targets = {name: target_of(fields) for name, fields in content["targets"].items()}
    answers = [
        (name, said, strict) for name, rows in content["answers"].items() for said, strict in rows
    ]
    return targets, answers


def target_of(fields: dict[str, Any]) -> Target:
    """Make a target of a YAML's fields; a region is given as top, left, bottom, right."""
    fields = dict(fields)
    if "choices" in fields:
        fields["choices"] = tuple(fields["choices"])
    if "image_size" in fields:
        fields["image_size"] = tuple(fields["image_size"])
    if "region" in fields:
        top, left, bottom, right = fields["region"]
        fields["region"] = np.zeros(fields["image_size"], bool)
        fields["region"][top:bottom, left:right] = True
    if "polygon" in fields:
        fields["polygon"] = np.array(fields["polygon"], float)
    return Target(**fields)


def profiles() -> dict[str, QaProtocol]:
    """Every published scorer that we have a profile of, by its label."""
    plugins = Plugins.find()
    found = {}
    for name in ("official", "lmms_eval", "vlmevalkit"):
        profile = load_profile(plugins.path("profile", name))
        for fields in profile.expand("spatial_qa", None, name):
            protocol = convert(fields, QaProtocol, name)
            found[protocol.label] = protocol
    return found


def ours(protocol: QaProtocol, text: str, target: Target) -> float | None:
    """Our score under a profile; None where the answer leaves the mean."""
    return protocol.count(target, Prediction(answer=text)).score


def spec(by: str = "", shares: Any = (), together: str | None = None) -> MetricSpec:
    """A share that is right, reduced as a protocol's mean says."""
    return MetricSpec(
        name="right", unit="1", higher_is_better=True, best=1.0, worst=0.0,
        by=by or None, shares=shares, together=together,
    )  # fmt: skip


def reduced(one: MetricSpec, rows: list[dict[str, Any]]) -> float:
    """The value of a metric over rows of a score, tags and groups."""
    lines = (
        SampleLine(
            id=str(i), cluster=str(i), status="scored", tags=row["tags"],
            groups=row.get("groups", {}), values={"right": row["score"]},
        )
        for i, row in enumerate(rows)
    )  # fmt: skip
    return float(aggregate([one], lines).columns["right"].result(0).value or 0.0)


def drawn(kinds: list[str], tag: str, seed: int, credits: bool) -> list[dict[str, Any]]:
    """Scores at random, some kinds far more often than others."""
    rng = np.random.default_rng(seed)
    rows = []
    for kind in kinds:
        for _ in range(int(rng.integers(1, 40))):
            score = rng.integers(0, 11) / 10 if credits else float(rng.integers(0, 2))
            rows.append({"tags": {tag: kind}, "score": float(score)})
    return rows


def aggregates(peers: Peers) -> dict[str, Callable[[int], tuple[float, float]]]:
    """What papers average how: name -> (ours, theirs) of scores drawn by a seed."""

    def vsi(space: dict[str, Any], label: str, call: str) -> Callable[[int], tuple[float, float]]:
        mean = profiles()[label].means["overall"]

        def both(seed: int) -> tuple[float, float]:
            rows = drawn([kind for kind, _ in mean.shares], "question_type", seed, True)
            docs = [
                {
                    "question_type": row["tags"]["question_type"],
                    "accuracy": row["score"],
                    "MRA:.5:.95:.05": row["score"],
                }
                for row in rows
            ]
            theirs = space[call](docs)
            theirs = theirs["overall"] if isinstance(theirs, dict) else theirs
            return mean.scale * reduced(spec("question_type", mean.shares), rows), theirs

        return both

    def spar(space: dict[str, Any], part: str, label: str) -> Callable[[int], tuple[float, float]]:
        mean = profiles()[label].means[part]
        kinds = space["MCA_QUESTION_TYPES"] + space["NA_QUESTION_TYPES"] + ["view_change_infer"]

        def both(seed: int) -> tuple[float, float]:
            rows = drawn(kinds, "question_type", seed, True)
            docs = [
                {
                    "task": row["tags"]["question_type"],
                    **dict.fromkeys(("accuracy", "MRA:.5:.95:.05", "vci_metric"), row["score"]),
                }
                for row in rows
            ]
            theirs = space[f"sparbench_aggregate_{'results' if part == 'overall' else part}"](docs)
            return mean.scale * reduced(spec("question_type", mean.shares), rows), theirs

        return both

    def ost(space: dict[str, Any]) -> Callable[[int], tuple[float, float]]:
        plugins = Plugins.find()
        options = plugins.task("spatial_qa/ost_bench").options
        mean = convert(options["means"]["overall"], Mean, "ost_bench")
        names = peers.kit("dataset/ost_bench.py")["name_mapping"]

        def both(seed: int) -> tuple[float, float]:
            rows = drawn([kind for kind, _ in mean.shares], "type", seed, True)
            means = {
                names(kind): float(
                    np.mean([row["score"] for row in rows if row["tags"]["type"] == kind])
                )
                for kind, _ in mean.shares
            }
            return reduced(spec("type", mean.shares), rows), space["collect_results"](means)[1][
                "Overall"
            ]

        return both

    def three_d_sr(space: dict[str, Any], kind: str) -> Callable[[int], tuple[float, float]]:
        def both(seed: int) -> tuple[float, float]:
            rng = np.random.default_rng(seed)
            rows = []
            for number in range(60):
                for tail in ("", "-1", "-flip", "-flip-1")[: int(rng.integers(1, 5))]:
                    qid = f"Q{number:07d}{tail}"
                    groups = {
                        "flip": qid.replace("-flip", ""),
                        "circular": qid[:13] if "-flip" in qid else qid[:8],
                        "flip_circular": qid[:8],
                    }
                    score = float(rng.random() < 0.7)
                    rows.append({"tags": {}, "groups": groups, "score": score, "qid": qid})
            theirs = space[f"aggregate_{kind}_accuracy"](rows)
            return reduced(spec(together=kind), rows), theirs

        return both

    def cv_bench(space: dict[str, Any]) -> Callable[[int], tuple[float, float]]:
        shares = Mean(by="source", of=[["ADE20K", "COCO"], "Omni3D"]).shares

        def both(seed: int) -> tuple[float, float]:
            rows = drawn(["ADE20K", "COCO", "Omni3D"], "source", seed, False)
            docs = [{"source": r["tags"]["source"], "is_correct": r["score"]} for r in rows]
            theirs = space["cv_bench_default_aggregate_results"](docs)
            return reduced(spec("source", shares), rows), theirs

        return both

    def caa(space: dict[str, Any]) -> Callable[[int], tuple[float, float]]:
        def both(seed: int) -> tuple[float, float]:
            import pandas

            rng = np.random.default_rng(seed)
            counts, hits = rng.integers(2, 7, 50), rng.integers(0, 2, 50)
            frame = pandas.DataFrame({"options": [["x"] * int(n) for n in counts], "hit": hits})
            above = spec()
            lines = (
                SampleLine(
                    id=str(i), cluster=str(i), status="scored", weights={"w": 1 - 1 / n},
                    values={"right": (hit - 1 / n) / (1 - 1 / n)},
                )
                for i, (n, hit) in enumerate(zip(counts, hits, strict=True))
            )  # fmt: skip
            weighed = msgspec.structs.replace(above, weight="w", worst=-1.0)
            mine = aggregate([weighed], lines).columns["right"].result(0).value
            return float(mine or 0.0), space["compute_caa_score"](frame)

        return both

    own = peers.own("thinking-in-space", "lmms_eval/tasks/vsibench/utils.py")
    spar_own = peers.lmms("sparbench")
    return {
        "official.vsi_bench overall": vsi(own, "official.vsi_bench", "vsibench_aggregate_results"),
        "lmms_eval.vsi_bench overall": vsi(
            peers.lmms("vsibench"), "lmms_eval.vsi_bench", "vsibench_aggregate_overall"
        ),
        **{
            f"lmms_eval.spar_bench {part}": spar(spar_own, part, "lmms_eval.spar_bench")
            for part in ("overall", "low", "middle", "high")
        },
        "official.spar_bench overall": spar(
            peers.own("SPAR", "lmms-eval/lmms_eval/tasks/sparbench/utils.py"),
            "overall",
            "official.spar_bench",
        ),
        "ost_bench overall": ost(peers.own("OST-Bench", "evaluation/OST_evaluator.py")),
        **{
            f"lmms_eval.three_d_sr {kind}": three_d_sr(peers.lmms("3dsrbench"), kind)
            for kind in ("flip", "circular", "flip_circular")
        },
        "cv_bench, the paper's mean": cv_bench(peers.lmms("cv_bench")),
        "site, chance-adjusted": caa(peers.kit("dataset/utils/spatial_bench/cal_scores.py")),
    }


def compare_aggregates(peers: Peers) -> int:
    """Print how far our means are from the peers' on the same scores; count those that differ."""
    n_different = 0
    for name, both in aggregates(peers).items():
        pairs = [both(seed) for seed in range(5)]
        worst = max(abs(mine - theirs) for mine, theirs in pairs)
        # lmms-eval rounds VSI-Bench's overall to six digits.
        n_different += worst > (1e-6 if name.startswith("lmms_eval.vsi") else 1e-9)
        print(f"mean {name:32} 5 seeds, largest difference {worst:.1e}")
    return n_different


def main() -> int:
    """Compare every profile with its peer on every answer."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--peers", type=Path, required=True)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    targets, answers = read_answers()
    scorers = Peers(arguments.peers).scorers()
    written: dict[str, list[float | None]] = {}
    n_different = 0
    for label, protocol in profiles().items():
        try:
            peer = scorers[label]()
        except Exception as error:
            print(f"{label:32} skipped: {type(error).__name__}: {error}")
            continue
        n, different = 0, 0
        scores: list[float | None] = []
        for name, said, _ in answers:
            target = targets[name]
            if not protocol.applies(target):
                continue
            text = without_thoughts(said) if protocol.thought == "lmms_eval" else said
            with contextlib.redirect_stdout(io.StringIO()):
                theirs = _ran(peer, text, target)
            n += 1
            mine = ours(protocol, said, target)
            scores.append(theirs)
            if not _same(mine, theirs):
                different += 1
                print(f"  {label}: {name}, {said!r}: {mine} here, {theirs} there")
        n_different += different
        written[label] = scores
        print(f"{label:32} {n:4} answers, {different} differ")
    n_different += compare_aggregates(Peers(arguments.peers))
    if arguments.write:
        names = ("official", "lmms_eval", "vlmevalkit")
        commits = {n: load_profile(Plugins.find().path("profile", n)).reference for n in names}
        content = {"run": "scripts/conformance_answers.py --write", "peers": commits}
        SCORES.write_text(json.dumps({**content, "scores": written}, indent=None) + "\n")
    return int(n_different > 0)


def _ran(peer: Peer, text: str, target: Target) -> float | None:
    try:
        return peer(text, target)
    except Exception as error:
        print(error)
        return float("nan")


def _same(mine: float | None, theirs: float | None) -> bool:
    if mine is None or theirs is None:
        return mine is theirs
    return abs(mine - theirs) < 1e-12


if __name__ == "__main__":
    sys.exit(main())
