#!/usr/bin/env bash
# scripts/check_includes.sh on scratch trees: what it must refuse, one include at
# a time, and what it must let pass.
set -euo pipefail
check=$(realpath "$(dirname "$0")/../../scripts/check_includes.sh")
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
failed=0

# verdict FOLDER LINE...: what the check says of a tree whose FOLDER has a header
# of these lines.
verdict() {
  local folder=$1
  shift
  rm -rf "${tree:?}"/*
  mkdir "$tree"/{base,model,kernels,worker,coordinator,tools}
  echo 'class InBase {' >"$tree/base/of_base.h"
  mkdir "$tree/$folder/deep"
  printf '%s\n' '#pragma once' "$@" >"$tree/$folder/deep/some.h"
  if "$check" "$tree" >"$tree/said" 2>&1; then echo passes; else echo fails; fi
}

# expect VERDICT FOLDER LINE...
expect() {
  local got
  got=$(verdict "${@:2}")
  if [[ $got != "$1" ]]; then
    echo "FAILED: $2/ with '${*:3}' $got, expected: $1"
    failed=1
  fi
}

rpc=('<grpcpp/grpcpp.h>' '<grpc/grpc.h>' '<grpc++/grpc++.h>' '"grpcpp/channel.h"'
  '"quatrain/v1/model.pb.h"' '"quatrain/internal/v1/step.pb.h"'
  '"google/rpc/status.pb.h"' '"gloo/transport/device.h"')
refuse() {
  local folder=$1 path
  shift
  for path in "$@"; do expect fails "$folder" "#include $path"; done
}
refuse base '"model/model.h"' '"kernels/step.h"' '"worker/rank.h"' \
  '"coordinator/scheduler.h"' '"tools/command.h"' '"tests/support/random.h"' \
  '<google/protobuf/message.h>' "${rpc[@]}"
refuse model '"kernels/step.h"' '"worker/rank.h"' '"coordinator/scheduler.h"' \
  '"tools/command.h"' '"tests/support/random.h"' '"hwy/highway.h"' "${rpc[@]}"
refuse kernels '"model/model.h"' '"worker/rank.h"' '"coordinator/scheduler.h"' \
  '"tools/command.h"' '"tests/support/random.h"' \
  '<google/protobuf/message.h>' "${rpc[@]}"
refuse worker '"coordinator/scheduler.h"' '"tools/command.h"' \
  '"tests/support/random.h"' '"quatrain/v1/model.pb.h"'
refuse coordinator '"kernels/step.h"' '"worker/rank.h"' '"tools/command.h"' \
  '"tests/support/random.h"' '"gloo/transport/device.h"' '"hwy/highway.h"'
refuse model '"../kernels/step.h"' '"./model/model.h"'
expect fails base '  #  include <grpcpp/grpcpp.h>'
expect fails tools 'class InBase {'

# accept FOLDER PATH...
accept() {
  local folder=$1 path
  shift
  for path in "$@"; do expect passes "$folder" "#include $path"; done
}
accept base '<vector>' '<sys/mman.h>' '"absl/status/status.h"' '"base/json.h"'
accept model '"base/json.h"' '"model/range.h"' '<google/protobuf/io/coded_stream.h>'
accept kernels '"base/json.h"' '"kernels/step.h"' '"hwy/highway.h"'
accept worker '"base/json.h"' '"kernels/step.h"' '"model/range.h"' \
  '"quatrain/internal/v1/step.pb.h"' '<grpcpp/grpcpp.h>' '"gloo/transport/device.h"'
accept coordinator '"base/json.h"' '"model/range.h"' '"quatrain/v1/model.pb.h"' \
  '<grpcpp/grpcpp.h>'
accept tools '"worker/rank.h"' '"coordinator/scheduler.h"'
expect passes model '// a word on "grpcpp/channel.h"' 'class InBase;'

# A tree without a folder was not checked.
rm -rf "$tree/kernels"
if "$check" "$tree" >"$tree/said" 2>&1; then
  echo "FAILED: a tree without kernels/ passes"
  failed=1
fi
exit $failed
