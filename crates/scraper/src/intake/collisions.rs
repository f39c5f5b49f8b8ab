//! Series that relabelling makes one: only the first is stored, and the log names two of them.
//!
//! A page is looked through only when it has a new series, so this costs nothing from scrape to scrape.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;

use ferula_exposition::key::decode;
use ferula_exposition::{Entry, Format, LabelScratch, PageParser};
use ferula_model::SeriesRef;
use ferula_storage::SampleBatch;

use crate::fetch::Page;
use crate::options::PageOptions;
use crate::series_cache::SeriesCache;

/// Texts of a page with the same series and time.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Collision {
    /// Cache entry of the one that is stored.
    first: u32,
    /// Cache entry of one that is not.
    second: u32,
    /// How many are not stored, over all such series.
    dropped: u64,
}

/// The first collision of a batch; `entries` are the cache entries of its float samples.
pub(super) fn find(batch: &SampleBatch, entries: &[(u32, bool)]) -> Option<Collision> {
    let mut seen: HashMap<(SeriesRef, i64), u32> = HashMap::with_capacity(batch.refs.len());
    let mut collision: Option<Collision> = None;
    let samples = batch.refs.iter().copied().zip(batch.timestamps.iter().copied());
    for (sample, (entry, _)) in samples.zip(entries) {
        match seen.entry(sample) {
            Slot::Vacant(slot) => {
                slot.insert(*entry);
            }
            Slot::Occupied(first) if first.get() != entry => {
                let new = Collision { first: *first.get(), second: *entry, dropped: 0 };
                collision.get_or_insert(new).dropped += 1;
            }
            Slot::Occupied(_) => {}
        }
    }
    collision
}

impl Collision {
    /// Logs it, with both series as the page has them and the one that they become.
    pub(super) fn tell(
        &self,
        page: &Page,
        (format, options): (Format, PageOptions),
        url: &str,
        cache: &SeriesCache,
    ) {
        let mut parser = PageParser::with_options(&page.body, format, options);
        let mut scratch = LabelScratch::default();
        let (mut first, mut second) = (None, None);
        // The page was read to its end before.
        while let Ok(Some(entry)) = parser.next() {
            let Entry::Series(series) = entry else { continue };
            let shown = match cache.position(series.key) {
                Some(at) if at == self.first => &mut first,
                Some(at) if at == self.second => &mut second,
                _ => continue,
            };
            if decode(series.key, series.kind, &mut scratch).is_ok() {
                *shown = Some(scratch.to_label_set());
            }
            if let (Some(first), Some(second)) = (&first, &second) {
                ferula_telemetry::warn!(
                    "Relabelling makes one series of several, and only the first is stored",
                    component = "scrape manager",
                    target = url,
                    first = first,
                    second = second,
                    num_dropped = self.dropped
                );
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collision_is_found_among_other_texts_and_other_times() {
        let series = |number: u64| SeriesRef::new(number).expect("not zero");
        let batch = |samples: &[(u64, i64)]| {
            let mut batch = SampleBatch::default();
            for (number, time) in samples {
                batch.refs.push(series(*number));
                batch.timestamps.push(*time);
            }
            batch
        };
        // Two times of one series are not a collision, nor is a text that comes twice.
        let entries = [(0, true), (1, true), (0, false), (1, false)];
        assert_eq!(find(&batch(&[(7, 1), (8, 1), (7, 2), (8, 1)]), &entries), None);
        let entries = [(0, true), (1, true), (2, true), (3, true)];
        let expected = Some(Collision { first: 1, second: 3, dropped: 1 });
        assert_eq!(find(&batch(&[(7, 1), (8, 1), (7, 2), (8, 1)]), &entries), expected);
        let expected = Some(Collision { first: 0, second: 1, dropped: 3 });
        assert_eq!(find(&batch(&[(7, 1), (7, 1), (7, 1), (7, 1)]), &entries), expected);
    }
}
