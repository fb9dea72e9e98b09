"""What is stopped while weights are read ends at once and cleanly."""
import signal
import tempfile
import time

import pytest

from cluster import Cluster
from measure import make_model

ONE_THREAD = ["--threads", "1"]


@pytest.fixture(scope="module")
def model():
    with tempfile.TemporaryDirectory(prefix="quatrain-model-") as folder:
        # A thread packs it for more than a second.
        yield make_model(folder, num_hidden_layers=24)


def wait_until_loading(cluster, name="coordinator"):
    cluster.wait_for_log(name, "loading weights")


def ended_within_a_second(process, since):
    code = process.wait(10)
    assert time.monotonic() - since < 1.0
    return code


def test_sigterm_ends_a_worker_that_loads(model):
    with Cluster(model=model, workers=1, coordinator_flags=ONE_THREAD, ready=False) as cluster:
        wait_until_loading(cluster)
        since = time.monotonic()
        cluster.workers[0].send_signal(signal.SIGTERM)
        assert ended_within_a_second(cluster.workers[0], since) == 0, cluster.all_logs()
        assert "loaded" not in cluster.log("worker-0")
        assert cluster.coordinator.wait(10) == 75
        assert "it leaves: the worker was asked to stop" in cluster.log("coordinator")


def test_sigterm_of_a_coordinator_ends_workers_that_load(model):
    with Cluster(model=model, workers=2, coordinator_flags=[*ONE_THREAD, "--tp", "2"],
                 ready=False) as cluster:
        wait_until_loading(cluster)
        since = time.monotonic()
        cluster.coordinator.send_signal(signal.SIGTERM)
        for i, worker in enumerate(cluster.workers):
            assert ended_within_a_second(worker, since) == 0, cluster.all_logs()
            log = cluster.log(f"worker-{i}")
            assert "the coordinator ends the group: the coordinator stops" in log, log
            assert "loaded" not in log and "critical" not in log, log
        assert cluster.coordinator.wait(10) == 0, cluster.log("coordinator")


def test_a_worker_that_dies_ends_the_others_that_load(model):
    with Cluster(model=model, workers=2, coordinator_flags=[*ONE_THREAD, "--tp", "2"],
                 ready=False) as cluster:
        wait_until_loading(cluster)
        cluster.workers[1].kill()
        assert cluster.coordinator.wait(10) == 75
        assert cluster.workers[0].wait(5) == 75
        log = cluster.log("worker-0")
        assert "loaded" not in log and "critical" not in log, log


def test_sigterm_of_serve_ends_its_tree(model):
    with Cluster(workers=0, ready=False) as cluster:  # for its folder and its clean-up
        serve = cluster.start("serve", ["serve", model, "--tp", "2", *ONE_THREAD, "--port", "0",
                                        "--internal-port", "0"])
        wait_until_loading(cluster, "serve")
        since = time.monotonic()
        serve.send_signal(signal.SIGTERM)
        assert ended_within_a_second(serve, since) == 0, cluster.log("serve")
        assert "critical" not in cluster.log("serve")
