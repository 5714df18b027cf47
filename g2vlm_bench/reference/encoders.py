"""What the model reads: pictures, optional depth maps and point clouds, and words.

Shapes: B scenes, V views, H x W pixels, P the patch's edge, N = H W / P^2 patches, C the width.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from g2vlm_bench.errors import BenchError
from g2vlm_bench.mended_torchvision import import_torchvision
from g2vlm_bench.reference.attention import Block, FeedForward
from g2vlm_bench.reference.config import ModelConfig

DETAIL = 24
_FREQUENCIES = 6
# Of public vision transformers, those that take pictures of any size.
_VITS = ("dinov2", "dinov2_with_registers")


class Seen(NamedTuple):
    """What the visual encoder makes of views.

    Attributes:
        patches: `(B, V, N, C)` tokens, row by row.
        detail: `(B, V, DETAIL, H/2, W/2)` fine features, for sharp edges of dense outputs.
    """

    patches: Tensor
    detail: Tensor


def waves(values: Tensor) -> Tensor:
    """Sines and cosines of numbers of the order of 1, `(..., n) -> (..., 12 n)`."""
    octaves = math.pi / 2 * 2.0 ** torch.arange(_FREQUENCIES, device=values.device)
    angles = values.float()[..., None] * octaves
    return torch.cat([angles.sin(), angles.cos()], -1).flatten(-2)


def pixel_rays(intrinsics: Tensor, height: int, width: int, step: int = 1) -> Tensor:
    """Directions with z = 1 through the middles of squares of `step` pixels.

    Args:
        intrinsics: `(..., 3, 3)` in pixels, rows [fx s cx], [0 fy cy], [0 0 1].
        height: H.
        width: W.
        step: Edge of a square.

    Returns:
        `(..., H / step, W / step, 3)`, camera frame.
    """
    y = torch.arange(step / 2, height, step, device=intrinsics.device, dtype=intrinsics.dtype)
    x = torch.arange(step / 2, width, step, device=intrinsics.device, dtype=intrinsics.dtype)
    focal_x, skew, middle_x = intrinsics[..., 0, :, None, None].unbind(-3)
    _, focal_y, middle_y = intrinsics[..., 1, :, None, None].unbind(-3)
    down = (y[:, None] - middle_y) / focal_y
    right = (x - middle_x - skew * down) / focal_x
    return torch.stack([right, down.expand_as(right), torch.ones_like(right)], -1)


class ConvolutionalStem(nn.Module):
    """Convolutions of stride 2 from pixels to patches; they bind colours and edges early."""

    def __init__(self, width: int, patch: int) -> None:
        super().__init__()
        steps = int(math.log2(patch))
        widths = [DETAIL, *(min(width, DETAIL * 3 * 2**i) for i in range(steps - 1))]
        self.first = nn.Sequential(nn.Conv2d(3, DETAIL, 3, 2, 1), nn.GELU())
        parts: list[nn.Module] = []
        for before, after in pairwise(widths):
            parts += [nn.Conv2d(before, after, 3, 2, 1), nn.GroupNorm(1, after), nn.GELU()]
        self.rest = nn.Sequential(*parts, nn.Conv2d(widths[-1], width, 1))

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """`(M, 3, H, W)` -> `(M, C, H/P, W/P)` and `(M, DETAIL, H/2, W/2)`."""
        detail = self.first(pictures)
        return self.rest(detail), detail


class PublicVit(nn.Module):
    """A public vision transformer of the DINOv2 family as visual encoder, by transformers.

    Pictures are resized so that a patch of its own covers one of ours.

    Args:
        width: C.
        patch: P.
        source: Folder that `Dinov2Model.save_pretrained` wrote, or a name on the hub.

    Raises:
        BenchError: The source is none, is of another family, or lacks weights.
    """

    def __init__(self, width: int, patch: int, source: str) -> None:
        super().__init__()
        self.vit: Any = _load_vit(source)
        self.patch = patch
        self.project = nn.Linear(self.vit.config.hidden_size, width)

    def forward(self, pictures: Tensor) -> Tensor:
        """`(M, 3, H, W)` with ImageNet's mean and spread -> `(M, C, H/P, W/P)`."""
        rows, columns = (size // self.patch for size in pictures.shape[-2:])
        own = self.vit.config.patch_size
        resized = F.interpolate(pictures, (rows * own, columns * own), mode="bicubic")
        tokens = self.vit(resized).last_hidden_state[:, -rows * columns :]
        return self.project(tokens).transpose(1, 2).unflatten(-1, (rows, columns))


def _load_vit(source: str) -> Any:
    import_torchvision()  # which transformers imports, and which may be built for another torch
    from transformers import AutoConfig, AutoModel

    subject, fix = f"public visual encoder '{source}'", "Dinov2Model.save_pretrained writes one."
    try:
        kind = AutoConfig.from_pretrained(source, trust_remote_code=False).model_type
        if kind not in _VITS:
            raise BenchError(subject, expected=" or ".join(_VITS), got=f"'{kind}'", fix=fix)
        vit, report = AutoModel.from_pretrained(
            source, trust_remote_code=False, use_safetensors=True, output_loading_info=True
        )
    except BenchError:
        raise
    # What the library raises on what is no model is not documented and differs by version.
    except Exception as error:
        got = (str(error).strip().splitlines() or [type(error).__name__])[0]
        expected = "a folder or a name on the hub that transformers can load"
        raise BenchError(subject, expected=expected, got=got, fix=fix) from error
    # What is missing is filled with random numbers; the mask alone is of no use here.
    missing = sorted(name for name in report["missing_keys"] if "mask_token" not in name)
    if missing:
        got = f"none named {missing[0]}"
        raise BenchError(subject, expected="every weight", got=got, fix=fix)
    return vit


class VisualEncoder(nn.Module):
    """A patch transformer over each view: convolutional stem, rays, blocks within the view.

    Every patch is told the direction it looks in, where intrinsics are given, and its place in the
    picture always; so a picture's size and lens are inputs and not assumptions.

    Args:
        config: Sizes.
        public: Source of a `PublicVit` that takes the stem's place but for the fine features.
    """

    def __init__(self, config: ModelConfig, public: str | None = None) -> None:
        super().__init__()
        width = config.width
        self.patch = config.patch
        self.stem = ConvolutionalStem(width, config.patch)
        self.public = None
        if public is not None:
            self.public = PublicVit(width, config.patch, public)
            self.stem.rest = nn.Sequential()  # of the stem, fine features alone are of use then
        self.place = nn.Linear(24, width)
        self.ray = nn.Linear(24, width)
        self.no_ray = nn.Parameter(torch.zeros(width))
        self.hidden = nn.Parameter(torch.zeros(width))
        self.blocks = nn.ModuleList(
            Block(width, config.heads, config.hidden) for _ in range(config.visual_layers)
        )

    def forward(
        self, images: Tensor, intrinsics: Tensor | None = None, hide: Tensor | None = None
    ) -> Seen:
        """Encode views.

        Args:
            images: `(B, V, 3, H, W)` in [0, 1]; P divides H and W.
            intrinsics: `(B, V, 3, 3)` in pixels; NaN for a view whose camera is not given.
            hide: `(B, V, N)` bool, patches whose content is hidden (masked modelling): their pixels
                before anything looks at them, since convolutions would tell their neighbours.

        Raises:
            ValueError: P does not divide the pictures' size.
        """
        height, width = images.shape[-2:]
        if height % self.patch or width % self.patch:
            raise ValueError(
                f"expected pictures whose sides {self.patch} divides, got {height} x {width}"
            )
        views = images.shape[:2]
        mean = images.new_tensor([0.485, 0.456, 0.406])[:, None, None]
        spread = images.new_tensor([0.229, 0.224, 0.225])[:, None, None]
        pictures = ((images - mean) / spread).flatten(0, 1)
        if hide is not None:
            grid_of = hide.view(-1, 1, height // self.patch, width // self.patch).float()
            pictures = pictures.masked_fill(F.interpolate(grid_of, scale_factor=self.patch) > 0, 0)
        grid, detail = self.stem(pictures)
        if self.public is not None:
            grid = self.public(pictures)
        tokens = grid.flatten(2).transpose(1, 2).unflatten(0, views)
        if hide is not None:
            tokens = torch.where(hide[..., None], self.hidden.to(tokens.dtype), tokens)
        tokens = tokens + self._places(images, intrinsics)
        tokens = tokens.flatten(0, 1)
        for block in self.blocks:
            tokens = block(tokens)
        return Seen(tokens.unflatten(0, views), detail.unflatten(0, views))

    def _places(self, images: Tensor, intrinsics: Tensor | None) -> Tensor:
        height, width = images.shape[-2:]
        side = min(height, width)
        plain = images.new_tensor([[side, 0, width / 2], [0, side, height / 2], [0, 0, 1]])
        place = pixel_rays(plain, height, width, self.patch)[..., :2].flatten(0, 1)
        tokens = self.place(waves(place).to(images.dtype))
        if intrinsics is None:
            return tokens + self.no_ray
        given = intrinsics.isfinite().all(-1).all(-1)[..., None, None]
        safe = torch.where(given, intrinsics, plain)
        rays = pixel_rays(safe, height, width, self.patch)[..., :2].flatten(2, 3)
        return tokens + torch.where(given, self.ray(waves(rays).to(images.dtype)), self.no_ray)


class GeometricEncoder(nn.Module):
    """Reads optional depth maps, sparse or noisy, and point clouds; also the model's own estimate.

    Depth enters patch by patch as a few numbers of its logarithm, so that a handful of known pixels
    is enough. A cloud is read into a fixed number of tokens by queries that look at all its points,
    whatever their order and number.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.patch = config.patch
        width = config.width
        self.depth = nn.Sequential(nn.Linear(6, width), nn.GELU(), nn.Linear(width, width))
        self.estimate = nn.Sequential(nn.Linear(8 + 36, width), nn.GELU(), nn.Linear(width, width))
        self.point = nn.Sequential(nn.Linear(36, width), nn.GELU(), nn.Linear(width, width))
        self.queries = nn.Parameter(0.02 * torch.randn(config.cloud_tokens, width))
        self.read = nn.MultiheadAttention(width, config.heads, batch_first=True)
        self.finish = FeedForward(width, config.hidden)
        self.norm = nn.LayerNorm(width)
        # New inputs start without a say, so that what works without them still does.
        for values in self.estimate[-1].parameters():
            nn.init.zeros_(values)

    def read_depth(self, depth: Tensor) -> Tensor:
        """Tokens to add to the patches of views.

        Args:
            depth: `(B, V, H, W)` metres, NaN = unknown.

        Returns:
            `(B, V, N, C)`, 0 for a patch in which nothing is known.
        """
        patch = self.patch
        cells = depth.unflatten(-2, (-1, patch)).unflatten(-1, (-1, patch))
        cells = cells.transpose(-3, -2).flatten(-2).flatten(-3, -2)
        known = cells.isfinite() & (cells > 0)
        log = torch.where(known, cells, 1.0).log()
        count = known.sum(-1)
        mean = (log * known).sum(-1) / count.clamp_min(1)
        spread = ((log - mean[..., None]).square() * known).sum(-1) / count.clamp_min(1)
        lowest = torch.where(known, log, torch.inf).amin(-1)
        highest = torch.where(known, log, -torch.inf).amax(-1)
        some = count > 0
        numbers = torch.stack(
            [
                some.to(log.dtype), mean, spread.sqrt(),
                torch.where(some, lowest, 0), torch.where(some, highest, 0),
                count / cells.shape[-1],
            ],
            -1,
        )  # fmt: skip
        return self.depth(numbers.to(self.queries.dtype)) * some[..., None]

    def read_estimate(
        self, log_depth: Tensor, normals: Tensor, sure: Tensor, points: Tensor
    ) -> Tensor:
        """Tokens that feed the current geometry back, one a patch.

        Args:
            log_depth: `(B, V, N, 2)` mean and spread of the log depth over the patch.
            normals: `(B, V, N, 3)`.
            sure: `(B, V, N, 1)` log confidence.
            points: `(B, V, N, 3)` in the first camera's frame, in units of the scene.

        Returns:
            `(B, V, N, C)`.
        """
        position = torch.tanh(points / 2)
        numbers = torch.cat([log_depth, normals, sure, position[..., :2], waves(position)], -1)
        return self.estimate(numbers.to(self.queries.dtype))

    def read_cloud(self, points: Tensor, known: Tensor) -> Tensor:
        """Tokens of point clouds, whatever the order of the points.

        Args:
            points: `(B, M, 3)` metres, first camera's frame.
            known: `(B, M)` bool, False for padding.

        Returns:
            `(B, cloud_tokens, C)`; 0 for a scene without a point.
        """
        some = known.any(-1)
        # Logarithmic beyond a few metres, so that near things keep their detail.
        length = points.norm(dim=-1, keepdim=True).clamp_min(1e-6)
        place = points / length * torch.log1p(length) / 2
        tokens = self.point(waves(place).to(self.queries.dtype))
        queries = self.queries.expand(len(points), -1, -1)
        # A scene without points may look at its padding; its tokens are emptied after.
        ignored = ~(known | ~some[:, None])
        read, _ = self.read(queries, tokens, tokens, key_padding_mask=ignored, need_weights=False)
        read = queries + read
        return (read + self.finish(self.norm(read))) * some[:, None, None]


class LanguageEncoder(nn.Module):
    """Words into tokens: an embedding, places in the text, and a few causal blocks.

    Causal, so that one pass encodes a question and the words that answer it.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.words = nn.Embedding(config.vocabulary, config.width)
        self.places = nn.Parameter(0.02 * torch.randn(config.longest_text, config.width))
        nn.init.normal_(self.words.weight, std=0.02)
        self.blocks = nn.ModuleList(
            Block(config.width, config.heads, config.hidden) for _ in range(config.language_layers)
        )

    def forward(self, words: Tensor, places: Tensor | None = None) -> Tensor:
        """`(M, L)` word numbers -> `(M, L, C)`.

        Args:
            words: The numbers.
            places: `(M, L)` where each stands, rising; 0, 1, ... where None.

        Raises:
            ValueError: The text is longer than the model was made for.
        """
        if words.shape[-1] > len(self.places):
            raise ValueError(f"expected at most {len(self.places)} words, got {words.shape[-1]}")
        stands = self.places[: words.shape[-1]] if places is None else self.places[places]
        tokens = self.words(words) + stands
        causal = torch.ones(words.shape[-1:] * 2, dtype=torch.bool, device=words.device).tril()
        for block in self.blocks:
            tokens = block(tokens, causal)
        return tokens
