"""A model with more rows than its tokenizer has ids: the padding rows are never
generated, though their logits are the largest."""
import array
import json
import pathlib
import struct
import subprocess

import pytest

from cluster import QUATRAIN, TALES, Cluster, request

IDS = 4096  # of the tokenizer
CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": IDS + 300,
    "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32, "hidden_act": "silu",
    "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "max_position_embeddings": 128,
    "tie_word_embeddings": False, "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "float32"}


def raise_padding(path):
    data = bytearray(path.read_bytes())
    start = 8 + struct.unpack_from("<Q", data)[0]
    header = json.loads(data[8:start])
    begin, end = header["lm_head.weight"]["data_offsets"]
    begin += start + IDS * CONFIG["hidden_size"] * 4
    weights = array.array("f", bytes(data[begin:start + end]))
    data[begin:start + end] = array.array("f", [50 * w for w in weights]).tobytes()
    path.write_bytes(data)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("padding")
    spec = folder / "spec.json"
    spec.write_text(json.dumps({"config": CONFIG, "dtype": "F32", "tokenizer_folder": TALES}))
    maker = pathlib.Path(QUATRAIN).parents[1] / "tests/support/make_random_checkpoint"
    subprocess.run([maker, spec, folder / "model"], check=True)
    raise_padding(pathlib.Path(folder, "model", "model.safetensors"))
    return str(folder / "model")


def test_padding_rows_are_never_generated(model):
    outputs = []
    for tp in 1, 3:
        with Cluster(model=model, ranks=tp, coordinator_flags=["--tp", str(tp)]) as cluster:
            answers = [cluster.inference.Generate(request(
                [1, 20, 30], max_tokens=60, temperature=temperature, seed=7, ignore_eos=True,
                return_token_ids=True, top_logprobs=5)) for temperature in (0, 1.5)]
            padding = cluster.inference.Generate(request([1, IDS + 5], max_tokens=4))
            assert padding.usage.completion_tokens == 4  # taken in a prompt, as it is
        outputs.append([list(a.choices[0].token_ids) for a in answers])
        for answer in answers:
            choice = answer.choices[0]
            assert len(choice.token_ids) == 60 and max(choice.token_ids) < IDS
            assert all(top.token_id < IDS for step in choice.logprobs for top in step.top)
    assert outputs[0] == outputs[1]
