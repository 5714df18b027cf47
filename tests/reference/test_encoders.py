from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from g2vlm_bench.geometry.cameras import unproject
from g2vlm_bench.mended_torchvision import import_torchvision
from g2vlm_bench.reference.encoders import (
    GeometricEncoder,
    LanguageEncoder,
    VisualEncoder,
    pixel_rays,
)
from tests.reference.conftest import TINY


@pytest.fixture(scope="module")
def tiny_vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DINOv2 with registers that has learnt nothing, as transformers writes one."""
    transformers = pytest.importorskip("transformers")
    import_torchvision()
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("vit")
    transformers.Dinov2WithRegistersModel(
        transformers.Dinov2WithRegistersConfig(
            hidden_size=24, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14
        )
    ).save_pretrained(folder)
    return folder


def test_rays_meet_pixels() -> None:
    intrinsics = torch.tensor([[10.0, 0, 4], [0, 20, 3], [0, 0, 1]])
    rays = pixel_rays(intrinsics, 6, 8)
    assert rays.shape == (6, 8, 3)
    # The pixel in column 5, row 2 has its middle at (5.5, 2.5).
    torch.testing.assert_close(rays[2, 5], torch.tensor([1.5 / 10, -0.5 / 20, 1.0]))
    # Of squares of 2 pixels the middle is a corner of four.
    torch.testing.assert_close(
        pixel_rays(intrinsics, 6, 8, 2)[1, 2], torch.tensor([1 / 10, 0.0, 1.0])
    )


@pytest.mark.parametrize("skew", [0.0, 30.0, -7.5])
def test_rays_are_where_the_harness_unprojects(skew: float) -> None:
    camera = torch.tensor([[60.0, skew, 32], [0, 50, 24], [0, 0, 1]], dtype=torch.float64)
    own = unproject(np.ones((48, 64)), camera.numpy())
    cameras = torch.stack([camera, torch.eye(3, dtype=torch.float64)])
    torch.testing.assert_close(pixel_rays(cameras, 48, 64)[0], torch.from_numpy(own))
    # The middle of a square of 2 pixels is that of its corners' rays.
    corners = own.reshape(24, 2, 32, 2, 3).mean((1, 3))
    torch.testing.assert_close(pixel_rays(camera, 48, 64, 2), torch.from_numpy(corners))


def test_views_are_encoded_apart_and_a_camera_may_be_missing() -> None:
    torch.manual_seed(0)
    encoder = VisualEncoder(TINY).eval()
    images = torch.rand(1, 3, 3, 32, 24)
    intrinsics = torch.tensor([[30.0, 0, 12], [0, 30, 16], [0, 0, 1]]).expand(1, 3, 3, 3).clone()
    whole = encoder(images, intrinsics)
    assert whole.patches.shape == (1, 3, 12, 32)
    assert whole.detail.shape[-2:] == (16, 12)
    alone = encoder(images[:, 1:2], intrinsics[:, 1:2])
    torch.testing.assert_close(alone.patches[:, 0], whole.patches[:, 1], atol=1e-5, rtol=1e-5)
    intrinsics[:, 0] = torch.nan
    mixed = encoder(images, intrinsics)
    none = encoder(images)
    torch.testing.assert_close(mixed.patches[:, 0], none.patches[:, 0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(mixed.patches[:, 2], whole.patches[:, 2], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("public", [False, True])
def test_what_is_hidden_does_not_come_through(tiny_vit: Path, public: bool) -> None:
    """Neither in its own place nor by convolutions, norms or attention in its neighbours'."""
    torch.manual_seed(0)
    encoder = VisualEncoder(TINY, str(tiny_vit) if public else None).eval()
    hide = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    hide[0, 0, 1, 2] = hide[0, 0, 3, 0] = True
    pixels = hide.repeat_interleave(8, 2).repeat_interleave(8, 3)[:, :, None]
    picture = torch.rand(1, 1, 3, 32, 32)
    other = torch.where(pixels, 1 - picture, picture)
    first, second = (encoder(each, hide=hide.flatten(2)) for each in (picture, other))
    torch.testing.assert_close(first.patches, second.patches)
    torch.testing.assert_close(first.detail, second.detail)
    shown = encoder(torch.where(pixels, picture, 1 - picture), hide=hide.flatten(2))
    assert not torch.allclose(first.patches, shown.patches, atol=1e-2)
    assert not torch.allclose(first.patches, encoder(picture).patches, atol=1e-2)


def test_sizes_that_patches_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match="whose sides 8 divides, got 30 x 32"):
        VisualEncoder(TINY)(torch.rand(1, 1, 3, 30, 32))


def test_a_public_transformer_takes_the_stems_place(tiny_vit: Path) -> None:
    from transformers import Dinov2WithRegistersModel

    encoder = VisualEncoder(TINY, public=str(tiny_vit))
    assert encoder.public is not None
    loaded = encoder.public.vit.state_dict()
    for name, weight in Dinov2WithRegistersModel.from_pretrained(tiny_vit).state_dict().items():
        torch.testing.assert_close(loaded[name], weight)
    intrinsics = torch.full((1, 2, 3, 3), torch.nan)
    intrinsics[0, 0] = torch.tensor([[30.0, 0, 12], [0, 30, 16], [0, 0, 1]])
    seen = encoder(torch.rand(1, 2, 3, 32, 24), intrinsics, torch.rand(1, 2, 12) < 0.3)
    assert seen.patches.shape == (1, 2, 12, 32)
    (seen.patches.square().sum() + seen.detail.sum()).backward()
    idle = {name for name, p in encoder.named_parameters() if p.grad is None or not p.grad.any()}
    # Which DINOv2 itself was taught with alone.
    assert idle == {"public.vit.embeddings.mask_token"}


def test_a_patch_of_a_public_transformer_covers_one_of_ours(tiny_vit: Path) -> None:
    """Without a block, what a patch says depends on its own pixels, and hardly on others."""
    torch.manual_seed(0)
    public = VisualEncoder(TINY, public=str(tiny_vit)).public
    public.vit.encoder.layer = torch.nn.ModuleList()
    picture = torch.zeros(1, 3, 32, 24)
    before = public(picture)
    picture[:, :, 8:16, 16:24] = 1
    moved = (public(picture) - before).abs().sum(1)[0]
    assert moved.shape == (4, 3)
    assert moved[1, 2] == moved.max()
    # Bicubic resizing reaches two pixels beyond.
    assert moved[1, 0] == moved[3].max() == 0


def test_unknown_depth_says_nothing_and_one_pixel_does() -> None:
    torch.manual_seed(0)
    encoder = GeometricEncoder(TINY)
    depth = torch.full((1, 1, 16, 16), torch.nan)
    assert not encoder.read_depth(depth).any()
    depth[0, 0, 3, 12] = 2.0
    tokens = encoder.read_depth(depth)[0, 0]
    assert [bool(token.any()) for token in tokens] == [False, True, False, False]
    depth[0, 0, 3, 12] = 5.0
    assert not torch.allclose(encoder.read_depth(depth)[0, 0, 1], tokens[1])
    depth[0, 0, 3, 12] = -1.0
    assert not encoder.read_depth(depth).any()


def test_depth_is_told_by_the_logarithms_of_what_is_known_in_a_patch() -> None:
    encoder = GeometricEncoder(TINY)
    encoder.depth = torch.nn.Identity()
    depth = torch.full((1, 1, 8, 16), torch.nan)
    depth[0, 0, 2, 3], depth[0, 0, 7, 0] = math.e, math.e**3
    first, second = encoder.read_depth(depth)[0, 0]
    # There is some; of 1 and 3 the mean, spread, least and greatest; 2 of 64 pixels.
    torch.testing.assert_close(first, torch.tensor([1.0, 2, 1, 1, 3, 2 / 64]))
    assert not second.any()


def test_a_cloud_has_no_order_and_padding_no_say() -> None:
    torch.manual_seed(0)
    encoder = GeometricEncoder(TINY).eval()
    points = torch.randn(2, 30, 3)
    known = torch.ones(2, 30, dtype=torch.bool)
    known[1] = False
    tokens = encoder.read_cloud(points, known)
    order = torch.randperm(30)
    shuffled = encoder.read_cloud(points[:, order], known)
    torch.testing.assert_close(tokens, shuffled, atol=1e-5, rtol=1e-4)
    assert not tokens[1].any()
    padded = torch.cat([points, 99 * torch.ones(2, 5, 3)], 1)
    more = torch.cat([known, torch.zeros(2, 5, dtype=torch.bool)], 1)
    torch.testing.assert_close(encoder.read_cloud(padded, more), tokens, atol=1e-5, rtol=1e-4)


def test_a_cloud_is_read_by_where_its_points_are() -> None:
    torch.manual_seed(0)
    encoder = GeometricEncoder(TINY).eval()
    points, known = torch.randn(1, 30, 3), torch.ones(1, 30, dtype=torch.bool)
    tokens = encoder.read_cloud(points, known)
    for moved in (points + 0.1, points * torch.tensor([-1.0, 1, 1]), points * 3):
        assert not torch.allclose(encoder.read_cloud(moved, known), tokens, atol=1e-4)


def test_words_look_back_only() -> None:
    torch.manual_seed(0)
    encoder = LanguageEncoder(TINY).eval()
    words = torch.randint(0, 50, (1, 8))
    before = encoder(words)
    words[0, 5] = (words[0, 5] + 1) % 50
    after = encoder(words)
    torch.testing.assert_close(before[:, :5], after[:, :5])
    assert not torch.allclose(before[:, 5:], after[:, 5:])
    with pytest.raises(ValueError, match="at most 12 words, got 13"):
        encoder(torch.zeros(1, 13, dtype=torch.long))
