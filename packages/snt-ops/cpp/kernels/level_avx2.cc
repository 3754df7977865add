// The kernels for x86-64 with AVX2 and F16C; the build passes the flags for this file alone.
#define SNT_OPS_LEVEL avx2
#include "kernels/level_instances.h"
