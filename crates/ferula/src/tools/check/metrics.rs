//! `check metrics`: lints a page from standard input, and counts the series of its metrics.

use std::io::Read;
use std::process::ExitCode;

use ferula_exposition::families::{Family, parse_families};
use ferula_model::MetricType;
use ferula_model::labels::NameScheme;

use super::flags;
use super::lint::problems;
use super::rules::EXIT_LINT;
use crate::tools::args::Args;

/// Runs the command.
pub fn run(args: &Args) -> ExitCode {
    let (extended, lint) = (args.has(flags::EXTENDED), args.text(flags::METRICS_LINT) != "none");
    if !extended && !lint {
        eprintln!(
            "error: at least one of --extended or linting must be enabled\n\
             Use --extended for cardinality analysis, or remove --lint=none to enable linting"
        );
        return ExitCode::FAILURE;
    }
    let what = if lint { "error while linting" } else { "error while parsing text to metric families" };
    let mut page = Vec::new();
    let read = std::io::stdin().read_to_end(&mut page).map_err(|error| error.to_string());
    // Linting only supports legacy names, as in Prometheus.
    let names = if lint { NameScheme::Legacy } else { NameScheme::Utf8 };
    let families = match read.and_then(|_| parse_families(&page, names).map_err(|error| error.to_string())) {
        Ok(families) => families,
        Err(error) => {
            eprintln!("{what}: {error}");
            return ExitCode::FAILURE;
        }
    };
    let found = if lint { problems(&families) } else { Vec::new() };
    for (metric, text) in &found {
        eprintln!("{metric} {text}");
    }
    if extended {
        print!("{}", cardinalities(&families));
    }
    if found.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_LINT) }
}

/// A table of metrics by their number of series.
fn cardinalities(families: &[Family]) -> String {
    let mut counts: Vec<(&str, usize)> =
        families.iter().map(|family| (family.name.as_str(), series(family))).collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let total: usize = counts.iter().map(|(_, count)| count).sum();
    let share = |count: usize| format!("{:.2}%", count as f64 / total as f64 * 100.0);
    let mut rows = vec![["Metric".to_owned(), "Cardinality".to_owned(), "Percentage".to_owned()]];
    rows.extend(counts.iter().map(|(name, count)| [(*name).to_owned(), count.to_string(), share(*count)]));
    rows.push(["Total".to_owned(), total.to_string(), "100%".to_owned()]);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0) + 4;
    let widths = [width(0), width(1), width(2)];
    let mut out = String::new();
    for row in &rows {
        for (cell, width) in row.iter().zip(widths) {
            out.push_str(&format!("{cell:width$}"));
        }
        out.push('\n');
    }
    out
}

/// The number of series of a family, assuming that all its metrics have as many as the first.
fn series(family: &Family) -> usize {
    let parts = family.metrics.first().map_or(0, |metric| metric.parts.len());
    match family.kind {
        MetricType::Histogram | MetricType::Summary => family.metrics.len() * (2 + parts),
        _ => family.metrics.len(),
    }
}
