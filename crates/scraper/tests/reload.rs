//! Reloads while targets are scraped: counted at the targets, on a simulated clock, over real connections.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ferula_config::Config;
use ferula_model::Timestamp;
use ferula_model::value::is_stale;
use ferula_runtime::{Clock, Shutdown, SimClock};
use ferula_scraper::{Features, Scraper, ScraperSetup};
use ferula_telemetry::Registry;
use ferula_testkit::mem_storage::MemStorage;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Nothing awaited here takes this long.
const PATIENCE: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(100);
const PAGE: &str = "a 1\nb 2\n";

/// A target that keeps connections open.
struct Target {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    /// When it was asked, in simulated milliseconds.
    asked: Arc<Mutex<Vec<i64>>>,
}

impl Target {
    async fn start(clock: &SimClock) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let (connections, asked) = (Arc::<AtomicUsize>::default(), Arc::<Mutex<Vec<i64>>>::default());
        let (opened, noted, clock) = (connections.clone(), asked.clone(), clock.clone());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                opened.fetch_add(1, Ordering::SeqCst);
                let (noted, clock) = (noted.clone(), clock.clone());
                tokio::spawn(async move {
                    loop {
                        let mut head = Vec::new();
                        while !head.ends_with(b"\r\n\r\n") {
                            let Ok(byte) = stream.read_u8().await else { return };
                            head.push(byte);
                        }
                        noted.lock().expect("no test panics here").push(clock.now().millis());
                        let length = PAGE.len();
                        let answer = format!(
                            "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\r\n{PAGE}"
                        );
                        let _ = stream.write_all(answer.as_bytes()).await;
                    }
                });
            }
        });
        Target { address, connections, asked }
    }

    fn asked(&self) -> Vec<i64> {
        self.asked.lock().expect("no test panics here").clone()
    }
}

struct TestBed {
    scraper: Scraper,
    store: MemStorage,
    clock: SimClock,
}

impl TestBed {
    fn apply(&self, config: &str) {
        let config = Config::parse(config).expect("a good configuration");
        self.scraper.apply_config(&config).expect("it is applied");
    }

    /// Samples of a report series of a target, without staleness markers.
    fn report(&self, name: &str, job: &str, target: &Target) -> Vec<(i64, f64)> {
        let instance = target.address.to_string();
        let labels = [("__name__", name), ("instance", &*instance), ("job", job)];
        self.store.floats(&labels).into_iter().filter(|(_, value)| !is_stale(*value)).collect()
    }

    /// Waits until each target of the job was scraped and stored as often as it is due since its first scrape.
    async fn settle(&self, job: &str, targets: &[Target], begun_at: i64) {
        let now = self.clock.now().millis();
        for target in targets {
            let settled = tokio::time::timeout(PATIENCE, async {
                loop {
                    let ups = self.report("up", job, target);
                    let due = match ups.first() {
                        Some((first, _)) => (now - first) / 1000 + 1,
                        // Each comes within the first interval.
                        None if now < begun_at + 1000 && target.asked().is_empty() => 0,
                        None => 1,
                    };
                    assert!(ups.len() as i64 <= due, "{job} {}: too many at {now}: {ups:?}", target.address);
                    if ups.len() as i64 == due {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            });
            if settled.await.is_err() {
                panic!("{job} {}: one is missing at {now}: {:?}", target.address, target.asked());
            }
        }
    }
}

/// Lets every task run until it waits for the network or the clock: there is one thread.
async fn run_all_that_can() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

fn targets(all: &[Target]) -> String {
    let addresses: Vec<String> = all.iter().map(|target| format!("'{}'", target.address)).collect();
    format!("static_configs: [{{targets: [{}]}}]", addresses.join(", "))
}

#[tokio::test]
async fn reloads_every_second_for_a_minute_miss_and_double_no_scrape() {
    let clock = SimClock::at(Timestamp::from_millis(1_700_000_000_000));
    let (store, shutdown) = (MemStorage::new(), Shutdown::new());
    let scraper = Scraper::new(ScraperSetup {
        store: Arc::new(store.clone()),
        clock: Arc::new(clock.clone()),
        registry: Registry::new(),
        shutdown: shutdown.clone(),
        hostname: "here".into(),
        random_seed: 1,
        features: Features::default(),
        page_bytes_max: 512 << 20,
    });
    let run = tokio::spawn({
        let scraper = scraper.clone();
        async move { scraper.run().await }
    });
    let bed = TestBed { scraper, store, clock: clock.clone() };
    let mut all = Vec::new();
    for _ in 0..10 {
        all.push(Target::start(&clock).await);
    }
    let passing = all.split_off(8);
    let changed = all.split_off(5);
    let kept = all;
    let config = |second: i64| {
        let mut text = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n\
             - {{job_name: kept, {}}}\n- {{job_name: changed, sample_limit: {}, {}}}\n",
            targets(&kept),
            100 + second,
            targets(&changed)
        );
        if second % 3 != 0 {
            text += &format!("- {{job_name: passing, {}}}\n", targets(&passing));
        }
        text
    };
    let begun_at = clock.now().millis();
    bed.apply(&config(0));
    // Every loop waits for its moment.
    while clock.sleepers() < kept.len() + changed.len() {
        tokio::task::yield_now().await;
    }
    for second in 0..60 {
        for step in 0..10 {
            // At every moment of the interval in turn.
            if step == second * 7 % 10 {
                bed.apply(&config(second));
                run_all_that_can().await;
            }
            clock.advance(STEP);
            run_all_that_can().await;
            bed.settle("kept", &kept, begun_at).await;
            bed.settle("changed", &changed, begun_at).await;
        }
    }
    let mut phases = BTreeMap::new();
    for (job, targets) in [("kept", &kept), ("changed", &changed)] {
        for target in targets {
            let times: Vec<i64> = bed.report("up", job, target).iter().map(|(at, _)| *at).collect();
            assert_eq!(times.len(), 60, "{job}");
            assert!(times.windows(2).all(|two| two[1] - two[0] == 1000), "{job} keeps its phase: {times:?}");
            assert_eq!(target.asked().len(), 60, "{job}: counted at the target");
            assert!(bed.report("up", job, target).iter().all(|(_, up)| *up == 1.0), "{job}");
            phases.insert(times[0] % 1000, target.address);
        }
    }
    assert!(phases.len() > 2, "they are spread out");
    for target in &kept {
        let added: Vec<f64> =
            bed.report("scrape_series_added", "kept", target).iter().map(|(_, value)| *value).collect();
        assert_eq!((added[0], added[1..].iter().sum()), (2.0, 0.0), "its cache is kept");
        assert_eq!(target.connections.load(Ordering::SeqCst), 1, "its connection is kept");
    }
    for target in &passing {
        let asked = target.asked();
        // Forty seconds in twenty pieces; the first scrape of a piece comes at its phase.
        assert!(asked.len() >= 20, "{asked:?}");
        assert!(asked.windows(2).all(|two| two[1] - two[0] >= 900), "{asked:?}");
    }
    shutdown.request();
    while !run.is_finished() {
        clock.advance(STEP);
        tokio::task::yield_now().await;
    }
    run.await.expect("the scraper does not panic");
}
