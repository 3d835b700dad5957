#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: tests/bench/training_table.sh MODELS_DIR OUT --mnist MNIST_DIR [--part NAME]... [--only TEXT]   (README.md beside it)
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
exec "$python" "$bench/training_table.py" --program "$program" "$@"
