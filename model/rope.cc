#include "model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace quatrain {
namespace {

// theta^(2i / head_dim): exponent and result in f32, the power in f64.
float PositionFrequency(double theta, int i, int head_dim) {
  const float exponent =
      static_cast<float>(2 * i) / static_cast<float>(head_dim);
  return static_cast<float>(
      std::pow(static_cast<double>(static_cast<float>(theta)), exponent));
}

// Llama 3: long wavelengths are stretched by `factor`, short ones kept, those
// between interpolated.
float Llama3Frequency(float inv_freq, const RopeConfig& rope) {
  const double context = rope.original_max_position_embeddings;
  const float wavelength = static_cast<float>(2 * std::numbers::pi) / inv_freq;
  const float low = static_cast<float>(context / rope.low_freq_factor);
  const float high = static_cast<float>(context / rope.high_freq_factor);
  const float factor = static_cast<float>(rope.factor);
  if (wavelength > low) return inv_freq / factor;
  if (wavelength < high) return inv_freq;
  const float smooth =
      (static_cast<float>(context) / wavelength -
       static_cast<float>(rope.low_freq_factor)) /
      static_cast<float>(rope.high_freq_factor - rope.low_freq_factor);
  return (1.0f - smooth) * inv_freq / factor + smooth * inv_freq;
}

// Yarn: the dimension that turns `rotations` times over the original context.
double CorrectionDimension(double rotations, int head_dim,
                           const RopeConfig& rope) {
  return head_dim *
         std::log(rope.original_max_position_embeddings /
                  (rotations * 2 * std::numbers::pi)) /
         (2 * std::log(rope.theta));
}

struct Ramp {
  double low, high;

  // How far dimension i is stretched: 0 below low, 1 above high.
  float At(int i) const {
    const float value = (static_cast<float>(i) - static_cast<float>(low)) /
                        static_cast<float>(high - low);
    return std::clamp(value, 0.0f, 1.0f);
  }
};

Ramp YarnRamp(const RopeConfig& rope, int head_dim) {
  double low = CorrectionDimension(rope.beta_fast, head_dim, rope);
  double high = CorrectionDimension(rope.beta_slow, head_dim, rope);
  if (rope.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, head_dim - 1.0);
  if (low == high) high += 0.001;  // no division by zero
  return {low, high};
}

float YarnFrequency(float position_frequency, float ramp, double factor) {
  const float kept = 1.0f / position_frequency;
  const float stretched =
      1.0f / (static_cast<float>(factor) * position_frequency);
  const float keep = 1.0f - ramp;
  return stretched * (1.0f - keep) + kept * keep;
}

}  // namespace

RopeTable ComputeRope(const ModelConfig& config) {
  const RopeConfig& rope = config.rope;
  const Ramp ramp = rope.kind == RopeKind::kYarn
                        ? YarnRamp(rope, config.head_dim)
                        : Ramp{0, 1};
  RopeTable table;
  for (int i = 0; i < config.head_dim / 2; ++i) {
    const float position = PositionFrequency(rope.theta, i, config.head_dim);
    const float inv_freq = 1.0f / position;
    switch (rope.kind) {
      case RopeKind::kNone:
        table.inv_freq.push_back(inv_freq);
        break;
      case RopeKind::kLinear:
        table.inv_freq.push_back(inv_freq / static_cast<float>(rope.factor));
        break;
      case RopeKind::kLlama3:
        table.inv_freq.push_back(Llama3Frequency(inv_freq, rope));
        break;
      case RopeKind::kYarn:
        table.inv_freq.push_back(
            YarnFrequency(position, ramp.At(i), rope.factor));
        break;
    }
  }
  if (rope.kind == RopeKind::kYarn)
    table.attention_scaling = static_cast<float>(rope.attention_factor);
  return table;
}

}  // namespace quatrain
