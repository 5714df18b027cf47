"""Depth metrics of an aligned prediction against the truth, and which pixels count.

Every metric takes `(prediction, target, mask)`: depth in metres of any one shape and a bool mask
(None counts every pixel), computes in float64 and returns one float. All raise ValueError for an
empty mask, differing shapes, a non-finite prediction in the mask, or a target in the mask that is
not finite and positive. A prediction <= 0 is a large error to `abs_rel`, `sq_rel` and `rmse`,
outside every threshold to the ratio metrics, and undefined, hence a ValueError, to logarithms and
inverse depth; a protocol that wants those clips first (`clip_prediction`) and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Crop = Literal["eigen", "garg", "eigen_kb", "garg_kb", "nyu"]

# So many pixels stay in a core's cache while they are measured.
BLOCK = 1 << 13

# Top, bottom, left, right as fractions of the image, which the field truncates to integers.
FRACTION_CROPS = MappingProxyType(
    {
        "eigen": (0.3324324, 0.91351351, 0.0359477, 0.96405229),
        "garg": (0.40810811, 0.99189189, 0.03594771, 0.96405229),
    }
)
# What `_kb` crops first: height and width of the frames of KITTI's depth prediction benchmark.
KITTI_BENCHMARK = (352, 1216)
NYU_SIZE = (480, 640)
NYU_CROP = (slice(45, 471), slice(41, 601))


def crop_mask(height: int, width: int, crop: Crop) -> Mask:
    """Return the pixels that an evaluation crop keeps.

    `eigen` and `garg` hold for any size, by fractions; `eigen_kb` and `garg_kb` take these of the
    KITTI benchmark crop, 352 x 1216 at the bottom of the image and in its middle, as Marigold,
    UniDepth and UniK3D do; `nyu` is 45:471, 41:601 of 480 x 640.

    Raises:
        ValueError: for an unknown crop, a benchmark crop of a smaller image, or `nyu` on another
            size.

    Source: Eigen et al. 2014; Garg et al. 2016; constants as in Marigold (b1dffaa,
    src/dataset/kitti_dataset.py) and UniDepth (8d8cfe4, unidepth/datasets/kitti.py).
    """
    mask = np.zeros((height, width), dtype=bool)
    if crop == "nyu":
        if (height, width) != NYU_SIZE:
            raise ValueError(f"crop nyu: expected an image of 480 x 640, got {height} x {width}")
        mask[NYU_CROP] = True
        return mask
    fractions = FRACTION_CROPS.get(crop.removesuffix("_kb"))
    if fractions is None:
        raise ValueError(f"crop: expected {', '.join(get_args(Crop))}, got {crop!r}")
    # A view of the mask: what is set there is set in the whole.
    frame = mask[crop_frame(height, width, crop)]
    rows, columns = frame.shape
    top, bottom, left, right = fractions
    frame[int(top * rows) : int(bottom * rows), int(left * columns) : int(right * columns)] = True
    return mask


def crop_frame(height: int, width: int, crop: Crop) -> tuple[slice, slice]:
    """Return the rows and columns that a crop is taken of: all, or KITTI's benchmark crop.

    Raises:
        ValueError: for a benchmark crop of a smaller image.
    """
    if not crop.endswith("_kb"):
        return slice(0, height), slice(0, width)
    rows, columns = KITTI_BENCHMARK
    if height < rows or width < columns:
        raise ValueError(
            f"crop {crop}: expected an image of {rows} x {columns} or larger, "
            f"got {height} x {width}"
        )
    left = (width - columns) // 2
    return slice(height - rows, height), slice(left, left + columns)


def valid_mask(
    target: NDArray[Any],
    min_depth: float = 0.0,
    max_depth: float = np.inf,
    crop: Crop | None = None,
) -> Mask:
    """Return the pixels whose true depth counts: finite and min_depth < target < max_depth.

    Args:
        target: metres; (H, W), or any shape where there is no crop.
        min_depth: metres, excluded.
        max_depth: metres, excluded.
        crop: name of an evaluation crop, or None.

    Raises:
        ValueError: for bounds that leave nothing, or a crop of something not (H, W).
    """
    truth = np.asarray(target)
    if not 0 <= min_depth < max_depth:
        raise ValueError(
            f"valid mask: expected 0 <= min_depth < max_depth, got {min_depth} and {max_depth}"
        )
    mask: Mask = np.isfinite(truth) & (truth > min_depth) & (truth < max_depth)
    if crop is None:
        return mask
    if truth.ndim != 2:
        raise ValueError(f"crop {crop}: expected a target of shape (H, W), got {truth.shape}")
    height, width = truth.shape
    return mask & crop_mask(height, width, crop)


def near_enough(target: NDArray[Any], mask: Mask, times: float) -> Mask:
    """Return the masked pixels no farther than so many times the 1 % quantile of them all.

    Args:
        target: (H, W) metres.
        mask: (H, W), finite and positive there.
        times: above 1.

    Source: MoGe (0744441, moge/test/dataloader.py), with 1000.
    """
    depth = np.asarray(target).ravel().take(np.flatnonzero(mask))
    # Rarely is any truth as far, and then the quantile does not matter.
    if depth.size == 0 or depth.max() <= depth.min() * times:
        return mask
    kept: Mask = mask & (target <= np.quantile(depth, 0.01) * times)
    return kept


def within_quantile(target: NDArray[Any], mask: Mask, share: float) -> Mask:
    """Return the masked pixels no farther than a quantile of the view, others counted as 0 m.

    All of them where more than that share of the view is not masked.

    Args:
        target: (H, W) metres.
        mask: (H, W), finite and positive there.
        share: from 0 to 1.

    Source: SpatialBench (7f06a37, benchmark/utils/misc.py, `threshold_depth_map`), with 0.8.
    """
    depth = np.asarray(target)
    far = np.quantile(np.where(mask, depth, depth.dtype.type(0)), share)
    kept: Mask = mask & (depth <= far) if far > 0 else mask
    return kept


def clip_prediction(prediction: NDArray[Any], low: float, high: float) -> Array:
    """Return the prediction with finite values brought into [low, high]; others stay as they are.

    NaN and infinity are failures that no clip may repair; the metrics refuse them.

    Args:
        prediction: metres, any shape.
        low: metres.
        high: metres, may be infinite.

    Raises:
        ValueError: unless low <= high.
    """
    if not low <= high:
        raise ValueError(f"clip: expected low <= high, got {low} and {high}")
    values = np.asarray(prediction, dtype=np.float64)
    return np.where(np.isfinite(values), np.clip(values, low, high), values)


def masked_pixels(
    prediction: NDArray[Any], target: NDArray[Any], mask: Mask | None = None
) -> tuple[Array, Array]:
    """Return prediction and target of the counted pixels, (N,) float64 each, N >= 1, checked.

    Raises:
        ValueError: as the module says.
    """
    values = np.asarray(prediction, dtype=np.float64)
    truth = np.asarray(target, dtype=np.float64)
    chosen = np.broadcast_to(True, truth.shape) if mask is None else np.asarray(mask)
    if not values.shape == truth.shape == chosen.shape or chosen.dtype != bool:
        raise ValueError(
            "depth metric: expected prediction, target and a bool mask of one shape, "
            f"got {values.shape}, {truth.shape} and {chosen.dtype} {chosen.shape}"
        )
    if mask is None:
        values, truth = values.ravel(), truth.ravel()
    else:
        values, truth = values[chosen], truth[chosen]
    if values.size == 0:
        raise ValueError("depth metric: expected at least one valid pixel, got an empty mask")
    # Extremes are NaN where anything is.
    if not np.isfinite([values.min(), values.max()]).all():
        raise ValueError(
            "depth metric: expected finite predictions in the mask, "
            f"got {int((~np.isfinite(values)).sum())} non-finite of {values.size}"
        )
    if not (truth.min() > 0 and truth.max() < np.inf):
        raise ValueError("depth metric: expected finite, positive targets in the mask, got others")
    return values, truth


def abs_rel(
    prediction: NDArray[Any],
    target: NDArray[Any],
    mask: Mask | None = None,
    epsilon: float = 0.0,
) -> float:
    """Return mean |d - g| / (g + epsilon), a fraction.

    Source: Eigen et al. 2014, section 4; MoGe (0744441, moge/test/metrics.py) has the epsilon 1e-6.
    """
    values, truth = masked_pixels(prediction, target, mask)
    errors = values - truth
    np.abs(errors, out=errors)
    errors /= truth + epsilon
    return float(np.mean(errors))


def sq_rel(prediction: NDArray[Any], target: NDArray[Any], mask: Mask | None = None) -> float:
    """Return mean (d - g)^2 / g, in metres.

    Source: Eigen et al. 2014, section 4.
    """
    values, truth = masked_pixels(prediction, target, mask)
    return float(np.mean((values - truth) ** 2 / truth))


def rmse(prediction: NDArray[Any], target: NDArray[Any], mask: Mask | None = None) -> float:
    """Return sqrt(mean (d - g)^2), in metres.

    Source: Eigen et al. 2014, section 4.
    """
    values, truth = masked_pixels(prediction, target, mask)
    return float(np.sqrt(np.mean((values - truth) ** 2)))


def rmse_log(prediction: NDArray[Any], target: NDArray[Any], mask: Mask | None = None) -> float:
    """Return sqrt(mean (ln d - ln g)^2), natural logarithm.

    Source: Eigen et al. 2014, section 4.
    """
    return float(np.sqrt(np.mean(_log_errors(prediction, target, mask) ** 2)))


def log10(prediction: NDArray[Any], target: NDArray[Any], mask: Mask | None = None) -> float:
    """Return mean |log10 d - log10 g|.

    Source: Saxena et al. 2009.
    """
    return float(np.mean(np.abs(_log_errors(prediction, target, mask))) / np.log(10))


def si_log(
    prediction: NDArray[Any],
    target: NDArray[Any],
    mask: Mask | None = None,
    mean_weight: float = 1.0,
) -> float:
    """Return sqrt(mean e^2 - mean_weight (mean e)^2), e = ln d - ln g: not multiplied by 100.

    The default weight 1 is the standard deviation of e, unchanged by the scale of the prediction,
    as in Marigold (b1dffaa, which multiplies by 100). Weight 0.5 is Eigen's training loss, which
    Depth Anything V2 (a561b84) reports; it is not scale-invariant.

    Raises:
        ValueError: as the module says; also for one pixel, where any prediction would be perfect,
            and for a weight outside 0 to 1.

    Source: Eigen et al. 2014, equation 1.
    """
    if not 0 <= mean_weight <= 1:
        raise ValueError(f"si_log: expected a weight from 0 to 1, got {mean_weight}")
    errors = _log_errors(prediction, target, mask, at_least=2)
    # Equal to the formula above, and never below zero by rounding.
    return float(np.sqrt(errors.var() + (1 - mean_weight) * errors.mean() ** 2))


def si_log_sample_std(
    prediction: NDArray[Any], target: NDArray[Any], mask: Mask | None = None
) -> float:
    """Return the sample standard deviation (divisor N - 1) of ln d - ln g, not multiplied by 100.

    Raises:
        ValueError: as the module says; also for one pixel.

    Source: UniDepth (8d8cfe4), which multiplies by 100.
    """
    return float(_log_errors(prediction, target, mask, at_least=2).std(ddof=1))


def median_log(prediction: NDArray[Any], target: NDArray[Any], mask: Mask | None = None) -> float:
    """Return |median (ln d - ln g)|, the lower of two middle errors, not multiplied by 100.

    How far the whole map is out of scale: what is wrong in single pixels moves it little.

    Source: UniDepth (8d8cfe4, unidepth/utils/evaluation_depth.py, `medianlog`) and UniK3D
    (29f7862), which multiply by 100.
    """
    errors = _log_errors(prediction, target, mask)
    middle = (errors.size - 1) // 2
    return float(abs(np.partition(errors, middle)[middle]))


def ratio_within(
    prediction: NDArray[Any],
    target: NDArray[Any],
    mask: Mask | None = None,
    *,
    threshold: float,
) -> float:
    """Return the fraction of pixels with max(d / g, g / d) < threshold; d <= 0 is outside.

    Thresholds 1.25, 1.25^2, 1.25^3 are known as delta 1 to 3, those near 1 as inlier ratios.

    Raises:
        ValueError: as the module says; also for a threshold <= 1.

    Source: Eigen et al. 2014, section 4 (strict inequality).
    """
    if not threshold > 1:
        raise ValueError(f"ratio: expected a threshold above 1, got {threshold}")
    values, truth = masked_pixels(prediction, target, mask)
    within = 0
    for first in range(0, values.size, BLOCK):
        block = slice(first, first + BLOCK)
        within += int(np.count_nonzero(_ratios(values[block], truth[block]) < threshold))
    return within / values.size


def i_rmse(prediction: NDArray[Any], target: NDArray[Any], mask: Mask | None = None) -> float:
    """Return sqrt(mean (1 / d - 1 / g)^2), in 1 / metres.

    Raises:
        ValueError: as the module says; also for a prediction <= 0, which has no inverse depth.

    Source: KITTI depth benchmark, there in 1 / km; as here Marigold (b1dffaa, src/util/metric.py).
    """
    values, truth = masked_pixels(prediction, target, mask)
    _check_positive(values)
    return float(np.sqrt(np.mean((1.0 / values - 1.0 / truth) ** 2)))


# UniDepth's exponents, in single precision as torch's `linspace` has them: rounded once, and the
# upper half of them counted down from the end.
_AUC_STEPS = float((np.float32(5.0) - np.float32(0.01)) / np.float32(99)) * np.arange(50)
_AUC_EXPONENTS = (
    np.append(float(np.float32(0.01)) + _AUC_STEPS, (5.0 - _AUC_STEPS)[::-1])
    .astype(np.float32)
    .astype(np.float64)
)
DELTA_AUC_BEST = float(_AUC_EXPONENTS[-1] - _AUC_EXPONENTS[0]) / 5.0


def delta_auc(prediction: NDArray[Any], target: NDArray[Any], mask: Mask | None = None) -> float:
    """Return the area below the share of pixels with max(d / g, g / d) < 1.25^e, e from 0 to 5.

    The trapezoidal rule on 100 exponents from 0.01 to 5, divided by 5: the best value is 0.998, and
    d <= 0 is outside every threshold.

    Source: UniDepth (8d8cfe4, unidepth/utils/evaluation_depth.py, `d_auc`).
    """
    ratios = np.sort(_ratios(*masked_pixels(prediction, target, mask)))
    shares = np.searchsorted(ratios, 1.25**_AUC_EXPONENTS, side="left") / ratios.size
    return float(np.trapezoid(shares, _AUC_EXPONENTS)) / 5.0


def _ratios(values: Array, truth: Array) -> Array:
    """max(d / g, g / d), infinite for d <= 0."""
    ratios = np.full(values.shape, np.inf)
    np.divide(values, truth, out=ratios, where=values > 0)
    larger: Array = np.maximum(ratios, 1.0 / ratios)
    return larger


DepthMetric = Callable[[NDArray[Any], NDArray[Any], Mask | None], float]

DEPTH_METRICS: Mapping[str, DepthMetric] = MappingProxyType(
    {
        "abs_rel": abs_rel,
        "sq_rel": sq_rel,
        "rmse": rmse,
        "rmse_log": rmse_log,
        "log10": log10,
        "si_log": si_log,
        "si_log_half": partial(si_log, mean_weight=0.5),
        "si_log_sample": si_log_sample_std,
        "median_log": median_log,
        "i_rmse": i_rmse,
        "delta1": partial(ratio_within, threshold=1.25),
        "delta2": partial(ratio_within, threshold=1.25**2),
        "delta3": partial(ratio_within, threshold=1.25**3),
        "inlier_1.03": partial(ratio_within, threshold=1.03),
        "inlier_1.05": partial(ratio_within, threshold=1.05),
        "inlier_1.10": partial(ratio_within, threshold=1.10),
        "delta_auc": delta_auc,
    }
)
LOG_METRICS = frozenset(
    {"rmse_log", "log10", "si_log", "si_log_half", "si_log_sample", "median_log"}
)
# Of how far a map is out of scale: a constant is perfect where a median was fitted.
SCALE_METRICS = frozenset({"median_log"})


def depth_metrics(
    prediction: NDArray[Any],
    target: NDArray[Any],
    mask: Mask | None = None,
    names: Iterable[str] = tuple(DEPTH_METRICS),
) -> dict[str, float]:
    """Return the named metrics of one prediction, in the order of the names.

    Raises:
        ValueError: for a name not in `DEPTH_METRICS`, or as the metrics do.
    """
    wanted = list(names)
    unknown = [name for name in wanted if name not in DEPTH_METRICS]
    if unknown:
        raise ValueError(f"depth metrics: expected {', '.join(DEPTH_METRICS)}; got {unknown[0]!r}")
    values, truth = masked_pixels(prediction, target, mask)
    return {name: DEPTH_METRICS[name](values, truth, None) for name in wanted}


def _log_errors(
    prediction: NDArray[Any], target: NDArray[Any], mask: Mask | None, at_least: int = 1
) -> Array:
    values, truth = masked_pixels(prediction, target, mask)
    if values.size < at_least:
        raise ValueError(f"log metric: expected at least {at_least} pixels, got {values.size}")
    _check_positive(values)
    return np.log(values) - np.log(truth)


def _check_positive(values: Array) -> None:
    if values.min() <= 0:
        raise ValueError(
            "log metric: expected positive predictions in the mask, "
            f"got {int((values <= 0).sum())} of {values.size} at or below 0 (clip them first)"
        )
