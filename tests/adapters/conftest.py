"""Adapters as the command line makes them, and inputs that hold nothing true."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from g2vlm_bench.adapter import Adapter
from g2vlm_bench.plugins import Plugins
from g2vlm_bench.sample import Inputs


@pytest.fixture(scope="session")
def make() -> Callable[..., Any]:
    plugins = Plugins()

    def make_adapter(spec: str, **arguments: Any) -> Adapter:
        return plugins.adapter(spec, arguments, {})

    return make_adapter


@pytest.fixture(scope="session")
def view() -> Callable[..., Inputs]:
    """Inputs with images of a size."""

    def make_inputs(
        height: int = 6, width: int = 8, views: int = 1, id: str = "a", **more: Any
    ) -> Inputs:
        images = tuple(np.zeros((height, width, 3), np.uint8) for _ in range(views))
        return Inputs(id=id, images=images, **more)

    return make_inputs
