#!/usr/bin/env python3
"""Runs the kernel tests in the build that counts lines and checks that every
line of kernels/cuda was executed.

    scripts/kernel_coverage.py TEST_BINARY OBJECT_FOLDER

A line that is not executed needs a reason in tests/kernels/cuda/uncovered.txt: a
line `FILE: TEXT OF THE LINE`, then an indented reason. A reason for a line that is
executed, or that is not there, fails too. So does a source that the build does not
have; its reason stands under `FILE: not built`.
"""

import glob
import gzip
import json
import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
REASONS = os.path.join(ROOT, "tests/kernels/cuda/uncovered.txt")


def read_reasons():
  reasons, key = {}, None
  if not os.path.exists(REASONS):
    return reasons
  for line in open(REASONS):
    line = line.rstrip("\n")
    if not line or line.startswith("#"):
      continue
    if line.startswith("  ") and key:
      reasons[key] += line.strip() + " "
    else:
      key = line
      reasons[key] = ""
  return reasons


def count_lines(objects):
  """{(file, line): times executed} over all objects and instantiations."""
  counts = {}
  with tempfile.TemporaryDirectory() as work:
    for note in glob.glob(os.path.join(objects, "**/*.gcno"), recursive=True):
      subprocess.run(["gcov", "--json-format", note], cwd=work, check=True,
                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
      for path in glob.glob(os.path.join(work, "*.gcov.json.gz")):
        for file in json.load(gzip.open(path))["files"]:
          name = os.path.relpath(os.path.join(ROOT, file["file"]), ROOT)
          if not name.startswith("kernels/cuda/"):
            continue
          for line in file["lines"]:
            key = (name, line["line_number"])
            counts[key] = counts.get(key, 0) + line["count"]
        os.remove(path)
  return counts


def main():
  binary, objects = map(os.path.abspath, sys.argv[1:])
  for data in glob.glob(os.path.join(objects, "**/*.gcda"), recursive=True):
    os.remove(data)
  if subprocess.run([binary], cwd=ROOT).returncode != 0:
    print("coverage: the tests failed")
    return 1
  counts = count_lines(objects)
  if not counts:
    print(f"coverage: no line of kernels/cuda was counted in {objects}")
    return 1
  sources = {name: open(os.path.join(ROOT, name)).read().split("\n")
             for name in {name for name, _ in counts}}
  reasons, used, bad = read_reasons(), set(), 0
  for (name, number), count in sorted(counts.items()):
    key = f"{name}: {sources[name][number - 1].strip()}"
    if count > 0:
      continue
    if reasons.get(key):
      used.add(key)
      continue
    bad += 1
    print(f"coverage: not executed, and no reason given: {name}:{number}: "
          f"{sources[name][number - 1].strip()}")
  for pattern in ("*.cu", "*.cc"):
    for path in sorted(glob.glob(os.path.join(ROOT, "kernels/cuda", pattern))):
      name = os.path.relpath(path, ROOT)
      if name in sources:
        continue
      key = f"{name}: not built"
      used.add(key)
      if not reasons.get(key):
        bad += 1
        print(f"coverage: {name} is not built, and no reason given")
  for key in reasons:
    if key not in used:
      bad += 1
      print(f"coverage: {REASONS} names a line that is executed or gone: {key}")
  executed = sum(count > 0 for count in counts.values())
  print(f"coverage: {executed} of {len(counts)} lines of kernels/cuda executed, "
        f"{len(used)} others with a reason")
  return 1 if bad else 0


if __name__ == "__main__":
  sys.exit(main())
