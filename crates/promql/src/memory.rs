//! The bytes that a query holds: its account under the memory limit that all readers of the store share.
//!
//! Code asks the account before a buffer grows; the account takes from the shared limit in steps that keep the shared counter out of
//! inner loops. A refusal ends that query with an error; nothing else in the process is affected.
//!
//! The account shows what its query holds: a [`Reservation`] belongs to one buffer and releases its bytes when it is dropped
//! with it; a [`Frame`] releases whatever was charged while it was open, once all of that has been dropped.

use std::cell::Cell;
use std::rc::Rc;

use ferula_storage::{LEASE_STEP_BYTES as RESERVE_STEP_BYTES, MemoryContract};

use crate::QueryError;

/// What one query holds. All of it is released when the last clone is dropped; clones are the same account.
#[derive(Clone, Debug)]
pub(crate) struct QueryAccount {
    held: Rc<AccountBytes>,
}

#[derive(Debug)]
struct AccountBytes {
    contract: MemoryContract,
    /// Bytes taken from the contract.
    taken: Cell<u64>,
    /// Bytes of them that buffers really use.
    used: Cell<u64>,
    /// The most bytes that other threads of the query took at one time. They count in the contract, not here.
    beside: Cell<u64>,
}

impl QueryAccount {
    pub(crate) fn new(contract: MemoryContract) -> Self {
        QueryAccount {
            held: Rc::new(AccountBytes {
                contract,
                taken: Cell::new(0),
                used: Cell::new(0),
                beside: Cell::new(0),
            }),
        }
    }

    /// Makes sure that `bytes` more may be allocated. They count until the innermost open frame is closed.
    pub(crate) fn charge(&self, bytes: usize) -> Result<(), QueryError> {
        let AccountBytes { contract, taken, used, .. } = &*self.held;
        let more = used.get().saturating_add(bytes as u64);
        if more > taken.get() {
            let missing = (more - taken.get()).next_multiple_of(RESERVE_STEP_BYTES);
            contract.take(missing)?;
            taken.set(taken.get() + missing);
        }
        used.set(more);
        Ok(())
    }

    /// Makes sure that `bytes` more may be allocated. They count as long as the reservation is there.
    pub(crate) fn reserve(&self, bytes: usize) -> Result<Reservation, QueryError> {
        self.charge(bytes)?;
        Ok(Reservation { account: self.clone(), bytes: bytes as u64 })
    }

    /// Opens a frame. Frames close in the opposite order, and what was charged in one must be gone by then.
    pub(crate) fn frame(&self) -> Frame {
        Frame { account: self.clone(), before: self.held.used.get() }
    }

    /// The contract that it takes from.
    pub(crate) fn contract(&self) -> &MemoryContract {
        &self.held.contract
    }

    /// Notes how much memory other threads of the query took.
    pub(crate) fn saw_beside(&self, bytes: u64) {
        self.held.beside.set(self.held.beside.get().max(bytes));
    }

    /// The most bytes that were taken from the contract, which gets them back only at the end.
    pub(crate) fn peak(&self) -> u64 {
        self.held.taken.get() + self.held.beside.get()
    }

    /// Releases everything but `bytes`, which the query's result uses.
    pub(crate) fn keep(self, bytes: u64) -> HeldMemory {
        let AccountBytes { contract, taken, .. } = &*self.held;
        let kept = bytes.min(taken.get());
        taken.set(taken.get() - kept);
        HeldMemory { contract: Some(contract.clone()), bytes: kept }
    }
}

impl Drop for AccountBytes {
    fn drop(&mut self) {
        self.contract.give_back(self.taken.get());
    }
}

/// Bytes that one buffer uses. They stay with the query, for its next buffer, when this is dropped.
#[derive(Debug)]
#[must_use]
pub(crate) struct Reservation {
    account: QueryAccount,
    bytes: u64,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let used = &self.account.held.used;
        used.set(used.get().saturating_sub(self.bytes));
    }
}

/// Covers the work of an operator: what is charged while it is open is released once the result is there.
#[derive(Debug)]
#[must_use]
pub(crate) struct Frame {
    account: QueryAccount,
    before: u64,
}

impl Drop for Frame {
    fn drop(&mut self) {
        self.account.held.used.set(self.before);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_share_one_bound_and_give_back_what_they_took() {
        let contract = MemoryContract::new(3 * RESERVE_STEP_BYTES);
        let first = QueryAccount::new(contract.clone());
        first.charge(1).expect("the contract is empty");
        assert_eq!(contract.used(), RESERVE_STEP_BYTES);
        first.charge(2 * RESERVE_STEP_BYTES as usize).expect("three steps in all");
        let second = QueryAccount::new(contract.clone());
        assert!(matches!(second.charge(1), Err(QueryError::OutOfMemory(_))));
        drop(first);
        second.charge(1).expect("the first query is over");
        assert!(second.charge(usize::MAX).is_err(), "no overflow");
        let held = second.keep(100);
        assert_eq!(contract.used(), 100, "the result is still there");
        drop(held);
        assert_eq!(contract.used(), 0);
    }

    #[test]
    fn reservations_and_frames_give_back_what_their_buffers_took() {
        let account = QueryAccount::new(MemoryContract::unlimited());
        let used = || account.held.used.get();
        account.charge(10).expect("unlimited");
        let frame = account.frame();
        account.charge(100).expect("unlimited");
        let buffer = account.reserve(1000).expect("unlimited");
        assert_eq!(used(), 1110);
        drop(buffer);
        assert_eq!(used(), 110);
        drop(frame);
        assert_eq!(used(), 10);
        let result = account.reserve(5).expect("unlimited");
        assert_eq!(used(), 15);
        drop(result);
        assert_eq!(used(), 10);
    }
}
