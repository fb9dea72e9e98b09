#!/usr/bin/env bash
# Everything that needs a GPU, in one call: builds the kernels for this machine's
# chip, runs their tests, records what PTX instructions really do, runs the
# benchmark, and some of the tests under compute-sanitizer. Needs CUDA, CMake, make
# or ninja, a C++ compiler and nothing from the network.
#
#   [COMMIT=...] [OUT=build/gpu_check] [SECONDS_LEFT=470] scripts/gpu_check.sh
#
# (BUILD: where it builds; BUILD_LIMIT: seconds for that, 200.)
#
# Each part has its own time limit, and the next one runs where one fails. In
# $OUT: table.txt (all results), bench.json, tests.log, sanitizer.log, build.log,
# environment.txt, conformance.tar. Exits with 0; 1 when a part failed; 2 where
# there is no GPU or no compiler for it. Missed targets of the benchmark are
# shown, they are no failure.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2

out=$(realpath -m "${OUT:-build/gpu_check}")
build=$(realpath -m "${BUILD:-build/gpu_check_build}")
jobs=$(nproc)
total=${SECONDS_LEFT:-470}  # some machines end a command after 600

# Seconds that a part may take; the benchmark takes what is left, up to its own,
# but for what the sanitizer, which comes last, gets at least.
build_limit=${BUILD_LIMIT:-200}
test_limit=110
sanitizer_limit=90
sanitizer_least=60
conformance_limit=30
bench_limit=230
bench_seconds=170  # after these it takes few repetitions

# What runs under compute-sanitizer, TEST:FILTER of the runner; a test that is
# not named here takes part with its first case.
sanitizer_cases=(
  product:SmallestLegalShapes product:RaggedAndPrimeShapes
  product:OutputsOfEveryKind product:HeadBoundariesCutBlocks product:FusedAtItsLimit
  product:SplitsMarkRows half:RaggedBlocks half:LargerTiles
  rows:Embeddings rows:RmsNorms rows:SumsBecomeTheResidual
  rows:DenseProducts
  dequant:RaggedBlocks dequant:MarksRows
  attention:ABatchOfAllKinds attention:DecodeStoresItsOwnTokens
  attention:MarkedAndPaddingRows
  attention_mma:MmaDecodeStoresItsOwnTokens attention_mma:MmaScalesThatGrowAndShrink
  sampling:RowsOfAllKindsEqualTheNaiveTwin
  sampling:PenaltiesAndBiasesComeBeforeTheDraw
  conformance:RecordsAreReadAsTheyWereWritten)
sanitizer_tools=(memcheck racecheck synccheck initcheck)
# cublasLt's own kernels copy in ways that these tools do not follow.
not_sanitized=(racecheck:dequant initcheck:dequant)

begin=$SECONDS
elapsed() { echo $((SECONDS - begin)); }
left() { echo $((total - $(elapsed))); }
say() { printf '[%3d s] %s\n' "$(elapsed)" "$*"; }
min() { echo $(($1 < $2 ? $1 : $2)); }

no_gpu() {
  echo "gpu_check: $*" >&2
  exit 2
}

# --- Results -----------------------------------------------------------------

rows=()    # lines of the table
failed=()  # a line per failed part

# result NAME ok|FAILED|skipped SECONDS WHAT: one line of the table.
result() {
  rows+=("$(printf '%-24s %-8s %5s s  %s' "$1" "$2" "$3" "$4")")
  [[ $2 != FAILED ]] || failed+=("$1: $4")
  say "$1: $2${4:+, $4}"
  write_table
}

# After every part, so that what is known survives the end of the command.
write_table() {
  {
    echo "commit $commit, $gpu, $(date -u +%Y-%m-%dT%H:%MZ)"
    printf '%s\n' "${rows[@]}"
    if ((${#failed[@]} > 0)); then printf 'FAILED %s\n' "${failed[@]}"; fi
    if [[ -s $work/bench.txt ]]; then
      echo
      cat "$work/bench.txt"
    fi
  } >"$out/table.txt"
}

# limited SECONDS COMMAND...: ends it then; 124 or 137 says that it did. Some
# seconds are kept for what follows.
limited() {
  local seconds
  seconds=$(min "$1" $(($(left) - 5)))
  shift
  ((seconds > 0)) || return 124
  timeout -k 5 "$seconds" "$@"
}

# why STATUS LOG: what a failed command's end looks like, in a few words.
why() {
  case $1 in
    77) echo "it found no GPU" ;;
    124 | 137) echo "it ran past its time limit" ;;
    *) echo "status $1: $(grep -v '^ *$' "$2" | tail -1 | cut -c 1-120)" ;;
  esac
}

# --- The machine -------------------------------------------------------------

for folder in ${CUDA_HOME:+"$CUDA_HOME/bin"} /usr/local/cuda/bin; do
  [[ -d $folder ]] && PATH=$PATH:$folder
done
command -v nvidia-smi >/dev/null || no_gpu "no nvidia-smi: this machine has no GPU"
gpu=$(nvidia-smi -i 0 --query-gpu=name --format=csv,noheader 2>&1) ||
  no_gpu "nvidia-smi finds no GPU: ${gpu%%$'\n'*}"
capability=$(nvidia-smi -i 0 --query-gpu=compute_cap --format=csv,noheader)
nvcc=$(command -v nvcc) || no_gpu "no nvcc: this machine cannot compile kernels"
command -v cmake >/dev/null || no_gpu "no cmake"
generator="Unix Makefiles"
keep_going=(-k)
if ! command -v make >/dev/null; then
  command -v ninja >/dev/null || no_gpu "neither make nor ninja"
  generator=Ninja
  keep_going=(-k 0)
fi
case $capability in
  8.0 | 8.6 | 8.9) arch=${capability/./} ;;
  9.0) arch=90a ;;  # wgmma needs the a
  *) no_gpu "$gpu has compute capability $capability; the kernels know 8.0, 8.6, 8.9 and 9.0" ;;
esac
commit=${COMMIT:-$(git rev-parse --short HEAD 2>/dev/null || echo unknown)}
[[ -n ${COMMIT:-} || -z $(git status --porcelain 2>/dev/null) ]] || commit+=-changed

mkdir -p "$out" "$build"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# A build of another checkout, or by another tool, is of no use.
if [[ -f $build/CMakeCache.txt ]] && ! {
  grep -q "^CMAKE_HOME_DIRECTORY:INTERNAL=$PWD/kernels/cuda$" "$build/CMakeCache.txt" &&
    grep -q "^CMAKE_GENERATOR:INTERNAL=$generator$" "$build/CMakeCache.txt"
}; then
  rm -rf "${build:?}"/CMakeCache.txt "${build:?}"/CMakeFiles
fi

# cuBLAS, for the default mode and as the comparison. Where the toolkit lacks its
# headers or its libraries, Python's packages may have them.
toolkit=$(dirname "$(dirname "$(realpath "$nvcc")")")
roots=("$toolkit" /opt /usr/lib/x86_64-linux-gnu /usr/local)
for python in $(command -v python3 || true); do
  site=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' 2>/dev/null)
  [[ -d $site/nvidia ]] && roots=("$toolkit" "$site/nvidia" "${roots[@]:1}")
done
# first NAME: the first file of that name, links included.
first() {
  local root found=
  for root in "${roots[@]}"; do
    [[ -d $root ]] || continue
    found=$(timeout 10 find -L "$root" -maxdepth 10 -name "$1" -type f -print -quit 2>/dev/null)
    [[ -z $found ]] || break
  done
  echo "$found"
}
header=$(find -L "$toolkit/include" "$toolkit/targets/x86_64-linux/include" \
  -maxdepth 1 -name cublasLt.h -print -quit 2>/dev/null)
if [[ -z $header ]]; then
  header=$(first cublasLt.h)
  if [[ -n $header ]]; then
    # Only these: another toolkit's other headers must not mix in.
    mkdir -p "$work/include"
    ln -sf "$(dirname "$header")"/cublas*.h "$work/include/"
    export CPATH=$work/include${CPATH:+:$CPATH}
  fi
fi
cublas=$(first 'libcublas.so.1[0-9]')
cublas_lt=$(first 'libcublasLt.so.1[0-9]')
for library in "$cublas" "$cublas_lt"; do
  [[ -z $library ]] ||
    LD_LIBRARY_PATH=$(dirname "$library")${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
done
[[ -z ${LD_LIBRARY_PATH:-} ]] || export LD_LIBRARY_PATH
export QUATRAIN_CUBLAS=$cublas
# Another compiler's warnings must not cost the run.
cmake_flags=(-DCMAKE_BUILD_TYPE=Release "-DQUATRAIN_CUDA_ARCHITECTURES=$arch"
  "-DQUATRAIN_NVCC=$nvcc" -DQUATRAIN_WERROR=OFF)
cudart=$(first libcudart_static.a)
[[ -z $cudart ]] || cmake_flags+=("-DQUATRAIN_CUDART=$cudart")

{
  echo "date: $(date -u +%Y-%m-%dT%H:%MZ)"
  echo "commit: $commit"
  echo "architecture: sm_$arch"
  echo "cublasLt.h: ${header:-none}"
  echo "libcublas: ${cublas:-none}"
  echo "libcublasLt: ${cublas_lt:-none}"
  echo "libcudart_static: ${cudart:-none}"
  uname -a
  grep -m1 'model name' /proc/cpuinfo
  echo "$jobs cores"
  free -g
  cmake --version | head -1
  ${CXX:-c++} --version | head -1
  nvcc --version
  nvidia-smi
  nvidia-smi -i 0 --query-gpu=name,driver_version,vbios_version,memory.total,clocks.sm,clocks.mem,clocks.max.sm,clocks.max.mem,power.limit,pstate,mig.mode.current --format=csv
} >"$out/environment.txt" 2>&1
say "$gpu, sm_$arch, $jobs cores, commit $commit"

# --- Build -------------------------------------------------------------------

# As kernels/cuda/CMakeLists.txt builds them.
mapfile -t tests < <(sed -n '/^set(QUATRAIN_KERNEL_TESTS/,/)/p' kernels/cuda/sources.cmake |
  tr -d ')' | awk 'NR > 1 { print $1 }')

say "build for sm_$arch, at most $build_limit s"
before=$SECONDS
: >"$out/build.log"
limited "$build_limit" cmake -G "$generator" -S kernels/cuda -B "$build" "${cmake_flags[@]}" \
  >>"$out/build.log" 2>&1 &&
  limited "$build_limit" cmake --build "$build" --parallel "$jobs" -- "${keep_going[@]}" >>"$out/build.log" 2>&1
status=$?
if ((status == 0)); then
  result build ok $((SECONDS - before)) "sm_$arch, $jobs jobs"
else
  cause=$(grep -m1 -E 'error|Error|undefined reference' "$out/build.log" |
    sed 's/.*undefined reference/undefined reference/' | cut -c 1-160)
  result build FAILED $((SECONDS - before)) \
    "${cause:-$(why "$status" "$out/build.log")} (build.log)"
fi

# What ptxas says of this chip's kernels against the committed table.
if command -v python3 >/dev/null && [[ -d $build/quatrain_cuda ]]; then
  before=$SECONDS
  python3 scripts/check_ptxas.py "$build/quatrain_cuda" --partial \
    --table kernels/cuda/registers.txt >"$work/ptxas.log" 2>&1
  status=$?
  { echo; echo "=== check_ptxas"; cat "$work/ptxas.log"; } >>"$out/build.log"
  # Another release of nvcc than the table's may need a few more registers, which
  # is worth knowing and no fault.
  release=$("$nvcc" --version | sed -n 's/.*release \([0-9.]*\).*/nvcc \1/p')
  if ((status == 0)); then
    result registers ok $((SECONDS - before)) "$(tail -1 "$work/ptxas.log")"
  elif ! grep -q "^# .*${release:-no release}\." kernels/cuda/registers.txt; then
    result registers differ $((SECONDS - before)) \
      "from the table, which another nvcc than this $release made (build.log)"
  else
    result registers FAILED $((SECONDS - before)) \
      "$(grep -c '^check_ptxas' "$work/ptxas.log") lines, the first: $(grep -m1 '^check_ptxas' "$work/ptxas.log" | cut -c 14-130)"
  fi
fi

# --- Tests -------------------------------------------------------------------

# Together: most of their time is the reference on the CPU.
say "${#tests[@]} tests: ${tests[*]}, at most $test_limit s"
: >"$out/tests.log"
summary_line='^[0-9]+ passed, [0-9]+ failed'
run_test() {
  local before=$SECONDS status end=$((SECONDS + test_limit + 30))
  limited "$test_limit" "$build/$1_cuda" >"$work/test.$1.log" 2>&1
  status=$?
  # A fault of the device ends the program: its later cases, one by one.
  if ((status != 0 && status != 77)) && ! grep -qE "$summary_line" "$work/test.$1.log"; then
    local rest filter
    mapfile -t rest < <("$build/$1_cuda" --list | grep -vxF -f <(
      awk '/^(passed|FAILED) / { sub(",", "", $2); print $2 }' "$work/test.$1.log"))
    ((${#rest[@]} == 0)) || echo "FAILED ${rest[0]} ended the program" >>"$work/test.$1.log"
    for filter in "${rest[@]:1}"; do
      limited "$(min 20 $((end - SECONDS)))" "$build/$1_cuda" "$filter" >>"$work/test.$1.log" 2>&1 ||
        grep -q "^FAILED $filter" "$work/test.$1.log" ||
        echo "FAILED $filter ended the program" >>"$work/test.$1.log"
    done
  fi
  echo "$status $((SECONDS - before))" >"$work/test.$1.status"
}
running=()
for test in "${tests[@]}"; do
  [[ -x $build/${test}_cuda ]] || continue
  run_test "$test" &
  running+=($!)
done
((${#running[@]} == 0)) || wait "${running[@]}"
for test in "${tests[@]}"; do
  if [[ ! -x $build/${test}_cuda ]]; then
    result "test $test" FAILED 0 "it was not built"
    continue
  fi
  log=$work/test.$test.log
  { echo "=== $test"; cat "$log"; } >>"$out/tests.log"
  read -r status seconds <"$work/test.$test.status"
  summary=$(grep -E "$summary_line" "$log" | tail -1)
  skipped=$(grep -c 'SKIPPED' "$log")
  ((skipped == 0)) || summary+=", $skipped skipped"
  if ((status == 0)); then
    result "test $test" ok "$seconds" "$summary"
  else
    cases=$(grep '^FAILED ' "$log" | cut -d ' ' -f 2 | head -5 | tr '\n' ' ')
    result "test $test" FAILED "$seconds" \
      "${cases:-$(why "$status" "$log")}${summary:+ ($summary)}"
  fi
done
((${#tests[@]} > 0)) || result tests FAILED 0 "kernels/cuda/sources.cmake names none"

# --- Conformance -------------------------------------------------------------

# What this device makes of random inputs to every PTX wrapper and intrinsic, for
# CI to hold the emulated device against: one file per operation, in one archive,
# because some machines give back few files. To keep them:
#   tar xf conformance.tar -C tests/kernels/cuda
if [[ -x $build/conformance_cuda ]]; then
  say "conformance, at most $conformance_limit s"
  before=$SECONDS
  mkdir -p "$work/conformance"
  QUATRAIN_RECORD=$work/conformance limited "$conformance_limit" \
    "$build/conformance_cuda" >"$work/conformance.log" 2>&1
  status=$?
  { echo "=== conformance, recording"; cat "$work/conformance.log"; } >>"$out/tests.log"
  count=$(find "$work/conformance" -type f | wc -l)
  # What was recorded is kept even where the rest failed.
  ((count == 0)) || tar cf "$out/conformance.tar" -C "$work" conformance
  if ((status == 0 && count > 0)); then
    result conformance ok $((SECONDS - before)) "$count operations recorded"
  else
    result conformance FAILED $((SECONDS - before)) \
      "$count files; $(why "$status" "$work/conformance.log")"
  fi
fi

# --- Benchmark ---------------------------------------------------------------

# Every entry once, on tiny shapes: a wrong operand shows here.
if [[ -x $build/bench_cuda_kernels ]]; then
  before=$SECONDS
  limited 40 "$build/bench_cuda_kernels" --smoke >"$work/smoke.log" 2>&1
  status=$?
  { echo "=== bench_cuda_kernels --smoke"; cat "$work/smoke.log"; } >>"$out/tests.log"
  if ((status == 0)); then
    result "bench smoke" ok $((SECONDS - before)) "$(tail -1 "$work/smoke.log")"
  else
    result "bench smoke" FAILED $((SECONDS - before)) \
      "$(grep -m1 '^WRONG' "$work/smoke.log" || why "$status" "$work/smoke.log")"
  fi
fi

# Alone on the GPU.
limit=$(min "$bench_limit" $(($(left) - sanitizer_least - 8)))
mode=()
((limit >= 150)) || mode=(--quick)
seconds=$(min "$bench_seconds" $((limit - 30)))
((seconds >= 10)) || seconds=10
if [[ -x $build/bench_cuda_kernels ]] && ((limit < 20)); then
  result bench FAILED 0 "no time was left for it"
elif [[ -x $build/bench_cuda_kernels ]]; then
  say "benchmark ${mode[*]:-(full)}, at most $limit s"
  before=$SECONDS
  limited "$limit" "$build/bench_cuda_kernels" "${mode[@]}" --seconds "$seconds" \
    --commit "$commit" --json "$out/bench.json" >"$work/bench.txt" 2>&1
  status=$?
  if ((status == 0)); then
    result bench ok $((SECONDS - before)) "$(grep '^targets:' "$work/bench.txt" | tail -1)"
  else
    result bench FAILED $((SECONDS - before)) \
      "$(grep -m1 '^WRONG' "$work/bench.txt" || why "$status" "$work/bench.txt")"
  fi
else
  result bench FAILED 0 "it was not built"
fi

# --- compute-sanitizer -------------------------------------------------------

cases_of() {  # TEST: its filters
  local entry any=0
  for entry in "${sanitizer_cases[@]}"; do
    [[ ${entry%%:*} != "$1" ]] || { echo "${entry#*:}"; any=1; }
  done
  ((any == 1)) || "$build/$1_cuda" --list 2>/dev/null | head -1
}

# The cases of one test under one tool; a line per case that it did not like.
run_tool() {  # TOOL TEST SECONDS
  local filter log=$work/sanitizer.$1.$2.log end=$((SECONDS + $3)) status
  for filter in $(cases_of "$2"); do
    echo "=== $1 $2 $filter" >>"$log"
    status=124
    : >"$log.case"
    ((SECONDS >= end)) ||
      { limited $((end - SECONDS)) "$sanitizer" --tool "$1" --error-exitcode 9 \
        --print-limit 20 "$build/$2_cuda" "$filter" >"$log.case" 2>&1; status=$?; }
    cat "$log.case" >>"$log"
    echo >>"$work/sanitizer.$1.all"
    case $status in
      0) ;;
      9) echo "$2 $filter: $(grep -m1 'SUMMARY' "$log.case")" ;;
      *) echo "$2 $filter: $(why "$status" "$log.case")" ;;
    esac >>"$work/sanitizer.$1.bad"
  done
}

sanitizer=$(command -v compute-sanitizer || first compute-sanitizer)
if [[ -z $sanitizer ]]; then
  result sanitizer skipped 0 "no compute-sanitizer here"
else
  say "compute-sanitizer: ${sanitizer_tools[*]}, at most $sanitizer_limit s"
  before=$SECONDS
  running=()
  for tool in "${sanitizer_tools[@]}"; do
    : >"$work/sanitizer.$tool.all"
    : >"$work/sanitizer.$tool.bad"
    for test in "${tests[@]}"; do
      [[ -x $build/${test}_cuda ]] || continue
      [[ " ${not_sanitized[*]} " != *" $tool:$test "* ]] || continue
      : >"$work/sanitizer.$tool.$test.log.case"
      run_tool "$tool" "$test" "$sanitizer_limit" &
      running+=($!)
    done
  done
  ((${#running[@]} == 0)) || wait "${running[@]}"
  cat "$work"/sanitizer.*.log >"$out/sanitizer.log" 2>/dev/null
  for tool in "${sanitizer_tools[@]}"; do
    count=$(wc -l <"$work/sanitizer.$tool.all")
    bad=$(wc -l <"$work/sanitizer.$tool.bad")
    if grep -qs 'Device not supported' "$work/sanitizer.$tool".*.log; then
      result "$tool" skipped $((SECONDS - before)) "compute-sanitizer does not support this machine"
    elif ((count == 0)); then
      result "$tool" FAILED $((SECONDS - before)) "there was nothing to run"
    elif ((bad == 0)); then
      result "$tool" ok $((SECONDS - before)) "$count cases"
    else
      result "$tool" FAILED $((SECONDS - before)) \
        "$bad of $count cases, the first: $(head -1 "$work/sanitizer.$tool.bad" | cut -c 1-140)"
    fi
  done
fi

# --- The end -----------------------------------------------------------------

if [[ -s $work/bench.txt ]]; then
  echo
  # The whole of it is in table.txt; a caller may see only the end of this.
  grep -E '^(NVIDIA|Memory|f16 products|clocks)' "$work/bench.txt"
  grep -E '^\| (few|fused|digits,|decode|dense)' "$work/bench.txt" | awk -F'|' '$4 + 0 == 1' | cut -c 1-170
  sed -n '/^targets:/,$p' "$work/bench.txt" | cut -c 1-160
fi
echo
printf '%s\n' "${rows[@]}"
if ((${#failed[@]} > 0)); then
  printf 'FAILED %s\n' "${failed[@]}"
  echo "gpu_check: ${#failed[@]} parts failed, $(elapsed) s; all of it in $out"
  exit 1
fi
echo "gpu_check: everything passed, $(elapsed) s; all of it in $out"
