//! `query analyze`: how many histogram buckets are in use.

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::fmt;

use anyhow::{Context, Result, bail};

use super::api::Api;
use super::value::{Metric, Stream, Value, show_metric};
use crate::tools::args::{Args, Command, Flag, ValueKind, flag, format_nanos};
use crate::tools::moment;
use crate::tools::output::{finish, print_line};

const HEADER: &str = "\
Bucket stats for each histogram series over time
------------------------------------------------
First the min, avg, and max number of populated buckets, followed by the total
number of buckets (only if different from the max number of populated buckets
which is typical for classic but not native histograms).";
const FOOTER: &str = "\
Aggregated bucket stats
-----------------------
Each line shows min/avg/max over the series above.";

const SERVER: Flag = flag("server", ValueKind::Url, "The server to query.").required();
/// `--match`
pub const MATCH: Flag = flag("match", ValueKind::Texts, "A selector of series. May be repeated.");
const TYPE: Flag = flag("type", ValueKind::Text, "What to analyze: histogram.").required();
const DURATION: Flag = flag("duration", ValueKind::Duration, "How far to look back.").default("1h");
const TIME: Flag = flag(
    "time",
    ValueKind::Text,
    "The time to look back from (RFC 3339, or seconds since 1970); now by default.",
);

/// `query analyze`
pub const COMMAND: Command = Command::new(
    "analyze",
    "Print how many buckets of histograms are in use, to find those that are too fine or too coarse.",
    |args| finish(run(args)),
)
.flags(&[SERVER, TYPE, DURATION, TIME, MATCH.required()]);

fn run(args: &Args) -> Result<()> {
    let kind = args.text(TYPE);
    if kind != "histogram" {
        bail!("analyze type is {kind}, must be 'histogram'");
    }
    let api = Api::new(args, args.text(SERVER), &BTreeMap::new())?;
    let time = match args.last(TIME).filter(|text| !text.is_empty()) {
        None => moment::now(),
        Some(text) => moment::parse(text).with_context(|| format!("error parsing time '{text}'"))?,
    };
    print_line(&format!("{HEADER}\n"))?;
    let (mut native, mut classic) = (Totals::default(), Totals::default());
    for matcher in args.all(MATCH) {
        let selector = format!("{matcher}[{}]", format_nanos(args.nanos(DURATION).unwrap_or_default()));
        let Value::Matrix(streams) = api.query(&selector, time)? else {
            bail!("query of buckets resulted in non-Matrix");
        };
        let mut by_histogram: BTreeMap<String, Vec<Stream>> = BTreeMap::new();
        for stream in streams {
            if stream.values.is_empty() {
                if let Some(stats) = native_stats(&stream) {
                    print_line(&format!("- {} (native): {stats}", show_metric(&stream.metric)))?;
                    native.add(&stats);
                }
            } else if let Some(key) = classic_key(&stream.metric) {
                by_histogram.entry(key).or_default().push(stream);
            }
        }
        for (key, buckets) in by_histogram {
            if let Some(stats) = classic_stats(buckets)? {
                print_line(&format!("- {key} (classic): {stats}"))?;
                classic.add(&stats);
            }
        }
    }
    print_line(&format!("\n{FOOTER}"))?;
    for (name, totals) in [("Native", native), ("Classic", classic)] {
        if totals.min.count > 0 {
            print_line(&format!("\n{name} {totals}"))?;
        }
    }
    Ok(())
}

/// The histogram that a bucket series belongs to.
fn classic_key(metric: &Metric) -> Option<String> {
    let name = metric.get("__name__").filter(|name| name.ends_with("_bucket"))?;
    metric.get("le")?;
    let others = metric.iter().filter(|(name, _)| !matches!(name.as_str(), "__name__" | "le"));
    let pair = |(name, value): (&String, &String)| format!("{name}={}", ferula_go::quote::go_quote(value));
    Some(format!("{name}{{{}}}", others.map(pair).collect::<Vec<_>>().join(", ")))
}

/// Buckets in use at one time, over time, and in total.
struct Stats {
    min: usize,
    avg: f64,
    max: usize,
    total: usize,
}

impl Stats {
    fn of(populated: &[usize], total: usize) -> Self {
        let sum: usize = populated.iter().sum();
        Stats {
            min: populated.iter().copied().min().unwrap_or_default(),
            avg: sum as f64 / populated.len() as f64,
            max: populated.iter().copied().max().unwrap_or_default(),
            total,
        }
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:.3}/{}", self.min, self.avg, self.max)?;
        if self.max == self.total { Ok(()) } else { write!(f, "/{}", self.total) }
    }
}

/// `None` without at least two samples.
fn native_stats(stream: &Stream) -> Option<Stats> {
    if stream.histograms.len() < 2 {
        return None;
    }
    let buckets = stream.histograms.iter().flat_map(|(_, histogram)| &histogram.buckets);
    let all: HashSet<(i64, u64, u64)> =
        buckets.map(|(kind, lower, upper, _)| (*kind, lower.to_bits(), upper.to_bits())).collect();
    let populated: Vec<usize> =
        stream.histograms.iter().map(|(_, histogram)| histogram.buckets.len()).collect();
    Some(Stats::of(&populated, all.len()))
}

fn classic_stats(mut buckets: Vec<Stream>) -> Result<Option<Stats>> {
    // The samples of the first bucket determine the times.
    let samples = buckets.first().map_or(0, |bucket| bucket.values.len());
    if samples < 2 {
        return Ok(None);
    }
    let bound =
        |stream: &Stream| stream.metric.get("le").and_then(|le| le.parse::<f64>().ok()).unwrap_or(0.0);
    buckets.sort_by(|a, b| bound(a).total_cmp(&bound(b)));
    let mut populated = Vec::with_capacity(samples);
    for at in 0..samples {
        let (mut before, mut count) = (None, 0);
        for bucket in &buckets {
            // A missing bucket counts as empty and ends this time.
            let Some((time, value)) = bucket.values.get(at) else { break };
            let inside = match before {
                Some((earlier, _)) if earlier != *time => bail!("matrix result is not time aligned"),
                Some((_, below)) => value - below,
                None => *value,
            };
            count += usize::from(inside as i64 != 0);
            before = Some((*time, *value));
        }
        populated.push(count);
    }
    Ok(Some(Stats::of(&populated, buckets.len())))
}

#[derive(Default, PartialEq)]
struct Distribution {
    min: usize,
    max: usize,
    count: usize,
    avg: f64,
}

impl Distribution {
    fn add(&mut self, number: usize) {
        self.min = if self.count == 0 { number } else { self.min.min(number) };
        self.max = self.max.max(number);
        self.count += 1;
        self.avg += number as f64 / self.count as f64 - self.avg / self.count as f64;
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:.3}/{}", self.min, self.avg, self.max)
    }
}

/// The statistics of all series.
#[derive(Default)]
struct Totals {
    min: Distribution,
    avg: Distribution,
    max: Distribution,
    total: Distribution,
}

impl Totals {
    fn add(&mut self, stats: &Stats) {
        self.min.add(stats.min);
        self.avg.add(stats.avg as usize);
        self.max.add(stats.max);
        self.total.add(stats.total);
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "histogram series ({} in total):", self.min.count)?;
        writeln!(f, "- min populated: {}", self.min)?;
        writeln!(f, "- avg populated: {}", self.avg)?;
        write!(f, "- max populated: {}", self.max)?;
        if self.max == self.total { Ok(()) } else { write!(f, "\n- total: {}", self.total) }
    }
}
