//! Slots for series: memory that never moves, and is found by number without a lock.

use std::sync::OnceLock;

use ferula_model::SeriesRef;

use super::series::Series;
use super::sync::{Mutex, MutexGuard, rank};
use crate::ids::SlotId;

/// Number of slots in a slab. The first slabs double up to this, so that a small head stays small.
const SLAB_SLOTS: usize = 4096;
const FIRST_SLAB_SLOTS: usize = 64;
const GROWING_SLABS: usize = (SLAB_SLOTS / FIRST_SLAB_SLOTS).trailing_zeros() as usize;
/// Total number of slots in the slabs that double.
const GROWING_SLOTS: usize = FIRST_SLAB_SLOTS * ((1 << GROWING_SLABS) - 1);
const SHELF_SLABS: usize = 128;
const SHELVES: usize = 128;
/// Maximum number of series in a head.
pub const SLOTS_MAX: usize = SLAB_SLOTS * (SHELF_SLABS * SHELVES - GROWING_SLABS) + GROWING_SLOTS;

type Slab = Box<[Mutex<Series, rank::Slot>]>;
/// A series, locked.
pub type SeriesGuard<'a> = MutexGuard<'a, Series, rank::Slot>;

/// All slots of a head.
pub struct Slots {
    shelves: Box<[OnceLock<SlabShelf>]>,
    free: Mutex<Free, rank::FreeSlots>,
}

impl Default for Slots {
    fn default() -> Self {
        Slots { shelves: (0..SHELVES).map(|_| OnceLock::new()).collect(), free: Mutex::default() }
    }
}

struct SlabShelf(Box<[OnceLock<Slab>]>);

/// Number of the slot's slab, its length, and the slot's index in it.
fn place(slot: SlotId) -> (usize, usize, usize) {
    let slot = slot.index();
    if slot >= GROWING_SLOTS {
        let slot = slot - GROWING_SLOTS;
        return (GROWING_SLABS + slot / SLAB_SLOTS, SLAB_SLOTS, slot % SLAB_SLOTS);
    }
    let slab = (slot / FIRST_SLAB_SLOTS + 1).ilog2() as usize;
    let before = FIRST_SLAB_SLOTS * ((1 << slab) - 1);
    (slab, FIRST_SLAB_SLOTS << slab, slot - before)
}

#[derive(Default)]
struct Free {
    /// Slots that were used before.
    slots: Vec<SlotId>,
    /// The first slot that was never used.
    next: u32,
    reused: bool,
}

impl Slots {
    /// A free slot; `None` if there is none left.
    pub fn take(&self) -> Option<SlotId> {
        let mut free = self.free.lock();
        if let Some(slot) = free.slots.pop() {
            free.reused = true;
            return Some(slot);
        }
        if free.next as usize >= SLOTS_MAX {
            return None;
        }
        let slot = SlotId::new(free.next);
        let (slab, slots, _) = place(slot);
        self.shelves[slab / SHELF_SLABS]
            .get_or_init(|| SlabShelf((0..SHELF_SLABS).map(|_| OnceLock::new()).collect()))
            .0[slab % SHELF_SLABS]
            .get_or_init(|| (0..slots).map(|_| Mutex::default()).collect());
        free.next += 1;
        Some(slot)
    }

    /// Frees slots for other series.
    pub fn give_back(&self, slots: &[SlotId]) {
        self.free.lock().slots.extend_from_slice(slots);
    }

    /// Number of slots assigned so far: smaller slot numbers are valid.
    pub fn count(&self) -> u32 {
        self.free.lock().next
    }

    /// Every slot assigned so far.
    pub fn all(&self) -> impl Iterator<Item = SlotId> + use<> {
        (0..self.count()).map(SlotId::new)
    }

    /// Whether the order of slots may differ from the order in which series were created.
    pub fn reused(&self) -> bool {
        self.free.lock().reused
    }

    /// The series in a slot, locked.
    ///
    /// # Panics
    /// `take` never returned the slot.
    pub fn lock(&self, slot: SlotId) -> SeriesGuard<'_> {
        self.get(slot).expect("the slot was assigned")
    }

    /// The series in a slot, for a caller with exclusive access to the slots.
    ///
    /// # Panics
    /// `take` never returned the slot.
    pub fn get_mut(&mut self, slot: SlotId) -> &mut Series {
        let (slab, _, at) = place(slot);
        let shelf = self.shelves[slab / SHELF_SLABS].get_mut().expect("the slot was assigned");
        let slab = shelf.0[slab % SHELF_SLABS].get_mut().expect("the slot was assigned");
        slab[at].get_mut()
    }

    /// The series in a slot, locked; `None` if the slot does not exist.
    pub fn get(&self, slot: SlotId) -> Option<SeriesGuard<'_>> {
        let (slab, _, at) = place(slot);
        let shelf = self.shelves.get(slab / SHELF_SLABS)?.get()?;
        Some(shelf.0[slab % SHELF_SLABS].get()?.get(at)?.lock())
    }

    /// The series of a handle, locked; `None` if it was removed.
    pub fn resolve(&self, series: SeriesRef) -> Option<(SlotId, SeriesGuard<'_>)> {
        let (slot, generation) = split(series);
        let found = self.get(slot)?;
        (found.alive && found.generation == generation).then_some((slot, found))
    }
}

/// The handle of a series: slot and generation. It is unrelated to refs in the log.
pub fn handle(slot: SlotId, generation: u32) -> SeriesRef {
    SeriesRef::new(u64::from(generation) << 32 | (u64::from(slot.get()) + 1))
        .expect("the slot's number plus one is not 0")
}

/// Slot and generation of a handle.
pub fn split(series: SeriesRef) -> (SlotId, u32) {
    let number = series.get();
    (SlotId::new((number as u32).wrapping_sub(1)), (number >> 32) as u32)
}

const _: () = assert!(SLOTS_MAX < super::id_table::ID_END as usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_has_its_own_memory() {
        let mut expected = (0, 0);
        for slot in (0..3 * SLAB_SLOTS as u32).map(SlotId::new) {
            let (slab, slots, at) = place(slot);
            assert_eq!((slab, at), expected);
            expected = if at + 1 == slots { (slab + 1, 0) } else { (slab, at + 1) };
        }
        assert_eq!(place(SlotId::new(SLOTS_MAX as u32 - 1)).0, SHELF_SLABS * SHELVES - 1);
    }

    #[test]
    fn a_handle_of_an_earlier_generation_finds_nothing() {
        let slots = Slots::default();
        let slot = slots.take().expect("free");
        slots.lock(slot).alive = true;
        let old = handle(slot, 0);
        assert!(slots.resolve(old).is_some());
        slots.lock(slot).generation = 1;
        assert!(slots.resolve(old).is_none());
        assert!(slots.resolve(handle(slot, 1)).is_some());
        assert!(slots.resolve(handle(SlotId::new(SLOTS_MAX as u32 - 1), 0)).is_none());
    }
}
