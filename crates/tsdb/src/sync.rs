//! Locks with ranks: the order in which the whole crate takes them, and the only place that knows poison.
//!
//! A thread that holds a lock may take only locks of a later rank. Debug builds keep a list of what each thread holds
//! and panic at the first lock that breaks the order, whether or not a deadlock follows. Release builds know
//! nothing of ranks: a lock has the size and the cost of the one that it wraps.
//!
//! Poison is ignored. A panic under a lock is a bug that ends the commit or the query it happened in; what the lock
//! guards is changed in steps that leave it whole.

#[cfg(debug_assertions)]
use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
pub use std::sync::Arc;
use std::sync::{self, PoisonError, TryLockError};

/// Makes the order and a type for each rank in it.
macro_rules! ranks {
    ($($(#[$why:meta])* $name:ident,)*) => {
        /// A rank, compared by its place in the order.
        // Only debug builds look at it.
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
    /// Maintenance, deletion, backups and savepoints: one at a time, around everything else.
    Maintenance,
    /// The lock file of the directory.
    LockFile,
    Retention,
    /// What new snapshots see. Published while blocks are asked for their names.
    View,
    /// The caches of series identities, then those of one block.
    IdentityCache,
    Identities,
    /// Meta and tombstones of a block. A deletion holds it while it writes them.
    BlockState,
    /// The end of a log. Beginning a segment notes it in the list of segments.
    LogWriter,
    Segments,
    /// Commits under way. Waiting for them with a lock that a commit needs would wait forever.
    Flights,
    /// The gate between commits and readers; the same holds.
    Gate,
    /// Removed series whose slots are not free yet.
    RemovedSlots,
    /// Labels and postings. Held while a series is made or removed, so it comes before all that series have.
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
    /// What waits to be logged. A new series enters it under the index.
    LogQueue,
    /// The head's chunk files. A series that is full writes to them.
    Chunks,
    Pins,
    Watermarks,
    /// Disks in memory: the overlay, then the file system, then one file.
    Overlay,
    Disk,
    File,
}

/// A place in the order of locks.
pub trait Rank {
    /// Which one. Only debug builds look at it.
    #[cfg_attr(not(debug_assertions), allow(dead_code))]
    const ORDER: Order;
}

/// A lock that checks in debug builds that it is taken in order.
pub struct Ranked<L, R> {
    lock: L,
    rank: PhantomData<fn() -> R>,
}

/// A mutex with a rank.
pub type Mutex<T, R> = Ranked<sync::Mutex<T>, R>;
/// A lock for many readers or one writer, with a rank.
pub type RwLock<T, R> = Ranked<sync::RwLock<T>, R>;
/// What [`Mutex`] hands out.
pub type MutexGuard<'a, T, R> = Guard<sync::MutexGuard<'a, T>, R>;
/// What [`RwLock`] hands out for reading.
pub type ReadGuard<'a, T, R> = Guard<sync::RwLockReadGuard<'a, T>, R>;
/// What [`RwLock`] hands out for writing.
pub type WriteGuard<'a, T, R> = Guard<sync::RwLockWriteGuard<'a, T>, R>;

impl<T, R: Rank> Mutex<T, R> {
    /// An unlocked mutex.
    pub const fn new(value: T) -> Self {
        Ranked { lock: sync::Mutex::new(value), rank: PhantomData }
    }

    /// Waits for the lock.
    ///
    /// # Panics
    /// In debug builds, when the thread holds a lock of the same or a later rank.
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, T, R> {
        let held = Held::enter();
        Guard { guard: self.lock.lock().unwrap_or_else(PoisonError::into_inner), held }
    }

    /// Takes the lock if it is free.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T, R>> {
        let held = Held::enter();
        match self.lock.try_lock() {
            Ok(guard) => Some(Guard { guard, held }),
            Err(TryLockError::Poisoned(poisoned)) => Some(Guard { guard: poisoned.into_inner(), held }),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// The value, without locking: nobody else can have it.
    #[inline]
    pub fn get_mut(&mut self) -> &mut T {
        self.lock.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T, R: Rank> RwLock<T, R> {
    /// An unlocked lock.
    pub const fn new(value: T) -> Self {
        Ranked { lock: sync::RwLock::new(value), rank: PhantomData }
    }

    /// Waits until nobody writes.
    ///
    /// # Panics
    /// As [`Mutex::lock`]: a thread that reads twice would wait forever for a writer in between.
    #[inline]
    pub fn read(&self) -> ReadGuard<'_, T, R> {
        let held = Held::enter();
        Guard { guard: self.lock.read().unwrap_or_else(PoisonError::into_inner), held }
    }

    /// Waits until nobody reads or writes.
    ///
    /// # Panics
    /// As [`Mutex::lock`].
    #[inline]
    pub fn write(&self) -> WriteGuard<'_, T, R> {
        let held = Held::enter();
        Guard { guard: self.lock.write().unwrap_or_else(PoisonError::into_inner), held }
    }

    /// The value, without locking: nobody else can have it.
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
    held: Held<R>,
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

/// Wakes threads that wait with a [`Mutex`] of ours.
#[derive(Debug, Default)]
pub struct Condvar(sync::Condvar);

impl Condvar {
    /// A variable that nobody waits for.
    pub const fn new() -> Self {
        Condvar(sync::Condvar::new())
    }

    /// Gives the lock away until it is notified.
    pub fn wait<'a, T, R: Rank>(&self, locked: MutexGuard<'a, T, R>) -> MutexGuard<'a, T, R> {
        let Guard { guard, held } = locked;
        Guard { guard: self.0.wait(guard).unwrap_or_else(PoisonError::into_inner), held }
    }

    /// Wakes everybody who waits.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}

#[cfg(debug_assertions)]
thread_local! {
    static HELD: RefCell<Vec<Order>> = const { RefCell::new(Vec::new()) };
}

/// That this thread holds a lock of rank `R`. Nothing at all in release builds.
struct Held<R: Rank>(PhantomData<fn() -> R>);

impl<R: Rank> Held<R> {
    #[inline]
    fn enter() -> Self {
        #[cfg(debug_assertions)]
        HELD.with_borrow_mut(|held| {
            // A second panic while one unwinds would end the process and hide the first.
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
        Held(PhantomData)
    }
}

#[cfg(debug_assertions)]
impl<R: Rank> Drop for Held<R> {
    fn drop(&mut self) {
        HELD.with_borrow_mut(|held| {
            if let Some(last) = held.iter().rposition(|order| *order == R::ORDER) {
                held.remove(last);
            }
        });
    }
}

// Slots are counted in millions.
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
    fn the_order_is_free_of_charge_when_it_is_kept() {
        let (index, slot) = (Index::new(1), Slot::new(2));
        let index = index.read();
        assert_eq!(*index + *slot.lock(), 3);
        // Given back in any order.
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
        // Nothing stays marked as held, and other threads have lists of their own.
        let _slot = slot.lock();
        std::thread::scope(|scope| {
            scope.spawn(|| drop(index.write()));
        });
    }

    #[test]
    fn a_lock_goes_on_after_a_panic_under_it() {
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
