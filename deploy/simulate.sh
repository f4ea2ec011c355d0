#!/usr/bin/env bash
# Simulates the lease protocol: 500 seeds of one simulated hour, and every planted bug. Both have to be good.
set -euo pipefail
cd "$(dirname "$0")/.."

swift run -c release Simulation --seeds "${1:-500}" --all-marks
swift run -c release Simulation mutants
