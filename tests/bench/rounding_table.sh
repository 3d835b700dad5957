#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: tests/bench/rounding_table.sh MODELS_DIR OUT [--only TEXT] [--limit N]   (README.md beside it)
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
exec "$python" "$bench/rounding_table.py" --program "$program" "$@"
