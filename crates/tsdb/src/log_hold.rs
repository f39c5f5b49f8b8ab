//! The part of the log that readers still need. They update it at any time, and maintenance reads it when it
//! truncates the log.

use std::sync::atomic::{AtomicU64, Ordering};

use ferula_storage::Hold;

/// The first segment that readers still need, and a bit for "behind".
#[derive(Debug)]
pub(crate) struct LogHold(AtomicU64);

impl Default for LogHold {
    fn default() -> Self {
        LogHold(AtomicU64::new(u64::MAX))
    }
}

const BEHIND_BIT: u64 = 1 << 32;

impl LogHold {
    pub fn set(&self, held: Option<Hold>) {
        let packed = held.map_or(u64::MAX, |hold| {
            u64::from(hold.from.segment) | if hold.is_behind { BEHIND_BIT } else { 0 }
        });
        self.0.store(packed, Ordering::SeqCst);
    }

    /// The first segment that must stay, and whether ended series must stay too.
    pub fn get(&self) -> Option<(u32, bool)> {
        let packed = self.0.load(Ordering::SeqCst);
        (packed != u64::MAX).then_some((packed as u32, packed & BEHIND_BIT != 0))
    }
}
