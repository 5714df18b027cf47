"""The command line: parse, call the API, print. Importing it imports nothing heavy."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from g2vlm_bench import __version__
from g2vlm_bench.commands import data, reference, scorers, survey
from g2vlm_bench.commands.shared import (
    AdaptersDirs,
    DataRoot,
    Json,
    TasksDirs,
    between_commas,
    find_plugins,
    print_json,
)
from g2vlm_bench.errors import BenchError, UsageError

if TYPE_CHECKING:
    from g2vlm_bench.api import Run
    from g2vlm_bench.floors import Survival
    from g2vlm_bench.plugins import Plugins
    from g2vlm_bench.store import MetricResult

INTERRUPTED = 130
SAMPLES_FAILED = 5
# Reasons of failures that are printed; samples.jsonl has all.
REASONS = 3

app = typer.Typer(
    add_completion=False,
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Listed(StrEnum):
    """What `list` lists."""

    TASKS = "tasks"
    MODELS = "models"
    SUITES = "suites"
    LEADERBOARDS = "leaderboards"
    FAMILIES = "families"
    PROFILES = "profiles"
    DATASETS = "datasets"
    METRICS = "metrics"


@app.callback(invoke_without_command=True)
def default_job(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Score geometry-vision-language models on depth, point clouds and spatial questions.

    Without a command: the quick suite on every model that needs no download. It prints the
    leaderboard and writes the report to runs/quick.

    Exit codes: 0 fine, 1 an error you can fix, 2 usage, 3 regression, 4 not comparable, 5 finished
    but samples failed, be it under one metric, 130 interrupted.
    """
    if version:
        typer.echo(f"g2vlm-bench {__version__}")
    elif context.invoked_subcommand is None:
        _run(suite="quick", out=Path("runs/quick"))


@app.command()
def run(
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", help="Models, by comma or repeated: NAME or WRAPPER:NAME."),
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option("--task", "-t", help="Tasks, by comma or repeated: names or YAML files."),
    ] = None,
    suite: Annotated[
        str | None,
        typer.Option(
            "--suite",
            "-s",
            help="A leaderboard: its tasks and models; with --task, only those of its tasks.",
        ),
    ] = None,
    model_args: Annotated[
        list[str] | None,
        typer.Option("--model-args", "-a", help="KEY=VALUE, or MODEL.KEY=VALUE among several."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first samples.")] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Ask again where an earlier call failed.")
    ] = False,
    floors: Annotated[
        bool,
        typer.Option("--floors", help="Beside each model: blind, shuffled, majority, chance."),
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1.")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16, float16.")] = "auto",
    batch_size: Annotated[str, typer.Option(help="A number, or auto.")] = "auto",
    data_root: DataRoot = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of run folders and of the report.")
    ] = None,
    tasks_dir: TasksDirs = None,
    adapters_dir: AdaptersDirs = None,
    json: Json = False,
) -> None:
    """Score models on tasks; goes on where an interrupted run stopped.

    A sample whose prediction failed, such as for lack of memory, stays failed unless --retry-failed
    asks the model again; the run then says how many were.

    With --data-root and neither --task nor --suite, the suite is `real`: the real data there.
    """
    if not task and suite is None and data_root is not None:
        suite = "real"
    _run(
        models=between_commas(",".join(model or [])),
        tasks=between_commas(",".join(task or [])),
        suite=suite,
        model_args=_key_values(model_args or []),
        limit=limit,
        retry_failed=retry_failed,
        floors=floors,
        device=device,
        dtype=dtype,
        batch_size=_batch_size(batch_size),
        data_root=data_root,
        out=out or Path("runs") / (suite or "tasks"),
        plugins=find_plugins(tasks_dir, adapters_dir),
        json=json,
    )


@app.command(name="list")
def list_(
    what: Annotated[Listed, typer.Argument(help="What to list.")] = Listed.TASKS,
    tasks_dir: TasksDirs = None,
    adapters_dir: AdaptersDirs = None,
    json: Json = False,
) -> None:
    """List what can be named, without importing any of it."""
    plugins = find_plugins(tasks_dir, adapters_dir)
    entries = _metrics(plugins) if what is Listed.METRICS else _named(plugins, what)
    if json:
        print_json([{"name": name, "summary": summary} for name, summary in entries])
        return
    width = max((len(name) for name, _ in entries), default=0)
    for name, summary in entries:
        typer.echo(f"{name:<{width}}  {summary}".rstrip())


@app.command()
def validate(
    tasks: Annotated[list[str] | None, typer.Argument(help="Tasks; every task if none.")] = None,
    data_root: DataRoot = None,
    samples: Annotated[
        int | None,
        typer.Option(min=1, help="How many samples to try, if not as many as the family needs."),
    ] = None,
    tasks_dir: TasksDirs = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Do not print prompts.")] = False,
) -> None:
    """Check tasks: the truth must score best and a scrambled truth must not.

    Prints a sample's prompt as the model will see it.
    """
    from g2vlm_bench.validate import validate_task

    plugins = find_plugins(tasks_dir, None)
    passed = True
    for name in tasks or plugins.names("task"):
        try:
            report = validate_task(plugins, name, data_root, samples)
        except BenchError as error:
            typer.echo(f"error: {error}", err=True)
            passed = False
        else:
            typer.echo(report.text(prompt=not quiet))
            passed = passed and report.passed
    if not passed:
        raise typer.Exit(1)


@app.command()
def score(
    run_folder: Annotated[Path, typer.Argument(help="A run folder.")],
    data_root: DataRoot = None,
    tasks_dir: TasksDirs = None,
    json: Json = False,
) -> None:
    """Score a run's stored predictions again: no model, no GPU."""
    from g2vlm_bench import api

    done = api.score(run_folder, data_root=data_root, plugins=find_plugins(tasks_dir, None))
    _print_results([done], json)
    _exit_on_failures([done])


@app.command()
def leaderboard(
    board: Annotated[str, typer.Argument(help="A leaderboard's name.")],
    runs: Annotated[list[Path], typer.Argument(help="Run folders, or folders of them.")],
    out: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("leaderboard"),
    data_root: DataRoot = None,
    tasks_dir: TasksDirs = None,
    json: Json = False,
) -> None:
    """Rank runs in one table, written as md, csv, json, tex and html."""
    _leaderboard(board, runs, out, data_root, find_plugins(tasks_dir, None), json)


@app.command()
def compare(
    base: Annotated[Path, typer.Argument(help="The run folder (or folder of runs) to hold on to.")],
    new: Annotated[Path, typer.Argument(help="The run folder (or folder of runs) to judge.")],
    max_drop: Annotated[
        list[str] | None,
        typer.Option(
            help="METRIC=X: a worsening above X is a regression, significant or not. "
            "Metrics that are not named are then not judged."
        ),
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML here.")] = None,
    json: Json = False,
) -> None:
    """Judge a new run against an old one: exit code 3 where a metric got worse.

    Without --max-drop, worse means that the 95 % interval of the paired difference excludes 0.
    """
    from g2vlm_bench import gate

    limits = {}
    for key, value in _key_values(max_drop or []).items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UsageError(f"--max-drop {key}", expected="a number", got=f"'{value}'")
        limits[key] = float(value)
    result = gate.compare(base, new, limits)
    if junit is not None:
        gate.write_junit(result, junit)
    if json:
        print_json(result.records())
    else:
        typer.echo(result.text())
    if result.regressed:
        raise typer.Exit(3)


app.command()(reference.train)
app.command()(reference.ask)
app.command()(survey.protocols)
app.command(name="compare_scorers")(scorers.compare_scorers)
app.add_typer(data.app, name="data")


def main() -> None:
    """Run the command line; an error the user can fix is one line and an exit code."""
    with _clean_interrupt():
        try:
            app(standalone_mode=True)
        except BenchError as error:
            typer.echo(f"error: {error}", err=True)
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)


@contextmanager
def _clean_interrupt() -> Iterator[None]:
    """Let a second ctrl-C end the process at once: all that is finished has been flushed."""

    def interrupt(signum: int, frame: Any) -> None:
        signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
        # Said here, because typer turns the exception into its own silent exit.
        os.write(2, b"interrupted: the same command goes on; ctrl-C again ends at once\n")
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _notes() -> Iterator[None]:
    """Print a warning as a line of its own, not with the code that it comes from."""

    def note(message: Warning | str, *_: Any, **__: Any) -> None:
        typer.echo(f"note: {message}", err=True)

    with warnings.catch_warnings():
        warnings.showwarning = note
        yield


def _run(
    models: list[str] | None = None,
    tasks: list[str] | None = None,
    suite: str | None = None,
    out: Path = Path("runs"),
    json: bool = False,
    plugins: Plugins | None = None,
    **options: Any,
) -> None:
    from g2vlm_bench import api

    plugins = plugins or find_plugins(None, None)

    finished: list[Run] = []

    def on_run(run: Run) -> None:
        finished.append(run)
        if not json:
            _print_progress(run)

    try:
        done = api.evaluate(
            models or [], tasks or [], suite=suite, out=out, plugins=plugins, on_run=on_run,
            **options,
        )  # fmt: skip
    except Exception:
        # One model's error must not hide what the others came to.
        if finished:
            _print_results(finished, json)
        raise
    for line in done.skipped:
        typer.echo(f"skipped: {line}", err=True)
    survivals = done.survivals()
    if suite is None:
        _print_results(done.runs, json, survivals)
    else:
        folders = [run.path for run in done.runs]
        _leaderboard(suite, folders, out, options.get("data_root"), plugins, json)
    if not json:
        _print_survivals(survivals)
    _exit_on_failures(done.runs)


def _leaderboard(
    board: str, runs: list[Path], out: Path, data_root: Path | None, plugins: Plugins, json: bool
) -> None:
    from g2vlm_bench import api

    with _notes():
        built = api.leaderboard(board, runs, out=out, data_root=data_root, plugins=plugins)
    if json:
        print_json(list(built.records()))
        return
    from rich.console import Console

    from g2vlm_bench.report import print_board

    print_board(built, Console())
    typer.echo(f"report: {out / 'index.html'}")


def _print_progress(run: Run) -> None:
    record = run.record
    name = record.task.definition["headline"]
    result = record.result(name)
    value = "refused" if result is None else _interval(result)
    counts = ", ".join(f"{count} {status}" for status, count in record.counts.items())
    if run.n_failed > record.counts.get("failed", 0):
        counts += f"; {_failed(run)}"
    typer.echo(f"{record.adapter.label:<20} {record.task.name} {name} {value} ({counts})", err=True)


def _print_results(
    runs: Sequence[Run], json: bool, survivals: Sequence[Survival] | None = None
) -> None:
    """Print runs; in JSON, where survivals are given, each with what its floors reach of it."""
    import msgspec

    if json:
        found = []
        for run in runs:
            own = (run.record.adapter.label, run.record.task.name)
            more: dict[str, Any] = {"run": str(run.path)}
            if survivals is not None:
                more["survivals"] = [one for one in survivals if (one.model, one.task) == own]
            found.append(msgspec.to_builtins(more) | msgspec.to_builtins(run.record))
        print_json(found)
        return
    for run in runs:
        record = run.record
        typer.echo(f"\n{record.adapter.label} on {record.task.name}  ({run.path})")
        width = max((len(result.metric) for result in record.results), default=0)
        for r in record.results:
            counts = f"{r.n_scored} scored, {r.n_failed} failed, {r.unscored}"
            value = _interval(r)
            typer.echo(f"  {r.metric:<{width}}  {value}  {r.unit:<3}  {counts}")
        for metric, reason in record.refused.items():
            typer.echo(f"  {metric:<{width}}  refused: {reason}")


def _print_survivals(found: Sequence[Survival]) -> None:
    """Say how much of each score its floors reach, counted from chance."""
    places = dict.fromkeys((one.model, one.task, one.metric, one.score) for one in found)
    for place in places:
        model, task, metric, score = place
        typer.echo(f"\n{model} on {task}, {metric} {score:.4f}: what survives without looking")
        for one in found:
            if (one.model, one.task, one.metric, one.score) == place:
                share = one.note if one.share is None else f"{one.share} of what is above chance"
                typer.echo(f"  {one.floor:<8}  {one.reached:>7.4f}  {share}")


def _interval(result: MetricResult) -> str:
    if result.value is None:
        return f"inf ({result.n_failed} failed)" if result.n_failed else "no truth"
    if result.low is None or result.high is None:
        return f"{result.value:.4f}"
    return f"{result.value:.4f} [{result.low:.4f}, {result.high:.4f}]"


def _exit_on_failures(runs: Sequence[Run]) -> None:
    failed = sum(run.n_failed for run in runs)
    unreadable = sum(run.record.unreadable_truths for run in runs)
    for run in runs:
        _print_reasons(run)
    if failed:
        again = "where the model raised, run --retry-failed asks it again"
        typer.echo(f"{failed} samples failed; samples.jsonl says why; {again}", err=True)
    if unreadable:
        typer.echo(f"the truth of {unreadable} samples could not be read", err=True)
    if failed or unreadable:
        raise typer.Exit(SAMPLES_FAILED)


def _print_reasons(run: Run) -> None:
    """Say why samples failed and why truths could not be read."""
    if run.n_failed:
        _print_counted(run, _failed(run), run.failures())
    if unreadable := run.record.unreadable_truths:
        total = sum(run.record.counts.values())
        heading = f"the truth of {unreadable} of {total} could not be read"
        _print_counted(run, heading, run.unreadable_truths())


def _print_counted(run: Run, heading: str, reasons: dict[str, int]) -> None:
    where = f"{run.record.adapter.label} on {run.record.task.name}"
    typer.echo(f"{where}: {heading} ({run.path / 'samples.jsonl'})", err=True)
    for reason, count in list(reasons.items())[:REASONS]:
        typer.echo(f"  {count}: {reason}", err=True)
    if rest := sum(list(reasons.values())[REASONS:]):
        typer.echo(f"  {rest}: other reasons", err=True)


def _failed(run: Run) -> str:
    """Say how many samples failed, and under how many metrics."""
    total = sum(run.record.counts.values())
    under = f"{run.n_failed_metrics} of {len(run.record.results)} metrics"
    return f"{run.n_failed} of {total} failed under {under}"


def _named(plugins: Plugins, what: Listed) -> list[tuple[str, str]]:
    kinds: dict[Listed, Any] = {
        Listed.TASKS: "task",
        Listed.MODELS: "adapter",
        Listed.SUITES: "leaderboard",
        Listed.LEADERBOARDS: "leaderboard",
        Listed.FAMILIES: "family",
        Listed.PROFILES: "profile",
        Listed.DATASETS: "reader",
    }
    kind = kinds[what]
    return [(name, plugins.summary(kind, name)) for name in plugins.names(kind)]


def _metrics(plugins: Plugins) -> list[tuple[str, str]]:
    from g2vlm_bench.task import load_definition

    tasks_of: dict[tuple[str, str], list[str]] = {}
    for name in plugins.names("task"):
        definition = load_definition(plugins.path("task", name))
        for metric in definition.metrics:
            tasks_of.setdefault((definition.family, metric), []).append(name)
    return [
        (f"{family}: {metric}", ", ".join(names))
        for (family, metric), names in sorted(tasks_of.items())
    ]


def _key_values(pairs: list[str]) -> dict[str, Any]:
    import yaml

    values = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageError(f"'{pair}'", expected="KEY=VALUE", got="no '='")
        try:
            values[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UsageError(
                f"'{pair}'",
                expected="a value that YAML can read",
                got=str(error).partition("\n")[0],
                fix="Quote it: KEY='\"VALUE\"'.",
            ) from None
    return values


def _batch_size(text: str) -> Any:
    if text == "auto" or (text.isdigit() and int(text) > 0):
        return text if text == "auto" else int(text)
    raise UsageError("--batch-size", expected="a positive number or 'auto'", got=f"'{text}'")


if __name__ == "__main__":
    main()
