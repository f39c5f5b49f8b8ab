//! `tsdb create-blocks-from rules`: queries a server for what recording rules would have recorded, and creates blocks
//! from it.
//!
//! Each rule gets its own blocks, one for every two hours (or what `--max-block-duration` allows). Rules are evaluated
//! at the times at which the server would have evaluated their group.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use ferula_config::rules::{Rule, RuleFileOptions, RuleGroup, load_rules};
use ferula_model::labels::NameScheme;
use ferula_model::{LabelSet, TimeRange, Timestamp, UnixNanos};
use ferula_promql_syntax::parse;
use ferula_rules::{check_template, slot_before};
use ferula_telemetry::{info, logging, warn};
use ferula_tsdb::BlockOptions;
use ferula_tsdb::tools::{Backfill, backfill_windows};
use time::OffsetDateTime;

use super::data_dir::disk;
use super::new_blocks::{block_duration_ms, new_ulid};
use crate::tools::args::{Args, Argument, Command, Flag, ValueKind, argument, flag};
use crate::tools::features::{parser_options, promql_features};
use crate::tools::output::finish;
use crate::tools::query::api::Api;
use crate::tools::query::value::{Metric, Value};
use crate::tools::{http, moment};

const NANOS: i64 = 1_000_000_000;
/// The server may still be writing newer samples.
const AGE_MIN: i64 = 3 * 3600 * NANOS;

const URL: Flag = flag("url", ValueKind::Url, "The server that has the samples which the rules read.")
    .default("http://localhost:9090");
const START: Flag =
    flag("start", ValueKind::Text, "The start of the period to record (RFC 3339, or seconds since 1970).")
        .required();
const END: Flag = flag(
    "end",
    ValueKind::Text,
    "The end of the period to record (RFC 3339, or seconds since 1970); by default, three hours ago, as the server may still be \
     writing what is younger.",
);
const OUTPUT_DIR: Flag = flag("output-dir", ValueKind::Text, "Where to put the blocks.").default("data/");
const EVAL_INTERVAL: Flag =
    flag("eval-interval", ValueKind::Duration, "The interval of groups that do not set one.").default("60s");
const RULE_FILES: Argument = argument(
    "rule-files",
    ValueKind::Files,
    "Rule files; all their recording rules are evaluated, alerting rules are skipped.",
)
.required();

/// `tsdb create-blocks-from rules`
pub const COMMAND: Command = Command::new(
    "rules",
    "Create blocks with what recording rules would have recorded, had they existed earlier.",
    |args| finish(run(args)),
)
.flags(&[http::CONFIG_FILE, URL, START, END, OUTPUT_DIR, EVAL_INTERVAL])
.arguments(&[RULE_FILES]);

/// The period to fill, and the server to query.
struct Import<'a> {
    api: Api,
    args: &'a Args,
    /// Whole seconds.
    start: i64,
    end: i64,
    block_duration_ms: i64,
}

fn run(args: &Args) -> Result<()> {
    logging::init(logging::Level::Info, logging::Format::Logfmt);
    let end = match moment::given(args.last(END), "end")? {
        Some(end) => end,
        None => UnixNanos(moment::now().0 - AGE_MIN),
    };
    let start = moment::parse(args.text(START)).context("error parsing start time")?;
    if start >= end {
        bail!("start time is not before end time");
    }
    let api = Api::new(args, args.text(URL), &BTreeMap::new()).context("new api client error")?;
    info!("new rule importer", component = "backfiller", start = shown(start), end = shown(end));
    let groups = load(args)?;
    let import = Import {
        api,
        args,
        start: start.0.div_euclid(NANOS),
        end: end.0.div_euclid(NANOS),
        block_duration_ms: block_duration_ms(args),
    };
    let mut failed = false;
    for (file, group) in &groups {
        info!("processing group", component = "backfiller", name = format!("{file};{}", &*group.name));
        for (id, rule) in group.rules.iter().enumerate().filter(|(_, rule)| !rule.is_alert()) {
            info!("processing rule", component = "backfiller", id = id, name = rule.name());
            if let Err(error) = import.rule(file, group, rule) {
                eprintln!("rule importer error: {error:#}");
                failed = true;
            }
        }
    }
    if failed { bail!("error importing rules") } else { Ok(()) }
}

/// `20 Nov 26 22:05 UTC`
fn shown(moment: UnixNanos) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let Ok(time) = OffsetDateTime::from_unix_timestamp(moment.0.div_euclid(NANOS)) else {
        return String::new();
    };
    let month = MONTHS[usize::from(u8::from(time.month())) - 1];
    format!("{:02} {month} {:02} {:02}:{:02} UTC", time.day(), time.year() % 100, time.hour(), time.minute())
}

/// All groups of all files.
fn load(args: &Args) -> Result<Vec<(String, RuleGroup)>> {
    let options = RuleFileOptions {
        names: NameScheme::Utf8,
        ignore_unknown_fields: false,
        parser: parser_options(&promql_features(args)),
        check_template: &check_template,
    };
    let mut groups = Vec::new();
    for file in args.arguments(RULE_FILES) {
        let loaded = load_rules(Path::new(file), &options).map_err(|errors| {
            anyhow!("rule importer parse error: {}", errors.texts().next().unwrap_or_default())
        })?;
        groups.extend(loaded.groups.into_iter().map(|group| (file.to_owned(), group)));
    }
    Ok(groups)
}

impl Import<'_> {
    /// Creates the blocks of one rule.
    fn rule(&self, file: &str, group: &RuleGroup, rule: &Rule) -> Result<()> {
        let options = parser_options(&promql_features(self.args));
        let expr = parse(&rule.expr, &options).map_err(|error| anyhow!("{error}"))?.to_string();
        let interval = match group.interval {
            Duration::ZERO => self.args.duration(EVAL_INTERVAL),
            interval => interval,
        };
        let step = i64::try_from(interval.as_nanos()).unwrap_or(i64::MAX);
        let range = TimeRange::from_millis(self.start * 1000, self.end * 1000);
        for span in backfill_windows(range, self.block_duration_ms) {
            let first = (span.start() / 1000).max(self.start);
            let mut begin = slot_before(file, &group.name, interval, UnixNanos(first * NANOS));
            while begin.0.div_euclid(NANOS) < first {
                begin = begin.plus(interval);
            }
            let end = UnixNanos((span.last() / 1000).min(self.end) * NANOS);
            if end < begin {
                break;
            }
            let (value, warnings) =
                self.api.query_range_with_warnings(&expr, begin, end, step).context("query range")?;
            if !warnings.is_empty() {
                warn!("Range query returned warnings.", warnings = format!("[{}]", warnings.join(" ")));
            }
            self.block(&value, group, rule)?;
        }
        Ok(())
    }

    /// Creates one block from a result.
    fn block(&self, value: &Value, group: &RuleGroup, rule: &Rule) -> Result<()> {
        let Value::Matrix(streams) = value else { bail!("rule result is wrong type {}", value.kind()) };
        let mut samples = Backfill::new(self.block_duration_ms);
        for stream in streams {
            let labels = labels_of(&stream.metric, group, rule);
            for (seconds, value) in &stream.values {
                let timestamp = Timestamp::from_millis((seconds * 1000.0).round() as i64);
                samples.append(&labels, timestamp, *value).context("add: multiappender append")?;
            }
        }
        let dir = Path::new(self.args.text(OUTPUT_DIR));
        std::fs::create_dir_all(dir).with_context(|| format!("new block writer: mkdir {}", dir.display()))?;
        let written = samples.write(&disk(), dir, new_ulid()?, &BlockOptions::default());
        written.context("flush and commit: multiappender flush")?;
        Ok(())
    }
}

/// The rule's own labels take precedence over those of the result, and its name over everything.
fn labels_of(metric: &Metric, group: &RuleGroup, rule: &Rule) -> LabelSet {
    let mut labels = LabelSet::from_pairs(metric).to_builder();
    for (name, value) in
        group.labels.iter().filter(|(name, _)| !rule.labels.contains_key(*name)).chain(&rule.labels)
    {
        labels.set(name, value);
    }
    labels.set("__name__", rule.name());
    labels.finish()
}
