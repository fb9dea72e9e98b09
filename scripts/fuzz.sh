#!/usr/bin/env bash
# scripts/fuzz.sh SECONDS: runs every fuzz target of the asan build for so long,
# two at a time. Fails on a crash, a leak, an input that takes more than 5 s.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=$1
scripts/build.sh asan fuzzers
mapfile -t targets < <(find build/asan/tests -name '*_fuzzer' -type f -executable | sort)
[[ ${#targets[@]} -gt 0 ]] || { echo "fuzz: no targets in build/asan"; exit 1; }
printf '%s\n' "${targets[@]}" | xargs -P 2 -I{} sh -c '
  corpus=build/asan/corpus/$(basename {}); mkdir -p "$corpus"
  seeds=tests/data/fuzz/$(basename {}); [ -d "$seeds" ] || seeds=
  if {} -max_total_time='"$seconds"' -timeout=5 -rss_limit_mb=2048 \
      -artifact_prefix="$corpus/crash-" "$corpus" $seeds >"$corpus.log" 2>&1; then
    echo "fuzz: $(basename {}): $(grep -o "DONE.*\|Done.*" "$corpus.log" | tail -1)"
  else
    tail -n 40 "$corpus.log"; echo "fuzz: $(basename {}) FAILED"; exit 255
  fi'
