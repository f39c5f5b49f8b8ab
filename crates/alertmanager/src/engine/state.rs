//! What the engine holds.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use ferula_config::alertmanager::AlertmanagerConfig;
use ferula_model::{LabelSet, UnixNanos};

use super::delivery::{Delivery, GroupId};
use super::history::History;
use super::metrics::Metrics;
use super::record::Record;
use crate::alert::Time;
use crate::inhibit::Inhibitor;
use crate::notification_log::NotificationLog;
use crate::receiver::Integration;
use crate::route::Route;
use crate::silence::{SilenceLimits, Silences};
use crate::stored_alert::StoredAlert;
use crate::time_interval::TimeIntervals;

/// How often a record says that somebody listens.
pub(super) const ALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// What the command line says.
#[derive(Clone, Copy, Debug)]
pub struct EngineSettings {
    pub silences: SilenceLimits,
    /// How long the notification log is kept.
    pub retention: Duration,
    /// How many alerts of one name there may be; 0 is no limit.
    pub alerts_per_name_max: usize,
    /// Whether every change of a silence is logged.
    pub log_silences: bool,
    /// Nothing is told before.
    pub start_at: UnixNanos,
    /// For the spread of attempts.
    pub seed: u64,
}

/// What a configuration says, ready to be used.
#[derive(Debug)]
pub struct Setup {
    pub config: Arc<AlertmanagerConfig>,
    pub root: Route,
    pub receivers: BTreeMap<String, Vec<Integration>>,
    pub(super) intervals: TimeIntervals,
}

impl Setup {
    /// What a checked configuration says; `receivers` are the integrations of every receiver that a route uses.
    pub fn new(config: Arc<AlertmanagerConfig>, receivers: BTreeMap<String, Vec<Integration>>) -> Self {
        let root = Route::tree(config.root_route());
        let intervals = TimeIntervals::new(&config);
        Setup { config, root, receivers, intervals }
    }
}

/// Alerts that are told together.
#[derive(Debug)]
pub(super) struct Group {
    pub id: GroupId,
    /// Of the routing tree.
    pub route: Arc<RouteSettings>,
    pub labels: LabelSet,
    /// `{}/{team="x"}:{alertname="A"}`
    pub key: Arc<str>,
    /// By fingerprint. Resolved ones stay until that was told.
    pub alerts: BTreeMap<u64, Arc<StoredAlert>>,
    pub next_flush: UnixNanos,
    pub flush: Option<Flush>,
    /// When a tick came during the flush.
    pub missed_tick: Option<UnixNanos>,
    /// Names of the time intervals that mute the group.
    pub muted_by: Vec<String>,
}

/// What a group needs of its route.
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

/// A flush whose attempts are not over.
#[derive(Debug, Default)]
pub(super) struct Flush {
    pub open_deliveries: usize,
    pub failed: bool,
    /// Alerts whose resolution is told: fingerprint, and last report as of the flush.
    pub resolved: Vec<(u64, Time)>,
}

/// An alert of the store.
#[derive(Debug)]
pub(super) struct Entry {
    pub alert: Arc<StoredAlert>,
    /// The groups that it was put into.
    pub groups: Box<[GroupId]>,
}

/// What happens at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    Flush(GroupId),
    Attempt(u64),
}

/// Alerts, groups, silences, and what is being told to whom.
pub struct Engine {
    pub(super) settings: EngineSettings,
    pub(super) setup: Setup,
    pub(super) routes: HashMap<Arc<str>, Arc<RouteSettings>>,
    pub(super) alerts: HashMap<u64, Entry>,
    /// With a limit: ends of the alerts of each name.
    pub(super) ends_by_name: HashMap<String, HashMap<u64, Time>>,
    pub(super) silences: Silences,
    pub(super) log: NotificationLog,
    pub(super) inhibitor: Inhibitor,
    pub(super) groups: BTreeMap<GroupId, Group>,
    pub(super) group_ids: HashMap<(Arc<str>, LabelSet), GroupId>,
    pub(super) deliveries: HashMap<u64, Delivery>,
    pub(super) timers: BTreeSet<(UnixNanos, Timer)>,
    pub(super) next_id: u64,
    pub(super) random: u64,
    /// What must survive a crash and was not handed out yet.
    pub(super) records: Vec<Record>,
    /// When a record last said that somebody listens.
    pub(super) alive_at: Option<UnixNanos>,
    pub(super) history: History,
    pub(super) metrics: Metrics,
}

impl Engine {
    /// An engine that knows of nothing yet.
    pub fn new(settings: EngineSettings, setup: Setup, metrics: Metrics) -> Self {
        let mut engine = Engine {
            settings,
            routes: HashMap::new(),
            alerts: HashMap::new(),
            ends_by_name: HashMap::new(),
            silences: Silences::new(settings.silences),
            log: NotificationLog::new(settings.retention),
            inhibitor: Inhibitor::new(&setup.config.inhibit_rules),
            groups: BTreeMap::new(),
            group_ids: HashMap::new(),
            deliveries: HashMap::new(),
            timers: BTreeSet::new(),
            next_id: 0,
            random: settings.seed | 1,
            records: Vec::new(),
            alive_at: None,
            history: History::default(),
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

    /// A number from 0 up to but not including 1.
    pub(super) fn next_random(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// What must be on disk before anybody is answered or told; empty when nothing changed.
    pub fn take_records(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.records)
    }

    /// When [`Engine::poll`] has something to do.
    pub fn next_due(&self) -> Option<UnixNanos> {
        let alive = self.alive_at.map_or(UnixNanos(0), |at| at.plus(ALIVE_INTERVAL));
        Some(self.timers.first().map_or(alive, |(due, _)| (*due).min(alive)))
    }
}
