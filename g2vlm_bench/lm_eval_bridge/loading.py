"""Makes lm-eval's own object of one of its tasks, without its index of all."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from g2vlm_bench.errors import BenchError
from g2vlm_bench.lm_eval_bridge.finding import find_yaml, require_lm_eval
from g2vlm_bench.lm_eval_bridge.generation import Generation

# The consent that Hugging Face's `evaluate` asks for, too.
_CONSENT = "HF_ALLOW_CODE_EVAL"


def load_task(name: str) -> Any:
    """Make a task of lm-eval by its name or the path of its file.

    Raises:
        BenchError: lm-eval is not installed, the task is unknown, its file or data are broken, or
            it is of a kind that cannot be asked here.
    """
    require_lm_eval()
    path = find_yaml(name)
    where = f"lm-eval task '{name}'"
    # Before its functions are imported, which runs code, and its data are fetched.
    _check(where, _attempt(where, lambda: _read(path, resolve_func=False)))
    task = _attempt(where, lambda: _construct(_read(path)))
    if task.config.num_fewshot is None:
        task.set_config("num_fewshot", 0)
    return task


def _check(where: str, config: dict[str, Any]) -> None:
    if config.get("unsafe_code") and os.environ.get(_CONSENT) != "1":
        raise BenchError(
            where,
            expected=f"{_CONSENT}=1, since it runs code that the model writes",
            got="no such consent",
            fix="Set it where such code can do no harm.",
        )
    if config.get("doc_to_audio"):
        raise BenchError(where, expected="images or text alone", got="audio")
    try:
        Generation.read(config.get("generation_kwargs") or {})
    except ValueError as error:
        raise BenchError(f"{where}: {error}") from None


def _read(path: Path, resolve_func: bool = True) -> dict[str, Any]:
    from lm_eval.tasks._yaml_loader import load_yaml

    return dict(load_yaml(path, resolve_func=resolve_func))


def _construct(config: dict[str, Any]) -> Any:
    import lm_eval.models  # noqa: F401 - before any registration: else its own names are lost
    from lm_eval.api.task import ConfigurableTask

    class LazyTask(ConfigurableTask):  # type: ignore[misc]
        """Without the list of all examples, which decodes every image, where none is drawn."""

        def fewshot_docs(self) -> Any:
            return super().fewshot_docs() if self.config.num_fewshot else None

    for key in ("tag", "group", "task_list"):
        config.pop(key, None)
    own = config.pop("class", None)
    if own is None:
        return LazyTask(config=config)
    takes = "config" in inspect.signature(own.__init__).parameters
    task = own(config=config) if takes else own()
    task.config.task = config["task"]
    return task


def _attempt(where: str, load_it: Callable[[], Any]) -> Any:
    # A task is code and data of others: whatever they raise is one line here.
    try:
        return load_it()
    except Exception as error:
        first = (str(error).strip().splitlines() or ["no message"])[0][:200]
        raise BenchError(
            where, expected="a task whose data can be read", got=f"{type(error).__name__}: {first}"
        ) from error
