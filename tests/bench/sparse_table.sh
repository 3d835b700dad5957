#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: tests/bench/sparse_table.sh MODELS_DIR OUT [--only TEXT] [--part NAME]... [--limit N]   (README.md beside it)
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
exec "$python" "$bench/sparse_table.py" --program "$program" "$@"
