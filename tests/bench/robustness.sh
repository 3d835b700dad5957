#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: tests/bench/robustness.sh [OUT] [--every N] [--recipes a,b] [--jobs N]   (README.md beside it)
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
exec "$python" "$bench/robustness.py" --program "$program" "$@"
