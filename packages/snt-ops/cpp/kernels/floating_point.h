// One floating-point environment for all threads.
#ifndef SNT_OPS_KERNELS_FLOATING_POINT_H_
#define SNT_OPS_KERNELS_FLOATING_POINT_H_

#include <cstdint>

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

namespace snt_ops {

// Rounds to nearest and keeps subnormal numbers, as long as it lives. TensorFlow's threads flush
// those to zero and the thread that called it may not: results would depend on who does what.
class DefaultFloatingPoint {
 public:
#if defined(__SSE__)
  DefaultFloatingPoint() : before_(_mm_getcsr()) { _mm_setcsr(kMaskAllExceptions); }
  ~DefaultFloatingPoint() { _mm_setcsr(before_); }

 private:
  static constexpr unsigned kMaskAllExceptions = 0x1f80;
  unsigned before_;
#elif defined(__aarch64__)
  DefaultFloatingPoint() : before_(Get()) { Set(0); }
  ~DefaultFloatingPoint() { Set(before_); }

 private:
  static std::uint64_t Get() {
    std::uint64_t state;
    asm volatile("mrs %0, fpcr" : "=r"(state));
    return state;
  }
  static void Set(std::uint64_t state) { asm volatile("msr fpcr, %0" : : "r"(state)); }
  std::uint64_t before_;
#else
  DefaultFloatingPoint() {}
#endif

 public:
  DefaultFloatingPoint(const DefaultFloatingPoint&) = delete;
  DefaultFloatingPoint& operator=(const DefaultFloatingPoint&) = delete;
};

}  // namespace snt_ops

#endif  // SNT_OPS_KERNELS_FLOATING_POINT_H_
