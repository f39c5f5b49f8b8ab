//! The memory for all pages together.
//!
//! There are classes ("rooms") of increasing size, each with its own budget. A page starts in the smallest and moves up
//! if it turns out to be larger:
//!
//! ```text
//! small (to 1 MiB each)  ─▶  medium (to 16 MiB)  ─▶  large (to the largest page)
//! ```
//!
//! Always true: a page only waits for a larger room, and the largest never waits, so pages cannot deadlock; small pages
//! do not wait behind large ones. A share is released when its holder is dropped; for a cancelled scrape that is the
//! thread that is still decompressing the page.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

const KIB: usize = 1 << 10;

/// The memory for all pages. Clones share the same memory.
#[derive(Clone, Debug)]
pub struct PageMemory(Arc<[PagePool; 3]>);

#[derive(Debug)]
struct PagePool {
    /// The size limit of a page in this room.
    page_bytes_max: usize,
    /// The free part of the budget, in KiB.
    free: Arc<Semaphore>,
    budget_kib: usize,
}

/// A page's share, released when dropped.
#[derive(Debug)]
pub struct PageShare {
    permit: OwnedSemaphorePermit,
    room: usize,
    bytes: usize,
}

impl PageShare {
    /// The size that the page may reach within this share.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl PageMemory {
    /// Creates it with this budget for all pages.
    pub fn new(budget_bytes: usize) -> Self {
        let room = |page_bytes_max: usize, budget_bytes: usize| {
            // One page of each room always fits, whatever the budget.
            let budget_kib = (budget_bytes.max(page_bytes_max) / KIB).min(Semaphore::MAX_PERMITS);
            PagePool { page_bytes_max, free: Arc::new(Semaphore::new(budget_kib)), budget_kib }
        };
        let large = budget_bytes / 4 * 3;
        let (small_page, medium_page) = ((budget_bytes / 64).min(1 << 20), (budget_bytes / 16).min(16 << 20));
        PageMemory(Arc::new([
            room(small_page.max(KIB), budget_bytes / 8),
            room(medium_page.max(KIB), budget_bytes / 8),
            room(large.max(KIB), large),
        ]))
    }

    /// Returns a share for a page of up to `bytes`, or the largest that the matching room allows. `held` is what the
    /// page already has; it is released once the larger share is available.
    pub async fn share(&self, bytes: usize, held: Option<PageShare>) -> PageShare {
        let fitting = self.0.iter().position(|room| bytes <= room.page_bytes_max);
        let room = fitting.unwrap_or(self.0.len() - 1);
        let wanted = bytes.min(self.0[room].page_bytes_max);
        match held {
            Some(held) if held.room > room || (held.room == room && held.bytes >= wanted) => held,
            // Nothing waits within a room while holding a share of it: `held` is released first. The bytes stay
            // allocated for that moment; the budget per room leaves a margin for this.
            Some(held) if held.room == room => {
                drop(held);
                self.take(room, wanted).await
            }
            held => {
                let share = self.take(room, wanted).await;
                drop(held);
                share
            }
        }
    }

    /// Returns a share for a page of unknown size: the largest page of the next room after `held`, but at most
    /// `bytes_max`. In the last room the share stays the same.
    pub async fn larger_room(&self, held: Option<PageShare>, bytes_max: usize) -> PageShare {
        let room = match held {
            None => 0,
            Some(held) if held.room + 1 == self.0.len() => return held,
            Some(ref held) => held.room + 1,
        };
        let share = self.take(room, self.0[room].page_bytes_max.min(bytes_max)).await;
        drop(held);
        share
    }

    /// The free memory of all rooms.
    #[cfg(test)]
    pub(crate) fn free_kib(&self) -> usize {
        self.0.iter().map(|room| room.free.available_permits()).sum()
    }

    async fn take(&self, room: usize, bytes: usize) -> PageShare {
        let PagePool { free, budget_kib, .. } = &self.0[room];
        let kib = u32::try_from(bytes.div_ceil(KIB).clamp(1, *budget_kib)).unwrap_or(u32::MAX);
        let permit = free.clone().acquire_many_owned(kib).await.expect("this semaphore is never closed");
        PageShare { permit, room, bytes }
    }

    /// Releases what a complete page does not need.
    pub fn shrink(share: &mut PageShare, bytes: usize) {
        let kib = bytes.div_ceil(KIB).max(1);
        let spare = share.permit.num_permits().saturating_sub(kib);
        drop(share.permit.split(spare));
        share.bytes = share.bytes.min(bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MIB: usize = 1 << 20;

    fn free(memory: &PageMemory) -> [usize; 3] {
        [0, 1, 2].map(|room| memory.0[room].free.available_permits() / KIB)
    }

    #[tokio::test]
    async fn a_page_has_a_share_of_one_room_at_a_time() {
        let memory = PageMemory::new(512 * MIB);
        assert_eq!(free(&memory), [64, 64, 384]);
        let share = memory.larger_room(None, usize::MAX).await;
        assert_eq!((share.bytes(), free(&memory)), (MIB, [63, 64, 384]));
        let share = memory.larger_room(Some(share), usize::MAX).await;
        assert_eq!((share.bytes(), free(&memory)), (16 * MIB, [64, 48, 384]));
        let mut share = memory.share(100 * MIB, Some(share)).await;
        assert_eq!((share.bytes(), free(&memory)), (100 * MIB, [64, 64, 284]));
        PageMemory::shrink(&mut share, 60 * MIB);
        assert_eq!(free(&memory), [64, 64, 324]);
        let share = memory.share(10 * MIB, Some(share)).await;
        assert_eq!(free(&memory), [64, 64, 324]);
        let share = memory.larger_room(Some(share), usize::MAX).await;
        drop(share);
        assert_eq!(free(&memory), [64, 64, 384]);
    }

    #[tokio::test]
    async fn small_pages_do_not_wait_behind_large_ones_which_get_their_turn() {
        let memory = PageMemory::new(512 * MIB);
        let mut shares = Vec::new();
        for _ in 0..2 {
            shares.push(memory.share(150 * MIB, None).await);
        }
        // A third large page waits while holding what it has read so far.
        let waiting = {
            let memory = memory.clone();
            tokio::spawn(async move {
                let held = memory.larger_room(None, usize::MAX).await;
                memory.share(150 * MIB, Some(held)).await
            })
        };
        tokio::task::yield_now().await;
        let small = tokio::time::timeout(Duration::from_secs(5), memory.share(MIB, None)).await;
        assert_eq!(small.expect("the small room is free").bytes(), MIB);
        assert!(!waiting.is_finished());
        shares.pop();
        let share = tokio::time::timeout(Duration::from_secs(5), waiting).await.expect("its turn");
        assert_eq!(share.expect("no panic").bytes(), 150 * MIB);
    }

    #[tokio::test]
    async fn any_budget_takes_one_page_of_any_size() {
        for budget in [0, 1, 10 * KIB, MIB, 100 * MIB] {
            let memory = PageMemory::new(budget);
            let share = tokio::time::timeout(Duration::from_secs(5), memory.share(1 << 40, None)).await;
            assert!(share.expect("it alone gets everything").bytes() >= KIB, "{budget}");
        }
    }
}
