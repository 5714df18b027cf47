"""The losses put together: every step of refinement, words, places, masks, and the one space."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from g2vlm_bench.reference import losses
from g2vlm_bench.reference.config import LossWeights, ModelConfig
from g2vlm_bench.reference.decoder import Geometry, transform
from g2vlm_bench.reference.model import G2Vlm, Output

if TYPE_CHECKING:
    from g2vlm_bench.reference.batches import Drawn

# Each step of refinement weighs twice as much as the one before it.
_LATER = 2.0
_GEOMETRIC = (
    "points", "depth", "scale", "normals", "rotation", "translation", "consistency",
    "field_of_view",
)  # fmt: skip


class Readouts(nn.Module):
    """Linear maps that exist for training alone: what a token shows, in colour, kind and pixels.

    Args:
        config: Sizes of the model.
        colors: How many colours have names, the place among them.
        kinds: Likewise of kinds.
    """

    def __init__(self, config: ModelConfig, colors: int, kinds: int) -> None:
        super().__init__()
        self.color = nn.Linear(config.width, colors)
        self.kind = nn.Linear(config.width, kinds)
        self.picture = nn.Linear(config.width, 3 * config.patch**2)


def total_loss(
    model: G2Vlm, readouts: Readouts, output: Output, drawn: Drawn, weights: LossWeights
) -> tuple[Tensor, dict[str, Tensor]]:
    """Weigh and add all losses that count.

    Args:
        model: Which answered.
        readouts: For auxiliary targets.
        output: The answer.
        drawn: What was asked, and the truth.
        weights: A loss of weight 0 is not computed.

    Returns:
        The sum, and each loss before its weight. Neither has a part that does not count.
    """
    # What weights are applied to may be half floats; what is measured in metres and radians not.
    linear = _linear_parts(model, readouts, output, drawn, weights)
    with torch.autocast(drawn.depth.device.type, enabled=False):
        parts = _geometric_parts(output, drawn, weights) | _worded_parts(output, drawn, weights)
        parts |= linear
        counted = {name: part for name, part in parts.items() if getattr(weights, name) > 0}
        total = sum(
            (getattr(weights, name) * part for name, part in counted.items()),
            start=drawn.depth.new_zeros(()),
        )
    return total, counted


def _geometric_parts(output: Output, drawn: Drawn, weights: LossWeights) -> dict[str, Tensor]:
    wanted = [name for name in _GEOMETRIC if getattr(weights, name) > 0]
    shares = torch.tensor([_LATER**step for step in range(len(output.steps))])
    shares = shares / shares.sum()
    parts: dict[str, Tensor] = {}
    for share, step in zip(shares.tolist(), output.steps, strict=True) if wanted else ():
        for name, part in _geometry_losses(step, drawn, wanted).items():
            parts[name] = parts.get(name, 0) + share * part
    if weights.scene > 0:
        parts["scene"] = _scene_loss(output.patch_places, drawn)
    if weights.early > 0:
        parts["early"] = _early_loss(output.early_log_depth, drawn.depth)
    return parts


def _geometry_losses(step: Geometry, drawn: Drawn, wanted: list[str]) -> dict[str, Tensor]:
    """Losses of one step of refinement, by name."""
    valid = drawn.depth.isfinite()
    truth = Geometry.points_of(torch.where(valid, drawn.depth, 1), drawn.intrinsics)
    log_depth = torch.where(valid, drawn.depth, 1).log()
    has_normal = drawn.normals.norm(dim=-1) > 0.5
    poses, true_poses = step.first_from_camera, drawn.first_from_camera
    side = min(drawn.depth.shape[-2:])
    losses_of = {
        "points": lambda: losses.points_loss(step.points, truth, valid, step.log_confidence),
        "depth": lambda: losses.depth_loss(step.log_depth, log_depth, valid),
        "scale": lambda: losses.scale_loss(step.log_depth, log_depth, valid),
        "normals": lambda: losses.normals_loss(step.normals, drawn.normals, has_normal),
        "rotation": lambda: losses.rotation_loss(poses, true_poses),
        "translation": lambda: losses.translation_loss(poses, true_poses, _size(drawn)),
        "consistency": lambda: losses.consistency_loss(
            step.points, step.log_depth, poses, step.intrinsics
        ),
        "field_of_view": lambda: losses.field_of_view_loss(step.log_focal, drawn.intrinsics, side),
    }
    return {name: losses_of[name]() for name in wanted}


def _early_loss(log_depth: Tensor, depth: Tensor) -> Tensor:
    """Metric log depth of patches against the mean of their pixels' logarithms, L1.

    Metric, because nothing else holds it: a scale that no loss sees drifts away without end.
    """
    valid = depth.isfinite()
    true = torch.where(valid, depth, 1).log()[..., None]
    mean, share = _patch_means(true, valid, log_depth.shape[-1])
    return losses.masked_mean((log_depth - mean.squeeze(-1)).abs(), share > 0)


def _scene_loss(places: Tensor, drawn: Drawn) -> Tensor:
    """Places of patches against the mean of their pixels' points, in the first camera's frame."""
    valid = drawn.depth.isfinite()
    own = Geometry.points_of(torch.where(valid, drawn.depth, 1), drawn.intrinsics)
    points = transform(drawn.first_from_camera, own)
    mean, share = _patch_means(points, valid, places.shape[2])
    # The mean of the few pixels of a patch that is open sky for the most part is none of it.
    return losses.scene_loss(places, mean, share > 0.5, _size(drawn))


def _patch_means(values: Tensor, valid: Tensor, patches: int) -> tuple[Tensor, Tensor]:
    """Means over the valid pixels of each patch, and the share of these.

    Args:
        values: `(B, V, H, W, n)`.
        valid: `(B, V, H, W)` bool.
        patches: N.

    Returns:
        `(B, V, N, n)` and `(B, V, N)`.
    """
    edge = round((valid.shape[2] * valid.shape[3] / patches) ** 0.5)
    grids = torch.where(valid[..., None], values, 0).flatten(0, 1).movedim(-1, 1)
    shares = F.avg_pool2d(valid.float().flatten(0, 1)[:, None], edge).flatten(2)
    means = F.avg_pool2d(grids, edge).flatten(2) / shares.clamp_min(1e-6)
    views = valid.shape[:2]
    return means.transpose(1, 2).unflatten(0, views), shares.squeeze(1).unflatten(0, views)


def _size(drawn: Drawn) -> Tensor:
    """Mean depth of each scene, `(B,)` metres."""
    valid = drawn.depth.isfinite()
    depth = torch.where(valid, drawn.depth, 0)
    return depth.sum((1, 2, 3)) / valid.sum((1, 2, 3)).clamp_min(1)


def _worded_parts(output: Output, drawn: Drawn, weights: LossWeights) -> dict[str, Tensor]:
    """What is said, and where things are that are spoken of."""
    words = drawn.inputs.words
    parts: dict[str, Tensor] = {}
    if words is not None and weights.language > 0:
        parts["language"] = losses.language_loss(output.logits, words, drawn.answers)
    if words is not None and weights.places > 0:
        known = drawn.places.isfinite().all(-1)
        parts["places"] = losses.places_loss(output.word_places, drawn.places, known)
    if output.pointed is not None and weights.pointing > 0:
        parts["pointing"] = losses.pointing_loss(output.pointed, drawn.bodies, drawn.ids)
    return parts


def _linear_parts(
    model: G2Vlm, readouts: Readouts, output: Output, drawn: Drawn, weights: LossWeights
) -> dict[str, Tensor]:
    """Losses of what is read out of tokens by linear maps."""
    parts: dict[str, Tensor] = {}
    if weights.patches > 0:
        each = [
            losses.shares_loss(readout(tokens), labels)
            for tokens in (output.semantic, output.patches)
            for readout, labels in ((readouts.color, drawn.colors), (readouts.kind, drawn.kinds))
        ]
        parts["patches"] = torch.stack(each).mean()
    if weights.masks > 0 and drawn.inputs.words is not None:
        last = meaning_tokens(output.text, drawn.inputs.words_known)
        logits = model.decoder.spoken_masks(last, output.geometry)
        parts["masks"] = losses.masks_loss(logits, drawn.masks, drawn.means)
    if weights.masked > 0 and drawn.inputs.hide is not None:
        said = readouts.picture(output.patches)
        parts["masked"] = losses.masked_loss(said, drawn.inputs.images, drawn.inputs.hide)
    if weights.contrastive > 0:
        parts["contrastive"] = _contrastive(model, output, drawn)
    return parts


def meaning_tokens(text: Tensor, known: Tensor | None) -> Tensor:
    """The last word of each text, which stands for its thing: `(B, Q, L, C) -> (B, Q, C)`."""
    if known is None:
        return text[:, :, -1]
    last = known.sum(-1).clamp_min(1) - 1
    return text.gather(2, last[..., None, None].expand(-1, -1, 1, text.shape[-1])).squeeze(2)


def _contrastive(model: G2Vlm, output: Output, drawn: Drawn) -> Tensor:
    """Pictures, clouds and captions of a scene belong together, in all three pairs.

    Scenes that were given points or depth would tell their own cloud; they stay out.
    """
    if int(drawn.plain.sum()) < 2:
        return output.embedding.sum() * 0
    image = output.embedding[drawn.plain]
    cloud = model.embed_clouds(drawn.clouds[drawn.plain])
    text = model.embed_texts(drawn.captions[drawn.plain], drawn.captions_known[drawn.plain])
    pairs = ((image, text), (image, cloud), (text, cloud))
    with torch.autocast(image.device.type, enabled=False):
        each = [losses.contrastive_loss(*pair, model.temperature) for pair in pairs]
    return torch.stack(each).mean()
