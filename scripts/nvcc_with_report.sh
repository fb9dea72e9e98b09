#!/usr/bin/env bash
# scripts/nvcc_with_report.sh REPORT COMMAND...: runs nvcc; keeps what ptxas -v
# says of every kernel, and the seconds that it all took, in REPORT.
report=$1
shift
begin=$(date +%s.%N)
"$@" >"$report.tmp" 2>&1
status=$?
if [[ $status -ne 0 ]]; then
  cat "$report.tmp"
  rm -f "$report.tmp"
  exit $status
fi
grep -v 'ptxas info\|bytes stack frame\|Compile time\|^$' "$report.tmp" >&2
{
  cat "$report.tmp"
  echo "seconds: $(bc -l <<<"$(date +%s.%N) - $begin" 2>/dev/null || echo unknown)"
} >"$report"
rm -f "$report.tmp"
