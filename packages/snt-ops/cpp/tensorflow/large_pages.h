// Memory for large results.
#ifndef SNT_OPS_TENSORFLOW_LARGE_PAGES_H_
#define SNT_OPS_TENSORFLOW_LARGE_PAGES_H_

#include <cstddef>
#include <cstdint>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace snt_ops {

// Asks for large pages where that pays. TensorFlow takes large tensors from the system anew each
// time, and touching them by pages of 4 KiB can take longer than computing them. It is a wish: if
// the system does not grant it, nothing is lost.
inline void AdviseLargePages([[maybe_unused]] void* memory, [[maybe_unused]] std::size_t bytes) {
#if defined(MADV_HUGEPAGE)
  constexpr std::size_t kPage = 4096, kWorthIt = std::size_t{1} << 22;
  if (bytes < kWorthIt) return;
  const std::size_t before = (kPage - reinterpret_cast<std::uintptr_t>(memory) % kPage) % kPage;
  madvise(static_cast<char*>(memory) + before, (bytes - before) / kPage * kPage, MADV_HUGEPAGE);
#endif
}

}  // namespace snt_ops

#endif  // SNT_OPS_TENSORFLOW_LARGE_PAGES_H_
