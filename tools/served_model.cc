#include "tools/served_model.h"

#include <filesystem>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/digest.h"
#include "base/json.h"
#include "base/logging.h"
#include "base/mapped_file.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"

namespace quatrain {
namespace {

absl::StatusOr<int> MaxModelLen(const ModelConfig& config, int flag) {
  if (flag == 0) return config.max_model_len;
  if (flag >= 2 && flag <= config.max_model_len) return flag;
  return absl::InvalidArgumentError(absl::StrCat(
      "--max-model-len: ", flag, ", expected 2..", config.max_model_len,
      ", the context that config.json allows"));
}

std::string FolderName(const std::string& folder) {
  const std::filesystem::path path =
      std::filesystem::path(folder).lexically_normal();
  return (path.has_filename() ? path : path.parent_path()).filename().string();
}

// Templates of the same text have the same digest, wherever the folder keeps
// them: in a file, or in the tokenizer's settings, where several are a list.
absl::StatusOr<std::string> ChatTemplateDigest(const std::string& folder) {
  std::string text;
  const auto file = MappedFile::Open(folder + "/chat_template.jinja");
  if (file.ok()) {
    text.assign(reinterpret_cast<const char*>(file->bytes().data()),
                file->bytes().size());
  } else if (!absl::IsNotFound(file.status())) {
    return file.status();
  } else {
    const auto json = ParseJsonFile(folder + "/tokenizer_config.json",
                                    {.max_bytes = 16u << 20});
    if (absl::IsNotFound(json.status())) return "";
    RETURN_IF_ERROR(json.status());
    const auto found = json->find("chat_template");
    if (found == json->end() || found->is_null()) return "";
    text = found->is_string() ? found->get<std::string>() : found->dump();
  }
  return DigestText(ChainDigest(0, std::as_bytes(std::span(text))));
}

}  // namespace

absl::StatusOr<OpenedModel> OpenServedModel(const std::string& folder) {
  ASSIGN_OR_RETURN(Model model, OpenModel(folder));
  ASSIGN_OR_RETURN(std::unique_ptr<Tokenizer> tokenizer,
                   Tokenizer::Load(folder));
  if (tokenizer->vocab_size() > model.config.vocab_size) {
    // Seen in fine-tunes that added a padding token; only a text that contains
    // such a token is refused.
    spdlog::warn(
        "{}: the tokenizer has ids up to {}, but the model only {} of them",
        folder, tokenizer->vocab_size() - 1, model.config.vocab_size);
  }
  ASSIGN_OR_RETURN(std::string chat_template_digest,
                   ChatTemplateDigest(folder));
  return OpenedModel{std::move(model), std::move(tokenizer),
                     std::move(chat_template_digest)};
}

absl::StatusOr<ServedModel> MakeServedModel(const OpenedModel& opened,
                                            const GroupFlags& flags,
                                            const Layout& layout) {
  ServedModel served;
  ASSIGN_OR_RETURN(served.max_model_len,
                   MaxModelLen(opened.model.config, flags.max_model_len));
  const std::string folder_name = FolderName(opened.model.folder);
  served.id =
      flags.served_model_name.empty() ? folder_name : flags.served_model_name;
  if (served.id != folder_name) served.aliases.push_back(folder_name);
  served.config = opened.model.config;
  served.generation = opened.model.generation;
  served.use_generation_defaults = flags.generation_config != "none";
  served.tokenizer = opened.tokenizer.get();
  served.chat_template_digest = opened.chat_template_digest;
  for (const Stage& stage : layout.stages) {
    served.stages.push_back({.first_layer = stage.layers.begin,
                             .num_layers = stage.layers.size(),
                             .tp_size = stage.tp_size()});
  }
  return served;
}

}  // namespace quatrain
