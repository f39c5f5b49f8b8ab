//! The store as configured by flags and the configuration file: its options, retention, opening it, and
//! applying a reload.

mod local;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use ferula_config::storage::{ExemplarsConfig, RetentionConfig};
use ferula_config::{ByteSize, Config, Int64};
use ferula_model::duration;
use ferula_runtime::SharedClock;
use ferula_telemetry::{Registry, info, warn};
use ferula_tsdb::disk::RealDisk;
use ferula_tsdb::{
    AgentDb, AgentOptions, BlockOptions, Damage, Db, FloatEncoding, OpenError, Options, Progress, Recovered,
    ReplayHelper, Retention, Stopwatch, UnsyncedHook,
};
use tokio::sync::Notify;

use crate::flags::{AgentFlags, FeatureSet, StorageFlags};
use crate::memory_shares::MemoryShares;
pub use local::LocalStore;

/// The shortest interval at which to look for blocks of other programs.
pub const RELOAD_INTERVAL_MIN: Duration = Duration::from_secs(1);
/// The number of exemplars to keep if the feature is on and the configuration sets no number.
const EXEMPLARS_DEFAULT: i64 = 100_000;

/// The store's settings from the flags, which a configuration completes.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    pub flags: StorageFlags,
    pub features: FeatureSet,
    /// `None` for a server.
    pub agent: Option<AgentFlags>,
}

impl StoreSettings {
    /// Opens the store, which takes a while if the log is long. `segment_read` is called with the number of
    /// each log segment that was read, and that of the last one; `unsynced` is notified when the log holds unsynced
    /// data.
    pub async fn open(
        &self,
        config: Option<&Config>,
        clock: &SharedClock,
        registry: &Registry,
        unsynced: &Arc<Notify>,
        segment_read: impl Fn(u32, u32) + Send + 'static,
    ) -> anyhow::Result<LocalStore> {
        let time = clock.clone();
        let stopwatch = Stopwatch::new(move || time.elapsed());
        let replay_helper = ReplayHelper::new(|beside, here| {
            std::thread::scope(|scope| {
                scope.spawn(beside);
                here();
            });
        });
        let unsynced = unsynced.clone();
        let on_unsynced = UnsyncedHook::new(move || unsynced.notify_one());
        let (dir, registry) = (self.flags.path.clone(), registry.clone());
        let mut report = move |progress: Progress| {
            if let Progress::Segment { segment, last } = &progress {
                segment_read(*segment, *last);
            }
            log_progress(&progress);
        };
        let opening = if let Some(agent) = &self.agent {
            info!("Starting WAL storage ...");
            let options =
                AgentOptions { stopwatch, replay_helper, on_unsynced, ..self.agent_options(agent, config) };
            tokio::task::spawn_blocking(move || {
                let opened = AgentDb::open(&dir, options, Arc::new(RealDisk), &registry, &mut report)?;
                Ok(LocalStore::Agent(Arc::new(opened)))
            })
        } else {
            info!("Starting TSDB ...");
            let opened_at = Some(clock.now());
            let options =
                Options { opened_at, stopwatch, replay_helper, on_unsynced, ..self.options(config) };
            tokio::task::spawn_blocking(move || {
                let opened = Db::open(&dir, options, Arc::new(RealDisk), &registry, &mut report)?;
                Ok(LocalStore::Server(Arc::new(opened)))
            })
        };
        let opened: Result<LocalStore, OpenError> = opening.await.context("opening storage panicked")?;
        let store = opened.context("opening storage failed")?;
        match &store {
            LocalStore::Server(db) => {
                log_recovered(db.recovered());
                info!("TSDB started");
            }
            LocalStore::Agent(db) => {
                log_recovered(db.recovered());
                info!("Agent WAL storage started");
            }
        }
        Ok(store)
    }

    /// The options of an agent's store, without those that need a clock or the disk. The window is read at the start only.
    fn agent_options(&self, agent: &AgentFlags, config: Option<&Config>) -> AgentOptions {
        let defaults = AgentOptions::default();
        let tsdb = config.and_then(|config| config.storage.tsdb.as_ref());
        AgentOptions {
            wal_compression: agent.compression,
            wal_segment_bytes: or_default(agent.segment_bytes, defaults.wal_segment_bytes),
            wal_time_min_ms: millis(agent.retention_min),
            wal_time_max_ms: millis(agent.retention_max),
            out_of_order_window_ms: tsdb.map_or(0, |tsdb| tsdb.out_of_order_time_window_ms),
            start_as_zero_sample: self.features.start_as_zero_sample,
            start_timestamps: self.features.start_timestamps,
            checkpoint_from_memory: agent.checkpoint_from_memory,
            checkpoint_batch: agent.checkpoint_batch,
            lock_file: agent.lock_file,
            ..defaults
        }
    }

    /// The options of the store, without those that need a clock or the disk.
    fn options(&self, config: Option<&Config>) -> Options {
        let (flags, defaults) = (&self.flags, Options::default());
        let retention = configured_retention(config, flags).time;
        let tsdb = config.and_then(|config| config.storage.tsdb.as_ref());
        Options {
            out_of_order_window_ms: tsdb.map_or(0, |tsdb| tsdb.out_of_order_time_window_ms),
            min_block_duration_ms: millis(flags.min_block),
            max_block_duration_ms: millis(max_block(flags, retention)).max(millis(flags.min_block)),
            samples_per_chunk: flags.samples_per_chunk,
            wal_compression: flags.compression,
            wal_segment_bytes: or_default(flags.segment_bytes, defaults.wal_segment_bytes),
            blocks: BlockOptions {
                segment_bytes_max: or_default(flags.chunk_segment_bytes, defaults.blocks.segment_bytes_max),
                ..defaults.blocks
            },
            log_held_bytes_max: flags.remote_write_backlog_bytes,
            overlapping_compaction: flags.overlapping_compaction,
            delay_compact_file: flags.delay_compact_file.clone(),
            reload_interval_ms: millis(reload_interval(flags)),
            lock_file: flags.lock_file,
            savepoints: !flags.savepoint_interval.is_zero(),
            series_max: Some(flags.head_series_max).filter(|max| *max > 0),
            head_bytes_max: Some(or_default(flags.head_bytes_max, MemoryShares::of_process().head)),
            floats: float_encoding(config).unwrap_or(self.features.floats()),
            start_timestamps: self.features.start_timestamps,
            histogram_start_timestamps: self.features.histogram_start_timestamps,
            start_as_zero_sample: self.features.start_as_zero_sample,
            // Needed before the log is read: exemplars without room during the replay are dropped.
            exemplars_max: if self.features.exemplars { exemplars_max(config) } else { 0 },
            ..defaults
        }
    }

    /// Fills in what a configuration leaves to the flags, so that it shows the settings in force.
    pub fn fill(&self, config: &mut Config) {
        if self.agent.is_some() {
            return;
        }
        let exemplars = ExemplarsConfig { max_exemplars: Int64(EXEMPLARS_DEFAULT) };
        config.fill_storage(retention_of_flags(&self.flags), self.features.exemplars.then_some(exemplars));
    }

    /// Applies a configuration to the open store. That of an agent has nothing to change.
    pub fn apply(&self, store: &LocalStore, config: &Config) -> anyhow::Result<()> {
        let LocalStore::Server(db) = store else { return Ok(()) };
        let tsdb = config.storage.tsdb.as_ref();
        let window_ms = tsdb.map_or(0, |tsdb| tsdb.out_of_order_time_window_ms);
        db.set_retention(retention(Some(config), &self.flags));
        db.set_stale_series_threshold(tsdb.map_or(0.0, |tsdb| tsdb.stale_series_compaction_threshold));
        db.set_out_of_order_window(window_ms)?;
        if self.features.exemplars {
            db.set_exemplars_max(exemplars_max(Some(config)));
        }
        Ok(db.set_float_encoding(float_encoding(Some(config)))?)
    }
}

/// A flag's number; 0 stands for the default.
fn or_default(value: u64, default: u64) -> u64 {
    if value == 0 { default } else { value }
}

fn log_recovered(recovered: &Recovered) {
    info!(
        "WAL replay completed",
        component = "tsdb",
        samples = recovered.samples,
        corruptions = recovered.corruptions,
        unknown_series = recovered.unknown_series
    );
    if recovered.unknown_schemas > 0 {
        warn!(
            "skipping histogram with unknown schema in WAL record",
            component = "tsdb",
            histograms = recovered.unknown_schemas
        );
    }
}

fn log_progress(progress: &Progress) {
    match progress {
        Progress::Replaying => info!("Replaying WAL, this may take a while", component = "tsdb"),
        Progress::Savepoint { series, segment } => {
            info!("Savepoint loaded", component = "tsdb", series = series, segment = segment);
        }
        Progress::SavepointIgnored(why) => {
            warn!("The savepoint cannot be used; reading the whole log", component = "tsdb", reason = why);
        }
        Progress::Checkpoint { number } => {
            info!("Reading checkpoint", component = "tsdb", checkpoint = number);
        }
        Progress::Segment { segment, last } => {
            info!("WAL segment loaded", component = "tsdb", segment = segment, maxSegment = last);
        }
        Progress::OutOfOrderSegment { segment, last } => {
            info!("WBL segment loaded", component = "tsdb", segment = segment, maxSegment = last);
        }
        Progress::LockReplaced(path) => {
            warn!(
                "A lockfile from a previous execution already existed. It was replaced",
                file = path.display()
            );
        }
        Progress::Damaged(damage) => log_damage(damage),
    }
}

/// Logs one damaged place: the file, the range, the damage, and what is lost.
pub fn log_damage(damage: &Damage) {
    let bytes = damage.bytes.as_ref().map(|bytes| format!("{}-{}", bytes.start, bytes.end));
    let kept = damage.kept.as_ref().map(|kept| kept.display().to_string());
    warn!(
        "Damage found in the data directory",
        component = "tsdb",
        kind = damage.kind.name(),
        file = damage.path.display(),
        bytes = bytes.as_deref().unwrap_or("all"),
        what = damage.what,
        cost = damage.cost,
        kept_as = kept.as_deref().unwrap_or("-")
    );
}

/// The number of exemplars to keep if the feature is on.
fn exemplars_max(config: Option<&Config>) -> usize {
    let configured = config.and_then(|config| config.storage.exemplars.as_ref());
    let max = configured.map_or(EXEMPLARS_DEFAULT, |exemplars| exemplars.max_exemplars.0);
    usize::try_from(max).unwrap_or(0)
}

/// The float encoding, if the configuration sets one.
fn float_encoding(config: Option<&Config>) -> Option<FloatEncoding> {
    match config?.storage.tsdb.as_ref()?.chunk_encoding.floats.as_str() {
        "xor" => Some(FloatEncoding::Xor),
        "xor2" => Some(FloatEncoding::Xor2),
        _ => None,
    }
}

/// The interval at which to look for blocks of other programs.
pub fn reload_interval(storage: &StorageFlags) -> Duration {
    storage.reload_interval.max(RELOAD_INTERVAL_MIN)
}

/// The retention set by flags. If they set neither time nor size, the store's default applies.
pub fn retention_of_flags(storage: &StorageFlags) -> RetentionConfig {
    let unbounded = storage.retention_time.is_zero() && storage.retention_bytes == 0;
    RetentionConfig {
        time: if unbounded { default_retention() } else { storage.retention_time },
        size: ByteSize(storage.retention_bytes),
        percentage: 0.0,
    }
}

fn default_retention() -> Duration {
    Duration::from_millis(Options::default().retention.duration_ms.unsigned_abs())
}

/// The configuration's section as a whole, or else the flags.
fn configured_retention(config: Option<&Config>, storage: &StorageFlags) -> RetentionConfig {
    let configured = config.and_then(|config| config.storage.tsdb.as_ref()?.retention.clone());
    configured.unwrap_or_else(|| retention_of_flags(storage))
}

/// The longest block: a tenth of the retention, at most 31 days.
pub fn max_block(storage: &StorageFlags, retention: Duration) -> Duration {
    const LONGEST: Duration = Duration::from_secs(31 * 24 * 3600);
    if !storage.max_block.is_zero() {
        storage.max_block
    } else if retention.is_zero() {
        LONGEST
    } else {
        LONGEST.min(retention / 10)
    }
}

fn retention(config: Option<&Config>, storage: &StorageFlags) -> Retention {
    let configured = configured_retention(config, storage);
    Retention {
        duration_ms: millis(configured.time),
        bytes_max: u64::try_from(configured.size.0).unwrap_or(0),
        percentage: configured.percentage,
    }
}

/// How long samples are kept, as `status/runtimeinfo` shows it: `15d or 512MB`.
pub fn retention_text(config: &Config, settings: &StoreSettings) -> String {
    if settings.agent.is_some() {
        return String::new();
    }
    let retention = retention(Some(config), &settings.flags);
    let mut parts = Vec::new();
    if retention.duration_ms != 0 {
        parts.push(duration::format_millis(retention.duration_ms));
    }
    if retention.bytes_max != 0 {
        let bytes = i64::try_from(retention.bytes_max).unwrap_or(i64::MAX);
        parts.push(ByteSize(bytes).to_string());
    }
    if retention.percentage != 0.0 {
        parts.push(format!("{}%", ferula_go::float::format_g(retention.percentage)));
    }
    parts.join(" or ")
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::{Flags, Parsed, parse};

    fn settings(arguments: &[&str]) -> StoreSettings {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        match parse(&arguments) {
            Ok(Parsed::Run(given)) => {
                let Flags { storage, features, agent, .. } =
                    Flags::check(&given).expect("the flags are valid");
                StoreSettings { flags: storage, features, agent }
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_retention_section_takes_the_place_of_the_flags() {
        for (section, arguments, want) in [
            ("", &[][..], "15d"),
            ("", &["--storage.tsdb.retention.size=1GB"], "1GiB"),
            ("storage: {tsdb: {out_of_order_time_window: 1h}}", &["--storage.tsdb.retention.time=3d"], "3d"),
            ("storage: {tsdb: {retention: {time: 2d}}}", &["--storage.tsdb.retention.size=1GB"], "2d"),
            ("storage: {tsdb: {retention: {size: 2GB}}}", &[], "2GiB"),
            ("storage: {tsdb: {retention: {}}}", &[], ""),
            ("", &["--agent"], ""),
        ] {
            let mut config = Config::parse(section).expect("the configuration is valid");
            let settings = settings(arguments);
            assert_eq!(retention_text(&config, &settings), want, "{section} {arguments:?}");
            settings.fill(&mut config);
            assert_eq!(retention_text(&config, &settings), want, "filled in: {section} {arguments:?}");
        }
    }
}
