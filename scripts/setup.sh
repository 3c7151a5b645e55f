#!/bin/sh
# Installs what the npm scripts need: dependencies, with the pinned Node among them, and with --with-services a Redis
# server and bubblewrap.
set -eu
cd "$(dirname "$0")/.."

if ! cmp -s package-lock.json node_modules/.sluice-installed-lock; then
  echo "sluice: installing dependencies" >&2
  npm ci --no-audit --no-fund --loglevel=error >&2
  cp package-lock.json node_modules/.sluice-installed-lock
fi

# A program that cannot be installed is reported and not fatal, because the suites that need it report it again.
install_missing() {
  command -v "$1" >/dev/null 2>&1 && return
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "sluice: installing $2" >&2
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$2"; } >/dev/null 2>&1 ||
      echo "sluice: $2 could not be installed" >&2
  fi
}

# Unpacks a program below .sluice/tools instead of installing its package, which would start a service.
unpack_missing() {
  command -v "$1" >/dev/null 2>&1 && return
  [ -x ".sluice/tools/usr/bin/$1" ] && return
  echo "sluice: unpacking $2" >&2
  mkdir -p .sluice/tools
  (cd .sluice/tools && { apt-get download "$2" || { apt-get update && apt-get download "$2"; } } && dpkg-deb -x "$2"_*.deb . && rm "$2"_*.deb) >/dev/null 2>&1 ||
    echo "sluice: $2 could not be unpacked" >&2
}

if [ "${1:-}" = "--with-services" ]; then
  install_missing redis-server redis-server
  install_missing bwrap bubblewrap
  unpack_missing promtool prometheus
fi
