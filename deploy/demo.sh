#!/usr/bin/env bash
# Installs what is missing and runs the demonstration. Arguments are passed on to `tidemark demo`.
set -euo pipefail
cd "$(dirname "$0")/.."

deploy/setup.sh
exec swift run tidemark demo "$@"
