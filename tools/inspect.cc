#include <cinttypes>
#include <cstdio>
#include <map>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/byte_size.h"
#include "model/model.h"
#include "nlohmann/json.hpp"
#include "tools/command.h"

namespace quatrain {
namespace {

struct Options {
  std::string model;
  bool json = false;
  bool tensors = false;
};

std::string ShapeText(const Tensor& tensor) {
  return absl::StrCat("[", absl::StrJoin(tensor.shape(), ", "), "]");
}

void PrintTensors(const Checkpoint& checkpoint) {
  for (const Tensor& tensor : checkpoint.tensors()) {
    std::printf(
        "%-60s %-5s %-16s %s\n", tensor.name().c_str(),
        std::string(Name(tensor.dtype())).c_str(), ShapeText(tensor).c_str(),
        FormatByteSize(static_cast<int64_t>(tensor.bytes().size())).c_str());
  }
}

void PrintText(const Model& model) {
  const ModelConfig& c = model.config;
  std::printf("model          %s\n", model.folder.c_str());
  std::printf("digest         %s\n", DigestText(model.digest).c_str());
  std::printf("architecture   %s\n", c.architecture.c_str());
  std::printf("layers         %d, hidden_size %d, intermediate_size %d\n",
              c.num_layers, c.hidden_size, c.intermediate_size);
  std::printf("heads          %d query, %d KV, head_dim %d\n", c.num_q_heads,
              c.num_kv_heads, c.head_dim);
  std::printf("vocabulary     %d%s\n", c.vocab_size,
              c.tie_word_embeddings ? ", embedding and head are tied" : "");
  std::printf("context        %d tokens\n", c.max_model_len);
  if (c.quantization) {
    std::printf("quantization   awq %s, %d bits, group %d\n",
                c.quantization->version.c_str(), c.quantization->bits,
                c.quantization->group_size);
  } else {
    std::printf("quantization   none\n");
  }
  std::printf("tensors        %zu, %s\n", model.checkpoint.tensors().size(),
              FormatByteSize(model.checkpoint.total_bytes()).c_str());
  std::printf("end of text    %s\n",
              absl::StrJoin(model.eos_token_ids(), " ").c_str());
  if (!model.generation.unsupported.empty()) {
    std::printf("not supported  %s (defaults of generation_config.json)\n",
                absl::StrJoin(model.generation.unsupported, ", ").c_str());
  }
}

void PrintJson(const Model& model) {
  const ModelConfig& c = model.config;
  nlohmann::ordered_json json = {
      {"digest", DigestText(model.digest)},
      {"architecture", c.architecture},
      {"num_layers", c.num_layers},
      {"hidden_size", c.hidden_size},
      {"intermediate_size", c.intermediate_size},
      {"num_q_heads", c.num_q_heads},
      {"num_kv_heads", c.num_kv_heads},
      {"head_dim", c.head_dim},
      {"vocab_size", c.vocab_size},
      {"tie_word_embeddings", c.tie_word_embeddings},
      {"max_model_len", c.max_model_len},
      {"eos_token_ids", model.eos_token_ids()},
      {"num_tensors", model.checkpoint.tensors().size()},
      {"bytes", model.checkpoint.total_bytes()},
      {"unsupported_defaults", model.generation.unsupported}};
  if (c.quantization) {
    json["quantization"] = {{"method", "awq"},
                            {"version", c.quantization->version},
                            {"bits", c.quantization->bits},
                            {"group_size", c.quantization->group_size},
                            {"zero_point", c.quantization->zero_point}};
  }
  std::printf("%s\n", json.dump(1).c_str());
}

int Run(const Options& options) {
  const absl::StatusOr<Model> model = OpenModel(options.model);
  if (!model.ok()) return Fail(kExitModelUnreadable, model.status());
  if (options.json)
    PrintJson(*model);
  else
    PrintText(*model);
  if (options.tensors) PrintTensors(model->checkpoint);
  return kExitOk;
}

}  // namespace

RunCommand AddInspect(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("MODEL", options->model, "model folder")->required();
  app.add_flag("--json", options->json, "as JSON");
  app.add_flag("--tensors", options->tensors, "list every tensor");
  return [options] { return Run(*options); };
}

}  // namespace quatrain
