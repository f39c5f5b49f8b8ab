//! The reader of a log that is truncated meanwhile.

use std::sync::Mutex;

use ferula_model::metric_family::{Metric, MetricValue};
use ferula_model::{LabelSet, Timestamp};
use ferula_storage::{Hold, LogRef, LogSample};
use ferula_telemetry::Registry;

use super::super::metrics::Metrics;
use super::*;

/// A log with one record per segment, each with a series of its own that ends with the record.
#[derive(Default)]
struct Churn(Mutex<State>);

#[derive(Clone, Copy, Default)]
struct State {
    /// Number of records and segments.
    records: u32,
    first_segment: u32,
}

struct Cursor {
    churn: Arc<Churn>,
    read: u32,
}

impl Churn {
    fn state(&self) -> State {
        *self.0.lock().expect("not poisoned")
    }
}

impl LogCursor for Cursor {
    fn next(&mut self, records: &mut LogRecords) -> Result<bool, DiskError> {
        records.clear();
        if self.read == self.churn.state().records {
            return Ok(false);
        }
        let series = LogRef::new(u64::from(self.read));
        records.start = LogPosition { segment: self.read, offset: 0 };
        records.end = LogPosition { segment: self.read, offset: 1 };
        records.series.push((series, LabelSet::from_pairs([("__name__", format!("m{series}"))])));
        records.samples.push(LogSample {
            series,
            at: Timestamp::from_millis(1),
            start: Timestamp::EPOCH,
            value: 1.0,
        });
        self.read += 1;
        Ok(true)
    }

    fn first_segment(&self) -> Result<u32, DiskError> {
        Ok(self.churn.state().first_segment)
    }
}

/// The feed of a log that a test modifies.
struct Feed(Arc<Churn>);

impl LogFeed for Feed {
    fn end(&self) -> LogPosition {
        LogPosition::default()
    }

    fn newest(&self) -> Option<Timestamp> {
        None
    }

    fn open(&self, _: LogPosition) -> Result<Box<dyn LogCursor>, DiskError> {
        Ok(Box::new(Cursor { churn: self.0.clone(), read: 0 }))
    }

    fn hold(&self, _: Option<Hold>) {}

    fn living_series(&self) -> Box<dyn Fn(LogRef) -> bool + Send> {
        Box::new(|_| false)
    }
}

#[test]
fn texts_of_ended_series_are_freed_although_some_lane_always_has_an_open_batch() {
    let churn = Arc::new(Churn::default());
    let options = ReaderOptions {
        message: Message::V2,
        rules: LabelRules::default(),
        exemplars: false,
        histograms: false,
        items_per_batch: 1000,
        batch_deadline: Duration::from_secs(5),
        age_max: Duration::ZERO,
    };
    let registry = Registry::new();
    let metrics = Metrics::new(&registry).of("n", "u");
    let positions = positions_at(LogPosition::default(), 2);
    let mut reader =
        Reader::open(Arc::new(Feed(churn.clone())), &positions, options, metrics).expect("opened");
    let mut sent = 0;
    for round in 1..=50 {
        *churn.0.lock().expect("not poisoned") =
            State { records: 10 * round, first_segment: 10 * (round - 1) };
        // No batch ever becomes due.
        let step = reader.step(Duration::from_secs(1), 1).expect("read");
        sent += step.ready.iter().map(|batch| batch.counts.samples).sum::<u64>();
    }
    sent += reader.flush().iter().map(|batch| batch.counts.samples).sum::<u64>();
    assert_eq!(sent, 500);
    // Ten records with a series and a sample each were there before the end was reached for the first time.
    let counted = |name: &str| -> Vec<f64> {
        let family = registry.gather_one(&format!("prometheus_wal_watcher_{name}_total")).expect("a family");
        let value = |metric: &Metric| match metric.value {
            MetricValue::Single(value) => value,
            _ => panic!("{name} is a counter"),
        };
        family.metrics.iter().map(value).filter(|value| *value > 0.0).collect()
    };
    assert_eq!(counted("records_read"), [500.0, 500.0]);
    assert_eq!(counted("samples_sent_pre_tailing"), [10.0]);
    assert_eq!(counted("record_decode_failures"), [0.0; 0]);
    let texts = reader.series.symbol_slots();
    assert!(texts < 50, "texts of ended series stay: {texts}");
}
