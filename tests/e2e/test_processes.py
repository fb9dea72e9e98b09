"""Processes that die, leave or do not belong."""
import signal
import socket
import threading
import time

import grpc
import pytest

from cluster import Cluster, QUATRAIN, TALES, error_info, request

PROMPT = "Once upon a time there was a little"


def long_stream(cluster):
    return cluster.inference.GenerateStream(
        request(PROMPT, max_tokens=480, ignore_eos=True, temperature=1.0, seed=1))


@pytest.mark.parametrize("victim, worker_flags", [(0, []), (3, []), (3, ["--no-shared-memory"])])
def test_a_killed_worker_ends_streams_within_a_second(victim, worker_flags):
    with Cluster(workers=4, coordinator_flags=["--tp", "2", "--pp", "2"],
                 worker_flags=worker_flags) as cluster:
        errors = []

        def consume():
            try:
                while True:  # short stories end: take another
                    for _ in long_stream(cluster):
                        pass
            except grpc.RpcError as error:
                errors.append((time.monotonic(), error))

        threads = [threading.Thread(target=consume) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(1)
        killed = time.monotonic()
        cluster.workers[victim].kill()
        for thread in threads:
            thread.join(10)
        assert len(errors) == 4
        for when, error in errors:
            assert error.code() == grpc.StatusCode.UNAVAILABLE, error
            assert when - killed < 1.0
            assert f"rank {victim}" in error.details() and f"worker-{victim}" in error.details()
            info = error_info(error)
            assert (info["rank"], info["worker"]) == (str(victim), f"worker-{victim}"), info
            assert info["host"] == socket.gethostname()
        assert cluster.coordinator.wait(15) == 75
        assert f"worker-{victim}" in cluster.log("coordinator")
        for i, worker in enumerate(cluster.workers):
            if i != victim:
                assert worker.wait(15) == 75, cluster.log(f"worker-{i}")


@pytest.mark.parametrize("_", range(4))  # what is hit is a matter of luck
def test_a_signal_at_the_very_end_changes_nothing(_):
    with Cluster(workers=4, coordinator_flags=["--tp", "2", "--pp", "2"]) as cluster:
        ending = {f"worker-{i}": cluster.workers[i] for i in range(3)}
        ending["coordinator"] = cluster.coordinator
        cluster.workers[3].kill()
        waiting, deadline = dict(ending), time.monotonic() + 10
        while waiting:
            assert time.monotonic() < deadline, cluster.all_logs()
            for name in [n for n in waiting if "quatrain: lost" in cluster.log(n)]:
                waiting.pop(name).send_signal(signal.SIGTERM)
        assert {name: process.wait(10) for name, process in ending.items()} == dict.fromkeys(
            ending, 75)


def test_sigterm_finishes_what_runs():
    with Cluster(workers=2, coordinator_flags=["--tp", "2"]) as cluster:
        stream = cluster.inference.GenerateStream(request(PROMPT, max_tokens=60, ignore_eos=True))
        next(stream)
        cluster.coordinator.send_signal(signal.SIGTERM)
        assert [e.WhichOneof("event") for e in stream][-1] == "completed"
        assert cluster.coordinator.wait(15) == 0
        assert [worker.wait(15) for worker in cluster.workers] == [0, 0]


def test_a_worker_whose_coordinator_dies_ends():
    with Cluster(workers=2, coordinator_flags=["--tp", "2"]) as cluster:
        cluster.coordinator.kill()
        assert [worker.wait(15) for worker in cluster.workers] == [75, 75]


def test_a_duplicate_worker_is_refused():
    with Cluster(workers=1, coordinator_flags=["--tp", "2"], ready=False) as cluster:
        time.sleep(0.5)
        twin = cluster.start("twin", ["worker", "--coordinator", cluster.internal, "--name",
                                      "worker-0", "--model", TALES])
        assert twin.wait(20) == 2
        assert "worker-0" in cluster.log("twin")


def test_a_worker_that_dials_the_public_port_is_told():
    with Cluster(workers=0, ready=False) as cluster:
        cluster.internal = cluster.address
        worker = cluster.add_worker("lost")
        assert worker.wait(20) == 2
        log = cluster.log("lost")
        assert cluster.address in log and "--internal-port" in log, log


def test_an_unknown_worker_is_refused():
    with Cluster(workers=0, coordinator_flags=["--workers", "a,b", "--tp", "2"],
                 ready=False) as cluster:
        stranger = cluster.add_worker("stranger")
        assert stranger.wait(20) == 2
        assert "stranger" in cluster.log("stranger")


def test_another_model_is_refused(tmp_path):
    import pathlib
    import shutil
    other = tmp_path / "other"
    shutil.copytree(TALES, other)
    config = pathlib.Path(other, "config.json")
    config.write_text(config.read_text().replace('"rope_theta": 10000.0', '"rope_theta": 20000.0'))
    with Cluster(workers=0, ready=False) as cluster:
        worker = cluster.add_worker("worker-0", model=str(other))
        assert worker.wait(20) == 4
        log = cluster.log("worker-0")
        assert "worker-0" in log and "model" in log and "expected" in log, log


def test_a_budget_that_is_too_small_is_refused_before_weights_are_read():
    with Cluster(workers=0, ready=False) as cluster:
        worker = cluster.add_worker("worker-0", max_memory="cpu=20MiB")
        assert cluster.coordinator.wait(30) == 3
        log = cluster.log("coordinator")
        for term in ("weights", "kv", "runtime", "short by", "limit 20.00 MiB"):
            assert term in log, log
        assert worker.wait(15) in (3, 75)


def test_serve_is_one_process_tree(tmp_path):
    import json
    import pathlib
    import subprocess
    ports = tmp_path / "ports.json"
    with open(ports.with_suffix(".log"), "wb") as log:
        server = subprocess.Popen([QUATRAIN, "serve", TALES, "--tp", "2", "--port", "0",
                                   "--internal-port", "0", "--ports-file", str(ports)],
                                  stdout=log, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 60
        while not ports.exists():
            assert server.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        address = f"127.0.0.1:{json.loads(ports.read_text())['port']}"
        done = subprocess.run([QUATRAIN, "health", address, "--wait", "60"], capture_output=True)
        assert done.returncode == 0, done.stderr
        done = subprocess.run([QUATRAIN, "generate", "--server", address, "-p", PROMPT,
                               "--temperature", "0", "--max-tokens", "10"],
                              capture_output=True, text=True)
        assert done.returncode == 0 and done.stdout.startswith(PROMPT)
        assert len(done.stdout) > len(PROMPT) + 10
        children = pathlib.Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
        assert children
        server.send_signal(signal.SIGTERM)
        assert server.wait(20) == 0
        assert not any(pathlib.Path(f"/proc/{c}").exists() for c in children)
    finally:
        if server.poll() is None:
            server.kill()


def test_generate_with_model_starts_a_server_by_itself():
    import subprocess
    done = subprocess.run([QUATRAIN, "generate", "--model", TALES, "-p", PROMPT, "--temperature",
                           "0", "--max-tokens", "10"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(PROMPT + " ")
