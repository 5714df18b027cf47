"""What the shipped weights make of one room of the validation split.

    python -m tests.reference.shipped_figures

in the checkout's root writes `shipped_figures.json`, to which `test_shipped_figures.py` holds the
code. It is run once whenever new weights are shipped, or the world makes another room; and never
because a change that was to leave answers alone did not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from g2vlm_bench.geometry.cameras import invert_pose, transform, unproject
from g2vlm_bench.reference.checkpoint import find_reference, hash_reference, load_reference
from g2vlm_bench.reference.inference import Inference, Pictures
from g2vlm_bench.reference.speaker import Question, Speaker
from g2vlm_bench.world.layout import make_scene
from g2vlm_bench.world.renderer import render
from g2vlm_bench.world.scene import WORLD_VERSION

FILE = Path(__file__).with_suffix(".json")
COMMAND = "python -m tests.reference.shipped_figures"
# The side at which the weights see pictures.
VIEWS, SIDE = 2, 96
# Of room 0: a chair, a shelf, two boxes; from its own questions and queries.
SHELF = 3
PHRASE = Question("Find the orange shelf in the first picture.", "phrase")
ASKED = {
    "choice": Question(
        "Which of these comes into view from the first picture to the second picture?",
        "choice", ("purple chair", "black chair", "orange shelf"),
    ),
    "yes_no": Question(
        "From the camera of the first picture, would you say that the cyan box is to the left of "
        "the black chair?", "yes_no",
    ),
}  # fmt: skip
CAPTION = "an orange shelf, a purple chair and a cyan box stand in a room"

Figures = dict[str, list[float]]


def identity() -> dict[str, Any]:
    """What the figures are of."""
    return {"weights": hash_reference(find_reference("nano")), "world": WORLD_VERSION}


def measure() -> dict[str, Figures]:
    """Figures of the pictures alone, of them with all that can be given, and of the one space."""
    with _one_thread():
        views, alone, told = _room()
        speaker = Speaker(Inference(load_reference(find_reference("nano"))))
        assert told.points is not None
        (picture,) = speaker.inference.look([alone])
        vectors = (
            speaker.inference.embed_pictures(picture),
            *speaker.inference.embed_clouds([told.points]),
            *speaker.inference.embed_texts([CAPTION]),
        )
        pairs = [float(vectors[i] @ vectors[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
        return {
            "pictures": _figures(speaker, views, alone),
            "told": _figures(speaker, views, told),
            "space": {"picture_cloud_text": pairs},
        }


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _room() -> tuple[Any, Pictures, Pictures]:
    """The truth; its pictures alone; and with cameras, sparse depth and a sparse cloud."""
    scene = make_scene(0, "validation", "room")
    views = render([scene.shot(view) for view in range(VIEWS)], SIDE, SIDE)
    depth, rng = views.depth_m.numpy(), np.random.default_rng(0)
    first_from_world = invert_pose(views.world_from_camera[0])
    cloud = np.concatenate(
        [
            transform(unproject(*each[:2]), first_from_world @ each[2]).reshape(-1, 3)
            for each in zip(depth, views.intrinsics, views.world_from_camera, strict=True)
        ]
    )
    images = tuple(views.rgb.numpy())
    prior = np.where(rng.random(depth.shape) < 0.02, depth, np.nan).astype(np.float32)
    return (
        views,
        Pictures(images=images),
        Pictures(
            images=images,
            intrinsics=tuple(views.intrinsics),
            depth_prior_m=tuple(prior),
            points=rng.choice(cloud, 200, replace=False),
        ),
    )


def _figures(speaker: Speaker, views: Any, pictures: Pictures) -> Figures:
    (seen,) = speaker.inference.look([pictures])
    made = speaker.inference.reconstruct(seen)
    true = views.depth_m.numpy()
    first_from_world = invert_pose(views.world_from_camera[0])
    normals = views.normals_world.numpy().reshape(-1, 3) @ first_from_world[:3, :3].T
    ((masks, place),) = speaker.locate([(seen, PHRASE)])
    shelf = views.instance_ids.numpy() == SHELF
    likelihoods = speaker.log_likelihoods([(seen, question) for question in ASKED.values()])
    return {
        "depth_abs_rel": [float(np.mean(np.abs(made.depth_m - true) / true))],
        "normals_cosine": [float(np.mean((made.normals * normals).sum(1)))],
        "log_confidence": [float(np.mean(np.log(made.confidence)))],
        "focal": [float(made.intrinsics[1][0, 0])],
        "second_camera": made.first_from_camera[1][:3].ravel().tolist(),
        "phrase_m": place.tolist(),
        "phrase_share": [float(mask.mean()) for mask in masks],
        "phrase_overlap": [float((masks & shelf).sum() / (masks | shelf).sum())],
    } | {
        name: each.tolist() for name, each in zip(ASKED, likelihoods, strict=True)
    }  # fmt: skip


def main() -> None:
    """Write the figures of the weights that are shipped now."""
    rounded = {
        part: {name: [float(f"{value:.6g}") for value in values] for name, values in each.items()}
        for part, each in measure().items()
    }
    content = msgspec.json.encode(identity() | {"figures": rounded})
    FILE.write_bytes(msgspec.json.format(content, indent=1) + b"\n")
    print(FILE)


if __name__ == "__main__":
    main()
