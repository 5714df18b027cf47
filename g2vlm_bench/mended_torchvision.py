"""Torchvision beside a torch that it was not built for."""

from __future__ import annotations

import sys
from typing import Any

# The declarations of missing operators live as long as these do.
_LIBRARIES: list[Any] = []


def import_torchvision() -> None:
    """Import torchvision even where its compiled operators were built for another torch.

    The registry's wheel is a CUDA build; beside a CPU build of torch its operators cannot load, and
    its own import then fails on registering the two below. No image processor of a depth estimator
    calls a compiled operator, so declaring them is enough.
    """
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        import torch

        library: Any = torch.library  # its classes are untyped
        operators = library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        for module in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[module]
        import torchvision  # noqa: F401

        _LIBRARIES.append(operators)
