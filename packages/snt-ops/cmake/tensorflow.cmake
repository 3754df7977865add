# The TensorFlow op, snt_ops/libsnt_ops_tensorflow.so, where TensorFlow is found.
#
# Build frontends hide the environment for which they build, and TensorFlow is too large to be a
# requirement of the build (each isolated build would download it). find_tensorflow.py knows the
# places; it prints the folder, the version and the ABI, or nothing.
set(SNT_OPS_TENSORFLOW_VERSION "")
set(SNT_OPS_TENSORFLOW_CXX11_ABI "")
set(TENSORFLOW_ROOT "" CACHE PATH "The folder `tensorflow` of an installed TensorFlow")

if(NOT Python_Interpreter_FOUND)
  message(STATUS "TensorFlow op: left out, there is no Python to look for TensorFlow")
  return()
endif()
execute_process(
  COMMAND "${Python_EXECUTABLE}" "${CMAKE_CURRENT_LIST_DIR}/find_tensorflow.py"
          "${TENSORFLOW_ROOT}"
  OUTPUT_VARIABLE _found OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE _failed)
if(_failed)
  message(FATAL_ERROR "TENSORFLOW_ROOT is not the folder of an installed TensorFlow")
endif()
if(NOT _found)
  message(STATUS "TensorFlow op: left out, TensorFlow was not found; name its folder by the "
                 "environment variable TENSORFLOW_ROOT")
  return()
endif()
list(GET _found 0 _root)
list(GET _found 1 SNT_OPS_TENSORFLOW_VERSION)
list(GET _found 2 SNT_OPS_TENSORFLOW_CXX11_ABI)
message(STATUS "TensorFlow op: for TensorFlow ${SNT_OPS_TENSORFLOW_VERSION} in ${_root}")

add_library(snt_ops_tensorflow SHARED cpp/tensorflow/resampler_op.cc)
target_include_directories(snt_ops_tensorflow SYSTEM PRIVATE "${_root}/include")
target_compile_definitions(snt_ops_tensorflow PRIVATE
  _GLIBCXX_USE_CXX11_ABI=${SNT_OPS_TENSORFLOW_CXX11_ABI} EIGEN_MAX_ALIGN_BYTES=64)
target_compile_options(snt_ops_tensorflow PRIVATE -Wall -Wextra -Wno-unused-parameter)
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  # It only checks shapes and calls the kernels: more optimisation would only cost time here.
  set_source_files_properties(cpp/tensorflow/resampler_op.cc PROPERTIES COMPILE_OPTIONS "-O1")
endif()
target_link_libraries(snt_ops_tensorflow PRIVATE snt_ops_kernels)
if(TARGET snt_ops_cuda_kernels AND EXISTS
   "${CMAKE_CURRENT_SOURCE_DIR}/cpp/tensorflow/resampler_op_gpu.cc")
  target_sources(snt_ops_tensorflow PRIVATE cpp/tensorflow/resampler_op_gpu.cc)
  target_compile_definitions(snt_ops_tensorflow PRIVATE SNT_OPS_WITH_CUDA)
  # Its runtime stands before TensorFlow's and stays hidden: TensorFlow exports some of the same
  # symbols.
  target_link_libraries(snt_ops_tensorflow PRIVATE snt_ops_cuda_kernels CUDA::cudart_static)
endif()
target_link_libraries(snt_ops_tensorflow PRIVATE "${_root}/libtensorflow_framework.so.2")
target_link_options(snt_ops_tensorflow PRIVATE -Wl,--exclude-libs,ALL -Wl,--no-undefined)
# TensorFlow has loaded its library when it loads this one: no path to it is wanted.
set_target_properties(snt_ops_tensorflow PROPERTIES SKIP_BUILD_RPATH ON)
install(TARGETS snt_ops_tensorflow LIBRARY DESTINATION snt_ops)
