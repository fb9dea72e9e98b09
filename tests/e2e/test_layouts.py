"""The same bits from real processes, whatever the cut, the company and the chunks."""
import concurrent.futures

import pytest

from cluster import Cluster, request, token_bits

PROMPTS = [
    "Once upon a time there was a little", "The old king called his three sons",
    "In a dark forest there lived", "A fox and a crow met one morning",
    "The princess looked out of her window and", "Far away, beyond the sea,",
    "There was once a poor miller who", "The wolf knocked at the door",
]
SAMPLED = [{}, {"top_k": 40}, {"top_p": 0.95}]


def requests():
    greedy = [request(p, max_tokens=64, ignore_eos=True, logprobs=True, top_logprobs=2)
              for p in PROMPTS]
    sampled = [request(PROMPTS[i], max_tokens=64, temperature=1.0, seed=100 + i, ignore_eos=True,
                       logprobs=True, **fields) for i, fields in enumerate(SAMPLED)]
    return greedy + sampled


def answers(cluster):
    """All at once, so that sequences share steps."""
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        return list(pool.map(lambda r: token_bits(cluster.inference.Generate(r)), requests()))


@pytest.fixture(scope="module")
def alone():
    with Cluster() as cluster:
        return [token_bits(cluster.inference.Generate(r)) for r in requests()]


@pytest.mark.parametrize("workers, ranks, flags", [
    (4, 1, ["--tp", "2", "--pp", "2"]),
    (3, 1, ["--tp", "3"]),
    (4, 1, ["--pp", "4"]),
    (3, 2, ["--tp", "3", "--pp", "2", "--tp-shares", "3,2,1;1,1,2"]),
    (2, 1, ["--layers", "0-5;6-7", "--max-num-batched-tokens", "7"]),
    (1, 1, ["--num-kv-blocks", "40", "--max-num-seqs", "8"]),  # preempts
    (1, 1, ["--isa", "avx2", "--threads", "2"]),
])
def test_bits_do_not_depend_on_the_layout(alone, workers, ranks, flags):
    with Cluster(workers=workers, ranks=ranks, coordinator_flags=flags) as cluster:
        assert answers(cluster) == alone


@pytest.mark.parametrize("workers, ranks, flags", [
    (4, 1, ["--tp", "2", "--pp", "2"]),
    (3, 2, ["--tp", "3", "--pp", "2"]),
])
def test_bits_do_not_depend_on_the_transport(alone, workers, ranks, flags):
    """As between hosts: nothing goes through shared memory."""
    with Cluster(workers=workers, ranks=ranks, coordinator_flags=flags,
                 worker_flags=["--no-shared-memory"]) as cluster:
        assert answers(cluster) == alone
        log = cluster.all_logs()
    assert "through Gloo on 127.0.0.1" in log and "memory of this host" not in log
