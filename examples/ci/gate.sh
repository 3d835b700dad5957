#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: gate.sh MODEL RECIPE DIRECTORY

A step of a pipeline: compresses MODEL by RECIPE into DIRECTORY/model.onnx, with the verdict for
people in DIRECTORY/verdict.md and the figures for machines in DIRECTORY/report.json. Its exit code
is mcompress's: 0 all limits hold, 1 one does not (the best model so far is written all the same),
anything else an error. On GitHub the verdict goes to the summary of the job, too.

MCOMPRESS is the program (default: mcompress on the PATH).
TEXT
}

case ${1-} in
  -h | --help) usage; exit 0 ;;
esac
[ $# = 3 ] || { usage >&2; exit 2; }
model=$1 recipe=$2 directory=$3

mkdir -p "$directory"
code=0
"${MCOMPRESS:-mcompress}" run "$model" -r "$recipe" -o "$directory/model.onnx" --force \
  --report "$directory/verdict.md" --report "$directory/report.json" || code=$?
if [ -n "${GITHUB_STEP_SUMMARY-}" ] && [ -f "$directory/verdict.md" ]; then
  cat "$directory/verdict.md" >>"$GITHUB_STEP_SUMMARY"
fi
exit "$code"
