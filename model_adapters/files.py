"""Predictions made anywhere: maps, clouds, poses and answers in a folder, by sample id."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2vlm_bench.adapter import Adapter
from g2vlm_bench.errors import BenchError, nearest
from g2vlm_bench.files import load_array, load_depth, load_jsonl
from g2vlm_bench.geometry.meshes import read_points
from g2vlm_bench.paths import safe_join
from g2vlm_bench.sample import LANGUAGE, Ambiguity, Inputs, Prediction, Want
from g2vlm_bench.trajectory_files import load_trajectory

_INTEGER_MAPS = (".png", ".pgm")
_MAPS = (".npz", ".npy", ".exr", ".pfm", *_INTEGER_MAPS)
# A longer suffix than that of depth, since an array alone does not say what it holds.
_POINT_MAPS = (".npz", ".points.npy")
_CLOUDS = (".npz", ".ply", ".pcd", ".xyz", ".pts", ".bin", ".obj", ".glb")
# The suffix says the format, since most programs call all of them .txt.
_TRAJECTORIES = (".npz", ".tum", ".kitti", ".euroc", ".colmap")
_ANSWERS = "answers.jsonl"
_ARRAYS = {
    "depth": Want.DEPTH,
    "points": Want.POINTS,
    "point_maps": Want.POINT_MAPS,
    "intrinsics": Want.INTRINSICS,
    "world_from_camera": Want.POSES,
}


class Files(Adapter):
    """Reads what another program predicted. What is missing or broken fails for its sample alone.

    In the folder, for a sample `id` (a slash in it is a subfolder):

    - depth: `<id>.npy`, `.exr`, `.pfm`, or 16-bit `.png` and `.pgm`; several views are one array
      `(N, H, W)` or `<id>_000.npy`, `<id>_001.npy`, ...
    - point maps, each in its view's own camera: `<id>.points.npy`, `(H, W, 3)` or `(N, H, W, 3)`,
      or `<id>_000.points.npy`, ...
    - clouds: `<id>.ply`, `.pcd`, `.xyz`, `.pts`, or KITTI's `.bin`; or a mesh that points are drawn
      from: `<id>.ply` with faces, `.obj`, `.glb`
    - poses: `<id>.tum`, `.kitti` or `.euroc`, one line a view in their order, or `<id>.colmap`,
      COLMAP's `images.txt` or `images.bin`, whose images are views in the order of their names
    - all of that: `<id>.npz` with the arrays `depth` and `confidence` (`(H, W)` or `(N, H, W)`),
      `point_maps` (`(H, W, 3)` or `(N, H, W, 3)`), `points` and `normals` (`(N, 3)`),
      `intrinsics` (`(3, 3)`, for every view, or `(N, 3, 3)`),
      `world_from_camera` (`(4, 4)` or `(N, 4, 4)`)
    - answers: `answers.jsonl`, each line `{"id": ..., "answer": ...}`, or with
      `"choice_loglikelihoods": [...]` in the order of the options

    Args:
        path: The folder, or the file of answers where there are answers only.
        ambiguity: Up to what depth, points and point maps are known: metric, scale, affine or
            affine_disparity. Needed where there are any; nothing is assumed. Poses without it count
            as up to scale.
        depth_scale: The value of one metre in png and pgm files; needed where metric depth is
            stored in them.
        mesh_points: How many points are drawn from a mesh, uniformly by area; 0 takes its vertices.
            Needed where a file has faces.
        mesh_seed: Of drawing.
    """

    needs_images = False
    looks = False

    def __init__(
        self,
        path: str | Path,
        ambiguity: str | None = None,
        depth_scale: float | None = None,
        mesh_points: int | None = None,
        mesh_seed: int = 0,
    ) -> None:
        # As text first: a folder named 7 arrives from the command line as a number.
        self._path = Path(str(path)).expanduser()
        files = _prediction_files(self._path)
        answers = next((file for file in files if file.suffix == ".jsonl"), None)
        self._answers = {} if answers is None else _answers_by_id(answers)
        self.predicts = _found(files) | _found_in_answers(self._answers)
        if not self.predicts:
            raise BenchError(
                self._path, expected=f"predictions (<sample id>.npz, ..., {_ANSWERS})", got="none"
            )
        self.ambiguity = self._checked_ambiguity(ambiguity)
        self._depth_scale = self._checked_scale(depth_scale, files)
        self._mesh_points, self._mesh_seed = mesh_points, mesh_seed
        self.checkpoint = str(path)
        self.weights_hash = _hash(self._path, files)

    def predict(
        self, batch: Sequence[Inputs], wants: frozenset[Want]
    ) -> Sequence[Prediction | Exception]:
        """Read the prediction of each sample, or say why there is none."""
        return [self._try(inputs, wants) for inputs in batch]

    def _try(self, inputs: Inputs, wants: frozenset[Want]) -> Prediction | Exception:
        try:
            return Prediction(
                **(self._geometry(inputs, wants) if wants - LANGUAGE else {}),
                **(self._language(inputs, wants) if wants & LANGUAGE else {}),
            )
        except (BenchError, ValueError, OSError, ImportError) as error:
            return error

    # ------------------------------------------------------------------------------ geometry

    def _geometry(self, inputs: Inputs, wants: frozenset[Want]) -> dict[str, Any]:
        views = max(len(inputs.images), 1)
        archive = self._file(f"{inputs.id}.npz")
        arrays = _array_names(archive) if archive.is_file() else frozenset()
        fields: dict[str, Any] = {}
        if Want.DEPTH in wants:
            fields["depth"] = self._each_view(inputs.id, arrays, views, _MAPS, "depth")
            if "confidence" in arrays:
                fields["confidence"] = self._maps(archive, "confidence")
        if Want.POINT_MAPS in wants:
            fields["point_maps"] = self._each_view(
                inputs.id, arrays, views, _POINT_MAPS, "point_maps"
            )
        if Want.POINTS in wants:
            fields |= self._points(inputs.id, arrays)
        for key, suffixes in (("intrinsics", (".npz",)), ("world_from_camera", _TRAJECTORIES)):
            if _ARRAYS[key] in wants:
                matrices = _matrices(self._only(inputs.id, suffixes, arrays, key), key)
                fields[key] = (matrices,) * views if matrices.ndim == 2 else tuple(matrices)
        return fields

    def _each_view(
        self,
        sample_id: str,
        arrays: frozenset[str],
        views: int,
        suffixes: Sequence[str],
        key: str,
    ) -> tuple[NDArray[np.float32], ...]:
        whole = self._existing(sample_id, suffixes, arrays, key)
        if views == 1 or whole:
            return self._maps(self._only(sample_id, suffixes, arrays, key), key)
        maps: list[NDArray[np.float32]] = []
        for view in range(views):
            path = self._only(f"{sample_id}_{view:03d}", suffixes, frozenset({key}), key)
            maps += self._maps(path, key)
        return tuple(maps)

    def _maps(self, path: Path, key: str) -> tuple[NDArray[np.float32], ...]:
        """Read one map, or one a view. NaN and infinity stay, for the scorer to judge."""
        if path.suffix in _INTEGER_MAPS:
            # 0 is no depth, but it is the disparity of what is far away.
            invalid = () if self.ambiguity is Ambiguity.AFFINE_DISPARITY else (0.0,)
            return (load_depth(path, self._depth_scale, invalid),)
        if path.suffix not in (".npy", ".npz"):
            return (load_depth(path, invalid=()),)
        maps = load_array(path, key if path.suffix == ".npz" else None)
        of_points = key == "point_maps"
        pixel = ", 3" if of_points else ""
        axes = 3 if of_points else 2
        fits = maps.ndim in (axes, axes + 1) and (not of_points or maps.shape[-1] == 3)
        if maps.dtype.kind not in "fiu" or not fits or not maps.size:
            raise BenchError(
                path,
                expected=f"{key} as numbers (H, W{pixel}) or (N, H, W{pixel})",
                got=f"{maps.dtype} {maps.shape}",
            )
        return tuple(maps.reshape(-1, *maps.shape[-axes:]).astype(np.float32))

    def _points(self, sample_id: str, arrays: frozenset[str]) -> dict[str, Any]:
        path = self._only(sample_id, _CLOUDS, arrays, "points")
        if path.suffix != ".npz":
            cloud = read_points(path, self._mesh_points, self._mesh_seed, dropping=False)
            return {"points": cloud.points, "normals": cloud.normals}
        normals = load_array(path, "normals") if "normals" in arrays else None
        return {"points": load_array(path, "points"), "normals": normals}

    def _only(
        self, sample_id: str, suffixes: Sequence[str], arrays: frozenset[str], key: str
    ) -> Path:
        """Find the one file of a sample that holds something."""
        found = self._existing(sample_id, suffixes, arrays, key)
        if len(found) != 1:
            raise BenchError(
                f"sample '{sample_id}' in {self._path}",
                expected=f"one file with its {key} ({', '.join(suffixes)})",
                got=" and ".join(path.name for path in found) or "none",
            )
        return found[0]

    def _existing(
        self, sample_id: str, suffixes: Sequence[str], arrays: frozenset[str], key: str
    ) -> list[Path]:
        wanted = [suffix for suffix in suffixes if suffix != ".npz" or key in arrays]
        paths = [self._file(f"{sample_id}{suffix}") for suffix in wanted]
        return [path for path in paths if path.is_file()]

    def _file(self, name: str) -> Path:
        return safe_join(self._path, name)

    # ------------------------------------------------------------------------------ language

    def _language(self, inputs: Inputs, wants: frozenset[Want]) -> dict[str, Any]:
        row = self._answers.get(inputs.id)
        where = f"sample '{inputs.id}' in {self._path}"
        if row is None:
            raise BenchError(where, expected="a line with its id", got="none")
        fields: dict[str, Any] = {}
        if Want.ANSWER in wants:
            answer = row.get("answer")
            if isinstance(answer, bool) or not isinstance(answer, str | int | float):
                got = type(answer).__name__
                raise BenchError(where, expected="'answer' as text or a number", got=got)
            fields["answer"] = str(answer)
        if wants & (LANGUAGE - {Want.ANSWER}):
            values = row.get("choice_loglikelihoods")
            asked = len(inputs.continuations or inputs.choices)
            if not _are_numbers(values, asked):
                expected = f"'choice_loglikelihoods' as {asked} numbers"
                raise BenchError(where, expected=expected, got=repr(values)[:60])
            fields["choice_loglikelihoods"] = np.array(values, np.float64)
        return fields

    # ----------------------------------------------------------------------------- arguments

    def _checked_ambiguity(self, given: str | None) -> Ambiguity | None:
        has_geometry = bool(self.predicts & {Want.DEPTH, Want.POINTS, Want.POINT_MAPS})
        if given is None and not has_geometry:
            return None
        names = [str(ambiguity) for ambiguity in Ambiguity]
        if given not in names:
            raise BenchError(
                f"model argument 'ambiguity' for {self._path}",
                expected=f"one of {', '.join(names)}",
                got="none" if given is None else f"'{given}'",
                fix="Say up to what the depth and points in the folder are known."
                if given is None
                else nearest(given, names),
            )
        return Ambiguity(given)

    def _checked_scale(self, given: float | None, files: Sequence[Path]) -> float:
        stored = next((file for file in files if file.suffix in _INTEGER_MAPS), None)
        if given is None and stored is not None and self.ambiguity is Ambiguity.METRIC:
            raise BenchError(
                "model argument 'depth_scale'",
                expected=f"the value of one metre in {stored.name}",
                got="none",
                fix="It is 1000 for millimetres and 256 in KITTI's files.",
            )
        if given is not None and not given > 0:
            raise BenchError("model argument 'depth_scale'", expected="a number > 0", got=given)
        return given or 1.0


def _prediction_files(path: Path) -> list[Path]:
    if path.is_file() and path.suffix == ".jsonl":
        return [path]
    if not path.is_dir():
        raise BenchError(
            f"model argument 'path', {path}",
            expected="a folder or a .jsonl file",
            got="another file" if path.exists() else "nothing there",
        )
    suffixes = {*_MAPS, *_CLOUDS, *_TRAJECTORIES}
    found = [file for file in path.rglob("*") if file.suffix in suffixes and file.is_file()]
    answers = path / _ANSWERS
    return sorted([*found, *([answers] if answers.is_file() else [])])


def _answers_by_id(path: Path) -> dict[str, dict[str, Any]]:
    """Index the lines by id.

    Raises:
        BenchError: A line is no JSON object, has no id, or repeats one.
    """
    rows: dict[str, dict[str, Any]] = {}
    for number, row in enumerate(load_jsonl(path), start=1):
        sample_id = row.get("id")
        if isinstance(sample_id, bool) or not isinstance(sample_id, str | int):
            raise BenchError(f"{path}, line {number}", expected="an 'id'", got=repr(sample_id))
        if str(sample_id) in rows:
            raise BenchError(
                f"{path}, line {number}",
                expected="one line a sample",
                got=f"a second one of '{sample_id}'",
                fix="Remove one of them.",
            )
        rows[str(sample_id)] = row
    return rows


def _found(files: Sequence[Path]) -> frozenset[Want]:
    found = set()
    for file in files:
        if file.suffix == ".npz":
            try:
                found |= {_ARRAYS[name] for name in _array_names(file) & _ARRAYS.keys()}
            except BenchError:
                continue  # Its own sample will fail, and say why.
        elif file.name.endswith(_POINT_MAPS):
            found.add(Want.POINT_MAPS)
        elif file.suffix in _MAPS:
            found.add(Want.DEPTH)
        elif file.suffix in _CLOUDS:
            found.add(Want.POINTS)
        elif file.suffix in _TRAJECTORIES:
            found.add(Want.POSES)
    return frozenset(found)


def _matrices(path: Path, key: str) -> NDArray[Any]:
    if path.suffix == ".npz":
        return load_array(path, key)
    return load_trajectory(path, path.suffix[1:]).world_from_camera


def _found_in_answers(answers: dict[str, dict[str, Any]]) -> frozenset[Want]:
    return frozenset(w for w in LANGUAGE if any(w.field in row for row in answers.values()))


def _array_names(archive: Path) -> frozenset[str]:
    try:
        with zipfile.ZipFile(archive) as opened:
            return frozenset(name.removesuffix(".npy") for name in opened.namelist())
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise BenchError(archive, expected="an npz archive", got=error) from None


def _are_numbers(values: object, count: int) -> bool:
    return (
        isinstance(values, list)
        and len(values) == count
        and all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    )


def _hash(root: Path, files: Sequence[Path]) -> str:
    """Hash names and contents, so that a changed prediction is another run."""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as opened:
            content = hashlib.file_digest(opened, "sha256").hexdigest()
        digest.update(f"{file.relative_to(root).as_posix()}\0{content}\n".encode())
    return f"sha256:{digest.hexdigest()}"
