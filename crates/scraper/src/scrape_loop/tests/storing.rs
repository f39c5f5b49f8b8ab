//! On which thread a page is stored, and what a panic there does.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Barrier, Condvar, mpsc};
use std::thread::ThreadId;

use ferula_runtime::{RealClock, SharedClock};
use ferula_testkit::NoStore;

use super::*;

/// Nothing awaited here takes this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A store that can be held up, and that can panic.
#[derive(Default)]
struct OddStore {
    is_held: Mutex<bool>,
    released: Condvar,
    panics: AtomicBool,
    /// The threads that came to store something.
    threads: Mutex<Vec<ThreadId>>,
}

impl OddStore {
    fn hold(&self, held: bool) {
        *self.is_held.lock().expect("no panic while it is locked") = held;
        self.released.notify_all();
    }

    fn threads(&self) -> Vec<ThreadId> {
        self.threads.lock().expect("no panic while it is locked").clone()
    }
}

impl Appendable for OddStore {
    fn appender(&self) -> Box<dyn ferula_storage::Appender + '_> {
        self.threads.lock().expect("no panic while it is locked").push(std::thread::current().id());
        assert!(!self.panics.load(Ordering::SeqCst), "the store broke");
        let held = self.is_held.lock().expect("no panic while it is locked");
        drop(self.released.wait_while(held, |held| *held).expect("no panic while it is locked"));
        static STORE: NoStore = NoStore;
        STORE.appender()
    }
}

/// Always has the same page.
struct OnePage;

impl Fetch for OnePage {
    fn fetch(&self, _: Sleep) -> Fetching<'_> {
        Box::pin(async { Ok(Page { body: "a 1\n".into(), content_type: "text/plain".into(), share: None }) })
    }
}

/// A loop that scrapes at once, and then every hour.
fn loop_over(store: Arc<OddStore>, storing_here: Arc<Semaphore>, clock: SharedClock) -> ScrapeLoop {
    let yaml = "scrape_configs: [{job_name: j, scrape_interval: 1h}]";
    let config = Config::parse(yaml).expect("a good configuration").scrape_configs[0].clone();
    let group = TargetGroup { source: "s".into(), targets: Vec::new(), labels: LabelSet::empty() };
    let made = TargetMaker::new(&config).make(&LabelSet::from_pairs([("__address__", "h:1")]), &group);
    let Ok(TargetOutcome::Scraped(target)) = made else { panic!("not a target: {made:?}") };
    let shared = LoopServices {
        store,
        clock,
        metrics: Metrics::new(&Registry::new()),
        shutdown: Shutdown::new(),
        storing: Arc::new(Semaphore::new(4)),
        storing_here,
        seeds: Arc::new(AtomicU64::new(1)),
        bad_pages: BadPages::default(),
    };
    let features = Features { first_scrape_now: true, ..Features::default() };
    ScrapeLoop {
        state: shared.new_state(),
        shared,
        target: Arc::from(target),
        job: Arc::new(JobOptions::of(&config, features)),
        fetch: Arc::new(OnePage),
        forced: JobFailure::default(),
        stop: Shutdown::new(),
        offset_seed: 7,
    }
}

#[test]
fn a_store_that_waits_leaves_the_runtime_a_thread() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let (sender, workers) = mpsc::channel();
    let both = Arc::new(Barrier::new(2));
    for _ in 0..2 {
        let (sender, both) = (sender.clone(), both.clone());
        runtime.spawn(async move {
            both.wait();
            sender.send(std::thread::current().id()).expect("the test waits for it");
        });
    }
    let workers: HashSet<ThreadId> =
        (0..2).map(|_| workers.recv_timeout(PATIENCE).expect("two threads")).collect();
    let store = Arc::new(OddStore::default());
    store.hold(true);
    let storing_here = Arc::new(Semaphore::new(1));
    let loops: Vec<_> = (0..3)
        .map(|_| {
            let one = loop_over(store.clone(), storing_here.clone(), Arc::new(RealClock::new()));
            runtime.spawn(one.run())
        })
        .collect();
    let begin = std::time::Instant::now();
    while store.threads().len() < 3 && begin.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(1));
    }
    let (sender, receiver) = mpsc::channel();
    // The test may have given up.
    runtime.spawn(async move { sender.send(()).is_ok() });
    let ran = receiver.recv_timeout(PATIENCE);
    let on_workers = store.threads().iter().filter(|thread| workers.contains(thread)).count();
    store.hold(false);
    loops.iter().for_each(tokio::task::JoinHandle::abort);
    assert_eq!((store.threads().len(), on_workers), (3, 1), "one of three pages is stored by the runtime");
    ran.expect("other tasks run meanwhile");
}

#[tokio::test]
async fn a_panic_while_storing_fails_the_scrape_and_not_the_loop() {
    for storing_here in [0, 1] {
        let clock = SimClock::at(Timestamp::from_millis(START_MILLIS));
        let store = Arc::new(OddStore::default());
        store.panics.store(true, Ordering::SeqCst);
        let semaphore = Arc::new(Semaphore::new(storing_here));
        let one = loop_over(store.clone(), semaphore, Arc::new(clock.clone()));
        let target = one.target.clone();
        let run = tokio::spawn(one.run());
        let scraped = AtomicUsize::new(0);
        let until_asleep = async || {
            while clock.sleepers() == 0 || store.threads().len() == scraped.load(Ordering::SeqCst) {
                tokio::task::yield_now().await;
            }
            scraped.store(store.threads().len(), Ordering::SeqCst);
            target.last_scrape()
        };
        let failed = until_asleep().await;
        assert_eq!(failed.health, Health::Down);
        let error = "internal error while storing the page: ";
        assert!(
            failed.error.starts_with(error) && failed.error.contains("the store broke"),
            "{}",
            failed.error
        );
        store.panics.store(false, Ordering::SeqCst);
        clock.advance_to_next();
        assert_eq!((until_asleep().await.health, run.is_finished()), (Health::Up, false));
        run.abort();
    }
}
