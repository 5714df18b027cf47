"""What a dataset is to the harness: a pinned list of lazy samples."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from g2vlm_bench.sample import Sample


class Reader(ABC):
    """Reads one dataset layout.

    A reader is made from the `data` section of a task file: its keyword arguments are that
    section's keys less those that pin the data, so an unknown key is refused by the signature.
    Readers of files take `root: Path` first, the folder the layout starts at. Making a reader lists
    the samples and opens no image, depth map or cloud.

    Attributes:
        splits: The splits the data has.
        shows_images: False where no sample has an image, so that most models cannot take part.
        from_hub: Whether it can be made without a folder, of a dataset of the Hub.
        keeps_record: The folder of the data, where what is found at first use is to be recorded.
        revision: Of which revision the data are, where they say so themselves.
    """

    splits: ClassVar[tuple[str, ...]] = ("test",)
    from_hub: ClassVar[bool] = False
    shows_images: bool = True
    keeps_record: Path | None = None
    revision: str = ""

    @abstractmethod
    def samples(self, split: str) -> Sequence[Sample]:
        """List a split's samples in a fixed order; ids are unique, nothing heavy is opened."""

    def counts(self) -> dict[str, int]:
        """Count what a catalogue may know of the split `test` besides its samples.

        Returns:
            `scenes`, `sequences` and `clips`, which are clusters by the names data sets give them,
            and the samples below each first folder of a cluster's name, as DIODE's `indoors`.
        """
        clusters = [sample.cluster for sample in self.samples("test")]
        below = Counter(cluster.partition("/")[0] for cluster in clusters if "/" in cluster)
        return {**below, **dict.fromkeys(("scenes", "sequences", "clips"), len(set(clusters)))}

    @abstractmethod
    def content_hash(self, split: str) -> str:
        """Hash everything a split's numbers depend on, as `sha256:<hex>`.

        Raises:
            BenchError: A file of the split is missing.
        """
