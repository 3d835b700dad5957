#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: examples/deep-compression/run.sh OUT [RECIPE...]

Fetches MNIST where it is not there, runs the recipes beside this script (lenet-300-100,
lenet-300-100-small, lenet-5, lenet-5-small without RECIPE), packs their results, and writes
OUT/table.md.

MCOMPRESS=FILE is another program than build/release/bin/mcompress.
TEXT
}

case ${1-} in
  -h | --help) usage; exit 0 ;;
  -* | '') usage >&2; exit 2 ;;
esac
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
program=${MCOMPRESS:-$here/../../build/release/bin/mcompress}
out=$1
shift
[ $# -gt 0 ] || set -- lenet-300-100 lenet-300-100-small lenet-5 lenet-5-small
"$here/fetch.sh"
mkdir -p "$out"
table=$out/table.md
printf '| recipe | input | plain ONNX | times | packed | times | error before | after |\n' >"$table"
printf '|---|---|---|---|---|---|---|---|\n' >>"$table"

# The first number after "KEY": of a JSON report, from the line that has FIRST on.
number() { # FILE FIRST KEY
  sed -n "/\"$2\"/,\$ s/.*\"$3\": \([0-9.e+-]*\).*/\1/p" "$1" | head -n 1
}

for recipe; do
  case $recipe in
    lenet-5*) model=$here/lenet-5.onnx ;;
    *) model=$here/../lenet/model.onnx ;;
  esac
  "$program" run "$model" -r "$here/$recipe.yaml" -o "$out/$recipe.onnx" --force \
    --report "$out/$recipe.json" --report "$out/$recipe.md"
  "$program" pack "$out/$recipe.onnx" -o "$out/$recipe.mcz" --force
  awk -v name="$recipe" -v input="$(stat -c %s "$model")" -v plain="$(stat -c %s "$out/$recipe.onnx")" \
    -v packed="$(stat -c %s "$out/$recipe.mcz")" \
    -v before="$(number "$out/$recipe.json" metric_before value)" \
    -v after="$(number "$out/$recipe.json" metric_after value)" 'BEGIN {
      printf "| %s | %d | %d | %.1f | %d | %.1f | %.2f %% | %.2f %% |\n", name, input, plain, input / plain,
        packed, input / packed, 100 * (1 - before), 100 * (1 - after) }' >>"$table"
done
cat "$table"
