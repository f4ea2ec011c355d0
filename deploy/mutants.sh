#!/usr/bin/env bash
# Plants bugs, one at a time, and sees that each is noticed: in the lease protocol by the simulation, in the migrations by
# the tests that are named for it. All of them, or those of one kind (protocol, sql), or of these
# some by name.
set -euo pipefail
cd "$(dirname "$0")/.."

kind=${1:-all}
if [ $# -gt 0 ]; then shift; fi
case $kind in all | protocol | sql) ;; *)
  echo "mutants: what to plant is protocol, sql or all, not $kind" >&2
  exit 1
  ;;
esac

if [ "$kind" != sql ]; then
  swift run -c release --scratch-path .build/simulation Simulation mutants "$@"
fi
if [ "$kind" != protocol ]; then
  TIDEMARK_SQL_MUTANTS="$*" swift test --traits AWS --filter SQLMutantRuns
fi
