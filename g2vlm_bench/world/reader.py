"""The procedural world as a dataset: rooms with boxes, spheres and cylinders, exact truth."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.data.reader import Reader
from g2vlm_bench.errors import BenchError, nearest
from g2vlm_bench.geometry.cameras import transform, unproject
from g2vlm_bench.sample import Inputs, Sample, Target
from g2vlm_bench.world.layout import make_scene
from g2vlm_bench.world.questions import FAMILIES, Question, ask
from g2vlm_bench.world.scene import SPLITS, Scene, to_record

if TYPE_CHECKING:
    from g2vlm_bench.world.renderer import Views

CONTENTS = ("depth", "points", "questions")
VIEWS = (1, 2, 4, 8)
CAMERA_PARTS = ("intrinsics", "poses")

# Inputs and target of a sample, and the questions of a scene, are rendered once in a row.
_RENDERED_SCENES = 4


class WorldReader(Reader):
    """Scenes 0, 1, ..., n - 1 of a split, rendered when a sample is opened.

    - `depth`: one sample a scene; the target is a depth map per view.
    - `points`: one sample a scene; the target is the surface point of every pixel of every view in
      the world frame, view by view and row by row, with its normal. Points are as dense as pixels
      are; a protocol that wants them even down-samples by voxels.
    - `questions`: up to `questions_per_scene` samples a scene, tagged with their `family`. Which
      ones are asked is found out by a small unshaded rendering.

    Every target but a question's has intrinsics and poses.

    Args:
        n: Number of scenes of a split.
        views: Pictures of a scene, 1, 2, 4 or 8: the first cameras of its walk around the room.
        height: Rows of a picture.
        width: Columns of a picture.
        content: What is asked, one of `CONTENTS`.
        questions_per_scene: At most so many; only for `questions`.
        families: Families of question, all where none is given; only for `questions`.
        given: Which parts of the cameras, of `CAMERA_PARTS`, the inputs hold.

    Raises:
        BenchError: An option is not among the possible ones.
    """

    splits: ClassVar[tuple[str, ...]] = SPLITS

    def __init__(
        self,
        *,
        n: int,
        views: int = 1,
        height: int = 96,
        width: int = 96,
        content: str = "depth",
        questions_per_scene: int = 8,
        families: Sequence[str] = FAMILIES,
        given: Sequence[str] = (),
    ) -> None:
        _check_one_of("views", views, VIEWS)
        _check_one_of("content", content, CONTENTS)
        for family in families:
            _check_one_of("families", family, FAMILIES)
        for part in given:
            _check_one_of("given", part, CAMERA_PARTS)
        counts = {
            "n": n,
            "height": height,
            "width": width,
            "questions_per_scene": questions_per_scene,
        }
        for key, count in counts.items():
            if type(count) is not int or count < 1:
                raise BenchError(f"world, key '{key}'", expected="1 or more", got=repr(count))
        self.n, self.views, self.height, self.width = n, views, height, width
        self.content, self.questions_per_scene = content, questions_per_scene
        self.families, self.given = tuple(families), tuple(given)
        self._scenes = lru_cache(maxsize=None)(self._make_scenes)
        self._questions = lru_cache(maxsize=None)(self._make_questions)
        self._render = lru_cache(maxsize=_RENDERED_SCENES)(self._make_views)

    def samples(self, split: str) -> Sequence[Sample]:
        """List a split's samples; `questions` need the small rendering, the others nothing."""
        if self.content == "questions":
            return [
                self._question_sample(scene, number, question)
                for scene, asked in zip(self._scenes(split), self._questions(split), strict=True)
                for number, question in enumerate(asked)
            ]
        target = self._depth_target if self.content == "depth" else self._points_target
        return [
            Sample(
                id=self._id(scene),
                cluster=scene.id,
                load_inputs=partial(self._inputs, scene, self._id(scene)),
                load_target=partial(target, scene),
                tags={"views": str(self.views)},
            )
            for scene in self._scenes(split)
        ]

    def content_hash(self, split: str) -> str:
        """Hash the scene records, the picture's size and views, and the questions."""
        content: dict[str, Any] = {
            "content": self.content,
            "size": [self.views, self.height, self.width],
            "given": sorted(self.given),
            "scenes": [to_record(scene) for scene in self._scenes(split)],
        }
        if self.content == "questions":
            content["questions"] = [
                [dataclasses.asdict(question) for question in asked]
                for asked in self._questions(split)
            ]
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"

    def _make_scenes(self, split: str) -> list[Scene]:
        return [make_scene(seed, split) for seed in range(self.n)]

    def _make_questions(self, split: str) -> list[tuple[Question, ...]]:
        from g2vlm_bench.world.renderer import look

        scenes = self._scenes(split)
        aspect = self.width / self.height
        sights = look(scenes, self.views, aspect)
        return ask(scenes, sights, self.questions_per_scene, self.families, aspect)

    def _make_views(self, scene: Scene) -> Views:
        from g2vlm_bench.world.renderer import render

        shots = [scene.shot(view) for view in range(self.views)]
        return render(shots, self.height, self.width)

    def _id(self, scene: Scene) -> str:
        return f"{scene.id}-{self.views}v"

    def _question_sample(self, scene: Scene, number: int, question: Question) -> Sample:
        name = f"{self._id(scene)}-q{number:02d}"
        target = Target(
            answer=question.answer,
            choices=question.choices,
            answer_type=question.answer_type,
            unit=question.unit,
        )

        def load_inputs() -> Inputs:
            return dataclasses.replace(
                self._inputs(scene, name),
                question=question.text,
                choices=question.choices,
                answer_type=question.answer_type,
            )

        return Sample(
            id=name,
            cluster=scene.id,
            load_inputs=load_inputs,
            load_target=lambda: target,
            tags={
                "family": question.family,
                "wording": "held_out" if question.held_out else "seen",
            },
        )

    def _inputs(self, scene: Scene, name: str) -> Inputs:
        views = self._render(scene)
        return Inputs(
            id=name,
            images=tuple(views.rgb.numpy().copy()),
            intrinsics=_each(views.intrinsics) if "intrinsics" in self.given else None,
            world_from_camera=_each(views.world_from_camera) if "poses" in self.given else None,
        )

    def _depth_target(self, scene: Scene) -> Target:
        views = self._render(scene)
        return Target(
            depth_m=tuple(views.depth_m.numpy().copy()),
            intrinsics=_each(views.intrinsics),
            world_from_camera=_each(views.world_from_camera),
        )

    def _points_target(self, scene: Scene) -> Target:
        views = self._render(scene)
        cameras = zip(views.depth_m.numpy(), views.intrinsics, views.world_from_camera, strict=True)
        points = [transform(unproject(depth, k), pose).reshape(-1, 3) for depth, k, pose in cameras]
        return Target(
            depth_m=tuple(views.depth_m.numpy().copy()),
            points_world=np.concatenate(points),
            normals_world=views.normals_world.numpy().reshape(-1, 3).astype(np.float64),
            intrinsics=_each(views.intrinsics),
            world_from_camera=_each(views.world_from_camera),
        )


def _each(matrices: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    # Copies: what a model does to its inputs must not reach the cached views.
    return tuple(matrices.copy())


def _check_one_of(key: str, value: object, known: Sequence[object]) -> None:
    if value not in known:
        raise BenchError(
            f"world, key '{key}'",
            expected="one of " + ", ".join(map(str, known)),
            got=repr(value),
            fix=nearest(str(value), map(str, known)),
        )
