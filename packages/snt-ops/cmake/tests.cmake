# Tests of the kernels in plain C++, for ctest. The fuzz target is built with libFuzzer where the
# compiler is clang, and with a driver of our own, of bounded time, where it is another one.
enable_testing()

add_executable(kernel_test cpp/tests/kernel_test.cc)
target_link_libraries(kernel_test PRIVATE snt_ops_kernels Threads::Threads)
# The same inputs on every processor, too.
target_compile_options(kernel_test PRIVATE -Wall -Wextra -ffp-contract=off)
add_test(NAME kernels COMMAND kernel_test)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  add_test(NAME kernels_baseline COMMAND kernel_test)
  set_tests_properties(kernels_baseline PROPERTIES ENVIRONMENT SNT_OPS_SIMD=baseline)
  # The same bits, whatever the instruction set.
  add_test(NAME same_bits COMMAND ${CMAKE_COMMAND} -DTEST=$<TARGET_FILE:kernel_test>
           -P ${CMAKE_CURRENT_LIST_DIR}/same_bits.cmake)
endif()
set(SNT_OPS_OTHER_TEST "" CACHE FILEPATH
    "kernel_test of a build for another processor, to compare the bits of the results with")
if(SNT_OPS_OTHER_TEST)
  add_test(NAME same_bits_elsewhere COMMAND ${CMAKE_COMMAND} -DOTHER=${SNT_OPS_OTHER_TEST}
           "-DTEST=${CMAKE_CROSSCOMPILING_EMULATOR};$<TARGET_FILE:kernel_test>"
           -P ${CMAKE_CURRENT_LIST_DIR}/same_bits.cmake)
endif()

add_executable(fuzz_resampler cpp/tests/fuzz_resampler.cc)
target_link_libraries(fuzz_resampler PRIVATE snt_ops_kernels Threads::Threads)
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  target_compile_options(snt_ops_kernels PRIVATE -fsanitize=fuzzer-no-link)
  target_link_options(fuzz_resampler PRIVATE -fsanitize=fuzzer)
else()
  target_sources(fuzz_resampler PRIVATE cpp/tests/fuzz_driver.cc)
endif()
