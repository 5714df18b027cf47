# The default target is what CI runs.
.PHONY: ci lint types test format
ci:
	bash .ci/run
lint:
	.venv/bin/ruff check . && .venv/bin/ruff format --check .
types:
	.venv/bin/mypy
test:
	bash scripts/setup.sh && .venv/bin/pytest -n 2 --dist loadfile
format:
	.venv/bin/ruff check --fix . && .venv/bin/ruff format .
