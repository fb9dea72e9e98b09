#!/usr/bin/env bash
# Runs pytest of .venv on the given files; 77 (skipped) where there is no .venv.
cd "$(dirname "$0")"
if [[ ! -x ../../.venv/bin/pytest ]]; then
  echo "skipped: no .venv; scripts/python_env.sh makes it"
  exit 77
fi
exec ../../.venv/bin/pytest -q -p no:cacheprovider "$@"
