#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: tests/bench/low_rank_table.sh MODELS_DIR OUT [--only TEXT] [--part low-rank|archives] [--budget B] [--recipe R]   (README.md beside it)
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
exec "$python" "$bench/low_rank_table.py" --program "$program" "$@"
