#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: tests/bench/distill_table.sh MODELS_DIR OUT [--epochs N] [--train N] [--seeds N] [--only TEXT]   (README.md beside it)
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
exec "$python" "$bench/distill_table.py" --program "$program" "$@"
