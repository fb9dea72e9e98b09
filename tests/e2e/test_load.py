"""Many clients at once: no error, nothing leaks."""
import concurrent.futures
import os
import random
import time

from cluster import Cluster, anonymous_bytes, model_pb2, request

SECONDS = float(os.environ.get("QUATRAIN_LOAD_SECONDS", "60"))
CLIENTS = 64
WORDS = "once upon a time there was a king who had three sons and one daughter".split()


def client(cluster, index, end):
    rng = random.Random(index)
    count = 0
    while time.monotonic() < end:
        prompt = " ".join(rng.choices(WORDS, k=rng.randint(1, 60)))
        r = request(prompt, max_tokens=rng.randint(1, 40), temperature=rng.choice([0.0, 1.0]))
        if rng.random() < 0.2:  # leaves early
            stream = cluster.inference.GenerateStream(r)
            next(stream)
            stream.cancel()
        else:
            cluster.inference.Generate(r)
        count += 1
    return count


def test_64_clients_for_a_minute():
    flags = ["--tp", "2", "--pp", "2", "--num-kv-blocks", "128", "--max-num-seqs", "16"]
    with Cluster(workers=4, coordinator_flags=flags) as cluster:
        processes = [cluster.coordinator, *cluster.workers]
        with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
            # The first seconds fill caches and arenas; memory counts from there.
            list(pool.map(lambda i: client(cluster, i, time.monotonic() + 5), range(CLIENTS)))
            before = [anonymous_bytes(p.pid) for p in processes]
            end = time.monotonic() + SECONDS
            counts = list(pool.map(lambda i: client(cluster, 1000 + i, end), range(CLIENTS)))
        assert min(counts) >= 1
        deadline = time.monotonic() + 5
        while True:
            load = cluster.models.GetLoad(model_pb2.GetLoadRequest())
            if load.used_blocks == 0 and load.running_requests == 0:
                break
            assert time.monotonic() < deadline, load
            time.sleep(0.05)
        growth = [anonymous_bytes(p.pid) - b for p, b in zip(processes, before)]
        print(f"requests {sum(counts)}, growth of anonymous memory {growth}")
        assert max(growth) < 4 << 20, growth
