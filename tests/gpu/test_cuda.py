"""What must be the same on a GPU; skipped where there is none, run by scripts/gpu_check.sh."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from g2vlm_bench.plugins import load_module
from g2vlm_bench.runner import Model, Options, Task, run

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@pytest.mark.parametrize("place", ["room", "table_top", "road"])
def test_the_world_looks_the_same(place: str) -> None:
    from g2vlm_bench.world.layout import make_scene
    from g2vlm_bench.world.renderer import look, render

    scenes = [make_scene(seed, "validation", place) for seed in range(8)]
    shots = [scene.shot(0) for scene in scenes]
    here, there = render(shots, 96, 96, "cpu"), render(shots, 96, 96, "cuda")
    same = here.instance_ids.numpy() == there.instance_ids.cpu().numpy()
    # A silhouette may fall to either side of a pixel by rounding.
    assert same.mean() > 0.999
    depth, other = here.depth_m.numpy()[same], there.depth_m.cpu().numpy()[same]
    assert (np.isnan(depth) == np.isnan(other)).mean() > 0.999
    near = depth < 20
    assert np.nanquantile(np.abs(depth - other)[near], 0.999) < 1e-4
    brightness = np.abs(here.rgb.float().numpy() - there.rgb.cpu().float().numpy())
    assert brightness.mean() < 0.5
    for one, two in zip(look(scenes, 2), look(scenes, 2, device="cuda"), strict=True):
        np.testing.assert_allclose(one.share, two.share, atol=0.002)
        np.testing.assert_allclose(one.amodal_share, two.amodal_share, atol=0.002)


def test_a_rendering_is_the_same_bytes_twice_and_alone() -> None:
    from g2vlm_bench.world.layout import make_scene
    from g2vlm_bench.world.renderer import render

    shots = [make_scene(seed, "test").shot(0) for seed in range(6)]
    first, again, alone = (render(s, 64, 64, "cuda") for s in (shots, shots, shots[4:5]))
    assert torch.equal(first.rgb, again.rgb)
    assert torch.equal(first.rgb[4], alone.rgb[0])
    assert torch.equal(first.normals_world[4], alone.normals_world[0])


def test_a_depth_model_gives_the_same_scores(toys, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    tiny = load_module(Path(__file__).parent.parent / "adapters" / "tiny_checkpoints.py")
    checkpoint = tiny.save("depth_anything_relative", tmp_path / "tiny")
    task = Task.load(toys, toys.task("depth/world_rooms"))
    values = {}
    for device in ("cpu", "cuda"):
        options = Options(out=tmp_path / "runs", device=device, limit=8)
        model = Model.load(toys, "hf_depth", {"checkpoint": str(checkpoint)}, options)
        _, record = run(task, model, options)
        assert record.adapter.device == device
        values[device] = {r.metric: r.value for r in record.results}
    assert values["cpu"] == pytest.approx(values["cuda"], rel=1e-3)


@pytest.mark.parametrize(
    "alignment",
    ["none", "median_scale", "least_squares_scale", "least_squares_scale_shift", "l1_scale"],
)
def test_depth_of_a_batch_is_measured_without_the_host(alignment: str) -> None:
    from g2vlm_bench.metrics.depth import DEPTH_METRICS, SCALE_METRICS
    from g2vlm_bench.metrics.depth_torch import evaluate_depth_batch

    metrics = [m for m in DEPTH_METRICS if alignment == "none" or m not in SCALE_METRICS]
    rng = np.random.default_rng(0)
    truth = rng.uniform(0.5, 9, (4, 240, 320)).astype(np.float32)
    truth[rng.random(truth.shape) < 0.1] = np.nan
    prediction = (0.7 * truth * rng.lognormal(0, 0.2, truth.shape)).astype(np.float32)
    here = torch.tensor(prediction), torch.tensor(truth)
    there = [part.cuda() for part in here]
    torch.cuda.synchronize()
    # Whatever waits for the device, as a copy to the host does, is an error here.
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = evaluate_depth_batch(*there, alignment=alignment, metrics=metrics)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    expected = evaluate_depth_batch(*here, alignment=alignment, metrics=metrics)
    for name, values in expected.items():
        assert found[name].is_cuda
        torch.testing.assert_close(found[name].cpu(), values, rtol=1e-6, atol=1e-9)


def test_the_reference_model_says_the_same(tiny_reference: Path) -> None:
    from g2vlm_bench.plugins import shipped
    from g2vlm_bench.sample import Inputs, Want

    adapter = load_module(shipped("model_adapters") / "g2vlm.py").G2vlm
    image = np.random.default_rng(0).integers(0, 256, (45, 60, 3), dtype=np.uint8)
    inputs = Inputs(
        id="a", images=(image, image[:, ::-1]), question="Is the box red?", answer_type="yes_no",
        choices=("yes", "no"),
    )  # fmt: skip
    wants = frozenset({Want.DEPTH, Want.POSES, Want.CHOICE_LOGLIKELIHOODS})
    here, there, half = (
        adapter(weights=str(tiny_reference), device=device, dtype=dtype).predict([inputs], wants)[0]
        for device, dtype in (("cpu", "auto"), ("cuda", "auto"), ("cuda", "bfloat16"))
    )
    # Convolutions there round to 10 bits.
    np.testing.assert_allclose(there.depth[1], here.depth[1], rtol=0.01)
    np.testing.assert_allclose(half.depth[1], here.depth[1], rtol=0.1)
    np.testing.assert_allclose(there.world_from_camera[1], here.world_from_camera[1], atol=0.01)
    np.testing.assert_allclose(there.choice_loglikelihoods, here.choice_loglikelihoods, rtol=0.02)
