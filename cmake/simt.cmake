# CUDA kernel sources compiled as C++ and run on the CPU (kernels/emu/README.md),
# three ways: plain, asan, check. Needs the toolkit's headers, nothing else of it.
#
#   quatrain_simt_library(name VARIANT plain|asan|check SOURCES a.cu b.cu
#                         [DEPS targets])
#   quatrain_simt_test(name SOURCES a_test.cc KERNELS a.cu [DEPS targets]
#                      [SCHEDULES forward reverse random:1 random:2])
#
# Without the toolkit, or with QUATRAIN_SIMT off, both do nothing.

get_filename_component(QUATRAIN_SIMT_ROOT ${CMAKE_CURRENT_LIST_DIR}/.. ABSOLUTE)

set(quatrain_simt_default ON)
if("${CMAKE_CXX_FLAGS}" MATCHES "-fsanitize")
  set(quatrain_simt_default OFF)  # the variants bring their own
endif()
option(QUATRAIN_SIMT "Build and test the CUDA kernels on the CPU" ${quatrain_simt_default})

if(QUATRAIN_SIMT)
  find_program(QUATRAIN_NVCC nvcc PATHS /usr/local/cuda/bin)
  if(QUATRAIN_NVCC)
    file(REAL_PATH ${QUATRAIN_NVCC} quatrain_nvcc_path)
    cmake_path(GET quatrain_nvcc_path PARENT_PATH quatrain_cuda_root)
    cmake_path(GET quatrain_cuda_root PARENT_PATH quatrain_cuda_root)
  endif()
  find_path(QUATRAIN_CUDA_INCLUDE cuda_fp16.h
    HINTS ${quatrain_cuda_root}/include PATHS /usr/local/cuda/include)
endif()
if(QUATRAIN_SIMT AND QUATRAIN_CUDA_INCLUDE)
  set(QUATRAIN_SIMT_FOUND ON)
else()
  set(QUATRAIN_SIMT_FOUND OFF)
  message(STATUS "CUDA kernels on the CPU: not built (QUATRAIN_SIMT is ${QUATRAIN_SIMT}, "
    "toolkit headers: ${QUATRAIN_CUDA_INCLUDE})")
endif()

# Device code puns types by reinterpret_cast, hence -fno-strict-aliasing: without
# it g++ -O2 gives wrong results. -g1: lines in reports.
set(quatrain_simt_flags -fno-strict-aliasing -Wno-unknown-pragmas -g1
  -fmacro-prefix-map=${QUATRAIN_SIMT_ROOT}/=)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  list(APPEND quatrain_simt_flags -gdwarf-4)  # addr2line misreads clang's version 5
endif()
set(quatrain_simt_machine)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set(quatrain_simt_machine -mavx2 -mfma -mf16c)
endif()
set(quatrain_simt_kernel_plain -O2)
set(quatrain_simt_kernel_asan
  -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize=vptr
  -fno-sanitize-recover=undefined)
set(quatrain_simt_kernel_check
  -O2 -fsanitize=thread,undefined -fno-sanitize=vptr -fno-sanitize-recover=undefined)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # Both merge accesses before the hooks are put in. __tsan_* are ours.
  list(APPEND quatrain_simt_kernel_check -fno-tree-vectorize -fno-store-merging -fno-tree-sra)
endif()
set(quatrain_simt_engine_flags_plain -O2)
set(quatrain_simt_engine_flags_asan -O1 -fno-omit-frame-pointer -fsanitize=address)
set(quatrain_simt_engine_flags_check -O2)
# Neither libtsan nor libubsan: the engine defines what they would.
set(quatrain_simt_link_plain)
set(quatrain_simt_link_asan -fsanitize=address)
set(quatrain_simt_link_check)

function(quatrain_simt_common target)
  target_link_libraries(${target} PUBLIC quatrain_flags)
  target_include_directories(${target} SYSTEM PUBLIC ${QUATRAIN_CUDA_INCLUDE})
  target_compile_options(${target} PRIVATE ${quatrain_simt_flags} ${quatrain_simt_machine})
endfunction()

function(quatrain_simt_engine variant)
  set(sources ${ARGN})
  list(TRANSFORM sources PREPEND ${QUATRAIN_SIMT_ROOT}/kernels/emu/)
  set(target quatrain_simt_engine_${variant})
  add_library(${target} STATIC EXCLUDE_FROM_ALL ${sources})
  quatrain_simt_common(${target})
  target_compile_options(${target} PRIVATE ${quatrain_simt_engine_flags_${variant}})
  target_compile_definitions(${target} PRIVATE SIMT_SOURCE_ROOT="${QUATRAIN_SIMT_ROOT}/")
  # The inner products of mma are worth vectorising.
  set_source_files_properties(${QUATRAIN_SIMT_ROOT}/kernels/emu/mma.cc
    PROPERTIES COMPILE_OPTIONS -O3)
  target_link_options(${target} PUBLIC ${quatrain_simt_link_${variant}})
endfunction()

# A .cu has one language per CMake directory, and nvcc has it elsewhere: so a
# one-line .cpp that includes it.
function(quatrain_simt_library name)
  if(NOT QUATRAIN_SIMT_FOUND)
    return()
  endif()
  cmake_parse_arguments(arg "" "VARIANT" "SOURCES;DEPS" ${ARGN})
  set(generated)
  foreach(source IN LISTS arg_SOURCES)
    cmake_path(ABSOLUTE_PATH source BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR} NORMALIZE)
    cmake_path(RELATIVE_PATH source BASE_DIRECTORY ${QUATRAIN_SIMT_ROOT} OUTPUT_VARIABLE relative)
    string(REPLACE "/" "_" stem ${relative})
    set(file ${CMAKE_CURRENT_BINARY_DIR}/simt/${stem}.cpp)
    file(CONFIGURE OUTPUT ${file} CONTENT "#include \"${relative}\"\n" @ONLY)
    list(APPEND generated ${file})
  endforeach()
  add_library(${name} OBJECT EXCLUDE_FROM_ALL ${generated})
  quatrain_simt_common(${name})
  target_compile_options(${name} PRIVATE ${quatrain_simt_kernel_${arg_VARIANT}})
  target_link_libraries(${name} PUBLIC quatrain_simt_engine_${arg_VARIANT} ${arg_DEPS})
endfunction()

# One executable per variant, one test per variant and schedule.
add_custom_target(simt_tests)
function(quatrain_simt_test name)
  if(NOT QUATRAIN_SIMT_FOUND)
    return()
  endif()
  cmake_parse_arguments(arg "" "TIMEOUT" "SOURCES;KERNELS;DEPS;SCHEDULES;VARIANTS" ${ARGN})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  if(NOT arg_SCHEDULES)
    set(arg_SCHEDULES forward reverse random:1 random:2)
  endif()
  if(NOT arg_VARIANTS)
    set(arg_VARIANTS plain asan check)
  endif()
  foreach(variant IN LISTS arg_VARIANTS)
    set(target ${name}_${variant})
    quatrain_simt_library(${target}_kernels VARIANT ${variant} SOURCES ${arg_KERNELS})
    add_executable(${target} ${arg_SOURCES})
    quatrain_simt_common(${target})
    target_compile_options(${target} PRIVATE ${quatrain_simt_engine_flags_${variant}})
    target_link_libraries(${target} PRIVATE ${target}_kernels ${arg_DEPS}
      quatrain_simt_engine_${variant})
    add_dependencies(simt_tests ${target})
    foreach(schedule IN LISTS arg_SCHEDULES)
      string(REPLACE ":" "_" suffix ${schedule})
      add_test(NAME ${target}_${suffix} COMMAND ${target}
        WORKING_DIRECTORY ${QUATRAIN_SIMT_ROOT})
      set_tests_properties(${target}_${suffix} PROPERTIES LABELS simt TIMEOUT ${arg_TIMEOUT}
        ENVIRONMENT "SIMT_SCHEDULE=${schedule}")
    endforeach()
  endforeach()
endfunction()

if(QUATRAIN_SIMT_FOUND)
  include(${QUATRAIN_SIMT_ROOT}/kernels/emu/sources.cmake)
  foreach(variant plain asan check)
    quatrain_simt_engine(${variant} ${quatrain_simt_sources} ${quatrain_simt_sources_${variant}})
  endforeach()
endif()
