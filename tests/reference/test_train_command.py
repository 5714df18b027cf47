"""`g2vlm-bench train` from the command line, with a configuration of one's own."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest
from PIL import Image

from g2vlm_bench import cli
from g2vlm_bench.reference import examples, feed, training
from g2vlm_bench.reference.checkpoint import load_reference
from g2vlm_bench.reference.config import known_configs

MINE = {
    "model": {
        "width": 16, "heads": 2, "visual_layers": 1, "language_layers": 1, "trunk_layers": 2,
        "decoder_layers": 1, "vocabulary": 640, "cloud_tokens": 2, "embedding": 8,
    },
    "training": {
        "pool": 2, "warm_up": 1, "stages": [{"steps": 2, "side": 16, "scenes": 2, "questions": 2}],
    },
}  # fmt: skip


def test_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(examples, "BLOCK", 2)
    monkeypatch.setattr(feed, "_VALIDATION_BLOCKS", 1)
    monkeypatch.setattr(training, "_TEXTS_OF", 4)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_bytes(msgspec.yaml.encode(MINE))
    arguments = ["train", "--config", "mine.yaml", "--device", "cpu", "--half"]
    for _ in range(2):  # the second time there is nothing left to do
        monkeypatch.setattr(sys, "argv", ["g2vlm-bench", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert not ended.value.code
        assert "model: runs/train-mine" in capsys.readouterr().out
    out = tmp_path / "runs/train-mine"
    assert load_reference(out).config.model.width == 16
    assert {path.name for path in out.iterdir()} == {
        "model.safetensors", "config.json", "tokenizer.json", "log.jsonl", "log.png",
        "state.safetensors",
    }  # fmt: skip


def test_stopped_before_anything_is_logged_it_is_of_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a training, and the same called again with nothing left to do, end well."""
    Image.new("RGB", (20, 20), (200, 40, 90)).save(tmp_path / "a.png")
    monkeypatch.setattr(training, "training_texts", lambda blocks: [["the red box"]])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_bytes(msgspec.yaml.encode(MINE))
    arguments = ["train", "--config", "mine.yaml", "--device", "cpu", "--self-supervised", "."]
    for more in (["--minutes", "0"], ["--steps", "1"]):
        monkeypatch.setattr(sys, "argv", ["g2vlm-bench", *arguments, *more])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert not ended.value.code
    assert load_reference(tmp_path / "runs/train-mine").config.model.width == 16


def test_help_names_every_configuration(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["g2vlm-bench", "train", "--help"])
    with pytest.raises(SystemExit):
        cli.main()
    told = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert f"{', '.join(known_configs())}, or a YAML or JSON file" in told
