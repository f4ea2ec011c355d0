#!/usr/bin/env bash
# Simulates the lease protocol: 500 seeds of one simulated hour, or as many as are asked for.
set -euo pipefail
cd "$(dirname "$0")/.."

# Built on its own, because `swift test` keeps other builds of the package waiting while it runs.
exec swift run -c release --scratch-path .build/simulation Simulation --seeds "${1:-500}" --all-marks
