# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Sourced by the scripts beside it: where the program is ($program), and a Python of their own ($python).
set -euo pipefail
export PYTHONDONTWRITEBYTECODE=1
bench=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$bench/../.." && pwd)

program=${MCOMPRESS:-$root/build/release/bin/mcompress}
[ -x "$program" ] || {
  echo "no program at $program: build it (tools/quickstart), or say where it is: MCOMPRESS=FILE" >&2
  exit 2
}

# MCOMPRESS_BENCH_PYTHON: a Python that has the packages already.
python=${MCOMPRESS_BENCH_PYTHON:-$root/build/bench-venv/bin/python}
if [ ! -x "$python" ]; then
  python3 -m venv "$root/build/bench-venv"
  "$root/build/bench-venv/bin/pip" install --quiet numpy onnx onnxruntime sympy
fi
