# Which outputs CTest calls Skipped (cmake/skipped_tests.cmake): only those of a
# run that skipped something and in which nothing failed.
#
#   cmake -D CASES=.../skipping_cases -P skipped_tests_test.cmake
include(${CMAKE_CURRENT_LIST_DIR}/../../cmake/skipped_tests.cmake)

# expect(SKIPPED|NOT_SKIPPED expression output what)
function(expect verdict expression output what)
  if(output MATCHES "${expression}")
    set(got SKIPPED)
  else()
    set(got NOT_SKIPPED)
  endif()
  if(NOT got STREQUAL verdict)
    message(SEND_ERROR "${what}: ${got}, expected ${verdict}:\n${output}")
  endif()
endfunction()

# expect_gtest(SKIPPED|NOT_SKIPPED filter): of the cases that the filter lets run.
function(expect_gtest verdict filter)
  execute_process(COMMAND ${CASES} --gtest_filter=${filter}
    OUTPUT_VARIABLE output ERROR_VARIABLE output)
  expect(${verdict} "${QUATRAIN_SKIPPED_GTEST}" "${output}" "${filter}")
endfunction()

expect_gtest(SKIPPED Cases.Skip)
expect_gtest(SKIPPED Cases.Pass:Cases.Skip)
expect_gtest(NOT_SKIPPED Cases.Pass)
expect_gtest(NOT_SKIPPED Cases.Fail)
expect_gtest(NOT_SKIPPED Cases.Skip:Cases.Fail)
expect_gtest(NOT_SKIPPED Cases.Pass:Cases.Skip:Cases.Fail)
expect_gtest(NOT_SKIPPED Cases.Skip:Cases.Exit)

foreach(line "4 skipped in 0.02s" "2 passed, 2 skipped in 12.34s (0:00:12)"
        "2 passed, 1 skipped, 1 warning in 1.20s" "1 skipped, 3 deselected in 0.10s")
  expect(SKIPPED "${QUATRAIN_SKIPPED_PYTEST}" "ss [100%]\n${line}\n" "pytest")
endforeach()
foreach(line "4 passed in 0.02s" "1 failed, 2 skipped in 0.02s"
        "1 failed, 1 passed, 2 skipped in 0.02s" "1 skipped, 1 error in 0.10s"
        "2 passed, 1 skipped, 1 warning, 2 errors in 0.10s")
  expect(NOT_SKIPPED "${QUATRAIN_SKIPPED_PYTEST}" "F [100%]\n${line}\n" "pytest")
endforeach()
