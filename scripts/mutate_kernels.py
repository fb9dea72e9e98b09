#!/usr/bin/env python3
"""Plants bugs in the CUDA kernels and shows which of them the tests catch.

    scripts/mutate_kernels.py [--files dense.cu ...] [--per-file 16] [--list]

Needs a built release preset (target simt_tests). Each bug is one change of one
line: a barrier or a wait that is missing, an index, a bound, a shift, an operator.
The changed files are compiled beside the tree, never in it; the tests named in
TESTS run on the emulated device: plain (forward, then reverse), then the check
build, then ASan's. Prints a line per bug, and writes the report that is kept as
tests/kernels/cuda/mutations.txt. A bug that survives needs a reason in
tests/kernels/cuda/survivors.txt, by file, line's text and change; exit status 1
where one has none, or where a reason names no survivor.
"""

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, "build", "release")
REPORT = "tests/kernels/cuda/mutations.txt"
SURVIVORS = "tests/kernels/cuda/survivors.txt"

# Which tests judge a file, by the start of its name; the first that fits.
TESTS = [
    ("dense", ["rows"]), ("warp_ring", ["product", "rows"]), ("rows.cu", ["rows"]),
    ("rms_norm.cuh", ["rows"]),
    ("widen.cuh", ["rows"]), ("pack.cu", ["product", "rows"]),
    ("dequant", ["dequant"]), ("half_rows.cu", ["dequant", "half"]),
    ("int4_half", ["half"]), ("product_output", ["product", "dequant", "half"]),
    ("attention_mma", ["attention_mma"]), ("attention", ["attention"]),
    ("kv_", ["attention"]), ("sample_", ["sampling"]), ("gumbel", ["sampling"]),
    ("", ["product"]),
]

# Kind, pattern, replacement. Each match of a pattern on a line of code is a bug.
OPERATORS = [
    ("missing barrier", r"^(\s*)__syncthreads\(\);", r"\1;"),
    ("missing barrier", r"^(\s*)__syncwarp\(\);", r"\1;"),
    ("missing barrier", r"^(\s*)(?:ptx::named_barrier_sync|SyncTile)\(.*\);", r"\1;"),
    ("missing wait", r"^(\s*)ptx::cp_async_wait<[^;]*;", r"\1;"),
    ("missing commit", r"^(\s*)ptx::cp_async_commit\(\);", r"\1;"),
    ("missing wait", r"^(\s*)ring\.Wait\(\);", r"\1;"),
    ("late wait", r"cp_async_wait<kSlots - 1>", "cp_async_wait<kSlots>"),
    ("late wait", r"cp_async_wait<kStages - 2>", "cp_async_wait<kStages - 1>"),
    ("missing fence", r"^(\s*)__threadfence\(\);", r"\1;"),
    ("swapped stages", r"\bb % kStages", "(b + 1) % kStages"),
    ("swapped stages", r"\bstage \^ 1\b", "stage"),
    ("swapped buffers", r"\^= 1", "^= 0"),
    ("off by one", r"(\bfor \([^;]*;[^;<]*)<( )", r"\1<=\2"),
    ("bound", r"(\bif \([^;]*?)(?<![<\-])<(?![<=])( )", r"\1<=\2"),
    ("bound", r">= ", "> "),
    ("bound", r"(return [^;?]*[^<\-])< ", r"\1<= "),
    ("index", r"\+ 8\b", "+ 7"),
    ("index", r"\+ 1\b", "+ 2"),
    ("index", r"- 1\b", "- 0"),
    ("index", r"\b16 \*", "15 *"),
    ("fragment", r"\blane / 4\b", "lane % 8"),
    ("fragment", r"\blane % 4\b", "lane / 8"),
    ("fragment", r"% 32 / 4\b", "% 32 % 8"),
    ("fragment", r"threadIdx\.x % 4\b", "threadIdx.x % 2"),
    ("fragment", r"\[2 \* r\]", "[2 * r + 1]"),
    ("fragment", r"\bw\.y\b", "w.x"),
    ("fragment", r"\bx\.z, x\.w\b", "x.w, x.z"),
    ("shift", r">> 4\b", ">> 3"),
    ("shift", r"<< \(n \* kEach", "<< (n + kEach"),
    ("wrong group", r"\bblocks\[b\]", "blocks[b > 0 ? b - 1 : b]"),
    ("wrong group", r"\bnum_blocks \+ b\b", "num_blocks"),
    ("wrong scale", r"header\.scale\[r\]", "header.scale[0]"),
    ("wrong zero", r"header\.zero\[r\]", "header.zero[1 - r]"),
    ("sign", r"(sum) - (header)", r"\1 + \2"),
    ("constant", r"\b256 \*", "255 *"),
    ("constant", r"\+ 128\)", "+ 127)"),
    ("rounding", r"__fmaf_rn\((\w+), (\w+), ", r"__fadd_rn(__fmul_rn(\1, \2), "),
    ("operand", r"kPairBytes\b(?! =)", "kHalfPairBytes"),
    ("operand", r"\bkWarps \* kAhead\b", "kWarps"),
    ("tail", r"\? kChunkBytes : 0", "? kChunkBytes : kChunkBytes"),
    ("tail", r"\? 8 : 0", "? 8 : 8"),
    ("mark", r"!= 0 \? 1 : 0", "== 0 ? 1 : 0"),
    ("logic", r" && ", " || "),
    ("logic", r" \|\| ", " && "),
    ("arithmetic", r" % (?=k[A-Z]\w+)", " / "),
    ("arithmetic", r"(?<=\w) / (?=k[A-Z]\w+)", " % "),
]
URGENT = {"missing barrier", "missing wait", "missing commit", "late wait",
          "missing fence", "swapped stages", "swapped buffers"}


class Bug:
  def __init__(self, file, line, kind, old, new):
    self.file, self.line, self.kind = file, line, kind
    self.old, self.new, self.nth = old, new, 1

  def key(self):
    """Equal lines of a file are told apart by their order."""
    nth = f" #{self.nth}" if self.nth > 1 else ""
    return f"{self.file}: {self.old.strip()} => {self.new.strip()}{nth}"


def code_lines(path):
  """Lines of code with their numbers; comments, headers and checks of a
  launcher's arguments are no place for a bug of a kernel."""
  for number, line in enumerate(open(path), 1):
    text = line.strip()
    if text.startswith(("//", "#")) or "return \"" in text or not text:
      continue
    yield number, line.rstrip("\n")


def bugs_of(file, limit):
  urgent, others, seen = [], [], {}
  for number, line in code_lines(os.path.join(ROOT, "kernels/cuda", file)):
    code = line.split("//")[0]
    for kind, pattern, replacement in OPERATORS:
      for match in re.finditer(pattern, code):
        new = code[:match.start()] + match.expand(replacement) + code[match.end():]
        if new == code:
          continue
        bug = Bug(file, number, kind, code, new)
        text = (code.strip(), new.strip())
        seen[text] = bug.nth = seen.get(text, 0) + 1
        (urgent if kind in URGENT else others).append(bug)
  # Evenly over the file, the same each time.
  room = max(0, limit - len(urgent))
  if len(others) > room:
    others = [others[i * len(others) // room] for i in range(room)] if room else []
  return urgent + others


def includes(path, seen):
  """The kernel headers that a file includes, itself among them."""
  name = os.path.basename(path)
  if name in seen:
    return seen
  seen.add(name)
  for line in open(path):
    match = re.match(r'#include "kernels/cuda/(.*)"', line)
    if match and os.path.exists(os.path.join(ROOT, "kernels/cuda", match[1])):
      includes(os.path.join(ROOT, "kernels/cuda", match[1]), seen)
  return seen


class Builder:
  def __init__(self):
    commands = json.load(open(os.path.join(BUILD, "compile_commands.json")))
    self.compile = {}
    for entry in commands:
      match = re.search(r"quatrain_kernels_simt_(\w+)\.dir/simt/kernels_cuda_(.*)\.cu\.cpp\.o",
                        entry["command"])
      if match:
        self.compile[(match[1], match[2] + ".cu")] = entry
    self.units = sorted({unit for _, unit in self.compile})
    self.headers = {u: includes(os.path.join(ROOT, "kernels/cuda", u), set())
                    for u in self.units}
    self.links = {}

  def units_with(self, file, all_types):
    """The units that a bug goes into. Attention has a unit per type of the cache,
    which take a minute to compile together: the bug goes into one of them first."""
    units = [u for u in self.units if file in self.headers[u]]
    twin = re.compile(r"_(bf16|f32|fp8|int8)\.cu$")
    return [u for u in units if all_types or twin.sub("_f16.cu", u) == u or
            twin.sub("_f16.cu", u) not in units]

  def link_command(self, test, variant):
    target = f"kernels_cuda_{test}_{variant}"
    if target not in self.links:
      out = subprocess.run(["ninja", "-C", BUILD, "-t", "commands", target],
                           capture_output=True, text=True, check=True).stdout
      self.links[target] = [line for line in out.splitlines() if f"-o tests/kernels/cuda/{target} " in line][-1]
    return self.links[target]

  def build(self, bug, variant, test, work, all_types):
    """An executable with the bug, or None where it does not compile."""
    overlay = os.path.join(work, "kernels", "cuda")
    os.makedirs(overlay, exist_ok=True)
    lines = open(os.path.join(ROOT, "kernels/cuda", bug.file)).read().split("\n")
    lines[bug.line - 1] = bug.new
    with open(os.path.join(overlay, bug.file), "w") as file:
      file.write("\n".join(lines))
    link = self.link_command(test, variant)
    for unit in self.units_with(bug.file, all_types):
      entry = self.compile[(variant, unit)]
      args = shlex.split(entry["command"])
      old = args[args.index("-o") + 1]
      new = os.path.join(work, f"{variant}_{unit}.o")
      args[args.index("-o") + 1] = new
      if os.path.basename(args[0]) == "ccache":
        args = args[1:]
      # The unit's file includes the kernel by its path from the root.
      args[1:1] = ["-I", work, "-Wno-error", "-w"]
      if subprocess.run(args, cwd=entry["directory"], capture_output=True).returncode:
        return None
      # First, since the linker takes the first copy of an inline function.
      link = link.replace(" " + old + " ", " ", 1)
      link = re.sub(r"(g\+\+\S*|clang\+\+\S*) ", r"\1 " + new + " ", link, count=1)
    binary = os.path.join(work, f"{test}_{variant}")
    link = re.sub(r"-o tests/kernels/cuda/\S+", "-o " + binary, link)
    subprocess.run(link, shell=True, cwd=BUILD, check=True, capture_output=True)
    return binary


def run(binary, schedule, limit):
  """What the test said when it failed, or None where it passed."""
  env = dict(os.environ, SIMT_SCHEDULE=schedule)
  try:
    done = subprocess.run([binary], cwd=ROOT, env=env, capture_output=True, text=True,
                          timeout=limit, errors="replace")
  except subprocess.TimeoutExpired:
    return "does not end"
  if done.returncode == 0:
    return None
  for line in (done.stdout + done.stderr).splitlines():
    if line.startswith("passed") or not line.strip():
      continue
    match = re.search(r"\[([a-z' -]+), launch", line)
    return match[1] if match else "wrong values"
  return f"exit status {done.returncode}"


def tests_of(file):
  return next(tests for start, tests in TESTS if file.startswith(start))


def judge(builder, bug, limit):
  found = judge_in(builder, bug, limit, False)
  if found is None and builder.units_with(bug.file, True) != builder.units_with(bug.file, False):
    found = judge_in(builder, bug, limit, True)
  return found


def judge_in(builder, bug, limit, all_types):
  with tempfile.TemporaryDirectory() as work:
    for variant, schedules in (("plain", ("forward", "reverse")), ("check", ("forward",)),
                               ("asan", ("forward",))):
      for test in tests_of(bug.file):
        binary = builder.build(bug, variant, test, work, all_types)
        if binary is None:
          return "does not compile"
        for schedule in schedules:
          found = run(binary, schedule, limit)
          if found:
            return f"{variant}, {schedule}: {found}"
  return None


def read_reasons():
  reasons = {}
  path = os.path.join(ROOT, SURVIVORS)
  if not os.path.exists(path):
    return reasons
  key = None
  for line in open(path):
    line = line.rstrip("\n")
    if line.startswith("#") or not line:
      continue
    if line.startswith("  "):
      reasons[key] += " " + line.strip()
    else:
      key = line
      reasons[key] = ""
  return reasons


def main():
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("--files", nargs="*", help="of kernels/cuda; default: all")
  parser.add_argument("--per-file", type=int, default=12)
  parser.add_argument("--list", action="store_true", help="only show the bugs")
  parser.add_argument("--limit-s", type=int, default=120, help="of one test run")
  parser.add_argument("--report", help="where to write the table")
  options = parser.parse_args()
  builder = None if options.list else Builder()
  files = options.files or sorted(
      f for f in os.listdir(os.path.join(ROOT, "kernels/cuda"))
      if f.endswith((".cu", ".cuh")) and f not in (
          "runtime_cuda.cu", "gemm_cublas.cu", "table.cu", "layout.cu", "product.cu"))
  bugs = [bug for file in files for bug in bugs_of(file, options.per_file)]
  if options.list:
    for bug in bugs:
      print(f"{bug.kind:16} {bug.key()}")
    print(f"{len(bugs)} bugs")
    return 0
  reasons, lines, caught, silent = read_reasons(), [], 0, []
  unused = {key for key in reasons if key.split(":")[0] in files}
  begin = time.time()
  for i, bug in enumerate(bugs, 1):
    found = judge(builder, bug, options.limit_s)
    if found == "does not compile":
      continue
    if found:
      caught += 1
    elif bug.key() not in reasons:
      silent.append(bug)
    else:
      unused.discard(bug.key())
    said = found or "SURVIVES: " + reasons.get(bug.key(), "no reason given").strip()
    lines.append(f"{bug.kind:16} {bug.key()}\n                 {said}")
    print(f"[{i}/{len(bugs)}, {time.time() - begin:.0f} s] {lines[-1]}", flush=True)
  summary = f"{len(lines)} bugs planted, {caught} caught, {len(lines) - caught} survive"
  print(summary)
  if options.report:
    with open(options.report, "w") as file:
      file.write(f"# Written by scripts/mutate_kernels.py. {summary}.\n")
      file.write("\n".join(lines) + "\n")
  for bug in silent:
    print(f"survives without a reason: {bug.key()}")
  for key in sorted(unused):
    print(f"has a reason, but does not survive: {key}")
  return 1 if silent or unused else 0


if __name__ == "__main__":
  sys.exit(main())
