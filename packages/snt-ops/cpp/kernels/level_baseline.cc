// The kernels for any processor of this architecture (SSE2 on x86-64, NEON on aarch64).
#define SNT_OPS_LEVEL baseline
#include "kernels/level_instances.h"
