"""The reference model's own commands: `train` it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def train(
    config: Annotated[str, typer.Option(help="nano, small, base, or a YAML file.")] = "nano",
    out: Annotated[
        Path | None, typer.Option(help="Folder of model, log and state; runs/train-CONFIG.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1.")] = "auto",
    precision: Annotated[
        str, typer.Option(help="float32, bfloat16, or auto: bfloat16 on CUDA.")
    ] = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Of the weights and of what is drawn.")] = 0,
    steps: Annotated[int | None, typer.Option(min=1, help="Stop after so many.")] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes that render ahead.")] = 0,
    validate_every: Annotated[int, typer.Option(min=1, help="Steps between measurements.")] = 500,
    public_vit: Annotated[
        str | None, typer.Option(help="Folder or name of a DINOv2-like visual encoder.")
    ] = None,
    self_supervised: Annotated[
        Path | None, typer.Option(help="Learn from a folder of pictures, without any truth.")
    ] = None,
    half: Annotated[bool, typer.Option(help="Write 16-bit weights, half the size.")] = False,
) -> None:
    """Train the reference model on the procedural world; the same command goes on with it.

    Never looks at the test split. Writes model.safetensors, config.json, tokenizer.json, log.jsonl
    and log.png.
    """
    from g2vlm_bench.reference import training
    from g2vlm_bench.reference.config import load_config
    from g2vlm_bench.report.training_plot import plot_training

    folder = out or Path("runs") / f"train-{Path(config).stem}"
    plan = training.make_plan(
        device, precision, seed=seed, steps=steps, workers=workers,
        validate_every=validate_every, half=half,
    )  # fmt: skip

    def said(line: str) -> None:
        typer.echo(line, err=True)
        plot_training(folder / training.LOG, folder / "log.png")

    training.train(load_config(config), folder, plan, public_vit, self_supervised, said)
    plot_training(folder / training.LOG, folder / "log.png")
    typer.echo(f"model: {folder}")
