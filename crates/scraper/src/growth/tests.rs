//! The guard in front of a store in memory, on a simulated clock.

use std::time::Duration;

use ferula_model::Timestamp;
use ferula_runtime::SimClock;
use ferula_testkit::mem_storage::MemStorage;

use super::*;

struct TestBed {
    guard: GrowthGuard,
    clock: SimClock,
    registry: Registry,
}

impl TestBed {
    fn new(limits: SeriesLimits) -> Self {
        let (store, clock, registry) =
            (MemStorage::new(), SimClock::at(Timestamp::from_millis(0)), Registry::new());
        let counted = store.clone();
        let counts = Box::new(move |label: &str| {
            let mut counts = std::collections::BTreeMap::<String, u64>::new();
            for labels in counted.series() {
                *counts.entry(labels.value(label).to_owned()).or_default() += 1;
            }
            counts.into_iter().collect()
        });
        let guard = GrowthGuard::new(Arc::new(store), counts, limits, Arc::new(clock.clone()), &registry);
        guard.growth();
        TestBed { guard, clock, registry }
    }

    /// Sends series of a metric and a target, whose label `x` has these values; returns how many were refused.
    fn send(&self, job: &str, instance: &str, metric: &str, values: std::ops::Range<u32>) -> usize {
        let mut appender = self.guard.appender();
        let mut batch = SampleBatch::default();
        let mut refused = 0;
        for value in values {
            let value = value.to_string();
            let pairs = [("__name__", metric), ("instance", instance), ("job", job), ("x", &*value)];
            match appender.resolve(&LabelSet::from_pairs(pairs)) {
                Ok(series) => batch.push_float(series, self.now(), 1.0),
                Err(error) => {
                    assert!(error.is_limit(), "{error}");
                    refused += 1;
                }
            }
        }
        appender.append(&mut batch);
        appender.commit(Durability::Written).expect("committed");
        refused
    }

    fn now(&self) -> Timestamp {
        ferula_runtime::Clock::now(&self.clock)
    }

    fn next_minute(&self) {
        self.clock.advance(Duration::from_secs(60));
    }

    fn refused(&self, job: &str, limit: &str) -> f64 {
        let family = self.registry.gather_one("ferula_refused_series_total");
        let metrics = family.map_or_else(Vec::new, |family| family.metrics);
        let wanted = LabelSet::from_pairs([("job", job), ("limit", limit)]);
        let found = metrics.iter().find(|metric| metric.labels == wanted);
        found.map_or(0.0, |metric| match metric.value {
            ferula_model::MetricValue::Single(value) => value,
            _ => panic!("a counter"),
        })
    }
}

fn bound(series_max: u64, new_per_minute_max: u64) -> Bound {
    Bound { series_max, new_per_minute_max }
}

#[test]
fn known_series_always_pass() {
    let limits = SeriesLimits { job: bound(10, 0), ..SeriesLimits::default() };
    let bed = TestBed::new(limits);
    assert_eq!(bed.send("a", "i", "m", 0..15), 5);
    for _ in 0..3 {
        bed.next_minute();
        assert_eq!(bed.send("a", "i", "m", 0..10), 0, "known series continue");
        assert_eq!(bed.send("a", "i", "m", 10..15), 5);
        assert_eq!(bed.send("a", "j", "up", 0..1), 0, "a scrape is always reported");
    }
    assert_eq!(bed.refused("a", "job"), 20.0);
}

#[test]
fn each_limit_bounds_what_it_names() {
    let none = SeriesLimits::default();
    // Which limit, and how many of 20 series each are refused: of the same target, of another target of the job, of another
    // metric of the target, of another job.
    for (limits, name, want) in [
        (SeriesLimits { job: bound(30, 0), ..none }, "job", [0, 10, 20, 0]),
        (SeriesLimits { job: bound(0, 30), ..none }, "job", [0, 10, 20, 0]),
        (SeriesLimits { target: bound(30, 0), ..none }, "target", [0, 0, 10, 0]),
        (SeriesLimits { target: bound(0, 30), ..none }, "target", [0, 0, 10, 0]),
    ] {
        let bed = TestBed::new(limits);
        let got = [
            bed.send("a", "i", "m", 0..20),
            bed.send("a", "j", "m", 0..20),
            bed.send("a", "i", "n", 0..20),
            bed.send("b", "k", "m", 0..20),
        ];
        assert_eq!(got, want, "{limits:?}");
        assert_eq!(bed.refused("a", name), want.iter().sum::<usize>() as f64, "{limits:?}");
    }
}

#[test]
fn new_series_of_a_minute_are_bounded_minute_by_minute() {
    let bed = TestBed::new(SeriesLimits { target: bound(100, 40), ..SeriesLimits::default() });
    for refused in [60, 20, 0, 0] {
        assert_eq!(bed.send("a", "i", "m", 0..100), refused);
        bed.next_minute();
    }
    assert_eq!(bed.send("a", "i", "m", 0..150), 50, "a hundred is the most");
}

/// Fifty jobs grow a little, one explodes: it takes half of the room and its part, the others get what they need.
#[test]
fn a_job_that_explodes_does_not_starve_the_others() {
    let none = SeriesLimits::default();
    for limits in [
        SeriesLimits { head: bound(0, 10_000), ..none },
        SeriesLimits { head: bound(10_500, 0), ..none },
        SeriesLimits { metric: bound(0, 10_000), ..none },
        SeriesLimits { metric: bound(10_500, 0), ..none },
    ] {
        let bed = TestBed::new(limits);
        let jobs: Vec<String> = (0..50).map(|job| format!("j{job}")).collect();
        jobs.iter().for_each(|job| assert_eq!(bed.send(job, job, "m", 0..10), 0));
        bed.next_minute();
        let exploded = 20_000 - bed.send("j0", "j0", "m", 1000..21_000);
        assert!((4_900..=5_300).contains(&exploded), "{limits:?}: {exploded}");
        for job in &jobs[1..] {
            assert_eq!(bed.send(job, job, "m", 10..80), 0, "{limits:?}: {job}");
        }
        for job in ["new0", "new1", "new2"] {
            assert_eq!(bed.send(job, job, "m", 0..70), 0, "{limits:?}: {job} was not there before");
        }
        let left = bed.send("j0", "j0", "m", 1000..21_000);
        assert_eq!(
            20_000 - left,
            exploded,
            "{limits:?}: there is nothing more for it, and what it has stays"
        );
    }
}

#[test]
fn job_metric_and_label_that_grow_are_named() {
    let bed = TestBed::new(SeriesLimits { job: bound(0, 300), ..SeriesLimits::default() });
    bed.send("calm", "i", "m", 0..3);
    bed.send("wild", "i", "requests_total", 0..500);
    let [now, before] = bed.guard.growth();
    assert!(before.jobs.is_empty());
    let job = |growth: &Growth, at: usize| {
        (growth.jobs[at].name.clone(), growth.jobs[at].new, growth.jobs[at].refused)
    };
    assert_eq!(job(&now, 0), ("wild".to_owned(), 300, 200));
    assert_eq!(job(&now, 1), ("calm".to_owned(), 3, 0));
    assert_eq!(now.metrics[0].name, "requests_total");
    let label = LabelGrowth { name: "x".to_owned(), values: 256 };
    assert_eq!(now.metrics[0].labels[0], label, "of at least so many values");
    bed.next_minute();
    let [now, before] = bed.guard.growth();
    assert!(now.jobs.is_empty());
    assert_eq!(job(&before, 0), ("wild".to_owned(), 300, 200));
    bed.send("wild", "i", "requests_total", 0..301);
    assert_eq!(bed.guard.growth()[0].jobs[0].series, 300, "as counted in the store");
}

#[test]
fn names_without_end_take_bounded_memory() {
    let bed = TestBed::new(SeriesLimits { job: bound(1, 0), ..SeriesLimits::default() });
    for number in 0..3_000 {
        bed.send(&format!("j{number}"), "i", &format!("m{number}"), 0..1);
    }
    let [now, _] = bed.guard.growth();
    assert_eq!((now.jobs.len(), now.metrics.len()), (20, 20));
    let counters = bed.registry.gather_one("ferula_new_series_total").expect("counted").metrics.len();
    assert_eq!(counters, 1001, "the rest is counted together");
}
