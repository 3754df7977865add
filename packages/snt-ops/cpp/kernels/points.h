// Where points lie in an image: their four neighbours and the weights of these.
#ifndef SNT_OPS_KERNELS_POINTS_H_
#define SNT_OPS_KERNELS_POINTS_H_

#include <cstdint>
#include <type_traits>

#include "kernels/numbers.h"

namespace snt_ops {
namespace SNT_OPS_LEVEL {
namespace {

// Points are located in blocks: the loop over a block is free of branches, so it is vectorised,
// and the addresses that it finds can be fetched before they are needed.
constexpr int kBlock = 512;
constexpr int kFetchAhead = 16;

// Neighbours in this order: upper left, upper right, lower left, lower right.
// Bits 0 to 3 of a mask: the neighbour is in the image and its weight is not 0.
// Bits 4 to 7: the neighbour is in the image.
constexpr std::int32_t kAllNeighbours = 0xff;

// Index is int32_t where all pixels of an image can be counted by it: twice as fast.
template <typename Number, typename Index>
struct Points {
  Number dx[kBlock];          // distance to the left neighbours, in [0, 1]
  Number dy[kBlock];          // distance to the upper neighbours
  Number weight[4][kBlock];   // of the neighbours
  Index row[kBlock];          // of the upper neighbours; -1 for points that are outside
  Index pixel[kBlock];        // the upper left neighbour, counted from the first of the image
  std::int32_t mask[kBlock];
};

// The least number that is not below `size`: comparing with it is comparing with `size`.
template <typename Number>
inline Number Bound(std::int64_t size) {
  Number bound = static_cast<Number>(size);
  while (bound < Number(0x1p62) && static_cast<std::int64_t>(bound) < size) {
    std::conditional_t<sizeof(Number) == 4, std::uint32_t, std::uint64_t> bits;
    std::memcpy(&bits, &bound, sizeof bits);
    ++bits;  // the next larger number
    std::memcpy(&bound, &bits, sizeof bits);
  }
  return bound;
}

inline bool FitsInt32(const ResamplerShape& shape) {
  constexpr std::int64_t kLimit = INT32_MAX;
  return shape.width < kLimit - 1 && shape.height < kLimit / (shape.width + 2) - 2;
}

// Eight points, in registers.
struct EightPoints {
  SNT_OPS_INLINE EightPoints(const float* warp, float bound_x, float bound_y) {
    // In the order that leaves nothing to move between the halves of a vector.
    const Floats some = Join(Load<4>(warp), Load<4>(warp + 8));
    const Floats others = Join(Load<4>(warp + 4), Load<4>(warp + 12));
    Floats x = __builtin_shufflevector(some, others, 0, 2, 8, 10, 4, 6, 12, 14);
    Floats y = __builtin_shufflevector(some, others, 1, 3, 9, 11, 5, 7, 13, 15);
    const Floats nowhere = Floats{} - 1.0f;
    // False for what is not a number, so that only what fits is converted to an integer.
    inside = (x > nowhere) & (x < bound_x) & (y > nowhere) & (y < bound_y);
    x = Select(inside, x, nowhere);
    y = Select(inside, y, nowhere);
    column = __builtin_convertvector(x, Ints);
    row = __builtin_convertvector(y, Ints);
    column += __builtin_convertvector(column, Floats) > x;  // true is -1
    row += __builtin_convertvector(row, Floats) > y;
    dx = x - __builtin_convertvector(column, Floats);
    dy = y - __builtin_convertvector(row, Floats);
  }

  Floats dx, dy;     // distance to the left and to the upper neighbours, in [0, 1]
  Ints column, row;  // of the upper left neighbour; -1 for points that are outside
  Ints inside;       // -1 or 0
};

template <typename Number, typename Index>
class Locator {
 public:
  explicit Locator(const ResamplerShape& shape)
      : bound_x_(Bound<Number>(shape.width)),
        bound_y_(Bound<Number>(shape.height)),
        width_(static_cast<Index>(shape.width)),
        height_(static_cast<Index>(shape.height)) {}

  // Locates `count` points, at most kBlock.
  template <typename Warp>
  void operator()(const Warp* warp, int count, Points<Number, Index>* points) const {
    if constexpr (std::is_same_v<Warp, Number>) {
      int done = 0;
      if constexpr (std::is_same_v<Number, float> && std::is_same_v<Index, std::int32_t>) {
        for (; done + 8 <= count; done += 8) Eight(warp + 2 * done, done, points);
      }
      Locate(warp, done, count, points);
    } else {
      Number converted[2 * kBlock];
      int i = 0;
      for (; i + 8 <= 2 * count; i += 8) Store<8>(Load<8>(warp + i), converted + i);
      for (; i < 2 * count; ++i) converted[i] = ToNumber(warp[i]);
      (*this)(converted, count, points);
    }
  }

 private:
  // The same for eight points at once; compilers do not see it by themselves.
  SNT_OPS_INLINE void Eight(const float* warp, int i, Points<Number, Index>* points) const {
    const EightPoints eight(warp, bound_x_, bound_y_);
    const Ints column = eight.column, row = eight.row;
    const Floats left = 1.0f - eight.dx, top = 1.0f - eight.dy;
    const Floats w0 = left * top, w1 = eight.dx * top, w2 = left * eight.dy;
    const Floats w3 = eight.dx * eight.dy;
    const Ints at_left = column >= 0, at_right = column + 1 < width_;
    const Ints above = eight.inside & (row >= 0), below = eight.inside & (row + 1 < height_);
    const Ints exist = (above & at_left & 1) | (above & at_right & 2) | (below & at_left & 4) |
                       (below & at_right & 8);
    const Ints weigh = ((w0 != 0.0f) & 1) | ((w1 != 0.0f) & 2) | ((w2 != 0.0f) & 4) |
                       ((w3 != 0.0f) & 8);
    Store<8>(w0, &points->weight[0][i]);
    Store<8>(w1, &points->weight[1][i]);
    Store<8>(w2, &points->weight[2][i]);
    Store<8>(w3, &points->weight[3][i]);
    Store<8>(eight.dx, &points->dx[i]);
    Store<8>(eight.dy, &points->dy[i]);
    const Ints pixel = row * width_ + column;
    const Ints mask = exist << 4 | (exist & weigh);
    std::memcpy(&points->row[i], &row, sizeof row);
    std::memcpy(&points->pixel[i], &pixel, sizeof pixel);
    std::memcpy(&points->mask[i], &mask, sizeof mask);
  }

  void Locate(const Number* __restrict warp, int first, int count,
              Points<Number, Index>* __restrict points) const {
    const Number bound_x = bound_x_, bound_y = bound_y_;
    const Index width = width_, height = height_;
    for (int i = first; i < count; ++i) {
      Number x = warp[2 * i];
      Number y = warp[2 * i + 1];
      // False for what is not a number, so that only what fits is converted to an integer.
      const bool inside = (x > Number(-1)) & (x < bound_x) & (y > Number(-1)) & (y < bound_y);
      x = inside ? x : Number(-1);
      y = inside ? y : Number(-1);
      Index column = static_cast<Index>(x);
      Index row = static_cast<Index>(y);
      column -= static_cast<Number>(column) > x;
      row -= static_cast<Number>(row) > y;
      const Number dx = x - static_cast<Number>(column);
      const Number dy = y - static_cast<Number>(row);
      const Number left = Number(1) - dx;
      const Number top = Number(1) - dy;
      // Written out, and with integers of 0 and 1: some compilers vectorise it.
      const Number w0 = left * top, w1 = dx * top, w2 = left * dy, w3 = dx * dy;
      const std::int32_t in = inside;
      const std::int32_t at_left = column >= 0, at_right = column + 1 < width;
      const std::int32_t above = in & (row >= 0), below = in & (row + 1 < height);
      const std::int32_t e0 = above & at_left, e1 = above & at_right;
      const std::int32_t e2 = below & at_left, e3 = below & at_right;
      const std::int32_t exist = e0 | e1 << 1 | e2 << 2 | e3 << 3;
      const std::int32_t count_too = (w0 != 0 ? 1 : 0) | (w1 != 0 ? 2 : 0) | (w2 != 0 ? 4 : 0) |
                                     (w3 != 0 ? 8 : 0);
      points->weight[0][i] = w0;
      points->weight[1][i] = w1;
      points->weight[2][i] = w2;
      points->weight[3][i] = w3;
      points->dx[i] = dx;
      points->dy[i] = dy;
      points->row[i] = row;
      points->pixel[i] = row * width + column;
      points->mask[i] = exist << 4 | (exist & count_too);
    }
  }

  Number bound_x_;
  Number bound_y_;
  Index width_;
  Index height_;
};

// Number `count` of lanes or channels, as an argument.
template <int count>
using Lanes = std::integral_constant<int, count>;

// Calls function(index type, number of channels, or 0) with what is known before the loops.
template <typename Data, typename Function>
void WithIndexAndChannels(const ResamplerShape& shape, Function function) {
  if (!FitsInt32(shape)) return function(std::int64_t{}, Lanes<0>());
  // For half types the conversion costs more than the loop over channels.
  if constexpr (std::is_floating_point_v<Data>) {
    if (shape.channels == 1) return function(std::int32_t{}, Lanes<1>());
    if (shape.channels == 2) return function(std::int32_t{}, Lanes<2>());
    if (shape.channels == 3) return function(std::int32_t{}, Lanes<3>());
    if (shape.channels == 4) return function(std::int32_t{}, Lanes<4>());
  }
  function(std::int32_t{}, Lanes<0>());
}

// The last three of four numbers, and one of them again.
SNT_OPS_INLINE Vector<float, 4> Last3(const float* from) {
  const Vector<float, 4> four = Load<4>(from);
  return __builtin_shufflevector(four, four, 1, 2, 3, 3);
}

}  // namespace
}  // namespace SNT_OPS_LEVEL
}  // namespace snt_ops

#endif  // SNT_OPS_KERNELS_POINTS_H_
