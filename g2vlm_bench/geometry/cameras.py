"""Pinhole cameras and rigid poses.

OpenCV camera frame (x right, y down, z forward), metres, depth is z. Pixel centres are at +0.5:
pixel (row i, column j) has image coordinates (x, y) = (j + 0.5, i + 0.5), and the intrinsics map
camera points to those. Poses are 4x4 matrices named `to_from_from`, such as `world_from_camera`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

Array = NDArray[np.float64]

# Poses in files carry 6 to 9 decimals, and float32 matrices deviate by some 1e-7 per entry.
RIGID_TOLERANCE = 1e-4


def check_intrinsics(intrinsics: NDArray[Any]) -> Array:
    """Return the intrinsics in float64 after checking that they are a pinhole matrix.

    Args:
        intrinsics: (3, 3), pixels; focal lengths positive, skew allowed, last row 0 0 1.

    Raises:
        ValueError: for another shape, non-finite entries, or a matrix that is no such camera.
    """
    matrix = np.asarray(intrinsics, dtype=np.float64)
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all():
        raise ValueError(f"intrinsics: expected a finite (3, 3) matrix, got {_describe(matrix)}")
    if matrix[0, 0] <= 0 or matrix[1, 1] <= 0:
        raise ValueError(
            "intrinsics: expected positive focal lengths, "
            f"got fx = {matrix[0, 0]:g}, fy = {matrix[1, 1]:g}"
        )
    if matrix[1, 0] != 0 or not np.array_equal(matrix[2], (0, 0, 1)):
        raise ValueError(
            "intrinsics: expected rows [fx s cx], [0 fy cy], [0 0 1], "
            f"got {matrix[1].tolist()}, {matrix[2].tolist()} as rows two and three"
        )
    return matrix


def pinhole(height: int, width: int, field_of_view_deg: float) -> Array:
    """Return the (3, 3) intrinsics of a camera with square pixels that looks out of the middle.

    Args:
        height: pixels.
        width: pixels.
        field_of_view_deg: along the longer side, above 0 and below 180.

    Raises:
        ValueError: for an image without pixels, or another angle.

    >>> pinhole(480, 640, 90.0)[:2].round(9).tolist()
    [[320.0, 0.0, 320.0], [0.0, 320.0, 240.0]]
    """
    if min(height, width) < 1 or not 0 < field_of_view_deg < 180:
        raise ValueError(
            "pinhole: expected a positive size and an angle between 0 and 180 degrees, "
            f"got {height} x {width} and {field_of_view_deg}"
        )
    focal = max(height, width) / 2 / np.tan(np.radians(field_of_view_deg) / 2)
    return np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])


def field_of_view_x_deg(intrinsics: NDArray[Any], width: int) -> float:
    """Return 2 atan(width / 2 fx), the horizontal angle of view of a centred camera, in degrees.

    Args:
        intrinsics: (3, 3) pixels; neither fy nor the principal point is asked.
        width: of the image, pixels.

    Raises:
        ValueError: for no intrinsics, or an image without pixels.

    >>> round(field_of_view_x_deg(pinhole(480, 640, 90.0), 640), 9)
    90.0
    """
    focal = check_intrinsics(intrinsics)[0, 0]
    if width < 1:
        raise ValueError(f"field of view: expected a positive width, got {width}")
    return float(np.degrees(2 * np.arctan(width / 2 / focal)))


def check_pose(pose: NDArray[Any]) -> Array:
    """Return the pose in float64 after checking that it is a rigid motion.

    Args:
        pose: (4, 4), translation in metres.

    Raises:
        ValueError: for another shape, non-finite entries, a last row other than 0 0 0 1, a
            rotation that is not orthonormal within 1e-4, or a left-handed one.
    """
    matrix = np.asarray(pose, dtype=np.float64)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        raise ValueError(f"pose: expected a finite (4, 4) matrix, got {_describe(matrix)}")
    if not np.allclose(matrix[3], (0, 0, 0, 1), rtol=0, atol=RIGID_TOLERANCE):
        raise ValueError(f"pose: expected the last row 0 0 0 1, got {matrix[3].tolist()}")
    check_rotation(matrix[:3, :3])
    return matrix


def check_rotation(rotation: NDArray[Any]) -> Array:
    """Return the rotation in float64 after checking that it is orthonormal and right-handed.

    Args:
        rotation: (3, 3).

    Raises:
        ValueError: for another shape, non-finite entries, a deviation from orthonormality above
            1e-4, or a reflection.
    """
    matrix = np.asarray(rotation, dtype=np.float64)
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all():
        raise ValueError(f"rotation: expected a finite (3, 3) matrix, got {_describe(matrix)}")
    deviation = np.abs(matrix @ matrix.T - np.eye(3)).max()
    if deviation > RIGID_TOLERANCE:
        raise ValueError(
            "rotation: expected orthonormal rows, "
            f"got a deviation of {deviation:.3g} (above {RIGID_TOLERANCE:g})"
        )
    if np.linalg.det(matrix) < 0:
        raise ValueError("rotation: expected determinant +1, got -1 (a left-handed frame)")
    return matrix


def pixel_grid(height: int, width: int) -> Array:
    """Return the image coordinates of all pixel centres.

    Returns:
        (height, width, 2): x = column + 0.5 and y = row + 0.5, in pixels.

    Raises:
        ValueError: for a height or width below 1.
    """
    if height < 1 or width < 1:
        raise ValueError(f"pixel grid: expected a positive size, got {height} x {width}")
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    return np.stack([x, y], axis=-1)


def unproject(
    depth_m: NDArray[Any], intrinsics: NDArray[Any], dtype: type[np.floating[Any]] = np.float64
) -> NDArray[Any]:
    """Return the camera point of each pixel of a depth map.

    Args:
        depth_m: (H, W) metres along z; NaN or infinite where invalid.
        intrinsics: (3, 3) pixels.
        dtype: of the points; each is computed in float64 and rounded once.

    Returns:
        (H, W, 3) metres in the camera frame; NaN where the depth is invalid.

    Raises:
        ValueError: for a depth that is not two-dimensional, or bad intrinsics.
    """
    depth = np.asarray(depth_m, dtype=np.float64)
    if depth.ndim != 2:
        raise ValueError(f"depth: expected shape (H, W), got {depth.shape}")
    # An infinite depth times a zero ray component would be NaN in one coordinate only.
    depth = np.where(np.isfinite(depth), depth, np.nan)
    inverse = np.linalg.inv(check_intrinsics(intrinsics))
    x, y = np.arange(depth.shape[1]) + 0.5, np.arange(depth.shape[0])[:, None] + 0.5
    points = np.empty((*depth.shape, 3), dtype)
    # The inverse is upper triangular: axis by axis, a third of the time of a matrix product.
    points[..., 0] = depth * (inverse[0, 0] * x + inverse[0, 1] * y + inverse[0, 2])
    points[..., 1] = depth * (inverse[1, 1] * y + inverse[1, 2])
    points[..., 2] = depth
    return points


def project(points: NDArray[Any], intrinsics: NDArray[Any]) -> tuple[Array, Array]:
    """Return where camera points fall in the image, and their depths.

    Args:
        points: (..., 3) metres in the camera frame.
        intrinsics: (3, 3) pixels.

    Returns:
        Image coordinates (..., 2) in pixels, NaN for points not in front of the camera; and the
        depths (...) in metres, as given.

    Raises:
        ValueError: for a last axis other than 3, or bad intrinsics.
    """
    points_camera = _check_points(points)
    depth = points_camera[..., 2]
    in_front = np.where(depth > 0, depth, np.nan)
    pixels = points_camera @ check_intrinsics(intrinsics).T
    return pixels[..., :2] / in_front[..., None], depth


def transform(points: NDArray[Any], pose: NDArray[Any]) -> Array:
    """Return the points moved by a rigid pose.

    Args:
        points: (..., 3) metres in the frame the pose maps from; NaN stays NaN.
        pose: (4, 4), `to_from_from`.

    Raises:
        ValueError: for a last axis other than 3, or a pose that is not rigid.
    """
    matrix = check_pose(pose)
    # A transposed view would send the product down numpy's slow path, some ten times slower.
    return _check_points(points) @ np.ascontiguousarray(matrix[:3, :3].T) + matrix[:3, 3]


def invert_pose(pose: NDArray[Any]) -> Array:
    """Return the inverse of a rigid pose: `camera_from_world` of a `world_from_camera`.

    Raises:
        ValueError: for a pose that is not rigid.
    """
    matrix = check_pose(pose)
    rotation = matrix[:3, :3].T
    return pose_matrix(rotation, -rotation @ matrix[:3, 3])


def relative_pose(world_from_first: NDArray[Any], world_from_second: NDArray[Any]) -> Array:
    """Return `first_from_second`: the second camera's pose as the first camera sees it.

    Unlike a difference of `camera_from_world` matrices it does not depend on the world frame.

    Raises:
        ValueError: for a pose that is not rigid.
    """
    return invert_pose(world_from_first) @ check_pose(world_from_second)


def pose_matrix(rotation: NDArray[Any], translation: NDArray[Any]) -> Array:
    """Return the (4, 4) pose made of a (3, 3) rotation and a (3,) translation.

    Raises:
        ValueError: if the parts do not make a rigid pose.
    """
    offset = np.asarray(translation, dtype=np.float64)
    if offset.shape != (3,):
        raise ValueError(f"translation: expected shape (3,), got {offset.shape}")
    pose = np.eye(4)
    pose[:3, :3] = check_rotation(rotation)
    pose[:3, 3] = offset
    return check_pose(pose)


def matrix_from_quaternion(quaternion: NDArray[Any]) -> Array:
    """Return the (3, 3) rotation of a quaternion in the order w, x, y, z.

    The quaternion is normalised first, so that the rounding of a file does no harm.

    Raises:
        ValueError: for another shape, non-finite entries, or zero norm.
    """
    wxyz = np.asarray(quaternion, dtype=np.float64)
    if wxyz.shape != (4,) or not np.isfinite(wxyz).all():
        raise ValueError(f"quaternion: expected four finite numbers, got {_describe(wxyz)}")
    if np.linalg.norm(wxyz) < 1e-12:
        raise ValueError("quaternion: expected a norm above zero, got 0")
    matrix: Array = Rotation.from_quat(np.roll(wxyz, -1)).as_matrix()
    return matrix


def quaternion_from_matrix(rotation: NDArray[Any]) -> Array:
    """Return the unit quaternion (w, x, y, z) with w >= 0 of a (3, 3) rotation.

    Raises:
        ValueError: for a matrix that is not a rotation.
    """
    xyzw = Rotation.from_matrix(check_rotation(rotation)).as_quat(canonical=True)
    return np.roll(xyzw, 1)


def _check_points(points: NDArray[Any]) -> Array:
    array = np.asarray(points, dtype=np.float64)
    if array.ndim < 1 or array.shape[-1] != 3:
        raise ValueError(f"points: expected shape (..., 3), got {array.shape}")
    return array


def _describe(array: Array) -> str:
    finite = "finite" if np.isfinite(array).all() else "non-finite"
    return f"a {finite} array of shape {array.shape}"
