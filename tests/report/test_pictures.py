"""Pictures: which samples are chosen, what is drawn, and that only what is shown is opened."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from g2vlm_bench.errors import BenchError
from g2vlm_bench.geometry import trajectory
from g2vlm_bench.metric import MetricSpec
from g2vlm_bench.plugins import load_module
from g2vlm_bench.report import drawing
from g2vlm_bench.report.contents import tasks_of
from g2vlm_bench.report.page import as_html
from g2vlm_bench.report.pictures import Gallery, gallery
from g2vlm_bench.sample import Ambiguity, Inputs, ObjectTruth, Prediction, Sample, Target

boards = load_module(Path(__file__).with_name("boards.py"))
DELTA, RMSE, ACCURACY = boards.DELTA, boards.RMSE, boards.ACCURACY
SIZE = (6, 8)
TRUE = np.linspace(1, 5, 48, dtype=np.float32).reshape(SIZE)
K = np.array([[8.0, 0, 4], [0, 8, 3], [0, 0, 1]])
FIT = {
    "kind": "median_scale",
    "scale": 2.0,
    "shift": 0.0,
    "fitted_in": "depth",
    "prediction_is": "depth",
}
ALIGNED = {"alignment": {"median_scale": {**FIT, "min_disparity": None}}}


def _sample(index: int, opened: list[str], **target: object) -> Sample:
    name = f"sample-{index}"

    def inputs() -> Inputs:
        opened.append(name)
        image = np.full((*SIZE, 3), 200, np.uint8)
        return Inputs(id=name, images=(image,), question="Which one?", choices=("a", "b"))

    def truth() -> Target:
        return Target(**target)  # type: ignore[arg-type]

    return Sample(id=name, cluster=name, load_inputs=inputs, load_target=truth)


def _gallery(
    run: Path | list[Path], task: str, samples: list[Sample], budget: int = 10**6
) -> Gallery:
    paths = run if isinstance(run, list) else [run]
    found = gallery(tasks_of(boards.board_of(*paths, tasks={task: ""}))[0], samples, budget)
    assert found is not None
    return found


def _pixels(uri: str) -> np.ndarray:
    content = base64.b64decode(uri.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def _depth_lines(values: list[float | None]) -> list[object]:
    return [
        boards.line(i, None if v is None else {DELTA.name: v}, details=ALIGNED)
        for i, v in enumerate(values)
    ]


def test_worst_median_and_best_are_shown_and_nothing_else_is_opened(tmp_path: Path) -> None:
    opened: list[str] = []
    # A failed sample is the worst; then 0.1, 0.2, 0.5, 0.9.
    lines = _depth_lines([0.5, 0.9, None, 0.1, 0.2])
    half = [Prediction(depth=(TRUE / 2,), ambiguity=Ambiguity.SCALE)] * 5
    run = boards.make_run(tmp_path, "depth/rooms", "m", [DELTA], lines, half)
    samples = [_sample(i, opened, depth_m=(TRUE,)) for i in range(5)]
    found = _gallery(run, "depth/rooms", samples)
    assert [(p.choice.sample_id, p.choice.why) for p in found.panels] == [
        ("sample-2", "the worst of 5 for m"),
        ("sample-4", "the median, number 3 of 5 from the worst for m"),
        ("sample-1", "the best of 5 for m"),
    ]
    assert opened == ["sample-2", "sample-4", "sample-1"]
    best = found.panels[2].pictures
    assert [p.caption for p in best] == [
        "input",
        "true depth, 1.08 to 4.92 m",
        "m: delta1@median_scale 0.900 (scale 2.00)",
    ]
    # Twice half the depth is the truth: the same colours, and an error map that is black.
    true, pair = _pixels(best[1].uri), _pixels(best[2].uri)
    # JPEG mixes colours across the seam, within a block.
    assert np.abs(pair[:, :200].astype(int) - true[:, :200]).max() < 16
    assert pair[:, -200:].max() < 16


def test_a_disparity_fit_is_applied_in_disparity(tmp_path: Path) -> None:
    fit = {**FIT, "fitted_in": "disparity", "prediction_is": "disparity", "min_disparity": 0.01}
    lines = [
        boards.line(0, {DELTA.name: 1.0}, details={"alignment": {"median_scale": fit}}),
        boards.line(1, {DELTA.name: 0.0}),
    ]
    predictions = [Prediction(depth=(0.5 / TRUE,), ambiguity=Ambiguity.AFFINE_DISPARITY)] * 2
    run = boards.make_run(tmp_path, "depth/rooms", "m", [DELTA], lines, predictions)
    found = _gallery(run, "depth/rooms", [_sample(i, [], depth_m=(TRUE,)) for i in range(2)])
    refused, aligned = found.panels[0].pictures[2], found.panels[1].pictures[2]
    assert _pixels(aligned.uri)[:, -drawing.WIDTH :].max() < 16
    assert "scale 2.00 in disparity" in aligned.caption
    assert "affine disparity as predicted, on its own scale" in refused.caption


def test_point_maps_are_shown_by_their_aligned_depth(tmp_path: Path) -> None:
    """A model that gives both is shown by what was scored, one of depth by its lifted depth."""
    spec = MetricSpec(
        name="point_abs_rel@l1_affine", unit="1", higher_is_better=False, best=0.0, worst=1.0
    )
    fit = {"kind": "l1_scale_xyz_shift", "scale": 2.0, "shift": [9.0, -9.0, 0.5]}
    lines = [
        boards.line(i, {spec.name: 0.1}, details={"alignment": {"l1_affine": fit}})
        for i in range(3)
    ]
    points = np.stack([TRUE, TRUE, (TRUE - 0.5) / 2], -1)
    said = [
        Prediction(point_maps=(points,)),
        Prediction(point_maps=(points,), depth=(7 * TRUE,)),
        Prediction(depth=(points[..., 2],), intrinsics=(K,)),
    ]
    run = boards.make_run(tmp_path, "point_map/rooms", "m", [spec], lines, said)
    truths = [_sample(i, [], depth_m=(TRUE,)) for i in range(3)]
    panels = _gallery(run, "point_map/rooms", truths).panels
    assert len(panels) == 3
    for panel in panels:
        pair = panel.pictures[2]
        assert _pixels(pair.uri)[:, -drawing.WIDTH :].max() < 16
        assert "(scale 2.00, shift 0.500)" in pair.caption


def test_clouds_are_lifted_and_aligned_onto_the_truth(tmp_path: Path) -> None:
    rows, columns = (np.indices(SIZE) + 0.5).reshape(2, -1)
    rays = np.stack([columns, rows, np.ones(48)]).T @ np.linalg.inv(K).T
    pose = np.eye(4)
    pose[:3, 3] = [10, -20, 30]
    points = rays * TRUE.reshape(-1, 1) + pose[:3, 3]
    similarity = {"scale": 4.0, "rotation": np.eye(3).tolist(), "translation": [0.0, 0.0, 0.0]}
    spec = MetricSpec(name="fscore@scale", unit="1", higher_is_better=True, best=1.0, worst=0.0)
    details = {"alignment": {"scale": similarity}}
    lines = [boards.line(i, {spec.name: 1.0}, details=details) for i in range(2)]
    lifted = [Prediction(depth=(TRUE / 4,), ambiguity=Ambiguity.SCALE)] * 2
    run = boards.make_run(tmp_path, "chamfer/rooms", "m", [spec], lines, lifted)
    truth = {"points_world": points, "intrinsics": (K,), "world_from_camera": (pose,)}
    found = _gallery(run, "chamfer/rooms", [_sample(i, [], **truth) for i in range(2)])
    true, both = (_pixels(p.uri) for p in found.panels[0].pictures[1:])
    ink = np.abs(true.astype(int) - drawing.PAPER[0]).max(axis=2) > 30
    covered = np.abs(both.astype(int) - drawing.PAPER[0]).max(axis=2) > 30
    assert ink.any()
    # Every orange point lies on a blue one.
    np.testing.assert_array_equal(ink, covered)
    assert "outside" not in found.panels[0].pictures[2].caption


def test_answers_are_marked_and_escaped(tmp_path: Path) -> None:
    evil = "<script>alert('a')</script>"
    verdicts = [("parsed", 1.0), ("parsed", 0.0), ("unparsed", 0.0), ("parsed", 0.5)]
    lines = [
        boards.line(i, {ACCURACY.name: v}, details={"strict": {"status": s, "read": "b"}})
        for i, (s, v) in enumerate(verdicts)
    ]
    lines.append(boards.line(4, None))
    said = [Prediction(answer=f"{evil}{i}") for i in range(5)]
    run = boards.make_run(tmp_path, "spatial_qa/rooms", "m", [ACCURACY], lines, said)
    samples = [_sample(i, [], answer="b", choices=("a", "b")) for i in range(5)]
    found = _gallery(run, "spatial_qa/rooms", samples)
    shown = {p.choice.sample_id: p.question.answers[0].verdict for p in found.panels if p.question}
    assert shown == {
        "sample-0": "right",
        "sample-1": "wrong",
        "sample-2": "unparsed",
        "sample-3": "partly right",
        "sample-4": "failed",
    }
    assert found.panels[0].question is not None
    assert found.panels[0].question.options == (("a", False), ("b", True))
    board = boards.board_of(run, tasks={"spatial_qa/rooms": "QA"})
    html = as_html(board, {"spatial_qa/rooms": samples})
    assert "<script" not in html
    assert "&lt;script&gt;alert(&#39;a&#39;)&lt;/script&gt;0" in html
    assert html.count('<span class="mark">true</span>') == 5
    assert html == as_html(board, {"spatial_qa/rooms": samples})


def test_a_picture_that_cannot_be_made_says_why(tmp_path: Path) -> None:
    lines = _depth_lines([0.1, 0.5, 0.9])
    half = [Prediction(depth=(TRUE / 2,), ambiguity=Ambiguity.SCALE)] * 3
    run = boards.make_run(tmp_path, "depth/rooms", "m", [DELTA], lines, half)
    (run / "predictions" / "sample-2.npz").write_bytes(b"altered")

    def broken() -> Inputs:
        raise BenchError("/secret/place.png", got="0 bytes")

    samples = [_sample(i, [], depth_m=(TRUE,)) for i in (0, 2)]
    samples[0] = Sample(
        id="sample-0", cluster="s", load_inputs=broken, load_target=samples[0].load_target
    )
    found = _gallery(run, "depth/rooms", samples)
    assert [p.problem for p in found.panels] == [
        "This sample could not be opened (BenchError).",
        "This sample is no longer in the data.",
        "",
    ]
    assert "the stored prediction cannot be read" in found.panels[2].pictures[2].caption


def test_the_page_stays_small(tmp_path: Path) -> None:
    lines = _depth_lines([0.1, 0.5, 0.9])
    half = [Prediction(depth=(TRUE / 2,), ambiguity=Ambiguity.SCALE)] * 3
    runs = [
        boards.make_run(tmp_path, "depth/rooms", f"m{i}", [DELTA], lines, half) for i in range(8)
    ]
    samples = [_sample(i, [], depth_m=(TRUE,)) for i in range(3)]
    found = _gallery(runs, "depth/rooms", samples, budget=1)
    assert len(found.panels) == 1
    assert len(found.panels[0].pictures) == 2 + 6
    expected = "Left out to keep the page small: 2 more samples and 2 lower-ranked models."
    assert found.left_out == expected


def test_the_oracle_is_pictured_only_where_it_is_alone(tmp_path: Path) -> None:
    lines = _depth_lines([1.0, 1.0])
    exact = [Prediction(depth=(TRUE,), ambiguity=Ambiguity.METRIC)] * 2
    truth = {"reads_truth": True}
    oracle = boards.make_run(
        tmp_path, "depth/rooms", "oracle", [DELTA], lines, exact, adapter=truth
    )
    model = boards.make_run(tmp_path, "depth/rooms", "m", [DELTA], lines, exact)
    samples = [_sample(i, [], depth_m=(TRUE,)) for i in range(2)]
    alone = _gallery(oracle, "depth/rooms", samples)
    both = _gallery([oracle, model], "depth/rooms", samples)
    assert "oracle" in alone.panels[0].pictures[2].caption
    assert [p.caption.partition(":")[0] for p in both.panels[0].pictures[2:]] == ["m"]


@pytest.mark.parametrize("fill", [np.nan, np.inf, -np.inf, 1e30])
def test_numbers_that_are_none_are_drawn_grey_or_clipped(fill: float) -> None:
    values = np.full(SIZE, fill)
    low, high = drawing.range_of(values)
    image = drawing.coloured(values, low, high, "viridis")
    assert image.shape == (168, drawing.WIDTH, 3)
    if not np.isfinite(fill):
        assert (image == drawing.NOTHING[0]).all()


AUC = MetricSpec(name="auc_30@metric", unit="1", higher_is_better=True, best=1.0, worst=0.0)
SIM3 = msgspec.structs.replace(AUC, name="auc_30@sim3")
IN_WORLD = msgspec.structs.replace(AUC, name="auc_30@metric+world")


def _cameras() -> np.ndarray:
    """Four cameras around a corner, the first away from the origin and turned."""
    turns = Rotation.from_euler("y", [[30], [60], [90], [140]], degrees=True)
    poses = np.tile(np.eye(4), (4, 1, 1))
    poses[:, :3, :3] = turns.as_matrix()
    poses[:, :3, 3] = [[5, 1, 2], [6, 1.5, 3], [6, 1, 5], [4, 0.5, 6]]
    return poses


def _camera_gallery(
    folder: Path,
    spec: MetricSpec,
    predicted: np.ndarray | None,
    ambiguity: Ambiguity,
    details: dict[str, object] | None = None,
) -> Gallery:
    one = boards.line(0, {spec.name: 0.5}, details=details or {})
    poses = None if predicted is None else tuple(predicted)
    said = Prediction(world_from_camera=poses, depth=(TRUE,), ambiguity=ambiguity)
    run = boards.make_run(folder, "camera_pose/rooms", "m", [spec], [one], [said])
    # A world with depth beside its poses: the pictures are of what the task scores.
    truth = _sample(0, [], world_from_camera=tuple(_cameras()), depth_m=(TRUE,))
    return _gallery(run, "camera_pose/rooms", [truth])


def _inks(picture: drawing.Picture) -> tuple[int, int]:
    """How many pixels are blue, and how many orange."""
    pixels = _pixels(picture.uri).astype(int)
    warmth = pixels[..., 0] - pixels[..., 2]
    return int((warmth < -40).sum()), int((warmth > 40).sum())


_MOVE = np.eye(4)
_MOVE[:3, :3] = Rotation.from_rotvec([0.3, -1.0, 0.5]).as_matrix()
_MOVE[:3, 3] = [100, -50, 7]


@pytest.mark.parametrize(
    ("spec", "ambiguity", "scale", "said"),
    [
        (AUC, Ambiguity.METRIC, 1.0, "(as predicted)"),
        (AUC, Ambiguity.SCALE, 4.0, "(scale 0.250, for the picture only)"),
        (SIM3, Ambiguity.SCALE, 4.0, "(aligned, scale 0.250)"),
    ],
)
def test_cameras_right_but_for_their_frame_cover_the_true_ones(
    tmp_path: Path, spec: MetricSpec, ambiguity: Ambiguity, scale: float, said: str
) -> None:
    moved = _MOVE @ _cameras()
    moved[:, :3, 3] *= scale
    fit = trajectory.align(moved, _cameras(), with_scale=True).record()
    details = {"alignment": {"sim3": fit} if spec is SIM3 else {}}
    found = _camera_gallery(tmp_path, spec, moved, ambiguity, details)
    _, true, both = found.panels[0].pictures
    assert _inks(true)[0] > 500
    assert _inks(both)[0] == 0
    drawn, covered = (np.ptp(_pixels(picture.uri).astype(int), axis=2) for picture in (true, both))
    # Lines fade into the paper, and orange stands out from it more than blue.
    assert (covered[drawn > 60] > 20).all()
    assert (drawn[covered > 60] > 5).all()
    assert both.caption == f"m: {spec.name} 0.500 {said}"
    assert "true cameras" in found.how_to_read
    assert "y down." in found.how_to_read


def test_cameras_compared_in_the_world_are_drawn_there(tmp_path: Path) -> None:
    found = _camera_gallery(tmp_path, IN_WORLD, _cameras(), Ambiguity.METRIC)
    assert _inks(found.panels[0].pictures[2])[0] == 0
    assert "y up." in found.how_to_read
    away = _camera_gallery(tmp_path / "far", IN_WORLD, _MOVE @ _cameras(), Ambiguity.METRIC)
    both = away.panels[0].pictures[2]
    assert _inks(both)[0] == pytest.approx(_inks(away.panels[0].pictures[1])[0], rel=0.02)
    assert both.caption.endswith("(as predicted; 4 outside the picture)")


@pytest.mark.parametrize("wrong", [None, "too few", "not a rotation"])
def test_cameras_that_cannot_be_drawn_are_said(tmp_path: Path, wrong: str | None) -> None:
    predicted = None if wrong is None else _cameras()
    if wrong == "too few":
        predicted = _cameras()[:3]
    elif predicted is not None:
        predicted[1, :3, :3] *= 2
    found = _camera_gallery(tmp_path, AUC, predicted, Ambiguity.METRIC)
    assert found.panels[0].pictures[2].caption == "m: auc_30@metric 0.500 (no poses to draw)"


def test_a_camera_stands_and_looks_where_it_is_drawn() -> None:
    """Above: x to the right, z up; front: x to the right, y down. One camera, looking along +x."""
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("y", 90, degrees=True).as_matrix()
    pose[:3, 3] = [-2, 1, 2]
    blue = (0, 0, 255)
    low, high = np.full(3, -4.0), np.full(3, 4.0)
    image = drawing.cameras([(np.array([pose, pose]), blue)], low, high).astype(int)
    rows, columns = np.nonzero(image[..., 2] - image[..., 0] > 40)
    wide = drawing.WIDTH
    above = columns < wide
    # A quarter from the left, and up by a quarter; from the front down by an eighth.
    assert columns[above].min() == pytest.approx(wide / 4, abs=4)
    assert np.median(rows[above]) == pytest.approx(wide / 4, abs=4)
    assert np.median(rows[~above]) == pytest.approx(wide * 5 / 8, abs=4)
    assert columns[above].max() == pytest.approx(wide / 4 + 0.11 * wide, abs=4)


def _line(spec: MetricSpec, value: float, details: dict[str, object], **more: float) -> object:
    return boards.line(0, {spec.name: value, **more}, details=details)


def _asked(
    folder: Path, task: str, spec: MetricSpec, line: object, said: Prediction, **target: object
) -> Gallery:
    run = boards.make_run(folder, task, "m", [spec], [line], [said])
    return _gallery(run, task, [_sample(0, [], **target)])


def _named(name: str) -> MetricSpec:
    return msgspec.structs.replace(AUC, name=name)


def test_a_phrase_is_pictured_by_its_object_and_the_predicted_mask(tmp_path: Path) -> None:
    true, taken = np.zeros((2, *SIZE), bool)
    true[1:3, 1:3] = taken[4:, 5:] = True
    spec = _named("mask_iou@strict")
    thing = ObjectTruth(name="cone", masks=(true,), center=np.ones(3))
    found = _asked(
        tmp_path, "scene_language/where", spec, _line(spec, 0.0, {}), Prediction(masks=(taken,)),
        objects=(thing,),
    )  # fmt: skip
    panel = found.panels[0]
    assert panel.phrase == "Which one?"
    truth, said = (_pixels(picture.uri).astype(int) for picture in panel.pictures)
    side = drawing.WIDTH // SIZE[1]
    # The photo is grey; its pixels are larger here.
    magenta = said[..., 0] - said[..., 1] > 60
    rows, columns = np.nonzero(magenta)
    assert rows.min() == pytest.approx(4 * side, abs=3)
    assert columns.min() == pytest.approx(5 * side, abs=3)
    for image in (truth, said):
        assert image[2 * side, side - 1].min() > 225
        assert image[2 * side, 2 * side].max() < 215
    assert "magenta" in found.how_to_read
    assert panel.pictures[1].caption == "m: mask_iou@strict 0.000"
    none = _asked(
        tmp_path / "none", "scene_language/where", spec, _line(spec, 0.0, {}),
        Prediction(location=np.ones(3)), objects=(thing,),
    )  # fmt: skip
    assert none.panels[0].pictures[1].caption.endswith("(no masks)")


@pytest.mark.parametrize(
    ("details", "value", "verdict", "note"),
    [
        ({"geometry": True, "words": True, "true": False}, 1.0, "agrees", "its depth says yes"),
        ({"geometry": False, "words": True, "true": True}, 0.0, "disagrees", "its depth says no"),
        ({"geometry": 2.5, "words": 2.0}, 0.8, "agrees to 0.800", "its depth says 2.50"),
        ({"parse_status": "unparsed", "geometry": None}, 0.0, "unparsed", ""),
    ],
)
def test_words_stand_beside_what_depth_says(
    tmp_path: Path, details: dict[str, object], value: float, verdict: str, note: str
) -> None:
    """Both may be wrong and still agree: the verdict is of the agreement."""
    spec = _named("agreement@order")
    found = _asked(
        tmp_path, "consistency/rooms", spec, _line(spec, value, details), Prediction(answer="so"),
        answer="no", relation="nearer", depth_m=(TRUE,),
    )  # fmt: skip
    panel = found.panels[0]
    assert len(panel.pictures) == 1
    assert panel.question is not None
    [answer] = panel.question.answers
    assert (answer.text, answer.verdict, answer.note) == ("so", verdict, note)
    assert panel.question.truth == "no"
    assert "its own depth" in found.how_to_read


def test_a_description_stands_below_one_telling_with_its_score(tmp_path: Path) -> None:
    spec = _named("fact_f1@strict")
    found = _asked(
        tmp_path, "scene_language/tell", spec, _line(spec, 0.4, {}), Prediction(answer="A cone."),
        answer="all facts", accepted=("One telling.", "Another."), facts=frozenset({("cone",)}),
    )  # fmt: skip
    told = found.panels[0].question
    assert told is not None
    assert told.truth == "One telling."
    [answer] = told.answers
    assert (answer.text, answer.verdict) == ("A cone.", "fact_f1@strict 0.400")
    assert "true of the scene" in found.how_to_read


def test_a_search_says_where_its_pair_was_ranked(tmp_path: Path) -> None:
    spec = _named("recall_5@strict")
    line = _line(spec, 0.0, {}, **{"median_rank@strict": 17.0})
    found = _asked(
        tmp_path, "scene_language/find", spec, line, Prediction(embedding=np.ones(3)), pair="a"
    )
    sought = found.panels[0].question
    assert sought is not None
    assert [(a.text, a.verdict) for a in sought.answers] == [("ranked 17", "recall_5@strict 0.000")]
    assert sought.truth == ""
    run = next(tmp_path.glob("run-*"))
    board = boards.board_of(run, tasks={"scene_language/find": "Find"})
    html = as_html(board, {"scene_language/find": [_sample(0, [], pair="a")]})
    assert "ranked 17" in html
    assert "Truth:" not in html


def test_long_options_and_long_answers_are_cut(tmp_path: Path) -> None:
    long = "word " * 200
    read = {"strict": {"status": "parsed", "read": long}}
    spec = ACCURACY
    for name, answer in (("said", long), ("likely", None)):
        found = _asked(
            tmp_path / name, "spatial_qa/rooms", spec, _line(spec, 1.0, read),
            Prediction(answer=answer, choice_loglikelihoods=np.zeros(2)), answer="b",
            choices=("a", "b"),
        )  # fmt: skip
        asked = found.panels[0].question
        assert asked is not None
        assert asked.answers[0].text.startswith("word word")
        assert 300 < len(asked.answers[0].text) < 330
