//! The bytes that readers may hold: one contract for the process, one lease per reader.
//!
//! A lease is asked before a buffer grows, and takes from the contract in steps that keep the shared counter out of
//! inner loops. A refusal ends the reader that asked with an error; nothing else in the process notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes are taken from the contract in multiples of this.
pub const LEASE_STEP_BYTES: u64 = 64 * 1024;

/// More bytes than all readers may hold together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{asked} more bytes asked for, {used} of {limit} in use")]
pub struct OutOfMemory {
    /// What the reader asked for.
    pub asked: u64,
    /// What all readers held at that moment.
    pub used: u64,
    /// What they may hold together.
    pub limit: u64,
}

/// What all readers of a process may hold together. Clones are the same contract.
#[derive(Clone, Debug)]
pub struct MemoryContract {
    shared: Arc<ContractState>,
}

#[derive(Debug)]
struct ContractState {
    used: AtomicU64,
    limit: AtomicU64,
}

impl MemoryContract {
    /// A contract over `limit` bytes.
    pub fn new(limit: u64) -> Self {
        MemoryContract {
            shared: Arc::new(ContractState { used: AtomicU64::new(0), limit: AtomicU64::new(limit) }),
        }
    }

    /// A contract that refuses nothing.
    pub fn unlimited() -> Self {
        Self::new(u64::MAX)
    }

    /// Bytes in use now.
    pub fn used(&self) -> u64 {
        self.shared.used.load(Ordering::Relaxed)
    }

    /// Changes the bound. Readers that hold more continue until they ask for more.
    pub fn set_limit(&self, limit: u64) {
        self.shared.limit.store(limit, Ordering::Relaxed);
    }

    /// Reserves bytes, which the caller releases with [`MemoryContract::give_back`].
    ///
    /// # Errors
    /// So many are not free.
    pub fn take(&self, bytes: u64) -> Result<(), OutOfMemory> {
        let limit = self.shared.limit.load(Ordering::Relaxed);
        self.shared
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|&sum| sum <= limit)
            })
            .map(|_| ())
            .map_err(|used| OutOfMemory { asked: bytes, used, limit })
    }

    /// Returns bytes that were taken.
    pub fn give_back(&self, bytes: u64) {
        self.shared.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// A lease that holds nothing yet.
    pub fn lease(&self) -> Lease {
        Lease { contract: self.clone(), taken: AtomicU64::new(0), used: AtomicU64::new(0) }
    }
}

/// What one reader holds. Everything goes back when it is dropped, so it is dropped with, or after, the buffers.
#[derive(Debug)]
pub struct Lease {
    contract: MemoryContract,
    /// Bytes taken from the contract, never less than `used`.
    taken: AtomicU64,
    used: AtomicU64,
}

impl Lease {
    /// Makes sure that `bytes` more may be allocated.
    ///
    /// # Errors
    /// So many are not free; what the lease held before, it still holds.
    pub fn grow(&self, bytes: usize) -> Result<(), OutOfMemory> {
        let bytes = bytes as u64;
        let used = self.used.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let taken = self.taken.load(Ordering::Relaxed);
        if used <= taken {
            return Ok(());
        }
        let missing = (used - taken).checked_next_multiple_of(LEASE_STEP_BYTES).unwrap_or(u64::MAX);
        match self.contract.take(missing) {
            Ok(()) => {
                self.taken.fetch_add(missing, Ordering::Relaxed);
                Ok(())
            }
            Err(refused) => {
                self.used.fetch_sub(bytes, Ordering::Relaxed);
                Err(refused)
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.contract.give_back(*self.taken.get_mut());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_share_one_bound_and_give_back_what_they_took() {
        let contract = MemoryContract::new(3 * LEASE_STEP_BYTES);
        let first = contract.lease();
        first.grow(1).expect("the contract is empty");
        assert_eq!(contract.used(), LEASE_STEP_BYTES);
        first.grow(2 * LEASE_STEP_BYTES as usize).expect("three steps in all");
        let second = contract.lease();
        let refused = second.grow(1).expect_err("nothing is free");
        assert_eq!(
            refused,
            OutOfMemory { asked: LEASE_STEP_BYTES, used: 3 * LEASE_STEP_BYTES, limit: 3 * LEASE_STEP_BYTES }
        );
        drop(first);
        second.grow(1).expect("the first reader is gone");
        assert!(second.grow(usize::MAX).is_err(), "no overflow");
        second.grow(1).expect("a refusal changes nothing");
        assert_eq!(contract.used(), LEASE_STEP_BYTES);
        drop(second);
        assert_eq!(contract.used(), 0);
    }
}
