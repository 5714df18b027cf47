from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from g2vlm_bench.errors import BenchError
from g2vlm_bench.sample import Sample
from g2vlm_bench.world import renderer
from g2vlm_bench.world.layout import make_scene
from g2vlm_bench.world.questions import FAMILIES
from g2vlm_bench.world.reader import WorldReader

PROJECT = Path(__file__).parents[2]


def digest(sample: Sample) -> str:
    """Everything in a sample, as one hash."""
    inputs, target = sample.load_inputs(), sample.load_target()
    content = hashlib.sha256(sample.id.encode())
    arrays = [*inputs.images, *(target.depth_m or ()), *(target.world_from_camera or ())]
    for array in arrays:
        content.update(array.tobytes())
    content.update(json.dumps([inputs.question, inputs.choices, target.answer]).encode())
    return content.hexdigest()


def digests() -> list[str]:
    depth = WorldReader(n=2, views=2, height=40, width=56)
    asked = WorldReader(n=4, content="questions", height=32, width=32)
    samples = [*depth.samples("test"), *asked.samples("test")]
    hashes = [reader.content_hash(split) for reader in (depth, asked) for split in reader.splits]
    return hashes + [digest(sample) for sample in samples]


def test_same_bytes_in_another_process() -> None:
    code = (
        f"import sys; sys.path[:0] = [{str(PROJECT)!r}, {str(Path(__file__).parent)!r}]\n"
        "import test_reader, json; print(json.dumps(test_reader.digests()))"
    )
    # Another hash seed and another number of threads must not matter.
    environment = {"PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "2", "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert json.loads(done.stdout) == digests()


def test_depth_samples() -> None:
    reader = WorldReader(n=3, views=4, height=24, width=32)
    samples = reader.samples("validation")
    assert [sample.id for sample in samples] == [
        f"world1-room-validation-{seed:06d}-4v" for seed in range(3)
    ]
    assert samples[1].cluster == make_scene(1, "validation").id
    inputs, target = samples[0].load_inputs(), samples[0].load_target()
    assert [image.shape for image in inputs.images] == [(24, 32, 3)] * 4
    assert inputs.images[0].dtype == np.uint8
    assert target.depth_m is not None
    assert [depth.shape for depth in target.depth_m] == [(24, 32)] * 4
    assert target.depth_m[0].dtype == np.float32
    assert target.intrinsics is not None
    assert target.world_from_camera is not None
    assert (len(target.intrinsics), len(target.world_from_camera)) == (4, 4)
    assert inputs.question is None


def test_points_lie_on_the_scene_and_have_its_normals() -> None:
    reader = WorldReader(n=1, views=2, height=32, width=32, content="points")
    target = reader.samples("train")[0].load_target()
    scene = make_scene(0, "train")
    assert target.points_world is not None
    assert target.normals_world is not None
    assert target.points_world.shape == target.normals_world.shape == (2 * 32 * 32, 3)
    half_x, half_y = scene.place.half_m
    x, y, z = target.points_world.T
    walls = [half_x - np.abs(x), half_y - np.abs(y), z, scene.place.height_m - z]
    bodies = [np.abs(body.distance_m(target.points_world)) for body in scene.bodies]
    assert np.min([*walls, *bodies], axis=0).max() < 1e-5
    # A centimetre along its normal a point has left every surface.
    lifted = target.points_world + 0.01 * target.normals_world
    floor = (z < 1e-5) & (np.min([*walls[:2], *bodies], axis=0) > 1e-3)
    assert floor.mean() > 0.1
    np.testing.assert_allclose(lifted[floor, 2], 0.01, atol=1e-4)


def test_question_samples() -> None:
    reader = WorldReader(n=8, content="questions", height=32, width=32, questions_per_scene=5)
    samples = reader.samples("test")
    # Up to five of each; a bare room has fewer that nobody would dispute.
    assert 20 <= len({sample.id for sample in samples}) == len(samples) <= 40
    for sample in samples:
        inputs, target = sample.load_inputs(), sample.load_target()
        assert inputs.question
        assert (inputs.choices, inputs.answer_type) == (target.choices, target.answer_type)
        assert target.answer is not None
        assert sample.tags["family"] in FAMILIES
        assert sample.id.startswith(sample.cluster)


def test_questions_do_not_depend_on_the_resolution() -> None:
    def asked(side: int) -> list[str | None]:
        reader = WorldReader(n=3, content="questions", height=side, width=side)
        return [sample.load_inputs().question for sample in reader.samples("test")]

    assert asked(16) == asked(48)


def test_only_the_families_asked_for() -> None:
    reader = WorldReader(n=20, content="questions", families=["support", "depth"])
    assert {sample.tags["family"] for sample in reader.samples("test")} == {"support", "depth"}


def test_a_sparse_depth_is_the_truth_but_for_noise_and_always_the_same() -> None:
    first, again = (
        WorldReader(n=2, views=2, given=["sparse_depth"]).samples("test")[1] for _ in range(2)
    )
    inputs, target = first.load_inputs(), first.load_target()
    assert inputs.depth_prior_m is not None
    assert target.depth_m is not None
    assert len(inputs.depth_prior_m) == 2
    for sparse, other, depth in zip(
        inputs.depth_prior_m, again.load_inputs().depth_prior_m or (), target.depth_m, strict=True
    ):
        np.testing.assert_array_equal(sparse, other)
        known = np.isfinite(sparse)
        assert 15 <= known.sum() <= 90  # 46 of 9,216 are expected
        error = np.log(sparse[known] / depth[known])
        assert 0.01 < error.std() < 0.06
    one, two = (np.isfinite(sparse) for sparse in inputs.depth_prior_m)
    assert (one != two).any()
    assert WorldReader(n=1).samples("test")[0].load_inputs().depth_prior_m is None


def test_cameras_are_handed_over_only_where_given() -> None:
    inputs = WorldReader(n=1, height=16, width=16).samples("test")[0].load_inputs()
    assert inputs.intrinsics is None
    assert inputs.world_from_camera is None
    given = WorldReader(n=1, height=16, width=16, given=["intrinsics", "poses"])
    inputs, target = (
        getattr(given.samples("test")[0], f"load_{k}")() for k in ("inputs", "target")
    )
    np.testing.assert_array_equal(inputs.intrinsics, target.intrinsics)
    np.testing.assert_array_equal(inputs.world_from_camera, target.world_from_camera)


@pytest.mark.parametrize("content", ["depth", "points", "questions"])
def test_nothing_is_rendered_before_a_sample_is_opened(
    content: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered = []

    def spy(*arguments: object) -> renderer.Views:
        rendered.append(arguments)
        return render(*arguments)

    render = renderer.render
    monkeypatch.setattr(renderer, "render", spy)
    samples = WorldReader(n=3, height=16, width=16, content=content).samples("test")
    assert rendered == []
    samples[0].load_inputs()
    samples[0].load_target()
    assert len(rendered) == 1
    if content == "questions":
        samples[-1].load_target()
        assert len(rendered) == 1


def test_changed_inputs_do_not_reach_the_truth() -> None:
    sample = WorldReader(n=1, height=16, width=16).samples("test")[0]
    before = sample.load_target()
    sample.load_inputs().images[0][:] = 0
    assert before.depth_m is not None
    before.depth_m[0][:] = 0
    assert sample.load_inputs().images[0].any()
    after = sample.load_target()
    assert after.depth_m is not None
    assert after.depth_m[0].all()


def test_content_hash_tells_options_and_splits_apart() -> None:
    readers = [
        WorldReader(n=2),
        WorldReader(n=3),
        WorldReader(n=2, views=2),
        WorldReader(n=2, height=64),
        WorldReader(n=2, content="points"),
        WorldReader(n=2, content="questions"),
        WorldReader(n=2, content="questions", families=["depth"]),
        WorldReader(n=2, given=["poses"]),
    ]
    hashes = [reader.content_hash(split) for reader in readers for split in reader.splits]
    assert len(set(hashes)) == len(hashes)
    assert all(len(each) == len("sha256:") + 64 for each in hashes)


def test_version_1_is_frozen() -> None:
    """A change of answers needs a new hash here and, once version 1 is released, a new version."""
    reader = WorldReader(n=50, content="questions", questions_per_scene=8)
    digest = "36b6f9d3dc58f16e089345eb0b375b2d9e0c4e8d050280d8c722fe575e597cd8"
    assert reader.content_hash("test") == f"sha256:{digest}"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "key 'n': expected 1 or more, got 0"),
        ({"n": 2.5}, "key 'n': expected 1 or more, got 2.5"),
        ({"n": 1, "views": 9}, "key 'views': expected one of 1, 2, 3, 4, 5, 6, 7, 8, got 9"),
        ({"n": 1, "moving": True}, "key 'views': expected 2 or more of what moves, got 1"),
        ({"n": 1, "place": "street"}, "key 'place': expected one of room, table_top, road, mixed"),
        ({"n": 1, "height": -4}, "key 'height'"),
        ({"n": 1, "content": "dept"}, "Did you mean 'depth'"),
        ({"n": 1, "families": ["colour"]}, "key 'families'"),
        ({"n": 1, "families": []}, "key 'families': expected one or more, got none"),
        ({"n": 1, "given": ["pose"]}, "Did you mean 'poses'"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(BenchError, match=message):
        WorldReader(**options)  # type: ignore[arg-type]


def test_unknown_split_is_refused() -> None:
    with pytest.raises(BenchError, match="world split"):
        WorldReader(n=1).samples("dev")
