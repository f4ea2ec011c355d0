#!/bin/sh
# Runs moto's server on 127.0.0.1 at the given port until standard input ends. What it needs from PyPI stands in a
# virtual environment below the package's build directory, and is installed once.
set -eu
venv=$(cd "$(dirname "$0")/../.." && pwd)/.build/moto
if [ ! -x "$venv/bin/moto_server" ]; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check 'moto[server]==5.2.1'
fi
"$venv/bin/python" "$(dirname "$0")/moto_server.py" -H 127.0.0.1 -p "$1" </dev/null &
cat >/dev/null
kill -s KILL $!
