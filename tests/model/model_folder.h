#pragma once

#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/half.h"
#include "nlohmann/json.hpp"

// Model folders made by tests, byte by byte.
namespace quatrain {

// A folder of its own that goes away with the object.
class TempFolder {
 public:
  TempFolder() {
    static int count = 0;
    path_ = (std::filesystem::temp_directory_path() /
             ("quatrain_model_" + std::to_string(getpid()) + "_" +
              std::to_string(count++)))
                .string();
    std::filesystem::create_directories(path_);
  }
  ~TempFolder() { std::filesystem::remove_all(path_); }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::string& path() const { return path_; }
  std::string Path(const std::string& name) const { return path_ + "/" + name; }
  std::string Write(const std::string& name, const std::string& content) const {
    std::ofstream(Path(name), std::ios::binary) << content;
    return Path(name);
  }

 private:
  std::string path_;
};

// A safetensors file: length, header, data.
inline std::string FileOf(const std::string& header, const std::string& data) {
  const uint64_t length = header.size();
  std::string file(reinterpret_cast<const char*>(&length), sizeof(length));
  return file + header + data;
}

struct TestTensor {
  std::string dtype;
  std::vector<int64_t> shape;
  std::string bytes;
};
using TestTensors = std::map<std::string, TestTensor>;

inline std::string FileOf(const TestTensors& tensors) {
  nlohmann::json header = {{"__metadata__", {{"format", "pt"}}}};
  std::string data;
  for (const auto& [name, tensor] : tensors) {
    header[name] = {
        {"dtype", tensor.dtype},
        {"shape", tensor.shape},
        {"data_offsets", {data.size(), data.size() + tensor.bytes.size()}}};
    data += tensor.bytes;
  }
  return FileOf(header.dump(), data);
}

template <typename T>
std::string BytesOf(const std::vector<T>& values) {
  return std::string(reinterpret_cast<const char*>(values.data()),
                     values.size() * sizeof(T));
}

inline int64_t Elements(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (const int64_t dimension : shape) count *= dimension;
  return count;
}

// f16 values that tell their places apart.
inline TestTensor F16Tensor(std::vector<int64_t> shape, int seed = 0) {
  std::vector<uint16_t> values(Elements(shape));
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = F32ToF16(static_cast<float>((i * 37 + seed) % 509) / 256 - 1);
  return {"F16", std::move(shape), BytesOf(values)};
}

inline TestTensor I32Tensor(std::vector<int64_t> shape, int seed = 0) {
  std::vector<uint32_t> values(Elements(shape));
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<uint32_t>((i + seed) * 2654435761u);
  return {"I32", std::move(shape), BytesOf(values)};
}

// A packed linear [n, k] of random nibbles.
inline void AddAwqLinear(const std::string& module, int n, int k, int group,
                         TestTensors* tensors) {
  (*tensors)[module + ".qweight"] = I32Tensor({k, n / 8}, 1);
  (*tensors)[module + ".qzeros"] = I32Tensor({k / group, n / 8}, 2);
  (*tensors)[module + ".scales"] = F16Tensor({k / group, n}, 3);
}

// A small Llama of two layers: heads 4 over 2, head size 16, groups of 32.
struct SmallLlama {
  nlohmann::json config = {{"architectures", {"LlamaForCausalLM"}},
                           {"vocab_size", 300},
                           {"hidden_size", 64},
                           {"intermediate_size", 160},
                           {"num_hidden_layers", 2},
                           {"num_attention_heads", 4},
                           {"num_key_value_heads", 2},
                           {"max_position_embeddings", 128},
                           {"rms_norm_eps", 1e-5},
                           {"rope_theta", 10000.0},
                           {"bos_token_id", 1},
                           {"eos_token_id", 2},
                           {"quantization_config",
                            {{"quant_method", "awq"},
                             {"bits", 4},
                             {"group_size", 32},
                             {"zero_point", true},
                             {"version", "gemm"}}}};
  TestTensors tensors;

  SmallLlama() {
    tensors["model.embed_tokens.weight"] = F16Tensor({300, 64});
    tensors["lm_head.weight"] = F16Tensor({300, 64}, 5);
    tensors["model.norm.weight"] = F16Tensor({64});
    for (int layer = 0; layer < 2; ++layer) {
      const std::string p = "model.layers." + std::to_string(layer) + ".";
      tensors[p + "input_layernorm.weight"] = F16Tensor({64}, 7);
      tensors[p + "post_attention_layernorm.weight"] = F16Tensor({64}, 9);
      AddAwqLinear(p + "self_attn.q_proj", 64, 64, 32, &tensors);
      AddAwqLinear(p + "self_attn.k_proj", 32, 64, 32, &tensors);
      AddAwqLinear(p + "self_attn.v_proj", 32, 64, 32, &tensors);
      AddAwqLinear(p + "self_attn.o_proj", 64, 64, 32, &tensors);
      AddAwqLinear(p + "mlp.gate_proj", 160, 64, 32, &tensors);
      AddAwqLinear(p + "mlp.up_proj", 160, 64, 32, &tensors);
      AddAwqLinear(p + "mlp.down_proj", 64, 160, 32, &tensors);
    }
  }

  void WriteTo(const TempFolder& folder) const {
    folder.Write("config.json", config.dump());
    folder.Write("model.safetensors", FileOf(tensors));
  }
};

inline std::string MessageOf(const absl::Status& status) {
  return std::string(status.message());
}

}  // namespace quatrain
