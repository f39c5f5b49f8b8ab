//! Empty on purpose: the benchmarks are in `micro/`.
