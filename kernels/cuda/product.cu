// Which kernel an exact int4 product takes.

#include "kernels/cuda/launchers.h"

namespace quatrain::cuda {

const char* LaunchProduct(const QuatrainProduct& op, int num_sms,
                          simt::Stream stream) {
  if (op.num_tokens == 0 || op.linear.rows == 0) return nullptr;
  if (op.x.num_digits != 1 && op.x.num_digits != 2)
    return "product: num_digits is neither 1 nor 2";
  if (op.output == kQuatrainGated && op.linear.rows % 2 != 0)
    return "product: gate and up have an odd number of rows together";
  switch (op.kernel) {
    case kQuatrainFewRows:
      return LaunchFewRows(op, num_sms, stream);
    case kQuatrainMediumRows:
      return LaunchMediumRows(op, num_sms, stream);
    default:
      return "product: no such kernel";
  }
}

}  // namespace quatrain::cuda
