#!/bin/sh
# Runs an emulator of AWS, moto or ministack, on 127.0.0.1 at the given port until standard input ends. What it needs
# from PyPI stands in a virtual environment below the package's build directory, and is installed once.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
venv=$here/../../.build/$1
case $1 in
  moto) package='moto[server]==5.2.1' ;;
  ministack) package='ministack==1.5.33' ;;
esac
if [ ! -e "$venv/installed" ]; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check "$package"
  touch "$venv/installed"
fi
export BIND_HOST=127.0.0.1 GATEWAY_PORT="$2"
case $1 in
  moto) set -- -H 127.0.0.1 -p "$2" && script=moto_server.py ;;
  ministack) set -- && script=ministack_server.py ;;
esac
"$venv/bin/python" "$here/$script" "$@" </dev/null >/dev/null 2>&1 &
cat >/dev/null
kill -s KILL $!
