# Runs kernel_test (TEST) twice: as it is, and with the kernels for any processor, or as the build for
# another processor has it (OTHER). Its sums of all results must agree.
if(NOT OTHER)
  set(OTHER ${CMAKE_COMMAND} -E env SNT_OPS_SIMD=baseline ${TEST})
endif()
execute_process(COMMAND ${TEST} checksum OUTPUT_VARIABLE best COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${OTHER} checksum OUTPUT_VARIABLE other COMMAND_ERROR_IS_FATAL ANY)
if(NOT best STREQUAL other)
  message(FATAL_ERROR "The results differ: ${best} and ${other}")
endif()
