#!/usr/bin/env bash
# Runs the unit tests and the client's tests under ThreadSanitizer, with a build of their own below .build/thread. For
# Linux; elsewhere `swift test --sanitize thread` does it. `deploy/sanitize.sh build` only builds.
set -euo pipefail
cd "$(dirname "$0")/.."

deploy/setup.sh --tests

TIDEMARK_TEST_TARGETS=UnitTests,LibPQTests \
  swift build --sanitize thread --scratch-path .build/thread --product tidemarkPackageTests
if [ "${1:-}" = build ]; then exit; fi

# Where the server's user can read it, too.
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
chmod 755 "$directory"
clang -shared -fPIC -o "$directory/mutex.so" deploy/mutex.c
# A connection is handed over by a continuation. One that is resumed before its task waits is invisible as well.
echo 'race:connectBlocking' >"$directory/suppressions"

export TSAN_OPTIONS="suppressions=$directory/suppressions"
LD_PRELOAD=$directory/mutex.so .build/thread/debug/tidemarkPackageTests.xctest --testing-library swift-testing \
  --filter '^(UnitTests|LibPQTests)\.'
