#!/usr/bin/env bash
# Installs what Tidemark needs and this machine lacks: libpq's headers, a PostgreSQL server (14 or newer; only
# its binaries, no system-wide cluster) and pkg-config. Checks that there is a Swift toolchain.
# With --tests also what only tests need: PgBouncer, Python with venv, moto, ministack and psycopg from PyPI (below .build,
# a minute), and iproute2 for root, the only user who can cut a network.
# Does nothing, and says nothing, where all is there. For Debian and Ubuntu; says what to install elsewhere.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
  printf 'setup: %s\n' "$@" >&2
  exit 1
}

check_swift() {
  local version
  version=$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9]*\)\.\([0-9]*\).*/\1 \2/p' | head -n 1 || true)
  local major=${version% *} minor=${version#* }
  if [ -z "$version" ]; then
    fail "There is no Swift toolchain on the PATH. Tidemark needs Swift 6.1 or newer." \
      "Install it as https://www.swift.org/install says, then run this again."
  elif [ "$major" -lt 6 ] || { [ "$major" -eq 6 ] && [ "$minor" -lt 1 ]; }; then
    fail "This is Swift $major.$minor; Tidemark needs 6.1 or newer." \
      "Install it as https://www.swift.org/install says (swiftly install latest), then run this again."
  fi
}

# The same places as `PostgresInstallation` looks in.
has_server() {
  local bin
  for bin in "${TIDEMARK_POSTGRES_BIN:-}" "$(pg_config --bindir 2>/dev/null)" /usr/lib/postgresql/*/bin \
    /usr/pgsql-*/bin /usr/local/pgsql/bin /opt/homebrew/opt/postgresql@*/bin /usr/local/opt/postgresql@*/bin \
    /opt/homebrew/bin /usr/local/bin /usr/bin; do
    if [ -x "$bin/postgres" ] && [ -x "$bin/initdb" ] && [ -x "$bin/createdb" ]; then return; fi
  done
  return 1
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    fail "Missing packages: ${missing[*]}. Only root can install them, and there is no sudo." \
      "Run as root: apt-get install ${missing[*]}"
  fi
}

install_packages() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -q --no-install-recommends "$@" </dev/null
}

# Debian creates and starts a system-wide cluster along with the first server, unless a setting says otherwise.
install_server() {
  local conf=/etc/postgresql-common/createcluster.conf
  local line='create_main_cluster = false # only while Tidemark installs the binaries'
  install_packages postgresql-common
  trap "as_root sed -i '/^$line\$/d' $conf" EXIT
  as_root sh -c 'echo "$1" >>"$2"' sh "$line" "$conf"
  install_packages postgresql
}

# Debian starts a system-wide one at once, which nobody asked for.
install_pooler() {
  install_packages pgbouncer
  if [ -d /run/systemd/system ]; then as_root systemctl disable --quiet --now pgbouncer; fi
}

install_missing() {
  local package
  if ! command -v apt-get >/dev/null; then
    fail "Missing: ${missing[*]} (Debian's names)." \
      "Install libpq with its headers, a PostgreSQL server 14 or newer, and pkg-config" \
      "(macOS: brew install libpq postgresql pkgconf), for tests PgBouncer and Python 3 too, then run this again."
  fi
  echo "setup: installing ${missing[*]}"
  as_root apt-get update -q </dev/null
  for package in "${missing[@]}"; do
    case $package in
      postgresql) install_server ;;
      pgbouncer) install_pooler ;;
      *) install_packages "$package" ;;
    esac
  done
}

has_ensurepip() { python3 -c 'import ensurepip' 2>/dev/null; }

# Debian has Python's venv, and what puts pip into one, in a package of its own. A pip that is there does as well.
has_venv() { python3 -c 'import venv' 2>/dev/null && { has_ensurepip || python3 -c 'import pip' 2>/dev/null; }; }

# They are there whole or not at all: a run beside another installs for nothing, and an interrupted run leaves
# nothing that would be taken for them. The name says which versions these are.
install_emulators() (
  requirements=Tests/requirements.txt
  target=.build/emulators-$(cksum <$requirements | cut -d ' ' -f 1)
  if [ -d "$target" ]; then exit; fi
  echo "setup: installing moto, ministack and psycopg"
  mkdir -p .build
  venv=$(mktemp -d .build/emulators.XXXXXX)
  trap 'rm -rf "$venv"' EXIT
  chmod 755 "$venv"
  if has_ensurepip; then
    python3 -m venv "$venv"
    pip=("$venv/bin/python" -m pip)
  else
    python3 -m venv --without-pip "$venv"
    pip=(python3 -m pip --python "$venv/bin/python")
  fi
  "${pip[@]}" install --quiet --disable-pip-version-check --requirement $requirements </dev/null
  python3 -c 'import os, sys; os.rename(*sys.argv[1:])' "$venv" "$target" 2>/dev/null || [ -d "$target" ]
)

check_swift

missing=()
command -v pkg-config >/dev/null || missing+=(pkg-config)
pkg-config --exists libpq 2>/dev/null || missing+=(libpq-dev)
has_server || missing+=(postgresql)
if [ "${1:-}" = --tests ]; then
  PATH=$PATH:/usr/sbin command -v pgbouncer >/dev/null || missing+=(pgbouncer)
  has_venv || missing+=(python3-venv)
  if [ "$(id -u)" -eq 0 ] && ! command -v ip >/dev/null; then missing+=(iproute2); fi
fi

if [ ${#missing[@]} -gt 0 ]; then install_missing; fi
if [ "${1:-}" = --tests ]; then install_emulators; fi
