#!/usr/bin/env bash
# Fails on an #include that the folder graph forbids:
#   base <- model, kernels;  worker -> kernels, model, proto, base;
#   coordinator -> model, proto, base;  tools and tests may include anything.
# and on two headers that define a class of the same name: the one executable
# links them all. Runs with every build.
#
#   scripts/check_includes.sh [ROOT]     of another tree: its own test
set -euo pipefail
cd "${1:-$(dirname "$0")/..}"
status=0
files=(--include='*.h' --include='*.cuh' --include='*.cc' --include='*.cu')

# forbid FOLDER PATTERN: no file of FOLDER includes a path that begins with a
# folder that matches. Paths start at the root, so none may climb.
forbid() {
  if [[ ! -d $1 ]]; then
    echo "check_includes: no folder $1/ in $PWD"
    status=1
  elif grep -rnE "${files[@]}" "^ *# *include *[\"<]([.]{1,2}|$2)/" "$1"; then
    echo "check_includes: $1/ may not include what stands above"
    status=1
  fi
}

# What an RPC is written with: gRPC by its three names, generated messages.
rpc='grpc|grpcpp|grpc[+][+]|quatrain|google/rpc'
forbid base "model|kernels|worker|coordinator|tools|tests|$rpc|google|gloo"
# model/ reads SentencePiece's file with protobuf's wire format.
forbid model "kernels|worker|coordinator|tools|tests|$rpc|gloo|hwy"
forbid kernels "model|worker|coordinator|tools|tests|$rpc|google|gloo"
forbid worker 'coordinator|tools|tests|quatrain/v1'
forbid coordinator 'kernels|worker|tools|tests|gloo|hwy'

twice=$(grep -rhoE --include='*.h' '^(class|struct|enum class) [A-Z][A-Za-z0-9]*[^;]*$' \
    base model kernels worker coordinator tools |
  sed -E 's/^(class|struct|enum class) ([A-Za-z0-9]*).*/\2/' | grep -v '^ABSL$' | sort | uniq -d)
if [[ -n $twice ]]; then
  echo "check_includes: defined in two headers: $twice"
  status=1
fi
exit $status
