#include "tests/kernels/simt/runner.h"

SIMT_TEST_MAIN()
