"""Any depth estimator of transformers, with its own image processor.

    --model hf_depth --model-args checkpoint=depth-anything/Depth-Anything-V2-Small-hf

Depth Anything V1 and V2, DPT (ViT, hybrid, BEiT, Swin and DINOv2 backbones), ZoeDepth, Depth Pro,
GLPN, Prompt Depth Anything, TIPSv2-DPT, and what else `AutoModelForDepthEstimation` knows.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from g2vlm_bench.adapter import Adapter
from g2vlm_bench.checkpoints import DTYPES, Checkpoint, check_choice, find_device
from g2vlm_bench.errors import BenchError
from g2vlm_bench.mended_torchvision import import_torchvision
from g2vlm_bench.sample import Ambiguity, Inputs, Prediction, Want

if TYPE_CHECKING:
    import torch

_BACKENDS = ("auto", "torchvision", "pil")
_PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
_CONFIG_FILES = ("config.json", *_PROCESSOR_FILES)

# The first fusion layer has no coarser neighbour, so its first residual unit never runs and the
# published DPT checkpoints leave it out.
_NEVER_RUN = r"\bfusion_stage\.layers\.0\.residual_layer1\."


@dataclass(frozen=True, slots=True)
class _View:
    """One image on its way through the model.

    Attributes:
        size: Height and width that the prediction is to have.
        tensors: What the image processor made of it, a batch of one.
    """

    size: tuple[int, int]
    tensors: dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class _Depth:
    """What the model made of one view: depth `(H, W)` and, where it gives one, a 3x3 camera."""

    depth: NDArray[np.float32]
    camera: NDArray[np.float64] | None

    @classmethod
    def of(cls, result: dict[str, Any], size: tuple[int, int]) -> _Depth:
        # The processors' squeeze() also takes an axis of length 1 from a narrow image.
        depth = result["predicted_depth"].reshape(size).cpu().numpy()
        if result.get("focal_length") is None:
            return cls(depth, None)
        height, width = size
        focal = float(result["focal_length"])
        return cls(depth, np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]]))


class HfDepth(Adapter):
    """Predicts a depth map per view, and the camera where the model knows it (Depth Pro).

    The views of a sample are predicted each on its own, at most `len(batch)` in one forward pass.

    Args:
        checkpoint: A folder written by `save_pretrained`, or an id on the Hugging Face hub, which
            is looked for in the local cache when there is no network. Safetensors only.
        revision: Branch, tag or commit of a hub id.
        ambiguity: Up to what the output is known, in place of what the checkpoint says; needed for
            an architecture that this adapter does not know.
        device: `auto` takes a GPU where there is one.
        dtype: Of weights and activations. `auto` is float32, so that a device cannot change it.
            Depth is resized in float32 in any case.
        image_backend: Which twin of the image processor resizes the images, `torchvision` or `pil`;
            they differ in the last digits. `auto` is the library's choice.
        average_flipped: Average with the prediction of the mirrored image, as ZoeDepth's authors
            do. Only where the image processor offers it.

    Raises:
        BenchError: The checkpoint is missing, incomplete, damaged, pickled or no depth estimator,
            its ambiguity is unknown, or an argument has no such value.
    """

    def __init__(
        self,
        *,
        checkpoint: str,
        revision: str | None = None,
        ambiguity: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        image_backend: str = "auto",
        average_flipped: bool = False,
    ) -> None:
        from transformers import AutoModelForDepthEstimation
        from transformers.models.auto.modeling_auto import MODEL_FOR_DEPTH_ESTIMATION_MAPPING_NAMES

        check_choice("hf_depth", "dtype", dtype, DTYPES)
        check_choice("hf_depth", "image_backend", image_backend, _BACKENDS)
        self._device = find_device(device, "hf_depth")
        self.device = self._device.type
        found = Checkpoint.find(checkpoint, revision, _CONFIG_FILES, "AutoModelForDepthEstimation")
        self.checkpoint = found.name
        known = sorted(MODEL_FOR_DEPTH_ESTIMATION_MAPPING_NAMES)
        config = found.config(f"a depth estimator ({', '.join(known)})", known)
        self.ambiguity = _ambiguity(config, ambiguity, checkpoint)
        self.weights_hash = found.weights_hash()
        self._processor = _load_processor(found, config, image_backend)
        model = found.model(AutoModelForDepthEstimation, config, dtype, _NEVER_RUN)
        self._model = model.to(self._device)
        self._takes_prompt = config.model_type == "prompt_depth_anything"
        # ZoeDepth with a head for each domain lets the whole batch vote on which of them answers.
        self._votes = len(getattr(config, "bin_configurations", None) or ()) > 1
        self._post_process = getattr(
            self._processor, "post_process_depth_estimation", _post_process_by_bicubic
        )
        taken = inspect.signature(self._post_process).parameters
        # ZoeDepth pads; it cuts the padding off at the source size, and there the depth can stay.
        self._sizes_as = "source_sizes" if "source_sizes" in taken else "target_sizes"
        if average_flipped and "outputs_flipped" not in taken:
            raise BenchError(
                "hf_depth argument 'average_flipped'",
                expected="a model whose image processor averages, such as ZoeDepth",
                got=f"'{checkpoint}' ({type(self._processor).__name__})",
            )
        self._average_flipped = average_flipped
        sees_camera = bool(getattr(config, "use_fov_model", False))
        self.predicts = frozenset({Want.DEPTH} | ({Want.INTRINSICS} if sees_camera else set()))

    def predict(
        self, batch: Sequence[Inputs], wants: frozenset[Want]
    ) -> list[Prediction | Exception]:
        """Predict each view of each sample at the size of its image.

        Returns:
            A prediction for each of the inputs; a `ValueError` in place of one that has no image,
            or that lacks the depth prior which the model needs.
        """
        prepared = [self._prepare(inputs) for inputs in batch]
        views = [view for entry in prepared if isinstance(entry, list) for view in entry]
        results = iter(self._run_all(views, 1 if self._votes else len(batch)))
        return [
            self._prediction([next(results) for _ in entry], wants)
            if isinstance(entry, list)
            else entry
            for entry in prepared
        ]

    def close(self) -> None:
        """Free the model's memory."""
        import torch

        del self._model
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _prepare(self, inputs: Inputs) -> list[_View] | ValueError:
        if not inputs.images:
            return ValueError("expected an image, got none")
        try:
            return [self._view(inputs, index) for index in range(len(inputs.images))]
        except ValueError as error:
            return error

    def _view(self, inputs: Inputs, index: int) -> _View:
        image = inputs.images[index]
        prompt: dict[str, Any] = {}
        if self._takes_prompt:
            # The processor takes millimetres unless it is told otherwise.
            prompt = {"prompt_depth": _prompt(inputs, index), "prompt_scale_to_meter": 1.0}
        made = self._processor(images=Image.fromarray(image), return_tensors="pt", **prompt)
        return _View((image.shape[0], image.shape[1]), dict(made))

    def _run_all(self, views: Sequence[_View], at_once: int) -> list[_Depth]:
        """Run views in groups that the processor brought to one shape; keep their order."""
        import torch

        alike: dict[tuple[Any, ...], list[int]] = {}
        for index, view in enumerate(views):
            shapes = tuple(tensor.shape for tensor in view.tensors.values())
            alike.setdefault(shapes, []).append(index)
        found: dict[int, _Depth] = {}
        with torch.inference_mode():
            for indices in alike.values():
                for start in range(0, len(indices), at_once):
                    chunk = indices[start : start + at_once]
                    found.update(zip(chunk, self._run([views[i] for i in chunk]), strict=True))
        return [found[index] for index in range(len(views))]

    def _run(self, views: Sequence[_View]) -> list[_Depth]:
        """Run views of one shape and bring the result to their images' sizes."""
        import torch

        inputs = {
            name: torch.cat([view.tensors[name] for view in views]).to(
                self._device, self._model.dtype
            )
            for name in views[0].tensors
        }
        arguments: dict[str, Any] = {self._sizes_as: [view.size for view in views]}
        if self._average_flipped:
            mirrored = inputs | {"pixel_values": inputs["pixel_values"].flip(-1)}
            arguments["outputs_flipped"] = _widened(self._model(**mirrored))
        outputs = _widened(self._model(**inputs))
        results = self._post_process(outputs, **arguments)
        return [_Depth.of(result, view.size) for result, view in zip(results, views, strict=True)]

    def _prediction(self, views: Sequence[_Depth], wants: frozenset[Want]) -> Prediction:
        cameras = tuple(view.camera for view in views if view.camera is not None)
        return Prediction(
            depth=tuple(view.depth for view in views) if Want.DEPTH in wants else None,
            ambiguity=self.ambiguity,
            intrinsics=cameras if Want.INTRINSICS in wants and cameras else None,
        )


def stated_ambiguity(config: Any) -> Ambiguity | None:
    """Read off a checkpoint's config up to what its output is known; None where it does not say.

    >>> from types import SimpleNamespace
    >>> stated_ambiguity(SimpleNamespace(model_type="glpn"))
    <Ambiguity.METRIC: 'metric'>
    """
    match config.model_type:
        case "depth_anything":
            stated = config.depth_estimation_type == "metric"
            return Ambiguity.METRIC if stated else Ambiguity.AFFINE_DISPARITY
        case "depth_pro":
            # Its network sees canonical inverse depth; only the field of view turns it into metres.
            return Ambiguity.METRIC if config.use_fov_model else Ambiguity.SCALE
        case "dpt":
            # MiDaS trains on disparity with a loss blind to scale and shift (Ranftl et al. 2020).
            # The DPT heads on DINOv2 are its authors' NYU and KITTI ones, which regress metres.
            backbone = getattr(config.backbone_config, "model_type", None)
            return Ambiguity.METRIC if backbone == "dinov2" else Ambiguity.AFFINE_DISPARITY
        case "zoedepth" | "glpn" | "tipsv2_dpt":
            # Trained on NYU or KITTI metres; the range stands in the config (max_depth).
            return Ambiguity.METRIC
        case "prompt_depth_anything":
            # The output is stretched to the range of the prompt, which is given in metres.
            return Ambiguity.METRIC
        case _:
            # Also "chmv2": metres, but of canopy height above the ground, seen from the air.
            return None


def _ambiguity(config: Any, override: str | None, checkpoint: str) -> Ambiguity:
    if override is not None:
        check_choice("hf_depth", "ambiguity", override, [str(known) for known in Ambiguity])
        return Ambiguity(override)
    stated = stated_ambiguity(config)
    if stated is None:
        raise BenchError(
            f"checkpoint '{checkpoint}'",
            expected="an architecture whose output is known to be depth or disparity",
            got=f"'{config.model_type}'",
            fix=f"Say what it predicts: ambiguity={'|'.join(Ambiguity)}.",
        )
    return stated


def _load_processor(found: Checkpoint, config: Any, backend: str) -> Any:
    from transformers.utils.import_utils import is_torchvision_available

    # First, since transformers' own import of it would fail beside a torch of another build.
    if is_torchvision_available():
        import_torchvision()
    from transformers import AutoImageProcessor

    def load() -> Any:
        if config.model_type == "zoedepth" and not is_torchvision_available():
            raise ImportError("ZoeDepth's image processor resizes depth with torchvision")
        auto: Any = AutoImageProcessor
        return auto.from_pretrained(
            found.folder,
            config=config,
            backend=None if backend == "auto" else backend,
            trust_remote_code=False,
            local_files_only=True,
        )

    fix = None if is_torchvision_available() else "It may need torchvision: install that first."
    return found.attempt(load, f"an image processor ({_PROCESSOR_FILES[0]})", fix)


def _post_process_by_bicubic(
    outputs: Any, target_sizes: Sequence[tuple[int, int]]
) -> list[dict[str, Any]]:
    """Resize as the model cards did before image processors could, and as those of DPT still do."""
    from torch.nn.functional import interpolate

    pairs = zip(outputs.predicted_depth, target_sizes, strict=True)
    return [
        {"predicted_depth": interpolate(depth[None, None], size=size, mode="bicubic")}
        for depth, size in pairs
    ]


def _prompt(inputs: Inputs, index: int) -> NDArray[np.float32]:
    """Take a view's depth prior, each unknown pixel filled from its nearest known one.

    The model normalises by the prompt's minimum and maximum, so it can hold no NaN.
    """
    from scipy.ndimage import distance_transform_edt

    priors = inputs.depth_prior_m or ()
    if index >= len(priors):
        raise ValueError(f"expected a depth prior to prompt the model with, got none, view {index}")
    prior = priors[index]
    unknown = ~(np.isfinite(prior) & (prior > 0))
    if unknown.all():
        raise ValueError(f"expected a depth prior with a known pixel, got none, view {index}")
    nearest_known = distance_transform_edt(unknown, return_distances=False, return_indices=True)
    filled: NDArray[np.float32] = prior[tuple(nearest_known)].astype(np.float32)
    return filled


def _widened(outputs: Any) -> Any:
    """Turn what is resized into float32: half precision would round the depth a second time."""
    for name in ("predicted_depth", "field_of_view"):
        if outputs.get(name) is not None:
            outputs[name] = outputs[name].float()
    return outputs
