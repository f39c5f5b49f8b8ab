//! The gate between commits and readers: a room for each, of which at most one is occupied.
//!
//! A commit is in the commit room while it adds its samples to the series; a reader is in the freeze room
//! while it records the current end of each of its series. So a reader sees a commit completely or not at
//! all, whatever its series and selectors are. While the other side waits, newcomers wait too, and when a
//! room empties, everybody who waits for the other one enters it together, so nobody starves.
//!
//! The rules are in [`Rooms`], which is independent of threads: `tests/isolation.rs` explores all of its
//! states. `tests/interleavings.rs` compiles this file with the locks of a model checker, hence
//! `super::sync`.

use super::sync::{Condvar, Mutex, rank};

/// Which room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Side {
    Commit,
    Freeze,
}

impl Side {
    fn other(self) -> Side {
        match self {
            Side::Commit => Side::Freeze,
            Side::Freeze => Side::Commit,
        }
    }
}

/// Visitors by room.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Rooms {
    /// The room that is open.
    open: Side,
    /// Number of visitors in it.
    occupants: u32,
    /// Number of waiting visitors, by side.
    waiting: [u32; 2],
    /// How often waiting visitors of each side were admitted. Each visitor remembers this number from when it
    /// arrived.
    admissions: [u64; 2],
}

/// The result of arriving.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Door {
    Entered,
    /// Waits until its side has been admitted more often than this.
    Waits(u64),
}

impl Rooms {
    pub(super) fn new() -> Self {
        Rooms { open: Side::Commit, occupants: 0, waiting: [0; 2], admissions: [0; 2] }
    }

    pub(super) fn enter(&mut self, side: Side) -> Door {
        let free = self.occupants == 0 && self.waiting == [0; 2];
        let join = self.open == side && self.waiting[side.other() as usize] == 0;
        if free || join {
            self.open = side;
            self.occupants += 1;
            return Door::Entered;
        }
        self.waiting[side as usize] += 1;
        Door::Waits(self.admissions[side as usize])
    }

    pub(super) fn may_enter(&self, side: Side, since: u64) -> bool {
        self.admissions[side as usize] > since
    }

    /// Returns whether waiting visitors were admitted.
    pub(super) fn leave(&mut self) -> bool {
        self.occupants -= 1;
        if self.occupants > 0 {
            return false;
        }
        let next = [self.open.other(), self.open].into_iter().find(|side| self.waiting[*side as usize] > 0);
        let Some(next) = next else { return false };
        self.open = next;
        self.occupants = std::mem::take(&mut self.waiting[next as usize]);
        self.admissions[next as usize] += 1;
        true
    }
}

/// The gate of a head.
pub struct Gate {
    rooms: Mutex<Rooms, rank::Gate>,
    wake: Condvar,
}

impl Default for Gate {
    fn default() -> Self {
        Gate { rooms: Mutex::new(Rooms::new()), wake: Condvar::new() }
    }
}

impl Gate {
    fn enter(&self, side: Side) -> Visit<'_> {
        let mut rooms = self.rooms.lock();
        if let Door::Waits(since) = rooms.enter(side) {
            while !rooms.may_enter(side, since) {
                rooms = self.wake.wait(rooms);
            }
        }
        Visit(self)
    }

    /// Enters the commit room; waits while readers freeze.
    pub fn commit(&self) -> Visit<'_> {
        self.enter(Side::Commit)
    }

    /// Enters the freeze room; waits while commits are being applied.
    pub fn freeze(&self) -> Visit<'_> {
        self.enter(Side::Freeze)
    }
}

/// A visit to a room, which ends when it is dropped.
pub struct Visit<'a>(&'a Gate);

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        if self.0.rooms.lock().leave() {
            self.0.wake.notify_all();
        }
    }
}
