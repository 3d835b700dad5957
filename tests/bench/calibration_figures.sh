#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: tests/bench/calibration_figures.sh MODELS_DIR OUT [--only TEXT] [--samples N] ...   (README.md beside it)
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
exec "$python" "$bench/calibration_figures.py" --program "$program" "$@"
