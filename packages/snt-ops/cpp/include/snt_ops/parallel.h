// How the kernels ask for threads: whoever calls them brings the pool.
#ifndef SNT_OPS_PARALLEL_H_
#define SNT_OPS_PARALLEL_H_

#include <cstdint>
#include <functional>

namespace snt_ops {

// Runs a loop in pieces, maybe at the same time in several threads.
class ParallelFor {
 public:
  // Does the iterations [begin, end).
  using Work = std::function<void(std::int64_t begin, std::int64_t end)>;

  virtual ~ParallelFor() = default;

  // How many threads may work at the same time, at least 1.
  virtual int Threads() const = 0;

  // Calls `work` for ranges that cover [0, total) once, and returns when all are done. `cost` is
  // about the number of processor cycles of one iteration: pieces below some ten thousand cycles
  // are not worth a thread of their own.
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
