// What every operation computes with: one table of kernels and one pool of threads. Borrowed: both must
// outlive it. An operation belongs to the thread that owns the pool.
#pragma once

#include "worker/kernels/kernels.h"
#include "worker/ops/thread_pool.h"

namespace sluice::ops {

struct Context {
  const kernels::KernelSet& kernels;
  ThreadPool& pool;
};

}  // namespace sluice::ops
