//! Metadata by series, deduplicated: the many series of a family share theirs.
//!
//! Used in the head, by slot, and while a checkpoint is written, by ref.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;

use ferula_model::MetricMetadata;

/// The newest metadata of each series that has any.
#[derive(Debug)]
pub(crate) struct SeriesMetadata<K> {
    of_series: HashMap<K, Arc<MetricMetadata>>,
    distinct: HashSet<Arc<MetricMetadata>>,
}

impl<K> Default for SeriesMetadata<K> {
    fn default() -> Self {
        SeriesMetadata { of_series: HashMap::new(), distinct: HashSet::new() }
    }
}

impl<K: Copy + Eq + Hash> SeriesMetadata<K> {
    /// The metadata of a series, if it has any.
    pub fn get(&self, series: K) -> Option<&MetricMetadata> {
        self.of_series.get(&series).map(|metadata| &**metadata)
    }

    /// The same as a shared pointer.
    pub fn shared(&self, series: K) -> Option<Arc<MetricMetadata>> {
        self.of_series.get(&series).cloned()
    }

    /// Sets the metadata of a series.
    pub fn set(&mut self, series: K, metadata: &MetricMetadata) {
        let shared = self.distinct.get(metadata).cloned().unwrap_or_else(|| {
            let first = Arc::new(metadata.clone());
            self.distinct.insert(first.clone());
            first
        });
        self.of_series.insert(series, shared);
    }

    /// Drops the metadata of these series.
    pub fn forget(&mut self, series: &[K]) {
        if self.of_series.is_empty() {
            return;
        }
        for one in series {
            self.of_series.remove(one);
        }
        self.distinct.retain(|metadata| Arc::strong_count(metadata) > 1);
        self.of_series.shrink_to(self.of_series.len() * 2);
    }

    /// All series with metadata, sorted.
    pub fn sorted(&self) -> Vec<(K, &MetricMetadata)>
    where
        K: Ord,
    {
        let mut all: Vec<_> =
            self.of_series.iter().map(|(series, metadata)| (*series, &**metadata)).collect();
        all.sort_unstable_by_key(|(series, _)| *series);
        all
    }
}

#[cfg(test)]
mod tests {
    use ferula_model::MetricType;

    use super::*;

    fn help(text: &str) -> MetricMetadata {
        MetricMetadata { kind: MetricType::Counter, unit: String::new(), help: text.to_owned() }
    }

    #[test]
    fn equal_metadata_is_stored_once_and_dropped_with_its_last_series() {
        let mut all = SeriesMetadata::default();
        for series in 0..100 {
            all.set(series, &help(if series % 2 == 0 { "even" } else { "odd" }));
        }
        assert_eq!((all.sorted().len(), all.distinct.len()), (100, 2));
        all.set(1, &help("one"));
        assert_eq!(all.get(1).map(|metadata| metadata.help.as_str()), Some("one"));
        let odd: Vec<i32> = (0..100).filter(|series| series % 2 == 1).collect();
        all.forget(&odd);
        assert_eq!((all.sorted().len(), all.distinct.len()), (50, 1));
        assert_eq!((all.get(3), all.get(4)), (None, Some(&help("even"))));
    }
}
