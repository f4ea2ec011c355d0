# Runs a PostgreSQL server for another process, and stops it when that process is gone, however it went.
#
#   sh supervise.sh BIN BASE SOCKETS KEEP PRIMARY [postgres arguments]
#
# Standard input is a pipe from that process. A line there is an order, `stop SIGNAL` or
# `restart SIGNAL`; the end of the pipe means that the process has ended or was killed. (A parent-death
# signal would not do: it comes when the thread that started the child ends, not the process.)
#
# BASE/state says `running RUN PID` or `exited RUN STATUS`, where RUN counts the starts. Unless KEEP is
# `yes`, BASE is removed in the end. Standard output and standard error are the log; it is locked, so that
# BASE belongs to one supervisor until that and its server are gone. PRIMARY, unless it is empty, is libpq's
# connection string of the server that this one is a standby of.
set -u
umask 077
bin=$1 base=$2 sockets=$3 keep=$4 primary=$5
shift 5

# Only the pipe decides when the server stops, not a signal to a whole process group or service.
trap '' HUP INT TERM
exec 3<&0 </dev/null

state() {
  echo "$*" >"$base/state.new" && mv -f "$base/state.new" "$base/state"
}

# Under another name first, so that what is killed in the middle leaves nothing that looks whole.
initialize() {
  rm -rf "$base/data.new"
  make_data && mv "$base/data.new" "$base/data"
}

make_data() {
  if [ -n "$primary" ]; then
    "$bin/pg_basebackup" --pgdata="$base/data.new" --dbname="$primary" --write-recovery-conf \
      --checkpoint=fast --no-sync
    return
  fi
  "$bin/initdb" --pgdata="$base/data.new" --username=postgres --pwfile="$base/password" \
    --encoding=UTF8 --locale=C --auth-local=trust --auth-host=scram-sha-256 --no-sync &&
    echo 'host all all samenet scram-sha-256' >>"$base/data.new/pg_hba.conf"
}

serve() {
  [ -d "$base/data" ] || initialize || exit
  exec "$bin/postgres" -D "$base/data" "$@"
}

# Waits for one order and stops the server. Succeeds if the server is to be started again.
obey() {
  if ! read -r order signal <&3; then
    order=stop
    # Data that is about to be removed needs no checkpoint.
    if [ "$keep" = yes ]; then signal=INT; else signal=QUIT; fi
  fi
  tries=0
  # Again and again: what is still initdb, or a server that starts, does not listen yet.
  while kill -s "$signal" "$server" 2>/dev/null; do
    tries=$((tries + 1))
    if [ "$tries" -eq 200 ]; then signal=QUIT; fi
    if [ "$tries" -eq 400 ]; then signal=KILL; fi
    sleep 0.05
  done
  [ "$order" = restart ]
}

# A backend that is busy outlives a postmaster that was killed, and keeps the data from the next one.
# (Where there is no /proc it has to notice by itself.)
end_orphans() {
  # What ends by itself leaves no such file.
  [ "$(head -n 1 "$base/data/postmaster.pid" 2>/dev/null)" = "$server" ] || return 0
  found=yes
  while [ -n "$found" ]; do
    found=
    for process in /proc/[0-9]*; do
      if [ "$process/cwd" -ef "$base/data" ] && [ "$process/exe" -ef "$bin/postgres" ]; then
        kill -s KILL "${process#/proc/}"
        found=yes
      fi
    done
    if [ -n "$found" ]; then sleep 0.05; fi
  done
}

run=0
while :; do
  run=$((run + 1))
  serve "$@" 3<&- &
  server=$!
  state running "$run" "$server"
  obey &
  obeying=$!
  wait "$server"
  status=$?
  end_orphans
  state exited "$run" "$status"
  wait "$obeying" || break
done

if [ "$keep" != yes ]; then rm -rf "$base"; fi
if [ "$sockets" != "$base" ]; then rm -rf "$sockets"; fi
