"""What flags and the environment make of processes, and what these say at start."""
import json
import pathlib
import re
import subprocess

import pytest

from cluster import QUATRAIN, TALES, Cluster, model_pb2, request

UNITS = {"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}


def available_bytes():
    """As the system tells, with room for what changes meanwhile."""
    text = pathlib.Path("/proc/meminfo").read_text()
    return int(re.search(r"MemAvailable:\s+(\d+) kB", text).group(1)) * 1024


def limits(log):
    """Device and bytes of each rank, as workers print them."""
    rows = re.findall(r"rank \d+ \((\S+)\)\s+limit ([\d.]+) (\w+)", log)
    return {device: float(number) * UNITS[unit] for device, number, unit in rows}


def assert_half(planned, free):
    assert 0.4 * free < sum(planned.values()) < 0.55 * free, (planned, free)
    assert max(planned.values()) < 1.05 * min(planned.values()), planned


@pytest.mark.parametrize("workers, ranks", [(4, 1), (2, 2), (1, 4)])
def test_ranks_of_a_host_share_half_of_what_is_free(workers, ranks):
    free = available_bytes()
    with Cluster(workers=workers, ranks=ranks, max_memory=None,
                 coordinator_flags=["--tp", "2", "--pp", "2"]) as cluster:
        planned = limits(cluster.all_logs())
    assert len(planned) == 4
    assert_half(planned, free)


def test_serve_shares_it_among_its_processes():
    free = available_bytes()
    with Cluster(workers=0, ready=False) as cluster:  # for its folder and its clean-up
        cluster.start("serve", ["serve", TALES, "--tp", "3", "--ranks-per-process", "1",
                                "--port", "0", "--internal-port", "0"])
        cluster.wait_for_log("serve", "ready, epoch", timeout=60)
        planned = limits(cluster.log("serve"))
    assert set(planned) == {"local-0/0", "local-1/0", "local-2/0"}
    assert_half(planned, free)


def test_more_than_is_free_is_lowered_with_a_warning():
    free = available_bytes()
    with Cluster(max_memory="cpu=1TiB") as cluster:
        log = cluster.log("worker-0")
    warning = re.search(r"--max-memory: 1\.00 TiB for this process, but only ([\d.]+) (\w+)", log)
    assert warning, log
    assert limits(log)["worker-0/0"] == float(warning.group(1)) * UNITS[warning.group(2)]
    assert 0.8 * free < limits(log)["worker-0/0"] < 1.1 * free


@pytest.mark.parametrize("flag", ["1=1GiB", "0=0,1=1GiB,2=0"])
def test_devices_that_are_left_out_host_no_rank(flag):
    with Cluster(ranks=3, max_memory=flag) as cluster:
        assert limits(cluster.log("worker-0")) == {"worker-0/1": 1 << 30}
        assert cluster.inference.Generate(request("Once upon a time")).choices[0].text


def max_model_len(flags):
    with Cluster(workers=0, ready=False, coordinator_flags=flags,
                 environment={"QUATRAIN_MAX_MODEL_LEN": "100"}) as cluster:
        return cluster.models.GetModel(model_pb2.GetModelRequest()).max_model_len


def test_a_flag_comes_from_the_environment_and_the_command_line_wins():
    assert max_model_len([]) == 100
    assert max_model_len(["--max-model-len", "120"]) == 120


def messages(log):
    return [line.split(": ", 1)[1] for line in log.splitlines()]


def test_the_first_lines_say_what_runs_where():
    version = json.loads(subprocess.run([QUATRAIN, "version", "--json"], capture_output=True,
                                        check=True).stdout)
    build = "version {version}, revision {git_revision}, build {build_id}".format(**version)
    with Cluster(ranks=2, coordinator_flags=["--tp", "2"]) as cluster:
        coordinator = messages(cluster.log("coordinator"))
        worker = messages(cluster.log("worker-0"))
        listeners = [f"internal gRPC on {cluster.internal}, in clear, for workers",
                     f"public API on {cluster.address}, in clear, reflection off"]
    assert coordinator[0] == worker[0] == build
    assert all(line in coordinator[:5] for line in listeners), coordinator
    for i in range(2):
        assert re.match(rf"device worker-0/{i}: cpu, \w+, \d+ threads?, weights .+, of \d+ cores",
                        worker[1 + i]), worker
    # Then the layout, the plan of each rank, and what the KV pool holds.
    starts = ['ranks 0, 1 (worker "worker-0" on ', "layout", "rank worker", "0 worker-0", "1 worker-0", "kv cache"]
    found = [next(i for i, line in enumerate(coordinator) if line.strip().startswith(start))
             for start in starts]
    assert found == sorted(found) and found[0] > coordinator.index(listeners[1]), coordinator
