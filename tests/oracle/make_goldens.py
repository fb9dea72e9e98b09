#!/usr/bin/env python3
"""Expected log-probabilities from PyTorch and Transformers, in float32.

  tests/oracle/make_goldens.py MAKE_RANDOM_CHECKPOINT OUT_FOLDER

For every row of architectures.json: makes the checkpoint, dequantizes its
linears here (independently of the C++ reader), runs Transformers' own model on
them and writes OUT_FOLDER/ROW.json: the prompt, and for every position the
log-probability of the next prompt token and of the eight best ids.

Needs: pip install -r tests/oracle/requirements.txt
"""
import json
import pathlib
import subprocess
import sys
import tempfile
import zlib

import numpy as np
import torch
import transformers
from safetensors import safe_open

HERE = pathlib.Path(__file__).parent
# Column c of eight lies in nibble NIBBLE[c] of a word.
NIBBLE = [0, 4, 1, 5, 2, 6, 3, 7]
TOP = 8


def unpack(words):
    """int32 [rows, n / 8] -> 0..15 [rows, n]"""
    words = words.astype(np.uint32)
    columns = [(words >> (4 * NIBBLE[c])) & 15 for c in range(8)]
    return np.stack(columns, axis=-1).reshape(words.shape[0], -1)


def dequantized(path):
    """The checkpoint's tensors as Transformers names them, in float32."""
    state = {}
    with safe_open(path, framework="pt") as tensors:
        for name in tensors.keys():
            if not name.endswith((".qweight", ".qzeros", ".scales")):
                state[name] = tensors.get_tensor(name).float()
            if not name.endswith(".qweight"):
                continue
            module = name.removesuffix(".qweight")
            q = unpack(tensors.get_tensor(name).numpy())
            z = unpack(tensors.get_tensor(module + ".qzeros").numpy())
            s = tensors.get_tensor(module + ".scales").float().numpy()
            group = q.shape[0] // s.shape[0]
            difference = q.astype(np.float32) - np.repeat(z, group, 0).astype(np.float32)
            weight = difference * np.repeat(s, group, 0)
            state[module + ".weight"] = torch.from_numpy(weight.T.copy())
    return state


def load(folder):
    config = json.loads((folder / "config.json").read_text())
    config.pop("quantization_config", None)
    (folder / "config.json").write_text(json.dumps(config))
    hf_config = transformers.AutoConfig.from_pretrained(folder)
    hf_config._attn_implementation = "eager"
    model = transformers.AutoModelForCausalLM.from_config(hf_config, dtype=torch.float32)
    state = dequantized(folder / "model.safetensors")
    if hf_config.tie_word_embeddings:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and not [m for m in missing if "rotary" not in m], (missing, unexpected)
    return model.eval()


def golden(row, folder, prompt_tokens):
    crc = zlib.crc32((folder / "model.safetensors").read_bytes())
    model = load(folder)
    generator = np.random.default_rng(row["seed"])
    prompt = generator.integers(3, row["config"]["vocab_size"], prompt_tokens).tolist()
    with torch.no_grad():
        logits = model(torch.tensor([prompt])).logits[0].double()
    logprobs = torch.log_softmax(logits, -1)
    spread = logits.std(-1).mean().item()
    assert spread >= 1, f"{row['name']}: logits have a standard deviation of {spread}"
    positions = []
    for p in range(prompt_tokens):
        top = torch.topk(logprobs[p], TOP)
        positions.append({
            "next": round(logprobs[p][prompt[p + 1]].item(), 6) if p + 1 < prompt_tokens else None,
            "top_ids": top.indices.tolist(),
            "top": [round(v, 6) for v in top.values.tolist()]})
    return {"row": row["name"], "model_safetensors_crc32": crc, "torch": torch.__version__,
            "transformers": transformers.__version__, "logits_std": spread,
            "prompt": prompt, "positions": positions}


def main():
    make_checkpoint, out = sys.argv[1], pathlib.Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    table = json.loads((HERE / "architectures.json").read_text())
    for row in table["rows"]:
        with tempfile.TemporaryDirectory() as scratch:
            spec, folder = pathlib.Path(scratch, "spec.json"), pathlib.Path(scratch, "model")
            spec.write_text(json.dumps(row))
            subprocess.run([make_checkpoint, spec, folder], check=True)
            result = golden(row, folder, table["prompt_tokens"])
        (out / f"{row['name']}.json").write_text(json.dumps(result, separators=(",", ":")) + "\n")
        print(f"{row['name']}: logits std {result['logits_std']:.2f}")


if __name__ == "__main__":
    main()
