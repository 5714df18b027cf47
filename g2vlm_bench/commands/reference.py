"""The reference model's own commands: `train` it, `ask` it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from g2vlm_bench.commands.shared import between_commas
from g2vlm_bench.errors import UsageError
from g2vlm_bench.reference.config import known_configs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".heic"}


def train(
    config: Annotated[
        str, typer.Option(help=f"{', '.join(known_configs())}, or a YAML or JSON file.")
    ] = "nano",
    out: Annotated[
        Path | None, typer.Option(help="Folder of model, log and state; runs/train-CONFIG.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1.")] = "auto",
    precision: Annotated[
        str, typer.Option(help="float32, bfloat16, or auto: bfloat16 on CUDA.")
    ] = "auto",
    seed: Annotated[
        int, typer.Option(min=0, help="Of the weights, and of what is shown and drawn.")
    ] = 0,
    steps: Annotated[int | None, typer.Option(min=1, help="Stop after so many.")] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0, help="Stop after so many; the same command goes on.")
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes that render ahead.")] = 0,
    validate_every: Annotated[int, typer.Option(min=1, help="Steps between measurements.")] = 500,
    public_vit: Annotated[
        str | None, typer.Option(help="Folder or name of a DINOv2-like visual encoder.")
    ] = None,
    self_supervised: Annotated[
        Path | None, typer.Option(help="Learn from a folder of pictures, without any truth.")
    ] = None,
    start_from: Annotated[
        str | None,
        typer.Option(
            help="Trained model to start from: nano, or a folder. Its trunk may have fewer layers."
        ),
    ] = None,
    half: Annotated[bool, typer.Option(help="Write 16-bit weights, half the size.")] = False,
) -> None:
    """Train the reference model on the procedural world; the same command goes on with it.

    Never looks at the test split. Writes model.safetensors, config.json, tokenizer.json, log.jsonl
    and log.png.
    """
    from itertools import accumulate

    from g2vlm_bench.reference import training
    from g2vlm_bench.reference.checkpoint import find_reference
    from g2vlm_bench.reference.config import load_config
    from g2vlm_bench.reference.running import LOG
    from g2vlm_bench.report.training_plot import plot_training

    folder = out or Path("runs") / f"train-{Path(config).stem}"
    plan = training.make_plan(
        device, precision, seed=seed, steps=steps, minutes=minutes, workers=workers,
        validate_every=validate_every, half=half,
    )  # fmt: skip

    curriculum = load_config(config)
    borders = list(accumulate(stage.steps for stage in curriculum.training.stages))

    def plot() -> None:
        log = folder / LOG
        if log.stat().st_size:  # nothing is logged of the very first steps
            plot_training(log, folder / "log.png", borders)

    def said(line: str) -> None:
        typer.echo(line, err=True)
        plot()

    start = None if start_from is None else find_reference(start_from)
    training.train(curriculum, folder, plan, public_vit, self_supervised, said, start)
    plot()
    typer.echo(f"model: {folder}")


def ask(
    asked: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE... QUESTION", help='Pictures of one scene, then "a question".'
        ),
    ],
    options: Annotated[
        str | None,
        typer.Option(
            help="Answers to choose from, by comma: red,green,blue. "
            "Needed unless yes, no or a number answers."
        ),
    ] = None,
    weights: Annotated[str, typer.Option(help="nano, or a folder that `train` wrote.")] = "nano",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1.")] = "auto",
    refinements: Annotated[
        int | None, typer.Option(help="How often geometry is fed back, 0 to 16.")
    ] = None,
    fov: Annotated[
        float | None, typer.Option(help="Field of view along the longer side, 1 to 170 degrees.")
    ] = None,
    intrinsics: Annotated[
        str | None, typer.Option(help="FX,FY,CX,CY of all pictures, in pixels.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder of depth, preview and cloud, whose earlier results are replaced; "
            "FIRST_IMAGE.g2vlm in the current folder."
        ),
    ] = None,
    npy: Annotated[
        bool, typer.Option("--npy", help="Depth as npy in metres, not as png in millimetres.")
    ] = False,
) -> None:
    """Ask the reference model about pictures of one's own; prints the answer alone.

    Writes depth, a coloured preview of it, cameras, and one coloured point cloud of all pictures.
    Pictures of one name share a folder unless --out names others; what ask wrote there before is
    removed, and that is said.
    "Describe the scene" asks for a description. A question that neither yes or no nor a number
    answers needs --options: "What color is the box?" --options red,green. The model knows
    rooms, table tops and roads of its own procedural world; of photographs it knows nothing.
    """
    from g2vlm_bench.asking import ask as answer
    from g2vlm_bench.asking import earlier_files, write_geometry

    images, question = _pictures_and_question(asked)
    choices = between_commas(options)
    if options is not None and not choices:
        raise UsageError("--options", expected="as in red,green,blue", got=f"'{options}'")
    done = answer(
        images, question, choices,
        weights=weights, device=device, refinements=refinements, field_of_view_deg=fov,
        intrinsics=None if intrinsics is None else _matrix(intrinsics),
    )  # fmt: skip
    folder = out or Path(f"{images[0].stem}.g2vlm")
    replaced = bool(earlier_files(folder))
    written = write_geometry(done.geometry, folder, npy)
    typer.echo(done.answer)
    if done.unknown:
        typer.echo(f"words that the model never learnt: {', '.join(done.unknown)}", err=True)
    for option, chance in done.chances.items():
        typer.echo(f"{chance:6.1%}  {option}", err=True)
    if replaced:
        typer.echo(f"earlier results in {folder} were replaced", err=True)
    typer.echo(f"{', '.join(path.name for path in written)} in {folder}", err=True)


def _pictures_and_question(asked: list[str]) -> tuple[list[Path], str]:
    """Take the question from behind the pictures.

    Raises:
        UsageError: One of them is missing.
    """
    *images, question = asked
    example = 'ask room.png "Is the box left of the ball?"'
    # Not by pathlib's is_file, which raises where a question is too long to name a file.
    if os.path.exists(question) or Path(question).suffix.lower() in _PICTURES:
        raise UsageError("ask", expected="a question behind the pictures", got="none", fix=example)
    if not question.strip():
        raise UsageError("ask", expected="a question", got="an empty one", fix=example)
    if not images:
        raise UsageError("ask", expected="pictures before the question", got="none", fix=example)
    return [Path(image) for image in images], question.strip()


def _matrix(text: str) -> NDArray[np.float64]:
    import numpy as np

    try:
        fx, fy, cx, cy = (float(part) for part in between_commas(text))
    except ValueError:
        expected = "four numbers FX,FY,CX,CY"
        raise UsageError("--intrinsics", expected=expected, got=f"'{text}'") from None
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
