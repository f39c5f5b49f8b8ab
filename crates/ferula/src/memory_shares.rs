//! The memory of the process: one limit, and the shares of it that its parts keep to.
//!
//! Always true: the shares together are not more than the limit. What is left is for the program, its logs, the allocator, and
//! what is small.

use crate::limits;

const MIB: u64 = 1 << 20;
/// The share of the limit at which the head refuses new series.
const HEAD_PERCENT: u64 = 50;
/// The share that all queries and look-ups together may hold, up to the last byte of their answers.
const QUERIES_PERCENT: u64 = 25;
/// The share that all request bodies together may hold, packed and unpacked, but up to
const BODIES_PERCENT: u64 = 8;
/// this many bytes, which is enough for two of the largest remote writes, if they are not more than
const BODIES_BYTES: u64 = 128 * MIB;
/// this share.
const BODIES_PERCENT_MAX: u64 = 12;
/// The share that all scraped pages together may hold while they are fetched, decompressed and stored, but no more than
const PAGES_PERCENT: u64 = 10;
/// this many bytes.
const PAGES_BYTES_MAX: u64 = 512 * MIB;

/// What each part may hold, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryShares {
    pub head: u64,
    pub queries: u64,
    pub bodies: u64,
    pub pages: u64,
}

impl MemoryShares {
    /// The shares of what this process may use.
    pub fn of_process() -> Self {
        Self::of(limits::memory_bytes())
    }

    fn of(limit: u64) -> Self {
        let percent = |percent: u64| limit / 100 * percent;
        MemoryShares {
            head: percent(HEAD_PERCENT),
            queries: percent(QUERIES_PERCENT),
            bodies: percent(BODIES_PERCENT).max(BODIES_BYTES.min(percent(BODIES_PERCENT_MAX))),
            pages: percent(PAGES_PERCENT).min(PAGES_BYTES_MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_are_never_more_than_the_limit() {
        for limit in [0, 1, MIB, 64 * MIB, 256 * MIB, 1 << 30, 2 << 30, 24 << 30, 1 << 50, u64::MAX] {
            let MemoryShares { head, queries, bodies, pages } = MemoryShares::of(limit);
            let sum = [head, queries, bodies, pages].into_iter().map(u128::from).sum::<u128>();
            assert!(sum <= u128::from(limit) / 100 * 97, "{sum} of {limit}");
        }
        let small = MemoryShares::of(256 * MIB);
        let in_mib = [small.head, small.queries, small.bodies, small.pages].map(|bytes| bytes / MIB);
        assert_eq!(in_mib, [127, 63, 30, 25]);
        assert_eq!(MemoryShares::of(24 << 30).pages, PAGES_BYTES_MAX);
    }
}
