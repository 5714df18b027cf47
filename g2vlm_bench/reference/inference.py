"""A trained model looks at scenes: pictures and clouds of any size in, geometry and vectors out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from g2vlm_bench.errors import BenchError
from g2vlm_bench.geometry.cameras import check_intrinsics
from g2vlm_bench.reference import framing, measured, speech
from g2vlm_bench.reference.checkpoint import Reference
from g2vlm_bench.reference.framing import Size
from g2vlm_bench.reference.model import Batch, Output

_PRECISIONS = ("auto", "float32", "bfloat16")
# A cloud is read whole up to so many points.
_MOST_POINTS = 4096
# Squares of farther places, which are taken in single precision, come near its end.
_FARTHEST_M = 1e9
# Each is kept for the words that will pass it; no training has gone beyond a few.
_MOST_REFINEMENTS = 16


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Pictures:
    """What is shown of a scene; conventions and shapes as in `sample.Inputs`.

    Attributes:
        images: One or more views, `(H, W, 3)` uint8.
        intrinsics: `(3, 3)` per view, where known; NaN for a view whose camera is not.
        depth_prior_m: Sparse depth per view, NaN = unknown, where given.
        points: `(N, 3)` in the first camera's frame, where given.
    """

    images: tuple[NDArray[np.uint8], ...]
    intrinsics: tuple[NDArray[np.float64], ...] | None = None
    depth_prior_m: tuple[NDArray[np.float32], ...] | None = None
    points: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        """Refuse a scene without a picture, or with parts that are none or not of its views.

        Raises:
            ValueError: It is such a one. Intrinsics that are no numbers are none that are given.
        """
        if not self.images:
            raise ValueError("expected an image, got none")
        for image in self.images:
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
                raise ValueError(
                    f"expected images (H, W, 3) uint8, got {image.shape} {image.dtype}"
                )
        for name, given in (("intrinsics", self.intrinsics), ("depth", self.depth_prior_m)):
            if given is not None and len(given) != len(self.images):
                raise ValueError(f"expected {name} of {len(self.images)} views, got {len(given)}")
        for camera in self.intrinsics or ():
            if np.isfinite(camera).all():
                check_intrinsics(camera)
        for depth in self.depth_prior_m or ():
            if depth.ndim != 2:
                raise ValueError(f"expected depth (H, W), got {depth.shape}")
        if self.points is not None:
            _finite(self.points)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Reconstruction:
    """The geometry of a scene; maps have the sizes of its pictures, lengths are metres.

    Attributes:
        depth_m: `(H, W)` float32 per view.
        confidence: `(H, W)` float32 per view, larger = surer.
        intrinsics: `(3, 3)` per view: those given, else those predicted, of one lens as the model
            sees the picture: where that is stretched, the two focal lengths are as well.
        first_from_camera: `(4, 4)` per view.
        points: `(N, 3)` of all views in the first camera's frame, one for each pixel that the model
            itself has, which knows no more than these.
        normals: `(N, 3)` unit normals of the points.
        colors: `(N, 3)` uint8 of the points.
    """

    depth_m: tuple[NDArray[np.float32], ...]
    confidence: tuple[NDArray[np.float32], ...]
    intrinsics: tuple[NDArray[np.float64], ...]
    first_from_camera: tuple[NDArray[np.float64], ...]
    points: NDArray[np.float64]
    normals: NDArray[np.float64]
    colors: NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A scene that was looked at, among those of its shape that were looked at with it."""

    group: Group
    index: int
    pictures: Pictures


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Scenes of one shape, what the model said of them, and what words will ask of them."""

    output: Output
    memory: speech.Memory


class Inference:
    """Looks at scenes; `speaker.Speaker` speaks of them.

    Args:
        reference: The trained model.
        precision: `float32`, `bfloat16`, or `auto`: float32, so that no device changes an answer.
        refinements: K; the model's own where None.
        side: Edge of the pictures' shorter side for the model; that of the last stage of its
            training where None.

    Raises:
        BenchError: The precision is unknown, patches do not fit into the side, or there are more
            refinements than 16.
    """

    def __init__(
        self,
        reference: Reference,
        precision: str = "auto",
        refinements: int | None = None,
        side: int | None = None,
    ) -> None:
        if precision not in _PRECISIONS:
            raise BenchError("precision", expected=" or ".join(_PRECISIONS), got=f"'{precision}'")
        if refinements is not None and not 0 <= refinements <= _MOST_REFINEMENTS:
            raise BenchError("refinements", expected=f"0 to {_MOST_REFINEMENTS}", got=refinements)
        self.model, self.words = reference.model, reference.words
        self.side = reference.config.training.stages[-1].side if side is None else side
        self.patch = reference.config.model.patch
        if self.side < self.patch:
            raise BenchError("side", expected=f"{self.patch} or more", got=self.side)
        self.refinements = refinements
        self._half = precision == "bfloat16"

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    def precisely(self) -> torch.autocast:
        """The precision in which the model computes."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self._half)

    # ----------------------------------------------------------------------------- pictures

    @torch.inference_mode()
    def look(self, scenes: Sequence[Pictures]) -> list[Seen]:
        """Look at scenes, those of one shape at once; views of another shape are stretched.

        Where sparse depth is given, depth and positions are brought to it behind the network
        (`measured.py`); words and embeddings are the network's.
        """
        alike: dict[tuple[int, Size, bool, bool], list[int]] = {}
        for index, scene in enumerate(scenes):
            size = framing.model_size(size_of(scene.images[0]), self.side, self.patch)
            given = scene.depth_prior_m is not None, scene.points is not None
            alike.setdefault((len(scene.images), size, *given), []).append(index)
        found: dict[int, Seen] = {}
        for (_, size, *_), indices in alike.items():
            batch = self._batch([scenes[i] for i in indices], size)
            with self.precisely():
                output, memory = speech.look(self.model, batch, self.refinements)
            if batch.depth_prior is not None:
                geometry = measured.carry(output.geometry, batch.depth_prior)
                output = replace(output, geometry=geometry)
            group = Group(output, memory)
            for place, index in enumerate(indices):
                found[index] = Seen(group, place, scenes[index])
        return [found[index] for index in range(len(scenes))]

    def _batch(self, scenes: Sequence[Pictures], size: Size) -> Batch:
        images = [[framing.shrink_image(image, size) for image in s.images] for s in scenes]
        cameras = np.full((len(scenes), len(images[0]), 3, 3), np.nan, np.float32)
        for row, scene in enumerate(scenes):
            for view, camera in enumerate(scene.intrinsics or ()):
                if np.isfinite(camera).all():
                    old = size_of(scene.images[view])
                    cameras[row, view] = framing.scale_camera(camera, old, size)
        prior = None
        if scenes[0].depth_prior_m is not None:
            each = [[framing.scatter_depth(d, size) for d in s.depth_prior_m or ()] for s in scenes]
            prior = self._moved(np.array(each))
        clouds = [scene.points for scene in scenes if scene.points is not None]
        return Batch(
            images=self._moved(np.array(images)).permute(0, 1, 4, 2, 3).float() / 255,
            intrinsics=self._moved(cameras),
            depth_prior=prior,
            cloud=self._moved(_padded_clouds(clouds)) if clouds else None,
        )

    @torch.inference_mode()
    def check(self, seen: Seen) -> None:
        """Refuse a scene of which the model made something that is no number.

        Raises:
            ValueError: It did: what was given beside the pictures was beyond all sense.
        """
        output = seen.group.output
        geometry = output.geometry.of_scene(seen.index)
        for name, values in {
            "depth": geometry.depth,
            "confidence": geometry.log_confidence.exp(),
            "poses": geometry.first_from_camera,
            "points": geometry.points_first,
            "normals": geometry.normals,
            "an embedding": output.embedding[seen.index],
        }.items():
            if not values.isfinite().all():
                raise ValueError(
                    f"expected {name} of finite numbers, got others: are the cameras, depth and "
                    "points that were given those of the pictures?"
                )

    def _moved(self, array: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(array).to(self.device)

    @torch.inference_mode()
    def reconstruct(self, seen: Seen) -> Reconstruction:
        """The geometry of a scene.

        Raises:
            ValueError: `check` refuses it.
        """
        self.check(seen)
        geometry, at = seen.group.output.geometry, seen.index
        sizes = [size_of(image) for image in seen.pictures.images]
        depth, log_confidence = geometry.depth[at].float(), geometry.log_confidence[at].float()
        inner: Size = (depth.shape[-2], depth.shape[-1])
        cameras = geometry.intrinsics[at].double().cpu().numpy()
        normals = torch.einsum(
            "vij,vhwj->vhwi", geometry.first_from_camera[at, :, :3, :3], geometry.normals[at]
        )
        colors = [framing.shrink_image(image, inner) for image in seen.pictures.images]
        return Reconstruction(
            depth_m=tuple(
                framing.resize_depth(view, size).cpu().numpy()
                for view, size in zip(depth, sizes, strict=True)
            ),
            confidence=tuple(
                framing.resize_map(view, size).exp().cpu().numpy()
                for view, size in zip(log_confidence, sizes, strict=True)
            ),
            intrinsics=tuple(
                framing.scale_camera(camera, inner, size)
                for camera, size in zip(cameras, sizes, strict=True)
            ),
            first_from_camera=tuple(_rigid(pose) for pose in geometry.first_from_camera[at]),
            points=geometry.points_first[at].reshape(-1, 3).double().cpu().numpy(),
            normals=normals.reshape(-1, 3).double().cpu().numpy(),
            colors=np.concatenate([color.reshape(-1, 3) for color in colors]),
        )

    # ----------------------------------------------------------------------------- embeddings

    def embed_pictures(self, seen: Seen) -> NDArray[np.float64]:
        """`(D,)` unit vector of a scene's pictures.

        Raises:
            ValueError: It is no number.
        """
        return _vectors(seen.group.output.embedding[seen.index])

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """`(T, D)` unit vectors of texts, one by one, so that none depends on another's length.

        Raises:
            ValueError: A text has no word, or more than the model was made for, or its vector is no
                number.
        """
        found = []
        for text in texts:
            numbers = self.words.encode(text)
            if not 0 < len(numbers) <= self.model.config.longest_text:
                longest = self.model.config.longest_text
                raise ValueError(f"expected 1 to {longest} words to embed, got {len(numbers)}")
            words = torch.tensor([numbers], device=self.device)
            with self.precisely():
                found.append(
                    self.model.embed_texts(words, torch.ones_like(words, dtype=torch.bool))
                )
        return _vectors(torch.cat(found))

    @torch.inference_mode()
    def embed_clouds(self, clouds: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        """`(T, D)` unit vectors of `(N, 3)` clouds in their first camera's frame, metres.

        Raises:
            ValueError: A cloud has no finite point, or one farther than 1e9 m, or its vector is no
                number.
        """
        with self.precisely():
            return _vectors(self.model.embed_clouds(self._moved(_padded_clouds(clouds))))


def size_of(image: NDArray[np.uint8]) -> Size:
    """Height and width of a picture."""
    return image.shape[0], image.shape[1]


def _padded_clouds(clouds: Sequence[NDArray[np.float64]]) -> NDArray[np.float32]:
    """`(B, S, 3)`, NaN = padding; of a larger cloud every n-th point."""
    kept = [points[:: -(-len(points) // _MOST_POINTS)] for points in map(_finite, clouds)]
    padded = np.full((len(kept), max(map(len, kept)), 3), np.nan, np.float32)
    for row, cloud in enumerate(kept):
        padded[row, : len(cloud)] = cloud
    return padded


def _finite(cloud: NDArray[np.float64]) -> NDArray[np.float64]:
    """The finite points of a cloud.

    Raises:
        ValueError: It has none, or one that is farther than 1e9 m.
    """
    if cloud.ndim != 2 or cloud.shape[1] != 3:
        raise ValueError(f"expected points (N, 3), got {cloud.shape}")
    finite = cloud[np.isfinite(cloud).all(1)]
    if not len(finite):
        raise ValueError("expected a cloud with a finite point, got none")
    farthest = np.abs(finite).max()
    if farthest > _FARTHEST_M:
        raise ValueError(f"expected points within {_FARTHEST_M:g} m, got one at {farthest:.3g} m")
    return finite


def _rigid(pose: Tensor) -> NDArray[np.float64]:
    """A pose in double precision whose rotation is one to the last digit."""
    matrix = pose.double().cpu().numpy()
    left, _, right = np.linalg.svd(matrix[:3, :3])
    matrix[:3, :3] = left @ right
    return np.asarray(matrix, np.float64)


def _vectors(embeddings: Tensor) -> NDArray[np.float64]:
    if not embeddings.isfinite().all():
        raise ValueError("expected an embedding of finite numbers, got others")
    return np.asarray(embeddings.double().cpu().numpy(), np.float64)
