//! All destinations of a configuration: starts, keeps and stops them on reload, and determines how much of
//! the log they need.

use std::collections::{HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ferula_config::Config;
use ferula_config::remote::RemoteWriteConfig;
use ferula_go::sync::MutexExt;
use ferula_model::Timestamp;
use ferula_runtime::{SharedClock, Shutdown};
use ferula_storage::{Hold, LogFeed, LogPosition, StoredCounts};
use ferula_telemetry::{Registry, error, warn};

use super::client::{ClientError, WriteClient};
use super::destination::{Destination, MetadataSource, Setup};
use super::metrics::Metrics;
use super::series::LabelRules;

/// Name of the directory of position files, within the data directory.
pub const POSITIONS_DIR: &str = "ferula_remote_write";
/// How often positions are synced, and the log learns what is still needed.
const CHORES_INTERVAL: Duration = Duration::from_secs(1);
/// A destination that has not received what was logged this many intervals ago is behind.
const BEHIND_INTERVALS: usize = 60;

/// Why a section is not in use.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Two sections are equal.
    #[error("duplicate remote write configs are not allowed, found duplicate for URL: {0}")]
    Duplicate(String),
    /// Nothing can be sent to a section's destination.
    #[error("remote_write[{index}]: {error}")]
    Client { index: usize, error: ClientError },
    /// A position file cannot be written.
    #[error("{}: {error}", path.display())]
    Position { path: PathBuf, error: std::io::Error },
}

/// The services on which destinations are built.
pub struct Foundation {
    pub feed: Arc<dyn LogFeed>,
    pub metadata: Arc<dyn MetadataSource>,
    pub clock: SharedClock,
    pub registry: Registry,
    /// The data directory.
    pub dir: PathBuf,
    /// How long stopping may wait for queued requests.
    pub flush_deadline: Duration,
}

/// The running destinations. Clones are handles to the same ones.
#[derive(Clone)]
pub struct WriteManager(Arc<Inner>);

struct Inner {
    foundation: Foundation,
    metrics: Metrics,
    /// `None` before the first configuration, while destinations change, and after the end. What is held of
    /// the log stays held then.
    destinations: Mutex<Option<Vec<Running>>>,
    chores: Shutdown,
}

struct Running {
    section: RemoteWriteConfig,
    rules: LabelRules,
    path: PathBuf,
    destination: Destination,
}

/// A section that is about to become a destination.
struct PlannedDestination {
    section: RemoteWriteConfig,
    rules: LabelRules,
    client: WriteClient,
    name: String,
    url: String,
    path: PathBuf,
}

/// The sections of a configuration, before anything is changed.
#[derive(Default)]
struct SelectedSections {
    wanted: Vec<PlannedDestination>,
    /// Why the others are not among them.
    failed: Vec<ApplyError>,
    /// Position files of the others.
    unusable: HashSet<PathBuf>,
}

impl WriteManager {
    /// Creates a manager without destinations. Must be called within the runtime.
    pub fn new(foundation: Foundation) -> Self {
        let registry = &foundation.registry;
        let feed = foundation.feed.clone();
        registry.gauge_func(
            "prometheus_remote_storage_highest_timestamp_in_seconds",
            "Timestamp of the newest stored sample, which is to be sent, in seconds since 1970.",
            move || feed.newest().map_or(0.0, |newest| (newest.millis() / 1000) as f64),
        );
        let in_total = |kind: &str, count: fn(StoredCounts) -> u64| {
            let feed = foundation.feed.clone();
            registry.counter_func(
                &format!("prometheus_remote_storage_{kind}_in_total"),
                &format!(
                    "The {kind} that were stored since the start, and are to be sent to every destination."
                ),
                move || count(feed.stored()) as f64,
            );
        };
        in_total("samples", |stored| stored.samples);
        in_total("histograms", |stored| stored.histograms);
        in_total("exemplars", |stored| stored.exemplars);
        let manager = WriteManager(Arc::new(Inner {
            metrics: Metrics::new(registry),
            destinations: Mutex::default(),
            chores: Shutdown::new(),
            foundation,
        }));
        tokio::spawn(manager.clone().do_chores());
        manager
    }

    /// Switches to the destinations of a configuration. A destination whose section and external labels are
    /// unchanged is left alone, and a changed one continues at its position. A new one begins with what is
    /// stored from now on.
    ///
    /// Returns why some sections cannot be used; the others are in use then. A destination whose section cannot be used any
    /// more continues with the old one.
    #[must_use = "sections that cannot be used"]
    pub async fn apply_config(&self, config: &Config) -> Vec<ApplyError> {
        let SelectedSections { mut wanted, mut failed, unusable } = self.select(config);
        let dir = self.0.foundation.dir.join(POSITIONS_DIR);
        if !wanted.is_empty()
            && let Err(error) = std::fs::create_dir_all(&dir)
        {
            failed.push(ApplyError::Position { path: dir, error });
            return failed;
        }
        let (kept, gone) = {
            let mut destinations = self.0.destinations.locked();
            let is_same = |running: &Running, wanted: &PlannedDestination| {
                running.path == wanted.path
                    && running.section == wanted.section
                    && running.rules.external == wanted.rules.external
                    && running.rules.relabel == wanted.rules.relabel
            };
            let all = destinations.take().unwrap_or_default();
            // Where a section cannot be used, the destination continues as it was.
            let (kept, gone): (Vec<_>, Vec<_>) = all.into_iter().partition(|running| {
                unusable.contains(&running.path) || wanted.iter().any(|wanted| is_same(running, wanted))
            });
            wanted.retain(|wanted| !kept.iter().any(|running| is_same(running, wanted)));
            (kept, gone)
        };
        let mut paths: HashSet<PathBuf> = kept.iter().map(|running| running.path.clone()).collect();
        paths.extend(wanted.iter().map(|wanted| wanted.path.clone()));
        paths.extend(unusable);
        // Stop these before the new ones start, which take over positions and metrics.
        for running in gone {
            running.destination.stop().await;
        }
        let mut running = kept;
        for wanted in wanted {
            match self.start(wanted) {
                Ok(started) => running.push(started),
                Err(error) => failed.push(error),
            }
        }
        *self.0.destinations.locked() = Some(running);
        remove_others(&dir, &paths);
        self.hold(&mut VecDeque::new());
        failed
    }

    fn select(&self, config: &Config) -> SelectedSections {
        let external: Vec<(String, String)> = config.global.external_labels.0.clone().into_iter().collect();
        let SelectedSections { wanted: mut all, mut failed, mut unusable } = SelectedSections::default();
        for (index, section) in config.remote_write.iter().enumerate() {
            let url = section.url.as_ref().map(|url| url.redacted()).unwrap_or_default();
            if config.remote_write[..index].contains(section) {
                failed.push(ApplyError::Duplicate(url));
                continue;
            }
            let same_url =
                config.remote_write[..index].iter().filter(|other| other.url == section.url).count();
            let path = self.0.foundation.dir.join(POSITIONS_DIR).join(file_name(section, same_url));
            let client = match WriteClient::new(section, self.0.foundation.clock.clone()) {
                Ok(client) => client,
                Err(error) => {
                    failed.push(ApplyError::Client { index, error });
                    unusable.insert(path);
                    continue;
                }
            };
            let relabel = ferula_config::relabel::compiled(
                &section.write_relabel_configs,
                &config.global.metric_name_validation_scheme,
            );
            let hash = section.hash();
            let name = match section.name.as_str() {
                "" => hash.get(..6).unwrap_or(&hash).to_owned(),
                name => name.to_owned(),
            };
            all.push(PlannedDestination {
                section: section.clone(),
                rules: LabelRules { external: external.clone(), relabel },
                client,
                name,
                url,
                path,
            });
        }
        SelectedSections { wanted: all, failed, unusable }
    }

    fn start(&self, wanted: PlannedDestination) -> Result<Running, ApplyError> {
        let foundation = &self.0.foundation;
        if wanted.section.round_robin_dns {
            warn!(
                "round_robin_dns has no effect: connections go to the first address that answers",
                url = wanted.url
            );
        }
        if wanted.section.failed_request_logging {
            warn!(
                "failed_request_logging has no effect: failures are logged without their requests",
                url = wanted.url
            );
        }
        let setup = Setup {
            config: wanted.section.clone(),
            rules: wanted.rules.clone(),
            client: wanted.client,
            feed: foundation.feed.clone(),
            metadata: foundation.metadata.clone(),
            metrics: self.0.metrics.of(&wanted.name, &wanted.url),
            clock: foundation.clock.clone(),
            position_path: wanted.path.clone(),
        };
        let path = wanted.path;
        match Destination::start(setup) {
            Ok(destination) => {
                Ok(Running { section: wanted.section, rules: wanted.rules, path, destination })
            }
            Err(error) => Err(ApplyError::Position { path, error }),
        }
    }

    /// Time of the newest sample that every destination has: the epoch while one has none, `None` without destinations.
    pub fn lowest_sent(&self) -> Option<Timestamp> {
        let destinations = self.0.destinations.locked();
        let sent = destinations.iter().flatten().map(|running| running.destination.newest_sent_ms());
        sent.map(|at| Timestamp::from_millis(at.unwrap_or(0))).min()
    }

    /// Sends the rest of the log and stops, at the latest after the flush deadline. Nothing may be stored any
    /// more.
    pub async fn stop(&self) {
        let destinations = std::mem::take(&mut *self.0.destinations.locked());
        let (clock, deadline) = (&self.0.foundation.clock, self.0.foundation.flush_deadline);
        let ends =
            destinations.into_iter().flatten().map(|running| running.destination.finish(clock, deadline));
        futures_util::future::join_all(ends).await;
        self.0.chores.request();
    }

    /// Syncs positions and tells the log what is needed of it, until the end.
    async fn do_chores(self) {
        // The end of the log at the last ticks, oldest first.
        let mut ends = VecDeque::new();
        loop {
            tokio::select! {
                () = self.0.foundation.clock.sleep(CHORES_INTERVAL) => {}
                () = self.0.chores.requested() => return,
            }
            self.hold(&mut ends);
            let manager = self.clone();
            let synced = tokio::task::spawn_blocking(move || manager.sync()).await;
            if let Err(err) = synced {
                error!("Saving positions of remote write panicked", component = "remote", err = err);
            }
        }
    }

    fn hold(&self, ends: &mut VecDeque<LogPosition>) {
        let feed = &self.0.foundation.feed;
        let oldest = {
            let destinations = self.0.destinations.locked();
            let Some(destinations) = &*destinations else { return };
            destinations.iter().map(|running| running.destination.oldest()).min()
        };
        let end = feed.end();
        ends.push_back(end);
        if ends.len() > BEHIND_INTERVALS {
            ends.pop_front();
        }
        feed.hold(oldest.map(|from| {
            let long_ago = ends.front().filter(|_| ends.len() == BEHIND_INTERVALS);
            let is_behind = from.segment < end.segment || long_ago.is_some_and(|before| from < *before);
            Hold { from, is_behind }
        }));
    }

    fn sync(&self) {
        let all: Vec<_> = {
            let destinations = self.0.destinations.locked();
            destinations.iter().flatten().map(|running| running.destination.progress().clone()).collect()
        };
        for progress in all {
            let synced = progress.save().and_then(|file| file.map_or(Ok(()), |file| file.sync_data()));
            if let Err(err) = synced {
                error!("Syncing a position file of remote write failed", component = "remote", err = err);
            }
        }
    }
}

/// The file of a destination: by its name, or else by its URL and its index among sections with the same URL.
fn file_name(section: &RemoteWriteConfig, same_url: usize) -> String {
    let key = match section.name.as_str() {
        "" => format!("url {} {same_url}", section.url.as_ref().map_or("", |url| url.as_str())),
        name => format!("name {name}"),
    };
    format!("{:032x}", twox_hash::XxHash3_128::oneshot(key.as_bytes()))
}

/// Removes the position files of destinations that no longer exist.
fn remove_others(dir: &Path, kept: &HashSet<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        if !kept.contains(&path)
            && let Err(err) = std::fs::remove_file(&path)
        {
            warn!(
                "Removing an unused position file of remote write failed",
                file = path.display(),
                err = err
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use ferula_model::MetricMetadata;
    use ferula_runtime::RealClock;
    use ferula_storage::{DiskError, LogCursor, LogRef};

    use super::*;

    /// A log that cannot be opened until `gate` is closed, and then returns an error.
    struct StuckFeed {
        gate: Mutex<mpsc::Receiver<()>>,
        held: Mutex<Option<Hold>>,
    }

    impl LogFeed for StuckFeed {
        fn end(&self) -> LogPosition {
            LogPosition { segment: 7, offset: 0 }
        }

        fn newest(&self) -> Option<Timestamp> {
            None
        }

        fn open(&self, _: LogPosition) -> Result<Box<dyn LogCursor>, DiskError> {
            let _ = self.gate.lock().expect("not poisoned").recv();
            Err(std::io::Error::other("closed").into())
        }

        fn hold(&self, held: Option<Hold>) {
            *self.held.lock().expect("not poisoned") = held;
        }

        fn living_series(&self) -> Box<dyn Fn(LogRef) -> bool + Send> {
            Box::new(|_| true)
        }
    }

    impl MetadataSource for () {
        fn metadata(&self) -> Vec<(String, MetricMetadata)> {
            Vec::new()
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_log_stays_held_while_destinations_change() {
        let dir = tempfile::tempdir().expect("a directory");
        let (gate, closed) = mpsc::channel();
        let feed = Arc::new(StuckFeed { gate: Mutex::new(closed), held: Mutex::default() });
        let manager = WriteManager::new(Foundation {
            feed: feed.clone(),
            metadata: Arc::new(()),
            clock: RealClock::shared(),
            registry: Registry::new(),
            dir: dir.path().to_owned(),
            flush_deadline: Duration::from_secs(1),
        });
        let config = |timeout: &str| {
            let text = format!("remote_write: [{{url: 'http://localhost:1/', remote_timeout: {timeout}}}]");
            Config::parse(&text).expect("a good configuration")
        };
        assert!(manager.apply_config(&config("1s")).await.is_empty());
        let held = || feed.held.lock().expect("not poisoned").map(|held| held.from.segment);
        assert_eq!(held(), Some(7));
        let (changing, next) = (manager.clone(), config("2s"));
        let change = tokio::spawn(async move { changing.apply_config(&next).await });
        // The old destination cannot stop before its disk answers.
        while manager.0.destinations.lock().expect("not poisoned").as_ref().is_some_and(|all| !all.is_empty())
        {
            tokio::task::yield_now().await;
        }
        manager.hold(&mut VecDeque::new());
        assert_eq!(held(), Some(7));
        drop(gate);
        assert!(change.await.expect("no panic").is_empty());
        assert_eq!(held(), Some(7));
        manager.stop().await;
    }
}
