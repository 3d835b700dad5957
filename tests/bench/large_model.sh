#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: tests/bench/large_model.sh OUT [--gib 1] [--large-gib 3] [--rounds 5]   (README.md beside it)
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
exec "$python" "$bench/large_model.py" --program "$program" "$@"
