"""A toy model that answers some batches and then never again, until `gone` exists."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from g2vlm_bench.adapter import Adapter
from g2vlm_bench.sample import Inputs, Prediction, Want


class Hang(Adapter):
    predicts = frozenset({Want.ANSWER})

    def __init__(self, flag: str, stubborn: bool = False) -> None:
        self.flag, self.stubborn = Path(flag), stubborn

    def predict(self, batch: Sequence[Inputs], wants: frozenset[Want]) -> list[Prediction]:
        if batch[0].id == "room-4" and not self.flag.with_suffix(".mended").exists():
            self.flag.touch()
            while self.stubborn:
                with suppress(KeyboardInterrupt):
                    time.sleep(60)
                self.flag.with_suffix(".shrugged").touch()
            time.sleep(60)
        return [Prediction(answer=str(inputs.images[0][0, 0, 0])) for inputs in batch]
