//! Recently finished queries: which run most often, take longest, and use the most memory.
//!
//! The last [`RECORDS_MAX`] queries that took at least a millisecond are kept. Each text is stored once, and all texts
//! together are bounded as well.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ferula_go::sync::MutexExt;

use crate::request::QueryRequest;

/// The same number as VictoriaMetrics keeps.
pub(crate) const RECORDS_MAX: usize = 20_000;
/// Shorter queries are not kept.
pub(crate) const DURATION_MIN: Duration = Duration::from_millis(1);
/// The bound for all texts together; beyond it the oldest records are dropped.
const TEXT_BYTES_MAX: usize = 4 << 20;
/// A longer text is truncated to this.
const ONE_TEXT_BYTES_MAX: usize = 16 << 10;

/// Recently finished queries.
#[derive(Default)]
pub struct RecentQueries(Mutex<State>);

#[derive(Default)]
struct State {
    records: VecDeque<Record>,
    /// Every text with the number of records that use it.
    texts: HashMap<Arc<str>, usize>,
    text_bytes: usize,
}

struct Record {
    query: Arc<str>,
    /// From the first to the last evaluation time; 0 for an instant query.
    range_seconds: u64,
    /// On the monotonic clock.
    ended: Duration,
    took: Duration,
    memory_bytes: u64,
}

/// All runs of one text over ranges of one length.
#[derive(Clone, Debug, PartialEq)]
pub struct TopQuery {
    pub query: Arc<str>,
    pub range_seconds: u64,
    pub count: u64,
    pub took: Duration,
    /// Summed over all runs.
    pub memory_bytes: u64,
}

impl TopQuery {
    /// Per run.
    pub fn mean_duration(&self) -> Duration {
        self.took.div_f64(self.count.max(1) as f64)
    }

    /// Per run.
    pub fn mean_memory_bytes(&self) -> u64 {
        self.memory_bytes / self.count.max(1)
    }
}

/// Lists of queries, each with the largest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TopQueries {
    pub by_count: Vec<TopQuery>,
    pub by_mean_duration: Vec<TopQuery>,
    pub by_duration: Vec<TopQuery>,
    pub by_mean_memory: Vec<TopQuery>,
}

impl RecentQueries {
    /// The number of queries kept, and the shortest duration that is kept.
    pub const LIMITS: (usize, Duration) = (RECORDS_MAX, DURATION_MIN);

    pub(crate) fn insert(&self, request: &QueryRequest, took: Duration, memory_bytes: u64, now: Duration) {
        let (start, end, _) = request.time.start_end_step_ms();
        let range_seconds = u64::try_from(end.saturating_sub(start)).unwrap_or(0) / 1000;
        self.add(&request.query, range_seconds, took, memory_bytes, now);
    }

    fn add(&self, query: &str, range_seconds: u64, took: Duration, memory_bytes: u64, ended: Duration) {
        if took < DURATION_MIN {
            return;
        }
        let query = &query[..query.floor_char_boundary(ONE_TEXT_BYTES_MAX)];
        let mut state = self.0.locked();
        let query = state.intern(query);
        state.records.push_back(Record { query, range_seconds, ended, took, memory_bytes });
        while state.records.len() > RECORDS_MAX || state.text_bytes > TEXT_BYTES_MAX {
            state.forget_oldest();
        }
    }

    /// The lists of queries that ended within `lifetime`.
    pub(crate) fn top(&self, count_max: usize, lifetime: Duration, now: Duration) -> TopQueries {
        let mut sums: HashMap<(Arc<str>, u64), TopQuery> = HashMap::new();
        let state = self.0.locked();
        for record in state.records.iter().filter(|record| now.saturating_sub(record.ended) <= lifetime) {
            let sum = sums.entry((record.query.clone(), record.range_seconds)).or_insert_with(|| TopQuery {
                query: record.query.clone(),
                range_seconds: record.range_seconds,
                count: 0,
                took: Duration::ZERO,
                memory_bytes: 0,
            });
            sum.count += 1;
            sum.took += record.took;
            sum.memory_bytes += record.memory_bytes;
        }
        drop(state);
        let mut all: Vec<TopQuery> = sums.into_values().collect();
        // A fixed order for equal keys.
        all.sort_by(|a, b| (&a.query, a.range_seconds).cmp(&(&b.query, b.range_seconds)));
        TopQueries {
            by_count: largest(&all, count_max, |query| query.count),
            by_mean_duration: largest(&all, count_max, TopQuery::mean_duration),
            by_duration: largest(&all, count_max, |query| query.took),
            by_mean_memory: largest(&all, count_max, TopQuery::mean_memory_bytes),
        }
    }
}

fn largest<K: Ord>(all: &[TopQuery], count_max: usize, key: impl Fn(&TopQuery) -> K) -> Vec<TopQuery> {
    let mut sorted: Vec<&TopQuery> = all.iter().collect();
    sorted.sort_by_key(|query| std::cmp::Reverse(key(query)));
    sorted.into_iter().take(count_max).cloned().collect()
}

impl State {
    fn intern(&mut self, query: &str) -> Arc<str> {
        if let Some((known, _)) = self.texts.get_key_value(query) {
            let known = known.clone();
            self.texts.entry(known.clone()).and_modify(|count| *count += 1);
            return known;
        }
        let text: Arc<str> = query.into();
        self.text_bytes += text.len();
        self.texts.insert(text.clone(), 1);
        text
    }

    fn forget_oldest(&mut self) {
        let Some(oldest) = self.records.pop_front() else { return };
        if let Some(count) = self.texts.get_mut(&oldest.query) {
            *count -= 1;
            if *count == 0 {
                self.texts.remove(&oldest.query);
                self.text_bytes -= oldest.query.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn texts(list: &[TopQuery]) -> Vec<(&str, u64)> {
        list.iter().map(|query| (&*query.query, query.count)).collect()
    }

    #[test]
    fn runs_of_one_text_and_range_are_added_up() {
        let recent = RecentQueries::default();
        for (query, range, took, memory, at) in [
            ("old", 0, 900, 900, 10),
            ("up", 0, 3, 100, 100_000),
            ("up", 0, 5, 300, 100_001),
            ("up", 3600, 30, 50, 100_002),
            ("sum(up)", 0, 6, 9_000, 100_003),
        ] {
            recent.add(query, range, MS(took), memory, MS(at));
        }
        recent.add("too short", 0, Duration::from_micros(999), 1, MS(100_004));
        let top = recent.top(2, MS(60_000), MS(100_010));
        assert_eq!(texts(&top.by_count), [("up", 2), ("sum(up)", 1)]);
        assert_eq!((top.by_duration[0].range_seconds, top.by_duration[0].took), (3600, MS(30)));
        assert_eq!((texts(&top.by_duration)[1], top.by_duration[1].took), (("up", 2), MS(8)));
        assert_eq!(texts(&top.by_mean_duration), [("up", 1), ("sum(up)", 1)]);
        assert_eq!(
            (texts(&top.by_mean_memory)[1], top.by_mean_memory[1].mean_memory_bytes()),
            (("up", 2), 200)
        );
        assert_eq!(recent.top(9, MS(1_000_000), MS(100_010)).by_count.len(), 4);
    }

    #[test]
    fn memory_is_bounded_by_records_and_by_texts() {
        let recent = RecentQueries::default();
        for n in 0..RECORDS_MAX + 10 {
            recent.add("up", n as u64 % 3, MS(2), 0, MS(1));
        }
        assert_eq!(recent.0.lock().expect("no panic").records.len(), RECORDS_MAX);
        for n in 0..1_000 {
            recent.add(&format!("{n} {}", "ü".repeat(100_000)), 0, MS(2), 0, MS(1));
        }
        let state = recent.0.lock().expect("no panic");
        let held: usize = state.texts.keys().map(|text| text.len()).sum();
        assert!(held <= TEXT_BYTES_MAX && held == state.text_bytes && state.records.len() < 300, "{held}");
        assert_eq!(state.texts.values().sum::<usize>(), state.records.len());
    }
}
