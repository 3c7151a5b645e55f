#!/usr/bin/env bash
# Runs case scripts against daemons that it starts: `npm run cases -- FOLDER [NAME…]`. A case is run as
# `NAME.sh URL SCRATCH` and is right if it exits with 0. A case marked `# STOP` damages the data folder of a faulty
# daemon, so it gets a daemon of its own. Prints one line per case.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
folder=$(cd "${1:?usage: cases.sh FOLDER [NAME…]}" && pwd)
shift
names=("$@")
if [ ${#names[@]} = 0 ]; then
  for file in "$folder"/*.sh; do names+=("$(basename "$file" .sh)"); done
fi
PATH="$root/node_modules/.bin:$PATH"
export PATH SLUICE="node $root/bin/sluice.cjs"
scratch=$(mktemp -d)
daemon=

end_daemon() {
  [ -n "$daemon" ] || return 0
  kill -TERM "$daemon" 2>/dev/null || true
  wait "$daemon" 2>/dev/null || true
  daemon=
}
trap 'end_daemon; rm -rf "$scratch"' EXIT

# Sets `url`, DATA and SLUICE_TOKEN for the cases that follow.
start_daemon() {
  end_daemon
  DATA=$(mktemp -d "$scratch/data.XXXXXX")
  export DATA
  (cd "$DATA" && exec env -u DATABASE_URL -u REDIS_URL LOG_LEVEL=warn SLUICE_DATA_DIR="$DATA" \
    node "$root/bin/sluice.cjs" up --workers 2 --port 0) >"$DATA.log" 2>&1 &
  daemon=$!
  for _ in $(seq 600); do
    url=$(sed -n 's/^Sluice is up: \([^ ]*\).*/\1/p' "$DATA.log")
    [ -z "$url" ] || break
    kill -0 "$daemon" 2>/dev/null || break
    sleep 0.1
  done
  [ -n "$url" ] || { cat "$DATA.log" >&2; exit 3; }
  if [ -f "$DATA/local.token" ]; then SLUICE_TOKEN=$(cat "$DATA/local.token"); export SLUICE_TOKEN; fi
}

wrong=0
start_daemon
for name in "${names[@]}"; do
  [ "$name" != lib ] || continue
  alone=$(grep -c '^# STOP' "$folder/$name.sh" || true)
  [ "$alone" = 0 ] || start_daemon
  verdict=right
  timeout 300 bash "$folder/$name.sh" "$url" "$scratch" >"$scratch/$name.out" 2>&1 </dev/null || verdict=WRONG
  printf '%-45s %s\n' "$name" "$verdict"
  if [ "$verdict" = WRONG ]; then
    wrong=$((wrong + 1))
    tail -n 6 "$scratch/$name.out" | cut -c1-600 | sed 's/^/    /'
  fi
  [ "$alone" = 0 ] || start_daemon
done
printf '%s cases wrong\n' "$wrong"
[ "$wrong" = 0 ]
