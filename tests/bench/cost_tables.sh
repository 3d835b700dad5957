#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: tests/bench/cost_tables.sh MODELS_DIR OUT [--only TEXT] [--samples N]   (README.md beside it)
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
exec "$python" "$bench/cost_tables.py" --program "$program" "$@"
