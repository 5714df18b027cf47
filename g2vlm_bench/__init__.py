"""Scores one model on geometry and on language about the same scenes, in one run, in one table."""

__version__ = "0.1.0"
