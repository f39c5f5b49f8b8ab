//! Locks with ranks, which define the locking order of the whole crate. This is the only file that handles
//! poisoning.
//!
//! A thread that holds a lock may acquire only locks of a later rank. Debug builds keep a list of the locks
//! that each thread holds, and panic at the first violation, whether or not a deadlock follows. Release
//! builds have no ranks: a lock has the size and cost of the one that it wraps.
//!
//! Poisoning is ignored. A panic under a lock is a bug that ends the commit or query in which it occurs; the
//! guarded data is changed in steps that leave it valid.

#[cfg(debug_assertions)]
use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
pub use std::sync::Arc;
use std::sync::{self, PoisonError, TryLockError};

use ferula_go::sync::{MutexExt, RwLockExt};

/// Defines the order, and a type for each rank in it.
macro_rules! ranks {
    ($($(#[$why:meta])* $name:ident,)*) => {
        /// A rank; ranks compare by their position in the order.
        // Only debug builds use it.
        #[cfg_attr(not(debug_assertions), allow(dead_code))]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Order { $($(#[$why])* $name,)* }

        /// The ranks as types, for [`Ranked`].
        pub mod rank {
            $(
                #[derive(Debug)]
                pub struct $name;

                impl super::Rank for $name {
                    const ORDER: super::Order = super::Order::$name;
                }
            )*
        }
    };
}

ranks! {
    /// Maintenance, deletion, backups and savepoints: one at a time, and before all other locks.
    Maintenance,
    /// The lock file of the directory.
    LockFile,
    Retention,
    /// What new snapshots see. Published while the names of blocks are read.
    View,
    /// The cache of series identities by block, then that of one block.
    IdentityCache,
    Identities,
    /// Meta and tombstones of a block. A deletion holds it while it writes them.
    BlockState,
    /// The end of a log. A new segment is recorded in the list of segments.
    LogWriter,
    Segments,
    /// Commits in progress. Waiting for them while holding a lock that a commit needs would deadlock.
    Flights,
    /// The gate between commits and readers; the same applies.
    Gate,
    /// Removed series whose slots are not free yet.
    RemovedSlots,
    /// Labels and postings. Held while a series is created or removed, so it comes before the locks of
    /// series.
    Index,
    Deleted,
    Metadata,
    /// One series. A thread never holds two of them.
    Slot,
    Departed,
    ExtraRefs,
    Exemplars,
    FreeSlots,
    OutOfOrderLog,
    /// Entries that wait to be logged. A new series is added while the index is locked.
    LogQueue,
    /// The head's chunk files. A series with a full chunk writes to them.
    Chunks,
    Pins,
    Watermarks,
    /// The damage that was found; a report may come from anywhere.
    Damages,
    /// Disks in memory: the overlay, then the file system, then one file.
    Overlay,
    Disk,
    File,
}

/// A position in the locking order.
pub trait Rank {
    /// The rank. Only debug builds use it.
    #[cfg_attr(not(debug_assertions), allow(dead_code))]
    const ORDER: Order;
}

/// A lock that checks in debug builds that it is acquired in order.
pub struct Ranked<L, R> {
    lock: L,
    rank: PhantomData<fn() -> R>,
}

/// A mutex with a rank.
pub type Mutex<T, R> = Ranked<sync::Mutex<T>, R>;
/// A lock for many readers or one writer, with a rank.
pub type RwLock<T, R> = Ranked<sync::RwLock<T>, R>;
/// The guard of a [`Mutex`].
pub type MutexGuard<'a, T, R> = Guard<sync::MutexGuard<'a, T>, R>;
/// The read guard of an [`RwLock`].
pub type ReadGuard<'a, T, R> = Guard<sync::RwLockReadGuard<'a, T>, R>;
/// The write guard of an [`RwLock`].
pub type WriteGuard<'a, T, R> = Guard<sync::RwLockWriteGuard<'a, T>, R>;

impl<T, R: Rank> Mutex<T, R> {
    /// Creates an unlocked mutex.
    pub const fn new(value: T) -> Self {
        Ranked { lock: sync::Mutex::new(value), rank: PhantomData }
    }

    /// Acquires the lock.
    ///
    /// # Panics
    /// In debug builds, if the thread holds a lock of the same or a later rank.
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, T, R> {
        let held = HeldRank::enter();
        Guard { guard: self.lock.locked(), held }
    }

    /// Acquires the lock if it is free.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T, R>> {
        let held = HeldRank::enter();
        match self.lock.try_lock() {
            Ok(guard) => Some(Guard { guard, held }),
            Err(TryLockError::Poisoned(poisoned)) => Some(Guard { guard: poisoned.into_inner(), held }),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// The value without locking, since access is exclusive.
    #[inline]
    pub fn get_mut(&mut self) -> &mut T {
        self.lock.unlocked_mut()
    }
}

impl<T, R: Rank> RwLock<T, R> {
    /// Creates an unlocked lock.
    pub const fn new(value: T) -> Self {
        Ranked { lock: sync::RwLock::new(value), rank: PhantomData }
    }

    /// Acquires the lock for reading.
    ///
    /// # Panics
    /// As [`Mutex::lock`]: a thread that reads twice would deadlock with a writer in between.
    #[inline]
    pub fn read(&self) -> ReadGuard<'_, T, R> {
        let held = HeldRank::enter();
        Guard { guard: self.lock.read_locked(), held }
    }

    /// Acquires the lock for writing.
    ///
    /// # Panics
    /// As [`Mutex::lock`].
    #[inline]
    pub fn write(&self) -> WriteGuard<'_, T, R> {
        let held = HeldRank::enter();
        Guard { guard: self.lock.write_locked(), held }
    }

    /// The value without locking, since access is exclusive.
    #[inline]
    pub fn get_mut(&mut self) -> &mut T {
        self.lock.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<L: Default, R> Default for Ranked<L, R> {
    fn default() -> Self {
        Ranked { lock: L::default(), rank: PhantomData }
    }
}

impl<L: fmt::Debug, R> fmt::Debug for Ranked<L, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lock.fmt(f)
    }
}

/// Holds a lock until it is dropped.
pub struct Guard<G, R: Rank> {
    guard: G,
    held: HeldRank<R>,
}

impl<G: Deref, R: Rank> Deref for Guard<G, R> {
    type Target = G::Target;

    #[inline]
    fn deref(&self) -> &G::Target {
        &self.guard
    }
}

impl<G: DerefMut, R: Rank> DerefMut for Guard<G, R> {
    #[inline]
    fn deref_mut(&mut self) -> &mut G::Target {
        &mut self.guard
    }
}

/// A condition variable for our [`Mutex`].
#[derive(Debug, Default)]
pub struct Condvar(sync::Condvar);

impl Condvar {
    /// A variable that nobody waits for.
    pub const fn new() -> Self {
        Condvar(sync::Condvar::new())
    }

    /// Releases the lock until it is notified.
    pub fn wait<'a, T, R: Rank>(&self, locked: MutexGuard<'a, T, R>) -> MutexGuard<'a, T, R> {
        let Guard { guard, held } = locked;
        Guard { guard: self.0.wait(guard).unwrap_or_else(PoisonError::into_inner), held }
    }

    /// Wakes all waiting threads.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}

#[cfg(debug_assertions)]
thread_local! {
    static HELD: RefCell<Vec<Order>> = const { RefCell::new(Vec::new()) };
}

/// Proof that this thread holds a lock of rank `R`. Empty in release builds.
struct HeldRank<R: Rank>(PhantomData<fn() -> R>);

impl<R: Rank> HeldRank<R> {
    #[inline]
    fn enter() -> Self {
        #[cfg(debug_assertions)]
        HELD.with_borrow_mut(|held| {
            // A second panic while unwinding would abort the process and hide the first.
            if let Some(last) =
                held.iter().max().filter(|last| **last >= R::ORDER && !std::thread::panicking())
            {
                panic!(
                    "{:?} is locked under {last:?}, which comes later: see the order in sync.rs",
                    R::ORDER
                );
            }
            held.push(R::ORDER);
        });
        HeldRank(PhantomData)
    }
}

#[cfg(debug_assertions)]
impl<R: Rank> Drop for HeldRank<R> {
    fn drop(&mut self) {
        HELD.with_borrow_mut(|held| {
            if let Some(last) = held.iter().rposition(|order| *order == R::ORDER) {
                held.remove(last);
            }
        });
    }
}

// There are millions of slots.
#[cfg(not(debug_assertions))]
const _: () = assert!(size_of::<Mutex<u64, rank::Slot>>() == size_of::<sync::Mutex<u64>>());

#[cfg(test)]
mod tests {
    use super::*;

    type Index = RwLock<u32, rank::Index>;
    type Slot = Mutex<u32, rank::Slot>;

    fn panics(run: impl FnOnce()) -> bool {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err()
    }

    #[test]
    fn locks_in_order_are_acquired_and_released() {
        let (index, slot) = (Index::new(1), Slot::new(2));
        let index = index.read();
        assert_eq!(*index + *slot.lock(), 3);
        // Released in any order.
        let first = slot.lock();
        drop(index);
        drop(first);
        *slot.lock() += 1;
    }

    #[test]
    #[cfg(debug_assertions)]
    fn a_wrong_order_panics_in_debug_builds() {
        let (index, slot, other) = (Index::new(1), Slot::new(2), Slot::new(3));
        assert!(panics(|| {
            let _slot = slot.lock();
            let _index = index.read();
        }));
        assert!(panics(|| {
            let _slot = slot.lock();
            let _other = other.try_lock();
        }));
        assert!(panics(|| {
            let _once = index.read();
            let _twice = index.read();
        }));
        // Nothing stays marked as held, and other threads have their own lists.
        let _slot = slot.lock();
        std::thread::scope(|scope| {
            scope.spawn(|| drop(index.write()));
        });
    }

    #[test]
    fn a_lock_works_after_a_panic_under_it() {
        let slot = Slot::new(1);
        assert!(panics(|| {
            let mut value = slot.lock();
            *value = 2;
            panic!("on purpose");
        }));
        assert_eq!(slot.try_lock().map(|value| *value), Some(2));
        assert_eq!(*slot.lock(), 2);
    }
}
