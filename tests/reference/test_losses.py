"""Each loss against its formula, written out slowly; what it does not see; and empty truth."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from g2vlm_bench.reference import losses
from g2vlm_bench.reference.encoders import pixel_rays

B, V, H, W = 2, 3, 4, 5


def _close(loss: torch.Tensor, slow: float) -> None:
    assert float(loss) == pytest.approx(slow, rel=1e-5, abs=1e-7)


def _poses(rng: np.random.Generator, scenes: int = B, views: int = V) -> torch.Tensor:
    poses = np.tile(np.eye(4), (scenes, views, 1, 1))
    for scene in range(scenes):
        poses[scene, :, :3, :3] = Rotation.random(views, rng=rng).as_matrix()
    poses[..., :3, 3] = rng.normal(size=(scenes, views, 3))
    return torch.from_numpy(poses)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def maps(rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Predicted and true points, and where the truth is known."""
    true = torch.from_numpy(rng.uniform(1, 4, (B, V, H, W, 3)))
    true[:, 0, 0, :, 2] *= 0.05  # nearer than a tenth of the mean
    predicted = true * torch.from_numpy(rng.uniform(0.5, 0.9, true.shape))
    valid = torch.from_numpy(rng.random((B, V, H, W)) < 0.7)
    return predicted, torch.where(valid[..., None], true, torch.nan), valid


# ---------------------------------------------------------------------------------- geometry


@pytest.mark.parametrize("seed", range(5))
def test_best_scale_is_the_best(seed: int) -> None:
    rng = np.random.default_rng(seed)
    predicted, true = rng.normal(size=(1, 9)) + 2, rng.normal(size=(1, 9)) + 3
    weight = rng.random((1, 9)) * (rng.random((1, 9)) < 0.8)
    scale = float(losses.best_scale(*(torch.from_numpy(a) for a in (predicted, true, weight))))

    def cost(s: float) -> float:
        return float((weight * np.abs(s * predicted - true)).sum())

    # The cost is convex and bends only at the ratios, so its least value is at one of them.
    assert cost(scale) == pytest.approx(min(cost(s) for s in (true / predicted)[0] if s > 0))
    assert cost(scale) <= min(cost(s) for s in np.linspace(0.01, 5, 2000)) + 1e-9


def test_best_scale_of_nothing_is_one() -> None:
    zeros = torch.zeros(2, 4)
    assert losses.best_scale(torch.rand(2, 4), torch.rand(2, 4), zeros).tolist() == [1, 1]
    assert losses.best_scale(zeros, torch.rand(2, 4), zeros + 1).tolist() == [1, 1]


@pytest.mark.parametrize("confident", [False, True])
def test_points(maps, rng, confident: bool) -> None:
    predicted, true, valid = maps
    log_c = torch.from_numpy(rng.normal(size=(B, V, H, W))) if confident else None
    total, count = 0.0, 0
    for b in range(B):
        where = [index for index in np.ndindex(V, H, W) if valid[(b, *index)]]
        nearest = 0.1 * np.mean([float(true[(b, *i, 2)]) for i in where])
        weights = {i: 1 / max(float(true[(b, *i, 2)]), nearest) for i in where}

        def cost(s: float, b: int = b, weights: dict = weights) -> float:
            return sum(
                w * abs(s * float(predicted[(b, *i, k)]) - float(true[(b, *i, k)]))
                for i, w in weights.items()
                for k in range(3)
            )

        s = min(
            (float(true[(b, *i, k)] / predicted[(b, *i, k)]) for i in where for k in range(3)),
            key=cost,
        )
        for i in where:
            error = weights[i] * float((s * predicted[(b, *i)] - true[(b, *i)]).abs().mean())
            c = 1.0 if log_c is None else math.exp(log_c[(b, *i)])
            total += c * error - 0.2 * math.log(c)
            count += 1
    _close(losses.points_loss(predicted, true, valid, log_c), total / count)


def test_points_are_surest_where_the_spread_is_what_the_confidence_says() -> None:
    """At an error of 0.2 / c the confidence c has no slope: 0.5 m of 2 m is 0.25, of 3 axes one."""
    true = torch.tensor([[0.0, 0, 2], [1, 0, 2], [0, 1, 2]]).view(1, 1, 1, 3, 3)
    predicted = true.clone()
    predicted[..., 0, 0] += 0.5
    log_c = torch.full((1, 1, 1, 3), math.log(0.2 / (0.5 / 2 / 3))).requires_grad_()
    losses.points_loss(predicted, true, torch.ones(1, 1, 1, 3) > 0, log_c).backward()
    assert float(log_c.grad[..., 0]) == pytest.approx(0, abs=1e-6)
    assert (log_c.grad[..., 1:] < -0.05).all()


def test_points_do_not_see_one_scale_a_scene_nor_the_order_of_views(maps) -> None:
    predicted, true, valid = maps
    loss = losses.points_loss(predicted, true, valid)
    scale = torch.tensor([0.3, 7.0])[:, None, None, None, None]
    torch.testing.assert_close(losses.points_loss(scale * predicted, true, valid), loss)
    order = [2, 0, 1]
    shuffled = losses.points_loss(predicted[:, order], true[:, order], valid[:, order])
    torch.testing.assert_close(shuffled, loss)
    own = torch.tensor([1.0, 2.0, 4.0])[:, None, None, None]
    assert losses.points_loss(own * predicted, true, valid) > 1.2 * loss


def test_depth_and_its_scale(rng) -> None:
    said, true = (torch.from_numpy(rng.normal(size=(B, V, H, W))) for _ in range(2))
    valid = torch.from_numpy(rng.random((B, V, H, W)) < 0.7)
    residuals, scales = [], []
    for b in range(B):
        error = (said - true)[b][valid[b]].numpy()
        # Of an even number the lower middle, as torch takes it.
        residuals += list(np.abs(error - np.sort(error)[(len(error) - 1) // 2]))
        scales.append(abs(error.mean()))
    _close(losses.depth_loss(said, true, valid), float(np.mean(residuals)))
    _close(losses.scale_loss(said, true, valid), float(np.mean(scales)))
    shift = torch.tensor([1.5, -2.0])[:, None, None, None]
    torch.testing.assert_close(
        losses.depth_loss(said + shift, true, valid), losses.depth_loss(said, true, valid)
    )
    assert losses.scale_loss(true + shift, true, valid) == pytest.approx(1.75)


def test_normals(rng) -> None:
    first, second = (
        torch.nn.functional.normalize(torch.from_numpy(rng.normal(size=(B, V, H, W, 3))), dim=-1)
        for _ in range(2)
    )
    valid = torch.from_numpy(rng.random((B, V, H, W)) < 0.7)
    angles = [math.acos(float(first[i] @ second[i])) for i in np.ndindex(B, V, H, W) if valid[i]]
    assert float(losses.normals_loss(first, second, valid)) == pytest.approx(
        np.mean(angles), abs=2e-6
    )


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_normals_at_equality_have_a_gradient_that_is_a_number(sign: float) -> None:
    normals = torch.tensor([0.0, 0.6, -0.8]).expand(1, 1, 2, 2, 3).clone().requires_grad_()
    loss = losses.normals_loss(normals, sign * normals.detach(), torch.ones(1, 1, 2, 2) > 0)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0 if sign > 0 else math.pi, abs=1e-5)
    assert normals.grad is not None
    assert normals.grad.isfinite().all()


def test_rotation_and_translation(rng) -> None:
    said, true = _poses(rng), _poses(rng)
    scale = torch.tensor([0.5, 20.0], dtype=torch.float64)
    angles, shifts = [], []
    for b in range(B):
        for i, j in permutations(range(V), 2):
            first, second = (
                np.linalg.inv(poses[b, i].numpy()) @ poses[b, j].numpy() for poses in (said, true)
            )
            between = Rotation.from_matrix(first[:3, :3].T @ second[:3, :3])
            angles.append(between.magnitude())
            e = np.abs(first[:3, 3] - second[:3, 3]) / float(scale[b])
            shifts.append(np.where(e < 0.1, e**2 / 2, 0.1 * (e - 0.05)).sum())
    _close(losses.rotation_loss(said, true), float(np.mean(angles)))
    _close(losses.translation_loss(said, true, scale), float(np.mean(shifts)))


def test_poses_do_not_see_the_frame_nor_the_order_of_views(rng) -> None:
    said, true, scale = _poses(rng), _poses(rng), torch.ones(B)
    frame, order = _poses(rng, B, 1), [1, 2, 0]
    for loss in (losses.rotation_loss, lambda a, b: losses.translation_loss(a, b, scale)):
        torch.testing.assert_close(loss(frame @ said, true), loss(said, true))
        torch.testing.assert_close(loss(said[:, order], true[:, order]), loss(said, true))
        assert float(loss(frame @ true, true)) == pytest.approx(0, abs=2e-6)


@pytest.mark.parametrize("turn", [0.0, math.pi])
def test_rotation_at_rest_and_half_a_turn_has_a_gradient_that_is_a_number(turn: float) -> None:
    true = torch.eye(4).expand(1, 2, 4, 4).clone()
    said = true.clone()
    said[0, 1, :3, :3] = torch.from_numpy(Rotation.from_rotvec([0, turn, 0]).as_matrix())
    said.requires_grad_()
    loss = losses.rotation_loss(said, true)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(turn, abs=1e-4)
    assert said.grad is not None
    assert said.grad.isfinite().all()


def test_one_view_has_no_relative_pose(rng) -> None:
    poses = _poses(rng, 2, 1).requires_grad_()
    loss = losses.rotation_loss(poses, poses) + losses.translation_loss(poses, poses, torch.ones(2))
    loss.backward()
    assert float(loss.detach()) == 0
    assert not poses.grad.any()


def _wall(shift: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two cameras side by side that face one wall at 2 m; the second says that it is elsewhere."""
    intrinsics = torch.tensor([[8.0, 0, 4], [0, 8, 4], [0, 0, 1]]).expand(1, 2, 3, 3)
    log_depth = torch.full((1, 2, 8, 8), math.log(2.0))
    log_depth[:, 1] += shift
    poses = torch.eye(4).expand(1, 2, 4, 4).clone()
    poses[0, 1, 0, 3] = 0.5
    points = pixel_rays(intrinsics, 8, 8) * log_depth.exp()[..., None]
    return points, log_depth, poses, intrinsics


@pytest.mark.parametrize(("shift", "loss"), [(0.0, 0.0), (0.05, 0.05), (0.3, 0.0)])
def test_consistency_of_a_wall(shift: float, loss: float) -> None:
    """The views disagree by the shift; beyond 10 % something is held to stand between them."""
    assert float(losses.consistency_loss(*_wall(shift))) == pytest.approx(loss, abs=1e-5)


def _room(view: int, shift: float) -> tuple[torch.Tensor, ...]:
    """Three turned cameras, each with its lens, that face the wall z = 2 of the first's frame.

    One of them says that it is elsewhere.
    """
    intrinsics = torch.tensor([[16.0, 0, 8], [0, 16, 8], [0, 0, 1]]).repeat(1, 3, 1, 1)
    intrinsics[0, :, [0, 1], [0, 1]] *= torch.tensor([[1.0], [1.1], [0.9]])
    poses = torch.eye(4).expand(1, 3, 4, 4).clone()
    turns = Rotation.from_rotvec([[0, 0.15, 0], [0.1, -0.1, 0.3]]).as_matrix()
    poses[0, 1:, :3, :3] = torch.from_numpy(turns)
    poses[0, 1:, :3, 3] = torch.tensor([[0.3, 0.1, 0.2], [-0.2, 0.2, -0.3]])
    rays = pixel_rays(intrinsics, 16, 16)
    forward = (rays @ poses[:, :, None, :3, :3].mT)[..., 2]
    log_depth = ((2 - poses[:, :, 2, 3, None, None]) / forward).log()
    log_depth[:, view] += shift
    return rays * log_depth.exp()[..., None], log_depth, poses, intrinsics


@pytest.mark.parametrize("view", range(3))
def test_consistency_of_turned_cameras(view: int) -> None:
    """Each view is compared with the next alone, so one that is off shows in two pairs of three."""
    assert float(losses.consistency_loss(*_room(view, 0.0))) < 2e-4
    # Not exactly two thirds, since not all pairs have as many pixels in sight.
    off = float(losses.consistency_loss(*_room(view, 0.04)))
    assert off == pytest.approx(0.04 * 2 / 3, rel=0.2)


def test_consistency_pulls_disagreeing_views_together() -> None:
    points, log_depth, poses, intrinsics = _wall(0.05)
    log_depth.requires_grad_()
    losses.consistency_loss(points, log_depth, poses, intrinsics).backward()
    assert log_depth.grad[:, 1].sum() > 0 > log_depth.grad[:, 0].sum()


def test_consistency_of_one_view_is_none() -> None:
    points, log_depth, poses, intrinsics = (part[:, :1] for part in _wall(0.05))
    points = points.clone().requires_grad_()
    loss = losses.consistency_loss(points, log_depth, poses, intrinsics)
    loss.backward()
    assert float(loss.detach()) == 0
    assert not points.grad.any()


def test_field_of_view() -> None:
    intrinsics = torch.eye(3).expand(1, 2, 3, 3).clone()
    intrinsics[0, :, 0, 0] = torch.tensor([64.0, torch.nan])
    # |0.3 - ln(64 / 32)|; the second is not known.
    _close(losses.field_of_view_loss(torch.tensor([[0.3, 9.0]]), intrinsics, 32), math.log(2) - 0.3)


# ------------------------------------------------------------------------------ words, patches


def test_contrastive(rng) -> None:
    first, second = (
        torch.nn.functional.normalize(torch.from_numpy(rng.normal(size=(4, 6))), dim=-1)
        for _ in range(2)
    )
    logits = math.e**1.5 * first.numpy() @ second.numpy().T
    slow = 0.0
    for table in (logits, logits.T):
        for i in range(4):
            slow -= table[i, i] - math.log(np.exp(table[i]).sum())
    log_t = torch.tensor(1.5)
    _close(losses.contrastive_loss(first, second, log_t), slow / 8)
    torch.testing.assert_close(
        losses.contrastive_loss(second, first, log_t), losses.contrastive_loss(first, second, log_t)
    )
    # Above 100 the temperature has no more say.
    torch.testing.assert_close(
        losses.contrastive_loss(first, second, torch.tensor(5.0)),
        losses.contrastive_loss(first, second, torch.tensor(9.0)),
    )


def test_language(rng) -> None:
    logits = torch.from_numpy(rng.normal(size=(2, 2, 5, 7)))
    words = torch.from_numpy(rng.integers(7, size=(2, 2, 5)))
    told = torch.tensor([[[0, 0, 0, 1, 1], [0] * 5], [[0, 0, 1, 0, 0], [0, 1, 1, 1, 1]]]) > 0
    texts = []
    for b, q in np.ndindex(2, 2):
        each = [
            math.log(np.exp(logits[b, q, i - 1].numpy()).sum())
            - float(logits[b, q, i - 1, words[b, q, i]])
            for i in range(1, 5)
            if told[b, q, i]
        ]
        texts += [np.mean(each)] if each else []
    _close(losses.language_loss(logits, words, told), float(np.mean(texts)))


def test_places(rng) -> None:
    said, true = (torch.from_numpy(2 * rng.normal(size=(2, 2, 3, 3))) for _ in range(2))
    known = torch.from_numpy(rng.random((2, 2, 3)) < 0.5)
    slow = []
    for i in np.ndindex(2, 2, 3):
        if known[i]:
            e = (said[i] - true[i]).abs().numpy()
            slow.append(np.where(e < 1, e**2 / 2, e - 0.5).sum())
    true[~known] = torch.nan
    _close(losses.places_loss(said, true, known), float(np.mean(slow)))


def test_scene(rng) -> None:
    said, true = (torch.tensor(rng.normal(size=(2, 3, 4, 3))).float() for _ in range(2))
    known = torch.tensor(rng.random((2, 3, 4)) < 0.7)
    scale = torch.tensor([2.0, 0.5])
    slow = []
    for scene, view, patch in np.argwhere(known.numpy()):
        off = np.abs((said - true)[scene, view, patch].numpy() / scale[scene].item())
        slow.append(np.where(off < 0.1, off**2 / 0.2, off - 0.05).sum())
    _close(losses.scene_loss(said, true, known, scale), float(np.mean(slow)))
    for delta in (0.1, 2.0):
        first, second = (
            each[known] / scale.repeat_interleave(known.sum((1, 2)))[:, None]
            for each in (said, true)
        )
        huber = torch.nn.functional.huber_loss(first, second, reduction="none", delta=delta)
        loss = losses.scene_loss(said, true, known, scale, delta)
        torch.testing.assert_close(loss, huber.sum(-1).mean() / delta)


def test_pointing(rng) -> None:
    """A view of 4 x 4 pixels in squares of 2; a word without a thing, and one that is not shown."""
    logits = torch.from_numpy(rng.normal(size=(1, 1, 3, 2, 5)))
    bodies = torch.tensor([[[0, 2, 3]]])
    ids = torch.zeros(1, 2, 4, 4, dtype=torch.long)
    ids[0, 0, :2, 1:3] = 2  # two pixels in each of the upper squares
    ids[0, 0, 3, 3] = 2  # and one in the last
    ids[0, 1, 0, 0] = 1
    log_p = logits[0, 0].log_softmax(-1).numpy()
    second = -(0.4 * log_p[1, 0, 1] + 0.4 * log_p[1, 0, 2] + 0.2 * log_p[1, 0, 4])
    nothing = -(log_p[1, 1, 0] + log_p[2, 0, 0] + log_p[2, 1, 0])
    _close(losses.pointing_loss(logits, bodies, ids), (second + nothing) / 4)


def test_masks(rng) -> None:
    logits = torch.from_numpy(rng.normal(size=(2, 2, 1, 3, 3)))
    true = torch.from_numpy(rng.random((2, 2, 1, 3, 3)) < 0.4)
    known = torch.tensor([[True, False], [True, True]])
    slow = []
    for b, q in np.ndindex(2, 2):
        if known[b, q]:
            p = 1 / (1 + np.exp(-logits[b, q].numpy()))
            t = true[b, q].numpy().astype(float)
            pixels = -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean()
            dice = 1 - (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1)
            slow.append(pixels + dice)
    _close(losses.masks_loss(logits, true, known), float(np.mean(slow)))


def test_shares(rng) -> None:
    """Two views of 4 x 6 pixels in squares of 2."""
    logits = torch.from_numpy(rng.normal(size=(1, 2, 6, 3)))
    labels = torch.from_numpy(rng.integers(3, size=(1, 2, 4, 6)))
    slow = []
    for v, row, column in np.ndindex(2, 2, 3):
        z = logits[0, v, 3 * row + column].numpy()
        log_p = z - math.log(np.exp(z).sum())
        cell = labels[0, v, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].flatten().tolist()
        slow.append(-sum(log_p[label] for label in cell) / 4)
    _close(losses.shares_loss(logits, labels), float(np.mean(slow)))


def test_masked_pictures(rng) -> None:
    images = torch.from_numpy(rng.random((1, 2, 3, 4, 6)))
    said = torch.from_numpy(rng.random((1, 2, 6, 12)))
    hidden = torch.from_numpy(rng.random((1, 2, 6)) < 0.5)
    slow = []
    for v, row, column in np.ndindex(2, 2, 3):
        if hidden[0, v, 3 * row + column]:
            cell = images[0, v, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            told = said[0, v, 3 * row + column].view(3, 2, 2)
            slow.append(float((cell - told).square().mean()))
    _close(losses.masked_loss(said, images, hidden), float(np.mean(slow)))


# -------------------------------------------------------------------------------- empty truth

_NAN = float("nan")
EMPTY = {
    "points": lambda x: losses.points_loss(
        x.view(1, 1, 2, 2, 3), torch.full((1, 1, 2, 2, 3), _NAN), torch.zeros(1, 1, 2, 2) > 0
    ),
    "confident points": lambda x: losses.points_loss(
        x.view(1, 1, 2, 2, 3), torch.full((1, 1, 2, 2, 3), _NAN), torch.zeros(1, 1, 2, 2) > 0,
        x[:4].view(1, 1, 2, 2),
    ),
    "depth": lambda x: losses.depth_loss(
        x.view(1, 1, 3, 4), torch.full((1, 1, 3, 4), _NAN), torch.zeros(1, 1, 3, 4) > 0
    ),
    "scale": lambda x: losses.scale_loss(
        x.view(1, 1, 3, 4), torch.full((1, 1, 3, 4), _NAN), torch.zeros(1, 1, 3, 4) > 0
    ),
    "normals": lambda x: losses.normals_loss(
        x.view(1, 1, 2, 2, 3), torch.zeros(1, 1, 2, 2, 3), torch.zeros(1, 1, 2, 2) > 0
    ),
    "field of view": lambda x: losses.field_of_view_loss(
        x.view(3, 4), torch.full((3, 4, 3, 3), _NAN), 8
    ),
    "language": lambda x: losses.language_loss(
        x.view(1, 1, 3, 4), torch.zeros(1, 1, 3, dtype=torch.long), torch.zeros(1, 1, 3) > 0
    ),
    "places": lambda x: losses.places_loss(
        x.view(1, 2, 2, 3), torch.full((1, 2, 2, 3), _NAN), torch.zeros(1, 2, 2) > 0
    ),
    "scene": lambda x: losses.scene_loss(
        x.view(1, 2, 2, 3), torch.full((1, 2, 2, 3), _NAN), torch.zeros(1, 2, 2) > 0,
        torch.zeros(1),
    ),
    "pointing": lambda x: losses.pointing_loss(
        x.view(1, 1, 2, 2, 3), torch.zeros(1, 1, 2, dtype=torch.long),
        torch.zeros(1, 2, 1, 2, dtype=torch.long),
    ),
    "masks": lambda x: losses.masks_loss(
        x.view(1, 1, 1, 3, 4), torch.zeros(1, 1, 1, 3, 4) > 0, torch.zeros(1, 1) > 0
    ),
    "masked": lambda x: losses.masked_loss(
        x.view(1, 1, 1, 12), torch.rand(1, 1, 3, 2, 2), torch.zeros(1, 1, 1) > 0
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EMPTY)
def test_nothing_known_is_zero_and_moves_nothing(name: str) -> None:
    x = torch.linspace(-1, 1, 12).requires_grad_()
    loss = EMPTY[name](x)
    loss.backward()
    assert float(loss.detach()) == 0
    assert x.grad is not None
    assert not x.grad.any()
    assert x.grad.isfinite().all()
