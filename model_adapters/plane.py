"""Floor: a level ground 1.5 m below the camera and a wall 5 m in front of it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.adapter import Adapter
from g2vlm_bench.errors import BenchError
from g2vlm_bench.geometry.cameras import pinhole
from g2vlm_bench.sample import Ambiguity, Inputs, Prediction, Want

# Of the longer side, where the task does not give the camera: that of a phone's main lens.
_FIELD_OF_VIEW_DEG = 65.0


class Plane(Adapter):
    """The depth of an empty scene before a level camera, the same for every image of a size.

    With the horizon at the principal point, the ray of a pixel at height y meets the ground at
    depth `camera_height_m * fy / (y - cy)`; the wall hides what lies behind it.

    Args:
        camera_height_m: Height of the camera above the ground in metres.
        wall_m: Depth of the wall in metres. The default suits rooms; outdoors it hides the ground,
            which a wall at 80 m does not.
    """

    predicts = frozenset({Want.DEPTH, Want.INTRINSICS})
    ambiguity = Ambiguity.METRIC
    is_floor = True

    def __init__(self, camera_height_m: float = 1.5, wall_m: float = 5.0) -> None:
        for name, value in (("camera_height_m", camera_height_m), ("wall_m", wall_m)):
            if not (math.isfinite(value) and value > 0):
                raise BenchError(
                    f"model argument '{name}'", expected="a positive number of metres", got=value
                )
        self.camera_height_m = camera_height_m
        self.wall_m = wall_m

    def predict(self, batch: Sequence[Inputs], wants: frozenset[Want]) -> Sequence[Prediction]:
        """Draw the empty scene at the size of each image, by its camera where that is given."""
        return [self._predict_one(inputs, Want.INTRINSICS in wants) for inputs in batch]

    def _predict_one(self, inputs: Inputs, with_camera: bool) -> Prediction:
        cameras = inputs.intrinsics or tuple(
            pinhole(image.shape[0], image.shape[1], _FIELD_OF_VIEW_DEG) for image in inputs.images
        )
        views = zip(inputs.images, cameras, strict=True)
        return Prediction(
            depth=tuple(self._depth(i.shape[0], i.shape[1], camera) for i, camera in views),
            intrinsics=cameras if with_camera else None,
        )

    def _depth(
        self, height: int, width: int, intrinsics: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        focal, centre = float(intrinsics[1, 1]), float(intrinsics[1, 2])
        below_horizon = np.arange(height) + 0.5 - centre
        # The ground is hidden by the wall at and above the row where both have the same depth.
        meets_wall = self.camera_height_m * focal / self.wall_m
        row_m = self.camera_height_m * focal / np.maximum(below_horizon, meets_wall)
        return np.repeat(row_m.astype(np.float32)[:, None], width, axis=1)
