"""hf_depth against transformers called by hand, on a tiny checkpoint of every architecture."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from g2vlm_bench.errors import BenchError
from g2vlm_bench.mended_torchvision import import_torchvision
from g2vlm_bench.plugins import Plugins, load_module, shipped
from g2vlm_bench.sample import Ambiguity, Inputs, Want

ADAPTER = shipped("model_adapters") / "hf_depth.py"
HfDepth = load_module(ADAPTER).HfDepth
# Transformers called by hand needs it, too, where torchvision's operators are of another build.
import_torchvision()
tiny = load_module(Path(__file__).with_name("tiny_checkpoints.py"))

AMBIGUITY = {
    "depth_anything_relative": Ambiguity.AFFINE_DISPARITY,
    "depth_anything_metric": Ambiguity.METRIC,
    "prompt_depth_anything": Ambiguity.METRIC,
    "dpt_vit": Ambiguity.AFFINE_DISPARITY,
    "dpt_hybrid": Ambiguity.AFFINE_DISPARITY,
    "dpt_beit": Ambiguity.AFFINE_DISPARITY,
    "dpt_swinv2": Ambiguity.AFFINE_DISPARITY,
    "dpt_dinov2": Ambiguity.METRIC,
    "zoedepth": Ambiguity.METRIC,
    "zoedepth_two_domains": Ambiguity.METRIC,
    "depth_pro": Ambiguity.METRIC,
    "depth_pro_without_fov": Ambiguity.SCALE,
    "glpn": Ambiguity.METRIC,
    "chmv2": None,
    "tipsv2_dpt": Ambiguity.METRIC,
}
ALL_WANTS = frozenset(Want)
Checkpoint = Callable[[str], Path]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads that wait for one another cost far more than these models' arithmetic."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """Write each checkpoint when it is first asked for; tests must not alter them."""
    root = tmp_path_factory.mktemp("checkpoints")

    def find(name: str) -> Path:
        if not tiny.is_known(name):
            pytest.skip(f"the installed transformers has no {name}")
        return root / name if (root / name).is_dir() else tiny.save(name, root / name)

    return find


@pytest.fixture
def copy(checkpoint: Checkpoint, tmp_path: Path) -> Path:
    """Give a checkpoint that a test may damage."""
    return Path(shutil.copytree(checkpoint("depth_anything_metric"), tmp_path / "copy"))


def load(folder: Path, **arguments: Any) -> Any:
    if folder.name == "chmv2":
        arguments.setdefault("ambiguity", "metric")
    return HfDepth(checkpoint=str(folder), **{"device": "cpu", **arguments})


def image(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def prior(height: int, width: int, seed: int = 0) -> NDArray[np.float32]:
    # Whole millimetres, so that the same prior can be given in either unit.
    millimetres = np.random.default_rng(seed).integers(1000, 5000, (height, width))
    return (millimetres / 1000).astype(np.float32)


def sample(name: str, *sizes: tuple[int, int]) -> Inputs:
    return Inputs(
        id=name,
        images=tuple(image(h, w, seed) for seed, (h, w) in enumerate(sizes)),
        depth_prior_m=tuple(prior(h // 2, w // 2, seed) for seed, (h, w) in enumerate(sizes)),
    )


def by_hand(folder: Path, inputs: Inputs, flipped: bool = False) -> dict[str, Any]:
    """Follow the model cards: process, run, post-process; the prompt in millimetres."""
    import torch
    from PIL import Image
    from transformers import AutoImageProcessor, AutoModelForDepthEstimation

    processor = AutoImageProcessor.from_pretrained(folder)
    model = AutoModelForDepthEstimation.from_pretrained(folder)
    picture = Image.fromarray(inputs.images[0])
    prompt = {}
    if "prompt_depth" in processor.model_input_names:
        assert inputs.depth_prior_m is not None
        prompt = {"prompt_depth": inputs.depth_prior_m[0] * 1000}
    tensors = processor(images=picture, return_tensors="pt", **prompt)
    sizes = [(picture.height, picture.width)]
    named = {"source_sizes" if model.config.model_type == "zoedepth" else "target_sizes": sizes}
    with torch.no_grad():
        if flipped:
            mirror = torch.flip(tensors.pixel_values, dims=[3])
            named["outputs_flipped"] = model(pixel_values=mirror)
        outputs = model(**tensors)
        result: dict[str, Any] = processor.post_process_depth_estimation(outputs, **named)[0]
    return result


def assert_alike(got: NDArray[Any], expected: NDArray[Any], tolerance: float = 1e-5) -> None:
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize("name", AMBIGUITY)
def test_equals_transformers_called_by_hand(name: str, checkpoint: Checkpoint) -> None:
    folder = checkpoint(name)
    inputs = sample("a", (45, 61))
    (prediction,) = load(folder).predict([inputs], ALL_WANTS)
    (depth,) = prediction.depth
    assert depth.shape == (45, 61)
    assert depth.dtype == np.float32
    assert np.isfinite(depth).all()
    assert np.ptp(depth) > 1e-4 * np.abs(depth).max(), "a flat map would show nothing"
    assert_alike(depth, by_hand(folder, inputs)["predicted_depth"].numpy(), 1e-6)


@pytest.mark.parametrize("name", AMBIGUITY)
def test_batch_of_mixed_sizes_equals_one_by_one(name: str, checkpoint: Checkpoint) -> None:
    adapter = load(checkpoint(name))
    batch = [
        sample("a", (45, 61)),
        sample("b", (60, 40), (45, 61), (33, 33)),
        sample("c", (45, 61)),
    ]
    together = adapter.predict(batch, ALL_WANTS)
    for inputs, prediction in zip(batch, together, strict=True):
        assert [d.shape for d in prediction.depth] == [i.shape[:2] for i in inputs.images]
        for view, depth in enumerate(prediction.depth):
            alone = Inputs(
                id="alone",
                images=(inputs.images[view],),
                depth_prior_m=(inputs.depth_prior_m[view],) if inputs.depth_prior_m else None,
            )
            assert_alike(depth, adapter.predict([alone], ALL_WANTS)[0].depth[0])


@pytest.mark.parametrize("name", [name for name in AMBIGUITY if name != "chmv2"])
def test_ambiguity_is_read_from_the_checkpoint(name: str, checkpoint: Checkpoint) -> None:
    adapter = load(checkpoint(name))
    (prediction,) = adapter.predict([sample("a", (33, 40))], ALL_WANTS)
    assert adapter.ambiguity is prediction.ambiguity is AMBIGUITY[name]


def test_ambiguity_can_be_overridden(checkpoint: Checkpoint) -> None:
    adapter = load(checkpoint("glpn"), ambiguity="scale")
    assert adapter.predict([sample("a", (33, 40))], ALL_WANTS)[0].ambiguity is Ambiguity.SCALE


def test_unknown_output_is_refused_until_it_is_named(checkpoint: Checkpoint) -> None:
    # Canopy height: metres, but no depth.
    folder = checkpoint("chmv2")
    with pytest.raises(BenchError, match=r"got 'chmv2'.*ambiguity=metric\|scale\|affine"):
        HfDepth(checkpoint=str(folder), device="cpu")
    assert HfDepth(checkpoint=str(folder), device="cpu", ambiguity="affine").ambiguity == "affine"


def test_depth_pro_gives_the_camera(checkpoint: Checkpoint) -> None:
    folder = checkpoint("depth_pro")
    adapter = load(folder)
    inputs = sample("a", (45, 61))
    assert adapter.predicts == {Want.DEPTH, Want.INTRINSICS}
    (prediction,) = adapter.predict([inputs], ALL_WANTS)
    field_of_view = np.deg2rad(float(by_hand(folder, inputs)["field_of_view"]))
    # f = (W / 2) / tan(horizontal field of view / 2); the centre of 61 x 45 pixels is (30.5, 22.5)
    focal = 30.5 / np.tan(field_of_view / 2)
    expected = [[focal, 0, 30.5], [0, focal, 22.5], [0, 0, 1]]
    np.testing.assert_allclose(prediction.intrinsics[0], expected, rtol=1e-5)
    assert prediction.intrinsics[0].dtype == np.float64
    assert adapter.predict([inputs], frozenset({Want.DEPTH}))[0].intrinsics is None
    assert adapter.predict([inputs], frozenset({Want.INTRINSICS}))[0].depth is None


@pytest.mark.parametrize("name", ["depth_pro_without_fov", "glpn"])
def test_other_models_give_no_camera(name: str, checkpoint: Checkpoint) -> None:
    adapter = load(checkpoint(name))
    assert adapter.predicts == {Want.DEPTH}
    assert adapter.predict([sample("a", (45, 61))], ALL_WANTS)[0].intrinsics is None


def test_prompt_is_in_metres_and_unknown_pixels_are_filled(checkpoint: Checkpoint) -> None:
    adapter = load(checkpoint("prompt_depth_anything"))
    full = np.repeat(np.repeat(prior(4, 5), 3, axis=0), 3, axis=1)
    sparse = np.full_like(full, np.nan)
    sparse[1::3, 1::3] = full[1::3, 1::3]  # the middle of each 3 x 3 block of one value
    views = {"images": (image(45, 61),)}
    filled, given = (
        adapter.predict([Inputs(id="a", depth_prior_m=(p,), **views)], ALL_WANTS)[0].depth[0]
        for p in (sparse, full)
    )
    assert_alike(filled, given)
    # Its sigmoid puts every pixel between the nearest and the farthest of the prompt.
    assert full.min() <= given.min() < given.max() <= full.max()
    assert np.isnan(sparse[0, 0]), "the inputs are not altered"


@pytest.mark.parametrize(
    ("priors", "complaint"),
    [
        (None, "expected a depth prior"),
        ((), "expected a depth prior"),
        ((np.full((4, 4), np.nan, np.float32),), "a known pixel"),
        ((np.zeros((4, 4), np.float32),), "a known pixel"),
    ],
)
def test_missing_prompt_fails_that_sample_alone(
    priors: Any, complaint: str, checkpoint: Checkpoint
) -> None:
    adapter = load(checkpoint("prompt_depth_anything"))
    bare = Inputs(id="bare", images=(image(45, 61),), depth_prior_m=priors)
    good = sample("a", (45, 61))
    first, failure, last = adapter.predict([good, bare, good], ALL_WANTS)
    assert isinstance(failure, ValueError)
    assert complaint in str(failure)
    (alone,) = adapter.predict([good], ALL_WANTS)
    for prediction in (first, last):
        assert_alike(prediction.depth[0], alone.depth[0])


def test_sample_without_image_fails_alone(checkpoint: Checkpoint) -> None:
    batch = [Inputs(id="text", question="?"), sample("a", (33, 40))]
    failure, prediction = load(checkpoint("glpn")).predict(batch, ALL_WANTS)
    assert "expected an image" in str(failure)
    assert prediction.depth[0].shape == (33, 40)
    (only,) = load(checkpoint("glpn")).predict(batch[:1], ALL_WANTS)
    assert isinstance(only, ValueError)


def test_batch_mates_do_not_vote_on_the_domain(checkpoint: Checkpoint) -> None:
    adapter = load(checkpoint("zoedepth_two_domains"))
    seen: list[int] = []
    adapter._model.register_forward_pre_hook(
        lambda module, arguments, named: seen.append(len(named["pixel_values"])), with_kwargs=True
    )
    adapter.predict([sample("a", (45, 61)), sample("b", (45, 61))], ALL_WANTS)
    assert seen == [1, 1]


def test_no_more_views_at_once_than_samples(checkpoint: Checkpoint) -> None:
    adapter = load(checkpoint("glpn"))
    seen: list[int] = []
    adapter._model.register_forward_pre_hook(
        lambda module, arguments, named: seen.append(len(named["pixel_values"])), with_kwargs=True
    )
    adapter.predict([sample("a", *[(33, 40)] * 4), sample("b", (33, 70), (33, 40))], ALL_WANTS)
    assert seen == [2, 2, 1, 1]


def test_average_with_the_mirrored_image(checkpoint: Checkpoint) -> None:
    folder = checkpoint("zoedepth")
    inputs = sample("a", (45, 61))
    (averaged,) = load(folder, average_flipped=True).predict([inputs], ALL_WANTS)
    (plain,) = load(folder).predict([inputs], ALL_WANTS)
    assert_alike(averaged.depth[0], by_hand(folder, inputs, True)["predicted_depth"].numpy(), 1e-6)
    assert not np.allclose(averaged.depth[0], plain.depth[0], rtol=0, atol=1e-5)
    with pytest.raises(BenchError, match=r"average_flipped.*ZoeDepth"):
        load(checkpoint("glpn"), average_flipped=True)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", ["depth_anything_metric", "prompt_depth_anything", "depth_pro"])
def test_half_precision_stays_near(name: str, dtype: str, checkpoint: Checkpoint) -> None:
    import torch

    inputs = sample("a", (45, 61))
    half = load(checkpoint(name), dtype=dtype)
    assert half._model.dtype is getattr(torch, dtype)
    (prediction,) = half.predict([inputs], ALL_WANTS)
    assert prediction.depth[0].dtype == np.float32
    # bfloat16 keeps 8 bits: 2^-8 = 0.4 % a rounding, and a few roundings lie on the way
    (reference,) = load(checkpoint(name)).predict([inputs], ALL_WANTS)
    assert_alike(prediction.depth[0], reference.depth[0], 0.03)


@pytest.mark.parametrize("size", [(1, 40), (40, 1), (33, 41)])
def test_odd_and_narrow_images_keep_their_size(
    size: tuple[int, int], checkpoint: Checkpoint
) -> None:
    (prediction,) = load(checkpoint("dpt_vit")).predict([sample("a", size)], ALL_WANTS)
    assert prediction.depth[0].shape == size


def test_either_image_backend(checkpoint: Checkpoint) -> None:
    inputs = sample("a", (45, 61))
    folder = checkpoint("dpt_vit")
    pillow = load(folder, image_backend="pil")
    torchvision = load(folder, image_backend="torchvision")
    assert type(pillow._processor) is not type(torchvision._processor)
    first, second = (a.predict([inputs], ALL_WANTS)[0].depth[0] for a in (pillow, torchvision))
    assert_alike(first, second, 0.05)


def test_processor_that_cannot_post_process(copy: Path) -> None:
    import torch
    from transformers import BitImageProcessor

    BitImageProcessor(size={"height": 42, "width": 42}, do_center_crop=False).save_pretrained(copy)
    adapter = load(copy)
    inputs = sample("a", (45, 61))
    (prediction,) = adapter.predict([inputs], ALL_WANTS)
    tensors = adapter._processor(images=inputs.images[0], return_tensors="pt")
    with torch.no_grad():
        small = adapter._model(**tensors).predicted_depth[:, None]
    by_bicubic = torch.nn.functional.interpolate(small, (45, 61), mode="bicubic")[0, 0]
    assert_alike(prediction.depth[0], by_bicubic.numpy(), 1e-6)


def test_zoedepth_needs_torchvision(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = checkpoint("zoedepth")
    monkeypatch.setattr("transformers.utils.import_utils.is_torchvision_available", lambda: False)
    with pytest.raises(BenchError, match=r"with torchvision.*install that first"):
        load(folder)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"dtype": "float8"}, "'dtype'.*got 'float8'"),
        ({"ambiguity": "affine_disparty"}, "Did you mean 'affine_disparity'"),
        ({"image_backend": "pill"}, "Did you mean 'pil'"),
        ({"device": "cuda:77"}, "'device'.*device=cpu"),
        ({"device": "gpu"}, "'device'.*device=cpu"),
        ({"revision": "main"}, "no revision, for it is a local folder"),
    ],
)
def test_wrong_arguments(arguments: dict[str, str], complaint: str, checkpoint: Checkpoint) -> None:
    with pytest.raises(BenchError, match=complaint):
        load(checkpoint("glpn"), **arguments)


def test_through_the_plugins(checkpoint: Checkpoint) -> None:
    plugins = Plugins.find()
    run = {"device": "cpu", "dtype": "float32"}
    given = {"checkpoint": str(checkpoint("glpn"))}
    assert "hf_depth" in plugins.names("adapter")
    assert plugins.adapter("hf_depth", given, run).ambiguity is Ambiguity.METRIC
    with pytest.raises(BenchError, match=r"got 'chekpoint'\. Did you mean 'checkpoint'"):
        plugins.adapter("hf_depth", {"chekpoint": "x"}, run)
    with pytest.raises(BenchError, match="expected argument 'checkpoint'"):
        plugins.adapter("hf_depth", {}, run)


def remove_weights(folder: Path, pattern: str) -> None:
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    kept = {key: value for key, value in load_file(path).items() if pattern not in key}
    save_file(kept, path, metadata={"format": "pt"})


def shrink(folder: Path, keep: int) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])


def edit_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def pickle_weights(folder: Path) -> None:
    import torch
    from safetensors.torch import load_file

    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda f: (f / "config.json").unlink(), "config.json that transformers can read"),
        (lambda f: (f / "config.json").write_text('{"model_type": '), "config.json"),
        (lambda f: edit_config(f, model_type="no_such"), "config.json"),
        (lambda f: edit_config(f, model_type="bert"), r"a depth estimator \(.*got 'bert'"),
        (lambda f: edit_config(f, head_hidden_size=16), "weights that fit config.json"),
        (lambda f: (f / "preprocessor_config.json").unlink(), "preprocessor_config.json"),
        (lambda f: (f / "preprocessor_config.json").write_text("{"), "preprocessor_config.json"),
        (lambda f: (f / "model.safetensors").unlink(), "expected safetensors.*got none"),
        (lambda f: shrink(f, -100), "weights that fit"),
        (lambda f: shrink(f, 0), "weights that fit"),
        (lambda f: shrink(f, 5), "weights that fit"),
        (lambda f: remove_weights(f, "head.conv3"), "every weight.*2 missing.*head.conv3"),
        (pickle_weights, "got pytorch_model.bin. Convert it where you trust it.*save_pretrained"),
    ],
)
def test_damaged_checkpoint_is_one_line(
    damage: Callable[[Path], Any], complaint: str, copy: Path
) -> None:
    damage(copy)
    with pytest.raises(BenchError, match=complaint) as caught:
        load(copy)
    assert str(copy) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_that_never_run_may_be_missing(checkpoint: Checkpoint, copy: Path) -> None:
    # As in the published MiDaS checkpoints.
    remove_weights(copy, "fusion_stage.layers.0.residual_layer1")
    inputs = [sample("a", (45, 61))]
    (cut,) = load(copy).predict(inputs, ALL_WANTS)
    (whole,) = load(checkpoint("depth_anything_metric")).predict(inputs, ALL_WANTS)
    np.testing.assert_array_equal(cut.depth[0], whole.depth[0])


def test_weights_hash(checkpoint: Checkpoint, tmp_path: Path) -> None:
    folder = checkpoint("glpn")
    again, other = tiny.save("glpn", tmp_path / "a"), tiny.save("glpn", tmp_path / "b", seed=1)
    content = (folder / "model.safetensors").read_bytes()
    # Of one file it is the file's own sha256, which a hub shows beside it.
    assert load(folder).weights_hash == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert load(folder).weights_hash == load(again).weights_hash
    assert load(folder).weights_hash != load(other).weights_hash


def test_edited_settings_are_another_checkpoint(copy: Path) -> None:
    before = load(copy)
    edit_config(copy, max_depth=80)
    after = load(copy)
    assert before.checkpoint.startswith(f"{copy}@")
    assert before.checkpoint != after.checkpoint
    assert before.weights_hash == after.weights_hash


def test_sharded_weights(checkpoint: Checkpoint, copy: Path) -> None:
    from transformers import AutoModelForDepthEstimation

    model = AutoModelForDepthEstimation.from_pretrained(copy)
    (copy / "model.safetensors").unlink()
    model.save_pretrained(copy, max_shard_size="20KB")
    assert len(list(copy.glob("model-*-of-*.safetensors"))) > 1
    inputs = [sample("a", (45, 61))]
    (sharded,) = load(copy).predict(inputs, ALL_WANTS)
    (whole,) = load(checkpoint("depth_anything_metric")).predict(inputs, ALL_WANTS)
    np.testing.assert_array_equal(sharded.depth[0], whole.depth[0])
    max(copy.glob("model-*-of-*.safetensors")).unlink()
    with pytest.raises(BenchError, match="weights that fit"):
        load(copy)


def test_hub_id_from_the_cache_without_network(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--house--tiny-glpn"
    shutil.copytree(checkpoint("glpn"), repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    adapter = HfDepth(checkpoint="house/tiny-glpn", device="cpu")
    assert adapter.checkpoint == f"house/tiny-glpn@{commit}"
    for missing, revision in [("house/other", None), ("house/tiny-glpn", "v2"), ("./none", None)]:
        with pytest.raises(BenchError, match="a folder, or a hub id"):
            HfDepth(checkpoint=missing, revision=revision, device="cpu")


def test_import_is_light() -> None:
    heavy = ("torch", "transformers", "huggingface_hub", "scipy", "torchvision")
    code = (
        "import sys; from pathlib import Path\n"
        "from g2vlm_bench.plugins import load_module\n"
        f"load_module(Path({str(ADAPTER)!r}))\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_loads_in_a_process_of_its_own(checkpoint: Checkpoint) -> None:
    # Here torchvision was imported by this file; a user's process starts without it.
    code = (
        "from pathlib import Path; from g2vlm_bench.plugins import load_module\n"
        f"cls = load_module(Path({str(ADAPTER)!r})).HfDepth\n"
        f"print(cls(checkpoint={str(checkpoint('glpn'))!r}, device='cpu').ambiguity)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "metric", done.stderr[-500:]


def test_close_lets_the_model_go(checkpoint: Checkpoint) -> None:
    import gc
    import weakref

    adapter = load(checkpoint("glpn"))
    model = weakref.ref(adapter._model)
    adapter.close()
    gc.collect()
    assert model() is None
