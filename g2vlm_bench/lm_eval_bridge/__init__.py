"""The one door to lm-eval: its tasks here (`harness`), our tasks and models there.

Importing this package imports nothing of lm-eval.
"""

from pathlib import Path

TASKS = Path(__file__).with_name("tasks")
