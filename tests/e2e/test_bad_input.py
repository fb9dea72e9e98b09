"""Every kind of bad input: one message that names the thing, what was found and
what was expected; the documented exit code; nothing left behind."""
import json
import shutil
import struct
import subprocess

import pytest

import left_behind
from cluster import QUATRAIN, TALES, Cluster


def run(*arguments, timeout=60):
    return subprocess.run([QUATRAIN, *map(str, arguments)], capture_output=True, text=True,
                          timeout=timeout)


def only_message(done):
    """What the program says, which is one line; its logs beside it begin with the time."""
    lines = [line for line in done.stderr.splitlines() if not line[:4].isdigit()]
    assert len(lines) == 1 and lines[0].startswith("quatrain: "), done.stderr
    assert done.stdout == ""
    return lines[0]


def copy(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(TALES, folder)
    return folder


def edit_config(folder, **changes):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config.update(changes)
    path.write_text(json.dumps(config))


def edit_header(folder, change):
    """Rewrites the safetensors header by `change`, keeping the data."""
    path = folder / "model.safetensors"
    data = path.read_bytes()
    length = struct.unpack_from("<Q", data)[0]
    header = json.loads(data[8:8 + length])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length:])


QWEIGHT = "model.layers.0.self_attn.q_proj.qweight"


def drop_tensors_file(folder):
    (folder / "model.safetensors").unlink()


def truncate(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def wrong_shape(folder):
    edit_header(folder, lambda h: h[QWEIGHT].update(shape=[128, 64]))


def wrong_dtype(folder):
    edit_header(folder, lambda h: h[QWEIGHT].update(dtype="F32"))


def missing_tensor(folder):
    def rename(header):
        header["model.layers.0.self_attn.x_proj.qweight"] = header.pop(QWEIGHT)
    edit_header(folder, rename)


def index_nowhere(folder):
    (folder / "model.safetensors").rename(folder / "part.safetensors")
    names = {"model.norm.weight": "gone.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))


def not_a_number(folder):
    def first_scale(header):
        at = header["model.layers.0.mlp.up_proj.scales"]["data_offsets"][0]
        first_scale.at = at
    edit_header(folder, first_scale)
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    start = 8 + struct.unpack_from("<Q", data)[0] + first_scale.at
    data[start:start + 2] = b"\x00\x7e"
    path.write_bytes(data)


MODELS = [
    ("no folder", lambda f: shutil.rmtree(f), ["config.json"]),
    ("no config", lambda f: (f / "config.json").unlink(), ["config.json"]),
    ("config is no JSON", lambda f: (f / "config.json").write_text("{"), ["config.json"]),
    ("no tensors", drop_tensors_file, ["model.safetensors"]),
    ("truncated", truncate, ["model.safetensors"]),
    ("wrong shape", wrong_shape, [QWEIGHT, "[128, 64]", "[256, 32]"]),
    ("wrong dtype", wrong_dtype, [QWEIGHT, "F32", "I32"]),
    ("missing tensor", missing_tensor, ["model.layers.0.self_attn.q_proj"]),
    ("index points nowhere", index_nowhere, ["gone.safetensors"]),
    ("unknown architecture", lambda f: edit_config(f, architectures=["MambaForCausalLM"]),
     ["MambaForCausalLM", "LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM"]),
    ("5 bits", lambda f: edit_config(f, quantization_config={
        "quant_method": "awq", "bits": 5, "group_size": 128, "zero_point": True,
        "version": "gemm"}), ["bits", "5", "4"]),
    ("heads do not divide", lambda f: edit_config(f, num_key_value_heads=3),
     ["num_key_value_heads"]),
]


@pytest.mark.parametrize("what, spoil, words", MODELS, ids=[m[0] for m in MODELS])
@pytest.mark.parametrize("command", ["inspect", "serve"])
def test_a_bad_model_folder(tmp_path, what, spoil, words, command):
    folder = copy(tmp_path)
    spoil(folder)
    flags = ["--port", "0", "--internal-port", "0"] if command == "serve" else []
    done = run(command, folder, *flags)
    assert done.returncode == 4, done.stderr
    message = only_message(done)
    assert all(word in message for word in words), message


def test_a_scale_that_is_not_finite_is_found_when_loading(tmp_path):
    folder = copy(tmp_path)
    not_a_number(folder)
    done = run("serve", folder, "--port", "0", "--internal-port", "0")
    assert done.returncode == 4, done.stderr
    assert "model.layers.0.mlp.up_proj.scales" in only_message(done)


def break_tokenizer(folder):
    (folder / "tokenizer.json").write_text('{"model": {"type": "Unigram"}}')


def drop_tokenizer(folder):
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.model").unlink()


@pytest.mark.parametrize("spoil, word", [(break_tokenizer, "tokenizer.json"),
                                         (drop_tokenizer, "tokenizer.model")])
@pytest.mark.parametrize("command", ["serve", "perplexity"])
def test_a_bad_tokenizer(tmp_path, spoil, word, command):
    folder = copy(tmp_path)
    spoil(folder)
    text = tmp_path / "text"
    text.write_text("Once upon a time")
    more = {"serve": ["--port", "0", "--internal-port", "0"], "perplexity": [text]}[command]
    done = run(command, folder, *more)
    assert done.returncode == 4, done.stderr
    assert word in only_message(done)


USAGE = [
    (["serve", TALES, "--tp", "0"], ["--tp"]),
    (["serve", TALES, "--tensor-parallell", "2"], ["--tensor-parallell"]),
    (["serve", TALES, "--layers", "0-3;5-7"], ["--layers", "4"]),
    (["serve", TALES, "--layers", "0-3;3-7"], ["--layers", "3"]),
    (["serve", TALES, "--pp", "9"], ["9", "8"]),
    (["serve", TALES, "--tp-shares", "0,0"], ["--tp-shares", "0,0"]),
    (["serve", TALES, "--tp", "2", "--tp-shares", "1,2,3"], ["--tp", "3", "2"]),
    (["serve", TALES, "--tp-shares", "1,-1"], ["--tp-shares", "-1"]),
    (["serve", TALES, "--kv-cache-dtype", "fp8"], ["--kv-cache-dtype", "fp8"]),
    (["serve", TALES, "--isa", "mmx"], ["mmx", "avx2"]),
    (["serve", TALES, "--max-memory", "cpu=40gb"], ["40gb", "GiB"]),
    (["serve", TALES, "--max-memory", "disk=40GB"], ["disk", "stay in memory", "offloaded"]),
    (["serve", TALES, "--max-memory", "host=1GB"], ["host", "GPU workers"]),
    (["worker", "--coordinator", "127.0.0.1:1", "--model", TALES, "--max-memory", "1=1GiB"],
     ["--max-memory", "1=1GiB", "0..0"]),
    (["serve", TALES, "--max-model-len", "100000"], ["--max-model-len", "100000", "512"]),
    (["serve", TALES, "--host", "0.0.0.0"], ["--insecure"]),
    (["serve", TALES, "--activations", "f32"], ["--activations", "reference"]),
    (["worker", "--model", TALES, "--name", "a"], ["--coordinator"]),
    (["generate", "-p", "x"], ["--server", "--model"]),
    (["generate", "--server", "127.0.0.1:1", "--prompt-file", "/tmp"], ["/tmp", "regular file"]),
    (["generate", "--server", "127.0.0.1:1"], ["--prompt"]),
    (["perplexity", TALES, "/tmp"], ["/tmp", "regular file"]),
    (["perplexity", TALES, "/no/such/text"], ["/no/such/text"]),
    (["nonsense"], ["nonsense"]),
    (["bench", "nonsense"], ["nonsense"]),
    ([], ["subcommand"]),
]


@pytest.mark.parametrize("arguments, words", USAGE, ids=[" ".join(u[0][-2:])[-40:] for u in USAGE])
def test_a_bad_flag(arguments, words):
    if arguments[:1] == ["serve"]:
        arguments = arguments + ["--port", "0", "--internal-port", "0"]
    done = run(*arguments)
    assert done.returncode == 2, done.stderr
    message = only_message(done)
    assert all(word in message for word in words), message


def test_too_small_a_budget_says_the_numbers_per_term():
    done = run("serve", TALES, "--max-memory", "cpu=20MiB", "--port", "0", "--internal-port", "0")
    assert done.returncode == 3, done.stderr
    message = only_message(done)
    for word in ("weights", "kv", "runtime", "20.00 MiB", "short by"):
        assert word in message, message


def test_a_worker_with_more_ranks_than_are_missing():
    with Cluster(workers=0, ready=False, coordinator_flags=["--tp", "2"]) as cluster:
        done = run("worker", "--coordinator", cluster.internal, "--name", "w", "--model", TALES,
                   "--ranks", "3", "--max-memory", "cpu=1GiB")
    assert done.returncode == 2, done.stderr
    assert "brings 3 ranks, the layout has 2" in done.stderr, done.stderr


def test_nothing_is_left_behind():
    left_behind.check()


def test_what_would_be_left_behind_is_seen():
    with Cluster(workers=1, coordinator_flags=["--tp", "2"], ready=False) as cluster:
        serve = cluster.start("serve", ["serve", TALES, "--port", "0", "--internal-port", "0"])
        cluster.wait_for_log("serve", "ready, epoch")
        found = left_behind.processes()
        for pid in (cluster.coordinator.pid, cluster.workers[0].pid, serve.pid):
            assert any(line.startswith(f"{pid} ") for line in found), found
        assert any("--name local-0" in line for line in found), found  # the worker of serve
        assert left_behind.files() == [str(cluster.logs)]
    left_behind.check()


def test_generate_with_a_model_leaves_nothing():
    done = run("generate", "--model", TALES, "-p", "Once", "--max-tokens", "1")
    assert done.returncode == 0, done.stderr
    left_behind.check()


def test_version():
    done = run("version", "--json")
    assert done.returncode == 0 and "version" in json.loads(done.stdout)
