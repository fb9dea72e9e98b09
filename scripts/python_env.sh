#!/usr/bin/env bash
# Makes .venv with the Python packages that the client tests use (from PyPI), if
# it is not there yet.
set -euo pipefail
cd "$(dirname "$0")/.."
wanted=tests/e2e/requirements.txt
if [[ -f .venv/requirements.txt ]] && cmp -s "$wanted" .venv/requirements.txt; then
  exit 0
fi
echo "python_env: installing $(grep -cv '^#' "$wanted") packages into .venv"
python3 -m venv --clear .venv
.venv/bin/pip install -q --disable-pip-version-check -r "$wanted"
cp "$wanted" .venv/requirements.txt
