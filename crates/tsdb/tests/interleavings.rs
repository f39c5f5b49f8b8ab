//! The gate between commits and readers, and the pins of snapshots, under a model checker.
//!
//! The files of the crate itself are compiled again here, with the checker's locks in place of the system's.
//! The checker then decides which thread continues at every lock: in small cases in all possible ways, in
//! larger ones in many random ways. It must also find deliberate faults: a commit that leaves its room too
//! early, and a chunk that is removed while a reader uses it.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use shuttle::sync::atomic::{AtomicBool, Ordering};
use shuttle::thread;

/// The crate's files find this module under the same name as in the crate: the same locks without ranks,
/// based on the checker's.
mod sync {
    use std::marker::PhantomData;
    use std::sync::PoisonError;

    pub use shuttle::sync::{Arc, MutexGuard};

    pub mod rank {
        pub struct Gate;
        #[derive(Debug)]
        pub struct Pins;
        #[derive(Debug)]
        pub struct Slot;
    }

    #[derive(Debug)]
    pub struct Mutex<T, R>(shuttle::sync::Mutex<T>, PhantomData<R>);

    impl<T, R> Mutex<T, R> {
        pub fn new(value: T) -> Self {
            Mutex(shuttle::sync::Mutex::new(value), PhantomData)
        }

        pub fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    impl<T: Default, R> Default for Mutex<T, R> {
        fn default() -> Self {
            Mutex::new(T::default())
        }
    }

    pub struct Condvar(shuttle::sync::Condvar);

    impl Condvar {
        pub fn new() -> Self {
            Condvar(shuttle::sync::Condvar::new())
        }

        pub fn wait<'a, T>(&self, locked: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
            self.0.wait(locked).unwrap_or_else(PoisonError::into_inner)
        }

        pub fn notify_all(&self) {
            self.0.notify_all();
        }
    }
}

#[path = "../src/head/isolation.rs"]
#[allow(dead_code, reason = "used only by the crate's own tests")]
mod isolation;
#[path = "../src/head/pins.rs"]
mod pins;

use isolation::Gate;
use pins::Pins;
use sync::{Arc, Mutex, rank};

/// Growing series behind the gate; the value of each sample is the number of its commit.
#[derive(Default)]
struct Head {
    gate: Gate,
    series: [Mutex<Vec<usize>, rank::Slot>; 2],
}

/// A deliberate fault in a commit, which must be noticed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    LeavesBeforeTheLastSample,
    NeverEnters,
}

impl Head {
    fn commit(&self, number: usize, fault: Fault) {
        let mut room = (fault != Fault::NeverEnters).then(|| self.gate.commit());
        for (place, series) in self.series.iter().enumerate() {
            if fault == Fault::LeavesBeforeTheLastSample && place + 1 == self.series.len() {
                room = None;
            }
            series.lock().push(number);
        }
        drop(room);
    }

    /// The end of each series is recorded in the freeze room; the samples are read afterwards.
    fn read(&self) -> Vec<BTreeSet<usize>> {
        let lengths = {
            let _room = self.gate.freeze();
            self.series.each_ref().map(|series| series.lock().len())
        };
        self.series
            .iter()
            .zip(lengths)
            .map(|(series, length)| series.lock()[..length].iter().copied().collect())
            .collect()
    }
}

/// Concurrent commits and reads: no read may find a commit in one series and not in the other.
fn commits_and_reads(writers: usize, commits: usize, readers: usize, fault: Fault) {
    let head = Arc::new(Head::default());
    let write = move |head: &Head, writer: usize| {
        (0..commits).for_each(|commit| head.commit(writer * commits + commit, fault));
    };
    let mut threads = Vec::new();
    for writer in 1..writers {
        let head = head.clone();
        threads.push(thread::spawn(move || write(&head, writer)));
    }
    for _ in 0..readers {
        let head = head.clone();
        threads.push(thread::spawn(move || {
            let found = head.read();
            assert_eq!(found[0], found[1], "half a commit was read");
        }));
    }
    write(&head, 0);
    for thread in threads {
        thread.join().expect("a thread ends");
    }
    assert_eq!(head.read()[0].len(), writers * commits, "nothing is lost");
}

/// A snapshot pins the present, looks up where samples are, and reads them there. Maintenance moves them from
/// the head to a block, and removes them from the head once no snapshot can look for them there.
fn move_under_readers(readers: usize, waits_for_them: bool) {
    let pins = Arc::<Pins>::default();
    let (in_block, gone_from_head) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let readers: Vec<_> = (0..readers)
        .map(|_| {
            let (pins, in_block, gone) = (pins.clone(), in_block.clone(), gone_from_head.clone());
            thread::spawn(move || {
                let _pin = pins.pin();
                if !in_block.load(Ordering::SeqCst) {
                    assert!(!gone.load(Ordering::SeqCst), "removed under a reader");
                }
            })
        })
        .collect();
    in_block.store(true, Ordering::SeqCst);
    let moment = pins.advance();
    if !waits_for_them || pins.is_past(moment) {
        gone_from_head.store(true, Ordering::SeqCst);
    }
    for reader in readers {
        reader.join().expect("a reader ends");
    }
    assert!(pins.is_past(moment), "in the end everybody is gone");
}

fn finds_a_fault(run: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(run)).is_err()
}

#[test]
fn every_interleaving_of_one_writer_and_one_reader() {
    shuttle::check_dfs(|| commits_and_reads(1, 1, 1, Fault::None), None);
    shuttle::check_dfs(|| move_under_readers(1, true), None);
}

#[test]
fn many_interleavings_of_more() {
    shuttle::check_random(|| commits_and_reads(3, 2, 3, Fault::None), 3000);
    shuttle::check_pct(|| commits_and_reads(2, 2, 2, Fault::None), 3000, 4);
    shuttle::check_random(|| move_under_readers(3, true), 3000);
}

#[test]
fn faults_are_found() {
    for fault in [Fault::LeavesBeforeTheLastSample, Fault::NeverEnters] {
        assert!(finds_a_fault(move || shuttle::check_dfs(move || commits_and_reads(1, 1, 1, fault), None)));
    }
    assert!(finds_a_fault(|| shuttle::check_dfs(|| move_under_readers(1, false), None)));
}
