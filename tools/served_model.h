#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "coordinator/served_model.h"
#include "model/layout.h"
#include "model/model.h"
#include "model/tokenizer/tokenizer.h"
#include "tools/group_flags.h"

namespace quatrain {

// A model folder as the coordinator needs it: headers, numbers, tokenizer.
struct OpenedModel {
  Model model;
  std::unique_ptr<Tokenizer> tokenizer;
  std::string chat_template_digest;  // hex; empty: there is none
};
absl::StatusOr<OpenedModel> OpenServedModel(const std::string& folder);

// What clients are told. InvalidArgument for a --max-model-len beyond the
// checkpoint's. `opened` must outlive the result.
absl::StatusOr<ServedModel> MakeServedModel(const OpenedModel& opened,
                                            const GroupFlags& flags,
                                            const Layout& layout);

}  // namespace quatrain
