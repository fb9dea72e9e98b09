#!/usr/bin/env python3
"""Expected tokens, log-probabilities and perplexity of a trained checkpoint from
PyTorch and Transformers, in float32.

  tests/oracle/make_trained_goldens.py MODEL_FOLDER TEXT OUT_FOLDER

Writes OUT_FOLDER/MODEL.greedy.json: per prompt the ids, the greedy continuation
and at every step the eight best ids. A continuation ends before the first step
whose two best are nearer than GAP: what differs there is rounding. And
OUT_FOLDER/MODEL.perplexity.json: the mean negative log-likelihood of every
window of BOS + TEXT.

Needs: pip install -r tests/oracle/requirements.txt
"""
import json
import math
import pathlib
import shutil
import sys
import tempfile

import torch
import transformers

from make_goldens import TOP, load

GAP = 3e-3
WINDOW = 512
PROMPTS = [  # and how many tokens
    ("Once upon a time there was a little", 160),
    ("The old king called his three sons to him and said,", 128),
    ("\"Where are you going?\" asked the Mole.", 128),
    ("In the middle of the forest stood a house, and in the house", 128),
    ("It was raining", 96),
    ("The princess looked at the ring for a long time. Then she", 96),
    ("Said the wolf:", 96),
    ("Far away, beyond the seas and the mountains, there lived a dragon. Every morning it flew over the village and the people hid in their cellars. One day a boy who was not afraid", 128),
    ("A", 64),
    ("Peter and Wendy flew over the island.\nThe pirates", 96),
    ("naïve café — 北京 😀", 32),
    ("One, two, three, four, five,", 48),
]


def greedy(model, ids, num_tokens):
    """The steps after `ids`, and the smallest gap between the two best of a step."""
    steps, smallest = [], math.inf
    ids = list(ids)
    for _ in range(num_tokens):
        logprobs = torch.log_softmax(model(torch.tensor([ids])).logits[0, -1].double(), -1)
        best = torch.topk(logprobs, TOP)
        gap = (best.values[0] - best.values[1]).item()
        if gap < GAP:
            break
        smallest = min(smallest, gap)
        ids.append(best.indices[0].item())
        steps.append({"token": ids[-1], "top_ids": best.indices.tolist(),
                      "top_logprobs": [round(v, 6) for v in best.values.tolist()]})
    return steps, smallest


def continuations(model, tokenizer):
    for prompt, num_tokens in PROMPTS:
        ids = tokenizer(prompt).input_ids
        steps, smallest = greedy(model, ids, num_tokens)
        yield {"prompt": prompt, "prompt_token_ids": ids, "tokens": [s["token"] for s in steps],
               "smallest_gap": round(smallest, 6), "steps": steps}


def window_nll(model, ids):
    logprobs = torch.log_softmax(model(torch.tensor([ids])).logits[0, :-1].double(), -1)
    return -logprobs.gather(-1, torch.tensor(ids[1:])[:, None]).mean().item()


def perplexity(model, ids):
    nll = [window_nll(model, ids[at:at + WINDOW])
           for at in range(0, len(ids) - WINDOW + 1, WINDOW)]
    return {"windows": f"non-overlapping windows of {WINDOW} tokens of BOS + text; "
                       "the first token of a window is not scored",
            "tokens_scored": len(nll) * (WINDOW - 1),
            "perplexity": math.exp(sum(nll) / len(nll)), "mean_nll_per_window": nll}


def main():
    folder, text, out = map(pathlib.Path, sys.argv[1:])
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    with tempfile.TemporaryDirectory() as scratch:  # load() edits config.json
        for name in ("config.json", "model.safetensors"):
            shutil.copyfile(folder / name, pathlib.Path(scratch, name))
        model = load(pathlib.Path(scratch))
    with torch.no_grad():
        results = {"greedy": list(continuations(model, tokenizer)),
                   "perplexity": perplexity(model, tokenizer(text.read_text()).input_ids)}
    for kind, result in results.items():
        path = out / f"{folder.name}.{kind}.json"
        path.write_text(json.dumps(result, separators=(",", ":"), ensure_ascii=False) + "\n")
        print(path)


if __name__ == "__main__":
    main()
