#!/usr/bin/env bash
# Fails on an #include that the folder graph forbids:
#   base <- model, kernels;  worker -> kernels, model, proto, base;
#   coordinator -> model, proto, base;  tools and tests may include anything.
# and on two headers that define a class of the same name: the one executable
# links them all. Runs with every build.
set -euo pipefail
cd "$(dirname "$0")/.."
status=0

# forbid FOLDER PATTERN: no file of FOLDER includes a path that matches.
forbid() {
  if grep -rnE --include='*.h' --include='*.cc' --include='*.cu' --include='*.cuh' \
      "^ *#include [\"<]($2)" "$1"; then
    echo "check_includes: $1/ may not include what stands above"
    status=1
  fi
}

forbid base '(model|kernels|worker|coordinator|tools|tests|quatrain|google|grpc)[+]*/'
forbid model '(kernels|worker|coordinator|tools|tests|quatrain|grpc|gloo)[+]*/'
forbid kernels '(model|worker|coordinator|tools|tests|quatrain|google|grpc|gloo)[+]*/'
forbid worker '(coordinator|tools|tests|quatrain/v1)/'
forbid coordinator '(kernels|worker|tools|tests|gloo|hwy)/'

twice=$(grep -rhoE --include='*.h' '^(class|struct|enum class) [A-Z][A-Za-z0-9]*[^;]*$' \
    base model kernels worker coordinator tools |
  sed -E 's/^(class|struct|enum class) ([A-Za-z0-9]*).*/\2/' | grep -v '^ABSL$' | sort | uniq -d)
if [[ -n $twice ]]; then
  echo "check_includes: defined in two headers: $twice"
  status=1
fi
exit $status
