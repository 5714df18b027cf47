"""Frames of scenes, the rule by which a benchmark takes some of them, and readers made of both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from random import Random

import msgspec
import numpy as np
from numpy.typing import NDArray

from g2vlm_bench import colmap
from g2vlm_bench.data.layout import hash_content
from g2vlm_bench.data.reader import Reader
from g2vlm_bench.data.views import View, sample_of_views
from g2vlm_bench.errors import BenchError
from g2vlm_bench.geometry.meshes import read_points
from g2vlm_bench.sample import Sample, Target

Array = NDArray[np.float64]

# How many points Depth Anything 3's benchmark draws from a mesh (bench/utils.py, 2c21ea8).
MESH_POINTS = 1_000_000


class Sampling(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which frames of a scene make samples: a rule on numbers alone, so that it needs no data.

    `{stop: 270, every: 3, views: 0}` is ScanNet's `[:270:3]`, one sample of 90 frames a scene.

    Attributes:
        start: First frame.
        stop: Frame to stop before; the end of the scene where it is None.
        every: Take every n-th frame.
        spread: Take more where a scene is short: `every` is at most its number of frames over this,
            as CUT3R's `min(500, N // 2)` for NRGBD, which is `{every: 500, spread: 2}`.
        random: Draw so many of those frames without replacement, in random order; 0 draws none.
        seed: Of the draws. One generator walks through the scenes in their order, as in peers that
            seed once: `numpy.random.seed(seed)`, then `numpy.random.choice` for each scene.
        least: Leave out scenes of fewer frames.
        most: Take no more than so many, in their order; which ones of a longer scene, Python's
            `random.Random(seed)` shuffles out anew for each, as Depth Anything 3's benchmark does
            (`bench/evaluator.py`, 2c21ea8). 0 takes all.
        views: Frames of a sample, consecutive ones of those taken; 0 for all of the scene.
    """

    start: int = 0
    stop: int | None = None
    every: int = 1
    spread: int = 1
    random: int = 0
    seed: int = 42
    least: int = 1
    most: int = 0
    views: int = 1

    def __post_init__(self) -> None:
        """Refuse what takes no frames.

        Raises:
            ValueError: A number is too small.
        """
        if (
            min(self.start, self.random, self.most, self.views) < 0
            or min(self.every, self.spread) < 1
        ):
            raise ValueError(
                "expected start, random, most, views of at least 0 and every, spread of at least 1"
            )

    def choose(self, counts: Iterable[int]) -> list[list[list[int]]]:
        """Say which frames make the samples of each scene.

        >>> Sampling(stop=7, every=3, views=2).choose([10, 3])
        [[[0, 3]], []]

        Args:
            counts: Number of frames of each scene, in the order of the scenes.

        Returns:
            For each scene its samples, each a list of frame numbers. A last sample that would be
            too small is left out, as is a scene that has too few frames.
        """
        # The old generator: published lists of frames were drawn with it.
        generator = np.random.RandomState(self.seed)
        return [self._of_scene(count, generator) for count in counts]

    def _of_scene(self, count: int, generator: np.random.RandomState) -> list[list[int]]:
        every = max(min(self.every, count // self.spread), 1)
        taken = list(range(count))[self.start : self.stop : every]
        if not taken or count < self.least or len(taken) < self.random:
            return []
        if self.random:
            drawn = generator.choice(len(taken), self.random, replace=False)
            taken = [taken[index] for index in drawn]
        if 0 < self.most < len(taken):
            shuffled = list(range(len(taken)))
            Random(self.seed).shuffle(shuffled)
            taken = [taken[index] for index in sorted(shuffled[: self.most])]
        size = self.views or len(taken)
        return [taken[at : at + size] for at in range(0, len(taken) - size + 1, size)]


EACH_FRAME = Sampling()


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A view and the files that its numbers depend on."""

    view: View
    files: tuple[Path, ...]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Scene:
    """The frames of one scene, in the order of the recording.

    Attributes:
        name: The cluster.
        frames: All of them.
        shared: Files that every sample of the scene depends on.
        load_points: Opens a scan, `(N, 3)` metres in the world of the poses.
        complete: Adds to a sample's target what is known of the scene besides.
        tags: Of every sample of the scene.
    """

    name: str
    frames: Sequence[Frame]
    shared: tuple[Path, ...] = ()
    load_points: Callable[[], Array] | None = None
    complete: Callable[[Target], Target] | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    def sample(self, frames: Sequence[Frame], given: Sequence[str]) -> Sample:
        """Make a sample of some of the frames."""
        views = [frame.view for frame in frames]
        sample = sample_of_views(views, self.name, given, self.load_points)
        sample = replace(sample, tags=dict(self.tags))
        if self.complete is None:
            return sample
        return replace(sample, load_target=partial(_completed, sample.load_target, self.complete))


def _completed(load: Callable[[], Target], complete: Callable[[Target], Target]) -> Target:
    return complete(load())


class FrameReader(Reader):
    """What readers of scenes share: frames are listed, some are taken, samples are made of them.

    A subclass lists its scenes in `__init__` and hands them to `take`.
    """

    def take(
        self,
        root: Path,
        scenes: Sequence[Scene],
        sampling: Sampling,
        given: Sequence[str],
        train: Sequence[Scene] = (),
    ) -> None:
        """Take frames of the scenes by a rule.

        Args:
            root: The folder that names in hashes are relative to.
            scenes: In the order in which frames are drawn.
            sampling: The rule.
            given: Which of `intrinsics` and `poses` a model is given besides the images.
            train: Scenes of the split `train`, for readers that have one.

        Raises:
            BenchError: No scene has enough frames.
        """
        self.root = root
        taken = {"test": _taken(scenes, sampling), "train": _taken(train, sampling)}
        if not taken["test"]:
            most = max((len(scene.frames) for scene in scenes), default=0)
            raise BenchError(
                root, expected=f"a scene with frames for {sampling}", got=f"at most {most} frames"
            )
        self._samples = {
            split: [scene.sample(frames, given) for scene, frames in samples]
            for split, samples in taken.items()
        }
        self._sizes = [len(frames) for _, frames in taken["test"]]
        self._files = {
            split: {
                path
                for scene, frames in samples
                for path in (*scene.shared, *(path for f in frames for path in f.files))
            }
            for split, samples in taken.items()
        }

    def samples(self, split: str) -> Sequence[Sample]:
        """List the samples, scene by scene."""
        return self._samples[split]

    def counts(self) -> dict[str, int]:
        """Count `frames`, and the `pairs` of them within samples, too."""
        pairs = sum(size * (size - 1) // 2 for size in self._sizes)
        return super().counts() | {"frames": sum(self._sizes), "pairs": pairs}

    def content_hash(self, split: str) -> str:
        """Hash every file that the samples depend on."""
        return hash_content(self.root, self._files[split])

    def missing(self, split: str) -> list[str]:
        """Name the files, below the root, that samples depend on and that are not there."""
        return sorted(
            path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)
            for path in self._files[split]
            if not path.is_file()
        )


def _taken(scenes: Sequence[Scene], sampling: Sampling) -> list[tuple[Scene, list[Frame]]]:
    chosen = sampling.choose(len(scene.frames) for scene in scenes)
    return [
        (scene, [scene.frames[index] for index in numbers])
        for scene, samples in zip(scenes, chosen, strict=True)
        for numbers in samples
    ]


def grouped(frames: Iterable[tuple[str, Frame]], shared: Sequence[Path] = ()) -> list[Scene]:
    """Make scenes of frames that bear the names of theirs, both in the order in which they come.

    Args:
        frames: The name of the scene, and the frame.
        shared: Files that every sample depends on.
    """
    scenes: dict[str, list[Frame]] = {}
    for name, frame in frames:
        scenes.setdefault(name, []).append(frame)
    return [Scene(name=name, frames=some, shared=tuple(shared)) for name, some in scenes.items()]


def load_scan(
    path: Path, unit_m: float = 1.0, mesh_points: int | None = None, mesh_seed: int = 0
) -> Callable[[], Array]:
    """Make what opens a scan, `(N, 3)` metres, float64.

    Args:
        path: A cloud (PLY, PCD, XYZ, PTS), a mesh (PLY, OBJ, GLB) or COLMAP's `points3D`.
        unit_m: The file's unit in metres.
        mesh_points: How many points are drawn from a mesh, uniformly by area; 0 takes its vertices.
            Where it is None, a mesh is refused: what is read so is published as a cloud.
        mesh_seed: Of drawing.
    """
    return partial(_scan, path, unit_m, mesh_points, mesh_seed)


def _scan(path: Path, unit_m: float, mesh_points: int | None, mesh_seed: int) -> Array:
    if path.stem == "points3D":
        return colmap.read_points(path) * unit_m
    try:
        return read_points(path, mesh_points, mesh_seed).points * unit_m
    except (ValueError, OSError, ImportError) as error:
        raise BenchError(path, expected="a point cloud", got=error) from None


def listed(root: Path, names: Sequence[str], kind: str) -> list[Path]:
    """Name the folders of scenes: those asked for, or every one below the root, sorted.

    Raises:
        BenchError: One is missing, or there is none at all.
    """
    folders = [root / name for name in names] or sorted(p for p in root.glob("*") if p.is_dir())
    for folder in folders or [root / "*"]:
        if not folder.is_dir():
            raise BenchError(folder, expected=f"the folder of a {kind}", got="none")
    return folders


def images_of(folder: Path, pattern: str) -> list[Path]:
    """List the images of a scene, sorted by the numbers in their names.

    Raises:
        BenchError: There is none, so that a scene that was not fetched is not left out in silence.
    """
    images = numbered(folder.glob(pattern))
    if not images:
        raise BenchError(folder, expected=f"images '{pattern}'", got="none")
    return images


def numbered(paths: Iterable[Path]) -> list[Path]:
    """Sort files by the numbers in their names: `2.jpg` before `10.jpg`."""
    return sorted(paths, key=_numbers)


def _numbers(path: Path) -> tuple[list[int], str]:
    digits = "".join(c if c.isdigit() else " " for c in path.stem)
    return [int(word) for word in digits.split()], path.name
