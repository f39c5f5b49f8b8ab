//! The state of the engine.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use ferula_config::alertmanager::AlertmanagerConfig;
use ferula_model::{LabelSet, UnixNanos};

use super::alerts::{Alerts, Members};
use super::delivery::{Delivery, GroupId};
use super::history::{History, HistoryLimits};
use super::metrics::Metrics;
use super::pair_state::Pair;
use super::record::Record;
use crate::inhibit::Inhibitor;
use crate::notification_log::NotificationLog;
use crate::receiver::Integration;
use crate::receiver::check::ConfigWarning;
use crate::route::Route;
use crate::silence::{SilenceLimits, Silences};
use crate::time::Time;
use crate::time_interval::TimeIntervals;

/// How often a record confirms that the server is receiving reports.
pub(super) const ALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// Settings from the command line.
#[derive(Clone, Copy, Debug)]
pub struct EngineSettings {
    pub silences: SilenceLimits,
    /// How long entries of the notification log are kept.
    pub retention: Duration,
    /// Maximum number of alerts with the same name; 0 means no limit.
    pub alerts_per_name_max: usize,
    /// Whether every change of a silence is logged.
    pub log_silences: bool,
    /// No notifications are sent before this time.
    pub start_at: UnixNanos,
    /// Seed for the random part of retry pauses.
    pub seed: u64,
    /// Options that Alertmanager does not have; off by default.
    pub own: OwnSettings,
}

/// Settings that Alertmanager does not have.
#[derive(Clone, Copy, Debug, Default)]
pub struct OwnSettings {
    /// Whether the end of a silenced alert is notified where it was notified as firing before.
    pub tells_end_of_silenced: bool,
    /// How long before its end a silence sends a reminder, unless it sets that itself.
    pub silence_reminder: Option<Duration>,
    /// Whether every decision is logged.
    pub log_notifications: bool,
    pub history: HistoryLimits,
}

/// The parts of a configuration that the engine uses, prepared.
#[derive(Debug)]
pub struct Setup {
    pub config: Arc<AlertmanagerConfig>,
    pub root: Route,
    pub receivers: BTreeMap<String, Vec<Integration>>,
    /// Its warnings.
    pub warnings: Vec<ConfigWarning>,
    pub(super) intervals: TimeIntervals,
}

impl Setup {
    /// Prepares a checked configuration; `receivers` are the integrations of every receiver that a route
    /// uses.
    pub fn new(config: Arc<AlertmanagerConfig>, receivers: BTreeMap<String, Vec<Integration>>) -> Self {
        let root = Route::tree(config.root_route());
        let intervals = TimeIntervals::new(&config);
        Setup { config, root, receivers, warnings: Vec::new(), intervals }
    }

    /// With its warnings.
    pub fn with_warnings(self, warnings: Vec<ConfigWarning>) -> Self {
        Setup { warnings, ..self }
    }

    /// The time intervals that its routes name.
    pub fn intervals(&self) -> &TimeIntervals {
        &self.intervals
    }
}

/// Alerts that are notified about together.
#[derive(Debug)]
pub(super) struct Group {
    pub id: GroupId,
    /// Index in the routing tree.
    pub route: Arc<RouteSettings>,
    pub labels: LabelSet,
    /// `{}/{team="x"}:{alertname="A"}`
    pub key: Arc<str>,
    pub members: Members,
    pub next_flush: UnixNanos,
    pub flush: Option<Flush>,
    /// The time of a tick that occurred during the flush.
    pub missed_tick: Option<UnixNanos>,
    /// Names of the time intervals that mute the group.
    pub muted_by: Vec<String>,
}

/// The settings of a group's route.
#[derive(Debug)]
pub(super) struct RouteSettings {
    pub id: Arc<str>,
    pub key: String,
    pub receiver: Arc<str>,
    pub group_wait: Duration,
    pub group_interval: Duration,
    pub repeat_interval: Duration,
    pub mute_time_intervals: Vec<String>,
    pub active_time_intervals: Vec<String>,
}

impl RouteSettings {
    pub fn of(route: &Route) -> Self {
        RouteSettings {
            id: route.id.clone(),
            key: route.key.clone(),
            receiver: route.receiver.as_str().into(),
            group_wait: route.group_wait,
            group_interval: route.group_interval,
            repeat_interval: route.repeat_interval,
            mute_time_intervals: route.mute_time_intervals.clone(),
            active_time_intervals: route.active_time_intervals.clone(),
        }
    }
}

/// A flush with unfinished attempts.
#[derive(Debug, Default)]
pub(super) struct Flush {
    pub open_deliveries: usize,
    pub failed: bool,
    /// Alerts whose resolution is being sent: fingerprint, and time of the last report at the flush.
    pub resolved: Vec<(u64, Time)>,
}

/// An event at a certain time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    Flush(GroupId),
    Attempt(u64),
}

/// Alerts, groups, silences, and notifications in progress.
pub struct Engine {
    pub(super) settings: EngineSettings,
    pub(super) setup: Setup,
    pub(super) routes: HashMap<Arc<str>, Arc<RouteSettings>>,
    pub(super) alerts: Alerts,
    /// Links of alerts: those of one rule are equal, and share memory.
    pub(super) urls: HashSet<Arc<str>>,
    /// If there is a limit: the end times of alerts by name.
    pub(super) ends_by_name: HashMap<String, HashMap<u64, Time>>,
    pub(super) silences: Silences,
    pub(super) log: NotificationLog,
    pub(super) inhibitor: Inhibitor,
    pub(super) groups: BTreeMap<GroupId, Group>,
    pub(super) group_ids: HashMap<(Arc<str>, LabelSet), GroupId>,
    pub(super) deliveries: HashMap<u64, Delivery>,
    pub(super) timers: BTreeSet<(UnixNanos, Timer)>,
    /// Deliveries whose first attempt has to be made now.
    pub(super) begun: Vec<u64>,
    pub(super) next_id: u64,
    pub(super) random: u64,
    /// Records that have not been handed out yet.
    pub(super) records: Vec<Record>,
    /// When a record last confirmed that the server was receiving reports.
    pub(super) alive_at: Option<UnixNanos>,
    pub(super) history: History,
    pub(super) pair: Option<Pair>,
    /// When the engine began to accept alerts; groups older than that may wait for alerts that inhibit them.
    pub(super) listens_since: UnixNanos,
    pub(super) metrics: Metrics,
}

impl Engine {
    /// Creates an engine without state.
    pub fn new(settings: EngineSettings, setup: Setup, metrics: Metrics) -> Self {
        let mut engine = Engine {
            settings,
            routes: HashMap::new(),
            alerts: Alerts::default(),
            urls: HashSet::new(),
            ends_by_name: HashMap::new(),
            silences: Silences::new(settings.silences),
            log: NotificationLog::new(settings.retention),
            inhibitor: Inhibitor::new(&setup.config.inhibit_rules),
            groups: BTreeMap::new(),
            group_ids: HashMap::new(),
            deliveries: HashMap::new(),
            timers: BTreeSet::new(),
            begun: Vec::new(),
            next_id: 0,
            random: settings.seed | 1,
            records: Vec::new(),
            alive_at: None,
            history: History::new(settings.own.history),
            pair: None,
            listens_since: settings.start_at,
            metrics,
            setup,
        };
        engine.prepare_routes();
        engine
    }

    pub(super) fn prepare_routes(&mut self) {
        let all = self.setup.root.all();
        self.routes =
            all.iter().map(|route| (route.id.clone(), Arc::new(RouteSettings::of(route)))).collect();
        let used: BTreeSet<&str> = all.iter().map(|route| route.receiver.as_str()).collect();
        let integrations = used.iter().filter_map(|name| self.setup.receivers.get(*name)).map(Vec::len).sum();
        self.metrics.note_configuration(used.len(), integrations, self.inhibitor.rules());
    }

    pub(super) fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// A random number in [0, 1).
    pub(super) fn next_random(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Records that must be on disk before a request is answered or a notification is sent; empty if nothing
    /// changed.
    pub fn take_records(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.records)
    }

    /// When [`Engine::poll`] has to be called next.
    pub fn next_due(&self) -> Option<UnixNanos> {
        if !self.begun.is_empty() {
            return Some(UnixNanos(0));
        }
        let alive = self.alive_at.map_or(UnixNanos(0), |at| at.plus(ALIVE_INTERVAL));
        Some(self.timers.first().map_or(alive, |(due, _)| (*due).min(alive)))
    }
}
