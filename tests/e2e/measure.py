#!/usr/bin/env python3
"""Measures what parallelism and lookahead bring, on this machine, and prints a
table; not a test, since shared machines make times noisy.

  .venv/bin/python tests/e2e/measure.py [parallel] [ranks] [lookahead] [plans]

Ratios compare runs of one invocation; each figure is the best of three.
"""
import concurrent.futures
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time

from cluster import ROOT, TALES, Cluster, request
from plan_records import read_plans

CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 4096,
    "hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 12,
    "num_attention_heads": 16, "num_key_value_heads": 4, "head_dim": 128, "hidden_act": "silu",
    "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "max_position_embeddings": 1024,
    "tie_word_embeddings": False, "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "float16"}

# Steps of 3 to 5 ms, where results that are 2 ms late would be felt.
SMALL = {"hidden_size": 1024, "intermediate_size": 2816, "num_hidden_layers": 8,
         "num_attention_heads": 8, "num_key_value_heads": 4}


def make_model(folder, **changes):
    """A random checkpoint of CONFIG with `changes`; about 300 MB as it is."""
    spec = pathlib.Path(folder, "spec.json")
    spec.write_text(json.dumps({"config": CONFIG | changes, "seed": 5,
                                "tokenizer_folder": TALES}))
    maker = ROOT / "build/release/tests/support/make_random_checkpoint"
    subprocess.run([maker, spec, f"{folder}/model"], check=True)
    size = pathlib.Path(folder, "model", "model.safetensors").stat().st_size
    print(f"random checkpoint: {size / 1e6:.0f} MB")
    return f"{folder}/model"


def decode_rate(cluster, sequences, tokens=48):
    """Tokens per second over all sequences, from the first token on."""
    def one(i):
        stream = cluster.inference.GenerateStream(
            request([10 + i, 20, 30, 40], max_tokens=tokens, ignore_eos=True))
        times = [time.monotonic() for e in stream if e.WhichOneof("event") == "delta"]
        return times[0], times[-1]

    best = 0
    for _ in range(3):
        with concurrent.futures.ThreadPoolExecutor(sequences) as pool:
            spans = list(pool.map(one, range(sequences)))
        # From the moment all of them decode to the moment the first is done.
        begin, end = max(s[0] for s in spans), max(s[1] for s in spans)
        best = max(best, sequences * (tokens - 1) / (end - begin))
    return best


def rate(model, sequences, *flags, workers=1, threads=1):
    with Cluster(model=model, workers=workers, max_memory="cpu=2GiB",
                 coordinator_flags=["--threads", str(threads), "--max-num-seqs", "16",
                                    "--max-model-len", "256", *flags]) as cluster:
        value = decode_rate(cluster, sequences)
        memory = worker_memory(cluster, workers)
    return value, memory


def worker_memory(cluster, workers):
    """(peak anonymous bytes, planned bytes) of each worker."""
    log = cluster.log("coordinator")
    rows = []
    for i in range(workers):
        status = pathlib.Path(f"/proc/{cluster.workers[i].pid}/smaps_rollup").read_text()
        anonymous = int(re.search(r"Anonymous:\s+(\d+) kB", status).group(1)) * 1024
        rows.append(anonymous)
    return rows, log


def parallel(folder):
    model = make_model(folder)
    one, _ = rate(model, 16, "--pp", "2", "--num-micro-batches", "1", workers=2)
    two, _ = rate(model, 16, "--pp", "2", workers=2)
    print(f"pp 2, 16 sequences: {one:.1f} tokens/s with 1 micro-batch, {two:.1f} with 2: "
          f"ratio {two / one:.2f} (wanted 1.6)")
    tp1, _ = rate(model, 16)
    tp2, memory = rate(model, 16, "--tp", "2", workers=2)
    print(f"16 sequences: {tp1:.1f} tokens/s at tp 1, {tp2:.1f} at tp 2: "
          f"ratio {tp2 / tp1:.2f} (wanted 1.5)")
    one1, _ = rate(model, 1)
    one2, _ = rate(model, 1, "--tp", "2", workers=2)
    print(f"1 sequence: {one1:.1f} tokens/s at tp 1, {one2:.1f} at tp 2: "
          f"ratio {one2 / one1:.2f}")
    print("anonymous memory of the tp 2 workers, MiB:", [m >> 20 for m in memory[0]])
    for line in memory[1].splitlines():
        if "rank " in line:
            print("  ", line)


def ranks(folder):
    """Two ranks of one thread beside one rank of two, on the same cores."""
    model = make_model(folder)
    for sequences in (1, 16):
        runs = [(rate(model, sequences, threads=2)[0],
                 rate(model, sequences, "--tp", "2", workers=2)[0]) for _ in range(2)]
        one, two = max(run[0] for run in runs), max(run[1] for run in runs)
        print(f"{sequences} sequences: {one:.1f} tokens/s by one rank of 2 threads, {two:.1f} "
              f"by two processes of 1: ratio {two / one:.2f} (wanted 0.90)")


def lookahead(folder):
    model = make_model(folder, **SMALL)

    def speed(delay):
        with Cluster(model=model, max_memory="cpu=2GiB",
                     coordinator_flags=["--inject-result-delay-ms", str(delay),
                                        "--max-model-len", "256"]) as cluster:
            return decode_rate(cluster, 4, tokens=200)

    # In turn, so that a machine that slows down slows down both.
    runs = [(speed(0), speed(2)) for _ in range(3)]
    without, with_delay = max(run[0] for run in runs), max(run[1] for run in runs)
    step = 4 / without * 1000
    print(f"lookahead: {without:.1f} tokens/s, {with_delay:.1f} with results 2 ms late "
          f"({100 * (1 - with_delay / without):.1f} % slower, wanted < 5; steps of {step:.1f} ms, "
          f"wanted 3 to 5)")


def plans(folder):
    record = f"{folder}/plans"
    with Cluster(coordinator_flags=["--max-num-seqs", "16", "--record-plans",
                                    record]) as cluster:
        decode_rate(cluster, 16)
    sizes = [plan.ByteSize() for plan in read_plans(record)
             if len(plan.chunks) == 16 and all(
                 c.WhichOneof("work") == "continue" and not c.new_blocks
                 for c in plan.chunks)]
    print(f"plan of a decode step of 16 sequences without new blocks: "
          f"{max(sizes)} bytes at most, of {len(sizes)} (wanted <= 600)")


def main():
    wanted = sys.argv[1:] or ["parallel", "ranks", "lookahead", "plans"]
    for name in wanted:
        with tempfile.TemporaryDirectory() as folder:
            globals()[name](folder)


if __name__ == "__main__":
    main()
