#!/usr/bin/env bash
# Compares Quatrain's CPU backend with llama.cpp on this machine: a random model
# of Llama-2-7B's shape, cut to as many layers as memory holds, through
# llama-bench and llama-batched-bench, and through `quatrain bench latency`,
# alternately in one run. Prints tokens per second of both and their ratio.
#
#   scripts/compare_llama_cpp.sh [LAYERS] [ROUNDS]     default 8 and 3
#
# Not part of CI. Needs PyPI; everything goes to build/llama_cpp.
set -euo pipefail
cd "$(dirname "$0")/.."
version=0.3.36 # of llama-cpp-python, whose source holds llama.cpp's
layers=${1:-8}
rounds=${2:-3}
work=build/llama_cpp
mkdir -p "$work"

scripts/setup.sh
scripts/build.sh release quatrain make_random_checkpoint

if [[ ! -x $work/venv/bin/python ]]; then
  python3 -m venv "$work/venv"
  "$work/venv/bin/pip" install -q numpy==2.4.6 gguf==0.19.0
fi

source=$work/llama_cpp_python-$version
if [[ ! -d $source ]]; then
  echo "compare: fetching llama-cpp-python $version"
  "$work/venv/bin/pip" download -q --no-deps --no-binary :all: -d "$work" "llama-cpp-python==$version"
  tar -xzf "$work/llama_cpp_python-$version.tar.gz" -C "$work"
  # GCC 12 drops the stores of an AMX tile configuration: _tile_loadconfig
  # declares 8 of its 64 bytes as input. A barrier before it keeps them.
  find "$source/vendor/llama.cpp/ggml" -name '*.cpp' -exec \
    sed -i 's/^\( *\)_tile_loadconfig(/\1asm volatile("" ::: "memory"); _tile_loadconfig(/' {} +
fi

bench=$work/build/bin
if [[ ! -x $bench/llama-bench || ! -x $bench/llama-batched-bench ]]; then
  echo "compare: building llama.cpp for this machine (minutes; log in $work/build.log)"
  {
    cmake -S "$source/vendor/llama.cpp" -B "$work/build" -G Ninja -DCMAKE_BUILD_TYPE=Release \
      -DGGML_NATIVE=ON -DLLAMA_CURL=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF \
      -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_APP=OFF \
      -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TOOLS=ON
    cmake --build "$work/build" --target llama-bench llama-batched-bench
  } >"$work/build.log" 2>&1 || {
    tail -20 "$work/build.log"
    exit 1
  }
fi

exec "$work/venv/bin/python" scripts/compare_llama_cpp.py "$work" "$layers" "$rounds"
