"""A budget is a budget: what a worker really holds, while it loads and while it
serves, against what it printed before it read a weight."""
import concurrent.futures
import pathlib
import re
import tempfile
import threading
import time

import pytest

from cluster import QUATRAIN, Cluster, anonymous_bytes, request
from measure import make_model

UNITS = {"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
MARGIN = 1.05
MODEL_LEN = 128


# A sanitizer's own memory is in no plan.
pytestmark = pytest.mark.skipif(
    any(name in pathlib.Path(QUATRAIN).read_bytes() for name in (b"__asan_init", b"__tsan_init")),
    reason="the binary is built with a sanitizer")


@pytest.fixture(scope="module")
def model():
    with tempfile.TemporaryDirectory(prefix="quatrain-model-") as folder:
        # More of the vocabulary than of layers, so that what sampling holds counts.
        yield make_model(folder, vocab_size=16384, num_hidden_layers=8)


class Peak:
    """The most anonymous memory of each process, looked at all the time."""

    def __init__(self, processes):
        self.bytes = [0] * len(processes)
        self.processes = processes
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()

    def watch(self):
        while not self.done.wait(0.002):
            for i, process in enumerate(self.processes):
                try:
                    self.bytes[i] = max(self.bytes[i], anonymous_bytes(process.pid))
                except (OSError, RuntimeError):
                    pass  # it has ended

    def stop(self):
        self.done.set()
        self.thread.join()
        return self.bytes


def planned(log):
    """Bytes per worker by the table that the coordinator prints: every term but the limit."""
    totals, in_table = {}, False
    for line in log.splitlines():
        words = line.split()
        if "process" in words and "weights" in words and words[3:5] == ["rank", "worker"]:
            in_table = True
        elif in_table and len(words) > 4 and words[3].isdigit():
            sizes = re.findall(r"([\d.]+) (bytes|KiB|MiB|GiB)", line)
            terms = [float(number) * UNITS[unit] for number, unit in sizes]
            totals[words[4]] = totals.get(words[4], 0) + sum(terms[1:])
        elif in_table:
            return totals
    raise AssertionError(log)


def serve_everything(cluster):
    """Fills the cache, scores whole prompts with all the best, and draws through filters."""
    calls = [request(list(range(10 + i, 10 + i + 108)), max_tokens=20, ignore_eos=True,
                     temperature=1.0, seed=i, top_p=0.999, logprobs=True, top_logprobs=20,
                     prompt_logprobs=20)
             for i in range(4)]
    with concurrent.futures.ThreadPoolExecutor(len(calls)) as pool:
        for response in pool.map(cluster.inference.Generate, calls):
            assert response.choices[0].logprobs


LAYOUTS = [("one rank", 1, 1, []), ("tp 2", 2, 1, ["--tp", "2"]), ("pp 2", 2, 1, ["--pp", "2"]),
           ("two ranks of one process", 1, 2, ["--tp", "2"])]


@pytest.mark.parametrize("name, workers, ranks, flags", LAYOUTS, ids=[x[0] for x in LAYOUTS])
def test_a_worker_holds_what_it_planned(model, name, workers, ranks, flags):
    flags = [*flags, "--threads", "1", "--max-num-seqs", "4", "--max-model-len", str(MODEL_LEN),
             "--max-num-batched-tokens", "256"]
    with Cluster(model=model, workers=0, coordinator_flags=flags, ready=False) as cluster:
        for i in range(workers):
            cluster.add_worker(f"worker-{i}", model, ranks, "cpu=2GiB")
        peak = Peak(cluster.workers)
        try:
            cluster.wait_ready(time.monotonic() + 60)
            serve_everything(cluster)
        finally:
            held = peak.stop()
        plans = planned(cluster.log("coordinator"))
        for i in range(workers):
            plan = plans[f"worker-{i}"]
            print(f"{name}: worker-{i} held {held[i] / 2**20:.1f} MiB, "
                  f"planned {plan / 2**20:.1f} MiB")
            assert 0.5 * plan < held[i] <= MARGIN * plan, cluster.all_logs()
