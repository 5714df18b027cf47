#!/usr/bin/env bash
# Creates .venv from requirements.lock, with the project in it. Does nothing where that is done.
# Needs Python 3.11 or newer with its venv module; PYTHON names another interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then
  echo "setup: expected Python 3.11 or newer, got $("$python" --version 2>&1 || true)." \
    "Name one: PYTHON=/path/to/python3.11 bash scripts/setup.sh" >&2
  exit 1
fi
stamp=.venv/.g2vlm_bench_setup
wanted=$(cat requirements.lock pyproject.toml scripts/setup.sh | sha256sum)
if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$wanted" ]; then
  echo "setup: creating .venv from requirements.lock (a few minutes, once)" >&2
  [ -x .venv/bin/python ] || "$python" -m venv .venv
  # torch first and by itself: its pin may be met by a CPU build that stands on this machine.
  .venv/bin/pip install --quiet --disable-pip-version-check "$(grep '^torch==' requirements.lock)"
  .venv/bin/pip install --quiet --disable-pip-version-check --requirement requirements.lock
  .venv/bin/pip install --quiet --disable-pip-version-check --no-deps --editable .
  echo "$wanted" > "$stamp"
fi

# Open3D (compressed PCD, fusion of depth maps) links these; everything else works without them.
if ! .venv/bin/python -c 'import open3d' > /dev/null 2>&1; then
  libraries="libusb-1.0-0 libegl1 libgl1 libx11-6 libidn2-0"
  install="apt-get update && apt-get install -y --no-install-recommends $libraries"
  if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
    echo "setup: installing Open3D's system libraries: $libraries" >&2
    log=$(mktemp)
    sh -c "$install" > "$log" 2>&1 || { tail -n 3 "$log" >&2; echo "setup: that failed;" \
      "all that does not need Open3D works without them" >&2; }
  else
    echo "setup: Open3D lacks system libraries; what does not need it works. To add them:" \
      "sudo sh -c '$install'" >&2
  fi
fi
