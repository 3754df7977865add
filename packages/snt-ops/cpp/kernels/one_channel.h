// Samples one image of one channel of float, eight points at once, whatever their neighbours.
//
// In place of a neighbour outside of the image, a pixel inside is read and then set to 0, as is one
// whose weight is 0. So nothing branches, and points near the border are as fast as others.
#ifndef SNT_OPS_KERNELS_ONE_CHANNEL_H_
#define SNT_OPS_KERNELS_ONE_CHANNEL_H_

#include <cstdint>
#include <cstring>

#include "kernels/points.h"

namespace snt_ops {
namespace SNT_OPS_LEVEL {
namespace {

class OneChannelSampler {
 public:
  // Neighbours in a row are read as a pair, so there must be two columns.
  static bool Fits(const ResamplerShape& shape) {
    return shape.channels == 1 && shape.width >= 2 && FitsInt32(shape);
  }

  OneChannelSampler(const ResamplerShape& shape, const float* image)
      : image_(image),
        bound_x_(Bound<float>(shape.width)),
        bound_y_(Bound<float>(shape.height)),
        width_(static_cast<std::int32_t>(shape.width)),
        last_row_(static_cast<std::int32_t>(shape.height - 1)),
        large_(shape.height * shape.width > kLarge) {}

  void operator()(const float* warp, std::int64_t count, float* output) const {
    std::int64_t i = 0;
    for (; i + 8 <= count; i += 8) {
      if (large_ && i + kAhead + 8 <= count) Fetch(Cells(*this, warp + 2 * (i + kAhead)));
      Store<8>(Sample(Cells(*this, warp + 2 * i)), output + i);
    }
    if (i == count) return;
    float rest[16] = {};
    std::memcpy(rest, warp + 2 * i, 2 * (count - i) * sizeof(float));
    const Floats samples = Sample(Cells(*this, rest));
    std::memcpy(output + i, &samples, (count - i) * sizeof(float));
  }

 private:
  static constexpr std::int64_t kLarge = 1 << 16;  // pixels; a second-level cache surely holds them
  static constexpr std::int64_t kAhead = 32;

  // What is read for eight points.
  struct Cells : EightPoints {
    SNT_OPS_INLINE Cells(const OneChannelSampler& image, const float* warp)
        : EightPoints(warp, image.bound_x_, image.bound_y_) {
      before = column < 0;
      after = column > image.width_ - 2;
      above = inside & (row >= 0);
      below = inside & (row < image.last_row_);
      upper = (row - (row < 0)) * image.width_ + (column - before + after);  // true is -1
      lower = upper + (above & below & image.width_);
    }

    Ints before, after;  // whether the left neighbour is before its row, the right one after it
    Ints above, below;   // whether there are rows above and below
    Ints upper, lower;   // the first of the two pixels in each
  };

  struct Pair {
    Floats left, right;
  };

  SNT_OPS_INLINE Floats Sample(const Cells& cells) const {
    const Pair upper = Read(cells, cells.upper, cells.above);
    const Pair lower = Read(cells, cells.lower, cells.below);
    const Floats left = 1.0f - cells.dx, top = 1.0f - cells.dy;
    const Floats w0 = left * top, w1 = cells.dx * top, w2 = left * cells.dy;
    const Floats w3 = cells.dx * cells.dy;
    // The weight of an upper left neighbour is never 0 where that is inside.
    return (w0 * upper.left + w1 * OrZero(w1 != 0.0f, upper.right)) +
           (w2 * OrZero(w2 != 0.0f, lower.left) + w3 * OrZero(w3 != 0.0f, lower.right));
  }

  SNT_OPS_INLINE Pair Read(const Cells& cells, Ints pixels, Ints exist) const {
    std::int32_t at[8];
    std::memcpy(at, &pixels, sizeof at);
    // In the order that leaves nothing to move between the halves of a vector.
    const Floats some = FourPairs(at[0], at[1], at[4], at[5]);
    const Floats others = FourPairs(at[2], at[3], at[6], at[7]);
    const Floats first = __builtin_shufflevector(some, others, 0, 2, 8, 10, 4, 6, 12, 14);
    const Floats second = __builtin_shufflevector(some, others, 1, 3, 9, 11, 5, 7, 13, 15);
    return {OrZero(exist & ~cells.before, Select(cells.after, second, first)),
            OrZero(exist & ~cells.after, Select(cells.before, first, second))};
  }

  SNT_OPS_INLINE Floats FourPairs(std::int32_t a, std::int32_t b, std::int32_t c,
                                  std::int32_t d) const {
    double pairs[4];  // the bits of two pixels each
    std::memcpy(&pairs[0], image_ + a, sizeof *pairs);
    std::memcpy(&pairs[1], image_ + b, sizeof *pairs);
    std::memcpy(&pairs[2], image_ + c, sizeof *pairs);
    std::memcpy(&pairs[3], image_ + d, sizeof *pairs);
    const Vector<double, 4> four = {pairs[0], pairs[1], pairs[2], pairs[3]};
    return reinterpret_cast<Floats>(four);
  }

  SNT_OPS_INLINE void Fetch(const Cells& cells) const {
    std::int32_t upper[8], lower[8];
    std::memcpy(upper, &cells.upper, sizeof upper);
    std::memcpy(lower, &cells.lower, sizeof lower);
    for (int j = 0; j < 8; ++j) {
      __builtin_prefetch(image_ + upper[j]);
      __builtin_prefetch(image_ + lower[j]);
    }
  }

  const float* image_;
  const float bound_x_;
  const float bound_y_;
  const std::int32_t width_;
  const std::int32_t last_row_;
  const bool large_;
};

}  // namespace
}  // namespace SNT_OPS_LEVEL
}  // namespace snt_ops

#endif  // SNT_OPS_KERNELS_ONE_CHANNEL_H_
