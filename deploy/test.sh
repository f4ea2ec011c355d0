#!/usr/bin/env bash
# Installs what is missing, checks the style, runs all tests and the simulation. With arguments, which are passed on to
# `swift test`, only those tests.
set -euo pipefail
cd "$(dirname "$0")/.."

deploy/setup.sh --tests
swift format lint --strict --recursive --parallel .
swift test "$@"
if [ $# -eq 0 ]; then deploy/simulate.sh; fi
