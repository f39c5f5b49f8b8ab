//! Arithmetic that must come out as in Prometheus, bit for bit on x86-64. No `mul_add` in sums.

pub(crate) mod buckets;
pub(crate) mod format;
pub(crate) mod kahan;
pub(crate) mod mean;
pub(crate) mod quantile;
