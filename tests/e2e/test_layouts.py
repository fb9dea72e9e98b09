"""The same bits from real processes, whatever the cut, the company and the chunks."""
import concurrent.futures

import pytest

from cluster import Cluster, request, token_bits
from plan_records import num_tenancies, read_plans

PROMPTS = [
    "Once upon a time there was a little", "The old king called his three sons",
    "In a dark forest there lived", "A fox and a crow met one morning",
    "The princess looked out of her window and", "Far away, beyond the sea,",
    "There was once a poor miller who", "The wolf knocked at the door",
]
FILTERS = [{}, {"top_k": 40}, {"top_p": 0.95}]
TOKENS = 250  # of each: 2,000 greedy ones, and 500 with each filter


def requests():
    greedy = [request(p, max_tokens=TOKENS, ignore_eos=True, logprobs=True, top_logprobs=2)
              for p in PROMPTS]
    sampled = [request(p, max_tokens=TOKENS, temperature=1.0, seed=100 + i, ignore_eos=True,
                       logprobs=True, **fields)
               for i, p in enumerate(PROMPTS[:2]) for fields in FILTERS]
    return greedy + sampled


def answers(cluster):
    """All at once, so that sequences share steps."""
    calls = requests()
    with concurrent.futures.ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(lambda r: token_bits(cluster.inference.Generate(r)), calls))


@pytest.fixture(scope="module")
def alone():
    with Cluster() as cluster:
        bits = [token_bits(cluster.inference.Generate(r)) for r in requests()]
    assert all(len(tokens) == TOKENS for tokens in bits)
    return bits


@pytest.mark.parametrize("workers, ranks, flags", [
    (4, 1, ["--tp", "2", "--pp", "2"]),
    (3, 1, ["--tp", "3"]),
    (4, 1, ["--pp", "4"]),
    (3, 2, ["--tp", "3", "--pp", "2", "--tp-shares", "3,2,1;1,1,2"]),
    (2, 1, ["--layers", "0-5;6-7", "--max-num-batched-tokens", "7"]),
    (1, 1, ["--isa", "avx2", "--threads", "2"]),
])
def test_bits_do_not_depend_on_the_layout(alone, workers, ranks, flags):
    with Cluster(workers=workers, ranks=ranks, coordinator_flags=flags) as cluster:
        assert answers(cluster) == alone


@pytest.mark.parametrize("workers, ranks, flags", [
    (1, 1, []),
    (3, 2, ["--tp", "3", "--pp", "2"]),
])
def test_bits_do_not_depend_on_preemption(alone, tmp_path, workers, ranks, flags):
    # The sequences come to need 14 * 17 blocks.
    flags = [*flags, "--num-kv-blocks", "150", "--record-plans", str(tmp_path / "plans")]
    with Cluster(workers=workers, ranks=ranks, coordinator_flags=flags) as cluster:
        assert answers(cluster) == alone
    preemptions = num_tenancies(read_plans(tmp_path / "plans")) - len(alone)
    print(f"{preemptions} preemptions")
    assert preemptions > 0


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


def test_data_goes_through_the_address_that_is_given(alone):
    with Cluster(workers=2, coordinator_flags=["--tp", "2"],
                 worker_flags=["--data-host", "127.0.0.2", "--no-shared-memory"]) as cluster:
        first = requests()[0]
        assert token_bits(cluster.inference.Generate(first)) == alone[0]
        log = cluster.all_logs()
        with open("/proc/net/tcp") as table:
            connections = [line.split() for line in table.readlines()[1:]]
    assert "through Gloo on 127.0.0.2" in log and "memory of this host" not in log
    # One that is established (01) and accepted on 127.0.0.2, its bytes reversed.
    assert any(words[1].startswith("0200007F:") and words[3] == "01"
               for words in connections), connections
