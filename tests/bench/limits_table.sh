#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: NUMERICS_BENCH=FILE tests/bench/limits_table.sh OUT [--rounds 5]   (README.md beside it)
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
exec "$python" "$bench/limits_table.py" --program "$program" "$@"
