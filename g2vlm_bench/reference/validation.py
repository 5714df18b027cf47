"""How a model fares on scenes of the validation split while it learns.

Plain figures to steer by, taken in the batches that training takes; the harness measures properly.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from g2vlm_bench.reference.batches import Drawn
from g2vlm_bench.reference.decoder import Geometry
from g2vlm_bench.reference.model import G2Vlm, Output

_DELTA = 1.25


@torch.no_grad()
def measure(model: G2Vlm, batches: Iterable[Drawn]) -> dict[str, float]:
    """Mean figures over batches; a figure that has no truth in any of them is absent.

    Args:
        model: As it stands; its mode is left as it was.
        batches: On the model's device.

    Returns:
        `abs_rel` and `delta1` of depth with one scale a picture, the median's; `rotation_deg`
        between views; `phrase_m` from where a phrase's thing is said to be to its middle,
        `phrase_mid_m` of saying the mean place always, and `phrase_hit`, the share of the places
        said that the first view shows on the thing itself; `pointed`, the share of names whose
        likeliest patch of the first view shows their thing, where it is shown; `answers` and
        `answers/<family>`, shares of the questions answered word for word; `recall1` of finding a
        scene's picture by its caption among its batch.
    """
    training = model.training
    model.eval()
    found: defaultdict[str, list[Tensor]] = defaultdict(list)
    for drawn in batches:
        output = model(drawn.inputs, drawn.refinements)
        for figures in (
            _depth(output.geometry, drawn),
            _poses(output.geometry, drawn),
            _phrases(output, drawn),
            _pointed(output, drawn),
            _answers(output, drawn),
            _retrieval(model, output, drawn),
        ):
            for name, values in figures.items():
                found[name].append(values.float().cpu().flatten())
    model.train(training)
    joined = {name: torch.cat(values) for name, values in sorted(found.items())}
    return {name: float(values.mean()) for name, values in joined.items() if len(values)}


def _depth(geometry: Geometry, drawn: Drawn) -> dict[str, Tensor]:
    truth = drawn.depth.flatten(2)
    predicted = torch.where(truth.isfinite(), geometry.depth.flatten(2), torch.nan)
    ratio = predicted / truth
    ratio = ratio / ratio.nanmedian(-1, keepdim=True).values
    valid = truth.isfinite()
    near = torch.maximum(ratio, 1 / ratio) < _DELTA
    known = valid.any(-1)  # a picture of nothing but sky has no truth
    return {
        "abs_rel": (ratio - 1).abs().nanmean(-1)[known],
        "delta1": ((near & valid).sum(-1) / valid.sum(-1).clamp_min(1))[known],
    }


def _poses(geometry: Geometry, drawn: Drawn) -> dict[str, Tensor]:
    if drawn.depth.shape[1] < 2:
        return {}
    said, true = geometry.first_from_camera[:, 1:, :3, :3], drawn.first_from_camera[:, 1:, :3, :3]
    trace = (said * true).sum((-1, -2))
    return {"rotation_deg": ((trace - 1) / 2).clamp(-1, 1).arccos().rad2deg()}


def _phrases(output: Output, drawn: Drawn) -> dict[str, Tensor]:
    known = drawn.inputs.words_known
    if known is None or not drawn.means.any():
        return {}
    last = (known.sum(-1).clamp_min(1) - 1)[..., None, None].expand(-1, -1, 1, 3)
    said = output.word_places.gather(2, last).squeeze(2)[drawn.means]
    true = drawn.places.gather(2, last).squeeze(2)[drawn.means]
    there = true.isfinite().all(-1)
    said, true = said[there], true[there]
    return {
        "phrase_m": (said - true).norm(dim=-1),
        "phrase_mid_m": (true - true.mean(0)).norm(dim=-1),
        "phrase_hit": _on_mask(said, drawn, there),
    }


def _pointed(output: Output, drawn: Drawn) -> dict[str, Tensor]:
    if output.pointed is None:
        return {}
    scene, text, word = drawn.bodies.nonzero(as_tuple=True)
    ids, body = drawn.ids[scene, 0], drawn.bodies[scene, text, word]
    shown = (ids == body[:, None, None]).float()[:, None]
    best = output.pointed[scene, text, word, 0, 1:].argmax(-1)
    edge = math.isqrt(shown[0].numel() // (output.pointed.shape[-1] - 1)) if len(shown) else 1
    patches = F.max_pool2d(shown, edge).flatten(1)
    return {"pointed": patches.gather(1, best[:, None])[patches.any(-1)]}


def _on_mask(places: Tensor, drawn: Drawn, there: Tensor) -> Tensor:
    """Whether `(n, 3)` places lie, in the first view, on the things of those phrases."""
    scene = drawn.means.nonzero()[there, 0]
    image = (drawn.intrinsics[scene, 0] @ places[..., None].float()).squeeze(-1)
    pixel = (image[:, :2] / image[:, 2:].clamp_min(1e-3)).floor().long()
    height, width = drawn.masks.shape[-2:]
    inside = (pixel >= 0).all(-1) & (pixel < pixel.new_tensor([width, height])).all(-1)
    x, y = pixel[:, 0].clamp(0, width - 1), pixel[:, 1].clamp(0, height - 1)
    shown = drawn.masks[drawn.means][there, 0]
    return inside & shown[torch.arange(len(places), device=places.device), y, x]


def _answers(output: Output, drawn: Drawn) -> dict[str, Tensor]:
    """A question counts as answered where each word of the answer is the likeliest in its turn."""
    words = drawn.inputs.words
    if words is None:
        return {}
    right = output.logits[:, :, :-1].argmax(-1) == words[:, :, 1:]
    told = drawn.answers[:, :, 1:]
    hits = (right | ~told).all(-1) & told.any(-1)
    found: defaultdict[str, list[Tensor]] = defaultdict(list)
    for scene, families in enumerate(drawn.families):
        for column, family in enumerate(families):
            if family:
                for name in ("answers", f"answers/{family}"):
                    found[name].append(hits[scene, column])
    return {name: torch.stack(values) for name, values in found.items()}


def _retrieval(model: G2Vlm, output: Output, drawn: Drawn) -> dict[str, Tensor]:
    if not drawn.captions.numel():
        return {}
    text = model.embed_texts(drawn.captions, drawn.captions_known)
    best = (text @ output.embedding.T).argmax(-1)
    return {"recall1": best == torch.arange(len(best), device=best.device)}
