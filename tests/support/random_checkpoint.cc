#include "tests/support/random_checkpoint.h"

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/half.h"
#include "nlohmann/json.hpp"

namespace quatrain {
namespace {

using nlohmann::json;

uint64_t Mix(uint64_t x) {  // the finalizer of splitmix64
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// Four 16-bit uniforms summed: bell-shaped, standard deviation 1, all integer
// but for one exact division.
float Bell(uint64_t bits) {
  int sum = 0;
  for (int i = 0; i < 4; ++i)
    sum += static_cast<int>((bits >> (16 * i)) & 0xffff);
  return static_cast<float>(sum - 131070) / 37837.0f;
}

struct TensorPlan {
  std::string name;
  std::string dtype;
  std::vector<int64_t> shape;
  std::function<void(int64_t index, char* out)> element;
  int element_size;
};

class Writer {
 public:
  Writer(const RandomCheckpointSpec& spec, const json& config)
      : spec_(spec), config_(config) {}

  void AddModel();
  absl::Status Write(const std::string& path) const;

 private:
  int Get(const char* key) const { return config_.at(key).get<int>(); }
  int64_t SizeOfTensor(const TensorPlan& t) const;
  uint64_t Salt(const std::string& name) const;
  void AddFloats(const std::string& name, std::vector<int64_t> shape,
                 double mean, double std, const std::string& dtype);
  void AddLinear(const std::string& module, int n, int k, double gain,
                 bool bias);
  void AddInt4(const std::string& module, int n, int k, double std);
  void AddLayer(int layer);
  void RotateOutputs(const std::string& module, int outputs);

  const RandomCheckpointSpec& spec_;
  const json& config_;
  std::vector<TensorPlan> tensors_;
};

uint64_t Writer::Salt(const std::string& name) const {
  uint64_t salt = Mix(spec_.seed);
  for (const char c : name) salt = Mix(salt ^ static_cast<uint8_t>(c));
  return salt;
}

void Writer::AddFloats(const std::string& name, std::vector<int64_t> shape,
                       double mean, double std, const std::string& dtype) {
  const uint64_t salt = Salt(name);
  const float m = static_cast<float>(mean), s = static_cast<float>(std);
  const int size = dtype == "F32" ? 4 : 2;
  tensors_.push_back({name, dtype, std::move(shape),
                      [=](int64_t index, char* out) {
                        const float value = m + s * Bell(Mix(salt + index));
                        const uint16_t half =
                            dtype == "F16" ? F32ToF16(value) : F32ToBF16(value);
                        if (size == 4)
                          std::memcpy(out, &value, 4);
                        else
                          std::memcpy(out, &half, 2);
                      },
                      size});
}

// q is uniform over 0..15 and z near the middle, so a weight has a standard
// deviation of about 4.7 scales.
void Writer::AddInt4(const std::string& module, int n, int k, double std) {
  const int group = spec_.group_size;
  const float scale = static_cast<float>(std / 4.7);
  const uint64_t q = Salt(module + ".qweight"), z = Salt(module + ".qzeros"),
                 s = Salt(module + ".scales");
  tensors_.push_back({module + ".qweight",
                      "I32",
                      {k, n / 8},
                      [=](int64_t index, char* out) {
                        const uint32_t word =
                            static_cast<uint32_t>(Mix(q + index));
                        std::memcpy(out, &word, 4);
                      },
                      4});
  tensors_.push_back({module + ".qzeros",
                      "I32",
                      {k / group, n / 8},
                      [=](int64_t index, char* out) {
                        const uint64_t bits = Mix(z + index);
                        uint32_t word = 0;
                        for (int i = 0; i < 8; ++i)
                          word |= (6 + ((bits >> (2 * i)) & 3)) << (4 * i);
                        std::memcpy(out, &word, 4);
                      },
                      4});
  tensors_.push_back({module + ".scales",
                      "F16",
                      {k / group, n},
                      [=](int64_t index, char* out) {
                        const float spread =
                            0.5f + static_cast<float>(Mix(s + index) & 0xffff) /
                                       65536.0f;
                        const uint16_t half = F32ToF16(scale * spread);
                        std::memcpy(out, &half, 2);
                      },
                      2});
}

void Writer::AddLinear(const std::string& module, int n, int k, double gain,
                       bool bias) {
  const double std = gain / std::sqrt(static_cast<double>(k));
  if (spec_.group_size > 0) {
    AddInt4(module, n, k, std);
  } else {
    AddFloats(module + ".weight", {n, k}, 0, std, spec_.dtype);
  }
  const std::string dtype = spec_.group_size > 0 ? "F16" : spec_.dtype;
  const double bias_std = spec_.zero_biases ? 0 : 0.5 * gain;
  if (bias) AddFloats(module + ".bias", {n}, 0, bias_std, dtype);
}

// Makes output n of a linear what output n + `outputs` was, cyclically.
void Writer::RotateOutputs(const std::string& module, int outputs) {
  for (TensorPlan& t : tensors_) {
    if (t.name.rfind(module + ".", 0) != 0) continue;
    const bool outputs_are_rows = t.name == module + ".weight";
    const int per_element = t.dtype == "I32" ? 8 : 1;
    const int64_t inner = outputs_are_rows ? t.shape[1] : 1;
    const int64_t count = outputs_are_rows ? t.shape[0] : t.shape.back();
    const int64_t by = outputs / per_element;
    t.element = [=, element = t.element](int64_t index, char* out) {
      const int64_t k = index % inner, n = index / inner % count;
      const int64_t rest = index / (inner * count);
      element((rest * count + (n + by) % count) * inner + k, out);
    };
  }
}

void Writer::AddLayer(int layer) {
  const std::string prefix = absl::StrCat("model.layers.", layer, ".");
  const int hidden = Get("hidden_size"), inner = Get("intermediate_size");
  const int heads = Get("num_attention_heads");
  const int kv_heads = config_.value("num_key_value_heads", heads);
  const int head_dim = config_.value("head_dim", hidden / heads);
  const bool qwen = config_.at("model_type") == "qwen2";
  const bool qkv_bias = qwen || config_.value("attention_bias", false);
  const bool o_bias = !qwen && config_.value("attention_bias", false);
  const bool mlp_bias = config_.value("mlp_bias", false);
  const double other = spec_.other_gain;
  AddFloats(prefix + "input_layernorm.weight", {hidden}, 1, 0.1, spec_.dtype);
  AddLinear(prefix + "self_attn.q_proj", heads * head_dim, hidden,
            spec_.qk_gain, qkv_bias);
  if (spec_.rotate_q_heads)
    RotateOutputs(prefix + "self_attn.q_proj", head_dim);
  AddLinear(prefix + "self_attn.k_proj", kv_heads * head_dim, hidden,
            spec_.qk_gain, qkv_bias);
  AddLinear(prefix + "self_attn.v_proj", kv_heads * head_dim, hidden, other,
            qkv_bias);
  AddLinear(prefix + "self_attn.o_proj", hidden, heads * head_dim, other,
            o_bias);
  AddFloats(prefix + "post_attention_layernorm.weight", {hidden}, 1, 0.1,
            spec_.dtype);
  AddLinear(prefix + "mlp.gate_proj", inner, hidden, 1.0, mlp_bias);
  AddLinear(prefix + "mlp.up_proj", inner, hidden, 1.0, mlp_bias);
  AddLinear(prefix + "mlp.down_proj", hidden, inner, other, mlp_bias);
}

void Writer::AddModel() {
  const int hidden = Get("hidden_size"), vocab = Get("vocab_size");
  AddFloats("model.embed_tokens.weight", {vocab, hidden}, 0,
            spec_.embedding_std, spec_.dtype);
  for (int layer = 0; layer < Get("num_hidden_layers"); ++layer)
    AddLayer(layer);
  AddFloats("model.norm.weight", {hidden}, 1, 0.1, spec_.dtype);
  if (!config_.value("tie_word_embeddings", false)) {
    AddFloats("lm_head.weight", {vocab, hidden}, 0,
              spec_.head_gain / std::sqrt(static_cast<double>(hidden)),
              spec_.dtype);
  }
}

int64_t Writer::SizeOfTensor(const TensorPlan& t) const {
  int64_t count = 1;
  for (const int64_t d : t.shape) count *= d;
  return count;
}

absl::Status Writer::Write(const std::string& path) const {
  json header = json::object();
  int64_t offset = 0;
  for (const TensorPlan& t : tensors_) {
    const int64_t bytes = SizeOfTensor(t) * t.element_size;
    header[t.name] = {{"dtype", t.dtype},
                      {"shape", t.shape},
                      {"data_offsets", {offset, offset + bytes}}};
    offset += bytes;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  std::ofstream out(path, std::ios::binary);
  const uint64_t length = text.size();
  out.write(reinterpret_cast<const char*>(&length), 8);
  out.write(text.data(), static_cast<std::streamsize>(text.size()));
  std::vector<char> buffer;
  for (const TensorPlan& t : tensors_) {
    const int64_t count = SizeOfTensor(t);
    buffer.resize(static_cast<size_t>(count) * t.element_size);
    for (int64_t i = 0; i < count; ++i)
      t.element(i, buffer.data() + i * t.element_size);
    out.write(buffer.data(), static_cast<std::streamsize>(buffer.size()));
  }
  out.close();
  if (!out) return absl::UnavailableError(absl::StrCat(path, ": cannot write"));
  return absl::OkStatus();
}

}  // namespace

RandomCheckpointSpec ReadRandomCheckpointSpec(const nlohmann::json& json) {
  RandomCheckpointSpec spec;
  spec.config_json = json.at("config").dump();
  spec.seed = json.value("seed", spec.seed);
  spec.group_size = json.value("group_size", spec.group_size);
  spec.dtype = json.value("dtype", spec.dtype);
  spec.qk_gain = json.value("qk_gain", spec.qk_gain);
  spec.other_gain = json.value("other_gain", spec.other_gain);
  spec.head_gain = json.value("head_gain", spec.head_gain);
  spec.embedding_std = json.value("embedding_std", spec.embedding_std);
  spec.tokenizer_folder = json.value("tokenizer_folder", spec.tokenizer_folder);
  return spec;
}

absl::Status WriteRandomCheckpoint(const RandomCheckpointSpec& spec,
                                   const std::string& folder) {
  json config = json::parse(spec.config_json);
  std::filesystem::create_directories(folder);
  Writer writer(spec, config);
  writer.AddModel();
  if (spec.group_size > 0) {
    config["quantization_config"] = {{"quant_method", "awq"},
                                     {"bits", 4},
                                     {"group_size", spec.group_size},
                                     {"zero_point", true},
                                     {"version", "gemm"},
                                     {"modules_to_not_convert", nullptr}};
  }
  std::ofstream(folder + "/config.json") << config.dump(1) << "\n";
  for (const char* file :
       {"tokenizer.json", "tokenizer.model", "tokenizer_config.json",
        "special_tokens_map.json", "generation_config.json"}) {
    const std::filesystem::path from =
        std::filesystem::path(spec.tokenizer_folder) / file;
    if (!spec.tokenizer_folder.empty() && std::filesystem::exists(from)) {
      std::filesystem::copy_file(
          from, std::filesystem::path(folder) / file,
          std::filesystem::copy_options::overwrite_existing);
    }
  }
  return writer.Write(folder + "/model.safetensors");
}

}  // namespace quatrain
