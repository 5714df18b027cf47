"""The procedural world as a dataset: rooms, table tops and roads, still or moving, exact truth."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

from g2vlm_bench.data.reader import Reader
from g2vlm_bench.errors import BenchError, nearest
from g2vlm_bench.sample import Sample
from g2vlm_bench.world.contents import CONTENTS, Asked, Asking
from g2vlm_bench.world.layout import make_scene
from g2vlm_bench.world.questions import FAMILIES
from g2vlm_bench.world.record import to_record
from g2vlm_bench.world.scene import MAX_CAMERAS, PLACES, SPLITS, Scene
from g2vlm_bench.world.shown import Frame, Shown

if TYPE_CHECKING:
    from g2vlm_bench.world.renderer import Views

GIVEN = ("intrinsics", "poses", "sparse_depth")
MIXED = "mixed"

# Inputs and target of a sample, and the questions of a scene, are rendered once in a row.
_RENDERED_SCENES = 4


class WorldReader(Reader):
    """Scenes 0, 1, ..., n - 1 of a split, rendered when a sample is opened.

    What is asked of them is a content of `world/contents.py`: depth (and camera poses), points,
    questions, agreement (of words and geometry), description, grounding, text_to_scene,
    image_to_cloud. Which questions are asked is found out by a small unshaded rendering.

    Args:
        n: Number of scenes of a split.
        content: What is asked.
        place: A place of scenes, or `mixed`, which takes them in turn.
        moving: Whether things move and each picture is the next frame.
        views: Pictures of a scene, 1 to 8: the first cameras around a still scene, or the frames
            of a moving one.
        height: Rows of a picture.
        width: Columns of a picture.
        questions_per_scene: At most so many; only for contents that ask several.
        families: Families of question, all where none is given; only for `questions`.
        given: What the inputs hold beside pictures: intrinsics, poses, sparse_depth.

    Raises:
        BenchError: An option is not among the possible ones.
    """

    splits: ClassVar[tuple[str, ...]] = SPLITS

    def __init__(
        self,
        *,
        n: int,
        content: str = "depth",
        place: str = "room",
        moving: bool = False,
        views: int = 1,
        height: int = 96,
        width: int = 96,
        questions_per_scene: int = 8,
        families: Sequence[str] = FAMILIES,
        given: Sequence[str] = (),
    ) -> None:
        _check_one_of("content", content, tuple(CONTENTS))
        _check_one_of("place", place, (*PLACES, MIXED))
        _check_one_of("views", views, range(1, MAX_CAMERAS + 1))
        if not families:
            raise BenchError("world, key 'families'", expected="one or more", got="none")
        for family in families:
            _check_one_of("families", family, FAMILIES)
        for part in given:
            _check_one_of("given", part, GIVEN)
        counts = {
            "n": n,
            "height": height,
            "width": width,
            "questions_per_scene": questions_per_scene,
        }
        for key, count in counts.items():
            if type(count) is not int or count < 1:
                raise BenchError(f"world, key '{key}'", expected="1 or more", got=repr(count))
        if moving and views < 2:
            raise BenchError("world, key 'views'", expected="2 or more of what moves", got=views)
        self.n, self.content, self.place, self.moving = n, content, place, moving
        self.frame = Frame(views, height, width, tuple(given))
        self.asking = Asking(questions_per_scene, tuple(families))
        self._asked = lru_cache(maxsize=None)(self._ask)
        self._scenes = lru_cache(maxsize=None)(self._make_scenes)
        self._render = lru_cache(maxsize=_RENDERED_SCENES)(_make_views)

    def samples(self, split: str) -> Sequence[Sample]:
        """List a split's samples; contents in words need the small rendering, the others none."""
        return self._asked(split).samples

    def content_hash(self, split: str) -> str:
        """Hash the scene records, how they are shown, and what is asked in words."""
        content: dict[str, Any] = {
            "content": self.content,
            "size": [self.frame.views, self.frame.height, self.frame.width],
            "given": sorted(self.frame.given),
            "scenes": [to_record(scene) for scene in self._scenes(split)],
            "texts": self._asked(split).texts,
        }
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"

    def shown(self, split: str) -> list[Shown]:
        """The scenes of a split as they are shown."""
        return [Shown(scene, self.frame, self._render) for scene in self._scenes(split)]

    def _ask(self, split: str) -> Asked:
        return CONTENTS[self.content](self.shown(split), self.asking)

    def _make_scenes(self, split: str) -> list[Scene]:
        frames = self.frame.views if self.moving else 1
        return [make_scene(seed, split, self._place_of(seed), frames) for seed in range(self.n)]

    def _place_of(self, seed: int) -> str:
        # Of every four test scenes one has novel pairs and one novel counts, by the seed; three
        # places in turn meet all four.
        return PLACES[seed % len(PLACES)] if self.place == MIXED else self.place


def _make_views(scene: Scene, frame: Frame) -> Views:
    from g2vlm_bench.world.renderer import render

    shots = [scene.shot(view) for view in range(frame.views)]
    return render(shots, frame.height, frame.width)


def _check_one_of(key: str, value: object, known: Sequence[object]) -> None:
    if value not in known:
        raise BenchError(
            f"world, key '{key}'",
            expected="one of " + ", ".join(map(str, known)),
            got=repr(value),
            fix=nearest(str(value), map(str, known)),
        )
