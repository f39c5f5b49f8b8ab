//! The threads that queries share: each query has one of its own, and a large one may borrow others while they are free.
//!
//! Threads are lent for some milliseconds at a time, so several large queries take turns, and a small query never waits:
//! it needs nothing but its own thread. A thread that is lent costs some 20 microseconds to start, which is little beside
//! the work that is worth it.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use ferula_promql::Spread;

/// Less work is not worth a thread. A unit is a sample or a step, and takes some nanoseconds.
const WORK_PER_THREAD: u64 = 150_000;

/// Lends threads, at most one less than there are cores, beside the queries' own.
#[derive(Debug)]
pub struct Cores {
    free: AtomicUsize,
}

impl Cores {
    /// For `cores` cores.
    pub fn new(cores: usize) -> Self {
        Cores { free: AtomicUsize::new(cores.saturating_sub(1)) }
    }

    /// Those that this process may use.
    pub fn of_machine() -> Self {
        Self::new(thread::available_parallelism().map_or(1, NonZero::get))
    }

    /// Takes up to `wanted` threads.
    fn borrow(&self, wanted: usize) -> Borrowed<'_> {
        let taken = |free: usize| free.min(wanted);
        let take = |free| Some(free - taken(free));
        let free = self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).unwrap_or(0);
        Borrowed { cores: self, threads: taken(free) }
    }
}

/// Threads that come back when this is dropped.
struct Borrowed<'a> {
    cores: &'a Cores,
    threads: usize,
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        self.cores.free.fetch_add(self.threads, Ordering::Relaxed);
    }
}

impl Spread for Cores {
    fn width(&self, work: u64) -> usize {
        let worth = usize::try_from(work / WORK_PER_THREAD).unwrap_or(usize::MAX);
        worth.min(1 + self.free.load(Ordering::Relaxed)).max(1)
    }

    fn run(&self, pieces: usize, piece: &(dyn Fn(usize) + Sync)) {
        let next = AtomicUsize::new(0);
        let work = || {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= pieces {
                    return;
                }
                piece(number);
            }
        };
        let borrowed = self.borrow(pieces.saturating_sub(1));
        thread::scope(|scope| {
            for _ in 0..borrowed.threads {
                let thread = thread::Builder::new().name("query".to_owned());
                // Where the system has no thread left, the others do its share.
                if thread.spawn_scoped(scope, work).is_err() {
                    break;
                }
            }
            work();
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc;

    use ferula_go::sync::MutexExt;

    use super::*;

    #[test]
    fn every_piece_runs_once_and_threads_come_back() {
        let cores = Cores::new(3);
        for pieces in [0, 1, 2, 3, 50] {
            let done = Mutex::new(vec![0; pieces]);
            cores.run(pieces, &|number| done.locked()[number] += 1);
            assert!(done.into_inner().expect("no panic").iter().all(|times| *times == 1));
            assert_eq!(cores.free.load(Ordering::Relaxed), 2);
        }
    }

    #[test]
    fn two_pieces_run_at_the_same_time() {
        let cores = Cores::new(2);
        // Each waits for the other's message: one thread alone would wait for ever.
        let (to_second, of_first) = mpsc::channel();
        let (to_first, of_second) = mpsc::channel();
        let ends = [Mutex::new(Some((to_second, of_second))), Mutex::new(Some((to_first, of_first)))];
        cores.run(2, &|number| {
            let (to, of) = ends[number].locked().take().expect("once");
            to.send(()).expect("the other is there");
            of.recv().expect("the other is there");
        });
    }

    #[test]
    fn small_work_and_busy_cores_leave_one_thread() {
        let cores = Cores::new(4);
        assert_eq!(cores.width(2 * WORK_PER_THREAD - 1), 1);
        assert_eq!(cores.width(2 * WORK_PER_THREAD), 2);
        assert_eq!(cores.width(u64::MAX), 4);
        let others = cores.borrow(2);
        assert_eq!((others.threads, cores.width(u64::MAX)), (2, 2));
        let rest = cores.borrow(5);
        assert_eq!((rest.threads, cores.width(u64::MAX)), (1, 1));
        drop((others, rest));
        assert_eq!((Cores::new(1).width(u64::MAX), Cores::new(0).width(u64::MAX)), (1, 1));
        assert_eq!(cores.width(u64::MAX), 4);
    }
}
