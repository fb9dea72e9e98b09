#!/usr/bin/env python3
"""Holds what ptxas says of every kernel against a committed table.

  scripts/check_ptxas.py REPORT... --table kernels/cuda/registers.txt
                         [--partial] [--update]

A REPORT (OBJECT.ptxas, or a folder with such files) is what
scripts/nvcc_with_report.sh keeps beside each object. The table has one line per
kernel and family of chips:

  kernel family registers static dynamic threads blocks [stack=N spill=N: reason]

  kernel     FILE/NAME<ARGUMENTS>, `_` for spaces
  family     80; 86, which stands for 86 and 89; 90
  registers  at most, per thread
  static     bytes of static shared memory, at most
  dynamic    bytes of dynamic shared memory of the launch that `blocks` is said
             of; ptxas does not know them. Attention of few sequences takes more
             (attention_plan.cc), since nothing shares its multiprocessor then
  threads    of a block
  blocks     that a multiprocessor must be able to hold, from all of the above
  stack, spill  bytes allowed of the stack frame and of spill loads and stores
             together; 0 each where nothing is said

Fails where a kernel has more than its line allows, where a kernel has no line or
a line no kernel. --update writes what was found, registers rounded up to the 8
in which they are handed out; it keeps dynamic, threads, blocks and reasons. A new
kernel's are `?`, to be filled in by hand: until then the check fails. --partial:
families without any report are left out of the check; --update always keeps
their lines.
"""

import argparse
import dataclasses
import os
import re
import subprocess
import sys


@dataclasses.dataclass(frozen=True)
class Chip:
    """Limits of one multiprocessor."""
    threads: int
    blocks: int
    shared: int  # bytes, of all blocks
    block_shared: int  # bytes, of one block


REGISTERS = 65536  # of every multiprocessor here
REGISTER_UNIT = 256  # registers of a warp are handed out in these
WARP_UNIT = 4  # a block's registers in so many warps, one per scheduler
SYSTEM_SHARED = 1024  # bytes that each block loses
SHARED_UNIT = 128

KIB = 1024
CHIPS = {
    '80': Chip(2048, 32, 164 * KIB, 163 * KIB),
    '86': Chip(1536, 16, 100 * KIB, 99 * KIB),
    '89': Chip(1536, 24, 100 * KIB, 99 * KIB),
    '90': Chip(2048, 32, 228 * KIB, 227 * KIB),
}
FAMILY = {'80': '80', '86': '86', '89': '86', '90': '90'}


def round_up(value, unit):
    return (value + unit - 1) // unit * unit


def blocks_per_sm(chip, registers, threads, shared):
    """How many blocks a multiprocessor holds; 0 where one does not fit."""
    if threads > 1024 or shared > chip.block_shared:
        return 0
    warps = round_up(threads, 32) // 32
    per_warp = round_up(max(registers, 1) * 32, REGISTER_UNIT)
    fit = REGISTERS // per_warp // WARP_UNIT * WARP_UNIT // warps
    by_shared = chip.shared // (round_up(shared, SHARED_UNIT) + SYSTEM_SHARED)
    return min(fit, by_shared, chip.threads // (warps * 32), chip.blocks)


@dataclasses.dataclass
class Found:
    """What one compilation of a kernel took."""
    arch: str  # '90'
    registers: int = 0
    static: int = 0
    stack: int = 0
    spill: int = 0  # bytes of stores and loads


@dataclasses.dataclass
class Allowed:
    registers: int
    static: int
    dynamic: str  # a number, or '?'
    threads: str
    blocks: str
    stack: int = 0
    spill: int = 0
    reason: str = ''

    def complete(self):
        return '?' not in (self.dynamic, self.threads, self.blocks)


# --- Reports -----------------------------------------------------------------


def demangle(names):
    """{mangled: demangled} by one call of c++filt."""
    if not names:
        return {}
    try:
        out = subprocess.run(['c++filt'], input='\n'.join(names), text=True,
                             capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f'check_ptxas: c++filt (of binutils) does not run: {error}')
    return dict(zip(names, out.split('\n')))


def short_name(demangled):
    """'Name<1,true>' of a whole signature, without namespaces."""
    name = re.sub(r'\(anonymous namespace\)::', '', demangled)
    name = re.sub(r'_GLOBAL__N__\w+?::', '', name)
    depth, end = 0, len(name)
    for i, c in enumerate(name):
        if c == '(' and depth == 0:
            end = i
            break
        depth += (c == '<') - (c == '>')
    name = name[:end]
    head, angle, arguments = name.partition('<')
    head = head.split(' ')[-1].split('::')[-1]
    arguments = re.sub(r'\b(?:\w+::)+', '', arguments)
    return (head + angle + arguments).replace(', ', ',').replace(' ', '_')


class Report:
    """One file's kernels, by mangled name, and its seconds."""

    ENTRY = re.compile(r"Compiling entry function '(\S+)' for 'sm_(\d+)\w*'")
    STACK = re.compile(r'(\d+) bytes stack frame, (\d+) bytes spill stores, '
                       r'(\d+) bytes spill loads')
    USED = re.compile(r'Used (\d+) registers')
    SHARED = re.compile(r'(\d+)(?:\+\d+)? bytes smem')
    SECONDS = re.compile(r'seconds: (\S+)')

    def __init__(self, path):
        self.file = os.path.basename(path).split('.')[0]
        self.kernels = []  # (mangled, Found)
        self.seconds = None
        with open(path, encoding='utf-8') as lines:
            for line in lines:
                self._read(line)
        if any(found.registers == 0 for _, found in self.kernels):
            sys.exit(f'check_ptxas: {path}: a kernel without its registers: '
                     'was nvcc run with -Xptxas -v?')

    def _read(self, line):
        if match := self.ENTRY.search(line):
            if match[2] not in FAMILY:
                sys.exit(f'check_ptxas: {self.file}: sm_{match[2]} is none of '
                         + ', '.join('sm_' + arch for arch in CHIPS))
            self.kernels.append((match[1], Found(match[2])))
        elif match := self.STACK.search(line):
            if self.kernels:  # also of a function that the kernel calls
                self.kernels[-1][1].stack += int(match[1])
                self.kernels[-1][1].spill += int(match[2]) + int(match[3])
        elif match := self.USED.search(line):
            if self.kernels:
                found = self.kernels[-1][1]
                found.registers = max(found.registers, int(match[1]))
                shared = self.SHARED.search(line)
                found.static = int(shared[1]) if shared else 0
        elif match := self.SECONDS.search(line):
            try:
                self.seconds = float(match[1])
            except ValueError:
                pass  # "unknown": the machine has no bc


def report_paths(arguments):
    paths = []
    for argument in arguments:
        if os.path.isdir(argument):
            paths += [os.path.join(argument, name)
                      for name in sorted(os.listdir(argument))
                      if name.endswith('.ptxas')]
        else:
            paths.append(argument)
    if not paths:
        sys.exit('check_ptxas: no reports')
    return paths


def collect(reports):
    """{(kernel, family): [Found of each of its chips]}"""
    mangled = sorted({name for r in reports for name, _ in r.kernels})
    names = demangle(mangled)
    kernels = {}
    for report in reports:
        for name, found in report.kernels:
            key = (f'{report.file}/{short_name(names[name])}',
                   FAMILY[found.arch])
            kernels.setdefault(key, []).append(found)
    for (kernel, family), found in kernels.items():
        archs = [f.arch for f in found]
        if len(set(archs)) != len(archs):
            sys.exit(f'check_ptxas: two kernels are called {kernel} for '
                     f'sm_{family}')
    return kernels


# --- The table ---------------------------------------------------------------


def read_table(path):
    """The comment at its top, and {(kernel, family): Allowed}."""
    header, table = [], {}
    if not os.path.exists(path):
        return header, table
    with open(path, encoding='utf-8') as lines:
        for number, line in enumerate(lines, 1):
            if line.startswith('#') or not line.strip():
                if not table:
                    header.append(line.rstrip('\n'))
                continue
            try:
                key, allowed = parse_line(line)
            except (ValueError, IndexError):
                sys.exit(f'check_ptxas: {path}:{number}: not a line of the '
                         f'table: {line.strip()}')
            if key in table:
                sys.exit(f'check_ptxas: {path}:{number}: {key[0]} has two '
                         f'lines for {key[1]}')
            table[key] = allowed
    return header, table


def parse_line(line):
    facts, _, reason = line.strip().partition(': ')
    fields = facts.split()
    kernel, family = fields[:2]
    if family not in FAMILY.values():
        raise ValueError(family)
    allowed = Allowed(int(fields[2]), int(fields[3]), *fields[4:7])
    for field in (allowed.dynamic, allowed.threads, allowed.blocks):
        if field != '?':
            int(field)
    for extra in fields[7:]:
        name, value = extra.split('=')
        if name not in ('stack', 'spill'):
            raise ValueError(name)
        setattr(allowed, name, int(value))
    allowed.reason = reason
    if fields[7:] and not reason:
        raise ValueError('a reason')
    return (kernel, family), allowed


def write_table(path, header, table):
    rows = []
    for (kernel, family), a in sorted(table.items(), key=sort_key):
        row = [kernel, family, str(a.registers), str(a.static), a.dynamic,
               a.threads, a.blocks]
        if a.stack or a.spill:
            row.append(f'stack={a.stack} spill={a.spill}: {a.reason or "?"}')
        rows.append(row)
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(7)]
    with open(path, 'w', encoding='utf-8') as out:
        for line in header:
            out.write(line + '\n')
        for row in rows:
            cells = [row[0].ljust(widths[0])]
            cells += [row[i].rjust(widths[i]) for i in range(1, 7)]
            out.write('  '.join(cells + row[7:]) + '\n')


def sort_key(item):
    # Numbers in names by value: <2,1> before <16,1>.
    kernel, family = item[0]
    return [(int(p), '') if p.isdigit() else (-1, p)
            for p in re.split(r'(\d+)', kernel)], family


def updated(kernels, table):
    result = {}
    built = {family for _, family in kernels}
    for (kernel, family), allowed in table.items():
        if family not in built:
            result[kernel, family] = allowed
    for key, found in kernels.items():
        old = table.get(key)
        if old is None:  # threads are mostly those of another family's line
            old = next((table[other] for other in table if other[0] == key[0]),
                       Allowed(0, 0, '?', '?', '?'))
        result[key] = dataclasses.replace(
            old,
            registers=round_up(max(f.registers for f in found), 8),
            static=max(f.static for f in found),
            stack=max(f.stack for f in found),
            spill=max(f.spill for f in found))
    return result


# --- The check ---------------------------------------------------------------


def problems_of(key, found, allowed):
    """What is wrong with one compilation, a line each."""
    kernel = f'{key[0]} for sm_{found.arch}'
    for what, value, limit in (
            ('registers', found.registers, allowed.registers),
            ('bytes of static shared memory', found.static, allowed.static),
            ('bytes of stack frame', found.stack, allowed.stack),
            ('bytes of spills', found.spill, allowed.spill)):
        if value > limit:
            yield f'{kernel}: {value} {what}, {limit} are allowed'
    if not allowed.complete():
        return  # said once for all of a kernel's lines
    if (allowed.stack or allowed.spill) and allowed.reason in ('', '?'):
        yield f'{kernel}: its line allows spills without a reason'
    fit = occupancy(found, allowed)
    if fit < int(allowed.blocks):
        yield (f'{kernel}: {fit} blocks of {allowed.threads} threads fit a '
               f'multiprocessor ({found.registers} registers, {found.static} + '
               f'{allowed.dynamic} bytes of shared memory), {allowed.blocks} '
               'are wanted')


def occupancy(found, allowed):
    return blocks_per_sm(CHIPS[found.arch], found.registers,
                         int(allowed.threads),
                         found.static + int(allowed.dynamic))


def check(kernels, table, partial):
    problems = []
    built = {family for _, family in kernels}
    for key, found in sorted(kernels.items()):
        if key not in table:
            problems.append(f'{key[0]} for {key[1]}: not in the table '
                            '(scripts/check_ptxas.py --update)')
            continue
        for compilation in found:
            problems += problems_of(key, compilation, table[key])
    for kernel in sorted({key[0] for key, allowed in table.items()
                          if not allowed.complete()}):
        problems.append(f'{kernel}: dynamic, threads or blocks are still ? in '
                        'the table')
    for key in sorted(table):
        if key in kernels or (partial and key[1] not in built):
            continue
        problems.append(f'{key[0]} for {key[1]}: in the table, but no report '
                        'has this kernel')
    return problems


def print_kernels(kernels, table):
    width = max((len(kernel) for kernel, _ in kernels), default=6)
    print(f'{"kernel":{width}}  arch  registers  static  stack  spill  '
          'blocks  threads')
    for key, found in sorted(kernels.items(), key=sort_key):
        for f in sorted(found, key=lambda f: f.arch):
            fit, share = '?', '?'
            allowed = table.get(key)
            if allowed is not None and allowed.complete():
                blocks = occupancy(f, allowed)
                fit = str(blocks)
                chip = CHIPS[f.arch].threads
                share = f'{100 * blocks * int(allowed.threads) // chip} %'
            print(f'{key[0]:{width}}  {f.arch:>4}  {f.registers:9}  '
                  f'{f.static:6}  {f.stack:5}  {f.spill:5}  {fit:>6}  '
                  f'{share:>7}')


def print_instantiations(kernels, reports):
    by_template = {}
    for kernel in sorted({kernel for kernel, _ in kernels}):
        name, _, arguments = kernel.partition('<')
        by_template.setdefault(name, []).append('<' + arguments)
    names = {kernel for kernel, _ in kernels}
    print(f'\n{len(by_template)} kernels, {len(names)} instantiations')
    for name, arguments in by_template.items():
        if arguments != ['<']:
            print(f'  {name}: {len(arguments)}: {" ".join(arguments)}')
    print('\nseconds of nvcc')
    total = 0.0
    for report in sorted(reports, key=lambda r: -(r.seconds or 0)):
        seconds = report.seconds
        total += seconds or 0
        print(f'  {report.file:20} '
              f'{"unknown" if seconds is None else f"{seconds:7.1f}"}')
    print(f'  {"total":20} {total:7.1f}')


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('reports', nargs='+', metavar='REPORT')
    parser.add_argument('--table', required=True)
    parser.add_argument('--partial', action='store_true')
    parser.add_argument('--update', action='store_true')
    arguments = parser.parse_args()

    reports = [Report(path) for path in report_paths(arguments.reports)]
    kernels = collect(reports)
    header, table = read_table(arguments.table)
    if arguments.update:
        table = updated(kernels, table)
        write_table(arguments.table, header, table)
    print_kernels(kernels, table)
    print_instantiations(kernels, reports)
    problems = check(kernels, table, arguments.partial)
    print()
    for problem in problems:
        print(f'check_ptxas: {problem}', file=sys.stderr)
    if problems:
        sys.exit(1)
    print(f'check_ptxas: {len(kernels)} lines hold')


if __name__ == '__main__':
    main()
