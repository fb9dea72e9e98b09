#include "coordinator/sequence.h"

#include "base/check.h"

namespace quatrain {

int32_t Sequence::TokenAt(int position) const {
  CHECK_LT(position, num_known_tokens()) << "sequence " << id;
  return position < prompt_size() ? request.prompt_token_ids[position]
                                  : output_token_ids[position - prompt_size()];
}

}  // namespace quatrain
