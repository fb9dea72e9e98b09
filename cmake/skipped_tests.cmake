# What the output of a test ends with that skipped something and failed nowhere:
# CTest then says Skipped, not Passed. CTest looks at this before the exit code,
# so it must not match where a case failed too: anchored at the end, where
# GoogleTest lists failures after what it skipped and pytest's one line begins
# with them. The property SKIP_REGULAR_EXPRESSION of every test;
# tests/support/skipped_tests_test.cmake holds it against both programs' outputs.
set(QUATRAIN_SKIPPED_GTEST "\\[  SKIPPED \\] [^\n]*\n$")
set(QUATRAIN_SKIPPED_PYTEST
    "(^|\n)([0-9]+ passed, )?[0-9]+ skipped(, [0-9]+ [dw][a-z]*)* in [^\n]*\n$")
