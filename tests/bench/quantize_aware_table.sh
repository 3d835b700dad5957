#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: tests/bench/quantize_aware_table.sh MODELS_DIR OUT [--case NAME]... [--only TEXT] [--epochs N]   (README.md beside it)
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
exec "$python" "$bench/quantize_aware_table.py" --program "$program" "$@"
