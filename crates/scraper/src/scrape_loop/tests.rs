//! The loop with a simulated clock, listed pages and an in-memory store. Most cases are data: what the
//! target answers at each tick, and what is stored.

mod schedule;
mod storing;

use std::collections::{BTreeMap, VecDeque};

use ferula_config::Config;
use ferula_discovery::TargetGroup;
use ferula_model::value::is_stale;
use ferula_model::{LabelSet, Timestamp};
use ferula_runtime::clock::Sleep;
use ferula_runtime::{Clock, SimClock};
use ferula_telemetry::Registry;
use ferula_testkit::mem_storage::MemStorage;

use super::*;
use crate::fetch::Fetching;
use crate::options::Features;
use crate::target_maker::{TargetMaker, TargetOutcome};
use ferula_http_client::{Cause, Method, RequestError};

/// A target's answer.
#[derive(Clone, Debug)]
enum Answer {
    Page(String),
    /// An answer in another format.
    Typed(&'static str, String),
    Bytes(&'static str, Vec<u8>),
    Refuses,
    Hangs,
}

fn page(text: &str) -> Answer {
    Answer::Page(text.to_owned())
}

/// Answers from a list.
#[derive(Default)]
struct FakeFetch {
    answers: Mutex<VecDeque<Answer>>,
    calls: AtomicU64,
}

impl Fetch for FakeFetch {
    fn fetch(&self, deadline: Sleep) -> Fetching<'_> {
        Box::pin(async move {
            self.calls.fetch_add(1, Ordering::SeqCst);
            let answer = self.answers.lock().expect("no test panics here").pop_front();
            let request = |reason: &str| {
                let cause = Box::new(Cause::Other(reason.to_owned()));
                let url = "http://h:1/metrics".to_owned();
                FetchError::from(RequestError { method: Method::GET, url, cause })
            };
            let (content_type, body) = match answer.expect("an answer for every scrape") {
                Answer::Page(body) => ("text/plain", body.into_bytes()),
                Answer::Typed(content_type, body) => (content_type, body.into_bytes()),
                Answer::Bytes(content_type, body) => (content_type, body),
                Answer::Refuses => return Err(request("dial tcp 127.0.0.1:1: connect: connection refused")),
                Answer::Hangs => {
                    deadline.await;
                    return Err(request("context deadline exceeded"));
                }
            };
            Ok(Page { body: body.into(), content_type: content_type.into(), share: None })
        })
    }
}

/// A loop of one target, every ten seconds.
struct TestBed {
    clock: SimClock,
    store: MemStorage,
    fetch: Arc<FakeFetch>,
    bad_pages: BadPages,
    target: Arc<Target>,
    registry: Registry,
    stop: Shutdown,
    server: Shutdown,
    forced: JobFailure,
    /// Times of the scrapes so far, in milliseconds.
    ticks: Vec<i64>,
    task: Option<tokio::task::JoinHandle<Stopped>>,
}

const START_MILLIS: i64 = 1_700_000_000_000;

impl TestBed {
    fn new(job_yaml: &str) -> Self {
        Self::with(job_yaml, Features { exemplars: true, ..Features::default() })
    }

    fn with(job_yaml: &str, features: Features) -> Self {
        let yaml = format!(
            "scrape_configs:\n- job_name: j\n  scrape_interval: 10s\n  scrape_timeout: 5s\n{job_yaml}"
        );
        let config = Config::parse(&yaml).expect("a good configuration").scrape_configs[0].clone();
        let group = TargetGroup { source: "s".into(), targets: Vec::new(), labels: LabelSet::empty() };
        let made = TargetMaker::new(&config).make(&LabelSet::from_pairs([("__address__", "h:1")]), &group);
        let Ok(TargetOutcome::Scraped(target)) = made else { panic!("not a target: {made:?}") };
        let clock = SimClock::at(Timestamp::from_millis(START_MILLIS));
        let (store, registry) = (MemStorage::new(), Registry::new());
        let (server, fetch, target) = (Shutdown::new(), Arc::new(FakeFetch::default()), Arc::from(target));
        let (stop, forced) = (server.child(), JobFailure::default());
        let shared = LoopServices {
            store: Arc::new(store.clone()),
            clock: Arc::new(clock.clone()),
            metrics: Metrics::new(&registry),
            shutdown: server.clone(),
            storing: Arc::new(Semaphore::new(1)),
            storing_here: Arc::new(Semaphore::new(0)),
            seeds: Arc::new(AtomicU64::new(1)),
            bad_pages: BadPages::default(),
        };
        let bad_pages = shared.bad_pages.clone();
        let new_loop = ScrapeLoop {
            state: shared.new_state(),
            shared,
            target: Arc::clone(&target),
            job: Arc::new(JobOptions::of(&config, features)),
            fetch: fetch.clone(),
            forced: forced.clone(),
            stop: stop.clone(),
            offset_seed: 7,
        };
        let task = Some(tokio::spawn(new_loop.run()));
        TestBed {
            clock,
            store,
            fetch,
            bad_pages,
            target,
            registry,
            stop,
            server,
            forced,
            ticks: Vec::new(),
            task,
        }
    }

    /// Waits until the loop sleeps.
    async fn asleep(&self) {
        while self.clock.sleepers() == 0 {
            tokio::task::yield_now().await;
        }
    }

    /// Advances to the next tick, where the target gives this answer, and waits until it is stored.
    async fn scrape(&mut self, answer: Answer) {
        self.fetch.answers.lock().expect("no test panics here").push_back(answer.clone());
        self.asleep().await;
        let before = self.target.last_scrape().at_unix_nanos;
        self.clock.advance_to_next();
        if matches!(answer, Answer::Hangs) {
            self.asleep().await;
            self.clock.advance_to_next();
        }
        while self.target.last_scrape().at_unix_nanos == before {
            tokio::task::yield_now().await;
        }
        self.asleep().await;
        self.ticks.push(self.target.last_scrape().at_unix_nanos.expect("it was scraped") / 1_000_000);
    }

    /// The stored samples of a series: values by tick number; `x` is a staleness marker, `+n` a time between
    /// ticks, in milliseconds since the start.
    fn stored(&self, labels: &LabelSet) -> String {
        let pairs: Vec<(&str, &str)> = labels.iter().collect();
        let samples = self.store.floats(&pairs).into_iter().map(|(time, value)| {
            let tick = self.ticks.iter().position(|tick| *tick == time);
            let tick = tick.map_or_else(|| format!("+{}", time - START_MILLIS), |tick| tick.to_string());
            let value = if is_stale(value) { "x".to_owned() } else { value.to_string() };
            format!("{value}@{tick}")
        });
        samples.collect::<Vec<_>>().join(" ")
    }

    /// All series by name and non-target labels, without report series except those in `shown`.
    fn all_stored(&self, shown: &[&str]) -> BTreeMap<String, String> {
        let own = |labels: &LabelSet| {
            let rest = labels.retain(|name| !matches!(name, "__name__" | "instance" | "job"));
            if rest.is_empty() {
                labels.metric_name().to_owned()
            } else {
                format!("{}{rest}", labels.metric_name())
            }
        };
        let report = |name: &str| (name == "up" || name.starts_with("scrape_")) && !shown.contains(&name);
        let series = self.store.series();
        let scraped = series.iter().filter(|labels| !report(labels.metric_name()));
        scraped
            .map(|labels| (own(labels), self.stored(labels)))
            .filter(|(_, samples)| !samples.is_empty())
            .collect()
    }

    fn metric(&self, name: &str) -> f64 {
        let family = self.registry.gather().into_iter().find(|family| family.name == name);
        match family.expect(name).metrics[0].value {
            ferula_model::MetricValue::Single(value) => value,
            ref other => panic!("{name} is {other:?}"),
        }
    }
}

#[tokio::test]
async fn the_first_scrape_can_happen_at_once() {
    let bed = TestBed::with("", Features { first_scrape_now: true, ..Features::default() });
    bed.fetch.answers.lock().expect("no test panics here").push_back(page("a 1\n"));
    bed.asleep().await;
    assert_eq!(bed.target.last_scrape().at_unix_nanos, Some(START_MILLIS * 1_000_000));
}

/// Job options, the target's answers, and what is stored: `series: value@tick …`.
struct Case {
    why: &'static str,
    job: &'static str,
    answers: Vec<Answer>,
    stored: &'static [(&'static str, &'static str)],
}

fn cases() -> Vec<Case> {
    let ahead = START_MILLIS + 3_600_000;
    vec![
        Case {
            why: "a series that is no longer on the page ends with the next scrape",
            job: "",
            answers: vec![page("a 1\nb 1\n"), page("b 2\n"), page("a 3\nb 3\n")],
            stored: &[
                ("a", "1@0 x@1 3@2"),
                ("b", "1@0 2@1 3@2"),
                ("up", "1@0 1@1 1@2"),
                ("scrape_series_added", "2@0 0@1 1@2"),
            ],
        },
        Case {
            why: "a scrape that fails ends everything but the report",
            job: "",
            answers: vec![page("a 1\n"), Answer::Refuses, Answer::Refuses, page("a 3\n")],
            stored: &[
                ("a", "1@0 x@1 3@3"),
                ("up", "1@0 0@1 0@2 1@3"),
                ("scrape_samples_scraped", "1@0 0@1 0@2 1@3"),
            ],
        },
        Case {
            why: "a target that hangs fails when its time is up",
            job: "",
            answers: vec![page("a 1\n"), Answer::Hangs, page("a 3\n")],
            stored: &[
                ("a", "1@0 x@1 3@2"),
                ("up", "1@0 0@1 1@2"),
                ("scrape_duration_seconds", "0@0 5@1 0@2"),
            ],
        },
        Case {
            why: "of a page with one bad line nothing is stored, and everything ends, the good lines too",
            job: "",
            answers: vec![page("a 1\nb 1\n"), page("a 2\nb x\n"), page("a 3\nb 3\n")],
            stored: &[
                ("a", "1@0 x@1 3@2"),
                ("b", "1@0 x@1 3@2"),
                ("up", "1@0 0@1 1@2"),
                ("scrape_samples_scraped", "2@0 1@1 2@2"),
            ],
        },
        Case {
            why: "an empty page is a good one",
            job: "",
            answers: vec![page("a 1\n"), page("")],
            stored: &[("a", "1@0 x@1"), ("up", "1@0 1@1")],
        },
        Case {
            why: "a page of an unknown format is a failure",
            job: "",
            answers: vec![page("a 1\n"), Answer::Typed("text/html", "a 2\n".into())],
            stored: &[("a", "1@0 x@1"), ("up", "1@0 0@1")],
        },
        Case {
            why: "unless the job says what unknown formats are",
            job: "  fallback_scrape_protocol: PrometheusText0.0.4\n",
            answers: vec![Answer::Typed("", "a 2\n".into())],
            stored: &[("a", "2@0"), ("up", "1@0")],
        },
        Case {
            why: "series with times of their own do not end",
            job: "",
            answers: vec![page("a 1 1700000000000\n"), page("")],
            stored: &[("a", "1@+0")],
        },
        Case {
            why: "but with track_timestamps_staleness they do",
            job: "  track_timestamps_staleness: true\n",
            answers: vec![page("a 1 1700000000000\n"), page("")],
            stored: &[("a", "1@+0 x@1")],
        },
        Case {
            why: "times of the page can be ignored",
            job: "  honor_timestamps: false\n",
            answers: vec![page("a 1 1700000000000\n"), page("")],
            stored: &[("a", "1@0 x@1")],
        },
        Case {
            why: "a sample too far ahead is left out and the scrape is good",
            job: "",
            answers: vec![page(&format!("a 1 {ahead}\nb 1\n"))],
            stored: &[
                ("b", "1@0"),
                ("up", "1@0"),
                ("scrape_samples_post_metric_relabeling", "2@0"),
                ("scrape_series_added", "1@0"),
            ],
        },
        Case {
            why: "of a series that is on the page twice the first sample counts",
            job: "",
            answers: vec![page("a 1\na 2\n"), page("a 3\na 3\n")],
            stored: &[
                ("a", "1@0 3@1"),
                ("up", "1@0 1@1"),
                ("scrape_samples_post_metric_relabeling", "2@0 2@1"),
            ],
        },
        Case {
            why: "two times of one series on a page are two samples",
            job: "",
            answers: vec![page("a 1 1700000000000\na 2 1700000000001\n")],
            stored: &[("a", "1@+0 2@+1")],
        },
        Case {
            why: "over the sample limit nothing is stored, and the report says how many samples there were",
            job: "  sample_limit: 2\n",
            answers: vec![page("a 1\nb 1\n"), page("a 2\nb 2\nc 2\n")],
            stored: &[
                ("a", "1@0 x@1"),
                ("b", "1@0 x@1"),
                ("up", "1@0 0@1"),
                ("scrape_samples_scraped", "2@0 3@1"),
                ("scrape_samples_post_metric_relabeling", "2@0 3@1"),
                ("scrape_series_added", "2@0 0@1"),
            ],
        },
        Case {
            why: "a page with a bad line reports the new series above it, and stores none",
            job: "",
            answers: vec![page("good 1\nbad{ 1\n"), page("good 1\n")],
            stored: &[("good", "1@1"), ("up", "0@0 1@1"), ("scrape_series_added", "1@0 0@1")],
        },
        Case {
            why: "dropped samples do not count for the limit",
            job: "  sample_limit: 2\n  metric_relabel_configs: [{source_labels: [__name__], regex: 'go_.*', action: drop}]\n",
            answers: vec![page("go_a 1\ngo_b 1\na 1\nb 1\n"), page("go_a 1\ngo_b 1\na 1\nb 1\n")],
            stored: &[
                ("a", "1@0 1@1"),
                ("b", "1@0 1@1"),
                ("scrape_samples_scraped", "4@0 4@1"),
                ("scrape_samples_post_metric_relabeling", "2@0 2@1"),
            ],
        },
        Case {
            why: "texts that relabelling merges are one series, which ends with the last of them",
            job: "  metric_relabel_configs: [{action: labeldrop, regex: x}]\n",
            answers: vec![page("a{x=\"1\"} 1\n"), page("a{x=\"2\"} 2\n"), page("")],
            stored: &[("a", "1@0 2@1 x@2")],
        },
        Case {
            why: "a label limit fails the whole scrape",
            job: "  label_limit: 3\n",
            answers: vec![page("a 1\n"), page("a 1\nb{x=\"y\"} 1\n")],
            stored: &[("a", "1@0 x@1"), ("up", "1@0 0@1")],
        },
        Case {
            why: "a scraped series of a report's name goes first",
            job: "",
            answers: vec![page("up 5\n")],
            stored: &[("up", "5@0")],
        },
        Case {
            why: "more is reported when asked for",
            job: "  extra_scrape_metrics: true\n  sample_limit: 9\n",
            answers: vec![page("a 1\n"), Answer::Refuses],
            stored: &[
                ("a", "1@0 x@1"),
                ("scrape_body_size_bytes", "4@0 0@1"),
                ("scrape_sample_limit", "9@0 9@1"),
                ("scrape_timeout_seconds", "5@0 5@1"),
            ],
        },
    ]
}

#[tokio::test]
async fn scrapes_are_stored_as_listed() {
    for case in cases() {
        let mut bed = TestBed::new(case.job);
        for answer in case.answers {
            bed.scrape(answer).await;
        }
        let shown: Vec<&str> = case.stored.iter().map(|(name, _)| *name).collect();
        let expected: BTreeMap<String, String> =
            case.stored.iter().map(|(name, samples)| ((*name).to_owned(), (*samples).to_owned())).collect();
        assert_eq!(bed.all_stored(&shown), expected, "{}", case.why);
        bed.server.request();
    }
}

#[tokio::test]
async fn at_the_limit_of_the_store_known_series_continue_and_the_target_reports_it() {
    let mut bed = TestBed::new("");
    bed.scrape(page("a 1\n")).await;
    bed.store.set_series_max(bed.store.series().len() as u64);
    bed.scrape(page("a 2\nb 2\nc 2\n")).await;
    let last = bed.target.last_scrape();
    assert_eq!(last.health, crate::Health::Up);
    let limit = bed.store.series().len();
    assert_eq!(
        last.error,
        format!(
            "2 samples of new series were not stored: series limit of {limit} reached: new series are refused"
        )
    );
    assert_eq!(bed.metric("ferula_target_scrapes_series_refused_total"), 2.0);
    let expected = [("a", "1@0 2@1"), ("up", "1@0 1@1")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(bed.all_stored(&["up"]), BTreeMap::from(expected));
    bed.scrape(page("a 3\n")).await;
    assert_eq!(bed.target.last_scrape().error, "");
}

#[tokio::test]
async fn scrapes_happen_at_the_targets_offset_in_every_interval() {
    let mut bed = TestBed::new("");
    for _ in 0..3 {
        bed.scrape(page("a 1\n")).await;
    }
    let offset =
        i64::try_from((bed.target.hash ^ 7) % 10_000_000_000).expect("below the interval") / 1_000_000;
    for tick in &bed.ticks {
        assert_eq!(tick.rem_euclid(10_000), offset);
    }
    assert_eq!(bed.ticks[2] - bed.ticks[0], 20_000);
    assert!((0..=10_000).contains(&(bed.ticks[0] - START_MILLIS)));
}

#[tokio::test]
async fn a_removed_target_ends_at_its_first_missed_tick() {
    let mut bed = TestBed::new("");
    bed.scrape(page("a 1\n")).await;
    bed.stop.request();
    let stopped = bed.task.take().expect("it runs").await.expect("the loop does not panic");
    let end = tokio::spawn(stopped.end_of_run());
    let missed = bed.ticks[0] + 10_000;
    // The first missed tick, one more, and a tenth of the interval.
    for until in [missed, missed + 10_000, missed + 11_000] {
        assert_eq!(bed.all_stored(&[]), BTreeMap::from([("a".to_owned(), "1@0".to_owned())]));
        bed.asleep().await;
        bed.clock.advance_to_next();
        assert_eq!(bed.clock.unix_nanos() / 1_000_000, until);
    }
    end.await.expect("the end does not panic");
    bed.ticks.push(missed);
    let names = ["up", "scrape_series_added"];
    let expected = [("a", "1@0 x@1"), ("scrape_series_added", "1@0 x@1"), ("up", "1@0 x@1")];
    let expected = expected.map(|(name, samples)| (name.to_owned(), samples.to_owned()));
    assert_eq!(bed.all_stored(&names), BTreeMap::from(expected));
}

#[tokio::test]
async fn at_shutdown_series_do_not_end() {
    let mut bed = TestBed::new("");
    bed.scrape(page("a 1\n")).await;
    bed.server.request();
    let stopped = bed.task.take().expect("it runs").await.expect("the loop does not panic");
    stopped.end_of_run().await;
    assert_eq!(bed.all_stored(&["up"])["up"], "1@0");
    assert_eq!(bed.all_stored(&[])["a"], "1@0");
}

#[tokio::test]
async fn a_forced_error_replaces_the_scrape() {
    let mut bed = TestBed::new("");
    bed.scrape(page("a 1\n")).await;
    let error = ScrapeError::TargetLimit { targets: 3, limit: 2 };
    *bed.forced.lock().expect("no test panics here") = Some(error);
    bed.scrape(Answer::Refuses).await;
    assert_eq!(bed.fetch.calls.load(Ordering::SeqCst), 1);
    assert_eq!(bed.target.last_scrape().error, "target_limit exceeded (number of targets: 3, limit: 2)");
    assert_eq!(
        bed.all_stored(&["up"]),
        BTreeMap::from([("a".into(), "1@0 x@1".into()), ("up".into(), "1@0 0@1".into())])
    );
}

#[tokio::test]
async fn the_target_shows_its_last_scrape() {
    let mut bed = TestBed::new("");
    assert_eq!(bed.target.last_scrape().health, Health::Unknown);
    bed.scrape(page("# HELP a Help.\n# TYPE a counter\na 1\n")).await;
    let last = bed.target.last_scrape();
    assert_eq!((last.health, last.error.as_str()), (Health::Up, ""));
    let metadata = bed.target.metadata().expect("a loop runs");
    assert_eq!(metadata.lock().expect("no test panics here").get("a").expect("it was stated").help, "Help.");
    for (answer, error) in [
        (Answer::Refuses, r#"Get "http://h:1/metrics": dial tcp 127.0.0.1:1: connect: connection refused"#),
        (Answer::Hangs, r#"Get "http://h:1/metrics": context deadline exceeded"#),
        (
            page("a 1\nb x\n"),
            r#"strconv.ParseFloat: parsing "x": invalid syntax while parsing: "b x" (line 2)"#,
        ),
    ] {
        bed.scrape(answer).await;
        let last = bed.target.last_scrape();
        assert_eq!((last.health, last.error.as_str()), (Health::Down, error));
    }
}

#[tokio::test]
async fn the_last_bad_page_can_be_inspected() {
    let mut bed = TestBed::new("");
    let url = bed.target.url.clone();
    bed.scrape(page("a 1\n")).await;
    bed.scrape(Answer::Refuses).await;
    assert_eq!(bed.bad_pages.of("j", &url), None, "there was no page");
    bed.scrape(page("a 1\nb x\n")).await;
    bed.scrape(page("a 3\n")).await;
    let kept = bed.bad_pages.of("j", &url).expect("a page");
    assert_eq!((kept.body.as_slice(), kept.at.0 / 1_000_000), (&b"a 1\nb x\n"[..], bed.ticks[2]));
    assert!(kept.error.to_string().contains("(line 2)"), "{}", kept.error);
}

#[tokio::test]
async fn exemplars_are_stored_and_refusals_are_counted() {
    let mut bed = TestBed::new("");
    let om = |text: &str| Answer::Typed("application/openmetrics-text", format!("{text}\n# EOF\n"));
    bed.scrape(om("a_total 1 # {t=\"x\"} 5 1700000000.5")).await;
    bed.scrape(om("a_total 2 # {t=\"y\"} 6 1600000000.5")).await;
    assert_eq!(bed.metric("prometheus_target_scrapes_exemplar_out_of_order_total"), 1.0);
    bed.scrape(page("b 1\nb 2\nc 1 1\n")).await;
    assert_eq!(bed.metric("prometheus_target_scrapes_sample_duplicate_timestamp_total"), 1.0);
    let matchers = [ferula_model::Matcher::equal("__name__", "a_total")];
    let found =
        ferula_storage::Queryable::exemplars(&bed.store, ferula_model::TimeRange::ALL, &[matchers.to_vec()]);
    let found = found.expect("memory can be read");
    assert_eq!(found[0].1.len(), 1);
    assert_eq!(found[0].1[0].timestamp, Timestamp::from_millis(1_700_000_000_500));
}

#[test]
fn a_scrape_that_starts_nearly_on_time_gets_its_ticks_time() {
    let interval = Duration::from_secs(10);
    let aligned = |now: i64, moment: i64, interval| {
        aligned(UnixNanos(now), UnixNanos(moment), interval, TOLERANCE_MAX).0
    };
    let late = |nanos: i64| aligned(1_000_000_000 + nanos, 1_000_000_000, interval) - 1_000_000_000;
    assert_eq!(late(1_999_999), 0);
    assert_eq!(late(2_000_001), 2_000_001);
    // At most one part in a hundred of the interval.
    assert_eq!(aligned(1_500_000, 0, Duration::from_millis(100)), 1_500_000);
    assert_eq!(aligned(900_000, 0, Duration::from_millis(100)), 0);
    let never = super::aligned(UnixNanos(1), UnixNanos(0), interval, Duration::ZERO);
    assert_eq!(never.0, 1, "without a tolerance");
}

fn openmetrics(text: &str) -> Answer {
    Answer::Typed("application/openmetrics-text", format!("{text}# EOF\n"))
}

#[tokio::test]
async fn start_timestamps_are_stored_when_enabled() {
    let text = "# TYPE a counter\na_total 1\na_created 1600000000.5\n# TYPE b gauge\nb 1\n";
    for (asked, a_starts, created) in [(true, vec![1_600_000_000_500], false), (false, vec![], true)] {
        let mut bed = TestBed::with("", Features { start_timestamps: asked, ..Features::default() });
        bed.scrape(openmetrics(text)).await;
        let labels = |metric| [("__name__", metric), ("instance", "h:1"), ("job", "j")];
        assert_eq!(bed.store.starts(&labels("a_total")), a_starts);
        assert!(bed.store.starts(&labels("b")).is_empty());
        assert_eq!(bed.store.floats(&labels("a_created")).is_empty(), !created);
    }
}

#[tokio::test]
async fn metadata_is_stored_for_new_series_and_for_all_when_it_changes() {
    let job = "  metric_relabel_configs:\n  - {source_labels: [__name__], regex: renamed, target_label: __name__, \
               replacement: other}\n";
    let mut bed = TestBed::with(job, Features { metadata: true, ..Features::default() });
    let text = |help: &str, more: &str| {
        page(&format!(
            "# HELP a_total {help}\n# TYPE a_total counter\na_total{{x=\"1\"}} 1\n{more}\
             # TYPE b gauge\nb 1\nalien 1\nb{{x=\"2\"}} 1\n# HELP renamed R.\nrenamed 1\n"
        ))
    };
    let of = |bed: &TestBed, name: &str, more: &[(&str, &str)]| {
        let labels = [("__name__", name), ("instance", "h:1"), ("job", "j")];
        let labels = LabelSet::from_pairs(labels.into_iter().chain(more.iter().copied()));
        bed.store.metadata(&labels).map(|metadata| format!("{} {}", metadata.kind.as_str(), metadata.help))
    };
    let known = |text: &str| Some(text.to_owned());
    // A rejected page stores nothing, so its metadata is still news later.
    bed.scrape(page("# HELP a_total Help.\n# TYPE a_total counter\na_total{x=\"1\"} 1\na y\n")).await;
    assert_eq!(of(&bed, "a_total", &[("x", "1")]), None);
    bed.scrape(text("Help.", "")).await;
    assert_eq!(of(&bed, "a_total", &[("x", "1")]), known("counter Help."));
    assert_eq!(of(&bed, "b", &[]), known("gauge "));
    assert_eq!(of(&bed, "alien", &[]), None, "it is not of the family before it");
    assert_eq!(of(&bed, "b", &[("x", "2")]), known("gauge "));
    assert_eq!(of(&bed, "other", &[]), None, "the name after relabelling counts");
    let up = "gauge Health of the scrape target. 1 means the target is healthy, 0 if the scrape failed.";
    assert_eq!(of(&bed, "up", &[]), known(up));
    bed.scrape(text("Help.", "a_total{x=\"3\"} 1\n")).await;
    assert_eq!(of(&bed, "a_total", &[("x", "3")]), known("counter Help."));
    bed.scrape(text("Other.", "")).await;
    assert_eq!(of(&bed, "a_total", &[("x", "1")]), known("counter Other."));
    assert_eq!(of(&bed, "a_total", &[("x", "3")]), known("counter Help."), "it was not on the page");
    bed.scrape(text("Other.", "a_total{x=\"3\"} 1\n")).await;
    assert_eq!(of(&bed, "a_total", &[("x", "3")]), known("counter Other."), "it is back");
}

#[tokio::test]
async fn scrape_metrics_are_counted() {
    let mut bed = TestBed::new("");
    for _ in 0..3 {
        bed.scrape(page("a 1\n")).await;
    }
    let observed = |name: &str| {
        let family = bed.registry.gather().into_iter().find(|family| family.name == name).expect(name);
        match &family.metrics[0].value {
            ferula_model::MetricValue::Histogram { buckets, sum, count, .. } => (buckets.len(), *sum, *count),
            other => panic!("{name} is {other:?}"),
        }
    };
    // Three scrapes are two intervals apart; a scrape takes no simulated time.
    assert_eq!(observed("prometheus_target_interval_length_histogram_seconds"), (4, 20.0, 2));
    assert_eq!(observed("prometheus_target_scrape_duration_seconds"), (0, 0.0, 3));
}

/// A protobuf page with one histogram with native and classic buckets, and two exemplars.
fn histogram_page() -> Answer {
    use ferula_go::protobuf::{put_bytes, put_double, put_sint, put_varint};
    let message = |fill: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        fill(&mut out);
        out
    };
    let exemplar = |id: &[u8], seconds: u64| {
        let label = message(&|out| {
            put_bytes(out, 1, b"id");
            put_bytes(out, 2, id);
        });
        message(&|out| {
            put_bytes(out, 1, &label);
            put_double(out, 2, 0.5);
            put_bytes(out, 3, &message(&|out| put_varint(out, 1, seconds)));
        })
    };
    let histogram = message(&|out| {
        put_varint(out, 1, 4);
        put_double(out, 2, 7.5);
        let bucket = message(&|out| {
            put_varint(out, 1, 3);
            put_double(out, 2, 1.0);
        });
        put_bytes(out, 3, &bucket);
        put_sint(out, 5, 3);
        put_double(out, 6, 0.001);
        put_bytes(out, 12, &message(&|out| put_varint(out, 2, 4)));
        for delta in [1, 0, 0, 0] {
            put_sint(out, 13, delta);
        }
        put_bytes(out, 16, &exemplar(b"b", 1_700_000_000));
        put_bytes(out, 16, &exemplar(b"a", 1_600_000_000));
    });
    let family = message(&|out| {
        put_bytes(out, 1, b"rpc");
        put_varint(out, 3, 4);
        put_bytes(out, 4, &message(&|out| put_bytes(out, 7, &histogram)));
    });
    let page = [&[family.len() as u8][..], &family].concat();
    Answer::Bytes("application/vnd.google.protobuf", page)
}

/// The stored histogram: the newest sample as text, and which of its classic series exist.
fn histogram_of(bed: &TestBed) -> (Option<String>, Vec<String>) {
    let labels = [("__name__", "rpc"), ("instance", "h:1"), ("job", "j")];
    let newest = bed.store.histograms(&labels).pop().map(|(_, value)| {
        let schema = value.schema();
        format!(
            "{schema}: {}",
            if value.is_stale() { "stale".to_owned() } else { value.to_float().to_string() }
        )
    });
    (newest, bed.all_stored(&[]).into_iter().map(|(name, samples)| format!("{name} {samples}")).collect())
}

#[tokio::test]
async fn histograms_are_stored_as_the_job_configures() {
    let native = "3: {count:4, sum:7.5, (0.9170040432046711,1]:1, (1,1.0905077326652577]:1, \
                  (1.0905077326652577,1.189207115002721]:1, (1.189207115002721,1.2968395546510096]:1}";
    let coarser = "1: {count:4, sum:7.5, (0.7071067811865475,1]:1, (1,1.414213562373095]:3}";
    let coarsest = "0: {count:4, sum:7.5, (0.5,1]:1, (1,2]:3}";
    let custom = "-53: {count:4, sum:7.5, [-Inf,1]:3, (1,+Inf]:1}";
    let classic =
        ["rpc_bucket{le=\"+Inf\"} 4@0", "rpc_bucket{le=\"1.0\"} 3@0", "rpc_count 4@0", "rpc_sum 7.5@0"];
    for (job, histogram, has_classic) in [
        ("", None, true),
        ("  scrape_native_histograms: true\n", Some(native), false),
        ("  scrape_native_histograms: true\n  always_scrape_classic_histograms: true\n", Some(native), true),
        ("  convert_classic_histograms_to_nhcb: true\n", Some(custom), false),
        (
            "  convert_classic_histograms_to_nhcb: true\n  always_scrape_classic_histograms: true\n",
            Some(custom),
            true,
        ),
        ("  scrape_native_histograms: true\n  native_histogram_bucket_limit: 2\n", Some(coarser), false),
        (
            "  scrape_native_histograms: true\n  native_histogram_min_bucket_factor: 2\n",
            Some(coarsest),
            false,
        ),
    ] {
        let mut bed = TestBed::new(job);
        bed.scrape(histogram_page()).await;
        assert_eq!(bed.target.last_scrape().error, "", "{job}");
        let (stored, series) = histogram_of(&bed);
        assert_eq!(stored.as_deref(), histogram, "{job}");
        assert_eq!(series, if has_classic { classic.to_vec() } else { Vec::new() }, "{job}");
        // Series that disappear end with markers, histograms with histogram markers.
        bed.scrape(page("")).await;
        if let (Some(stale), _) = histogram_of(&bed) {
            assert!(stale.ends_with("stale"), "{job}: {stale}");
        }
        bed.server.request();
    }
}

#[tokio::test]
async fn nothing_is_stored_over_the_bucket_limit() {
    let mut bed = TestBed::new(
        "  convert_classic_histograms_to_nhcb: true\n  native_histogram_bucket_limit: 1\n  sample_limit: 1\n",
    );
    bed.scrape(histogram_page()).await;
    assert_eq!(bed.target.last_scrape().error, "histogram bucket limit exceeded");
    assert_eq!(bed.metric("prometheus_target_scrapes_exceeded_native_histogram_bucket_limit_total"), 1.0);
    assert_eq!(histogram_of(&bed), (None, Vec::new()));
}

#[tokio::test]
async fn exemplars_of_a_histogram_count_as_out_of_order_only_together() {
    let mut bed = TestBed::new("  scrape_native_histograms: true\n");
    bed.scrape(histogram_page()).await;
    let matchers = [ferula_model::Matcher::equal("__name__", "rpc")];
    let found =
        ferula_storage::Queryable::exemplars(&bed.store, ferula_model::TimeRange::ALL, &[matchers.to_vec()]);
    let times: Vec<i64> =
        found.expect("memory can be read")[0].1.iter().map(|exemplar| exemplar.timestamp.millis()).collect();
    assert_eq!(times, [1_600_000_000_000, 1_700_000_000_000], "by their times, not as sent");
    // The older of the two is out-of-order now, the newer is a duplicate.
    bed.scrape(histogram_page()).await;
    assert_eq!(bed.metric("prometheus_target_scrapes_exemplar_out_of_order_total"), 0.0);
}

/// A store that checks a lock whenever a series is resolved.
struct Watching {
    inner: MemStorage,
    metadata: Arc<Mutex<crate::metadata_cache::MetadataCache>>,
    free: AtomicU64,
}

struct WatchingAppender<'a>(Box<dyn ferula_storage::Appender + 'a>, &'a Watching);

impl Appendable for Watching {
    fn appender(&self) -> Box<dyn ferula_storage::Appender + '_> {
        Box::new(WatchingAppender(self.inner.appender(), self))
    }
}

impl ferula_storage::Appender for WatchingAppender<'_> {
    fn resolve(&mut self, labels: &LabelSet) -> Result<ferula_model::SeriesRef, ferula_storage::AppendError> {
        self.1.free.fetch_add(u64::from(self.1.metadata.try_lock().is_ok()), Ordering::SeqCst);
        self.0.resolve(labels)
    }

    fn append(&mut self, batch: &mut ferula_storage::SampleBatch) -> ferula_storage::AppendOutcome {
        self.0.append(batch)
    }

    fn commit(
        self: Box<Self>,
        durability: ferula_storage::Durability,
    ) -> Result<(), ferula_storage::CommitError> {
        self.0.commit(durability)
    }
}

#[test]
fn metadata_can_be_read_while_a_page_is_stored() {
    let config = Config::parse("scrape_configs: [{job_name: j}]").expect("a good configuration");
    let job = JobOptions::of(&config.scrape_configs[0], Features { metadata: true, ..Features::default() });
    let mut state = TargetState::new(1);
    let metadata = state.metadata().clone();
    let store = Watching { inner: MemStorage::new(), metadata, free: AtomicU64::new(0) };
    let metrics = Metrics::new(&Registry::new());
    let context = ScrapeContext {
        job: &job,
        page: crate::options::PageOptions::default(),
        target: &LabelSet::empty(),
        metrics: &metrics,
        url: "",
    };
    let page = Page {
        body: "# HELP a A.\na 1\n# HELP b B.\nb 1\n".into(),
        content_type: "text/plain".into(),
        share: None,
    };
    let at = Timestamp::from_millis(START_MILLIS);
    let (error, committed) = state
        .store(&store, &context, at, Ok(&page), |counts, _| Report::new(true, Duration::ZERO, counts, None));
    assert_eq!((error, committed), (None, Ok(())));
    assert_eq!(store.free.load(Ordering::SeqCst), 7, "two series and five reports");
}
