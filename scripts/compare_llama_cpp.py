"""Makes the two random models, runs both engines in turn, prints the ratios.
Called by compare_llama_cpp.sh."""
import json
import pathlib
import re
import subprocess
import sys

import gguf
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]
QUATRAIN = ROOT / "build/release/tools/quatrain"
MAKER = ROOT / "build/release/tests/support/make_random_checkpoint"
HIDDEN, INTERMEDIATE, HEADS, VOCAB, CONTEXT = 4096, 11008, 32, 32000, 4096
PREFILL, OUTPUT = (512, 2048), 32
# Rows, cached tokens.
DECODE = ((1, 32), (4, 32), (16, 32), (1, 1024), (4, 1024), (16, 1024))


def make_awq(folder, layers):
    if (folder / "model" / "config.json").exists():
        return folder / "model"
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": VOCAB,
        "hidden_size": HIDDEN, "intermediate_size": INTERMEDIATE, "num_hidden_layers": layers,
        "num_attention_heads": HEADS, "num_key_value_heads": HEADS, "head_dim": HIDDEN // HEADS,
        "hidden_act": "silu", "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "max_position_embeddings": CONTEXT, "tie_word_embeddings": False,
        "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "float16"}
    (folder / "spec.json").write_text(json.dumps({"config": config, "seed": 7}))
    subprocess.run([MAKER, folder / "spec.json", folder / "model"], check=True)
    return folder / "model"


def q4_0(rng, rows, cols):
    """Blocks of 32 weights: an f16 scale and 16 bytes of nibbles."""
    blocks = np.empty((rows, cols // 32, 18), np.uint8)
    blocks[:, :, :2] = np.frombuffer(np.float16(0.01).tobytes(), np.uint8)
    blocks[:, :, 2:] = rng.integers(0, 256, (rows, cols // 32, 16), np.uint8)
    return blocks.reshape(rows, -1)


def make_gguf(path, layers):
    if path.exists():
        return path
    rng = np.random.default_rng(7)
    writer = gguf.GGUFWriter(path.with_suffix(".part"), "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(INTERMEDIATE)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(HIDDEN // HEADS)
    writer.add_vocab_size(VOCAB)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_0)
    writer.add_tokenizer_model("no_vocab")

    def f16(name, rows, cols):
        writer.add_tensor(name, (rng.standard_normal((rows, cols), np.float32) * 0.02).astype(np.float16))

    def int4(name, rows, cols):
        writer.add_tensor(name, q4_0(rng, rows, cols), raw_dtype=gguf.GGMLQuantizationType.Q4_0)

    def norm(name):
        writer.add_tensor(name, np.ones(HIDDEN, np.float32))

    f16("token_embd.weight", VOCAB, HIDDEN)
    f16("output.weight", VOCAB, HIDDEN)
    norm("output_norm.weight")
    for i in range(layers):
        norm(f"blk.{i}.attn_norm.weight")
        norm(f"blk.{i}.ffn_norm.weight")
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            int4(f"blk.{i}.{part}.weight", HIDDEN, HIDDEN)
        int4(f"blk.{i}.ffn_gate.weight", INTERMEDIATE, HIDDEN)
        int4(f"blk.{i}.ffn_up.weight", INTERMEDIATE, HIDDEN)
        int4(f"blk.{i}.ffn_down.weight", HIDDEN, INTERMEDIATE)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    path.with_suffix(".part").rename(path)
    return path


def run(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"compare: {command[0]}: {done.stderr[-2000:]}")
    return done.stdout


def llama_prefill(bench, model, threads):
    out = run(bench / "llama-bench", "-m", model, "-t", threads, "-n", 0, "-r", 2, "-o", "json",
              "-p", ",".join(map(str, PREFILL)))
    return {line["n_prompt"]: line["avg_ts"] for line in json.loads(out)}


def llama_decode(bench, model, threads, rows, cached):
    """Tokens per second of all rows together."""
    out = run(bench / "llama-batched-bench", "-m", model, "-t", threads, "-tb", threads,
              "-npp", cached, "-ntg", OUTPUT, "-npl", rows, "-c", rows * (cached + OUTPUT) + 64,
              "-b", 2048, "--output-format", "jsonl")
    lines = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    return lines[-1]["speed_tg"]


def quatrain(model, batch_size, input_len, output_len, activations="exact"):
    out = run(QUATRAIN, "bench", "latency", model, "--batch-size", batch_size, "--input-len", input_len,
              "--output-len", output_len, "--num-iters", 1, "--activations", activations,
              "-o", "json")
    return json.loads(out)["lines"][0]


def main():
    work, layers, rounds = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    awq = make_awq(work / f"awq-{layers}", layers)
    q4 = make_gguf(work / f"q4_0-{layers}.gguf", layers)
    threads = len(__import__("os").sched_getaffinity(0))
    bench = work / "build/bin"
    ours, one_digit, theirs, lines = {}, {}, {}, {}

    def better(table, key, value):
        table[key] = max(table.get(key, 0), value)

    for round_ in range(rounds):
        print(f"compare: round {round_ + 1} of {rounds}", file=sys.stderr)
        for length, rate in llama_prefill(bench, q4, threads).items():
            better(theirs, ("prefill", 1, length), rate)
        for length in PREFILL:
            line = quatrain(awq, 1, length, 2)
            better(ours, ("prefill", 1, length), line["prefill_tokens_per_s"])
            lines[("prefill", 1, length)] = f"{line['prefill_gop_per_s']:.0f} GOP/s"
            line = quatrain(awq, 1, length, 2, "int8")
            better(one_digit, ("prefill", 1, length), line["prefill_tokens_per_s"])
        for rows, cached in DECODE:
            better(theirs, ("decode", rows, cached), llama_decode(bench, q4, threads, rows, cached))
            line = quatrain(awq, rows, cached, OUTPUT)
            key = ("decode", rows, cached)
            if line["decode_tokens_per_s"] > ours.get(key, 0):
                lines[key] = (f"{line['decode_gb_per_s']:.1f} GB/s, "
                              f"{line['share_of_read'] * 100:.0f} % of the read")
            better(ours, key, line["decode_tokens_per_s"])
            line = quatrain(awq, rows, cached, OUTPUT, "int8")
            better(one_digit, key, line["decode_tokens_per_s"])
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text()).group(1)
    print(f"Llama-2-7B shape, {layers} layers, {threads} threads, {cpu}; best of {rounds} rounds\n")
    print("| What | rows | llama.cpp, tokens/s | Quatrain, tokens/s | ratio "
          "| `--activations int8` | ratio | Quatrain's exact |")
    print("|---|---:|---:|---:|---:|---:|---:|---|")
    for key in ours:
        what, rows, length = key
        name = f"prefill of {length}" if what == "prefill" else f"decode after {length}"
        print(f"| {name} | {rows} | {theirs[key]:.1f} | {ours[key]:.1f} "
              f"| {ours[key] / theirs[key]:.2f} | {one_digit[key]:.1f} "
              f"| {one_digit[key] / theirs[key]:.2f} | {lines[key]} |")


if __name__ == "__main__":
    main()
