//! Locks that stay usable when a holder panics, as `sync.Mutex` and `sync.RWMutex` do.
//!
//! Rust's own are poisoned then, and each use has to say what it makes of that. Here the next holder carries on: what our locks guard is
//! replaced, counted up or added to in steps that each leave it whole, and a server that answers with what it has is worth more than one
//! that panics in every thread.

use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// [`Mutex`] without poison.
pub trait MutexExt<T: ?Sized> {
    /// Waits for the lock.
    fn locked(&self) -> MutexGuard<'_, T>;

    /// The content; nobody else can have the lock.
    fn unlocked_mut(&mut self) -> &mut T;

    /// The content, when the lock is no longer needed.
    fn into_unlocked(self) -> T
    where
        T: Sized;
}

impl<T: ?Sized> MutexExt<T> for Mutex<T> {
    #[inline]
    fn locked(&self) -> MutexGuard<'_, T> {
        self.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unlocked_mut(&mut self) -> &mut T {
        self.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    fn into_unlocked(self) -> T
    where
        T: Sized,
    {
        self.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// [`RwLock`] without poison.
pub trait RwLockExt<T: ?Sized> {
    /// Waits until nobody writes.
    fn read_locked(&self) -> RwLockReadGuard<'_, T>;

    /// Waits until nobody reads or writes.
    fn write_locked(&self) -> RwLockWriteGuard<'_, T>;
}

impl<T: ?Sized> RwLockExt<T> for RwLock<T> {
    #[inline]
    fn read_locked(&self) -> RwLockReadGuard<'_, T> {
        self.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_locked(&self) -> RwLockWriteGuard<'_, T> {
        self.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_outlives_the_panic_of_its_holder() {
        let (mutex, lock) = (Mutex::new(1), RwLock::new(1));
        let panicked = std::thread::scope(|scope| {
            let holder = scope.spawn(|| {
                let (mut number, mut other) = (mutex.locked(), lock.write_locked());
                (*number, *other) = (2, 3);
                panic!("while both are held");
            });
            holder.join().is_err()
        });
        assert!(panicked && mutex.is_poisoned() && lock.is_poisoned());
        assert_eq!((*mutex.locked(), *lock.read_locked()), (2, 3));
        let mut mutex = mutex;
        *mutex.unlocked_mut() += 1;
        assert_eq!(mutex.into_unlocked(), 3);
    }
}
