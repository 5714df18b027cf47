"""Small pictures, masks, videos and tables, written as published data have them; flat colours."""

from __future__ import annotations

import base64
import csv
import io
import json
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Rows = list[dict[str, Any]]
SIZE = (24, 32)


def png(shade: int = 0, size: tuple[int, int] = SIZE) -> bytes:
    """A picture of one colour."""
    content = io.BytesIO()
    Image.fromarray(np.full((*size, 3), shade, np.uint8)).save(content, "PNG")
    return content.getvalue()


def mask(size: tuple[int, int] = SIZE) -> bytes:
    """A mask whose right half is in."""
    content = io.BytesIO()
    values = np.zeros(size, np.uint8)
    values[:, size[1] // 2 :] = 255
    Image.fromarray(values).save(content, "PNG")
    return content.getvalue()


def picture(shade: int = 0) -> dict[str, Any]:
    """A picture as `datasets` writes it into Parquet."""
    return {"bytes": png(shade), "path": f"{shade}.png"}


def video(path: Path | io.BytesIO, frames: int = 12, rate: int = 4) -> None:
    """A video that grows brighter, 15 a frame."""
    import av

    with av.open(path if isinstance(path, io.BytesIO) else str(path), "w", format="mp4") as file:
        stream = file.add_stream("mpeg4", rate=rate)
        stream.height, stream.width = SIZE
        stream.pix_fmt = "yuv420p"
        for index in range(frames):
            shade = np.full((*SIZE, 3), 15 * index, np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(shade, format="rgb24")))
        file.mux(stream.encode())


def write_parquet(path: Path, rows: Rows) -> None:
    """Rows as Parquet, a row group for every two."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=2)


def write_json(path: Path, rows: Rows) -> None:
    """Rows as one list, or a row a line where the suffix says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_text(lines if path.suffix == ".jsonl" else json.dumps(rows))


def write_tsv(path: Path, rows: Rows) -> None:
    """Rows as VLMEvalKit writes them: by pandas, pictures in base64."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0], delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_files(root: Path, names: Iterable[str]) -> None:
    """Pictures, each of its own shade."""
    for shade, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(shade))


def write_zip(path: Path, members: Mapping[str, bytes]) -> None:
    """An archive."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def encoded(shade: int = 0) -> str:
    """A picture in base64."""
    return base64.b64encode(png(shade)).decode()
