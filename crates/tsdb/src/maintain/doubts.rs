//! Suspicious observations that people have to check: how they are detected and described.

use std::fmt;

use crate::block::{BlockMeta, Ulid};
use crate::ids::TimeSpan;
use crate::retention::Retention;

/// A suspicious observation, on which nothing is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// The newest sample of the head is in the future.
    HeadAhead { hours: i64 },
    /// A block begins in the future.
    FutureBlock {
        ulid: Ulid,
        /// Its start in milliseconds.
        min_time: i64,
    },
    /// Old blocks are kept, because it is uncertain whether they are old.
    RetentionWaits { blocks: usize },
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Doubt::HeadAhead { hours } => write!(
                f,
                "the newest sample is {hours}h ahead of the clock: current samples are refused as out of order or out of \
                 bounds until the clock gets there; if the clock was wrong then, stop the server and run `ferula tsdb drop-future`"
            ),
            Doubt::FutureBlock { ulid, min_time } => write!(
                f,
                "block {ulid} begins at {min_time}, ahead of the clock: it is read, but it decides neither where the head \
                 begins nor how old other blocks are"
            ),
            Doubt::RetentionWaits { blocks } => write!(
                f,
                "{blocks} blocks would be deleted for their age if the newest block is right about the time, but that one \
                 is ahead of the clock or alone behind a gap of more than a day: they are kept until newer blocks span a day"
            ),
        }
    }
}

const HOUR_MS: i64 = 3_600_000;

/// Doubts about a head with these in-order samples and about these blocks.
pub(super) fn doubts(
    now_ms: i64,
    in_order: TimeSpan,
    blocks: &[&BlockMeta],
    block_ms: i64,
    retention: &Retention,
) -> Vec<Doubt> {
    let mut doubts = Vec::new();
    let ahead = in_order.some().map_or(0, |span| span.last().saturating_sub(now_ms));
    if ahead > HOUR_MS {
        doubts.push(Doubt::HeadAhead { hours: ahead / HOUR_MS });
    }
    let of_future = blocks.iter().filter(|meta| meta.is_of_future(now_ms, block_ms));
    doubts.extend(of_future.map(|meta| Doubt::FutureBlock { ulid: meta.ulid, min_time: meta.min_time }));
    match retention.held_back(now_ms, blocks) {
        0 => {}
        blocks => doubts.push(Doubt::RetentionWaits { blocks }),
    }
    doubts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_future_is_doubted_and_the_present_is_not() {
        const NOW: i64 = 1000 * HOUR_MS;
        let block = |min| BlockMeta::level_1(Ulid::new(0, 7), min, min + HOUR_MS);
        let found = |newest: i64, begins: i64| {
            let in_order = TimeSpan::closed(NOW - HOUR_MS, newest);
            doubts(NOW, in_order, &[&block(begins)], 2 * HOUR_MS, &Retention::default())
        };
        assert_eq!(found(NOW + HOUR_MS, NOW), []);
        assert_eq!(found(NOW + 2 * HOUR_MS, NOW), [Doubt::HeadAhead { hours: 2 }]);
        let min_time = NOW + 3 * HOUR_MS;
        assert_eq!(found(NOW, min_time), [Doubt::FutureBlock { ulid: Ulid::new(0, 7), min_time }]);
        assert_eq!(doubts(NOW, TimeSpan::EMPTY, &[], 1, &Retention::default()), []);
    }
}
