//! `tsdb dump` and `tsdb dump-openmetrics`: print every sample as a line.

use std::io::Write;

use ferula_chunk::{SampleIter, SampleValue};
use ferula_go::float::format_g;
use ferula_go::json::push_html_string;
use ferula_go::quote::go_quote;
use ferula_model::labels::METRIC_NAME;
use ferula_model::{LabelSet, Matcher, TimeRange};

use super::ToolError;
use crate::block::index::SymbolTable;
use crate::block::{BlockChunk, BlockError};
use crate::compact::{EncodeOptions, MergedSeries, SeriesSource};
use crate::ids::TimeSpan;

/// The format of lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DumpFormat {
    /// `{labels} value timestamp`
    #[default]
    Prometheus,
    /// One line per series: its labels as JSON.
    SeriesJson,
    /// `name{labels} value seconds`, floats only, with `# EOF` at the end.
    OpenMetrics,
}

/// Options of a dump.
#[derive(Clone, Debug)]
pub struct DumpOptions {
    /// Restricts it to samples in this range.
    pub range: TimeRange,
    /// Restricts it to series that match all matchers of one of these sets.
    pub matcher_sets: Vec<Vec<Matcher>>,
    /// The format of lines.
    pub format: DumpFormat,
}

impl Default for DumpOptions {
    fn default() -> Self {
        DumpOptions { range: TimeRange::ALL, matcher_sets: Vec::new(), format: DumpFormat::default() }
    }
}

/// Prints the content of the sources in the order of labels and time, without duplicates.
pub fn dump(
    sources: Vec<Box<dyn SeriesSource + '_>>,
    options: &DumpOptions,
    out: &mut dyn Write,
) -> Result<(), ToolError> {
    let (mut series, symbols) =
        MergedSeries::begin(sources, TimeSpan::from(options.range), EncodeOptions::default())?;
    let (mut numbers, mut chunks) = (Vec::new(), Vec::new());
    while series.next(&mut numbers, &mut chunks)? {
        let labels = labels_of(&symbols, &numbers);
        let wanted = |set: &Vec<Matcher>| set.iter().all(|m| m.matches(labels.value(&m.name)));
        if !options.matcher_sets.is_empty() && !options.matcher_sets.iter().any(wanted) {
            continue;
        }
        match options.format {
            DumpFormat::SeriesJson => writeln!(out, "{}", json_of(&labels))?,
            DumpFormat::Prometheus => {
                let prefix = labels.to_string();
                each_sample(&chunks, |t, value| {
                    match value {
                        SampleValue::Float(v) => writeln!(out, "{prefix} {} {t}", format_g(*v)),
                        SampleValue::Histogram(h) => writeln!(out, "{prefix} {h} {t}"),
                        SampleValue::FloatHistogram(h) => writeln!(out, "{prefix} {h} {t}"),
                    }
                    .map_err(ToolError::Output)
                })?;
            }
            DumpFormat::OpenMetrics => {
                let prefix = condensed(&labels);
                each_sample(&chunks, |t, value| {
                    if let SampleValue::Float(v) = value {
                        writeln!(out, "{prefix} {} {:.3}", format_g(*v), t as f64 / 1000.0)?;
                    }
                    Ok(())
                })?;
            }
        }
    }
    if options.format == DumpFormat::OpenMetrics {
        writeln!(out, "# EOF")?;
    }
    Ok(())
}

fn labels_of(symbols: &SymbolTable, numbers: &[(u32, u32)]) -> LabelSet {
    let text = |number| symbols.get(number).unwrap_or("");
    LabelSet::from_pairs(numbers.iter().map(|(name, value)| (text(*name), text(*value))))
}

fn each_sample(
    chunks: &[BlockChunk],
    mut visit: impl FnMut(i64, &SampleValue) -> Result<(), ToolError>,
) -> Result<(), ToolError> {
    let corrupt = |corrupt: ferula_chunk::Corrupt| BlockError::Refused(corrupt.to_string());
    for chunk in chunks {
        for sample in SampleIter::new(chunk.encoding, &chunk.data).map_err(corrupt)? {
            let sample = sample.map_err(corrupt)?;
            visit(sample.timestamp, &sample.value)?;
        }
    }
    Ok(())
}

/// Name and labels without spaces; label names are not quoted.
fn condensed(labels: &LabelSet) -> String {
    let pairs: Vec<String> = labels
        .iter()
        .filter(|(name, _)| *name != METRIC_NAME)
        .map(|(name, value)| format!("{name}={}", go_quote(value)))
        .collect();
    format!("{}{{{}}}", labels.metric_name(), pairs.join(","))
}

/// A JSON object of names and values; as in Go, special characters of HTML are escaped.
fn json_of(labels: &LabelSet) -> String {
    let mut out = String::from("{");
    for (name, value) in labels.iter() {
        if out.len() > 1 {
            out.push(',');
        }
        push_html_string(&mut out, name);
        out.push(':');
        push_html_string(&mut out, value);
    }
    out.push('}');
    out
}
