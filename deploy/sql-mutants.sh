#!/usr/bin/env bash
# Plants bugs in the migrations, one at a time, and sees that each is noticed by the tests that are named for it. All of
# them, or those that are named.
set -euo pipefail
cd "$(dirname "$0")/.."

TIDEMARK_SQL_MUTANTS="${*:-}" exec swift test --filter SQLMutantRuns
