#include <cinttypes>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/byte_size.h"
#include "base/logging.h"
#include "base/mapped_file.h"
#include "base/status_macros.h"
#include "model/model.h"
#include "model/tokenizer/tiktoken_model.h"
#include "nlohmann/json.hpp"
#include "tools/command.h"
#include "tools/served_model.h"

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

// Which file it is made of, and what kind of vocabulary that is.
absl::StatusOr<std::string> KindOfTokenizer(const std::string& folder) {
  if (std::filesystem::exists(folder + "/tokenizer.json"))
    return std::string("tokenizer.json, BPE");
  ASSIGN_OR_RETURN(const MappedFile file,
                   MappedFile::Open(folder + "/tokenizer.model"));
  const std::string_view text(
      reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  return std::string(IsTiktokenModel(text) ? "tokenizer.model, tiktoken BPE"
                                           : "tokenizer.model, SentencePiece");
}

struct TokenizerFacts {
  std::string kind;
  int vocab_size = 0;
  std::string digest;
  std::vector<int32_t> eos_token_ids;  // of the whole folder
};

absl::StatusOr<TokenizerFacts> InspectTokenizer(const OpenedModel& opened) {
  TokenizerFacts facts{
      .vocab_size = opened.tokenizer->vocab_size(),
      .digest = opened.tokenizer->digest(),
      .eos_token_ids = EosTokenIds(opened.model.config, opened.model.generation,
                                   opened.tokenizer->eos_token_id())};
  ASSIGN_OR_RETURN(facts.kind, KindOfTokenizer(opened.model.folder));
  return facts;
}

void PrintText(const Model& model, const TokenizerFacts& tokenizer) {
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
  std::printf("tokenizer      %s, %d tokens\n", tokenizer.kind.c_str(),
              tokenizer.vocab_size);
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
              absl::StrJoin(tokenizer.eos_token_ids, " ").c_str());
  if (!model.generation.unsupported.empty()) {
    std::printf("not supported  %s (defaults of generation_config.json)\n",
                absl::StrJoin(model.generation.unsupported, ", ").c_str());
  }
}

void PrintJson(const Model& model, const TokenizerFacts& tokenizer) {
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
      {"tokenizer",
       {{"kind", tokenizer.kind},
        {"vocab_size", tokenizer.vocab_size},
        {"digest", tokenizer.digest}}},
      {"max_model_len", c.max_model_len},
      {"eos_token_ids", tokenizer.eos_token_ids},
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
  if (!StartLogging("warn", "inspect").ok()) return kExitFailure;
  const absl::StatusOr<OpenedModel> opened = OpenServedModel(options.model);
  if (!opened.ok()) return Fail(kExitModelUnreadable, opened.status());
  const auto tokenizer = InspectTokenizer(*opened);
  if (!tokenizer.ok()) return Fail(kExitModelUnreadable, tokenizer.status());
  if (options.json)
    PrintJson(opened->model, *tokenizer);
  else
    PrintText(opened->model, *tokenizer);
  if (options.tensors) PrintTensors(opened->model.checkpoint);
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
