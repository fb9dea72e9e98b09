#!/usr/bin/env bash
# scripts/build.sh PRESET [TARGET...]: configures and builds one preset of
# CMakePresets.json. Prints the build's own lines only when it fails.
# QUATRAIN_CUDA_ARCHITECTURES="80;90a" builds the CUDA kernels for fewer GPUs.
set -euo pipefail
cd "$(dirname "$0")/.."
preset=$1
shift
# Without a preprocessor run of its own: a first build, all misses, costs less.
export CCACHE_DEPEND=1
log=build/$preset.log
mkdir -p build
echo "build: preset $preset ($(nproc) cores; the first time takes minutes, log in $log)"
targets=()
[[ $# -eq 0 ]] || targets=(--target "$@")
architectures=${QUATRAIN_CUDA_ARCHITECTURES:-all}
if ! { cmake --preset "$preset" -DQUATRAIN_CUDA_ARCHITECTURES="$architectures" && cmake --build --preset "$preset" "${targets[@]}"; } \
    >"$log" 2>&1; then
  tail -n 60 "$log"
  echo "build: preset $preset failed; the whole log is $log"
  exit 1
fi
