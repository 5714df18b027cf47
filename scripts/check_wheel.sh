#!/usr/bin/env bash
# Builds the wheel and runs it where no checkout is in reach: plug-ins are found, a job runs.
set -euo pipefail
cd "$(dirname "$0")/.."
checkout=$PWD
away=$(mktemp -d)
trap 'rm -rf "$away"' EXIT
.venv/bin/python -m build --quiet --wheel --outdir "$away/dist" "$checkout" > "$away/build.log" 2>&1 \
  || { cat "$away/build.log" >&2; exit 1; }
rm -rf "$checkout/build"
"$checkout/.venv/bin/python" -m venv "$away/venv"
"$away/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps "$away"/dist/*.whl
# The dependencies are those of the checkout's environment; a folder on a .pth is searched for
# modules, but its own .pth files are not read, so the editable install does not come along.
site=$("$checkout/.venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
echo "$site" > "$("$away/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/dependencies.pth"
shipped() { (cd "$1" && find g2vlm_bench/reference/weights -type f 2> /dev/null | sort); }
diff <(shipped "$checkout") <(shipped "$("$away/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')")
cd "$away"
venv/bin/python - "$checkout" <<'PY'
import pathlib, sys
import g2vlm_bench
where = pathlib.Path(g2vlm_bench.__file__)
assert pathlib.Path(sys.argv[1]) not in where.parents, f"the wheel is not what was imported: {where}"
PY
diff <(venv/bin/g2vlm-bench list tasks) <("$checkout/.venv/bin/python" "$checkout/run_eval.py" list tasks)
diff <(venv/bin/g2vlm-bench list models) <("$checkout/.venv/bin/python" "$checkout/run_eval.py" list models)
venv/bin/g2vlm-bench run --model plane,chance --suite quick --limit 2 --out runs
test -s runs/index.html
echo "the wheel works outside the checkout"
