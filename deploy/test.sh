#!/usr/bin/env bash
# Installs what is missing, checks the style and runs all tests. Arguments are passed on to `swift test`, which
# then runs only what they say.
set -euo pipefail
cd "$(dirname "$0")/.."

deploy/setup.sh
swift format lint --strict --recursive --parallel .
if [ $# -gt 0 ]; then
  exec swift test "$@"
fi
swift build --build-tests
swift test --skip-build --skip 'FleetTests|ExampleTests'
# These measure how fast processes react, so they run one at a time and nothing else beside them.
swift test --skip-build --no-parallel --filter 'FleetTests|ExampleTests'
