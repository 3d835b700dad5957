#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: tests/bench/int8_table.sh MODELS_DIR OUT [--only TEXT] [--no-entropy] ...   (README.md beside it)
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
exec "$python" "$bench/int8_table.py" --program "$program" "$@"
