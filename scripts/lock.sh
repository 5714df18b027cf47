#!/usr/bin/env bash
# Writes requirements.lock from pyproject.toml. Run it after a dependency changes, and commit both.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
"${PYTHON:-python3}" -m venv "$tools/venv"
"$tools/venv/bin/pip" install --quiet pip-tools
echo "torch==2.13.0" > "$tools/constraints.txt"
"$tools/venv/bin/pip-compile" --quiet --strip-extras --extra dev --no-header --no-annotate \
  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
  --constraint "$tools/constraints.txt" --output-file "$tools/lock" pyproject.toml
{
  echo "# Everything the project and its tests need, pinned. Made by scripts/lock.sh from pyproject.toml."
  # The local part of a version names a build (CPU or CUDA); the pin holds for both.
  grep -vE '^(#|g2vlm-bench)' "$tools/lock" | sed -E 's/\+[a-z0-9]+$//'
} > requirements.lock
