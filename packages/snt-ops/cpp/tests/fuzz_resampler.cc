// The fuzz target: sizes, threads and the bits of all numbers come from the fuzzer. Nothing is
// compared but the bits over numbers of threads; sanitizers watch the rest.
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "problem.h"
#include "snt_ops/shared_pool.h"

namespace {

class Input {
 public:
  Input(const std::uint8_t* bytes, std::size_t size) : bytes_(bytes), size_(size) {}

  std::uint8_t Next() { return size_ ? bytes_[at_++ % size_] : 0; }

  // Whatever bits there are, over and over; each time around they are changed a bit.
  template <typename T>
  void Fill(snt_ops::Array<T>& array) {
    auto* to = reinterpret_cast<std::uint8_t*>(array.data());
    for (std::size_t i = 0; i < array.size * sizeof(T); ++i) {
      to[i] = static_cast<std::uint8_t>(Next() + (size_ ? at_ / size_ : 0));
    }
  }

 private:
  const std::uint8_t* bytes_;
  std::size_t size_;
  std::size_t at_ = 0;
};

template <typename Data, typename Warp>
void Run(const snt_ops::ResamplerShape& shape, Input& input) {
  static snt_ops::Serial serial;
  static snt_ops::PooledParallelFor pool(3);
  snt_ops::Problem<Data, Warp> problem(shape);
  input.Fill(problem.warp);
  input.Fill(problem.data);
  input.Fill(problem.grad_output);
  problem.Run(serial);
  const auto expected = problem.Results();
  problem.Run(pool);
  if (problem.Results() != expected) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  Input input(bytes, size);
  const int types = input.Next() % 6;
  snt_ops::ResamplerShape shape;
  shape.batch = input.Next() % 4;
  shape.height = input.Next() % 20;
  shape.width = input.Next() % 20;
  shape.channels = input.Next() % 20;
  // Mostly few, so that many inputs are tried; sometimes enough for several threads.
  const int points = input.Next() | input.Next() << 8;
  shape.points = points % 8 ? points / 8 % 40 : points / 8 % 1200;
  using snt_ops::BFloat16;
  using snt_ops::Half;
  switch (types) {
    case 0:
      Run<float, float>(shape, input);
      break;
    case 1:
      Run<double, double>(shape, input);
      break;
    case 2:
      Run<Half, Half>(shape, input);
      break;
    case 3:
      Run<Half, float>(shape, input);
      break;
    case 4:
      Run<BFloat16, BFloat16>(shape, input);
      break;
    default:
      Run<BFloat16, float>(shape, input);
      break;
  }
  return 0;
}
