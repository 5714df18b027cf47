"""Profiles whose code crops KITTI's frames to those of its benchmark before any other crop."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from g2vlm_bench.plugins import Plugins
from g2vlm_bench.profile import load_profile
from g2vlm_bench.protocols.depth_truth import Truth
from g2vlm_bench.sample import Ambiguity, Prediction, Target


def family_of(load_family, protocol: str):
    profile, name = protocol.split(".")
    fields = load_profile(Plugins.find().path("profile", profile)).expand("depth", name, profile)
    return load_family("depth", ["abs_rel"], *fields)


@pytest.mark.parametrize(
    ("protocol", "pixels"),
    [("marigold.kitti", 87_203), ("unidepth.kitti_si", 89_864), ("unik3d.kitti_ssi", 89_864)],
)
def test_kitti_is_scored_on_its_benchmark_crop(load_family, realdata, protocol, pixels) -> None:
    """As many pixels of a frame of 375 x 1242 count as in the peers' own datasets.

    Marigold@b1dffaa `kitti_benchmark_crop`, `_get_valid_mask`; UniDepth@8d8cfe4 and UniK3D@29f7862
    `KittiCrop`, `eval_mask`. Their pixels are ours, one by one; the fractions of the whole frame
    take 4,276 others with `garg` and 1,363 others with `eigen`.
    """
    frame = Image.open(realdata / "rgbd/kitti_metric3d/depth/0000000050.png")
    depth = np.asarray(frame, np.float32) / 256
    (scored_under,) = family_of(load_family, protocol).protocols
    target = Target(depth_m=(np.where(depth > 0, depth, np.float32(np.nan)),))
    assert Truth(target).count(scored_under) == pixels


@pytest.mark.parametrize("protocol", ["marigold.kitti", "unidepth.kitti_si", "unik3d.kitti_si"])
def test_outside_of_the_benchmark_crop_nothing_counts(load_family, protocol) -> None:
    rng = np.random.default_rng(1)
    true = rng.uniform(2, 60, (375, 1242)).astype(np.float32)
    predicted = (1.3 * true * rng.lognormal(0, 0.1, true.shape)).astype(np.float32)
    family = family_of(load_family, protocol)

    def score(part: tuple[slice, slice], spoiled: bool) -> float:
        guess = predicted.copy()
        if spoiled:
            guess[:23], guess[:, :13], guess[:, 1229:] = 50, 50, 50
        prediction = Prediction(depth=(guess[part],), ambiguity=Ambiguity.METRIC)
        target = Target(depth_m=(true[part],))
        (value,) = family.score(target, prediction, Ambiguity.METRIC).values.values()
        return value

    # The benchmark's own frames are such crops already: rows from 375 - 352, columns from 26 / 2.
    whole, crop = (slice(None), slice(None)), (slice(23, 375), slice(13, 1229))
    assert score(whole, spoiled=True) == score(crop, spoiled=False)
    with pytest.raises(ValueError, match="expected an image of 352 x 1216 or larger, got 351 x"):
        score((slice(351), slice(None)), spoiled=False)
