// make_random_checkpoint SPEC.json FOLDER: a checkpoint of random weights with
// a real layout, for oracles and for speed. SPEC.json:
//   {"config": {...config.json...}, "seed": 1, "group_size": 128,
//    "dtype": "F16", "tokenizer_folder": "examples/tales-8m-awq"}

#include <cstdio>
#include <fstream>

#include "nlohmann/json.hpp"
#include "tests/support/random_checkpoint.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: make_random_checkpoint SPEC.json FOLDER\n");
    return 2;
  }
  std::ifstream in(argv[1]);
  const nlohmann::json json = nlohmann::json::parse(in, nullptr, false);
  if (json.is_discarded()) {
    std::fprintf(stderr, "%s: not JSON\n", argv[1]);
    return 2;
  }
  quatrain::RandomCheckpointSpec spec;
  spec.config_json = json.at("config").dump();
  spec.seed = json.value("seed", spec.seed);
  spec.group_size = json.value("group_size", spec.group_size);
  spec.dtype = json.value("dtype", spec.dtype);
  spec.qk_gain = json.value("qk_gain", spec.qk_gain);
  spec.other_gain = json.value("other_gain", spec.other_gain);
  spec.head_gain = json.value("head_gain", spec.head_gain);
  spec.embedding_std = json.value("embedding_std", spec.embedding_std);
  spec.tokenizer_folder = json.value("tokenizer_folder", spec.tokenizer_folder);
  const absl::Status status = quatrain::WriteRandomCheckpoint(spec, argv[2]);
  if (!status.ok())
    std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  return status.ok() ? 0 : 1;
}
