#!/usr/bin/env bash
# Sets everything up and passes the tests, in a release build.
#
#   scripts/test.sh [CTEST ARGUMENT...]     e.g. -R scheduler, -L unit
#
# Tests that need third-party data look for it in QUATRAIN_REFERENCE_DIR and say
# that they skip where it is not set.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
scripts/python_env.sh
scripts/build.sh release
[[ -n ${QUATRAIN_REFERENCE_DIR:-} ]] ||
  echo "test: QUATRAIN_REFERENCE_DIR is not set: tests on third-party data skip"
ctest --preset release -j "$(nproc)" "$@"
