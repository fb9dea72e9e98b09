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
  const quatrain::RandomCheckpointSpec spec =
      quatrain::ReadRandomCheckpointSpec(json);
  const absl::Status status = quatrain::WriteRandomCheckpoint(spec, argv[2]);
  if (!status.ok())
    std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  return status.ok() ? 0 : 1;
}
