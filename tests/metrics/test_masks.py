from __future__ import annotations

import numpy as np
import pytest

from g2vlm_bench.metrics.masks import intersection_over_union

FULL, NONE = np.ones((2, 2), bool), np.zeros((2, 2), bool)
TOP = np.array([[True, True], [False, False]])
LEFT = TOP.T


def test_by_hand() -> None:
    assert intersection_over_union([TOP], [TOP]) == 1.0
    assert intersection_over_union([TOP], [LEFT]) == pytest.approx(1 / 3)
    assert intersection_over_union([NONE], [LEFT]) == 0.0
    # Views together: (2 + 0) of (2 + 4).
    assert intersection_over_union([TOP, FULL], [TOP, NONE]) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("predicted", "true", "says"),
    [([TOP], [TOP, TOP], "true sizes"), ([TOP[:1]], [TOP], "true sizes"), ([TOP], [NONE], "pixel")],
)
def test_what_cannot_be_compared(predicted, true, says) -> None:
    with pytest.raises(ValueError, match=says):
        intersection_over_union(predicted, true)
