//! The gate between commits and readers: a room for each, and never both occupied.
//!
//! A commit holds the commit room while it puts its samples into the series; a reader holds the freeze room
//! while it notes how far each of its series goes. So a reader sees a commit whole or not at all, whatever
//! series and selectors it has. When the other side waits, newcomers wait too, and when a room empties,
//! everybody who waits for the other enters it together: nobody starves.
//!
//! The rules are in [`Rooms`], which knows nothing of threads: `tests/isolation.rs` walks through all of its states. And
//! `tests/interleavings.rs` compiles this very file with the locks of a model checker, hence `super::sync`.

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
    /// Whose room is open.
    open: Side,
    /// How many are in it.
    occupants: u32,
    /// How many wait, by side.
    waiting: [u32; 2],
    /// How often waiting ones of each side were let in. Each visitor remembers the number it came at.
    admissions: [u64; 2],
}

/// What became of somebody at the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Door {
    Entered,
    /// Waits until its side was let in more often than this.
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

    /// Returns whether visitors who waited were let in.
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

/// Being in a room; dropping it leaves.
pub struct Visit<'a>(&'a Gate);

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        if self.0.rooms.lock().leave() {
            self.0.wake.notify_all();
        }
    }
}
