"""The reference G2VLM as a whole: encoders, trunk, decoder, refinement, embeddings.

Shapes: B scenes, V views, Q texts of a scene, L words, N patches, C the width, D the embedding's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from g2vlm_bench.reference.config import ModelConfig
from g2vlm_bench.reference.decoder import (
    Geometry,
    UnifiedDecoder,
    estimate_tokens,
    merge_patches,
)
from g2vlm_bench.reference.encoders import (
    GeometricEncoder,
    LanguageEncoder,
    Seen,
    VisualEncoder,
    pixel_rays,
)
from g2vlm_bench.reference.pointing import Pointing
from g2vlm_bench.reference.trunk import Places, Tokens, Trunk


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What the model is given for B scenes.

    Attributes:
        images: `(B, V, 3, H, W)` in [0, 1].
        intrinsics: `(B, V, 3, 3)` in pixels; NaN for a view whose camera is not given.
        depth_prior: `(B, V, H, W)` metres, NaN = unknown.
        cloud: `(B, S, 3)` points in the first camera's frame, NaN = padding.
        words: `(B, Q, L)` word numbers.
        words_known: `(B, Q, L)` bool, False for padding, which stands behind the words.
        word_places: `(B, Q, L)` where words stand in their texts; one behind the other where None.
        hide: `(B, V, N)` bool, patches whose content is hidden.
    """

    images: Tensor
    intrinsics: Tensor | None = None
    depth_prior: Tensor | None = None
    cloud: Tensor | None = None
    words: Tensor | None = None
    words_known: Tensor | None = None
    word_places: Tensor | None = None
    hide: Tensor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What the model answers.

    Attributes:
        geometry: Of the last refinement.
        steps: Of every refinement from 0 to K, for losses.
        early_log_depth: `(B, V, N)` the trunk's estimate half-way up.
        logits: `(B, Q, L, vocabulary)` of the word that follows each word.
        word_places: `(B, Q, L, 3)` where the thing is that each word speaks of.
        pointed: `(B, Q, L, V, 1 + N)` logits of what each word points at in each view, first of
            nothing; None where words do not point.
        text: `(B, Q, L, C)` tokens behind the decoder, for masks.
        semantic: `(B, V, M, C)` likewise, for auxiliary readouts.
        patches: `(B, V, N, C)` likewise.
        patch_places: `(B, V, N, 3)` where each patch is, metres, first camera's frame.
        embedding: `(B, D)` unit vectors of what was given but words, as `embed_images` makes them.
    """

    geometry: Geometry
    steps: list[Geometry]
    early_log_depth: Tensor
    logits: Tensor
    word_places: Tensor
    pointed: Tensor | None
    text: Tensor
    semantic: Tensor
    patches: Tensor
    patch_places: Tensor
    embedding: Tensor


class G2Vlm(nn.Module):
    """Image, geometry and language in one trunk of two experts.

    Args:
        config: Sizes.
        public: Source of a public vision transformer for the visual encoder.
    """

    def __init__(self, config: ModelConfig, public: str | None = None) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.visual = VisualEncoder(config, public)
        self.geometric = GeometricEncoder(config)
        self.language = LanguageEncoder(config)
        self.camera = nn.Parameter(0.02 * torch.randn(2, width))
        self.semantic = nn.Linear(width, width)
        self.trunk = Trunk(
            config.trunk_layers, width, config.heads, config.hidden, config.experts,
            config.depth_aware,
        )  # fmt: skip
        self.pointing = Pointing(width) if config.pointing else None
        self.decoder = UnifiedDecoder(config)
        self.embed_image = nn.Linear(width, config.embedding)
        self.embed_geometry = nn.Linear(width, config.embedding)
        self.embed_text = nn.Linear(width, config.embedding)
        self.temperature = nn.Parameter(torch.tensor(2.3))

    def forward(self, batch: Batch, refinements: int | None = None) -> Output:
        """Answer a batch.

        Args:
            batch: What is given.
            refinements: K, how often geometry is fed back; the configuration's where None.
        """
        times = self.config.refinements if refinements is None else refinements
        seen, tokens = self._encode(batch)
        tokens, early, pointed = self._climb(tokens, batch)
        places: Places | None = None
        fed = tokens
        steps = []
        for step in range(times + 1):
            decoded = self.decoder(fed, places)
            geometry = self.decoder.geometry(decoded.geometric, seen.detail, batch.intrinsics)
            steps.append(geometry)
            if step < times:
                added, places = estimate_tokens(self.geometric, geometry, self.config.merge)
                fed = self._fed_back(decoded, added)
        patches = decoded.geometric[:, :, 1:]
        return Output(
            geometry=steps[-1],
            steps=steps,
            early_log_depth=early.float(),
            logits=self.decoder.spoken(decoded.text),
            word_places=self.decoder.spoken_places(decoded.text),
            pointed=pointed,
            text=decoded.text,
            semantic=decoded.semantic,
            patches=patches,
            patch_places=self.decoder.spoken_places(patches),
            embedding=self._embedding(tokens),
        )

    def _climb(self, tokens: Tokens, batch: Batch) -> tuple[Tokens, Tensor, Tensor | None]:
        """Through the trunk; with the early log depth, and what words point at half-way up."""
        tokens, early = self.trunk.lower(tokens)
        places = self._early_places(early, batch)
        pointed = None
        if self.pointing is not None and tokens.text.shape[1]:
            text, pointed = self.pointing(
                tokens.text, tokens.geometric[:, :, 1:], places.geometric, early.detach()
            )
            tokens = tokens._replace(text=text)
        return self.trunk.upper(tokens, places), early, pointed

    def _encode(self, batch: Batch) -> tuple[Seen, Tokens]:
        seen = self.visual(batch.images, batch.intrinsics, batch.hide)
        rows = batch.images.shape[-2] // self.config.patch
        semantic = self.semantic(merge_patches(seen.patches, rows, self.config.merge))
        patches = seen.patches
        if batch.depth_prior is not None:
            patches = patches + self.geometric.read_depth(batch.depth_prior)
        scenes, views = batch.images.shape[:2]
        # The first view is the frame of all others, so its camera is told from theirs.
        cameras = torch.cat([self.camera[:1], self.camera[1:].expand(views - 1, -1)])
        cameras = cameras.expand(scenes, -1, -1)[:, :, None].to(patches.dtype)
        return seen, Tokens(
            torch.cat([cameras, patches], 2), semantic, self._cloud(batch), self._text(batch)
        )

    def _cloud(self, batch: Batch) -> Tensor:
        scenes = len(batch.images)
        if batch.cloud is None:
            return batch.images.new_zeros(scenes, 0, self.config.width)
        known = batch.cloud.isfinite().all(-1)
        return self.geometric.read_cloud(batch.cloud.nan_to_num(), known)

    def _text(self, batch: Batch) -> Tensor:
        scenes = len(batch.images)
        if batch.words is None:
            return batch.images.new_zeros(scenes, 0, 1, self.config.width)
        places = None if batch.word_places is None else batch.word_places.flatten(0, 1)
        tokens = self.language(batch.words.flatten(0, 1), places)
        return tokens.unflatten(0, batch.words.shape[:2])

    def _early_places(self, early: Tensor, batch: Batch) -> Places:
        """Places of patches in their own camera's frame, from the early estimate of depth."""
        height, width = batch.images.shape[-2:]
        patch = self.config.patch
        plain = _plain_intrinsics(height, width, batch.images)
        intrinsics = plain.expand(*early.shape[:2], 3, 3)
        if batch.intrinsics is not None:
            given = batch.intrinsics.isfinite().all(-1, keepdim=True).all(-2, keepdim=True)
            intrinsics = torch.where(given, batch.intrinsics, intrinsics)
        rays = pixel_rays(intrinsics, height, width, patch).flatten(2, 3)
        log_depth = early.detach().float().clamp(-4, 6)
        where = rays * (log_depth - log_depth.mean(-1, keepdim=True)).exp()[..., None]
        return Places(where, merge_patches(where, height // patch, self.config.merge))

    @staticmethod
    def _fed_back(tokens: Tokens, added: Tensor) -> Tokens:
        camera, patches = tokens.geometric[:, :, :1], tokens.geometric[:, :, 1:]
        return tokens._replace(geometric=torch.cat([camera, patches + added], 2))

    # ----------------------------------------------------------------------------- embeddings

    def embed_images(self, images: Tensor, intrinsics: Tensor | None = None) -> Tensor:
        """`(B, V, 3, H, W)` pictures -> `(B, D)` unit vectors."""
        batch = Batch(images=images, intrinsics=intrinsics)
        _, tokens = self._encode(batch)
        tokens, *_ = self._climb(tokens, batch)
        return self._embedding(tokens)

    def _embedding(self, tokens: Tokens) -> Tensor:
        return _unit(self.embed_image(tokens.semantic.mean((1, 2))))

    def embed_clouds(self, cloud: Tensor) -> Tensor:
        """`(B, S, 3)` points, NaN = padding -> `(B, D)` unit vectors."""
        known = cloud.isfinite().all(-1)
        tokens = self.geometric.read_cloud(cloud.nan_to_num(), known)
        return _unit(self.embed_geometry(tokens.mean(1)))

    def embed_texts(self, words: Tensor, known: Tensor) -> Tensor:
        """`(B, L)` words -> `(B, D)` unit vectors, from the last word, which has seen all."""
        tokens = self.language(words)
        last = known.sum(-1).clamp_min(1) - 1
        return _unit(self.embed_text(tokens[torch.arange(len(words)), last]))


def _plain_intrinsics(height: int, width: int, like: Tensor) -> Tensor:
    side = float(min(height, width))
    matrix = [[side, 0, width / 2], [0, side, height / 2], [0, 0, 1]]
    return torch.tensor(matrix, device=like.device)


def _unit(vectors: Tensor) -> Tensor:
    return F.normalize(vectors.float(), dim=-1)
