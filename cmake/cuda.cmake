# Building the kernels by nvcc, as objects of plain custom commands: what CMake
# knows of CUDA's dialects and architectures differs between its releases.
# Needs QUATRAIN_ROOT, the repository's root.

find_program(QUATRAIN_NVCC nvcc HINTS /usr/local/cuda/bin ENV CUDA_HOME)

# "all", as releases are built, or a list such as "80;90a".
set(QUATRAIN_CUDA_ARCHITECTURES all CACHE STRING "GPU architectures")
set(quatrain_cuda_architectures ${QUATRAIN_CUDA_ARCHITECTURES})
if(quatrain_cuda_architectures STREQUAL all)
  # wgmma needs the "a": a library for 90 would lack it.
  set(quatrain_cuda_architectures 80 86 89 90a)
endif()

# The exact kernels' bits depend on these: no contraction, IEEE division and
# roots, subnormals kept (docs/numerics.md).
set(QUATRAIN_NVCC_FLAGS -std=c++17 -O3 -fmad=false -prec-div=true -prec-sqrt=true
  -ftz=false -Xcompiler -Wall,-Wextra,-fPIC)
option(QUATRAIN_WERROR "Treat warnings as errors" ON)
if(QUATRAIN_WERROR)
  list(APPEND QUATRAIN_NVCC_FLAGS --Werror all-warnings)
endif()

# quatrain_cuda_library(NAME sources.cu ...): a shared library, and beside each
# object what ptxas said of it (OBJECT.ptxas), for scripts/check_ptxas.py.
function(quatrain_cuda_library name)
  get_filename_component(toolkit ${QUATRAIN_NVCC} DIRECTORY)
  get_filename_component(toolkit ${toolkit} DIRECTORY)
  set(gencode)
  foreach(arch IN LISTS quatrain_cuda_architectures)
    list(APPEND gencode -gencode arch=compute_${arch},code=sm_${arch})
  endforeach()
  set(objects)
  set(reports)
  foreach(source IN LISTS ARGN)
    if(NOT source MATCHES "[.]cu$")
      list(APPEND objects ${QUATRAIN_ROOT}/${source})  # for the host alone
      continue()
    endif()
    get_filename_component(file ${source} NAME_WE)
    set(object ${CMAKE_CURRENT_BINARY_DIR}/${name}/${file}.o)
    add_custom_command(
      OUTPUT ${object}
      BYPRODUCTS ${object}.ptxas
      COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_CURRENT_BINARY_DIR}/${name}
      COMMAND ${QUATRAIN_ROOT}/scripts/nvcc_with_report.sh ${object}.ptxas
        ${CMAKE_CXX_COMPILER_LAUNCHER} ${QUATRAIN_NVCC} ${QUATRAIN_NVCC_FLAGS} ${gencode}
        -Xptxas -v -I${QUATRAIN_ROOT} -MD -MT ${object} -MF ${object}.d
        -c ${QUATRAIN_ROOT}/${source} -o ${object}
      DEPENDS ${QUATRAIN_ROOT}/${source} ${QUATRAIN_ROOT}/scripts/nvcc_with_report.sh
      DEPFILE ${object}.d
      COMMENT "nvcc ${source}"
      VERBATIM)
    list(APPEND objects ${object})
    list(APPEND reports ${object}.ptxas)
  endforeach()
  add_library(${name} SHARED ${objects})
  set_target_properties(${name} PROPERTIES LINKER_LANGUAGE CXX
    QUATRAIN_REPORTS "${reports}")
  target_include_directories(${name} PUBLIC ${QUATRAIN_ROOT})
  target_compile_features(${name} PRIVATE cxx_std_17)
  find_library(QUATRAIN_CUDART cudart_static
    HINTS ${toolkit}/lib64 ${toolkit}/targets/x86_64-linux/lib REQUIRED)
  target_link_libraries(${name} PRIVATE ${QUATRAIN_CUDART} Threads::Threads dl rt)
endfunction()
