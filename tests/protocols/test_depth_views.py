"""Views under a protocol: what is computed once, what is fitted on, and what is left over."""

from __future__ import annotations

import numpy as np
import pytest

from g2vlm_bench.protocols.depth import DepthProtocol
from g2vlm_bench.protocols.depth_truth import Truth
from g2vlm_bench.protocols.depth_views import Pairing, record_of
from g2vlm_bench.sample import Ambiguity, Target
from g2vlm_bench.task import NoTruthError

NAN = float("nan")
RNG = np.random.default_rng(0)
TRUE = RNG.uniform(1, 9, (6, 8)).astype(np.float32)
TRUE[0, :3] = NAN
GUESS = (TRUE * RNG.uniform(0.5, 1.5, TRUE.shape)).astype(np.float32)


def truth(*maps: np.ndarray) -> Truth:
    return Truth(Target(depth_m=maps))


def test_protocols_with_the_same_pixels_share_what_follows_from_them() -> None:
    one = truth(TRUE)
    plain, scaled = DepthProtocol(), DepthProtocol(alignment="median_scale", clip=True)
    near = DepthProtocol(max_depth_m=5)
    assert one.masks(plain) is one.masks(scaled)
    assert one.masks(plain) is not one.masks(near)
    assert one.values(0, plain) is one.values(0, scaled)
    assert one.edges(0, plain, 2) is one.edges(0, scaled, 2)
    assert one.count(plain) == 45
    assert one.count(near) == int((TRUE < 5).sum())


def test_another_size_is_wrong_in_a_view_without_truth_too() -> None:
    holed = np.full((6, 8), NAN, np.float32)
    pairing = Pairing(truth(TRUE, holed), [GUESS, GUESS[:-1]])
    with pytest.raises(ValueError, match=r"truth's size \(6, 8\), got \(5, 8\)"):
        pairing.aligned(DepthProtocol(), Ambiguity.METRIC)
    with pytest.raises(ValueError, match="depth of 2 views, got 1"):
        Pairing(truth(TRUE, holed), [GUESS])


def test_views_without_truth_are_left_out_and_some_must_be_left() -> None:
    holed = np.full((6, 8), NAN, np.float32)
    protocol = DepthProtocol(alignment="median_scale", scope="view")
    (view,) = Pairing(truth(holed, TRUE), [GUESS, GUESS]).aligned(protocol, Ambiguity.METRIC)
    assert view.index == 1
    assert record_of([view], protocol)["kind"] == "median_scale"
    with pytest.raises(NoTruthError, match="no valid true depth under median_scale"):
        Pairing(truth(holed), [GUESS]).aligned(protocol, Ambiguity.METRIC)
    with pytest.raises(NoTruthError, match="no true depth"):
        Truth(Target())


def test_maps_of_an_aligned_view() -> None:
    protocol = DepthProtocol(alignment="median_scale", clip_max_m=5)
    whole = np.nan_to_num(GUESS, nan=7.0)
    (view,) = Pairing(truth(TRUE), [whole]).aligned(protocol, Ambiguity.METRIC)
    expected = np.minimum(view.fit.scale * whole.astype(np.float64), 5)
    np.testing.assert_allclose(view.whole_map(), expected)
    np.testing.assert_allclose(view.predicted_map(), np.where(np.isnan(TRUE), NAN, expected))


def test_thinned_columns_are_fitted_on_and_all_pixels_measured() -> None:
    protocol = DepthProtocol(alignment="least_squares_scale", fit_max_px=4)
    whole = np.nan_to_num(GUESS, nan=7.0)
    (view,) = Pairing(truth(TRUE), [whole]).aligned(protocol, Ambiguity.METRIC)
    # Half of the columns, for the longer side is 8; the rows stay.
    d, g = whole[:, ::2].astype(float), TRUE[:, ::2].astype(float)
    kept = np.isfinite(g)
    assert view.fit.scale == pytest.approx((d[kept] @ g[kept]) / (d[kept] @ d[kept]))
    assert view.depth.shape == (45,)
