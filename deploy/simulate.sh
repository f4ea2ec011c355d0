#!/usr/bin/env bash
# Simulates the lease protocol: 500 seeds of one simulated hour, and every planted bug. Both have to be good.
set -euo pipefail
cd "$(dirname "$0")/.."

# Built on its own, because `swift test` keeps other builds of the package waiting while it runs.
simulation() { swift run -c release --scratch-path .build/simulation Simulation "$@"; }

simulation --seeds "${1:-500}" --all-marks
simulation mutants
