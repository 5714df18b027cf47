from __future__ import annotations

from pathlib import Path

import pytest
import torch

from g2vlm_bench.mended_torchvision import import_torchvision
from g2vlm_bench.reference.config import ModelConfig
from g2vlm_bench.reference.encoders import (
    GeometricEncoder,
    LanguageEncoder,
    VisualEncoder,
    pixel_rays,
)

TINY = ModelConfig(
    width=32, heads=4, visual_layers=1, language_layers=1, trunk_layers=4, decoder_layers=2,
    vocabulary=50, cloud_tokens=4, longest_text=12,
)  # fmt: skip


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


def test_what_is_hidden_does_not_come_through() -> None:
    torch.manual_seed(0)
    encoder = VisualEncoder(TINY).eval()
    hide = torch.ones(1, 1, 16, dtype=torch.bool)
    first, second = (encoder(torch.rand(1, 1, 3, 32, 32), hide=hide) for _ in range(2))
    torch.testing.assert_close(first.patches, second.patches)
    torch.testing.assert_close(first.detail, second.detail)


def test_sizes_that_patches_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match="whose sides 8 divides, got 30 x 32"):
        VisualEncoder(TINY)(torch.rand(1, 1, 3, 30, 32))


def test_a_public_transformer_takes_the_stems_place(tmp_path: Path) -> None:
    import_torchvision()
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    tiny = transformers.Dinov2WithRegistersModel(
        transformers.Dinov2WithRegistersConfig(
            hidden_size=24, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14
        )
    )
    tiny.save_pretrained(tmp_path)
    encoder = VisualEncoder(TINY, public=str(tmp_path)).eval()
    assert encoder.public is not None
    loaded = encoder.public.vit.state_dict()
    for name, weight in tiny.state_dict().items():
        torch.testing.assert_close(loaded[name], weight)
    pictures = torch.rand(1, 2, 3, 32, 24)
    seen = encoder(pictures)
    assert seen.patches.shape == (1, 2, 12, 32)
    seen.patches.sum().backward()
    assert encoder.public.project.weight.grad.abs().sum() > 0


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
