#!/usr/bin/env bash
# Installs what is missing, checks the style, runs all tests, those that depend on PostgreSQL's version with others too,
# those that ThreadSanitizer can judge under it, and the simulation. With arguments, which are passed on to `swift test`,
# only those tests.
set -euo pipefail
cd "$(dirname "$0")/.."

deploy/setup.sh --tests
swift format lint --strict --recursive --parallel .
if [ $# -gt 0 ]; then exec swift test --traits AWS "$@"; fi

swift build --traits AWS --build-tests

# These take what the tests leave of the processor, which is much: tests wait more than they compute.
log=$(mktemp)
set -m
nice -n 19 sh -c 'deploy/sanitize.sh build && deploy/simulate.sh 100' </dev/null >"$log" 2>&1 &
beside=$!
trap 'kill -- "-$beside" 2>/dev/null || true; cat "$log"; rm -f "$log"' EXIT

swift test --traits AWS --skip-build
deploy/versions.sh &
versions=$!
trap 'kill -- "-$beside" "-$versions" 2>/dev/null || true; cat "$log"; rm -f "$log"' EXIT
deploy/sanitize.sh
wait "$versions"
wait "$beside"
