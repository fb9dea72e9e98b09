"""Plans do not wait for results."""
import tempfile
import time

from cluster import Cluster, request
from plan_records import PLAN_SENT, read_records


def run(delay_ms, record):
    flags = ["--num-micro-batches", "1", "--inject-result-delay-ms", str(delay_ms),
             "--record-plans", record]
    with Cluster(coordinator_flags=flags) as cluster:
        r = request("Once upon a time", max_tokens=200, ignore_eos=True)
        cluster.inference.Generate(r)
        start = time.monotonic()
        cluster.inference.Generate(r)
        return 200 / (time.monotonic() - start)


def test_plan_k_plus_1_is_sent_before_result_k_arrived():
    with tempfile.TemporaryDirectory() as folder:
        run(2, f"{folder}/plans")
        sent, arrived = {}, {}
        for kind, step, when, _ in read_records(f"{folder}/plans"):
            (sent if kind == PLAN_SENT else arrived)[step] = when
        ahead = [sent[k + 1] < arrived[k] for k in arrived if k + 1 in sent]
        assert len(ahead) > 300
        assert sum(ahead) > 0.9 * len(ahead)
