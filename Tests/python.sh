#!/bin/sh
# Runs Python with what tests need from PyPI.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# As deploy/setup.sh calls it.
venv=$here/../.build/emulators-$(cksum <"$here/requirements.txt" | cut -d ' ' -f 1)
if [ ! -d "$venv" ]; then
  echo "What tests need from PyPI is not installed. Run deploy/setup.sh --tests first." >&2
  exit 1
fi
exec "$venv/bin/python" "$@"
