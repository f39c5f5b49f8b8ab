//! Locks of the scraper: nothing may deadlock.

use std::sync::Barrier;
use std::sync::mpsc;

use ferula_runtime::RealClock;
use ferula_testkit::mem_storage::MemStorage;

use super::*;

/// Nothing awaited here takes this long unless there is a deadlock.
const PATIENCE: Duration = Duration::from_secs(60);

fn scraper(registry: &Registry) -> Scraper {
    Scraper::new(ScraperSetup {
        store: Arc::new(MemStorage::new()),
        clock: Arc::new(RealClock::new()),
        registry: registry.clone(),
        shutdown: Shutdown::new(),
        hostname: "h".into(),
        random_seed: 1,
        features: Features::default(),
        page_bytes_max: 512 << 20,
    })
}

fn jobs(yaml: &str) -> Vec<ScrapeConfig> {
    let config = Config::parse(&format!("scrape_configs:\n{yaml}")).expect("a good configuration");
    config.scrape_jobs().expect("no files").jobs
}

/// Runs in a separate thread within a runtime; the result must arrive in time.
fn in_time<T: Send + 'static>(what: &str, run: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    let runtime = tokio::runtime::Handle::current();
    std::thread::spawn(move || {
        let _within = runtime.enter();
        // The test may have ended already.
        let _ = sender.send(run());
    });
    receiver.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{what} never ended"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_and_a_retry_of_waiting_jobs_do_not_deadlock() {
    let scraper = scraper(&Registry::new());
    let jobs = jobs("- {job_name: waiting, tls_config: {ca_file: /missing.pem}}\n- {job_name: good}\n");
    let begin = Arc::new(Barrier::new(2));
    let (other, at_once) = (scraper.clone(), begin.clone());
    let runtime = tokio::runtime::Handle::current();
    let tries = std::thread::spawn(move || {
        let _within = runtime.enter();
        at_once.wait();
        for _ in 0..2000 {
            other.0.make_waiting_pools();
        }
    });
    in_time("reloading", move || {
        begin.wait();
        for _ in 0..2000 {
            scraper.0.apply_jobs(&jobs);
        }
    });
    in_time("trying", move || tries.join()).expect("no panic");
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_metrics_does_not_lock_the_pools_while_metadata_is_locked() {
    let registry = Registry::new();
    let scraper = scraper(&registry);
    let yaml = "scrape_configs: [{job_name: j, scrape_interval: 1h, static_configs: [{targets: ['h:1']}]}]";
    scraper.apply_config(&Config::parse(yaml).expect("a good configuration")).expect("taken");
    let target = scraper.targets().pools[0].active[0].clone();
    let metadata = loop {
        match target.metadata() {
            Some(metadata) => break metadata,
            None => tokio::task::yield_now().await,
        }
    };
    let held = metadata.lock().expect("no panic while held");
    let handles = Arc::strong_count(&metadata);
    let gathering = std::thread::spawn(move || registry.gather().len());
    // By now it has its own handle and waits for the lock.
    while Arc::strong_count(&metadata) == handles {
        std::thread::yield_now();
    }
    in_time("looking at targets", move || scraper.targets().pools.len());
    drop(held);
    assert!(gathering.join().expect("no panic") > 0);
}
