//! Metrics of sending, with the names that Prometheus has for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use ferula_model::Timestamp;
use ferula_storage::LogRecords;
use ferula_telemetry::{Counter, CounterVec, Gauge, GaugeVec, Histogram, HistogramVec, Registry};

use super::encode::{Counts, ItemKind};

const LABELS: [&str; 2] = ["remote_name", "url"];
const WITH_REASON: [&str; 3] = ["remote_name", "url", "reason"];

/// One family for each kind of item.
#[derive(Clone)]
struct Kinds<F> {
    samples: F,
    histograms: F,
    exemplars: F,
}

impl<F> Kinds<F> {
    fn of(make: impl Fn(&str) -> F) -> Self {
        Kinds { samples: make("samples"), histograms: make("histograms"), exemplars: make("exemplars") }
    }
}

/// The families of all destinations.
#[derive(Clone)]
pub struct Metrics {
    sent: Kinds<CounterVec>,
    failed: Kinds<CounterVec>,
    retried: Kinds<CounterVec>,
    dropped: Kinds<CounterVec>,
    pending: Kinds<GaugeVec>,
    metadata: [CounterVec; 3],
    bytes: CounterVec,
    metadata_bytes: CounterVec,
    enqueue_retries: CounterVec,
    duration: HistogramVec,
    highest: GaugeVec,
    highest_sent: GaugeVec,
    shard_capacity: GaugeVec,
    shards: GaugeVec,
    shards_max: GaugeVec,
    shards_min: GaugeVec,
    shards_desired: GaugeVec,
    samples_per_send: GaugeVec,
    reading_segment: GaugeVec,
    records_read: CounterVec,
    records_damaged: CounterVec,
    read_before_end: CounterVec,
    notifications_skipped: CounterVec,
    series: GaugeVec,
    segments_lost: CounterVec,
}

/// Bucket bounds of send durations, in seconds.
const DURATION_BOUNDS: [f64; 15] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0, 120.0, 300.0];

impl Metrics {
    /// Registers the families.
    pub fn new(registry: &Registry) -> Self {
        let name = |rest: &str| format!("prometheus_remote_storage_{rest}");
        let counter = |rest: &str, help: &str| registry.counter_vec(&name(rest), help, &LABELS);
        let gauge = |rest: &str, help: &str| registry.gauge_vec(&name(rest), help, &LABELS);
        let kinds = |rest: &str, help: &str| {
            Kinds::of(|kind| counter(&format!("{kind}_{rest}"), &help.replace("{}", kind)))
        };
        Metrics {
            sent: kinds("total", "The {} in requests to a destination. Retries count again."),
            failed: kinds("failed_total", "The {} that a destination refused. They are not sent again."),
            retried: kinds("retried_total", "The {} that were sent again after a recoverable failure."),
            dropped: Kinds::of(|kind| {
                let help = format!("The {kind} that were read from the log but not sent, by reason.");
                registry.counter_vec(&name(&format!("{kind}_dropped_total")), &help, &WITH_REASON)
            }),
            pending: Kinds::of(|kind| {
                let help = format!("The {kind} in requests that are queued or in flight.");
                registry.gauge_vec(&name(&format!("{kind}_pending")), &help, &LABELS)
            }),
            metadata: [
                counter("metadata_total", "Metadata entries in requests to a destination. Retries count again."),
                counter("metadata_failed_total", "Metadata entries that a destination refused."),
                counter("metadata_retried_total", "Metadata entries that were sent again after a failure."),
            ],
            bytes: counter("bytes_total", "Compressed size of requests with samples, in bytes."),
            metadata_bytes: counter("metadata_bytes_total", "Compressed size of requests with metadata, in bytes."),
            enqueue_retries: counter(
                "enqueue_retries_total",
                "How often the reader of the log had to wait because the queue of a shard was full.",
            ),
            duration: registry.histogram_vec(
                &name("sent_batch_duration_seconds"),
                "Duration of each attempt to send a request, in seconds.",
                &DURATION_BOUNDS,
                &LABELS,
            ),
            highest: gauge(
                "queue_highest_timestamp_seconds",
                "Timestamp of the newest sample that was read from the log for this destination, in seconds since 1970.",
            ),
            highest_sent: gauge(
                "queue_highest_sent_timestamp_seconds",
                "Time of the newest sample that the destination has. Compare it with \
                 prometheus_remote_storage_highest_timestamp_in_seconds to see how far it is behind.",
            ),
            shard_capacity: gauge("shard_capacity", "Maximum number of samples queued per shard."),
            shards: gauge("shards", "Number of shards, which is the number of concurrent requests."),
            shards_max: gauge("shards_max", "Maximum number of shards."),
            shards_min: gauge("shards_min", "Minimum number of shards."),
            shards_desired: gauge("shards_desired", "Number of shards that would keep up with the incoming samples."),
            samples_per_send: gauge("max_samples_per_send", "Maximum number of samples per request."),
            reading_segment: registry.gauge_vec(
                "prometheus_wal_watcher_current_segment",
                "Log segment that is currently read for a destination.",
                &["consumer"],
            ),
            records_read: registry.counter_vec(
                "prometheus_wal_watcher_records_read_total",
                "Records of the log that were read for a destination, by what is in them.",
                &["consumer", "type"],
            ),
            records_damaged: registry.counter_vec(
                "prometheus_wal_watcher_record_decode_failures_total",
                "Places of the log that could not be read for a destination.",
                &["consumer"],
            ),
            read_before_end: registry.counter_vec(
                "prometheus_wal_watcher_samples_sent_pre_tailing_total",
                "Samples that were read for a destination before it had reached the end of the log for the first time.",
                &["consumer"],
            ),
            notifications_skipped: registry.counter_vec(
                "prometheus_wal_watcher_notifications_skipped_total",
                "Always 0: a reader that is woken while it reads looks at the end of the log again.",
                &["consumer"],
            ),
            series: registry.gauge_vec(
                "ferula_remote_storage_series",
                "Series of the log whose labels are cached for a destination.",
                &LABELS,
            ),
            segments_lost: registry.counter_vec(
                "ferula_remote_storage_segments_lost_total",
                "Segments of the log that had to go before a destination had all of them, because the log would have \
                 become longer than --storage.ferula.remote-write-backlog.",
                &LABELS,
            ),
        }
    }

    /// The series of one destination.
    pub fn of(&self, name: &str, url: &str) -> DestinationMetrics {
        let labels = [name, url];
        let counts = |kinds: &Kinds<CounterVec>| KindCounters {
            samples: kinds.samples.with(&labels),
            histograms: kinds.histograms.with(&labels),
            exemplars: kinds.exemplars.with(&labels),
        };
        DestinationMetrics(Arc::new(Members {
            name: name.to_owned(),
            url: url.to_owned(),
            families: self.clone(),
            sent: counts(&self.sent),
            failed: counts(&self.failed),
            retried: counts(&self.retried),
            pending: [&self.pending.samples, &self.pending.histograms, &self.pending.exemplars]
                .map(|family| family.with(&labels)),
            metadata: self.metadata.each_ref().map(|family| family.with(&labels)),
            bytes: self.bytes.with(&labels),
            metadata_bytes: self.metadata_bytes.with(&labels),
            enqueue_retries: self.enqueue_retries.with(&labels),
            duration: self.duration.with(&labels),
            highest: self.highest.with(&labels),
            highest_sent: self.highest_sent.with(&labels),
            highest_ms: AtomicI64::new(i64::MIN),
            highest_sent_ms: AtomicI64::new(i64::MIN),
            shard_capacity: self.shard_capacity.with(&labels),
            shards: self.shards.with(&labels),
            shards_max: self.shards_max.with(&labels),
            shards_min: self.shards_min.with(&labels),
            shards_desired: self.shards_desired.with(&labels),
            samples_per_send: self.samples_per_send.with(&labels),
            reading_segment: self.reading_segment.with(&[name]),
            records_read: RECORD_TYPES.map(|kind| self.records_read.with(&[name, kind])),
            records_damaged: self.records_damaged.with(&[name]),
            read_before_end: self.read_before_end.with(&[name]),
            _notifications_skipped: self.notifications_skipped.with(&[name]),
            series: self.series.with(&labels),
            segments_lost: self.segments_lost.with(&labels),
        }))
    }
}

/// Counters of the three kinds of items.
pub struct KindCounters {
    samples: Counter,
    histograms: Counter,
    exemplars: Counter,
}

impl KindCounters {
    /// Adds to each counter.
    pub fn add(&self, counts: Counts) {
        self.samples.add(counts.samples);
        self.histograms.add(counts.histograms);
        self.exemplars.add(counts.exemplars);
    }
}

/// The metrics of one destination. Clones are handles to the same ones.
#[derive(Clone)]
pub struct DestinationMetrics(Arc<Members>);

impl std::ops::Deref for DestinationMetrics {
    type Target = Members;

    fn deref(&self) -> &Members {
        &self.0
    }
}

/// The series of one destination in each family.
pub struct Members {
    pub name: String,
    pub url: String,
    families: Metrics,
    pub sent: KindCounters,
    pub failed: KindCounters,
    pub retried: KindCounters,
    pending: [Gauge; 3],
    /// Sent, failed, retried.
    pub metadata: [Counter; 3],
    pub bytes: Counter,
    pub metadata_bytes: Counter,
    pub enqueue_retries: Counter,
    pub duration: Histogram,
    highest: Gauge,
    highest_sent: Gauge,
    highest_ms: AtomicI64,
    highest_sent_ms: AtomicI64,
    pub shard_capacity: Gauge,
    pub shards: Gauge,
    pub shards_max: Gauge,
    pub shards_min: Gauge,
    pub shards_desired: Gauge,
    pub samples_per_send: Gauge,
    pub reading_segment: Gauge,
    /// In the order of [`RECORD_TYPES`].
    records_read: [Counter; 5],
    pub records_damaged: Counter,
    pub read_before_end: Counter,
    _notifications_skipped: Counter,
    pub series: Gauge,
    pub segments_lost: Counter,
}

/// Values of the label `type` of records of the log.
const RECORD_TYPES: [&str; 5] = ["series", "samples", "histogram_samples", "exemplars", "metadata"];

impl Members {
    /// Counts a record that was read, by what is in it.
    pub fn count_record(&self, records: &LogRecords) {
        let is_there = [
            !records.series.is_empty(),
            !records.samples.is_empty(),
            !records.histograms.is_empty(),
            !records.exemplars.is_empty(),
            !records.metadata.is_empty(),
        ];
        let counters = self.records_read.iter().zip(is_there).filter(|(_, is_there)| *is_there);
        counters.for_each(|(counter, _)| counter.inc());
    }

    /// Counts an item that is not sent.
    pub fn drop_one(&self, kind: ItemKind, reason: &str) {
        let mut counts = Counts::default();
        counts.add(kind);
        self.drop_all(counts, reason);
    }

    /// Counts items that are not sent.
    pub fn drop_all(&self, counts: Counts, reason: &str) {
        let labels = [&*self.name, &*self.url, reason];
        let dropped = &self.families.dropped;
        for (family, count) in [
            (&dropped.samples, counts.samples),
            (&dropped.histograms, counts.histograms),
            (&dropped.exemplars, counts.exemplars),
        ] {
            if count > 0 {
                family.with(&labels).add(count);
            }
        }
    }

    /// Counts items that begin (`sign` 1) or stop (−1) being pending.
    pub fn pend(&self, counts: Counts, sign: f64) {
        let counts = [counts.samples, counts.histograms, counts.exemplars];
        self.pending.iter().zip(counts).for_each(|(gauge, count)| gauge.add(sign * count as f64));
    }

    /// Records the timestamp of an item that was added to a batch.
    pub fn enqueued(&self, at: Timestamp) {
        let at_ms = at.millis();
        if self.highest_ms.fetch_max(at_ms, Relaxed) < at_ms {
            self.highest.set((at_ms / 1000) as f64);
        }
    }

    /// Records the timestamp of the newest item that the destination has received.
    pub fn arrived(&self, at: Timestamp) {
        let at_ms = at.millis();
        if self.highest_sent_ms.fetch_max(at_ms, Relaxed) < at_ms {
            self.highest_sent.set((at_ms / 1000) as f64);
        }
    }

    /// Timestamp of the newest item that the destination has received, in milliseconds.
    pub fn newest_sent_ms(&self) -> Option<i64> {
        Some(self.highest_sent_ms.load(Relaxed)).filter(|at| *at != i64::MIN)
    }
}

impl Drop for Members {
    /// The series of a removed destination are removed too.
    fn drop(&mut self) {
        let (labels, families) = ([&*self.name, &*self.url], &self.families);
        let kinds = [&families.sent, &families.failed, &families.retried];
        let of_kinds =
            kinds.into_iter().flat_map(|kinds| [&kinds.samples, &kinds.histograms, &kinds.exemplars]);
        let counters = of_kinds.chain(&families.metadata).chain([
            &families.bytes,
            &families.metadata_bytes,
            &families.enqueue_retries,
            &families.segments_lost,
        ]);
        counters.for_each(|family| family.remove(&labels));
        for dropped in [&families.dropped.samples, &families.dropped.histograms, &families.dropped.exemplars]
        {
            for reason in REASONS {
                dropped.remove(&[&self.name, &self.url, reason]);
            }
        }
        for family in [
            &families.pending.samples,
            &families.pending.histograms,
            &families.pending.exemplars,
            &families.highest,
            &families.highest_sent,
            &families.shard_capacity,
            &families.shards,
            &families.shards_max,
            &families.shards_min,
            &families.shards_desired,
            &families.samples_per_send,
            &families.series,
        ] {
            family.remove(&labels);
        }
        families.reading_segment.remove(&[&self.name]);
        for family in [&families.records_damaged, &families.read_before_end, &families.notifications_skipped]
        {
            family.remove(&[&self.name]);
        }
        RECORD_TYPES.iter().for_each(|kind| families.records_read.remove(&[&self.name, kind]));
        families.duration.remove(&labels);
    }
}

/// Values of the label `reason`, which says why an item is not sent. Here: the item is older than
/// `sample_age_limit`.
pub const TOO_OLD: &str = "too_old";
/// Relabelling drops its series.
pub const DROPPED_SERIES: &str = "dropped_series";
/// The log has no labels for its series.
pub const UNKNOWN_SERIES: &str = "unintentionally_dropped_series";
/// Version 1 cannot transport histograms with custom buckets.
pub const CUSTOM_BUCKETS: &str = "nhcb_in_rw1_not_supported";
const REASONS: [&str; 4] = [TOO_OLD, DROPPED_SERIES, UNKNOWN_SERIES, CUSTOM_BUCKETS];
