"""What the model is trained to make small; each loss is its formula and nothing else.

Shapes: B scenes, V views, H x W pixels. `valid` masks are True where the truth is known. Every loss
is a mean over what is valid, and 0, with a gradient of 0, where nothing is.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from g2vlm_bench.reference.decoder import transform

# The nearest tenth of a scene's mean depth weighs alike, so that a few close pixels do not rule.
_NEAREST = 0.1


def masked_mean(values: Tensor, valid: Tensor) -> Tensor:
    """Mean over valid entries; 0 where there is none."""
    return torch.where(valid, values, 0).sum() / valid.sum().clamp_min(1)


def best_scale(predicted: Tensor, true: Tensor, weight: Tensor) -> Tensor:
    """The scale s that makes `sum w |s p - g|_1` least, exactly, per row.

    A weighted median of the ratios g / p with weights w |p|. No gradient flows through it.

    Args:
        predicted: `(B, n)`.
        true: `(B, n)`.
        weight: `(B, n)`, 0 where a value does not count.

    Returns:
        `(B,)`, 1 where nothing counts.

    Source: the optimum of G2VLM's s* (arXiv 2511.21688, L_points), there by MoGe's solver.
    """
    with torch.no_grad():
        usable = (predicted.abs() > 1e-6) & (weight > 0)
        ratio = torch.where(usable, true / torch.where(usable, predicted, 1), 0)
        mass = torch.where(usable, weight * predicted.abs(), 0)
        ratio, order = ratio.sort(-1)
        below = mass.gather(-1, order).cumsum(-1)
        middle = (below >= below[:, -1:] / 2).to(torch.int8).argmax(-1, keepdim=True)
        scale = ratio.gather(-1, middle).squeeze(-1)
        return torch.where(usable.any(-1) & (scale > 0), scale, 1.0)


def points_loss(
    predicted: Tensor, true: Tensor, valid: Tensor, log_confidence: Tensor | None = None
) -> Tensor:
    """Robust scale-invariant error of points: `mean 1/z |s p - g|_1 / 3`, one s a scene.

    Over three, because the error of a point is the mean of its coordinates', not their sum.

    With confidence c, `c * error - 0.2 ln c` (a fifth of the negative log-likelihood of a Laplace
    error whose spread is 0.2 / c, up to a constant), which teaches where to be unsure.

    Args:
        predicted: `(B, V, H, W, 3)`, camera frames.
        true: Likewise, metres.
        valid: `(B, V, H, W)`.
        log_confidence: `(B, V, H, W)`.

    Source: G2VLM (arXiv 2511.21688) L_points; confidence as in Kendall and Gal (2017), DUSt3R.
    """
    depth = torch.where(valid, true[..., 2], 0)
    mean = depth.sum((1, 2, 3)) / valid.sum((1, 2, 3)).clamp_min(1)
    nearest = _NEAREST * mean[:, None, None, None]
    weight = torch.where(valid, 1 / torch.maximum(depth, nearest).clamp_min(1e-3), 0)
    safe = torch.where(valid[..., None], true, 0)
    scale = best_scale(
        predicted.detach().flatten(1), safe.flatten(1),
        weight[..., None].expand_as(predicted).flatten(1),
    )  # fmt: skip
    error = weight * (scale[:, None, None, None, None] * predicted - safe).abs().mean(-1)
    if log_confidence is not None:
        error = log_confidence.exp() * error - 0.2 * log_confidence
    return masked_mean(error, valid)


def depth_loss(log_depth: Tensor, true_log_depth: Tensor, valid: Tensor) -> Tensor:
    """Scale-invariant log depth: `mean |e - median e|` per scene, e the error of the logarithm.

    Source: Eigen et al. (2014), equation 1, with the absolute value for the square and the median
    for the mean, which a few wrong pixels cannot move.
    """
    error = torch.where(valid, log_depth - true_log_depth, torch.nan)
    middle = error.detach().flatten(1).nanmedian(-1).values.nan_to_num()
    return masked_mean((error - middle[:, None, None, None]).abs().nan_to_num(), valid)


def scale_loss(log_depth: Tensor, true_log_depth: Tensor, valid: Tensor) -> Tensor:
    """Error of the metric scale: `|mean e|`, mean over scenes, e the error of the log depth.

    The mean and not the median, whose gradient would reach a single pixel.
    """
    error = torch.where(valid, log_depth - true_log_depth, 0).flatten(1)
    count = valid.flatten(1).sum(-1)
    return masked_mean((error.sum(-1) / count.clamp_min(1)).abs(), count > 0)


def normals_loss(predicted: Tensor, true: Tensor, valid: Tensor) -> Tensor:
    """Mean angle between unit normals, radians. Source: G2VLM L_normal.

    Args:
        predicted: `(B, V, H, W, 3)` unit vectors.
        true: Likewise.
        valid: `(B, V, H, W)`.
    """
    cross = torch.linalg.cross(predicted, true).norm(dim=-1)
    # atan2 has a finite gradient where the arc cosine has none; the tiny number keeps the norm's.
    angle = torch.atan2(cross + 1e-6, (predicted * true).sum(-1))
    return masked_mean(angle, valid)


def rotation_loss(predicted: Tensor, true: Tensor) -> Tensor:
    """Mean geodesic angle of relative rotations over all ordered pairs of views, radians.

    Args:
        predicted: `(B, V, 4, 4)` poses.
        true: Likewise.

    Source: G2VLM L_rot, `arccos((tr(R^T R') - 1) / 2)`; here by atan2 for small angles.
    """
    first, second = _relative(predicted), _relative(true)
    between = first[..., :3, :3].transpose(-1, -2) @ second[..., :3, :3]
    trace = between.diagonal(dim1=-2, dim2=-1).sum(-1)
    skew = torch.stack(
        [
            between[..., 2, 1] - between[..., 1, 2],
            between[..., 0, 2] - between[..., 2, 0],
            between[..., 1, 0] - between[..., 0, 1],
        ],
        -1,
    )
    angle = torch.atan2((skew.square().sum(-1) + 1e-12).sqrt(), trace - 1)
    return masked_mean(angle, _pairs(predicted))


def translation_loss(predicted: Tensor, true: Tensor, scale: Tensor, delta: float = 0.1) -> Tensor:
    """Mean Huber loss of relative translations over all ordered pairs, in units of the scene.

    Args:
        predicted: `(B, V, 4, 4)` poses, metres.
        true: Likewise.
        scale: `(B,)` what both are divided by, such as the mean true depth.
        delta: Where the square goes over into the absolute value, in those units.

    Source: G2VLM L_trans, `Huber(s t' - t)` with the points' scale; the world is metric, so s is 1.
    """
    difference = (_relative(predicted) - _relative(true))[..., :3, 3]
    error = difference / scale.clamp_min(1e-3)[:, None, None, None]
    loss = F.huber_loss(error, torch.zeros_like(error), reduction="none", delta=delta).sum(-1)
    return masked_mean(loss, _pairs(predicted))


def consistency_loss(
    points: Tensor, log_depth: Tensor, first_from_camera: Tensor, intrinsics: Tensor
) -> Tensor:
    """Points of one view, seen from another, lie where that one says: no truth is needed.

    Each view's points are moved into the next view and projected there; their log depth is compared
    with what that view predicts at the pixel, up to 10 %, beyond which something stands between.

    Args:
        points: `(B, V, H, W, 3)` in each view's camera frame.
        log_depth: `(B, V, H, W)`.
        first_from_camera: `(B, V, 4, 4)`.
        intrinsics: `(B, V, 3, 3)` pixels.

    Source: cross-view geometric consistency as in Bian et al. (2019), equation 3, in log depth.
    """
    if points.shape[1] < 2:
        return points.sum() * 0
    height, width = log_depth.shape[-2:]
    there = torch.linalg.inv(first_from_camera.roll(-1, 1)) @ first_from_camera
    moved = transform(there, points)
    depth = moved[..., 2]
    image = moved @ intrinsics.roll(-1, 1)[:, :, None].transpose(-1, -2)
    pixel = image[..., :2] / image[..., 2:].clamp_min(1e-3)
    size = pixel.new_tensor([width, height])
    grid = 2 * pixel / size - 1
    inside = (grid.abs() < 1).all(-1) & (depth > 1e-2)
    seen = F.grid_sample(
        log_depth.roll(-1, 1).flatten(0, 1)[:, None], grid.flatten(0, 1).clamp(-2, 2),
        mode="bilinear", padding_mode="border", align_corners=False,
    )  # fmt: skip
    error = (seen.view_as(depth) - depth.clamp_min(1e-2).log()).abs()
    return masked_mean(error, inside & (error.detach() < 0.1))


def field_of_view_loss(log_focal: Tensor, intrinsics: Tensor, shorter_side: int) -> Tensor:
    """Mean absolute error of the logarithm of the focal length over the shorter side.

    Args:
        log_focal: `(B, V)`.
        intrinsics: `(B, V, 3, 3)` pixels, NaN where unknown.
        shorter_side: Of the picture, pixels.
    """
    true = (intrinsics[..., 0, 0] / shorter_side).log()
    known = true.isfinite()
    return masked_mean((log_focal - torch.where(known, true, 0)).abs(), known)


def contrastive_loss(first: Tensor, second: Tensor, log_temperature: Tensor) -> Tensor:
    """Symmetric InfoNCE of matching rows of unit vectors.

    Args:
        first: `(B, D)`.
        second: `(B, D)`; row i belongs to row i.
        log_temperature: Logarithm of what similarities are multiplied by, kept below 100.

    Source: Radford et al., CLIP (2021), figure 3.
    """
    logits = log_temperature.exp().clamp(max=100) * first @ second.T
    match = torch.arange(len(first), device=first.device)
    return (F.cross_entropy(logits, match) + F.cross_entropy(logits.T, match)) / 2


def language_loss(logits: Tensor, words: Tensor, counts: Tensor) -> Tensor:
    """Cross-entropy of each counted word given those before it, mean over texts.

    Args:
        logits: `(B, Q, L, vocabulary)` of the word that follows each place.
        words: `(B, Q, L)`.
        counts: `(B, Q, L)` bool, True for words of an answer.
    """
    told = counts[:, :, 1:]
    # Most words are no answers, and their share of the vocabulary is never asked for.
    error = F.cross_entropy(
        logits[:, :, :-1][told].float(), words[:, :, 1:][told], reduction="none"
    )
    spread = logits.new_zeros(told.shape, dtype=error.dtype).masked_scatter(told, error)
    each = spread.sum(-1) / told.sum(-1).clamp_min(1)
    return masked_mean(each, told.any(-1))


def places_loss(predicted: Tensor, true: Tensor, known: Tensor) -> Tensor:
    """Smooth L1 of where the thing is that a word speaks of, metres, capped in its slope at 1.

    Args:
        predicted: `(B, Q, L, 3)`.
        true: Likewise; NaN where unknown.
        known: `(B, Q, L)` bool.
    """
    safe = torch.where(known[..., None], true, 0)
    error = F.smooth_l1_loss(predicted, safe, reduction="none").sum(-1)
    return masked_mean(error, known)


def scene_loss(
    predicted: Tensor, true: Tensor, known: Tensor, scale: Tensor, delta: float = 0.1
) -> Tensor:
    """Mean of where patches are off, in units of the scene: the Huber loss over its delta.

    So its slope is 1 beyond the delta, whatever that is; that of `translation_loss` is delta.

    Args:
        predicted: `(B, V, N, 3)` metres, first camera's frame.
        true: Likewise.
        known: `(B, V, N)` bool.
        scale: `(B,)` what both are divided by, such as the mean true depth.
        delta: Where the square goes over into the absolute value, in those units.
    """
    error = torch.where(known[..., None], predicted - true, 0)
    error = error / scale.clamp_min(1e-3)[:, None, None, None]
    zeros = torch.zeros_like(error)
    loss = F.huber_loss(error, zeros, reduction="none", delta=delta).sum(-1) / delta
    return masked_mean(loss, known)


def pointing_loss(logits: Tensor, bodies: Tensor, ids: Tensor) -> Tensor:
    """Cross-entropy between where words point and the shares of their thing that patches show.

    In a view that does not show the thing, the word is to point at nothing. Mean over words that
    speak of a thing, and views.

    Args:
        logits: `(B, Q, L, V, 1 + N)`, first of nothing; patches row by row.
        bodies: `(B, Q, L)` id of the thing that a word speaks of, 0 = none.
        ids: `(B, V, H, W)` what each pixel shows.
    """
    scene, text, word = bodies.nonzero(as_tuple=True)
    if not len(scene):
        return logits.sum() * 0
    shares = _shares(ids, logits.shape[-1] - 1, int(max(ids.max(), bodies.max())) + 1)
    shown = shares[scene, :, :, bodies[scene, text, word]]
    all_of_it = shown.sum(-1, keepdim=True)
    target = torch.cat([(all_of_it == 0).float(), shown / all_of_it.clamp_min(1e-6)], -1)
    return -(target * logits[scene, text, word].float().log_softmax(-1)).sum(-1).mean()


def masks_loss(logits: Tensor, true: Tensor, known: Tensor) -> Tensor:
    """Cross-entropy of pixels plus Dice, mean over texts that mean something visible.

    Args:
        logits: `(B, Q, V, H, W)`.
        true: Likewise, bool.
        known: `(B, Q)` bool.

    Source: Cheng et al., MaskFormer (2021), section 3.3, with weights 1 and 1.
    """
    target = true.to(logits.dtype)
    pixels = F.binary_cross_entropy_with_logits(logits, target, reduction="none").mean((2, 3, 4))
    chance = logits.sigmoid()
    overlap = 2 * (chance * target).sum((2, 3, 4)) + 1
    dice = 1 - overlap / (chance.sum((2, 3, 4)) + target.sum((2, 3, 4)) + 1)
    return masked_mean(pixels + dice, known)


def shares_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy between what a token says that it shows and the shares of what it shows.

    Args:
        logits: `(B, V, N, names)`, row by row; squares of pixels in that grid.
        labels: `(B, V, H, W)` number of what each pixel shows.
    """
    shares = _shares(labels, logits.shape[2], logits.shape[-1])
    return -(shares * logits.float().log_softmax(-1)).sum(-1).mean()


def masked_loss(predicted: Tensor, images: Tensor, hidden: Tensor) -> Tensor:
    """Mean square error of the pixels of hidden patches, each of which is told as a whole.

    Args:
        predicted: `(B, V, N, 3 P P)`.
        images: `(B, V, 3, H, W)`.
        hidden: `(B, V, N)` bool.

    Source: He et al., masked autoencoders (2022), section 3, without their norm of each patch.
    """
    edge = math.isqrt(predicted.shape[-1] // 3)
    cells = F.pixel_unshuffle(images.flatten(0, 1), edge).flatten(2).transpose(1, 2)
    error = (predicted.float() - cells.view_as(predicted)).square().mean(-1)
    return masked_mean(error, hidden)


def _shares(labels: Tensor, patches: int, names: int) -> Tensor:
    """`(B, V, H, W)` labels -> `(B, V, patches, names)` shares of each square's pixels."""
    scenes, views, height, width = labels.shape
    edge = math.isqrt(height * width // patches)
    cells = labels.reshape(scenes, views, height // edge, edge, width // edge, edge)
    cells = cells.transpose(3, 4).reshape(scenes * views * patches, edge * edge).long()
    first = names * torch.arange(len(cells), device=labels.device)[:, None]
    counts = torch.bincount((first + cells).flatten(), minlength=len(cells) * names)
    return counts.view(scenes, views, patches, names) / edge**2


def _relative(poses: Tensor) -> Tensor:
    """`(B, V, V, 4, 4)`: view j in the frame of view i."""
    rotation = poses[..., :3, :3]
    inverse = torch.zeros_like(poses)
    inverse[..., :3, :3] = rotation.transpose(-1, -2)
    inverse[..., :3, 3] = -(rotation.transpose(-1, -2) @ poses[..., :3, 3:]).squeeze(-1)
    inverse[..., 3, 3] = 1
    return inverse[:, :, None] @ poses[:, None]


def _pairs(poses: Tensor) -> Tensor:
    """`(B, V, V)`: all pairs but a view with itself."""
    views = poses.shape[1]
    others = ~torch.eye(views, dtype=torch.bool, device=poses.device)
    return others.expand(len(poses), -1, -1)
