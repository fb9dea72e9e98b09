include(${CMAKE_CURRENT_LIST_DIR}/skipped_tests.cmake)

# What every target of ours compiles with.
add_library(quatrain_flags INTERFACE)
target_include_directories(quatrain_flags INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_features(quatrain_flags INTERFACE cxx_std_20)
target_compile_options(quatrain_flags INTERFACE
  -Wall -Wextra -Werror -Wno-missing-field-initializers
  # The exact block sums (docs/numerics.md) forbid fusing a multiply and an add
  # that the source keeps apart.
  -ffp-contract=off)
target_link_libraries(quatrain_flags INTERFACE Threads::Threads)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  target_compile_options(quatrain_flags INTERFACE -Wthread-safety)
endif()

# quatrain_library(kernels SOURCES a.cc b.cc DEPS quatrain::base)
function(quatrain_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPS" ${ARGN})
  add_library(quatrain_${name} STATIC ${arg_SOURCES})
  add_library(quatrain::${name} ALIAS quatrain_${name})
  target_link_libraries(quatrain_${name} PUBLIC quatrain_flags ${arg_DEPS})
endfunction()

# quatrain_test(backend_test.cc LABELS unit DEPS quatrain::kernels)
# One executable per test file, named after the folder below tests/ and the file
# (kernels_backend_test). Labels: unit, slow, tsan (docs in tests/README.md); the
# targets unit_tests and tsan_tests build what has the label. QUATRAIN_TEST_FLAGS:
# for test files alone; unoptimised ones compile in half the time.
add_custom_target(unit_tests)
add_custom_target(tsan_tests)
function(quatrain_test source)
  cmake_parse_arguments(arg "" "TIMEOUT" "LABELS;DEPS" ${ARGN})
  file(RELATIVE_PATH name ${PROJECT_SOURCE_DIR}/tests ${CMAKE_CURRENT_SOURCE_DIR}/${source})
  string(REPLACE "/" "_" name ${name})
  string(REGEX REPLACE "\\.cc$" "" name ${name})
  if(NOT arg_LABELS)
    set(arg_LABELS unit)
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  add_executable(${name} ${source})
  target_link_libraries(${name} PRIVATE quatrain_flags ${arg_DEPS} GTest::gmock_main)
  target_compile_options(${name} PRIVATE ${QUATRAIN_TEST_FLAGS})
  foreach(label IN LISTS arg_LABELS)
    if(TARGET ${label}_tests)
      add_dependencies(${label}_tests ${name})
    endif()
  endforeach()
  add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES LABELS "${arg_LABELS}" TIMEOUT ${arg_TIMEOUT}
    SKIP_REGULAR_EXPRESSION "${QUATRAIN_SKIPPED_GTEST}")
endfunction()

# quatrain_fuzzer(config_fuzzer.cc DEPS quatrain::model)
# A libFuzzer target, named like a test; built only with QUATRAIN_FUZZERS, all of
# them by the target `fuzzers`.
add_custom_target(fuzzers)
function(quatrain_fuzzer source)
  if(NOT QUATRAIN_FUZZERS)
    return()
  endif()
  cmake_parse_arguments(arg "" "" "DEPS" ${ARGN})
  file(RELATIVE_PATH name ${PROJECT_SOURCE_DIR}/tests ${CMAKE_CURRENT_SOURCE_DIR}/${source})
  string(REPLACE "/" "_" name ${name})
  string(REGEX REPLACE "\\.cc$" "" name ${name})
  add_executable(${name} ${source})
  target_link_libraries(${name} PRIVATE quatrain_flags ${arg_DEPS})
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  add_dependencies(fuzzers ${name})
endfunction()
