// Divides the work among threads, and chooses the instruction set.
#include "snt_ops/resampler.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#if defined(SNT_OPS_HAVE_AVX2)
#include <cpuid.h>
#endif

#include "kernels/floating_point.h"
#include "kernels/level.h"

namespace snt_ops {
namespace {

// Points of one piece of work. It is fixed: how points are grouped never depends on threads.
constexpr std::int64_t kPiece = 512;

#if defined(SNT_OPS_HAVE_AVX2)
bool HasF16c() {  // clang asks by __builtin_cpu_supports for fewer features than GCC
  unsigned eax, ebx, ecx, edx;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_F16C);
}
#endif

bool UseAvx2() {
#if defined(SNT_OPS_HAVE_AVX2)
  static const bool use = [] {
    const char* wish = std::getenv("SNT_OPS_SIMD");
    if (wish != nullptr && std::strcmp(wish, "baseline") == 0) return false;
    return __builtin_cpu_supports("avx2") && HasF16c();
  }();
  return use;
#else
  return false;
#endif
}

template <typename Data, typename Warp>
ForwardFunction<Data, Warp>* ChooseForward() {
#if defined(SNT_OPS_HAVE_AVX2)
  if (UseAvx2()) return avx2::Forward<Data, Warp>;
#endif
  return baseline::Forward<Data, Warp>;
}

template <typename Data, typename Warp>
BackwardFunction<Data, Warp>* ChooseBackward() {
#if defined(SNT_OPS_HAVE_AVX2)
  if (UseAvx2()) return avx2::Backward<Data, Warp>;
#endif
  return baseline::Backward<Data, Warp>;
}

template <typename Data>
RoundFunction<Data>* ChooseRound() {
#if defined(SNT_OPS_HAVE_AVX2)
  if (UseAvx2()) return avx2::Round<Data>;
#endif
  return baseline::Round<Data>;
}

template <typename Number>
void SetZero(Number* numbers, std::int64_t count) {
  if (count > 0) std::memset(static_cast<void*>(numbers), 0, count * sizeof(Number));
}

// Cycles that a point costs, about.
std::int64_t ForwardCost(const ResamplerShape& shape) { return 10 + 2 * shape.channels; }
std::int64_t BackwardCost(const ResamplerShape& shape) { return 20 + 6 * shape.channels; }

// Whether there is no pixel to read, or nothing to read from it.
bool IsEmpty(const ResamplerShape& shape) {
  return shape.height == 0 || shape.width == 0 || shape.channels == 0;
}

// Into how many strips of rows an image is divided, so that all threads have work. An image of
// its own is better, since each strip looks at all points.
std::int64_t Strips(const ResamplerShape& shape, std::int64_t threads) {
  if (shape.batch >= 4 * threads || shape.batch % threads == 0) return 1;
  std::int64_t strips = threads % shape.batch == 0 ? threads / shape.batch
                                                   : (2 * threads - 1) / shape.batch + 1;
  const std::int64_t most = MostPieces(shape.points, BackwardCost(shape));
  return std::max<std::int64_t>(1, std::min({strips, most, shape.height}));
}

// Where part `i` of `parts` begins, without overflow.
std::int64_t Part(std::int64_t size, std::int64_t i, std::int64_t parts) {
  return size / parts * i + size % parts * i / parts;
}

// One strip of one image.
template <typename Data, typename Warp>
void BackwardStrip(const ResamplerShape& shape, Rows rows, const Data* image, const Warp* warp,
                   const Data* grad_output, Data* grad_image, Warp* grad_warp) {
  const std::int64_t row = shape.width * shape.channels;
  const std::int64_t size = (rows.end - rows.begin) * row;
  Data* grad_rows = grad_image + rows.begin * row;
  if constexpr (std::is_same_v<Data, Accumulator<Data>>) {
    SetZero(grad_rows, size);
    ChooseBackward<Data, Warp>()(shape, rows, image, warp, grad_output, grad_rows, grad_warp);
  } else {
    const std::unique_ptr<float[]> sums(new (std::nothrow) float[size]);
    if (sums == nullptr) {
      if (rows.end - rows.begin == 1) throw std::bad_alloc();
      const std::int64_t middle = rows.begin + (rows.end - rows.begin) / 2;
      BackwardStrip(shape, {rows.begin, middle}, image, warp, grad_output, grad_image, grad_warp);
      BackwardStrip(shape, {middle, rows.end}, image, warp, grad_output, grad_image, grad_warp);
      return;
    }
    SetZero(sums.get(), size);
    ChooseBackward<Data, Warp>()(shape, rows, image, warp, grad_output, sums.get(), grad_warp);
    ChooseRound<Data>()(sums.get(), grad_rows, size);
  }
}

}  // namespace

template <typename Data, typename Warp>
void ResamplerForward(const ResamplerShape& shape, const Data* data, const Warp* warp,
                      Data* output, ParallelFor& parallel) {
  if (shape.batch == 0 || shape.points == 0 || shape.channels == 0) return;
  if (IsEmpty(shape)) return SetZero(output, shape.batch * shape.points * shape.channels);
  const std::int64_t pieces = (shape.points - 1) / kPiece + 1;
  const std::int64_t cost = ForwardCost(shape) * std::min(kPiece, shape.points);
  parallel.Run(shape.batch * pieces, cost, [&](std::int64_t begin, std::int64_t end) {
    const DefaultFloatingPoint environment;
    const auto forward = ChooseForward<Data, Warp>();
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t image = i / pieces;
      const std::int64_t first = i % pieces * kPiece;
      const std::int64_t point = image * shape.points + first;
      forward(shape, data + image * shape.height * shape.width * shape.channels, warp + 2 * point,
              output + point * shape.channels, std::min(kPiece, shape.points - first));
    }
  });
}

template <typename Data, typename Warp>
void ResamplerBackward(const ResamplerShape& shape, const Data* data, const Warp* warp,
                       const Data* grad_output, Data* grad_data, Warp* grad_warp,
                       ParallelFor& parallel) {
  if (shape.batch == 0) return;
  if (IsEmpty(shape)) return SetZero(grad_warp, shape.batch * shape.points * 2);
  const std::int64_t strips = Strips(shape, parallel.Threads());
  const std::int64_t pixels = shape.height * shape.width * shape.channels;
  const std::int64_t cost = (shape.points * BackwardCost(shape) + pixels / 4) / strips;
  parallel.Run(shape.batch * strips, cost, [&](std::int64_t begin, std::int64_t end) {
    const DefaultFloatingPoint environment;
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t image = i / strips;
      const std::int64_t strip = i % strips;
      const std::int64_t point = image * shape.points;
      const Rows rows = {Part(shape.height, strip, strips), Part(shape.height, strip + 1, strips)};
      BackwardStrip(shape, rows, data + image * pixels, warp + 2 * point,
                    grad_output + point * shape.channels, grad_data + image * pixels,
                    grad_warp + 2 * point);
    }
  });
}

const char* ResamplerSimdLevel() {
  if (UseAvx2()) return "AVX2";
#if defined(__ARM_NEON)
  return "NEON";
#else
  return "baseline";
#endif
}

#define SNT_OPS_INSTANCE(Data, Warp)                                                        \
  template void ResamplerForward(const ResamplerShape&, const Data*, const Warp*, Data*,    \
                                 ParallelFor&);                                             \
  template void ResamplerBackward(const ResamplerShape&, const Data*, const Warp*,          \
                                  const Data*, Data*, Warp*, ParallelFor&);

SNT_OPS_INSTANCE(Half, Half)
SNT_OPS_INSTANCE(Half, float)
SNT_OPS_INSTANCE(BFloat16, BFloat16)
SNT_OPS_INSTANCE(BFloat16, float)
SNT_OPS_INSTANCE(float, float)
SNT_OPS_INSTANCE(double, double)

}  // namespace snt_ops
