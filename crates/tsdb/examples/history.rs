//! Generates a history over which alerts can be replayed: `cargo run --release -p ferula-tsdb --example
//! history -- DIR [DAYS]`.
//!
//! Writes blocks of 1,000 series (50 metrics of 20 instances) with one sample a minute to `DIR/data`, for
//! DAYS days (default 30) up to 20 November 2023, and 500 alerting rules about them, ten forms for each
//! metric, to `DIR/prometheus.yml` and `DIR/rules.yml`. Counters restart, and gauges follow the time of day
//! with occasional excursions, so that alerts fire, but rarely. Every run generates the same data.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use ferula_model::{LabelSet, TimeRange, Timestamp};
use ferula_tsdb::disk::{Disk, RealDisk};
use ferula_tsdb::tools::{Backfill, backfill_windows};
use ferula_tsdb::{BlockError, BlockOptions, Ulid};

const METRICS: usize = 50;
const INSTANCES: usize = 20;
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
/// The end of the history: 20 November 2023, 00:00 UTC.
const END_MS: i64 = 1_700_438_400_000;
/// The length of blocks that a server has after some compactions.
const BLOCK_MS: i64 = 18 * HOUR_MS;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let dir = args.first().ok_or("usage: history DIR [DAYS]")?;
    let days: i64 = args.get(1).map_or(Ok(30), |days| days.parse())?;
    let dir = Path::new(dir);
    std::fs::create_dir_all(dir.join("data"))?;
    std::fs::write(dir.join("rules.yml"), rules())?;
    std::fs::write(
        dir.join("prometheus.yml"),
        "global: {evaluation_interval: 1m}\nrule_files: [rules.yml]\n",
    )?;
    let samples = write_blocks(&dir.join("data"), days)?;
    println!("{samples} samples of {} series, {} rules", METRICS * INSTANCES, METRICS * 10);
    Ok(())
}

fn write_blocks(dir: &Path, days: i64) -> Result<u64, BlockError> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let mut series: Vec<Series> = (0..METRICS * INSTANCES).map(Series::new).collect();
    let (first, mut samples) = (END_MS - days * 24 * HOUR_MS, 0);
    let range = TimeRange::from_millis(first, END_MS - 1);
    for (number, span) in backfill_windows(range, BLOCK_MS).enumerate() {
        let mut block = Backfill::new(BLOCK_MS);
        for series in &mut series {
            let mut at = span.start().max(first);
            while at < span.end().min(END_MS) {
                let value = series.value(at);
                block.append(&series.labels, Timestamp::from_millis(at), value).expect("time rises");
                at += MINUTE_MS;
                samples += 1;
            }
        }
        let ulid = Ulid::new(u64::try_from(END_MS).unwrap_or(0), number as u128);
        block.write(&disk, dir, ulid, &BlockOptions::default())?;
    }
    Ok(samples)
}

/// One series over time.
struct Series {
    labels: LabelSet,
    is_counter: bool,
    random: u64,
    phase: f64,
    total: f64,
    runs_away_until: i64,
}

impl Series {
    fn new(number: usize) -> Self {
        let (metric, instance) = (number / INSTANCES, number % INSTANCES);
        let name = metric_name(metric);
        let (instance, job) = (format!("host-{instance:02}:9100"), format!("job-{}", instance % 4));
        let labels = [("__name__", name.as_str()), ("instance", &instance), ("job", &job), ("env", "prod")];
        Series {
            labels: LabelSet::from_pairs(labels),
            is_counter: metric.is_multiple_of(2),
            random: number as u64,
            phase: number as f64,
            total: 0.0,
            runs_away_until: 0,
        }
    }

    /// A random number in 0..1 (splitmix64).
    fn unit(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as f64 / u64::MAX as f64
    }

    fn value(&mut self, at: i64) -> f64 {
        // About once in ten days, for up to an hour.
        if self.unit() < 1.0 / 14_400.0 {
            self.runs_away_until = at + (self.unit() * HOUR_MS as f64) as i64;
        }
        let day = (at as f64 / (24 * HOUR_MS) as f64 * std::f64::consts::TAU + self.phase).sin();
        let level = 50.0 + 20.0 * day + 10.0 * self.unit();
        let level = if at < self.runs_away_until { level + 100.0 } else { level };
        if !self.is_counter {
            return (level * 100.0).round() / 100.0;
        }
        self.total = if self.unit() < 1e-5 { 0.0 } else { self.total + (level * 10.0).round() };
        self.total
    }
}

fn metric_name(metric: usize) -> String {
    if metric.is_multiple_of(2) { format!("work_{metric:02}_total") } else { format!("level_{metric:02}") }
}

/// Ten rules for each metric.
fn rules() -> String {
    let mut out = String::from("groups:\n");
    for metric in 0..METRICS {
        let (m, other) = (metric_name(metric), metric_name((metric + 2) % METRICS));
        let exprs = if metric.is_multiple_of(2) {
            [
                format!("rate({m}[5m]) > 20"),
                format!("sum by (job) (rate({m}[5m])) > 70"),
                format!("increase({m}[1h]) > 60000"),
                format!("sum(rate({m}[5m])) / sum(rate({other}[5m])) > 1.5"),
                format!("irate({m}[5m]) > 25"),
                format!("changes({m}[15m]) < 5"),
                format!("resets({m}[1h]) > 0"),
                format!("sum(rate({m}[5m])) < 150"),
                format!("rate({m}[5m]) > 2 * rate({m}[5m] offset 1h)"),
                format!("max by (job) (rate({m}[10m])) > 22"),
            ]
        } else {
            [
                format!("{m} > 120"),
                format!("avg_over_time({m}[10m]) > 100"),
                format!("max by (job) ({m}) > 140"),
                format!("{m} - {m} offset 1h > 60"),
                format!("avg({m}) > 70"),
                format!("count({m} > 100) > 2"),
                format!("predict_linear({m}[1h], 4 * 3600) > 250"),
                format!("{m} / on (instance, job) {other} > 3"),
                format!("absent({m})"),
                format!("min_over_time({m}[5m]) > 110"),
            ]
        };
        let _ = writeln!(out, "- name: {m}\n  rules:");
        for (number, expr) in exprs.iter().enumerate() {
            let hold = ["0s", "5m", "15m"][number % 3];
            let _ = writeln!(
                out,
                "  - alert: {m}_{number}\n    expr: {expr}\n    for: {hold}\n    labels: {{severity: page}}\n    \
                 annotations: {{summary: '{{{{ $labels.instance }}}} is at {{{{ $value }}}}'}}"
            );
        }
    }
    out
}
