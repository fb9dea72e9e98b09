#!/usr/bin/env bash
# Loads one rank of a random checkpoint of more than 2 GB, made here, and checks
# that its most anonymous memory stays within its packed slices and 10 %.
# Prints how fast it packed beside a plain read of the page cache.
#
#   scripts/check_load.sh [LAYERS]     default 18, of Llama-2-7B's shape
#
# Not part of CI: needs 3 GB of disk and 5 GB of memory.
set -euo pipefail
cd "$(dirname "$0")/.."
layers=${1:-18}
work=build/check_load
mkdir -p "$work"

scripts/build.sh release quatrain make_random_checkpoint

cat > "$work/spec.json" <<END
{"seed": 1, "group_size": 128, "tokenizer_folder": "examples/tales-8m-awq", "config": {
  "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 32000,
  "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": $layers,
  "num_attention_heads": 32, "num_key_value_heads": 32, "hidden_act": "silu",
  "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "max_position_embeddings": 4096,
  "tie_word_embeddings": false, "torch_dtype": "float16"}}
END
model=$work/model-$layers
if [[ ! -f $model/model.safetensors ]]; then
  echo "check_load: making a checkpoint of $layers layers"
  build/release/tests/support/make_random_checkpoint "$work/spec.json" "$model"
fi
size=$(stat -c %s "$model/model.safetensors")
echo "check_load: $((size / 1000000)) MB"
if ((size < 2000000000)); then
  echo "check_load: fewer than 2 GB: use more layers" >&2
  exit 1
fi

status=0
for flags in "" "--tp 2 --rank 1" "--tp-shares 3,2 --rank 0" "--pp 2 --rank 0"; do
  echo "check_load: one rank of: ${flags:-one}"
  # shellcheck disable=SC2086
  table=$(build/release/tools/quatrain bench load "$model" $flags)
  echo "$table"
  over=$(tail -1 <<< "$table" | awk -F'|' '{print $(NF - 1) + 0}')
  if ! awk "BEGIN { exit !($over <= 10) }"; then
    echo "check_load: $over % over the packed slices, at most 10 are allowed" >&2
    status=1
  fi
done
exit "$status"
