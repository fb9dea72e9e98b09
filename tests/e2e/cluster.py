"""Starts coordinators and workers as real processes on loopback, and talks to
them with stock gRPC clients whose code is generated here from our protos."""
import atexit
import contextlib
import importlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import grpc
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

import left_behind

ROOT = pathlib.Path(__file__).resolve().parents[2]
QUATRAIN = os.environ.get("QUATRAIN_BINARY", str(ROOT / "build/release/tools/quatrain"))
TALES = str(ROOT / "examples/tales-8m-awq")


def generate_protos():
    from grpc_tools import protoc

    out = tempfile.mkdtemp(prefix="quatrain-protos-")
    atexit.register(shutil.rmtree, out, ignore_errors=True)
    include = importlib.resources.files("grpc_tools") / "_proto"
    protos = ["google/rpc/error_details.proto", "google/rpc/status.proto"]
    protos += [f"quatrain/v1/{n}.proto" for n in ("inference", "model", "admin")]
    protos += [f"quatrain/internal/v1/{n}.proto" for n in ("step", "group")]
    # grpcio-status brings its own google.rpc.Status; ours is wire compatible.
    code = protoc.main(["protoc", f"-I{ROOT / 'proto'}", f"-I{include}", f"--python_out={out}",
                        f"--grpc_python_out={out}", *protos[2:]])
    assert code == 0
    sys.path.insert(0, out)


import importlib.resources  # noqa: E402

generate_protos()
from quatrain.internal.v1 import step_pb2  # noqa: E402,F401
from quatrain.v1 import inference_pb2, inference_pb2_grpc, model_pb2, model_pb2_grpc  # noqa: E402


def health(address, service=""):
    with grpc.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        return stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=2).status


def error_info(error):
    """The metadata of the ErrorInfo that a failed call carries."""
    for detail in rpc_status.from_call(error).details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return dict(info.metadata)
    raise AssertionError(f"no ErrorInfo: {error}")


def anonymous_bytes(pid):
    """Anonymous memory of a process now."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no RssAnon")


class Cluster:
    """One coordinator and its workers. Use with `with`: its folder goes with it, unless
    the block fails; then the logs are printed and stay."""

    def __init__(self, model=TALES, workers=1, ranks=1, coordinator_flags=(), worker_flags=(),
                 max_memory="cpu=1GiB", ready=True, start_timeout=120, environment=None):
        self.logs = pathlib.Path(tempfile.mkdtemp(dir=left_behind.SCRATCH, prefix="cluster-"))
        self.environment = os.environ | (environment or {})
        self.stack = contextlib.ExitStack()
        self.workers = []
        try:
            self.launch(model, workers, ranks, coordinator_flags, worker_flags, max_memory, ready,
                        start_timeout)
        except BaseException:
            self.close(failed=True)
            raise

    def launch(self, model, workers, ranks, coordinator_flags, worker_flags, max_memory, ready,
               start_timeout):
        ports = self.logs / "ports.json"
        self.coordinator = self.start("coordinator", [
            "coordinator", model, "--port", "0", "--internal-port", "0", "--ports-file", str(ports),
            *coordinator_flags])
        deadline = time.monotonic() + start_timeout
        while not ports.exists():
            assert self.coordinator.poll() is None, self.log("coordinator")
            assert time.monotonic() < deadline, self.log("coordinator")
            time.sleep(0.02)
        data = json.loads(ports.read_text())
        self.address = f"127.0.0.1:{data['port']}"
        self.internal = f"127.0.0.1:{data['internal_port']}"
        for i in range(workers):
            self.add_worker(f"worker-{i}", model, ranks, max_memory, worker_flags)
        if ready:
            self.wait_ready(deadline)

    def start(self, name, arguments):
        with open(self.logs / f"{name}.log", "wb") as log:
            process = subprocess.Popen([QUATRAIN, *arguments], stdout=log,
                                       stderr=subprocess.STDOUT, env=self.environment)
        self.stack.callback(self.end, process)
        return process

    def add_worker(self, name, model=TALES, ranks=1, max_memory="cpu=1GiB", flags=()):
        limit = ["--max-memory", max_memory] if max_memory else []
        process = self.start(name, ["worker", "--coordinator", self.internal, "--name", name,
                                    "--model", model, "--ranks", str(ranks), *limit, *flags])
        self.workers.append(process)
        return process

    @staticmethod
    def end(process):
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise

    def wait_ready(self, deadline):
        while True:
            try:
                if health(self.address) == health_pb2.HealthCheckResponse.SERVING:
                    return
            except grpc.RpcError:
                pass
            for process in [self.coordinator, *self.workers]:
                assert process.poll() is None, self.all_logs()
            assert time.monotonic() < deadline, self.all_logs()
            time.sleep(0.05)

    def wait_for_log(self, name, text, timeout=30):
        deadline = time.monotonic() + timeout
        while text not in self.log(name):
            assert time.monotonic() < deadline, self.all_logs()
            time.sleep(0.005)

    def log(self, name):
        return (self.logs / f"{name}.log").read_text(errors="replace")

    def all_logs(self):
        return "\n".join(f"--- {p.name}\n{p.read_text(errors='replace')}"
                         for p in sorted(self.logs.glob("*.log")))

    def __enter__(self):
        self.channel = self.stack.enter_context(grpc.insecure_channel(self.address))
        self.inference = inference_pb2_grpc.InferenceServiceStub(self.channel)
        self.models = model_pb2_grpc.ModelServiceStub(self.channel)
        return self

    def __exit__(self, kind, *_):
        self.close(failed=kind is not None)

    def close(self, failed):
        try:
            self.stack.close()
        except subprocess.TimeoutExpired:  # a process that does not end fails the test
            self.keep_logs()
            raise
        if failed:
            self.keep_logs()
        else:
            shutil.rmtree(self.logs, ignore_errors=True)

    def keep_logs(self):
        left_behind.KEPT.add(self.logs)
        print(self.all_logs())
        print(f"kept: {self.logs}")


def request(prompt, max_tokens=32, temperature=0.0, **fields):
    """A GenerateRequest; text or a list of ids. Other fields by name, looked up
    in sampling, stopping, output and the request itself."""
    r = inference_pb2.GenerateRequest()
    if isinstance(prompt, str):
        r.text = prompt
    else:
        r.token_ids.ids.extend(prompt)
    r.sampling.temperature = temperature
    r.stopping.max_tokens = max_tokens
    for name, value in fields.items():
        for message in (r.sampling, r.stopping, r.output, r):
            if name in message.DESCRIPTOR.fields_by_name:
                if isinstance(value, (list, tuple)):
                    getattr(message, name).extend(value)
                else:
                    setattr(message, name, value)
                break
        else:
            raise KeyError(name)
    return r


def token_bits(response):
    """Ids and the exact log-probabilities of the first choice."""
    choice = response.choices[0]
    return [(t.token.token_id, t.token.logprob.hex(),
             [(u.token_id, u.logprob.hex()) for u in t.top]) for t in choice.logprobs]
