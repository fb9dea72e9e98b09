#pragma once

#include "quatrain/v1/inference.pb.h"

namespace quatrain {

// Adds one event to the unary answer. The answer to Generate is the fold of the
// events of GenerateStream, because it is made by this.
void Fold(const v1::GenerateStreamResponse& event,
          v1::GenerateResponse* response);

// Adds the later delta of the same choice to the earlier one.
void MergeDelta(const v1::Delta& later, v1::Delta* earlier);

}  // namespace quatrain
