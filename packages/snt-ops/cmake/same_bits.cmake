# Runs kernel_test with and without the better instruction set: its sums of all results must agree.
execute_process(COMMAND ${TEST} checksum OUTPUT_VARIABLE best COMMAND_ERROR_IS_FATAL ANY)
set(ENV{SNT_OPS_SIMD} baseline)
execute_process(COMMAND ${TEST} checksum OUTPUT_VARIABLE baseline COMMAND_ERROR_IS_FATAL ANY)
if(NOT best STREQUAL baseline)
  message(FATAL_ERROR "Instruction sets differ: ${best} and ${baseline}")
endif()
