//! Maps the label bytes of a request to series, so that a known series costs one hash and no allocation.
//!
//! Keys are 128-bit hashes with a seed drawn at the start, so that no sender can provoke a collision with
//! another's series. There are two generations of entries: when the young one is full, it becomes the old
//! one, and the previous old one is dropped. An entry that is used moves to the young generation.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Mutex, MutexGuard};

use ferula_go::sync::MutexExt;
use ferula_model::SeriesRef;
use twox_hash::XxHash3_128;

/// Entries of one generation over all shards; about 20 MB.
const GENERATION_ENTRIES_MAX: usize = 512 * 1024;
const SHARDS: usize = 16;

/// Hashes of label bytes with their series.
pub struct SeriesCache {
    seed: u64,
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Default)]
struct Shard {
    young: HashMap<u128, SeriesRef, NoHash>,
    old: HashMap<u128, SeriesRef, NoHash>,
}

impl SeriesCache {
    pub(crate) fn new() -> Self {
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u8(0);
        SeriesCache { seed: hasher.finish(), shards: Default::default() }
    }

    /// The key of these label bytes.
    pub(crate) fn key(&self, label_bytes: &[u8]) -> u128 {
        XxHash3_128::oneshot_with_seed(self.seed, label_bytes)
    }

    pub(crate) fn get(&self, key: u128) -> Option<SeriesRef> {
        let mut shard = self.shard(key);
        if let Some(series) = shard.young.get(&key) {
            return Some(*series);
        }
        let series = shard.old.remove(&key)?;
        shard.insert(key, series);
        Some(series)
    }

    pub(crate) fn insert(&self, key: u128, series: SeriesRef) {
        self.shard(key).insert(key, series);
    }

    /// Removes all entries.
    pub(crate) fn clear(&self) {
        for shard in &self.shards {
            *shard.locked() = Shard::default();
        }
    }

    fn shard(&self, key: u128) -> MutexGuard<'_, Shard> {
        self.shards[(key >> 124) as usize % SHARDS].locked()
    }
}

impl Shard {
    fn insert(&mut self, key: u128, series: SeriesRef) {
        if self.young.len() >= GENERATION_ENTRIES_MAX / SHARDS {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, series);
    }
}

/// Keys are hashes already.
#[derive(Clone, Copy, Default)]
struct NoHash;

impl BuildHasher for NoHash {
    type Hasher = LowBits;

    fn build_hasher(&self) -> LowBits {
        LowBits(0)
    }
}

#[derive(Default)]
struct LowBits(u64);

impl Hasher for LowBits {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(number: u64) -> SeriesRef {
        SeriesRef::new(number).expect("not 0")
    }

    #[test]
    fn used_entries_survive_a_generation_and_unused_ones_do_not() {
        let cache = SeriesCache::new();
        // All of them are in shard 0.
        cache.insert(0, series(1));
        cache.insert(1, series(2));
        let per_shard = (GENERATION_ENTRIES_MAX / SHARDS) as u128;
        for key in 2..per_shard + 2 {
            cache.insert(key, series(9));
        }
        assert_eq!(cache.get(0), Some(series(1)), "moved to the young generation");
        for key in per_shard + 2..2 * per_shard + 2 {
            cache.insert(key, series(9));
        }
        assert_eq!((cache.get(0), cache.get(1)), (Some(series(1)), None));
        cache.clear();
        assert_eq!(cache.get(0), None);
    }
}
