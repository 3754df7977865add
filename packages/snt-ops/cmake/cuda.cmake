# The CUDA kernels, target snt_ops_cuda_kernels, where there is a CUDA compiler.
set(SNT_OPS_CUDA_VERSION "")
set(SNT_OPS_CUDA_ARCHITECTURES "")
if(SNT_OPS_CUDA STREQUAL "OFF")
  message(STATUS "CUDA kernels: left out, SNT_OPS_CUDA=OFF")
  return()
endif()

include(CheckLanguage)
check_language(CUDA)
if(NOT CMAKE_CUDA_COMPILER)
  if(SNT_OPS_CUDA STREQUAL "ON")
    message(FATAL_ERROR "CUDA kernels: SNT_OPS_CUDA=ON, but there is no CUDA compiler")
  endif()
  message(STATUS "CUDA kernels: left out, there is no CUDA compiler")
  return()
endif()
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 90)  # a release sets the whole list
endif()
enable_language(CUDA)
find_package(CUDAToolkit REQUIRED)
set(SNT_OPS_CUDA_VERSION "${CUDAToolkit_VERSION}")
set(SNT_OPS_CUDA_ARCHITECTURES "${CMAKE_CUDA_ARCHITECTURES}")
message(STATUS "CUDA kernels: CUDA ${SNT_OPS_CUDA_VERSION} for ${SNT_OPS_CUDA_ARCHITECTURES}")

add_library(snt_ops_cuda_kernels STATIC
  cpp/kernels/resampler_cuda_forward.cu
  cpp/kernels/resampler_cuda_backward.cu
  cpp/kernels/resampler_cuda_sorted.cu)
target_include_directories(snt_ops_cuda_kernels PUBLIC cpp/include)
set_target_properties(snt_ops_cuda_kernels PROPERTIES
  CUDA_STANDARD 17 CUDA_STANDARD_REQUIRED ON CUDA_RUNTIME_LIBRARY Static
  CUDA_VISIBILITY_PRESET hidden)
# The static runtime: no CUDA needs to be installed where the kernels run, nor any driver where
# they do not.
target_link_libraries(snt_ops_cuda_kernels PUBLIC CUDA::cudart_static)
