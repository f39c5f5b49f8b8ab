//! One destination from start to stop: the reader of the log, and the lanes that send.
//!
//! ```text
//! log ─▶ Reader (on a blocking thread) ─▶ queue of each lane ─▶ Lane ─▶ HTTP
//!                                              │                 │
//!                                              └──── Progress ◀──┘ ─▶ position file
//! ```
//!
//! A full queue stops the reader. Unsent samples stay in the log, so memory does not grow during an outage.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use ferula_config::remote::RemoteWriteConfig;
use ferula_model::MetricMetadata;
use ferula_runtime::{SharedClock, Shutdown};
use ferula_storage::{LogFeed, LogPosition};
use ferula_telemetry::{error, info, warn};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::batch::Batch;
use super::client::{SendError, WriteClient};
use super::encode::put_metadata;
use super::lane::LaneContext;
use super::metrics::DestinationMetrics;
use super::position::{LanePosition, PositionFile};
use super::progress::Progress;
use super::reader::{Reader, ReaderOptions, Step, positions_at};
use super::series::LabelRules;
use super::sharding::{Lanes, UPDATE_INTERVAL};
use crate::snappy;
use crate::write::headers::Message;

/// How often the log is polled when nothing was new.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// The pause after a disk error.
const DISK_PAUSE: Duration = Duration::from_secs(5);

/// The types and help texts of metrics that are currently scraped.
pub trait MetadataSource: Send + Sync {
    /// Metric families with their metadata, without duplicates.
    fn metadata(&self) -> Vec<(String, MetricMetadata)>;
}

/// The inputs of a destination.
pub struct Setup {
    pub config: RemoteWriteConfig,
    pub rules: LabelRules,
    pub client: WriteClient,
    pub feed: Arc<dyn LogFeed>,
    pub metadata: Arc<dyn MetadataSource>,
    pub metrics: DestinationMetrics,
    pub clock: SharedClock,
    pub position_path: PathBuf,
}

/// A running destination.
pub struct Destination {
    progress: Arc<Progress>,
    metrics: DestinationMetrics,
    /// Read the rest of the log, send it, and stop.
    finish: Shutdown,
    /// Stop immediately.
    abort: Shutdown,
    task: tokio::task::JoinHandle<()>,
}

/// Converts a number of the section that has been checked to be positive.
fn positive(number: i64) -> usize {
    usize::try_from(number).unwrap_or(1).max(1)
}

/// Where a destination continues: at the positions in its file, or at the end of the log if it is new.
fn first_positions(path: &Path, feed: &dyn LogFeed, lanes: usize, name: &str) -> Vec<LanePosition> {
    let end = feed.end();
    match PositionFile::read(path) {
        Ok(None) => positions_at(end, lanes),
        Ok(Some(positions)) if positions.iter().all(|lane| lane.acknowledged.record <= end) => positions,
        Ok(Some(_)) => {
            warn!(
                "The log ends before the stored position of a remote write destination; sending continues with new samples",
                remote_name = name
            );
            positions_at(end, lanes)
        }
        Err(err) => {
            error!(
                "The position file of a remote write destination cannot be read; the whole log is sent again",
                remote_name = name,
                file = path.display(),
                err = err
            );
            positions_at(LogPosition::default(), lanes)
        }
    }
}

impl Destination {
    /// Starts a destination. Must be called within the runtime.
    ///
    /// # Errors
    /// The position file cannot be written.
    pub fn start(setup: Setup) -> std::io::Result<Self> {
        let queue = &setup.config.queue_config;
        let (min, max) = (positive(queue.min_shards), positive(queue.max_shards));
        let positions = first_positions(&setup.position_path, &*setup.feed, min, &setup.metrics.name);
        let progress = Arc::new(Progress::new(&setup.position_path, &positions)?);
        let (finish, abort) = (Shutdown::new(), Shutdown::new());
        setup.metrics.shards_max.set(max as f64);
        setup.metrics.shards_min.set(min as f64);
        setup.metrics.shard_capacity.set(queue.capacity as f64);
        setup.metrics.samples_per_send.set(queue.max_samples_per_send as f64);
        info!(
            "Starting WAL watcher",
            component = "remote",
            remote_name = setup.metrics.name,
            url = setup.metrics.url
        );
        let run = Run {
            context: Arc::new(LaneContext {
                client: setup.client.clone(),
                progress: progress.clone(),
                metrics: setup.metrics.clone(),
                clock: setup.clock.clone(),
                rates: Arc::default(),
                min_backoff: queue.min_backoff,
                max_backoff: queue.max_backoff,
                age_max: queue.sample_age_limit,
                abort: abort.clone(),
                steady_until_ms: AtomicU64::new(0),
            }),
            lanes: Lanes { now: positions.len(), min, max },
            queue_batches: positive(queue.capacity / queue.max_samples_per_send.max(1)),
            finish: finish.clone(),
            setup,
        };
        let metrics = run.setup.metrics.clone();
        let task = tokio::spawn(run.run(positions));
        Ok(Destination { progress, metrics, finish, abort, task })
    }

    /// The oldest position in the log that the destination still needs.
    pub fn oldest(&self) -> LogPosition {
        self.progress.oldest().record
    }

    /// Time of the newest sample that it has, in milliseconds.
    pub fn newest_sent_ms(&self) -> Option<i64> {
        self.metrics.newest_sent_ms()
    }

    /// How far sending has progressed.
    pub fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// Sends the rest of the log and stops, at the latest after `deadline`.
    pub async fn finish(self, clock: &SharedClock, deadline: Duration) {
        self.finish.request();
        self.end(clock, deadline).await;
    }

    /// Stops when the requests in flight have been answered, at the latest after `deadline`.
    async fn end(mut self, clock: &SharedClock, deadline: Duration) {
        tokio::select! {
            _ = &mut self.task => {}
            () = clock.sleep(deadline) => {
                self.abort.request();
                let _ = (&mut self.task).await;
            }
        }
        self.save();
    }

    /// Writes the last acknowledgements, so that those items are not sent again.
    fn save(&self) {
        if let Err(err) = self.progress.save() {
            error!(
                "Writing the position file of a remote write destination failed",
                component = "remote",
                err = err
            );
        }
    }

    /// Stops immediately. What was in flight is sent again later, as the same request.
    pub async fn stop(mut self) {
        self.abort.request();
        self.finish.request();
        let _ = (&mut self.task).await;
        self.save();
    }
}

/// The state of a destination's task.
struct Run {
    setup: Setup,
    context: Arc<LaneContext>,
    lanes: Lanes,
    /// How many requests may wait in each lane.
    queue_batches: usize,
    finish: Shutdown,
}

/// Why reading stopped.
enum ReadingEnd {
    /// The number of lanes changes.
    Lanes(usize),
    Finished,
    /// The reader is lost. A new one continues behind what was acknowledged.
    Panicked,
}

impl Run {
    async fn run(mut self, positions: Vec<LanePosition>) {
        let Some(mut reader) = self.open(positions).await else { return };
        let metadata = tokio::spawn(send_metadata(MetadataTask {
            client: self.setup.client.clone(),
            source: self.setup.metadata.clone(),
            metrics: self.setup.metrics.clone(),
            clock: self.setup.clock.clone(),
            section: self.setup.config.metadata_config.clone(),
        }));
        loop {
            let mut lanes = JoinSet::new();
            let mut queues = Vec::new();
            for lane in 0..self.lanes.now {
                let (queue, batches) = mpsc::channel(self.queue_batches);
                queues.push(queue);
                lanes.spawn(self.context.clone().run(lane, batches));
            }
            self.setup.metrics.shards.set(self.lanes.now as f64);
            let (end, read) = self.read(reader, &queues).await;
            // The lanes send what they have, and stop.
            drop(queues);
            while lanes.join_next().await.is_some() {}
            reader = match (end, read) {
                (ReadingEnd::Lanes(count), Some(mut read)) if !self.context.abort.is_requested() => {
                    info!(
                        "Remote storage resharding",
                        component = "remote",
                        remote_name = self.setup.metrics.name,
                        from = self.lanes.now,
                        to = count
                    );
                    self.context.progress.set_lanes(count, read.place());
                    read.set_lanes(count);
                    self.lanes.now = count;
                    read
                }
                (ReadingEnd::Panicked, _) if self.pause(DISK_PAUSE).await => {
                    match self.open(self.context.progress.positions()).await {
                        Some(reader) => reader,
                        None => break,
                    }
                }
                _ => break,
            };
        }
        metadata.abort();
    }

    /// Opens the log; retries as long as the disk fails.
    async fn open(&self, positions: Vec<LanePosition>) -> Option<Reader> {
        loop {
            let (feed, metrics) = (self.setup.feed.clone(), self.setup.metrics.clone());
            let (options, positions) = (self.reader_options(), positions.clone());
            let opened =
                tokio::task::spawn_blocking(move || Reader::open(feed, &positions, options, metrics)).await;
            match opened {
                Ok(Ok(reader)) => return Some(reader),
                Ok(Err(err)) => {
                    error!("Reading the log for remote write failed", component = "remote", err = err)
                }
                Err(err) => {
                    error!("Reading the log for remote write panicked", component = "remote", err = err)
                }
            }
            tokio::select! {
                () = self.setup.clock.sleep(DISK_PAUSE) => {}
                () = self.finish.requested() => return None,
                () = self.context.abort.requested() => return None,
            }
        }
    }

    fn reader_options(&self) -> ReaderOptions {
        let config = &self.setup.config;
        ReaderOptions {
            message: self.setup.client.message(),
            rules: self.setup.rules.clone(),
            exemplars: config.send_exemplars,
            histograms: config.send_native_histograms,
            items_per_batch: positive(config.queue_config.max_samples_per_send) as u64,
            batch_deadline: config.queue_config.batch_send_deadline,
            age_max: config.queue_config.sample_age_limit,
        }
    }

    /// Reads and distributes batches until the number of lanes changes or everything stops. By then,
    /// everything that was read has been distributed, unless the stop was immediate.
    async fn read(&self, mut reader: Reader, queues: &[mpsc::Sender<Batch>]) -> (ReadingEnd, Option<Reader>) {
        let clock = &self.setup.clock;
        let mut next_update = clock.elapsed() + UPDATE_INTERVAL;
        loop {
            let (now, now_ms) = (clock.elapsed(), clock.now().millis());
            let finishing = self.finish.is_requested();
            let stepped = tokio::task::spawn_blocking(move || {
                let step = reader.step(now, now_ms);
                (reader, step)
            });
            let (after, step) = match stepped.await {
                Ok((after, Ok(step))) => (after, step),
                Ok((after, Err(err))) => {
                    error!("Reading the log for remote write failed", component = "remote", err = err);
                    if !self.pause(DISK_PAUSE).await {
                        return (ReadingEnd::Finished, None);
                    }
                    reader = after;
                    continue;
                }
                Err(err) => {
                    error!("Reading the log for remote write panicked", component = "remote", err = err);
                    return (ReadingEnd::Panicked, None);
                }
            };
            reader = after;
            let Step { mut ready, at_end, items, items_dropped } = step;
            self.context.rates.read(items, items_dropped);
            let lanes = if clock.elapsed() >= next_update {
                next_update = clock.elapsed() + UPDATE_INTERVAL;
                self.desired_lanes(&reader)
            } else {
                self.lanes.now
            };
            let ends = (at_end && finishing) || lanes != self.lanes.now;
            if ends {
                ready.extend(reader.flush());
            }
            if !self.hand_over(ready, queues).await {
                return (ReadingEnd::Finished, None);
            }
            self.context.progress.read_up_to(reader.places().into_iter());
            if at_end && finishing {
                return (ReadingEnd::Finished, Some(reader));
            }
            if ends {
                return (ReadingEnd::Lanes(lanes), Some(reader));
            }
            if at_end {
                let due = reader.next_deadline().map(|due| due.saturating_sub(clock.elapsed()));
                let wait = POLL_INTERVAL.min(due.unwrap_or(POLL_INTERVAL).max(Duration::from_millis(1)));
                if !self.pause(wait).await && self.context.abort.is_requested() {
                    return (ReadingEnd::Finished, None);
                }
            }
        }
    }

    /// Waits; returns `false` on a request to stop or to send the rest.
    async fn pause(&self, duration: Duration) -> bool {
        tokio::select! {
            () = self.setup.clock.sleep(duration) => true,
            () = self.finish.requested() => false,
            () = self.context.abort.requested() => false,
        }
    }

    /// Puts batches into the queues of their lanes and waits for full queues; returns `false` on a request to
    /// stop.
    async fn hand_over(&self, batches: Vec<Batch>, queues: &[mpsc::Sender<Batch>]) -> bool {
        for batch in batches {
            let Some(queue) = queues.get(batch.lane) else { continue };
            self.context.progress.handed_over(batch.lane);
            self.setup.metrics.pend(batch.counts, 1.0);
            let full = match queue.try_send(batch) {
                Ok(()) => continue,
                Err(mpsc::error::TrySendError::Full(batch)) => batch,
                Err(mpsc::error::TrySendError::Closed(_)) => return false,
            };
            self.setup.metrics.enqueue_retries.inc();
            tokio::select! {
                sent = queue.send(full) => if sent.is_err() { return false },
                () = self.context.abort.requested() => return false,
            }
        }
        true
    }

    /// How many lanes there should be now.
    fn desired_lanes(&self, reader: &Reader) -> usize {
        let metrics = &self.setup.metrics;
        let newest = self.setup.feed.newest();
        let behind = match (newest, metrics.newest_sent_ms()) {
            (Some(newest), Some(sent)) => newest.millis().saturating_sub(sent).max(0) as f64 / 1000.0,
            _ => 0.0,
        };
        let Some((shown, count)) = self.context.rates.desired(self.lanes, behind) else {
            return self.lanes.now;
        };
        metrics.shards_desired.set(shown);
        let steady_until = Duration::from_millis(self.context.steady_until_ms.load(Relaxed));
        // While sending fails, or old requests are being repeated, the number of lanes stays.
        if self.setup.clock.elapsed() < steady_until || reader.is_resuming() { self.lanes.now } else { count }
    }
}

struct MetadataTask {
    client: WriteClient,
    source: Arc<dyn MetadataSource>,
    metrics: DestinationMetrics,
    clock: SharedClock,
    section: ferula_config::remote::MetadataConfig,
}

/// Sends metadata of metrics periodically. Version 2 sends it with the series instead.
async fn send_metadata(task: MetadataTask) {
    if !task.section.send || task.client.message() == Message::V2 {
        return;
    }
    loop {
        task.clock.sleep(task.section.send_interval.max(Duration::from_secs(1))).await;
        let all = task.source.metadata();
        for some in all.chunks(positive(task.section.max_samples_per_send)) {
            let mut message = Vec::new();
            some.iter().for_each(|(family, metadata)| put_metadata(&mut message, family, metadata));
            let body = snappy::encode(&message);
            let (count, bytes) = (some.len() as u64, body.len() as u64);
            task.metrics.metadata[0].add(count);
            // The next round sends it again, so a failure needs no long retry.
            match task.client.send(body.into(), 0).await {
                Ok(_) => task.metrics.metadata_bytes.add(bytes),
                Err(error) => {
                    let refused = matches!(error, SendError::Refused { .. });
                    task.metrics.metadata[if refused { 1 } else { 2 }].add(count);
                    warn!(
                        "non-recoverable error while sending metadata",
                        component = "remote",
                        remote_name = task.metrics.name,
                        count = count,
                        err = error
                    );
                }
            }
        }
    }
}
