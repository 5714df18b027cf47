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


def test_the_world_looks_the_same() -> None:
    from g2vlm_bench.world.layout import make_scene
    from g2vlm_bench.world.renderer import render

    shots = [(scene, scene.cameras[0]) for scene in (make_scene(i, "validation") for i in range(8))]
    here, there = render(shots, 96, 96, "cpu"), render(shots, 96, 96, "cuda")
    same = here.instance_ids.numpy() == there.instance_ids.cpu().numpy()
    # A silhouette may fall to either side of a pixel by rounding.
    assert same.mean() > 0.999
    apart = np.abs(here.depth_m.numpy() - there.depth_m.cpu().numpy())[same]
    assert np.nanmax(apart) < 1e-4


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
    from g2vlm_bench.metrics.depth import DEPTH_METRICS
    from g2vlm_bench.metrics.depth_torch import evaluate_depth_batch

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
        found = evaluate_depth_batch(*there, alignment=alignment, metrics=list(DEPTH_METRICS))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    expected = evaluate_depth_batch(*here, alignment=alignment, metrics=list(DEPTH_METRICS))
    for name, values in expected.items():
        assert found[name].is_cuda
        torch.testing.assert_close(found[name].cpu(), values, rtol=1e-6, atol=1e-9)
