//! `ferula test alerts`: replays the alerting rules of a configuration over stored history.
//!
//! Here: flags, opening the history, recorded series, exit codes. Elsewhere: the replay (`ferula_rules::backtest`), the
//! report (`report.rs`), the directory (`history.rs`).

mod report;

use std::io::{BufWriter, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use ferula_config::Config;
use ferula_config::rules::{RuleFileOptions, load_rules};
use ferula_go::Regexp;
use ferula_go::sync::MutexExt;
use ferula_model::alert::parse_rfc3339;
use ferula_model::duration::parse_millis;
use ferula_model::{Alert, AlertSink, TimeRange, UnixNanos};
use ferula_promql::{Engine, EngineOptions};
use ferula_promql_syntax::ParserOptions;
use ferula_rules::backtest::{self, Options, Progress, Reading, RecordError, Recorder};
use ferula_rules::{EngineQuery, Group, GroupContext, Metrics, RuleStore, check_template};
use ferula_runtime::{Clock, RealClock};
use ferula_telemetry::{Registry, logging};
use ferula_tsdb::BlockOptions;
use ferula_tsdb::Db;
use ferula_tsdb::tools::{Backfill, backfill_windows};

use super::args::{Args, Command, Flag, ValueKind, flag};
use super::features::{parser_options, promql_features};
use super::history::History;
use super::tsdb::new_ulid;
use crate::limits::hostname;

const FROM: Flag = flag(
    "from",
    ValueKind::Text,
    "Where to start; no alert is active before. RFC 3339, seconds since 1970, or now-30d.",
)
.required();
const TO: Flag = flag("to", ValueKind::Text, "Where to end.").default("now");
const CONFIG_FILE: Flag =
    flag("config.file", ValueKind::Text, "The configuration that names the rule files.")
        .default("prometheus.yml");
const STORAGE_PATH: Flag =
    flag("storage.tsdb.path", ValueKind::Text, "The data directory to read.").default("data/");
const RULES: Flag = flag(
    "rules",
    ValueKind::Texts,
    "Regular expression for the names of the alerts to replay. May be repeated; by default, all are replayed.",
);
const OUTPUT: Flag = flag("output", ValueKind::Word(&["text", "json"]), "The output format.").default("text");
const EPISODES: Flag =
    flag("episodes", ValueKind::Number, "How many episodes to print per rule; all are counted.")
        .default("1000");
const EVALUATE_RECORDING: Flag = flag(
    "evaluate-recording-rules",
    ValueKind::Switch,
    "Where history lacks a recorded series, evaluate its rule first, in memory.",
);
const THREADS: Flag =
    flag("threads", ValueKind::Number, "The number of threads; by default, one per processor.");
const QUIET: Flag = flag("quiet", ValueKind::Switch, "Print no progress.");
const LOOKBACK_DELTA: Flag = flag(
    "query.lookback-delta",
    ValueKind::Text,
    "The server's flag of the same name: how far its queries look back.",
)
.default("5m");
const SAMPLES_MAX: Flag =
    flag("query.max-samples", ValueKind::Number, "How many samples one evaluation may hold in memory.")
        .default("50000000");
const EXTERNAL_URL: Flag =
    flag("web.external-url", ValueKind::Text, "The server's own address, for templates that print it.");

/// `test alerts`
pub const COMMAND: Command = Command::new("alerts", ABOUT, run)
    .flags(&[
        FROM,
        TO,
        CONFIG_FILE,
        STORAGE_PATH,
        RULES,
        OUTPUT,
        EPISODES,
        EVALUATE_RECORDING,
        THREADS,
        QUIET,
        LOOKBACK_DELTA,
        SAMPLES_MAX,
        EXTERNAL_URL,
    ])
    .ours();

const ABOUT: &str = "Replay the alerting rules of a configuration over stored history, of ferula or of Prometheus, and \
    print when each alert would have been pending, fired and resolved. The directory is only read, and a server may be \
    using it. Groups run at the moments at which a server would run them that reads the rule files by the same path. \
    Exit code 0: replayed. 1: not replayed, because of wrong arguments, a wrong configuration or an unreadable directory. \
    3: replayed, but the report contains evaluations that failed.";

/// The exit code if some evaluations failed.
const SOME_FAILED: u8 = 3;

fn run(args: &Args) -> ExitCode {
    match try_run(args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(SOME_FAILED),
        Err(error) => {
            eprintln!("{}: error: {error:#}", args.program);
            ExitCode::FAILURE
        }
    }
}

/// The checked arguments.
struct Request {
    config: Config,
    from: UnixNanos,
    to: UnixNanos,
    names: Vec<Regexp>,
    json: bool,
    quiet: bool,
    evaluate_recording: bool,
    episodes: usize,
    threads: usize,
    engine: EngineOptions,
    parser: ParserOptions,
    external_url: String,
}

impl Request {
    fn read(args: &Args) -> Result<Self> {
        let file = args.text(CONFIG_FILE);
        let config = Config::load(Path::new(file)).with_context(|| format!("loading {file}"))?;
        let now = UnixNanos(RealClock::new().unix_nanos());
        let time = |flag: Flag| -> Result<UnixNanos> {
            let text = args.text(flag);
            time_of(text, now).with_context(|| format!("flag '--{}': {text:?} is not a time", flag.name))
        };
        let (from, to) = (time(FROM)?, time(TO)?);
        ensure!(from <= to, "--from is after --to");
        let features = promql_features(args);
        let parser = parser_options(&features);
        let lookback = args.text(LOOKBACK_DELTA);
        let interval_ms = config.global.evaluation_interval.as_millis();
        let engine = EngineOptions {
            max_samples: u64::try_from(args.number(SAMPLES_MAX))
                .context("--query.max-samples is negative")?,
            lookback_delta_ms: parse_millis(lookback).context("flag '--query.lookback-delta'")?,
            default_subquery_step_ms: i64::try_from(interval_ms).unwrap_or(i64::MAX),
            features,
            ..EngineOptions::default()
        };
        let count = |flag: Flag| -> Result<usize> {
            usize::try_from(args.number(flag)).with_context(|| format!("flag '--{}' is negative", flag.name))
        };
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Request {
            names: args.all(RULES).into_iter().map(Regexp::new).collect::<Result<_, _>>()?,
            json: args.text(OUTPUT) == "json",
            quiet: args.has(QUIET),
            evaluate_recording: args.has(EVALUATE_RECORDING),
            episodes: count(EPISODES)?,
            threads: if args.given(THREADS) { count(THREADS)? } else { processors },
            external_url: match args.last(EXTERNAL_URL) {
                Some(url) => url.trim_end_matches('/').to_owned(),
                None => format!("http://{}:9090", hostname()),
            },
            config,
            from,
            to,
            engine,
            parser,
        })
    }

    fn selects(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|pattern| pattern.is_match(name))
    }

    fn options<'a>(
        &self,
        db: &'a Db,
        runs: &'a (dyn Fn(&str) -> bool + Sync),
        progress: &'a (dyn Fn(Progress) + Sync),
    ) -> Options<'a> {
        Options {
            storage: db,
            engine: self.engine.clone(),
            from: self.from,
            to: self.to,
            threads: self.threads,
            episodes_max: self.episodes,
            runs,
            progress,
        }
    }
}

/// RFC 3339, seconds since 1970, or `now` minus a duration.
fn time_of(text: &str, now: UnixNanos) -> Option<UnixNanos> {
    if let Some(rest) = text.strip_prefix("now") {
        let back_ms = match rest.trim() {
            "" => 0,
            rest => parse_millis(rest.strip_prefix('-')?.trim()).ok()?,
        };
        return Some(UnixNanos(now.0.saturating_sub(back_ms.saturating_mul(1_000_000))));
    }
    if let Some(time) = parse_rfc3339(text) {
        return Some(time);
    }
    let seconds: f64 = text.parse().ok()?;
    // Within the range of 64-bit nanoseconds.
    (seconds.abs() < 9e9).then(|| UnixNanos::from_millis((seconds * 1000.0).round() as i64))
}

fn try_run(args: &Args) -> Result<bool> {
    // Failing templates are part of the report, so they are not logged as warnings.
    logging::init(logging::Level::Error, logging::Format::Logfmt);
    let request = Request::read(args)?;
    let say = |text: &str| {
        if !request.quiet {
            eprintln!("{text}");
        }
    };
    let dir = Path::new(args.text(STORAGE_PATH));
    say(&format!("reading {}", dir.display()));
    let mut history = History::open(dir)?;
    for damage in &history.damage {
        eprintln!("warning: {damage}");
    }
    let mut groups = groups(&request, &history.db)?;
    let runs = |name: &str| request.selects(name);
    let mut readings = backtest::readings(&groups, &request.options(&history.db, &runs, &|_| {}))?;
    let mut evaluated = Vec::new();
    if request.evaluate_recording {
        for level in 0..=readings.iter().map(|reading| reading.level).max().unwrap_or(0) {
            let due: Vec<&Reading> =
                readings.iter().filter(|r| !r.stored && !r.rules.is_empty() && r.level == level).collect();
            if due.is_empty() {
                continue;
            }
            for reading in &due {
                say(&format!("evaluating {}", reading.name));
                evaluated.push(reading.name.clone());
            }
            evaluate_recording(&request, &groups, &due, &history)?;
            drop(groups);
            history = history.reopened()?;
            groups = self::groups(&request, &history.db)?;
        }
        readings.retain(|reading| !evaluated.contains(&reading.name));
    }
    for warning in warnings(&readings) {
        eprintln!("warning: {warning}");
    }
    let shown = ProgressLine::new(request.quiet);
    let began = Instant::now();
    let reports = backtest::run(&groups, &request.options(&history.db, &runs, &|now| shown.show(now)));
    shown.end(began);
    let about =
        report::About { from: request.from, to: request.to, readings: &readings, evaluated: &evaluated };
    let mut out = BufWriter::new(std::io::stdout().lock());
    let written = if request.json {
        report::json(&about, &reports, &mut out)
    } else {
        report::text(&about, &reports, &mut out)
    };
    match written.and_then(|()| out.flush()) {
        // Standard output is closed, as with `| head`.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => return Err(error.into()),
        _ => {}
    }
    Ok(reports.iter().flat_map(|group| &group.rules).all(|rule| rule.failures.is_none()))
}

/// Drops all alerts: a replay sends nothing.
struct NoAlertmanager;

impl AlertSink for NoAlertmanager {
    fn send(&self, _: Vec<Alert>) {}
}

/// The groups of the configuration, reading this history.
fn groups(request: &Request, db: &Arc<Db>) -> Result<Vec<Group>> {
    let global = &request.config.global;
    let store: Arc<dyn RuleStore> = db.clone();
    let context = Arc::new(GroupContext {
        query: Arc::new(EngineQuery::new(Engine::new(request.engine.clone()), store.clone())),
        storage: store,
        alerts: Arc::new(NoAlertmanager),
        metrics: Metrics::new(&Registry::new()),
        clock: RealClock::shared(),
        parser: request.parser,
        external_labels: Arc::new(global.external_labels.0.clone()),
        external_url: request.external_url.clone().into(),
        query_offset: global.rule_query_offset,
        resend_delay: Duration::ZERO,
        concurrency: None,
    });
    let options = RuleFileOptions {
        names: global.metric_name_validation_scheme.scheme(),
        ignore_unknown_fields: false,
        parser: request.parser,
        check_template: &check_template,
    };
    let (mut groups, mut errors) = (Vec::new(), Vec::new());
    for file in request.config.rule_file_names() {
        match load_rules(Path::new(&file), &options) {
            Ok(loaded) => {
                for group in &loaded.groups {
                    let made =
                        Group::from_file(group, &file, global.evaluation_interval, true, context.clone());
                    groups.push(made.map_err(anyhow::Error::msg)?);
                }
            }
            Err(more) => errors.extend(more.texts()),
        }
    }
    ensure!(errors.is_empty(), "{}", errors.join("\n"));
    ensure!(!groups.is_empty(), "the configuration names no rules");
    Ok(groups)
}

/// Creates in-memory blocks with what recording rules would have recorded.
fn evaluate_recording(
    request: &Request,
    groups: &[Group],
    due: &[&Reading],
    history: &History,
) -> Result<()> {
    const BLOCK_MS: i64 = 24 * 3_600_000;
    let reach_ms = due.iter().map(|reading| reading.reach_ms).max().unwrap_or(0);
    let from = request.from.timestamp().saturating_add_millis(reach_ms.saturating_neg()).millis();
    let to = request.to.timestamp().millis();
    let runs = |_: &str| true;
    let options = request.options(&history.db, &runs, &|_| {});
    let places = due.iter().flat_map(|reading| &reading.rules);
    let mut recorders: Vec<Recorder<'_>> = places.map(|place| Recorder::new(groups, *place)).collect();
    for span in backfill_windows(TimeRange::from_millis(from, to), BLOCK_MS) {
        let range = TimeRange::from_millis(span.start().max(from), span.last().min(to));
        let mut block = Backfill::new(BLOCK_MS).beside_head();
        for recorder in &mut recorders {
            let mut give =
                |labels: &_, at, value| block.append(labels, at, value).with_context(|| labels.to_string());
            let failed = recorder.record(range, &options, &mut give).map_err(|error| match error {
                RecordError::Refused(error) => error,
                RecordError::Histogram(_) => anyhow!("{error}"),
            })?;
            if let Some(error) = failed {
                eprintln!("warning: {}: some evaluations failed, the first: {error}", recorder.name());
            }
        }
        block.write(history.disk(), history.dir(), new_ulid()?, &BlockOptions::default())?;
    }
    Ok(())
}

/// Warnings about recorded series that the report depends on.
fn warnings(readings: &[Reading]) -> Vec<String> {
    let warning = |reading: &Reading| {
        let (name, alerts) = (&reading.name, reading.alerts.iter().cloned().collect::<Vec<_>>().join(", "));
        match (reading.rules.is_empty(), reading.stored) {
            (true, _) => Some(format!("{name} is read from history, not from this replay, by: {alerts}")),
            (false, false) => Some(format!(
                "history has no {name} in this period, so these alerts find nothing: {alerts}; \
                 --evaluate-recording-rules evaluates it first"
            )),
            (false, true) => None,
        }
    };
    readings.iter().filter_map(warning).collect()
}

/// Progress on standard error: one changing line on a terminal, otherwise a line every few seconds.
struct ProgressLine {
    quiet: bool,
    terminal: bool,
    last: Mutex<Instant>,
}

impl ProgressLine {
    fn new(quiet: bool) -> Self {
        ProgressLine { quiet, terminal: std::io::stderr().is_terminal(), last: Mutex::new(Instant::now()) }
    }

    fn show(&self, now: Progress) {
        let every = if self.terminal { Duration::from_millis(200) } else { Duration::from_secs(5) };
        let mut last = self.last.locked();
        if self.quiet || last.elapsed() < every {
            return;
        }
        *last = Instant::now();
        let percent = now.done as f64 * 100.0 / now.all.max(1) as f64;
        let text = format!("{percent:5.1} %, {} of {} rules done", now.rules_done, now.rules);
        if self.terminal {
            eprint!("\r{text}\x1b[K");
        } else {
            eprintln!("{text}");
        }
    }

    fn end(&self, began: Instant) {
        if !self.quiet {
            let clear = if self.terminal { "\r\x1b[K" } else { "" };
            eprintln!("{clear}replayed in {:.1} s", began.elapsed().as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_forms() {
        let now = UnixNanos::from_millis(1_700_000_000_000);
        for (text, seconds) in [
            ("now", Some(1_700_000_000.0)),
            ("now-1h30m", Some(1_699_994_600.0)),
            ("now - 1d", Some(1_699_913_600.0)),
            ("2023-11-14T22:13:20Z", Some(1_700_000_000.0)),
            ("1700000000.5", Some(1_700_000_000.5)),
            ("now-", None),
            ("now+1h", None),
            ("-30d", None),
            ("1e300", None),
            ("NaN", None),
            ("yesterday", None),
        ] {
            let read = time_of(text, now).map(|time| time.0 as f64 / 1e9);
            assert_eq!(read, seconds, "{text}");
        }
    }
}
