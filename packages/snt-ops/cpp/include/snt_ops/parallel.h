// How the kernels ask for threads: whoever calls them brings the pool.
#ifndef SNT_OPS_PARALLEL_H_
#define SNT_OPS_PARALLEL_H_

#include <cstdint>
#include <functional>

namespace snt_ops {

// Into how many pieces to divide so many iterations of about so many processor cycles each, with as
// many threads as there may be. Below a million cycles all is done before another thread wakes up.
inline std::int64_t MostPieces(std::int64_t iterations, std::int64_t cycles) {
  const double work = static_cast<double>(iterations) * static_cast<double>(cycles);
  if (!(work >= 1e6)) return 1;
  return static_cast<std::int64_t>(work < 1e12 ? work / 1e5 : 1e7);
}

// Runs a loop in pieces, maybe at the same time in several threads.
class ParallelFor {
 public:
  // Does the iterations [begin, end).
  using Work = std::function<void(std::int64_t begin, std::int64_t end)>;

  virtual ~ParallelFor() = default;

  // How many threads may work at the same time, at least 1.
  virtual int Threads() const = 0;

  // Calls `work` for ranges that cover [0, total) once, and returns when all are done. `cost` is
  // about the number of processor cycles of one iteration.
  virtual void Run(std::int64_t total, std::int64_t cost, const Work& work) = 0;
};

// The calling thread does everything.
class Serial : public ParallelFor {
 public:
  int Threads() const override { return 1; }

  void Run(std::int64_t total, std::int64_t /*cost*/, const Work& work) override {
    if (total > 0) work(0, total);
  }
};

}  // namespace snt_ops

#endif  // SNT_OPS_PARALLEL_H_
