//! The bytes that queries may hold: one contract for the process, one account per query.
//!
//! An account reserves before a buffer grows, in steps that keep the shared counter out of inner loops. A
//! refusal ends the query that asked with an error; nothing else in the process notices.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::QueryError;

/// Bytes are taken from the contract in multiples of this.
const RESERVE_STEP_BYTES: u64 = 64 * 1024;

/// What all queries of a process may hold together. Clones are the same contract.
#[derive(Clone, Debug)]
pub struct MemoryContract {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    used: AtomicU64,
    limit: AtomicU64,
}

impl MemoryContract {
    /// A contract over `limit` bytes.
    pub fn new(limit: u64) -> Self {
        MemoryContract { shared: Arc::new(Shared { used: AtomicU64::new(0), limit: AtomicU64::new(limit) }) }
    }

    /// A contract that refuses nothing.
    pub fn unlimited() -> Self {
        Self::new(u64::MAX)
    }

    /// Bytes in use by queries now.
    pub fn used(&self) -> u64 {
        self.shared.used.load(Ordering::Relaxed)
    }

    /// Changes the bound. Queries that hold more go on until they ask for more.
    pub fn set_limit(&self, limit: u64) {
        self.shared.limit.store(limit, Ordering::Relaxed);
    }

    fn take(&self, bytes: u64) -> Result<(), QueryError> {
        let limit = self.shared.limit.load(Ordering::Relaxed);
        self.shared
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|&sum| sum <= limit)
            })
            .map(|_| ())
            .map_err(|used| QueryError::OutOfMemory { asked: bytes, used, limit })
    }

    fn give_back(&self, bytes: u64) {
        self.shared.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// What one query holds. Everything goes back when it is dropped.
#[derive(Debug)]
pub(crate) struct QueryAccount {
    contract: MemoryContract,
    /// Bytes taken from the contract.
    reserved: Cell<u64>,
    /// Bytes of them that buffers really use.
    used: Cell<u64>,
}

impl QueryAccount {
    pub(crate) fn new(contract: MemoryContract) -> Self {
        QueryAccount { contract, reserved: Cell::new(0), used: Cell::new(0) }
    }

    /// Makes sure that `bytes` more may be allocated.
    pub(crate) fn reserve(&self, bytes: usize) -> Result<(), QueryError> {
        let used = self.used.get().saturating_add(bytes as u64);
        if used > self.reserved.get() {
            let missing = (used - self.reserved.get()).next_multiple_of(RESERVE_STEP_BYTES);
            self.contract.take(missing)?;
            self.reserved.set(self.reserved.get() + missing);
        }
        self.used.set(used);
        Ok(())
    }

    /// Says that `bytes` of what was reserved are free again. They stay with the query for its next buffer.
    pub(crate) fn release(&self, bytes: usize) {
        self.used.set(self.used.get().saturating_sub(bytes as u64));
    }
}

impl QueryAccount {
    /// Gives everything back but `bytes`, which the query's result takes.
    pub(crate) fn keep(self, bytes: u64) -> HeldMemory {
        let held = bytes.min(self.reserved.get());
        self.reserved.set(self.reserved.get() - held);
        HeldMemory { contract: Some(self.contract.clone()), bytes: held }
    }
}

/// The bytes of a result, which outlives its query until it has been written out. They go back when this is dropped.
#[derive(Debug, Default)]
pub struct HeldMemory {
    contract: Option<MemoryContract>,
    bytes: u64,
}

impl Drop for HeldMemory {
    fn drop(&mut self) {
        if let Some(contract) = &self.contract {
            contract.give_back(self.bytes);
        }
    }
}

impl Drop for QueryAccount {
    fn drop(&mut self) {
        self.contract.give_back(self.reserved.get());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_share_one_bound_and_give_back_what_they_took() {
        let contract = MemoryContract::new(3 * RESERVE_STEP_BYTES);
        let first = QueryAccount::new(contract.clone());
        first.reserve(1).expect("the contract is empty");
        assert_eq!(contract.used(), RESERVE_STEP_BYTES);
        first.reserve(2 * RESERVE_STEP_BYTES as usize).expect("three steps in all");
        let second = QueryAccount::new(contract.clone());
        assert!(matches!(second.reserve(1), Err(QueryError::OutOfMemory { .. })));
        drop(first);
        second.reserve(1).expect("the first query is over");
        assert!(second.reserve(usize::MAX).is_err(), "no overflow");
        let held = second.keep(100);
        assert_eq!(contract.used(), 100, "the result is still there");
        drop(held);
        assert_eq!(contract.used(), 0);
    }
}
