#!/bin/sh
# Brings what the npm scripts need: dependencies, the pinned Node among them, and (asked with --with-redis) a Redis server.
set -eu
cd "$(dirname "$0")/.."

if ! cmp -s package-lock.json node_modules/.sluice-installed-lock; then
  echo "sluice: installing dependencies" >&2
  npm ci --no-audit --no-fund --loglevel=error >&2
  cp package-lock.json node_modules/.sluice-installed-lock
fi

if [ "${1:-}" = "--with-redis" ] && ! command -v redis-server >/dev/null 2>&1; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "sluice: installing redis-server" >&2
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends redis-server; } >/dev/null 2>&1 ||
      echo "sluice: redis-server could not be installed" >&2
  fi
fi
