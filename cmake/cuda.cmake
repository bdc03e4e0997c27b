# The kernels for NVIDIA's GPUs: a shared library of its own beside the extension, which loads it
# when a GPU is first asked for. Building it needs nvcc, and neither a GPU nor its driver.
set(cuda_choices AUTO ON OFF EMULATE)
if(NOT FASTNN_CUDA IN_LIST cuda_choices)
  message(FATAL_ERROR "FASTNN_CUDA is AUTO, ON, OFF or EMULATE; got ${FASTNN_CUDA}")
endif()
file(GLOB cuda_runtime CONFIGURE_DEPENDS csrc/cuda/*.cu)
list(PREPEND cuda_sources ${cuda_runtime})  # first, since one of them takes long to compile

if(FASTNN_CUDA STREQUAL "EMULATE")  # a test tool, and never installed: see tests/cuda_emulation
  message(STATUS "CUDA: emulated on the CPU")
  file(GLOB emulation CONFIGURE_DEPENDS tests/cuda_emulation/*.cc)
  set_source_files_properties(${cuda_sources} PROPERTIES LANGUAGE CXX)
  add_library(fnn_cuda OBJECT ${cuda_sources} ${emulation})
  target_include_directories(fnn_cuda BEFORE PRIVATE ${CMAKE_SOURCE_DIR}/tests/cuda_emulation ${include_dirs})
  target_compile_definitions(fnn_cuda PRIVATE FNN_CUDA FNN_ISA=cuda)
  set(emulation_optimization -O2)
  if(FASTNN_SANITIZE)
    set(emulation_optimization -O1)
  endif()
  # -x c++ for the compiler, as well as LANGUAGE for CMake: .cu means nothing to it.
  target_compile_options(fnn_cuda PRIVATE ${warnings} ${emulation_optimization} -march=native -ffp-contract=off
                                          -fno-math-errno -Wno-unknown-pragmas -xc++)
  add_library(fastnn_cuda SHARED $<TARGET_OBJECTS:fnn_cuda>)
  set_target_properties(fastnn_cuda PROPERTIES LINKER_LANGUAGE CXX)
  target_link_libraries(fastnn_cuda PRIVATE Threads::Threads)
  if(NOT FASTNN_SANITIZE)  # whose functions come from the program
    target_link_options(fastnn_cuda PRIVATE -Wl,--no-undefined)
  endif()
  return()
endif()

if(FASTNN_CUDA STREQUAL "OFF")
  message(STATUS "CUDA: off, as FASTNN_CUDA asks")
  return()
endif()
find_program(CMAKE_CUDA_COMPILER nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH PATHS /usr/local/cuda PATH_SUFFIXES bin)
if(NOT CMAKE_CUDA_COMPILER)
  unset(CMAKE_CUDA_COMPILER CACHE)
  if(FASTNN_CUDA STREQUAL "ON")
    message(FATAL_ERROR "FASTNN_CUDA=ON needs nvcc, which is neither on PATH nor in CUDA_HOME or /usr/local/cuda")
  endif()
  message(STATUS "CUDA: off, since nvcc is neither on PATH nor in CUDA_HOME or /usr/local/cuda")
  return()
endif()

# Machine code for each of these that this nvcc knows, and PTX, from which the driver makes the
# code of later GPUs, for the newest without features of its own.
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  execute_process(COMMAND ${CMAKE_CUDA_COMPILER} --list-gpu-arch OUTPUT_VARIABLE known COMMAND_ERROR_IS_FATAL ANY)
  set(wanted 75 80 86 89 90a 100 120)
  if(DEFINED SKBUILD)  # `pip install` builds for one machine: a few minutes instead of many
    set(wanted 80 90a)
  endif()
  foreach(arch IN LISTS wanted)
    string(REGEX MATCH "^[0-9]+" plain ${arch})
    if(known MATCHES "compute_${plain}\n")
      list(APPEND CMAKE_CUDA_ARCHITECTURES ${arch}-real)
      set(newest ${plain})
    endif()
  endforeach()
  list(APPEND CMAKE_CUDA_ARCHITECTURES ${newest}-virtual)
endif()
set(CMAKE_CUDA_VISIBILITY_PRESET hidden)
set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
enable_language(CUDA)
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.25 does not know it of nvcc
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
endif()
message(STATUS "CUDA: ${CMAKE_CUDA_COMPILER} ${CMAKE_CUDA_COMPILER_VERSION} for ${CMAKE_CUDA_ARCHITECTURES}")

add_library(fastnn_cuda SHARED ${cuda_sources})
target_include_directories(fastnn_cuda PRIVATE ${include_dirs})
target_compile_definitions(fastnn_cuda PRIVATE FNN_CUDA FNN_ISA=cuda)
# No contraction of a * b + c, as in the CPU's kernels (cuda/kernel.cuh).
target_compile_options(fastnn_cuda PRIVATE -fmad=false --expt-relaxed-constexpr --extended-lambda -Xcompiler=-Wall
                                           $<$<BOOL:${FASTNN_WERROR}>:-Werror=all-warnings>)
if(CMAKE_CUDA_COMPILER_VERSION VERSION_GREATER_EQUAL 12.8)
  target_compile_options(fastnn_cuda PRIVATE --compress-mode=size)  # a quarter of the bytes
endif()
target_link_options(fastnn_cuda PRIVATE -Wl,--no-undefined)
if(NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
  add_custom_command(TARGET fastnn_cuda POST_BUILD COMMAND ${CMAKE_STRIP} $<TARGET_FILE:fastnn_cuda>)
endif()
install(TARGETS fastnn_cuda LIBRARY DESTINATION fastnn)
