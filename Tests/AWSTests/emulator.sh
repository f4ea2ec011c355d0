#!/bin/sh
# Runs an emulator of AWS, moto or ministack, on 127.0.0.1 at the given port until standard input ends. If the emulator
# ends before that, so does this, and says what it said last.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
export BIND_HOST=127.0.0.1 GATEWAY_PORT="$2"
case $1 in
  moto) set -- -H 127.0.0.1 -p "$2" && script=moto_server.py ;;
  ministack) set -- && script=ministack_server.py ;;
esac
log=$(mktemp)
"$here/../python.sh" "$here/$script" "$@" </dev/null >"$log" 2>&1 &
server=$!
# What runs beside a shell has no standard input of its own.
exec 3<&0
(
  cat <&3 >/dev/null
  kill -s KILL $server
) >/dev/null 2>&1 &
wait $server || true
tail -n 20 "$log" >&2
rm "$log"
exit 1
