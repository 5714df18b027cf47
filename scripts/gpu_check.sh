#!/usr/bin/env bash
# Everything that needs a GPU, in one go: the GPU tests; the speed of the renderer, of nearest neighbours
# and of depth measured on the device; what the reference model costs there; the quick suite.
#   bash scripts/gpu_check.sh
#   bash scripts/gpu_check.sh train     # MINUTES (9) of nano_long; again to go on, while the machine is kept
# Writes benchmarks/results/gpu.md with the device's name. PYTHON names the interpreter; on a
# machine without the project's environment it needs torch, transformers, msgspec, typer, filelock,
# pytest, and neither Open3D, lm-eval nor datasets.
set -euo pipefail
cd "$(dirname "$0")/.."
export PYTHONPATH=$PWD
python=${PYTHON:-.venv/bin/python}
out=${OUT:-benchmarks/results}
mkdir -p "$out"
if [ "${1:-}" = train ]; then
  # The state stays in runs/, which the machine keeps between calls; what is of use comes back.
  "$python" run_eval.py train --config nano_long --device cuda --workers "$(($(nproc) - 2))" \
    --minutes "${MINUTES:-9}" --half --out runs/nano_long
  cp runs/nano_long/{model.safetensors,config.json,tokenizer.json,log.jsonl,log.png} "$out/"
  exit
fi
report="$out/gpu.md"
{
  echo "# GPU check"
  echo
  echo "\`bash scripts/gpu_check.sh\`, $("$python" - <<'PY'
import platform, torch
from g2vlm_bench.environment import Environment
e = Environment.gather()
name = torch.cuda.get_device_name() if torch.cuda.is_available() else "no CUDA device"
print(f"{name}, torch {torch.__version__}, Python {platform.python_version()}, commit {e.commit}")
PY
)"
  echo
  echo '```'
  "$python" -m pytest -q -p no:cacheprovider -m gpu tests 2>&1 | tail -n 15
  echo '```'
  echo
  echo '```'
  "$python" benchmarks/renderer.py
  "$python" benchmarks/geometry.py cuda_neighbours
  "$python" benchmarks/depth.py batch
  "$python" benchmarks/reference.py --device cuda
  "$python" benchmarks/reference.py --device cuda --config base --views 1 4 --backward
  echo '```'
} | tee "$report"
"$python" run_eval.py run --suite quick --out "${OUT:-runs}/gpu_quick"
echo "written: $report"
