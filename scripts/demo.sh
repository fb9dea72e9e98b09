#!/usr/bin/env bash
# Sets everything up and generates text: a coordinator and four worker processes
# (tensor parallel 2 x pipeline parallel 2), each with its own memory budget,
# tell a story over gRPC. Stops what it started, also when interrupted.
#
#   scripts/demo.sh [PROMPT]
set -euo pipefail
cd "$(dirname "$0")/.."
prompt=${1:-Once upon a time there was a little girl who lived by the sea}
model=examples/tales-8m-awq
quatrain=build/release/tools/quatrain
logs=build/demo
host=127.0.0.1

scripts/setup.sh
scripts/build.sh release quatrain
mkdir -p "$logs"

pids=()
cleanup() {
  trap - EXIT INT TERM
  if [[ ${#pids[@]} -gt 0 ]]; then
    kill "${pids[@]}" 2>/dev/null || true
    wait "${pids[@]}" 2>/dev/null || true
  fi
}
trap cleanup EXIT
trap 'cleanup; exit 130' INT
trap 'cleanup; exit 143' TERM

fail() {
  echo "demo: $1; the last lines of the logs in $logs:" >&2
  tail -n 5 "$logs"/*.log >&2
  exit 1
}

# Ports of the system's choice: the coordinator writes them down.
rm -f "$logs"/*.log "$logs/ports.json"
echo "demo: a coordinator and 4 workers (tp 2 x pp 2) on $model, logs in $logs"
"$quatrain" coordinator "$model" --tp 2 --pp 2 --host $host --port 0 \
  --internal-port 0 --ports-file "$logs/ports.json" >"$logs/coordinator.log" 2>&1 &
pids+=($!)
for _ in $(seq 100); do
  [[ -s $logs/ports.json ]] && break
  kill -0 "${pids[0]}" 2>/dev/null || fail "the coordinator ended"
  sleep 0.1
done
port=$(sed -n 's/.*"port": *\([0-9]*\).*/\1/p' "$logs/ports.json")
internal=$(sed -n 's/.*"internal_port": *\([0-9]*\).*/\1/p' "$logs/ports.json")
[[ -n $port && -n $internal ]] || fail "the coordinator did not start"

for i in 0 1 2 3; do
  "$quatrain" worker --coordinator "$host:$internal" --name "worker-$i" \
    --model "$model" --max-memory cpu=256MiB >"$logs/worker-$i.log" 2>&1 &
  pids+=($!)
done
# In the background and waited for, so that an interrupt is handled at once.
"$quatrain" health "$host:$port" --wait 60 >/dev/null &
pids+=($!)
wait $! || fail "the group did not become ready"

"$quatrain" generate --server "$host:$port" --temperature 0.8 --top-p 0.95 \
  --seed 7 --max-tokens 200 --stats -p "$prompt" &
pids+=($!)
wait $! || fail "no text came"
