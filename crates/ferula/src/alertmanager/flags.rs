//! The flags, with Alertmanager's names and defaults.

use std::path::PathBuf;
use std::time::Duration;

use ferula_alertmanager::engine::{HistoryLimits, OwnSettings};
use ferula_config::alertmanager::MatcherSyntax;
use ferula_go::quote::go_quote;
use ferula_telemetry::logging::{Format, Level};

use crate::tools::args::{Args, Flag, ValueKind, flag};

const CONFIG_FILE: Flag = text("config.file", "alertmanager.yml", "The configuration.");
const STORAGE_PATH: Flag =
    text("storage.path", "data/", "The directory of silences, the notification log and the journal.");
const RETENTION: Flag =
    time("data.retention", "120h", "How long ended silences and entries of the notification log are kept.");
const MAINTENANCE: Flag = time(
    "data.maintenance-interval",
    "15m",
    "How often outdated entries are removed and the files are rewritten. Changes reach the disk before that.",
);
const SILENCES_MAX: Flag = number(
    "silences.max-silences",
    "The maximum number of silences, including expired ones; 0 for no limit.",
);
const SILENCE_BYTES_MAX: Flag =
    number("silences.max-silence-size-bytes", "The maximum size of a silence; 0 for no limit.");
const LOG_SILENCES: Flag = flag("log.silences", ValueKind::Switch, "Log every change of a silence.");
const ALERT_GC: Flag = time("alerts.gc-interval", "30m", "How often resolved alerts are removed.");
const ALERTS_PER_NAME: Flag =
    number("alerts.per-alertname-limit", "The maximum number of alerts with the same name; 0 for no limit.");
const DISPATCH_MAINTENANCE: Flag = time(
    "dispatch.maintenance-interval",
    "30s",
    "Accepted for compatibility: groups end when they are empty.",
);
const START_DELAY: Flag = time(
    "dispatch.start-delay",
    "0s",
    "No notifications are sent for this long after the start. Prometheus' --rules.alert.resend-delay is a good value.",
);
const SYSTEMD_SOCKET: Flag = flag("web.systemd-socket", ValueKind::Switch, "Take sockets from systemd.");
const LISTEN: Flag = flag("web.listen-address", ValueKind::Texts, "Where to listen; may be repeated.")
    .default(":9093")
    .placeholder(":9093");
const WEB_CONFIG: Flag = text("web.config.file", "", "A file with TLS settings and users.");
const EXTERNAL_URL: Flag = flag(
    "web.external-url",
    ValueKind::Text,
    "The URL under which users reach this server. Its path is the default prefix of all paths.",
);
const ROUTE_PREFIX: Flag = flag(
    "web.route-prefix",
    ValueKind::Text,
    "The prefix of all paths; by default the path of --web.external-url.",
);
const GET_CONCURRENCY: Flag = number(
    "web.get-concurrency",
    "The maximum number of concurrent GET requests; 0 for the number of processors, at least 8.",
);
const WEB_TIMEOUT: Flag = time("web.timeout", "0", "How long a request may take; 0 for no limit.");
const GOMEMLIMIT_RATIO: Flag = text("auto-gomemlimit.ratio", "0.9", "Accepted for compatibility.");
const PEERS: Flag =
    flag("cluster.peer", ValueKind::Texts, "Other members of a cluster. Refused: see --pair.peer.");
const CLUSTER_TLS: Flag = text("cluster.tls-config", "", "TLS between members. Refused: see --pair.peer.");
const RECEIVER_TESTS: Flag = flag(
    "web.enable-receiver-tests",
    ValueKind::Switch,
    "Send test notifications at POST /api/v2/receivers/NAME/test. Ferula only, like all flags below.",
);
const EXPAND_ENV: Flag = flag(
    "config.expand-env",
    ValueKind::Switch,
    "Replace ${NAME} in the configuration by the variable of that name.",
);
const HISTORY_RETENTION: Flag =
    time("history.retention", "7d", "How long the history of notifications is kept.");
const HISTORY_BYTES: Flag =
    flag("history.max-bytes", ValueKind::Number, "The maximum size of the history of notifications.")
        .default("16777216");
const LOG_NOTIFICATIONS: Flag =
    flag("log.notifications", ValueKind::Switch, "Log every decision to notify or not to notify.");
const TELL_SILENCED: Flag = flag(
    "silences.notify-resolved",
    ValueKind::Switch,
    "Notify once when a silenced alert ends that was notified before it was silenced.",
);
const REMIND_BEFORE: Flag = time(
    "silences.remind-before",
    "0s",
    "Notify so long before a silence ends if alerts that it covers still fire; 0 for never.",
);
const PAIR_PEER: Flag = text("pair.peer", "", "The URL of the other server of a pair.");
const PAIR_NAME: Flag = text(
    "pair.name",
    "",
    "The name of this server in the pair; by default the external URL. The name that sorts first notifies first.",
);
const PAIR_PATIENCE: Flag = time(
    "pair.patience",
    "15s",
    "How long the second server of a pair waits for the first, while it is there, before it notifies itself.",
);
const PAIR_HTTP: Flag =
    text("pair.http.config.file", "", "Settings of the client that talks to the other server of the pair.");
const ENABLE_FEATURE: Flag = text(
    "enable-feature",
    "",
    "Features to switch on, with commas between them: alert-names-in-metrics, receiver-name-in-metrics, \
     group-key-in-metrics, classic-mode, utf8-strict-mode, auto-gomemlimit, event-recorder.",
);
const LOG_LEVEL: Flag = flag(
    "log.level",
    ValueKind::Word(&["debug", "info", "warn", "error"]),
    "The least important lines to log.",
)
.default("info");
const LOG_FORMAT: Flag =
    flag("log.format", ValueKind::Word(&["logfmt", "json"]), "The format of log lines.").default("logfmt");

/// Settings of a cluster, which have no effect without peers.
const CLUSTER: [Flag; 15] = [
    text("cluster.listen-address", "0.0.0.0:9094", CLUSTER_HELP),
    text("cluster.advertise-address", "", CLUSTER_HELP),
    text("cluster.peer-name", "", CLUSTER_HELP),
    time("cluster.peer-timeout", "15s", CLUSTER_HELP),
    time("cluster.peers-resolve-timeout", "15s", CLUSTER_HELP),
    time("cluster.gossip-interval", "200ms", CLUSTER_HELP),
    time("cluster.pushpull-interval", "1m0s", CLUSTER_HELP),
    time("cluster.tcp-timeout", "10s", CLUSTER_HELP),
    time("cluster.probe-timeout", "500ms", CLUSTER_HELP),
    time("cluster.probe-interval", "1s", CLUSTER_HELP),
    time("cluster.settle-timeout", "1m0s", CLUSTER_HELP),
    time("cluster.reconnect-interval", "10s", CLUSTER_HELP),
    time("cluster.reconnect-timeout", "6h0m0s", CLUSTER_HELP),
    flag("cluster.allow-insecure-public-advertise-address-discovery", ValueKind::Switch, CLUSTER_HELP),
    text("cluster.label", "", CLUSTER_HELP),
];
const CLUSTER_HELP: &str = "Accepted for compatibility: there is no cluster.";

const fn text(name: &'static str, default: &'static str, help: &'static str) -> Flag {
    flag(name, ValueKind::Text, help).default(default)
}

const fn time(name: &'static str, default: &'static str, help: &'static str) -> Flag {
    flag(name, ValueKind::Duration, help).default(default)
}

const fn number(name: &'static str, help: &'static str) -> Flag {
    flag(name, ValueKind::Number, help).default("0")
}

/// All flags, in Alertmanager's order.
pub static FLAGS: &[Flag] = &[
    CONFIG_FILE,
    STORAGE_PATH,
    RETENTION,
    MAINTENANCE,
    SILENCES_MAX,
    SILENCE_BYTES_MAX,
    LOG_SILENCES,
    ALERT_GC,
    ALERTS_PER_NAME,
    DISPATCH_MAINTENANCE,
    START_DELAY,
    SYSTEMD_SOCKET,
    LISTEN,
    WEB_CONFIG,
    EXTERNAL_URL,
    ROUTE_PREFIX,
    GET_CONCURRENCY,
    WEB_TIMEOUT,
    GOMEMLIMIT_RATIO,
    CLUSTER[0],
    CLUSTER[1],
    CLUSTER[2],
    PEERS,
    CLUSTER[3],
    CLUSTER[4],
    CLUSTER[5],
    CLUSTER[6],
    CLUSTER[7],
    CLUSTER[8],
    CLUSTER[9],
    CLUSTER[10],
    CLUSTER[11],
    CLUSTER[12],
    CLUSTER_TLS,
    CLUSTER[13],
    CLUSTER[14],
    ENABLE_FEATURE,
    LOG_LEVEL,
    LOG_FORMAT,
    RECEIVER_TESTS,
    EXPAND_ENV,
    HISTORY_RETENTION,
    HISTORY_BYTES,
    LOG_NOTIFICATIONS,
    TELL_SILENCED,
    REMIND_BEFORE,
    PAIR_PEER,
    PAIR_NAME,
    PAIR_PATIENCE,
    PAIR_HTTP,
];

/// Why flags cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlagError {
    #[error("unknown option '{0}' for --enable-feature")]
    UnknownFeature(String),
    #[error("classic mode and UTF-8 strict mode cannot be enabled together")]
    BothSyntaxes,
    #[error(
        "--cluster.peer={0}: this server does not gossip with Alertmanagers (docs/decisions/alertmanager-cluster.md); \
         two servers of this kind notify as one with --pair.peer=URL on each"
    )]
    Peer(String),
    #[error(
        "--cluster.tls-config: this server does not gossip; a pair (--pair.peer) has TLS with --web.config.file and --pair.http.config.file"
    )]
    ClusterTls,
    #[error("--web.systemd-socket is not supported; set the addresses with --web.listen-address")]
    SystemdSocket,
    #[error("{0}: must be positive")]
    NotPositive(&'static str),
    #[error("--auto-gomemlimit.ratio must be greater than 0 and less than or equal to 1.")]
    Ratio,
    #[error("{}: invalid {} scheme, only 'http' and 'https' are supported", go_quote(.url), go_quote(.scheme))]
    Scheme { url: String, scheme: String },
    #[error("parse {}: {why}", go_quote(.url))]
    Url { url: String, why: String },
}

/// The other server of a pair.
#[derive(Clone, Debug)]
pub struct PairFlags {
    /// Without a final slash.
    pub url: String,
    /// `None` for the external URL.
    pub name: Option<String>,
    pub patience: Duration,
    pub http_config_file: Option<PathBuf>,
}

/// Checked flags.
#[derive(Clone, Debug)]
pub struct AlertmanagerFlags {
    pub config_file: PathBuf,
    pub storage_path: PathBuf,
    pub retention: Duration,
    pub maintenance_interval: Duration,
    pub alert_gc_interval: Duration,
    /// 0 for no limit, also for the next two fields.
    pub silences_max: usize,
    pub silence_bytes_max: usize,
    pub alerts_per_name_max: usize,
    pub log_silences: bool,
    pub start_delay: Duration,
    pub listen_addresses: Vec<String>,
    /// `None` for one built from the host name and the port.
    pub external_url: Option<ferula_go::url::Url>,
    pub route_prefix: Option<String>,
    pub web_config_file: Option<PathBuf>,
    pub get_concurrency: usize,
    /// Zero for no limit.
    pub web_timeout: Duration,
    pub syntax: MatcherSyntax,
    pub receiver_names_in_metrics: bool,
    pub alert_names_in_metrics: bool,
    pub tests_receivers: bool,
    pub expands_variables: bool,
    pub own: OwnSettings,
    pub pair: Option<PairFlags>,
    pub log_level: Level,
    pub log_format: Format,
    /// Given flags that have no effect, each with the reason.
    pub without_effect: Vec<(String, &'static str)>,
}

impl AlertmanagerFlags {
    /// Checks the given flags.
    ///
    /// # Errors
    /// Flags that this server does not support, or that exclude each other.
    pub fn check(args: &Args) -> Result<Self, FlagError> {
        refuse_unsupported(args)?;
        let features = Features::parse(args.text(ENABLE_FEATURE))?;
        let positive = |flag: Flag| match args.nanos(flag) {
            Some(nanos) if nanos > 0 => Ok(args.duration(flag)),
            _ => Err(FlagError::NotPositive(flag.name)),
        };
        let or_zero = |flag: Flag| {
            if args.nanos(flag).is_some_and(|nanos| nanos > 0) { args.duration(flag) } else { Duration::ZERO }
        };
        let count = |flag: Flag| usize::try_from(args.number(flag)).unwrap_or(0);
        let given = CLUSTER.iter().skip(1).chain(&[DISPATCH_MAINTENANCE]).filter(|flag| args.given(**flag));
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Ok(AlertmanagerFlags {
            config_file: args.text(CONFIG_FILE).into(),
            storage_path: args.text(STORAGE_PATH).into(),
            retention: positive(RETENTION)?,
            maintenance_interval: positive(MAINTENANCE)?,
            alert_gc_interval: positive(ALERT_GC)?,
            silences_max: count(SILENCES_MAX),
            silence_bytes_max: count(SILENCE_BYTES_MAX),
            alerts_per_name_max: count(ALERTS_PER_NAME),
            log_silences: args.has(LOG_SILENCES),
            start_delay: or_zero(START_DELAY),
            listen_addresses: args.all(LISTEN).into_iter().map(str::to_owned).collect(),
            external_url: args
                .last(EXTERNAL_URL)
                .filter(|url| !url.is_empty())
                .map(external_url)
                .transpose()?,
            route_prefix: args.last(ROUTE_PREFIX).filter(|prefix| !prefix.is_empty()).map(str::to_owned),
            web_config_file: args.last(WEB_CONFIG).filter(|file| !file.is_empty()).map(PathBuf::from),
            get_concurrency: match count(GET_CONCURRENCY) {
                0 => processors.max(8),
                given => given,
            },
            web_timeout: or_zero(WEB_TIMEOUT),
            syntax: features.syntax,
            receiver_names_in_metrics: features.receiver_names,
            alert_names_in_metrics: features.alert_names,
            tests_receivers: args.has(RECEIVER_TESTS),
            expands_variables: args.has(EXPAND_ENV),
            own: OwnSettings {
                tells_end_of_silenced: args.has(TELL_SILENCED),
                silence_reminder: Some(or_zero(REMIND_BEFORE)).filter(|before| !before.is_zero()),
                log_notifications: args.has(LOG_NOTIFICATIONS),
                history: HistoryLimits {
                    retention: positive(HISTORY_RETENTION)?,
                    bytes_max: count(HISTORY_BYTES),
                },
            },
            pair: pair(args)?,
            log_level: Level::parse(args.text(LOG_LEVEL)).unwrap_or(Level::Info),
            log_format: Format::parse(args.text(LOG_FORMAT)).unwrap_or(Format::Logfmt),
            without_effect: given
                .map(|flag| {
                    (format!("--{}", flag.name), "there is no cluster, and groups end when they are empty")
                })
                .chain(features.without_effect)
                .collect(),
        })
    }
}

/// Refuses flags of Alertmanager that would change what is promised, and that this server does not support.
fn refuse_unsupported(args: &Args) -> Result<(), FlagError> {
    if let Some(peer) = args.all(PEERS).first() {
        return Err(FlagError::Peer((*peer).to_owned()));
    }
    if !args.text(CLUSTER_TLS).is_empty() {
        return Err(FlagError::ClusterTls);
    }
    if args.has(SYSTEMD_SOCKET) {
        return Err(FlagError::SystemdSocket);
    }
    let ratio: f64 = args.text(GOMEMLIMIT_RATIO).parse().unwrap_or(f64::NAN);
    if ratio > 0.0 && ratio <= 1.0 { Ok(()) } else { Err(FlagError::Ratio) }
}

#[derive(Default)]
struct Features {
    syntax: MatcherSyntax,
    receiver_names: bool,
    alert_names: bool,
    without_effect: Vec<(String, &'static str)>,
}

impl Features {
    fn parse(text: &str) -> Result<Self, FlagError> {
        let mut features = Features::default();
        let mut set_syntax = |syntax| match std::mem::replace(&mut features.syntax, syntax) {
            before if before == MatcherSyntax::Fallback || before == syntax => Ok(()),
            _ => Err(FlagError::BothSyntaxes),
        };
        for name in text.split(',').filter(|name| !name.is_empty()) {
            match name {
                "classic-mode" => set_syntax(MatcherSyntax::Classic)?,
                "utf8-strict-mode" => set_syntax(MatcherSyntax::Utf8)?,
                "receiver-name-in-metrics" => features.receiver_names = true,
                "alert-names-in-metrics" => features.alert_names = true,
                "auto-gomemlimit" | "group-key-in-metrics" | "event-recorder" => {
                    features.without_effect.push((format!("--enable-feature={name}"), "it is not supported"));
                }
                other => return Err(FlagError::UnknownFeature(other.to_owned())),
            }
        }
        Ok(features)
    }
}

fn pair(args: &Args) -> Result<Option<PairFlags>, FlagError> {
    let url = args.text(PAIR_PEER).trim_end_matches('/');
    if url.is_empty() {
        return Ok(None);
    }
    external_url(url)?;
    let given = |flag: Flag| Some(args.text(flag)).filter(|text| !text.is_empty());
    Ok(Some(PairFlags {
        url: url.to_owned(),
        name: given(PAIR_NAME).map(str::to_owned),
        patience: args.duration(PAIR_PATIENCE),
        http_config_file: given(PAIR_HTTP).map(PathBuf::from),
    }))
}

fn external_url(text: &str) -> Result<ferula_go::url::Url, FlagError> {
    let url = ferula_go::url::Url::parse(text)
        .map_err(|error| FlagError::Url { url: text.to_owned(), why: error.to_string() })?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        scheme => Err(FlagError::Scheme { url: text.to_owned(), scheme: scheme.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::args::{Outcome, group, parse};

    static ROOT: crate::tools::args::Command = group("", "", &[crate::alertmanager::COMMAND]);

    fn check(arguments: &str) -> Result<AlertmanagerFlags, FlagError> {
        let arguments: Vec<String> =
            std::iter::once("alertmanager").chain(arguments.split_whitespace()).map(str::to_owned).collect();
        match parse("ferula", &ROOT, &arguments) {
            Outcome::Run(_, args) => AlertmanagerFlags::check(&args),
            Outcome::Wrong(error) => panic!("{error}"),
            _ => panic!("not a command"),
        }
    }

    #[test]
    fn defaults_are_alertmanagers() {
        let flags = check("").expect("good flags");
        assert_eq!(
            (flags.config_file.to_str(), flags.storage_path.to_str()),
            (Some("alertmanager.yml"), Some("data/"))
        );
        assert_eq!(flags.retention, Duration::from_secs(120 * 3600));
        assert_eq!(flags.maintenance_interval, Duration::from_secs(900));
        assert_eq!(flags.listen_addresses, [":9093"]);
        assert!(flags.get_concurrency >= 8 && flags.without_effect.is_empty());
    }

    #[test]
    fn unsupported_flags_are_refused_with_a_reason() {
        for (arguments, expected) in [
            (
                "--cluster.peer=a:9094",
                "--cluster.peer=a:9094: this server does not gossip with Alertmanagers",
            ),
            ("--enable-feature=foo", "unknown option 'foo' for --enable-feature"),
            (
                "--enable-feature=classic-mode,utf8-strict-mode",
                "classic mode and UTF-8 strict mode cannot be enabled",
            ),
            (
                "--web.external-url=ftp://x",
                "\"ftp://x\": invalid \"ftp\" scheme, only 'http' and 'https' are supported",
            ),
            ("--data.retention=0s", "data.retention: must be positive"),
            ("--web.systemd-socket", "--web.systemd-socket is not supported"),
        ] {
            let error = check(arguments).expect_err(arguments).to_string();
            assert!(error.starts_with(expected), "{error}");
        }
        let flags = check(
            "--web.listen-address=:1 --web.listen-address=:2 --enable-feature=classic-mode --cluster.label=x --cluster.listen-address=",
        );
        let flags = flags.expect("good flags");
        assert_eq!((flags.listen_addresses.len(), flags.syntax), (2, MatcherSyntax::Classic));
        assert_eq!(flags.without_effect.len(), 1);
    }
}
