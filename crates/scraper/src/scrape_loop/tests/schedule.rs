//! Many targets in a simulated network: slow ones, dead ones, silent ones. Each must be scraped at its own moments,
//! whatever the others do.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use ferula_testkit::NoStore;

use super::*;

const INTERVAL: Duration = Duration::from_secs(15);
const TIMEOUT: Duration = Duration::from_secs(10);
const ROUNDS: u32 = 2;
/// Time advances in steps of this length, so a scrape may begin so much after its moment.
const STEP: Duration = Duration::from_millis(5);

/// A host of the network.
struct Host {
    clock: SimClock,
    /// `None` for one that never answers.
    latency: Option<Duration>,
    is_dead: bool,
    /// When each scrape arrived.
    arrivals: Mutex<Vec<Duration>>,
}

impl Host {
    /// Most hosts answer soon, one in ten takes seconds, one in fifty refuses, one in a hundred is silent.
    fn new(number: usize, clock: &SimClock) -> Self {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(number);
        let latency = match hash % 100 {
            0 => None,
            1..=9 => Some(Duration::from_millis(1_000 + hash % 8_000)),
            _ => Some(Duration::from_micros(200 + hash % 60_000)),
        };
        Host { clock: clock.clone(), latency, is_dead: hash % 100 >= 98, arrivals: Mutex::default() }
    }
}

impl Fetch for Host {
    fn fetch(&self, deadline: Sleep) -> Fetching<'_> {
        Box::pin(async move {
            self.arrivals.lock().expect("no test panics here").push(self.clock.elapsed());
            let failed = |reason: &str| {
                let cause = Box::new(Cause::Other(reason.to_owned()));
                FetchError::from(RequestError { method: Method::GET, url: String::new(), cause })
            };
            match self.latency {
                None => {
                    deadline.await;
                    Err(failed("context deadline exceeded"))
                }
                Some(latency) => {
                    self.clock.sleep(latency).await;
                    if self.is_dead {
                        return Err(failed("connection refused"));
                    }
                    let body = "a 1\nb{c=\"d\"} 2\n".as_bytes();
                    Ok(Page { body: body.into(), content_type: "text/plain".into(), share: None })
                }
            }
        })
    }
}

#[tokio::test]
async fn five_thousand_targets_keep_their_schedule() {
    keep_their_schedule(5_000).await;
}

#[tokio::test]
async fn a_hundred_thousand_targets_keep_their_schedule() {
    keep_their_schedule(100_000).await;
}

async fn keep_their_schedule(targets: usize) {
    let yaml = format!(
        "scrape_configs: [{{job_name: j, scrape_interval: {}s, scrape_timeout: {}s}}]",
        INTERVAL.as_secs(),
        TIMEOUT.as_secs()
    );
    let config = Config::parse(&yaml).expect("a good configuration").scrape_configs[0].clone();
    let clock = SimClock::at(Timestamp::from_millis(START_MILLIS));
    let server = Shutdown::new();
    let shared = LoopServices {
        store: Arc::new(NoStore),
        clock: Arc::new(clock.clone()),
        metrics: Metrics::new(&Registry::new()),
        shutdown: server.clone(),
        storing: Arc::new(Semaphore::new(4)),
        storing_here: Arc::new(Semaphore::new(1)),
        seeds: Arc::new(AtomicU64::new(1)),
        bad_pages: BadPages::default(),
    };
    let (maker, job) = (TargetMaker::new(&config), Arc::new(JobOptions::of(&config, Features::default())));
    let group = TargetGroup { source: "s".into(), targets: Vec::new(), labels: LabelSet::empty() };
    let mut hosts = Vec::with_capacity(targets);
    for number in 0..targets {
        let labels = LabelSet::from_pairs([("__address__", format!("host-{number}:9100"))]);
        let Ok(TargetOutcome::Scraped(target)) = maker.make(&labels, &group) else { panic!("not a target") };
        let (target, host) = (Arc::<Target>::from(target), Arc::new(Host::new(number, &clock)));
        let one = ScrapeLoop {
            state: shared.new_state(),
            shared: shared.clone(),
            target: target.clone(),
            job: job.clone(),
            fetch: host.clone(),
            forced: JobFailure::default(),
            stop: server.child(),
            offset_seed: 7,
        };
        tokio::spawn(one.run());
        hosts.push((target, host));
    }
    let begin = std::time::Instant::now();
    let end = INTERVAL * ROUNDS;
    loop {
        // Every loop sleeps: until its next moment, or in its host.
        while clock.sleepers() < targets {
            tokio::task::yield_now().await;
        }
        if clock.elapsed() >= end {
            break;
        }
        clock.advance(STEP);
    }
    let (mut scrapes, mut latest) = (0, Duration::ZERO);
    for (target, host) in &hosts {
        let arrivals = host.arrivals.lock().expect("no test panics here").clone();
        assert_eq!(arrivals.len(), ROUNDS as usize, "{}: {arrivals:?}", target.url);
        let offset = phase(target.hash ^ 7);
        for (round, arrival) in (0..ROUNDS).zip(arrivals) {
            let late = arrival.checked_sub(offset + INTERVAL * round).expect("never before its moment");
            assert!(late <= STEP, "{}: {late:?} after its moment", target.url);
            latest = latest.max(late);
            scrapes += 1;
        }
    }
    let phases: std::collections::HashSet<Duration> =
        hosts.iter().map(|(target, _)| phase(target.hash ^ 7)).collect();
    assert!(phases.len() > targets * 99 / 100, "scrapes are spread over the interval");
    println!(
        "{targets} targets, {scrapes} scrapes, the latest {latest:?} after its moment (time advances by {STEP:?}); played in {:.1?}",
        begin.elapsed()
    );
}

/// The time from the start of the play to the first moment of a loop with this seed.
fn phase(seed: u64) -> Duration {
    let period = INTERVAL.as_nanos() as u64;
    let start = u64::try_from(START_MILLIS).expect("after 1970") * 1_000_000;
    let (offset, into) = (seed % period, start % period);
    Duration::from_nanos((offset + period - into) % period)
}
