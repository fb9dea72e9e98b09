"""The subcommands' own behaviour: what is said before a port is open, what goes to
standard output, what inspect and GetModel tell of a folder."""
import json
import pathlib
import shutil
import subprocess

import pytest

from cluster import QUATRAIN, TALES, Cluster, model_pb2

ANY_PORTS = ["--port", "0", "--internal-port", "0"]


def run(*arguments, timeout=60):
    return subprocess.run([QUATRAIN, *map(str, arguments)], capture_output=True, text=True,
                          timeout=timeout)


@pytest.fixture
def folder(tmp_path):
    copy = tmp_path / "model"
    shutil.copytree(TALES, copy)
    return copy


REFUSED = [
    (["--isa", "mmx"], ["mmx", "avx2"]),
    (["--max-memory", "cpu=40gb"], ["40gb", "GiB"]),
    (["--max-memory", "0=1GiB", "--tp", "2"], ["--max-memory", "leaves 1 devices", "expected 2"]),
    (["--max-memory", "1=1GiB", "--tp", "2", "--ranks-per-process", "1"], ["--max-memory", "1="]),
    (["--record-plans", "/no/such/folder/plans"], ["--record-plans", "/no/such/folder/plans"]),
    (["--record-plans", "/tmp"], ["--record-plans", "/tmp"]),
    (["--max-model-len", "100000"], ["--max-model-len"]),
]


@pytest.mark.parametrize("flags, words", REFUSED, ids=[" ".join(r[0])[:40] for r in REFUSED])
def test_serve_refuses_before_it_listens(tmp_path, flags, words):
    ports = tmp_path / "ports.json"
    done = run("serve", TALES, *ANY_PORTS, "--ports-file", ports, *flags)
    assert done.returncode == 2, done.stderr
    assert "public API" not in done.stderr and "attached" not in done.stderr, done.stderr
    assert not ports.exists()
    lines = [line for line in done.stderr.splitlines() if line.startswith("quatrain: ")]
    assert len(lines) == 1 and all(word in lines[0] for word in words), done.stderr


def test_a_recording_stays_where_the_model_is_refused(tmp_path):
    plans = tmp_path / "plans"
    plans.write_text("an older recording")
    done = run("serve", TALES, *ANY_PORTS, "--record-plans", plans, "--max-memory", "cpu=40gb")
    assert done.returncode == 2 and plans.read_text() == "an older recording"


NUMBERS = [("--seed", "-1", "18446744073709551615"), ("--seed", "18446744073709551616", "0.."),
           ("--seed", "x", "whole number"), ("--top-k", "-1", "4294967295"),
           ("--max-tokens", "4294967296", "4294967295")]


@pytest.mark.parametrize("flag, value, word", NUMBERS)
def test_generate_refuses_numbers_out_of_range(flag, value, word):
    done = run("generate", "--server", "127.0.0.1:1", "-p", "x", f"{flag}={value}")
    assert done.returncode == 2
    text = done.stdout + done.stderr
    assert flag in text and value in text and word in text, text


def test_generate_takes_the_largest_seed_to_the_server():
    done = run("generate", "--server", "127.0.0.1:1", "-p", "x", "--seed", 2**64 - 1)
    assert done.returncode == 75, done.stderr


def test_an_error_leaves_standard_output_empty():
    done = run("generate", "--server", "127.0.0.1:1", "-p", "Once upon a time")
    assert done.returncode == 75 and done.stdout == "" and done.stderr
    with Cluster() as cluster:
        done = run("generate", "--server", cluster.address, "-p", "Once", "--temperature", "-2")
        assert done.returncode == 2 and done.stdout == "", done.stdout
        assert "temperature" in done.stderr
        done = run("generate", "--server", cluster.address, "-p", "Once upon a time",
                   "--max-tokens", "5", "--temperature", "0")
        assert done.returncode == 0 and done.stdout.startswith("Once upon a time"), done.stderr


def test_inspect_tells_of_the_tokenizer(folder):
    assert "tokenizer      tokenizer.json, BPE, 4096 tokens" in run("inspect", folder).stdout
    facts = json.loads(run("inspect", folder, "--json").stdout)["tokenizer"]
    assert facts["kind"] == "tokenizer.json, BPE" and facts["vocab_size"] == 4096
    (folder / "tokenizer.json").unlink()
    facts = json.loads(run("inspect", folder, "--json").stdout)["tokenizer"]
    assert facts["kind"] == "tokenizer.model, SentencePiece" and facts["vocab_size"] == 4096


@pytest.mark.parametrize("name, content", [("tokenizer.json", '{"model": {"type": "Unigram"}}'),
                                           ("tokenizer_config.json", "{"), (None, "")])
def test_inspect_refuses_a_broken_tokenizer(folder, name, content):
    if name:
        (folder / name).write_text(content)
    else:
        (folder / "tokenizer.json").unlink()
        (folder / "tokenizer.model").unlink()
    done = run("inspect", folder)
    assert done.returncode == 4 and done.stdout == "", done.stdout
    assert done.stderr.startswith("quatrain: ") and (name or "tokenizer.model") in done.stderr


def chat_template_digest(folder):
    with Cluster(model=str(folder), workers=0, ready=False) as cluster:
        return cluster.models.GetModel(model_pb2.GetModelRequest()).chat_template_digest


def test_get_model_tells_the_digest_of_the_chat_template(folder):
    assert chat_template_digest(folder) == ""
    config_path = pathlib.Path(folder, "tokenizer_config.json")
    config = json.loads(config_path.read_text())
    config_path.write_text(json.dumps(config | {"chat_template": "{{ messages }}"}))
    in_config = chat_template_digest(folder)
    assert len(in_config) == 16 and int(in_config, 16)
    template = folder / "chat_template.jinja"
    template.write_text("{{ messages }}")
    assert chat_template_digest(folder) == in_config
    template.write_text("{{ messages[0] }}")  # the file comes first
    assert chat_template_digest(folder) not in ("", in_config)


def test_a_clusters_folder_goes_unless_the_block_fails(capsys):
    with Cluster(workers=0, ready=False) as cluster:
        assert cluster.logs.exists()
    assert not cluster.logs.exists()
    with pytest.raises(ZeroDivisionError), Cluster(workers=0, ready=False) as cluster:
        1 / 0
    assert "--- coordinator.log" in capsys.readouterr().out
    assert cluster.coordinator.poll() == 0 and cluster.logs.exists()
    shutil.rmtree(cluster.logs)


def test_a_cluster_that_does_not_start_leaves_no_process(capsys):
    with pytest.raises(AssertionError):
        Cluster(max_memory="cpu=1MiB", start_timeout=20)
    out = capsys.readouterr().out
    assert "does not fit" in out
    shutil.rmtree(out.rsplit("kept: ", 1)[1].strip())


def test_bench_latency_prints_a_line_for_each_batch_and_length():
    done = run("bench", "latency", TALES, "--batch-size", "1,2", "--input-len", "16,48",
               "--output-len", "8", "--num-iters", "1", "-o", "json")
    assert done.returncode == 0, done.stderr
    lines = json.loads(done.stdout)["lines"]
    assert [(x["batch_size"], x["prefill_length"]) for x in lines] == [
        (1, 16), (1, 48), (2, 16), (2, 48)]
    for line in lines:
        assert line["prefill_tokens_per_s"] > 0 and line["decode_tokens_per_s"] > 0
        assert 0 < line["share_of_read"] < 1 and line["memory_bytes"] > 5 << 20


def test_bench_latency_refuses_what_the_model_cannot_hold():
    done = run("bench", "latency", TALES, "--input-len", "100000")
    assert (done.returncode, done.stdout) == (2, "")
    assert "100064 tokens, the model's context is" in done.stderr


def rows_of(table):
    """The cells of a markdown table, without its head."""
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_bench_load_packs_and_watches_the_memory():
    done = run("bench", "load", TALES, "--num-iters", "1", "--tp", "2", "--rank", "1")
    assert done.returncode == 0, done.stderr
    [row] = rows_of(done.stdout)
    in_file, packed, seconds, speed = map(float, row[:4])
    assert 1 < in_file <= packed < 2 * in_file and seconds > 0 and speed > 0


def test_bench_load_refuses_a_rank_that_is_not_there():
    done = run("bench", "load", TALES, "--rank", "1")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--rank: 1, the layout has 1 ranks" in done.stderr


def test_bench_operations_prints_every_operation():
    done = run("bench", "operations", "--seconds", "0.01")
    assert done.returncode == 0, done.stderr
    rows = rows_of(done.stdout)
    names = " ".join(row[0] for row in rows)
    for part in ("barrier", "norm", "head", "decode attention", "prefill attention"):
        assert part in names
    assert all(float(row[1]) > 0 for row in rows)


def test_bench_operations_refuses_an_unknown_instruction_set():
    done = run("bench", "operations", "--isa", "sse2")
    assert (done.returncode, done.stdout) == (2, "")
    assert 'quatrain: --isa: "sse2", this machine has auto' in done.stderr
