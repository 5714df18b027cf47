"""The one door to lm-eval: its tasks here (`harness`), our tasks and models there (`exported`)."""
