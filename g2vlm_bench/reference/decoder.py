"""One decoder for all that comes out: depth, points, pose, normals, confidence, and words.

All tokens pass the same blocks with the same weights, whatever their kind; only the last linear
maps differ. What it says of geometry is fed back to it K times.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from g2vlm_bench.reference.config import ModelConfig
from g2vlm_bench.reference.encoders import DETAIL, GeometricEncoder, pixel_rays
from g2vlm_bench.reference.trunk import Layer, Places, Tokens

# Width of the fine features that masks and sharp edges are made of.
FEATURES = 2 * DETAIL
# Log depth, log confidence, normal.
_DENSE = 5
# Log depths beyond e^-4 .. e^6 m are no depths, and their exponentials no numbers for half floats.
_LOG_RANGE = (-4.0, 6.0)


@dataclass(frozen=True, slots=True)
class Geometry:
    """What the decoder says of V views of B scenes. Frames: OpenCV; lengths in metres.

    Attributes:
        log_depth: `(B, V, H, W)` natural logarithm of z-depth.
        log_confidence: `(B, V, H, W)`, larger = surer.
        normals: `(B, V, H, W, 3)` unit normals in each view's camera frame, towards the camera.
        first_from_camera: `(B, V, 4, 4)` poses in the first camera's frame; the first is the unit.
        log_focal: `(B, V)` logarithm of the focal length over the picture's shorter side.
        intrinsics: `(B, V, 3, 3)` in pixels: those given, else those predicted.
        features: `(B, V, FEATURES, H/2, W/2)` what pixels look like to words.
    """

    log_depth: Tensor
    log_confidence: Tensor
    normals: Tensor
    first_from_camera: Tensor
    log_focal: Tensor
    intrinsics: Tensor
    features: Tensor

    def of_scene(self, index: int) -> Geometry:
        """That of one scene alone, as a batch of one."""
        parts = (getattr(self, each.name)[index : index + 1] for each in fields(self))
        return Geometry(*parts)

    @property
    def depth(self) -> Tensor:
        """`(B, V, H, W)` z-depth, metres."""
        return self.log_depth.exp()

    @property
    def points(self) -> Tensor:
        """`(B, V, H, W, 3)` in each view's own camera frame."""
        return self.points_of(self.depth, self.intrinsics)

    @staticmethod
    def points_of(depth: Tensor, intrinsics: Tensor) -> Tensor:
        """`(B, V, H, W)` depth and `(B, V, 3, 3)` intrinsics -> `(B, V, H, W, 3)` points."""
        return pixel_rays(intrinsics, *depth.shape[-2:]) * depth[..., None]

    @property
    def points_first(self) -> Tensor:
        """`(B, V, H, W, 3)` in the first camera's frame: one cloud of the scene."""
        return transform(self.first_from_camera, self.points)


def transform(pose: Tensor, points: Tensor) -> Tensor:
    """Move `(B, V, ..., 3)` points by `(B, V, 4, 4)` poses."""
    flat = points.flatten(2, -2)
    # Metres are no matter for half floats.
    with torch.autocast(points.device.type, enabled=False):
        moved = flat @ pose[..., :3, :3].transpose(-1, -2) + pose[..., None, :3, 3]
    return moved.view_as(points)


def rotation_from_six(numbers: Tensor) -> Tensor:
    """Two vectors to a rotation by Gram and Schmidt, `(..., 6) -> (..., 3, 3)`.

    Source: Zhou et al., "On the Continuity of Rotation Representations" (2019), equation 15.
    """
    first = F.normalize(numbers[..., :3], dim=-1)
    second = numbers[..., 3:] - (first * numbers[..., 3:]).sum(-1, keepdim=True) * first
    second = F.normalize(second, dim=-1)
    return torch.stack([first, second, torch.linalg.cross(first, second)], -1)


class UnifiedDecoder(nn.Module):
    """Blocks that all tokens share, and one linear readout for each kind of answer."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.width
        self.patch, self.merge = config.patch, config.merge
        self.layers = nn.ModuleList(
            Layer(
                width, config.heads, config.hidden,
                across=not i % 2, experts=False, depth_aware=config.depth_aware,
            )
            for i in range(config.decoder_layers)
        )  # fmt: skip
        self.norm = nn.LayerNorm(width)
        coarse = config.patch // 2
        self.dense = nn.Linear(width, (DETAIL + _DENSE) * coarse**2)
        self.mix = nn.Sequential(nn.Conv2d(2 * DETAIL, FEATURES, 3, padding=1), nn.GELU())
        self.sharpen = nn.Conv2d(FEATURES, 4 * _DENSE, 3, padding=1)
        self.mask = nn.Linear(width, FEATURES + 1)
        self.camera = nn.Sequential(nn.Linear(width, width), nn.GELU())
        self.camera_out = nn.Linear(width, 10)
        self.words = nn.Linear(width, config.vocabulary)
        self.place = nn.Linear(width, 3)
        self._start()

    def _start(self) -> None:
        """Start at a plain guess: two metres everywhere, cameras at rest, a lens of 60 degrees."""
        for values in self.sharpen.parameters():
            nn.init.zeros_(values)
        nn.init.normal_(self.dense.weight, std=0.01)
        nn.init.zeros_(self.dense.bias)
        nn.init.normal_(self.camera_out.weight, std=0.01)
        with torch.no_grad():
            self.camera_out.bias.copy_(torch.tensor([1.0, 0, 0, 0, 1, 0, 0, 0, 0, -0.15]))
        nn.init.zeros_(self.words.bias)

    def forward(self, tokens: Tokens, places: Places | None) -> Tokens:
        """Pass all tokens through the shared blocks."""
        for layer in self.layers:
            tokens = layer(tokens, places)
        return tokens

    def geometry(self, geometric: Tensor, detail: Tensor, intrinsics: Tensor | None) -> Geometry:
        """Read geometry out of tokens.

        Args:
            geometric: `(B, V, 1 + N, C)`.
            detail: `(B, V, DETAIL, H/2, W/2)` fine features of the pictures.
            intrinsics: `(B, V, 3, 3)` given ones, NaN where none are.
        """
        tokens = self.norm(geometric)
        views = detail.shape[:2]
        height, width = (2 * size for size in detail.shape[-2:])
        rows, columns = height // self.patch, width // self.patch
        coarse = self.dense(tokens[:, :, 1:]).flatten(0, 1).transpose(1, 2)
        coarse = F.pixel_shuffle(coarse.unflatten(-1, (rows, columns)), self.patch // 2)
        fine = self.mix(torch.cat([coarse[:, :DETAIL], detail.flatten(0, 1).to(coarse.dtype)], 1))
        base = F.interpolate(coarse[:, DETAIL:], scale_factor=2, mode="bilinear")
        dense = (base + F.pixel_shuffle(self.sharpen(fine), 2)).float().unflatten(0, views)
        away = dense.new_tensor([0.0, 0.0, -1.0])[:, None, None]
        camera = self.camera_out(self.camera(tokens[:, :, 0])).float()
        log_focal = camera[..., 9].clamp(-1.5, 2.0)
        return Geometry(
            log_depth=(dense[:, :, 0] + 0.7).clamp(*_LOG_RANGE),
            log_confidence=dense[:, :, 1],
            normals=F.normalize(dense[:, :, 2:5] + away, dim=2).movedim(2, -1),
            first_from_camera=self._poses(camera),
            log_focal=log_focal,
            intrinsics=_intrinsics(log_focal, height, width, intrinsics),
            features=fine.unflatten(0, views),
        )

    @staticmethod
    def _poses(camera: Tensor) -> Tensor:
        """Poses relative to the first view's, `(B, V, 4, 4)`."""
        rotation = rotation_from_six(camera[..., :6])
        pose = torch.eye(4, device=camera.device).expand(*camera.shape[:2], 4, 4).clone()
        pose[..., :3, :3] = rotation
        pose[..., :3, 3] = camera[..., 6:9]
        # The first camera is the frame; what its token says of its own pose is taken off all.
        inverse = rotation[:, :1].transpose(-1, -2)
        unit = torch.zeros_like(pose[:, :1])
        unit[..., :3, :3] = inverse
        unit[..., :3, 3] = -(inverse * pose[:, :1, None, :3, 3]).sum(-1)
        unit[..., 3, 3] = 1
        # Poses are small sums of products that half floats would blur by millimetres and more.
        with torch.autocast(camera.device.type, enabled=False):
            return unit @ pose

    def spoken(self, text: Tensor) -> Tensor:
        """Logits of the next word at each word, `(B, Q, L, C) -> (B, Q, L, vocabulary)`."""
        return self.words(self.norm(text))

    def spoken_places(self, tokens: Tensor) -> Tensor:
        """Where that is which each token stands for, first camera's frame, metres.

        One map for patches and words: a word learns a place by taking up what patches there say.

        Args:
            tokens: `(..., C)`.

        Returns:
            `(..., 3)`.
        """
        return self.place(self.norm(tokens)).float()

    def spoken_masks(self, text: Tensor, geometry: Geometry) -> Tensor:
        """Logits of the pixels that each text means, `(B, Q, V, H, W)`.

        Args:
            text: `(B, Q, C)` the token of each text that stands for its thing.
            geometry: Whose features the pixels are told by.
        """
        query = self.mask(self.norm(text))
        features = geometry.features.to(query.dtype)
        logits = torch.einsum("bqf,bvfhw->bqvhw", query[..., :-1], features) / FEATURES**0.5
        logits = logits + query[..., -1, None, None, None]
        size = geometry.log_depth.shape[-2:]
        flat = F.interpolate(logits.flatten(0, 1), size, mode="bilinear")
        return flat.unflatten(0, logits.shape[:2]).float()


def estimate_tokens(
    encoder: GeometricEncoder, geometry: Geometry, merge: int
) -> tuple[Tensor, Places]:
    """What is fed back of a geometry: tokens for the patches, and where patches are.

    Gradients do not flow through it: each refinement learns to mend what it is given.

    Args:
        encoder: Reads the estimate.
        geometry: What the decoder said.
        merge: Edge of the square of patches that a semantic token stands for.

    Returns:
        `(B, V, N, C)` tokens, and the places in the first camera's frame over the scene's scale.
    """
    patch = encoder.patch
    log_depth, normals, sure, points = (
        _cells(part.detach(), patch)
        for part in (
            geometry.log_depth[..., None],
            geometry.normals,
            geometry.log_confidence[..., None],
            geometry.points_first,
        )
    )
    where = points.mean(-2)
    scale = where.norm(dim=-1).mean((1, 2), keepdim=True)[..., None].clamp_min(1e-3)
    where = where / scale
    numbers = torch.cat([log_depth.mean(-2), log_depth.std(-2)], -1)
    tokens = encoder.read_estimate(numbers, normals.mean(-2), sure.mean(-2), where)
    rows = geometry.log_depth.shape[-2] // patch
    return tokens, Places(where, merge_patches(where, rows, merge))


def _cells(maps: Tensor, patch: int) -> Tensor:
    """`(B, V, H, W, n)` -> `(B, V, N, P * P, n)`."""
    cells = maps.unflatten(3, (-1, patch)).unflatten(2, (-1, patch))
    return cells.transpose(3, 4).flatten(4, 5).flatten(2, 3)


def merge_patches(values: Tensor, rows: int, merge: int) -> Tensor:
    """Average squares of patches, `(B, V, N, n) -> (B, V, M, n)`."""
    grid = values.unflatten(2, (rows, -1)).movedim(-1, 2).flatten(0, 1)
    pooled = F.avg_pool2d(grid, merge, ceil_mode=True)
    return pooled.flatten(2).transpose(1, 2).unflatten(0, values.shape[:2])


def _intrinsics(log_focal: Tensor, height: int, width: int, given: Tensor | None) -> Tensor:
    focal = log_focal.exp() * min(height, width)
    zero, one = torch.zeros_like(focal), torch.ones_like(focal)
    predicted = torch.stack(
        [focal, zero, one * width / 2, zero, focal, one * height / 2, zero, zero, one], -1
    ).unflatten(-1, (3, 3))
    if given is None:
        return predicted
    known = given.isfinite().all(-1, keepdim=True).all(-2, keepdim=True)
    return torch.where(known, given.float(), predicted)
