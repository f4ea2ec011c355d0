#!/usr/bin/env bash
# Installs what is missing, checks the style and runs all tests. Arguments are passed on to `swift test`.
set -euo pipefail
cd "$(dirname "$0")/.."

deploy/setup.sh --tests
swift format lint --strict --recursive --parallel .
swift test "$@"
