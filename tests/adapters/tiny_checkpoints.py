"""Depth checkpoints of random weights in every architecture of transformers, a few kilobytes each.

Made from configs by the library itself and written by its own `save_pretrained`, so that what is
loaded has the layout of a published checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

_DINOV2 = {
    "model_type": "dinov2",
    "hidden_size": 16,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "mlp_ratio": 2,
    "image_size": 28,
    "patch_size": 14,
    "out_indices": [1, 2, 3, 4],
    "reshape_hidden_states": False,
}
_VIT = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2}
_NECK = {"neck_hidden_sizes": [8, 8, 8, 8], "fusion_hidden_size": 8}
_RANGE = {"min_depth": 0.1, "max_depth": 10.0}


def _depth_anything(name: str, **settings: Any) -> Any:
    return _config(
        name,
        backbone_config=dict(_DINOV2),
        reassemble_hidden_size=16,
        head_hidden_size=8,
        **_NECK,
        **settings,
    )


def _dpt(**settings: Any) -> Any:
    return _config("dpt", **{**_NECK, "reassemble_factors": [4, 2, 1, 0.5], **settings})


def _dpt_vit() -> Any:
    return _dpt(
        **_VIT, intermediate_size=32, image_size=32, patch_size=8, backbone_out_indices=[0, 1, 2, 3]
    )


def _dpt_hybrid() -> Any:
    bit = {
        "model_type": "bit",
        "layer_type": "bottleneck",
        "global_padding": "same",
        "embedding_dynamic_padding": True,
        "embedding_size": 8,
        "hidden_sizes": [8, 16, 32],
        "depths": [1, 1, 1],
        "num_groups": 4,
        "out_features": ["stage1", "stage2", "stage3"],
    }
    return _dpt(
        **_VIT,
        is_hybrid=True,
        intermediate_size=32,
        image_size=32,
        patch_size=16,
        backbone_config=bit,
        backbone_featmap_shape=[1, 32, 2, 2],
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[8, 16, 8, 8],
    )


def _beit(size: int) -> dict[str, Any]:
    return {
        "model_type": "beit",
        **_VIT,
        "intermediate_size": 32,
        "image_size": size,
        "patch_size": 8,
        "use_relative_position_bias": True,
        "reshape_hidden_states": False,
        "out_features": ["stage1", "stage2", "stage3", "stage4"],
    }


def _dpt_swinv2() -> Any:
    swinv2 = {
        "model_type": "swinv2",
        "image_size": 64,
        "patch_size": 4,
        "embed_dim": 8,
        "depths": [1, 1, 1, 1],
        "num_heads": [1, 1, 1, 1],
        "window_size": 2,
        "out_features": ["stage1", "stage2", "stage3", "stage4"],
    }
    return _dpt(
        backbone_config=swinv2,
        neck_hidden_sizes=[8, 16, 32, 64],
        reassemble_factors=[1, 1, 1, 1],
    )


def _zoedepth(bins: list[dict[str, Any]]) -> Any:
    # Four layers and 128 channels are written out in transformers.
    domains = {} if len(bins) == 1 else {
        "num_patch_transformer_layers": 4,
        "patch_transformer_hidden_size": 128,
        "patch_transformer_intermediate_size": 16,
        "patch_transformer_num_attention_heads": 2,
    }  # fmt: skip
    return _config(
        "zoedepth",
        backbone_config=_beit(32),
        **_NECK,
        bottleneck_features=8,
        num_relative_features=8,
        num_attractors=[4, 2, 2, 1],
        bin_embedding_dim=8,
        bin_configurations=bins,
        **domains,
    )


def _depth_pro(use_fov_model: bool) -> Any:
    encoder = {**_DINOV2, "image_size": 16, "patch_size": 4, "num_hidden_layers": 2}
    encoder = {k: v for k, v in encoder.items() if k not in ("out_indices",)}
    return _config(
        "depth_pro",
        patch_size=16,
        fusion_hidden_size=8,
        intermediate_hook_ids=[1, 0],
        intermediate_feature_dims=[8, 8],
        scaled_images_ratios=[0.25, 0.5, 1.0],
        scaled_images_overlap_ratios=[0.0, 0.5, 0.25],
        scaled_images_feature_dims=[8, 8, 8],
        use_fov_model=use_fov_model,
        image_model_config=dict(encoder),
        patch_model_config=dict(encoder),
        fov_model_config=dict(encoder),
    )


def _glpn() -> Any:
    return _config(
        "glpn",
        hidden_sizes=[8, 8, 16, 16],
        depths=[1, 1, 1, 1],
        num_attention_heads=[1, 1, 2, 2],
        mlp_ratios=[2, 2, 2, 2],
        decoder_hidden_size=8,
    )


def _chmv2() -> Any:
    dinov3 = {
        "model_type": "dinov3_vit",
        **_VIT,
        "intermediate_size": 32,
        "image_size": 32,
        "patch_size": 16,
        "num_register_tokens": 1,
        "out_indices": [1, 2, 3, 4],
        "reshape_hidden_states": True,
        "apply_layernorm": True,
        "return_class_token": True,
    }
    return _config(
        "chmv2",
        backbone_config=dinov3,
        post_process_channels=[8, 8, 8, 8],
        fusion_hidden_size=8,
        head_hidden_size=8,
        number_output_channels=16,
    )


def _tipsv2() -> Any:
    vision = {
        "model_type": "tipsv2_vision_model",
        **_VIT,
        "intermediate_size": 32,
        "image_size": 28,
        "patch_size": 14,
        "out_indices": [1, 2, 3, 4],
        "apply_layernorm": True,
        "reshape_hidden_states": False,
    }
    return _config("tipsv2_dpt", backbone_config=vision, num_depth_bins=16, **_NECK)


# Random weights would else end below the last ReLU, and see a camera behind itself (in degrees).
_BIASES = {
    "head.conv3.bias": 1.0,
    "head.head.4.bias": 1.0,
    "head.layers.4.bias": 1.0,
    "fov_model.head.layers.4.bias": 60.0,
}

# name -> (config, settings of the image processor)
_RECIPES: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "depth_anything_relative": (
        lambda: _depth_anything("depth_anything", depth_estimation_type="relative"),
        {"size": {"height": 42, "width": 42}, "keep_aspect_ratio": True, "ensure_multiple_of": 14},
    ),
    "depth_anything_metric": (
        lambda: _depth_anything("depth_anything", depth_estimation_type="metric", max_depth=20),
        {"size": {"height": 42, "width": 42}, "keep_aspect_ratio": True, "ensure_multiple_of": 14},
    ),
    "prompt_depth_anything": (
        lambda: _depth_anything("prompt_depth_anything", depth_estimation_type="metric"),
        {"size": {"height": 42, "width": 42}, "keep_aspect_ratio": True, "ensure_multiple_of": 14},
    ),
    "dpt_vit": (_dpt_vit, {"size": {"height": 32, "width": 32}}),
    "dpt_hybrid": (_dpt_hybrid, {"size": {"height": 32, "width": 32}}),
    "dpt_beit": (
        lambda: _dpt(backbone_config=_beit(32)),
        {"size": {"height": 32, "width": 32}},
    ),
    "dpt_swinv2": (_dpt_swinv2, {"size": {"height": 64, "width": 64}}),
    "dpt_dinov2": (
        # The projection's 256 channels are written out in transformers.
        lambda: _dpt(backbone_config=dict(_DINOV2), add_projection=True, fusion_hidden_size=256),
        {"do_resize": False, "do_pad": True, "size_divisor": 14},
    ),
    "zoedepth": (
        lambda: _zoedepth([{"n_bins": 8, **_RANGE}]),
        {"size": {"height": 32, "width": 32}, "ensure_multiple_of": 8},
    ),
    "zoedepth_two_domains": (
        lambda: _zoedepth(
            [
                {"name": "nyu", "n_bins": 8, **_RANGE},
                {"name": "kitti", "n_bins": 8, "min_depth": 0.1, "max_depth": 80.0},
            ]
        ),
        {"size": {"height": 32, "width": 32}, "ensure_multiple_of": 8},
    ),
    "depth_pro": (lambda: _depth_pro(True), {"size": {"height": 64, "width": 64}}),
    "depth_pro_without_fov": (lambda: _depth_pro(False), {"size": {"height": 64, "width": 64}}),
    "glpn": (_glpn, {"size_divisor": 32}),
    "chmv2": (_chmv2, {}),
    "tipsv2_dpt": (_tipsv2, {"size": {"height": 28, "width": 28}}),
}


def is_known(name: str) -> bool:
    """Whether the installed transformers has the architecture: some are younger than others."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_DEPTH_ESTIMATION_MAPPING_NAMES

    return any(name.startswith(known) for known in MODEL_FOR_DEPTH_ESTIMATION_MAPPING_NAMES)


def save(name: str, folder: Path, seed: int = 0) -> Path:
    """Write a tiny checkpoint of one architecture, as `save_pretrained` does."""
    import torch
    from transformers import AutoModelForDepthEstimation
    from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING

    make, settings = _RECIPES[name]
    config = make()
    torch.manual_seed(seed)
    model = AutoModelForDepthEstimation.from_config(config)
    with torch.no_grad():
        for key, weight in model.named_parameters():
            # The library's small initial weights would leave all depth alike.
            spread = min(0.25, weight[0].numel() ** -0.5)
            weight.normal_(0, spread).add_(_BIASES.get(key, 0.0))
    model.save_pretrained(folder)
    IMAGE_PROCESSOR_MAPPING[type(config)]["torchvision"](**settings).save_pretrained(folder)
    return folder


def _config(model_type: str, **settings: Any) -> Any:
    from transformers import AutoConfig

    return AutoConfig.for_model(model_type, **settings)
