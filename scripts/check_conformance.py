#!/usr/bin/env python3
"""Holds the choice of kernels against what their instructions have shown.

  scripts/check_conformance.py

A kernel conforms when every wrapper of kernels/cuda/ptx.h that its sources use
has published semantics or a file in tests/kernels/cuda/conformance, recorded on
real hardware. Fails where a table in kernels/cuda/kernel_choice.cc says
otherwise of a kernel, and where a kernel that is in no table does not conform.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
CUDA = ROOT / 'kernels/cuda'
# bar.sync with a number is the instruction behind __syncthreads().
PUBLISHED = re.compile(r'(mma_m\w+|ldmatrix_\w+|cp_async(4|8|16|_commit|_wait)|'
                       r'named_barrier_\w+|lop3)$')


def sources_of(kernel):
    """The files of kernels/cuda that SOURCE.cu and its parts include."""
    files = [path for path in CUDA.glob('*.cu')
             if re.fullmatch(kernel + r'(_(bf16|f16|f32|fp8|int8))?', path.stem)]
    seen = set()
    while files:
        path = files.pop()
        if path in seen or path.name == 'ptx.h':
            continue
        seen.add(path)
        for name in re.findall(r'#include "(kernels/cuda/[^"]+)"',
                               path.read_text()):
            files.append(ROOT / name)
    return seen


def waits_for(kernel):
    used = set()
    for path in sources_of(kernel):
        used.update(re.findall(r'\bptx::(\w+)', path.read_text()))
    recorded = {path.stem for path in
                (ROOT / 'tests/kernels/cuda/conformance').glob('*')}
    return sorted(name for name in used
                  if not PUBLISHED.match(name) and name not in recorded)


def main():
    choice = (CUDA / 'kernel_choice.cc').read_text()
    table = re.findall(
        r'\{\w+Kernel::\w+,\s*"(\w+)",\s*(?:true|false),\s*(true|false)\}',
        choice)
    if not table:
        sys.exit('check_conformance: no kernels in kernels/cuda/kernel_choice.cc')
    wrong = 0
    in_table = set()
    for kernel, conforms in table:
        in_table |= {path.stem for path in sources_of(kernel)
                     if path.suffix == '.cu'}
        waits = waits_for(kernel)
        if (conforms == 'true') == (not waits):
            continue
        wrong += 1
        print(f'check_conformance: kernel_choice.cc says conforms = {conforms} '
              f'of {kernel}, which waits for: {", ".join(waits) or "nothing"}')
    for path in sorted(CUDA.glob('*.cu')):
        waits = waits_for(path.stem)
        if path.stem not in in_table and waits:
            wrong += 1
            print(f'check_conformance: {path.stem} is always chosen, and waits '
                  f'for: {", ".join(waits)}')
    if wrong:
        sys.exit(1)
    print(f'check_conformance: {len(table)} kernels in the tables, all as they say')


if __name__ == '__main__':
    main()
