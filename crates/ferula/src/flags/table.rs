//! Every flag of Prometheus: name, default, help, and how far this build goes along with it.

/// What a flag's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `--x`, `--no-x`
    Bool,
    /// Any text.
    Text,
    /// Text; may be given several times.
    List,
    /// `1h30m`
    Duration,
    /// A whole number.
    Int,
    /// A number.
    Float,
    /// `512MB`
    Bytes,
    /// One of these words.
    Word(&'static [&'static str]),
}

/// In which mode a flag may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In both.
    Any,
    /// Not with `--agent`.
    Server,
    /// Only with `--agent`.
    Agent,
}

/// How far this build goes along with a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It does what it says.
    Works,
    /// It has no effect here, and that does no harm; whoever gives it is told why.
    Harmless(&'static str),
    /// It asks for what this build cannot do: giving it another value than the default ends the start.
    NotYet,
}

/// One flag.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// Name without dashes.
    pub name: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// Value when it is not given; "" for none.
    pub default: &'static str,
    /// In which mode it may be given.
    pub mode: Mode,
    /// Left out of the help text.
    pub hidden: bool,
    /// How far this build goes along.
    pub support: Support,
    /// One or two sentences.
    pub help: &'static str,
}

const fn flag(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Flag {
    Flag { name, kind, default, mode: Mode::Any, hidden: false, support: Support::Works, help }
}

impl Flag {
    const fn server(mut self) -> Self {
        self.mode = Mode::Server;
        self
    }

    const fn agent(mut self) -> Self {
        self.mode = Mode::Agent;
        self.support = Support::NotYet;
        self
    }

    const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    const fn harmless(mut self, why: &'static str) -> Self {
        self.support = Support::Harmless(why);
        self
    }

    const fn not_yet(mut self) -> Self {
        self.support = Support::NotYet;
        self
    }
}

const GO_ONLY: &str = "it tunes the Go runtime, which is not here";
const NO_AGENTS_OF_THIS_KIND: &str = "nothing that it tunes runs in this build";
const COMPRESSIONS: &[&str] = &["snappy", "zstd"];

/// All flags, in the order of the help text.
pub const FLAGS: &[Flag] = &[
    flag("config.file", Kind::Text, "prometheus.yml", "Prometheus configuration file path."),
    flag("config.auto-reload", Kind::Bool, "false", "Enable automatic configuration file reloading."),
    flag(
        "config.auto-reload-interval",
        Kind::Duration,
        "30s",
        "How often to look whether the configuration file changed. Only used when --config.auto-reload is set.",
    ),
    flag(
        "web.listen-address",
        Kind::List,
        "0.0.0.0:9090",
        "Address to listen on for UI, API, and telemetry. Can be repeated. Port 0 lets the system choose.",
    ),
    flag("auto-gomaxprocs", Kind::Bool, "true", "Accepted for compatibility; has no effect.").harmless(GO_ONLY),
    flag("auto-gomemlimit", Kind::Bool, "true", "Accepted for compatibility; has no effect.").harmless(GO_ONLY),
    flag("auto-gomemlimit.ratio", Kind::Float, "0.9", "Accepted for compatibility; has no effect.")
        .harmless(GO_ONLY),
    flag("auto-gomemlimit.refresh-interval", Kind::Duration, "0s", "Accepted for compatibility; has no effect.")
        .harmless(GO_ONLY),
    flag(
        "web.config.file",
        Kind::Text,
        "",
        "[EXPERIMENTAL] Path to configuration file that can enable TLS or authentication.",
    )
    .not_yet(),
    flag(
        "web.read-timeout",
        Kind::Duration,
        "5m",
        "Maximum duration before timing out read of the request, and closing idle connections.",
    ),
    flag(
        "web.max-connections",
        Kind::Int,
        "512",
        "Maximum number of simultaneous connections across all listeners.",
    ),
    flag(
        "web.max-notifications-subscribers",
        Kind::Int,
        "16",
        "Limits the maximum number of subscribers that can concurrently receive live notifications.",
    )
    .harmless("live notifications are not served yet"),
    flag(
        "web.external-url",
        Kind::Text,
        "",
        "The URL under which Prometheus is externally reachable (for example, if Prometheus is served via a reverse \
         proxy). If the URL has a path portion, it will be used to prefix all HTTP endpoints served by Prometheus. If \
         omitted, relevant URL components will be derived automatically.",
    ),
    flag(
        "web.route-prefix",
        Kind::Text,
        "",
        "Prefix for the internal routes of web endpoints. Defaults to path of --web.external-url.",
    ),
    flag("web.user-assets", Kind::Text, "", "Path to static asset directory, available at /user.").not_yet(),
    flag("web.enable-lifecycle", Kind::Bool, "false", "Enable shutdown and reload via HTTP request."),
    flag("web.enable-admin-api", Kind::Bool, "false", "Enable API endpoints for admin control actions."),
    flag(
        "web.enable-remote-write-receiver",
        Kind::Bool,
        "false",
        "Enable API endpoint accepting remote write requests.",
    ),
    flag(
        "web.remote-write-receiver.accepted-protobuf-messages",
        Kind::List,
        "prometheus.WriteRequest,io.prometheus.write.v2.Request",
        "List of the remote write protobuf messages to accept when receiving the remote writes.",
    )
    .not_yet(),
    flag(
        "web.enable-otlp-receiver",
        Kind::Bool,
        "false",
        "Enable API endpoint accepting OTLP write requests.",
    )
    .not_yet(),
    flag(
        "web.console.templates",
        Kind::Text,
        "consoles",
        "Path to the console template directory, available at /consoles.",
    )
    .harmless("console templates are not served yet; most unit files still name the folder"),
    flag("web.console.libraries", Kind::Text, "console_libraries", "Path to the console library directory.")
        .harmless("console templates are not served yet; most unit files still name the folder"),
    flag(
        "web.page-title",
        Kind::Text,
        "Prometheus Time Series Collection and Processing Server",
        "Document title of Prometheus instance.",
    ),
    flag(
        "web.cors.origin",
        Kind::Text,
        ".*",
        "Regex for CORS origin. It is fully anchored. Example: 'https?://(domain1|domain2)\\.com'",
    ),
    flag("storage.tsdb.path", Kind::Text, "data/", "Base path for metrics storage.").server(),
    flag(
        "storage.tsdb.min-block-duration",
        Kind::Duration,
        "2h",
        "Minimum duration of a data block before being persisted. For use in testing.",
    )
    .server()
    .hidden(),
    flag(
        "storage.tsdb.max-block-duration",
        Kind::Duration,
        "0s",
        "Maximum duration compacted blocks may span. For use in testing. (Defaults to 10% of the retention period.)",
    )
    .server()
    .hidden(),
    flag(
        "storage.tsdb.max-block-chunk-segment-size",
        Kind::Bytes,
        "0B",
        "The maximum size for a single chunk segment in a block. Example: 512MB",
    )
    .server()
    .hidden(),
    flag(
        "storage.tsdb.wal-segment-size",
        Kind::Bytes,
        "0B",
        "Size at which to split the tsdb WAL segment files. Example: 100MB",
    )
    .server()
    .hidden(),
    flag(
        "storage.tsdb.retention.time",
        Kind::Duration,
        "0s",
        "[DEPRECATED] How long to retain samples in storage. If neither this flag nor \"storage.tsdb.retention.size\" \
         is set, the retention time defaults to 15d. Units Supported: y, w, d, h, m, s, ms. Use the \
         storage.tsdb.retention.time field in the config file instead.",
    )
    .server(),
    flag(
        "storage.tsdb.retention.size",
        Kind::Bytes,
        "0B",
        "[DEPRECATED] Maximum number of bytes that can be stored for blocks. A unit is required, supported units: B, \
         KB, MB, GB, TB, PB, EB. Ex: \"512MB\". Based on powers-of-2, so 1KB is 1024B. Use the \
         storage.tsdb.retention.size field in the config file instead.",
    )
    .server(),
    flag("storage.tsdb.no-lockfile", Kind::Bool, "false", "Do not create lockfile in data directory.").server(),
    flag(
        "storage.tsdb.allow-overlapping-compaction",
        Kind::Bool,
        "true",
        "Allow compaction of overlapping blocks. If set to false, overlapping blocks are left to another component.",
    )
    .server()
    .hidden(),
    flag(
        "storage.tsdb.wal-compression",
        Kind::Bool,
        "true",
        "Compress the tsdb WAL. If false, the --storage.tsdb.wal-compression-type flag is ignored.",
    )
    .server()
    .hidden(),
    flag(
        "storage.tsdb.wal-compression-type",
        Kind::Word(COMPRESSIONS),
        "zstd",
        "Compression algorithm for the tsdb WAL, used when --storage.tsdb.wal-compression is true.",
    )
    .server()
    .hidden(),
    flag(
        "storage.tsdb.head-chunks-write-queue-size",
        Kind::Int,
        "0",
        "Size of the queue through which head chunks are written to the disk to be m-mapped, 0 disables the queue.",
    )
    .server()
    .harmless("head chunks are written without such a queue"),
    flag("storage.tsdb.samples-per-chunk", Kind::Int, "120", "Target number of samples per chunk.")
        .server()
        .hidden(),
    flag(
        "storage.tsdb.delayed-compaction.max-percent",
        Kind::Int,
        "10",
        "Upper limit for the random compaction delay, in percent of the head chunk range.",
    )
    .server()
    .hidden()
    .harmless("only used with --enable-feature=delayed-compaction"),
    flag(
        "storage.tsdb.delay-compact-file.path",
        Kind::Text,
        "",
        "Path to a JSON file with uploaded TSDB blocks e.g. Thanos shipper meta file. If set, level 1 blocks are only \
         compacted when they are in it.",
    )
    .server(),
    flag(
        "storage.tsdb.block-reload-interval",
        Kind::Duration,
        "1m",
        "Interval at which to check for new or removed blocks in storage.",
    )
    .server()
    .hidden(),
    flag(
        "storage.ferula.max-head-series",
        Kind::Int,
        "0",
        "Maximum number of series in the head. New series beyond it are refused, known ones go on. 0 means no limit.",
    )
    .server(),
    flag(
        "storage.ferula.max-head-memory",
        Kind::Bytes,
        "0B",
        "Maximum memory of the head, estimated from the number of its series and the length of their labels. New series \
         beyond it are refused, known ones go on. 0 means half of the memory that the machine or container has.",
    )
    .server(),
    flag(
        "storage.ferula.savepoint-interval",
        Kind::Duration,
        "5m",
        "How often the state of the head is saved in the folder ferula_savepoint, so that after a crash only what was \
         logged since is read. It is saved at the end, too. 0s means never.",
    )
    .server(),
    flag("storage.agent.path", Kind::Text, "data-agent/", "Base path for metrics storage.").agent(),
    flag("storage.agent.wal-segment-size", Kind::Bytes, "0B", "Size at which to split WAL segment files.")
        .agent()
        .hidden(),
    flag("storage.agent.wal-compression", Kind::Bool, "true", "Compress the agent WAL.").agent(),
    flag(
        "storage.agent.wal-compression-type",
        Kind::Word(COMPRESSIONS),
        "snappy",
        "Compression algorithm for the agent WAL.",
    )
    .agent()
    .hidden(),
    flag(
        "storage.agent.wal-truncate-frequency",
        Kind::Duration,
        "0s",
        "The frequency at which to truncate the WAL and remove old data.",
    )
    .agent()
    .hidden(),
    flag(
        "storage.agent.retention.min-time",
        Kind::Duration,
        "5m",
        "Minimum age samples may be before being considered for deletion when the WAL is truncated.",
    )
    .agent(),
    flag(
        "storage.agent.retention.max-time",
        Kind::Duration,
        "4h",
        "Maximum age samples may be before being forcibly deleted when the WAL is truncated.",
    )
    .agent(),
    flag(
        "storage.agent.checkpoint-from-in-memory-series",
        Kind::Bool,
        "false",
        "Use only in-memory series data when building a checkpoint.",
    )
    .agent(),
    flag(
        "storage.agent.checkpoint-batch-size",
        Kind::Int,
        "1000",
        "Size of a single WAL log entry chunk to be flushed.",
    )
    .agent(),
    flag("storage.agent.no-lockfile", Kind::Bool, "false", "Do not create lockfile in data directory.").agent(),
    flag(
        "storage.remote.flush-deadline",
        Kind::Duration,
        "1m",
        "How long to wait flushing sample on shutdown or config reload.",
    )
    .harmless(NO_AGENTS_OF_THIS_KIND),
    flag(
        "storage.remote.read-sample-limit",
        Kind::Int,
        "50000000",
        "Maximum overall number of samples to return via the remote read interface, in a single query.",
    )
    .server()
    .harmless(NO_AGENTS_OF_THIS_KIND),
    flag(
        "storage.remote.read-concurrent-limit",
        Kind::Int,
        "10",
        "Maximum number of concurrent remote read calls. 0 means no limit.",
    )
    .server()
    .harmless(NO_AGENTS_OF_THIS_KIND),
    flag(
        "storage.remote.read-max-bytes-in-frame",
        Kind::Int,
        "1048576",
        "Maximum number of bytes in a single frame for streaming remote read response types before marshalling.",
    )
    .server()
    .harmless(NO_AGENTS_OF_THIS_KIND),
    flag(
        "web.search.max-limit",
        Kind::Int,
        "10000",
        "Hard upper bound on the \"limit\" query parameter accepted by the experimental search API.",
    )
    .server()
    .harmless("the search API is not served yet"),
    flag(
        "rules.alert.for-outage-tolerance",
        Kind::Duration,
        "1h",
        "Max time to tolerate prometheus outage for restoring \"for\" state of alert.",
    )
    .server(),
    flag(
        "rules.alert.for-grace-period",
        Kind::Duration,
        "10m",
        "Minimum duration between alert and restored \"for\" state. This is maintained only for alerts with configured \
         \"for\" time greater than grace period.",
    )
    .server(),
    flag(
        "rules.alert.resend-delay",
        Kind::Duration,
        "1m",
        "Minimum amount of time to wait before resending an alert to Alertmanager.",
    )
    .server(),
    flag(
        "rules.max-concurrent-evals",
        Kind::Int,
        "4",
        "Global concurrency limit for independent rules that can run concurrently.",
    )
    .server(),
    flag(
        "scrape.adjust-timestamps",
        Kind::Bool,
        "true",
        "Adjust scrape timestamps by up to `scrape.timestamp-tolerance` to align them to the intended schedule.",
    )
    .hidden()
    .not_yet(),
    flag("scrape.timestamp-tolerance", Kind::Duration, "2ms", "Timestamp tolerance.").hidden().not_yet(),
    flag(
        "alertmanager.notification-queue-capacity",
        Kind::Int,
        "10000",
        "The capacity of the queue for pending Alertmanager notifications.",
    )
    .server(),
    flag(
        "alertmanager.notification-batch-size",
        Kind::Int,
        "256",
        "The maximum number of notifications per batch to send to the Alertmanager.",
    )
    .server(),
    flag(
        "alertmanager.drain-notification-queue-on-shutdown",
        Kind::Bool,
        "true",
        "Send any outstanding Alertmanager notifications when shutting down. If false, any outstanding Alertmanager \
         notifications will be dropped when shutting down.",
    )
    .server(),
    flag(
        "query.lookback-delta",
        Kind::Duration,
        "5m",
        "The maximum lookback duration for retrieving metrics during expression evaluations and federation.",
    )
    .server(),
    flag("query.timeout", Kind::Duration, "2m", "Maximum time a query may take before being aborted.").server(),
    flag("query.max-concurrency", Kind::Int, "20", "Maximum number of queries executed concurrently.").server(),
    flag(
        "query.max-samples",
        Kind::Int,
        "50000000",
        "Maximum number of samples a single query can load into memory. Note that queries will fail if they try to load \
         more samples than this into memory, so this also limits the number of samples a query can return.",
    )
    .server(),
    flag(
        "scrape.discovery-reload-interval",
        Kind::Duration,
        "5s",
        "Interval used by scrape manager to throttle target groups updates.",
    )
    .hidden()
    .not_yet(),
    flag(
        "enable-feature",
        Kind::List,
        "",
        "Comma separated feature names to enable. See \
         https://prometheus.io/docs/prometheus/latest/feature_flags/ for more details.",
    ),
    flag("agent", Kind::Bool, "false", "Run Prometheus in 'Agent mode'.").not_yet(),
    flag(
        "log.level",
        Kind::Word(&["debug", "info", "warn", "error"]),
        "info",
        "Only log messages with the given severity or above. One of: [debug, info, warn, error]",
    ),
    flag(
        "log.format",
        Kind::Word(&["logfmt", "json"]),
        "logfmt",
        "Output format of log messages. One of: [logfmt, json]",
    ),
];

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
}
