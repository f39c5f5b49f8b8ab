//! Maps refs of the log to slots.

use std::collections::HashMap;

use crate::ids::{LogRef, SlotId};

/// Slots by ref. Refs are assigned consecutively, so most are found without hashing.
#[derive(Default)]
pub struct RefTable {
    dense: Vec<RefTarget>,
    sparse: HashMap<u64, RefTarget>,
}

/// The target of a ref.
#[derive(Clone, Copy)]
pub struct RefTarget {
    /// Timestamp of the series' newest sample when the ref was added. Samples up to this time are skipped
    /// without accessing the series.
    pub done_to: i64,
    /// The beginning of the first chunk that `chunks_head` has of the ref, until the log has come to it.
    pub chunks_from: i64,
    pub slot: SlotId,
    /// Whether it is an additional ref of its label set.
    pub extra: bool,
}

const NO_TARGET: RefTarget =
    RefTarget { done_to: i64::MIN, chunks_from: i64::MIN, slot: SlotId::new(u32::MAX), extra: false };

const DENSE_REFS_MAX: usize = 1 << 24;
/// A larger ref is the result of damage, not a real one.
pub const REF_MAX: u64 = 1 << 48;

impl RefTable {
    /// The target of a ref, if it is known.
    #[inline]
    pub fn get(&self, log_ref: LogRef) -> Option<RefTarget> {
        let dense = usize::try_from(log_ref.get()).ok().and_then(|at| self.dense.get(at));
        let place = match dense {
            Some(place) => *place,
            None => *self.sparse.get(&log_ref.get())?,
        };
        (place.slot != NO_TARGET.slot).then_some(place)
    }

    /// Notes that the log has come to the chunks of a ref.
    pub fn reached_chunks(&mut self, log_ref: LogRef) {
        let dense = usize::try_from(log_ref.get()).ok().and_then(|at| self.dense.get_mut(at));
        if let Some(place) = dense.or_else(|| self.sparse.get_mut(&log_ref.get())) {
            place.chunks_from = i64::MIN;
        }
    }

    /// Makes a ref known.
    pub fn insert(&mut self, log_ref: LogRef, new: RefTarget) {
        match usize::try_from(log_ref.get()) {
            // Only as long as the table stays about as full as it is.
            Ok(at) if at < DENSE_REFS_MAX && at < 2 * self.dense.len() + 1024 => {
                if at >= self.dense.len() {
                    let before = self.dense.len();
                    self.dense.resize(at + 1, NO_TARGET);
                    if !self.sparse.is_empty() {
                        for at in before..=at {
                            if let Some(place) = self.sparse.remove(&(at as u64)) {
                                self.dense[at] = place;
                            }
                        }
                    }
                }
                self.dense[at] = new;
            }
            _ => {
                self.sparse.insert(log_ref.get(), new);
            }
        }
    }
}
