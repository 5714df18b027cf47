"""Depth that was measured at some pixels pulls the depth around them.

The network sees a sparse depth map as a token a patch, and is free to differ from it. What it still
differs by, as a factor, is alike for pixels that are near one another on one surface, so it is
carried from measured pixels to all: simple kriging (Gaussian process regression; Rasmussen and
Williams, "Gaussian Processes for Machine Learning" (2006), equation 2.23) of the residual of
the log depth, `log(measured / predicted)`.

The covariance of two pixels is that of a factor which a whole scene has in common, and that of one
which neighbours have: exponential (Matern 1/2) in how far they are apart in the picture, in log
depth and in normal. `scripts/measured_depth.py` shows on the validation split what each of the
numbers is worth; they were chosen there.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from g2vlm_bench.reference.decoder import Geometry

# Standard deviations of log depth: of a scene's common factor, of neighbours', and of what is
# measured, noise and the size of a pixel together.
COMMON, LOCAL, NOISE = 0.3, 0.1, 0.04
# Lengths: shares of the picture's shorter side, of log depth, and of unit normals.
ACROSS, DEEP, TURNED = 0.5, 0.3, 2.0
# Of more measured pixels every n-th: a scene costs their square in memory, their cube in time.
_MOST = 1024
# Pixels that are carried to at once.
_AT_ONCE = 4096


def carry(geometry: Geometry, measured_m: Tensor) -> Geometry:
    """Bring depth to what was measured of it, and positions of cameras with the common factor.

    Each scene by itself. A view without a measured pixel has the common factor only. Confidences
    and normals stay.

    Args:
        geometry: What the network says of V views of B scenes.
        measured_m: `(B, V, H, W)` depth in metres, NaN = unknown.
    """
    corrected, poses = geometry.log_depth.clone(), geometry.first_from_camera.clone()
    for scene, known in enumerate(measured_m.isfinite() & (measured_m > 0)):
        places = known.nonzero()
        places = places[:: max(1, -(-len(places) // _MOST))]
        if not len(places):
            continue
        at = tuple(places.T)
        log_depth = geometry.log_depth[scene].double()
        residual = measured_m[scene][at].double().log() - log_depth[at]
        if not residual.isfinite().all():
            continue  # `Inference.check` says what is wrong with such a scene
        local, common = _krige(_features(log_depth, geometry.normals[scene]), at, residual)
        corrected[scene] += (local + common).to(corrected.dtype)
        poses[scene, :, :3, 3] *= common.exp().to(poses.dtype)
    return replace(geometry, log_depth=corrected, first_from_camera=poses)


def _features(log_depth: Tensor, normals: Tensor) -> Tensor:
    """`(V, H, W, 6)` where a pixel is, such that the covariance falls by e in one unit."""
    height, width = log_depth.shape[-2:]
    ticks = (torch.arange(n, device=log_depth.device) / min(height, width) for n in (height, width))
    down, right = torch.meshgrid(*(tick.double() for tick in ticks), indexing="ij")
    flat = torch.stack([down, right], -1).expand(*log_depth.shape, 2) / ACROSS
    return torch.cat([flat, log_depth[..., None] / DEEP, normals.double() / TURNED], -1)


def _krige(features: Tensor, at: tuple[Tensor, ...], residual: Tensor) -> tuple[Tensor, Tensor]:
    """The posterior mean of neighbours' factors, `(V, H, W)`, and of the common one, a number."""
    view, known = at[0], features[at]
    covariance = COMMON**2 + _local(known, known) * (view[:, None] == view)
    covariance += NOISE**2 * torch.eye(len(known), dtype=covariance.dtype, device=known.device)
    weights = torch.cholesky_solve(residual[:, None], torch.linalg.cholesky(covariance))[:, 0]
    local = [
        torch.cat(
            [
                _local(pixels, known[view == number]) @ weights[view == number]
                for pixels in each.flatten(0, 1).split(_AT_ONCE)
            ]
        ).view(each.shape[:2])
        for number, each in enumerate(features)
    ]
    return torch.stack(local), COMMON**2 * weights.sum()


def _local(some: Tensor, others: Tensor) -> Tensor:
    return LOCAL**2 * torch.cdist(some, others).neg().exp()
