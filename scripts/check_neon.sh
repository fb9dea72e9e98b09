#!/usr/bin/env bash
# The NEON kernels give the bits of the AVX2 kernels (which the unit tests
# compare with the reference): compiles the kernels for aarch64, runs them in an
# emulator and compares digests. Needs g++-aarch64-linux-gnu and qemu-user.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build/neon}
mkdir -p "$build"

for tool in aarch64-linux-gnu-g++ qemu-aarch64; do
  if ! command -v "$tool" > /dev/null; then
    echo "check_neon.sh: $tool is missing: apt-get install" \
      "g++-aarch64-linux-gnu qemu-user" >&2
    exit 1
  fi
done

# Only what needs no library but the C++ one; Highway and Abseil as headers.
sources="tests/kernels/isa_digest.cc base/check.cc kernels/math.cc
  kernels/cpu/activations_hwy.cc kernels/cpu/attention_hwy.cc
  kernels/cpu/dense_matmul_hwy.cc kernels/cpu/int4_matmul_hwy.cc
  kernels/cpu/int4_matmul_vnni.cc kernels/cpu/int4_panel.cc
  kernels/cpu/int4_record.cc
  kernels/cpu/row_kernels_hwy.cc kernels/cpu/scratch.cc"
flags="-std=c++20 -O2 -ffp-contract=off -Wall -Wextra -Werror
  -Wno-missing-field-initializers -I."

# Headers of distribution libraries, without the host's own C headers.
include="$build/include"
mkdir -p "$include"
for library in hwy absl; do
  ln -sfn "/usr/include/$library" "$include/$library"
done

compile() {  # compiler, folder, further flags
  local compiler=$1 folder="$build/$2" objects=""
  shift 2
  mkdir -p "$folder"
  for source in $sources; do
    local object="$folder/$(basename "$source").o"
    # shellcheck disable=SC2086
    "$compiler" $flags "$@" -c "$source" -o "$object"
    objects="$objects $object"
  done
  # shellcheck disable=SC2086
  "$compiler" $objects "$@" -static -o "$folder/isa_digest"
}

compile g++ native
compile aarch64-linux-gnu-g++ aarch64 -I"$include"
"$build/native/isa_digest" avx2 > "$build/avx2.txt"
qemu-aarch64 "$build/aarch64/isa_digest" neon > "$build/neon.txt"
if ! diff "$build/avx2.txt" "$build/neon.txt"; then
  echo "check_neon.sh: NEON (right) differs from AVX2 (left)" >&2
  exit 1
fi
echo "NEON equals AVX2 in $(wc -l < "$build/neon.txt") digests"
