//! Every flag of the server: name, type, default, help, and whether this build supports it.
//!
//! Each flag is one row of `flags!`, which creates a typed [`Key`] and an entry in [`FLAGS`]. The rest of the program
//! reads a flag through its key, so a misspelled name does not compile, and each name appears only once.

use std::marker::PhantomData;

use super::value::{
    Bytes, Count, DigitCount, Integer, List, LogFormat, LogLevel, Number, OptionalText, Span, Switch, Syntax,
    Text, ValueType, WalCompression,
};

/// The mode in which a flag may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Any,
    Server,
    Agent,
}

/// Whether this build supports a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    Works,
    /// The flag has no effect and does no harm. If it is given, the log says why.
    Harmless(&'static str),
    /// Any value other than the default prevents the start, with this advice.
    NotYet(&'static str),
}

/// One flag.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// Without dashes.
    pub name: &'static str,
    pub syntax: Syntax,
    /// "" if there is none.
    pub default: &'static str,
    pub mode: Mode,
    /// Left out of the help text, as in Prometheus.
    pub is_hidden: bool,
    pub support: Support,
    /// What it does, and when to change it.
    pub help: &'static str,
}

/// A flag whose value is parsed as a `T`.
#[derive(Clone, Copy)]
pub struct Key<T> {
    pub flag: Flag,
    value: PhantomData<T>,
}

impl<T: ValueType> Key<T> {
    const fn new(name: &'static str, default: &'static str, help: &'static str) -> Self {
        let flag = Flag {
            name,
            syntax: T::SYNTAX,
            default,
            mode: Mode::Any,
            is_hidden: false,
            support: Support::Works,
            help,
        };
        Key { flag, value: PhantomData }
    }

    const fn server(mut self) -> Self {
        self.flag.mode = Mode::Server;
        self
    }

    const fn agent(mut self) -> Self {
        self.flag.mode = Mode::Agent;
        self
    }

    const fn hidden(mut self) -> Self {
        self.flag.is_hidden = true;
        self
    }

    const fn harmless(mut self, why: &'static str) -> Self {
        self.flag.support = Support::Harmless(why);
        self
    }

    const fn not_yet(mut self, advice: &'static str) -> Self {
        self.flag.support = Support::NotYet(advice);
        self
    }
}

const GO_ONLY: &str = "it tunes the Go runtime, and ferula has none";
const NO_CONSOLES: &str = "console templates are not served yet";

/// Turns rows `KEY: type = "name", "default", "help", changes…;` into one typed key each, and a table of all flags.
macro_rules! flags {
    ($($key:ident: $type:ty = $name:literal, $default:literal, $help:literal $(, $change:ident $(($why:expr))?)*;)+) => {
        /// All flags, in the order of the help text.
        pub const FLAGS: &[Flag] = &[$($key.flag),+];
        $(
            #[doc = concat!("`--", $name, "`")]
            pub const $key: Key<$type> = Key::new($name, $default, $help)$(.$change($($why)?))*;
        )+
    };
}

flags! {
    CONFIG_FILE: Text = "config.file", "prometheus.yml",
        "The configuration file. If it is not given and prometheus.yml is missing, the server scrapes itself.";
    AUTO_RELOAD: Switch = "config.auto-reload", "false",
        "Reload the configuration when its file, or a file that it includes, has changed.";
    AUTO_RELOAD_INTERVAL: Span = "config.auto-reload-interval", "30s",
        "How often to check for changes with --config.auto-reload; at least 1s.";
    LISTEN_ADDRESSES: List = "web.listen-address", "0.0.0.0:9090",
        "Address and port to serve HTTP on. May be repeated. With port 0, the system chooses a port and the log shows it.";
    GOMAXPROCS: Switch = "auto-gomaxprocs", "true", "Set GOMAXPROCS to the CPU quota of the container.",
        harmless(GO_ONLY);
    GOMEMLIMIT: Switch = "auto-gomemlimit", "true", "Set GOMEMLIMIT to the memory of the container or machine.",
        harmless(GO_ONLY);
    GOMEMLIMIT_RATIO: Number = "auto-gomemlimit.ratio", "0.9",
        "The share of the memory that GOMEMLIMIT is set to.", harmless(GO_ONLY);
    GOMEMLIMIT_REFRESH_INTERVAL: Span = "auto-gomemlimit.refresh-interval", "0s",
        "How often GOMEMLIMIT is set again.", harmless(GO_ONLY);
    WEB_CONFIG_FILE: OptionalText = "web.config.file", "",
        "File with TLS settings and users for the server's own port. Experimental.";
    READ_TIMEOUT: Span = "web.read-timeout", "5m",
        "How long a client may take to send a request, and how long an idle connection stays open.";
    CONNECTIONS_MAX: Count = "web.max-connections", "512",
        "The maximum number of open connections, over all addresses. Further ones wait.";
    MACHINE_METRICS: Switch = "web.ferula.machine-metrics", "true",
        "Serve the machine's processors, memory, disks and network at /metrics/machine, under node_exporter's names. Without a \
         configuration the server scrapes them. Linux only.";
    NOTIFICATION_SUBSCRIBERS_MAX: Count = "web.max-notifications-subscribers", "16",
        "The maximum number of clients that follow live notifications; others are answered 204.";
    EXTERNAL_URL: OptionalText = "web.external-url", "",
        "The URL under which clients reach this server, for links in alerts and pages. Set it behind a reverse proxy. Its \
         path becomes the prefix of all pages. Default: this machine's name and the port.";
    ROUTE_PREFIX: OptionalText = "web.route-prefix", "",
        "The path below which pages are served, when a proxy removes or changes the path of --web.external-url. Default: \
         that path.";
    USER_ASSETS: OptionalText = "web.user-assets", "", "A directory to serve below /user.",
        not_yet("serve the files from a separate web server");
    LIFECYCLE: Switch = "web.enable-lifecycle", "false",
        "Let anyone who can reach the server reload its configuration (/-/reload) and stop it (/-/quit).";
    ADMIN_API: Switch = "web.enable-admin-api", "false",
        "Let anyone who can reach the server delete series and make backups (/api/v1/admin/tsdb).";
    REMOTE_WRITE_RECEIVER: Switch = "web.enable-remote-write-receiver", "false",
        "Accept and store remote writes at /api/v1/write.";
    REMOTE_WRITE_MESSAGES: List = "web.remote-write-receiver.accepted-protobuf-messages",
        "prometheus.WriteRequest,io.prometheus.write.v2.Request",
        "The remote write messages to accept: version 1, version 2, or both.";
    OTLP_RECEIVER: Switch = "web.enable-otlp-receiver", "false", "Accept and store OTLP metrics at /api/v1/otlp/v1/metrics.";
    CONSOLE_TEMPLATES: Text = "web.console.templates", "consoles", "The directory of console templates, served below /consoles.",
        harmless(NO_CONSOLES);
    CONSOLE_LIBRARIES: Text = "web.console.libraries", "console_libraries", "The directory of libraries for console templates.",
        harmless(NO_CONSOLES);
    PAGE_TITLE: Text = "web.page-title", "Prometheus Time Series Collection and Processing Server",
        "The title of the web pages, to tell servers apart in a browser.";
    CORS_ORIGIN: Text = "web.cors.origin", ".*",
        "Regular expression for the origins whose scripts may read answers; it must match the whole origin. Example: \
         'https?://(domain1|domain2)\\.com'";
    STORAGE_PATH: Text = "storage.tsdb.path", "data/",
        "The data directory. A directory written by Prometheus works, and Prometheus can use it again later.", server;
    MIN_BLOCK_DURATION: Span = "storage.tsdb.min-block-duration", "2h",
        "The time range of a newly written block.", server, hidden;
    MAX_BLOCK_DURATION: Span = "storage.tsdb.max-block-duration", "0s",
        "The maximum time range of a compacted block. Default: a tenth of the retention time. Set it to the minimum where \
         Thanos compacts.", server, hidden;
    CHUNK_SEGMENT_BYTES: Bytes = "storage.tsdb.max-block-chunk-segment-size", "0B",
        "The largest size of a chunk file in a block. Example: 512MB.", server, hidden;
    WAL_SEGMENT_BYTES: Bytes = "storage.tsdb.wal-segment-size", "0B",
        "The largest size of a file of the log, from 10MB to 256MB. Default: 128MB.", server, hidden;
    RETENTION_TIME: Span = "storage.tsdb.retention.time", "0s",
        "How long samples are kept: 15d when neither this nor the size is given. Units: y, w, d, h, m, s, ms. Deprecated in \
         Prometheus in favour of storage.tsdb.retention in the configuration, which takes precedence and can be reloaded.",
        server;
    RETENTION_SIZE: Bytes = "storage.tsdb.retention.size", "0B",
        "How much the data directory may hold before the oldest blocks are deleted, with a unit: B, KB, MB, GB, TB, PB, EB \
         (1KB is 1024B). Deprecated in Prometheus in favour of storage.tsdb.retention in the configuration, which takes \
         precedence and can be reloaded.",
        server;
    NO_LOCKFILE: Switch = "storage.tsdb.no-lockfile", "false",
        "Do not lock the data directory. Two servers on one directory destroy it, so this is for file systems without locks.",
        server;
    OVERLAPPING_COMPACTION: Switch = "storage.tsdb.allow-overlapping-compaction", "true",
        "Merge blocks that overlap in time. Disable it if another component does that.", server, hidden;
    WAL_COMPRESSED: Switch = "storage.tsdb.wal-compression", "true",
        "Compress the log.", server, hidden;
    WAL_COMPRESSION: WalCompression = "storage.tsdb.wal-compression-type", "zstd",
        "How the log is compressed: snappy, which every Prometheus reads, or zstd, which is smaller.", server, hidden;
    HEAD_CHUNKS_QUEUE: Integer = "storage.tsdb.head-chunks-write-queue-size", "0",
        "The maximum number of full chunks waiting to be written.", server, harmless("chunks are written without such a queue");
    SAMPLES_PER_CHUNK: Integer = "storage.tsdb.samples-per-chunk", "120",
        "The number of samples per chunk.", server, hidden;
    DELAYED_COMPACTION_PERCENT: Integer = "storage.tsdb.delayed-compaction.max-percent", "10",
        "The longest random delay of a compaction, in percent of a block's time.", server, hidden,
        harmless("it only matters with --enable-feature=delayed-compaction");
    DELAY_COMPACT_FILE: OptionalText = "storage.tsdb.delay-compact-file.path", "",
        "JSON file with the names of uploaded blocks, as the Thanos sidecar writes it. Other blocks are not compacted \
         then.",
        server;
    BLOCK_RELOAD_INTERVAL: Span = "storage.tsdb.block-reload-interval", "1m",
        "How often to look for blocks that other programs added or removed.", server, hidden;
    HEAD_SERIES_MAX: Count = "storage.ferula.max-head-series", "0",
        "The maximum number of series in the head. New series beyond it are refused; known ones continue. 0 means no limit.", server;
    HEAD_NEW_SERIES_MAX: Count = "storage.ferula.max-new-series", "0",
        "The maximum number of new series a minute, shared fairly by jobs. Those beyond it are refused; known ones continue. 0 \
         means no limit.";
    JOB_SERIES_MAX: Count = "storage.ferula.max-series-per-job", "0",
        "The maximum number of series in the head with the same label job. 0 means no limit.";
    JOB_NEW_SERIES_MAX: Count = "storage.ferula.max-new-series-per-job", "0",
        "The maximum number of new series a minute with the same label job. 0 means no limit.";
    TARGET_SERIES_MAX: Count = "storage.ferula.max-series-per-target", "0",
        "The maximum number of series in the head with the same label instance. 0 means no limit.";
    TARGET_NEW_SERIES_MAX: Count = "storage.ferula.max-new-series-per-target", "0",
        "The maximum number of new series a minute with the same label instance. 0 means no limit.";
    METRIC_SERIES_MAX: Count = "storage.ferula.max-series-per-metric", "0",
        "The maximum number of series in the head of one metric; what is left is shared fairly by jobs. 0 means no limit.";
    METRIC_NEW_SERIES_MAX: Count = "storage.ferula.max-new-series-per-metric", "0",
        "The maximum number of new series a minute of one metric, shared fairly by jobs. 0 means no limit.";
    HEAD_BYTES_MAX: Bytes = "storage.ferula.max-head-memory", "0B",
        "How much memory the head may take, estimated from its series and the length of their labels. New series beyond it \
         are refused; known ones continue. 0 means half of what the machine or container has.",
        server;
    SAVEPOINT_INTERVAL: Span = "storage.ferula.savepoint-interval", "5m",
        "How often the head is saved to the directory ferula_savepoint, so that a start after a crash reads only what was \
         logged since. It is also saved when the log has grown much, and at shutdown. 0s means never.",
        server;
    SCRUB_BYTES: Bytes = "storage.ferula.scrub-rate", "1MiB",
        "How many bytes a second are read of old blocks in the background, to find damage on the disk before a query does. Each \
         block is read once a week at most. 0 means none.",
        server;
    REMOTE_WRITE_BACKLOG: Bytes = "storage.ferula.remote-write-backlog", "8GiB",
        "How much of the log is kept for destinations of remote write that do not have it yet. Beyond that, the oldest part is \
         dropped and not sent.",
        server;
    AGENT_PATH: Text = "storage.agent.path", "data-agent/",
        "The agent's data directory. Prometheus' agent can continue with it, and the other way round.", agent;
    AGENT_SEGMENT_BYTES: Bytes = "storage.agent.wal-segment-size", "0B",
        "The largest size of a file of the agent's log, from 10MB to 256MB. Default: 128MB.", agent, hidden;
    AGENT_WAL_COMPRESSED: Switch = "storage.agent.wal-compression", "true", "Compress the agent's log.", agent;
    AGENT_WAL_COMPRESSION: WalCompression = "storage.agent.wal-compression-type", "snappy",
        "How the agent's log is compressed: snappy or zstd.", agent, hidden;
    AGENT_TRUNCATE_FREQUENCY: Span = "storage.agent.wal-truncate-frequency", "0s",
        "How often the agent forgets series that have ended, and shortens its log. Default: 2h.", agent, hidden;
    AGENT_RETENTION_MIN: Span = "storage.agent.retention.min-time", "5m",
        "A series is forgotten when it has no sample for this long before the newest one that was sent.", agent;
    AGENT_RETENTION_MAX: Span = "storage.agent.retention.max-time", "4h",
        "Samples older than this may leave the agent's log though they were not sent. At least the time between two \
         truncations.",
        agent;
    AGENT_CHECKPOINT_FROM_MEMORY: Switch = "storage.agent.checkpoint-from-in-memory-series", "false",
        "Write checkpoints from the series in memory, instead of reading the files that they replace.", agent;
    AGENT_CHECKPOINT_BATCH: Integer = "storage.agent.checkpoint-batch-size", "1000",
        "How many series are written at once to a checkpoint from memory.", agent;
    AGENT_NO_LOCKFILE: Switch = "storage.agent.no-lockfile", "false",
        "Do not lock the agent's data directory. Two agents on one directory destroy it, so this is for file systems without \
         locks.",
        agent;
    REMOTE_FLUSH_DEADLINE: Span = "storage.remote.flush-deadline", "1m",
        "How long shutdown may take to send what remote write has not sent yet. The rest is sent after the next \
         start.";
    REMOTE_READ_SAMPLES: Integer = "storage.remote.read-sample-limit", "50000000",
        "How many samples one remote read may return. 0 means no limit.", server;
    REMOTE_READ_CONCURRENCY: Integer = "storage.remote.read-concurrent-limit", "10",
        "How many remote reads may run at once. 0 means no limit.", server;
    REMOTE_READ_FRAME_BYTES: Integer = "storage.remote.read-max-bytes-in-frame", "1048576",
        "How many bytes one frame of a streamed remote read may hold.", server;
    SEARCH_LIMIT_MAX: Integer = "web.search.max-limit", "10000",
        "The largest limit that a request to the experimental search API may set. 0 means no bound.", server;
    OUTAGE_TOLERANCE: Span = "rules.alert.for-outage-tolerance", "1h",
        "After an outage longer than this, the \"for\" time of pending alerts starts again.", server;
    GRACE_PERIOD: Span = "rules.alert.for-grace-period", "10m",
        "The least time for which an alert that was restored after a restart stays pending, if its \"for\" is longer.",
        server;
    RESEND_DELAY: Span = "rules.alert.resend-delay", "1m",
        "How long to wait before a firing alert is sent to Alertmanager again.", server;
    CONCURRENT_EVALS_MAX: DigitCount = "rules.max-concurrent-evals", "4",
        "How many independent rules may run at once, over all groups, with --enable-feature=concurrent-rule-eval.", server;
    ADJUST_TIMESTAMPS: Switch = "scrape.adjust-timestamps", "true",
        "Store a scrape under the time at which it was due when it came only slightly later, which makes chunks smaller.",
        hidden;
    TIMESTAMP_TOLERANCE: Span = "scrape.timestamp-tolerance", "2ms",
        "What counts as slightly later for --scrape.adjust-timestamps.", hidden;
    NOTIFICATION_QUEUE: Count = "alertmanager.notification-queue-capacity", "10000",
        "How many alerts may wait for an Alertmanager. Beyond that, the oldest are dropped.", server;
    NOTIFICATION_BATCH: Count = "alertmanager.notification-batch-size", "256",
        "How many alerts are sent to an Alertmanager at once.", server;
    DRAIN_NOTIFICATIONS: Switch = "alertmanager.drain-notification-queue-on-shutdown", "true",
        "At shutdown, first send what is still queued for Alertmanagers.", server;
    ALERTMANAGER_CONFIG: OptionalText = "alertmanager.config.file", "",
        "Run an Alertmanager inside this server, with this configuration. Rules pass their alerts in memory; its API is \
         below /alertmanager. Ferula only.",
        server;
    LOOKBACK_DELTA: Span = "query.lookback-delta", "5m",
        "How far a query, or federation, looks back for the newest sample of a series. Keep it above the longest scrape \
         interval.",
        server;
    QUERY_TIMEOUT: Span = "query.timeout", "2m", "How long a query may take before it ends with an error.", server;
    QUERY_CONCURRENCY: Count = "query.max-concurrency", "20", "How many queries may run at once. Further ones wait.", server;
    QUERY_SAMPLES_MAX: Count = "query.max-samples", "50000000",
        "How many samples one query may hold in memory before it ends with an error.", server;
    DISCOVERY_RELOAD_INTERVAL: Span = "scrape.discovery-reload-interval", "5s",
        "The shortest time between two updates of the targets from service discovery.", hidden;
    SCRAPE_ZSTD: Switch = "scrape.ferula.zstd", "false",
        "Offer zstd to targets beside gzip: smaller pages, which take less time to decompress.";
    FEATURES: List = "enable-feature", "",
        "Experimental features to enable, separated by commas. Prometheus' documentation lists them: \
         https://prometheus.io/docs/prometheus/latest/feature_flags/";
    AGENT: Switch = "agent", "false",
        "Run as an agent: scrape and send by remote write. No queries, no rules, no history.";
    LOG_LEVEL: LogLevel = "log.level", "info", "The least severe lines to log. One of: [debug, info, warn, error]";
    LOG_FORMAT: LogFormat = "log.format", "logfmt", "How log lines are written. One of: [logfmt, json]";
}

/// The flag of this name.
pub fn find(name: &str) -> Option<&'static Flag> {
    FLAGS.iter().find(|flag| flag.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<&str> = FLAGS.iter().map(|flag| flag.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FLAGS.len());
    }

    #[test]
    fn every_default_is_a_value_and_is_shown_as_it_is_written() {
        for flag in FLAGS.iter().filter(|flag| !flag.default.is_empty()) {
            assert_eq!(flag.syntax.normalize(flag.default).as_deref(), Ok(flag.default), "{}", flag.name);
        }
    }
}
