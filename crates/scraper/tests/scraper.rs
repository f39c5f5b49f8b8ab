//! The whole scraper: a configuration, real HTTP, an in-memory store.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ferula_config::Config;
use ferula_model::value::is_stale;
use ferula_runtime::{RealClock, Shutdown};
use ferula_scraper::{Features, Health, Scraper, ScraperSetup};
use ferula_telemetry::Registry;
use ferula_testkit::mem_storage::MemStorage;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A target with a replaceable page.
struct FakeTarget {
    address: SocketAddr,
    page: Arc<Mutex<String>>,
    scrapes: Arc<AtomicUsize>,
}

impl FakeTarget {
    async fn start(page: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let page = Arc::new(Mutex::new(page.to_owned()));
        let scrapes = Arc::<AtomicUsize>::default();
        let (served, counted) = (page.clone(), scrapes.clone());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = stream.read_u8().await else { break };
                    head.push(byte);
                }
                counted.fetch_add(1, Ordering::SeqCst);
                let body = served.lock().expect("no test panics here").clone();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        FakeTarget { address, page, scrapes }
    }

    fn set_page(&self, page: &str) {
        page.clone_into(&mut self.page.lock().expect("no test panics here"));
    }
}

struct TestBed {
    scraper: Scraper,
    store: MemStorage,
    shutdown: Shutdown,
    run: tokio::task::JoinHandle<()>,
}

impl TestBed {
    fn start(config: &str) -> Self {
        let (store, shutdown) = (MemStorage::new(), Shutdown::new());
        let scraper = Scraper::new(ScraperSetup {
            store: Arc::new(store.clone()),
            clock: RealClock::shared(),
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
        let bed = TestBed { scraper, store, shutdown, run };
        bed.apply(config);
        bed
    }

    fn apply(&self, config: &str) {
        self.scraper
            .apply_config(&Config::parse(config).expect("a good configuration"))
            .expect("it is applied");
    }

    /// Values of all series with a name, by their other labels; `None` is a staleness marker.
    fn stored(&self, name: &str) -> BTreeMap<String, Vec<Option<f64>>> {
        let mut stored = BTreeMap::new();
        for labels in self.store.series().iter().filter(|labels| labels.metric_name() == name) {
            let pairs: Vec<(&str, &str)> = labels.iter().collect();
            let values =
                self.store.floats(&pairs).into_iter().map(|(_, v)| (!is_stale(v)).then_some(v)).collect();
            stored.insert(labels.without("__name__").to_string(), values);
        }
        stored
    }

    /// Waits until the condition holds. The scraper runs in real time here, so polling is the only way.
    async fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let waited = tokio::time::timeout(Duration::from_secs(60), async {
            while !condition(self) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        waited
            .await
            .unwrap_or_else(|_| panic!("{what} did not happen; targets: {:?}", self.scraper.targets()));
    }

    async fn stop(self) {
        self.shutdown.request();
        self.run.await.expect("the scraper does not panic");
    }
}

fn config(jobs: &str) -> String {
    format!("global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\nscrape_configs:\n{jobs}")
}

#[tokio::test]
async fn targets_are_scraped_into_the_store() {
    let target = FakeTarget::start("# TYPE a counter\na{x=\"y\"} 7\n").await;
    let address = target.address;
    let bed = TestBed::start(&config(&format!(
        "- job_name: j\n  static_configs: [{{targets: ['{address}', '127.0.0.1:1'], labels: {{env: test}}}}]\n"
    )));
    bed.until("two scrapes", |bed| bed.stored("a").values().any(|values| values.len() >= 2)).await;
    let labels = format!(r#"{{env="test", instance="{address}", job="j", x="y"}}"#);
    assert!(bed.stored("a")[&labels].iter().all(|value| *value == Some(7.0)));
    bed.until("a failed scrape", |bed| bed.stored("up").len() == 2).await;
    let up = bed.stored("up");
    assert_eq!(up[&format!(r#"{{env="test", instance="{address}", job="j"}}"#)][0], Some(1.0));
    assert_eq!(up[r#"{env="test", instance="127.0.0.1:1", job="j"}"#][0], Some(0.0));

    let snapshot = bed.scraper.targets();
    assert_eq!(snapshot.pools.len(), 1);
    let health = |port: &str| {
        let found = snapshot.pools[0].active.iter().find(|target| target.url.contains(port));
        found.expect("it is a target").last_scrape()
    };
    assert_eq!(health(&format!(":{}/", address.port())).health, Health::Up);
    let down = health("127.0.0.1:1/");
    assert_eq!(
        (down.health, down.error.as_str()),
        (
            Health::Down,
            r#"Get "http://127.0.0.1:1/metrics": dial tcp 127.0.0.1:1: connect: connection refused"#
        )
    );
    bed.stop().await;
}

#[tokio::test]
async fn a_reload_keeps_unchanged_jobs_and_ends_removed_ones() {
    let (kept, gone) = (FakeTarget::start("a 1\n").await, FakeTarget::start("b 1\n").await);
    let job = |name: &str, target: &FakeTarget, more: &str| {
        format!("- job_name: {name}\n  static_configs: [{{targets: ['{}']}}]\n{more}", target.address)
    };
    let bed = TestBed::start(&config(&(job("kept", &kept, "") + &job("gone", &gone, ""))));
    bed.until("both are scraped", |bed| !bed.stored("a").is_empty() && !bed.stored("b").is_empty()).await;
    let before = bed.scraper.targets();

    bed.apply(&config(&job("kept", &kept, "")));
    let after = bed.scraper.targets();
    assert_eq!(after.pools.len(), 1);
    let same = before.pools.iter().find(|pool| pool.name == "kept").expect("it was there");
    assert!(
        Arc::ptr_eq(&same.active[0], &after.pools[0].active[0]),
        "the loop of an unchanged job continues"
    );
    bed.until("the series of the job that is gone ends", |bed| {
        bed.stored("b").values().all(|values| values.last() == Some(&None))
            && bed.stored("up").values().filter(|values| values.last() == Some(&None)).count() == 1
    })
    .await;
    assert!(bed.stored("a").values().all(|values| values.iter().all(Option::is_some)));

    // A change that does not affect labels continues the series; a new label starts new ones.
    bed.apply(&config(&job("kept", &kept, "  sample_limit: 10\n")));
    let scrapes = kept.scrapes.load(Ordering::SeqCst);
    bed.until("scrapes continue", |_| kept.scrapes.load(Ordering::SeqCst) > scrapes + 2).await;
    assert!(bed.stored("a").values().all(|values| values.iter().all(Option::is_some)));
    bed.apply(&config(&job(
        "kept",
        &kept,
        "  metric_relabel_configs: [{target_label: new, replacement: v}]\n",
    )));
    bed.until("the old labels end", |bed| {
        let stored = bed.stored("a");
        stored.len() == 2
            && stored.iter().all(|(labels, values)| labels.contains("new") != (values.last() == Some(&None)))
    })
    .await;
    bed.stop().await;
}

#[tokio::test]
async fn targets_come_from_files_and_job_limits_apply() {
    let target = FakeTarget::start("a 1\n").await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("targets.json");
    std::fs::write(&file, "[]").expect("written");
    let bed = TestBed::start(&config(&format!(
        "- job_name: files\n  target_limit: 1\n  keep_dropped_targets: 1\n  file_sd_configs: [{{files: ['{}'], refresh_interval: 50ms}}]\n  relabel_configs: [{{source_labels: [drop], regex: 'yes', action: drop}}]\n",
        file.display()
    )));
    assert!(bed.scraper.targets().pools[0].active.is_empty());
    let targets = format!(
        r#"[{{"targets": ["{0}"]}}, {{"targets": ["x:1", "x:2"], "labels": {{"drop": "yes"}}}}]"#,
        target.address
    );
    std::fs::write(&file, targets).expect("written");
    bed.until("the file's target is scraped", |bed| !bed.stored("a").is_empty()).await;
    let pool = bed.scraper.targets().pools.remove(0);
    assert_eq!((pool.dropped.len(), pool.dropped_count), (1, 2));
    assert_eq!(pool.active[0].discovered_labels().value("__meta_filepath"), file.to_string_lossy());

    // One target more than allowed: all fail, and none is scraped.
    std::fs::write(&file, format!(r#"[{{"targets": ["{0}", "127.0.0.1:1"]}}]"#, target.address))
        .expect("written");
    bed.until("both targets fail", |bed| {
        let pool = bed.scraper.targets().pools.remove(0);
        let error = "target_limit exceeded (number of targets: 2, limit: 1)";
        pool.active.len() == 2 && pool.active.iter().all(|target| target.last_scrape().error == error)
    })
    .await;
    target.set_page("a 2\n");
    std::fs::remove_file(&file).expect("removed");
    bed.until("nothing is left", |bed| bed.scraper.targets().pools[0].active.is_empty()).await;
    bed.stop().await;
}
