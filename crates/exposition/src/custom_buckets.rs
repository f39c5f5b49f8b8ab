//! Converts classic histograms of a text page to native ones with custom buckets.
//!
//! ```text
//! # TYPE rpc histogram
//! rpc_bucket{le="1.0"} 3      ┐
//! rpc_bucket{le="+Inf"} 4     │ collected, and returned as one histogram sample `rpc` before the next line that does
//! rpc_sum 10                  │ not belong to it
//! rpc_count 4                 ┘
//! ```
//! Only series of a family with the type `histogram` are collected. Inconsistent ones are dropped.

use ferula_model::MetricType;
use ferula_model::histogram::{ClassicHistogram, ClassicPart, HistogramValue};
use ferula_model::labels::{BUCKET_LABEL, METRIC_NAME};

use crate::entry::{Entry, ExemplarText, HistogramSample, Series};
use crate::escape::{push_quoted, unescape};
use crate::key::decode;
use crate::line_parser::LineParser;
use crate::number::parse_any_float;
use crate::{LabelScratch, ParseError};

/// Reads a page and converts its classic histograms.
#[derive(Clone, Debug)]
pub(crate) struct CustomBucketsParser<'a> {
    parser: LineParser<'a>,
    /// Also return the classic series.
    keep_classic: bool,
    /// The last `# TYPE`.
    family: String,
    kind: MetricType,
    /// The histogram being collected: its name and labels.
    gathering: Option<Vec<u8>>,
    classic: ClassicHistogram,
    start_timestamp: i64,
    exemplars: Vec<ExemplarText<'a>>,
    /// The time of the series read last. Unless a comment intervenes, that is the series after the histogram, whose
    /// time the histogram gets, as in Prometheus.
    timestamp: Option<i64>,
    /// An entry to return after a histogram; the inner `None` is the end of the page.
    held: Option<Option<Entry<'a>>>,
    scratch: LabelScratch,
    key: Vec<u8>,
}

impl<'a> CustomBucketsParser<'a> {
    pub(crate) fn new(parser: LineParser<'a>, keep_classic: bool) -> Self {
        CustomBucketsParser {
            parser,
            keep_classic,
            family: String::new(),
            kind: MetricType::Unknown,
            gathering: None,
            classic: ClassicHistogram::new(),
            start_timestamp: 0,
            exemplars: Vec::new(),
            timestamp: None,
            held: None,
            scratch: LabelScratch::new(),
            key: Vec::new(),
        }
    }

    /// The next entry; `None` at the end of the page.
    pub(crate) fn next(&mut self) -> Result<Option<Entry<'_>>, ParseError> {
        loop {
            let entry = match self.held.take() {
                Some(entry) => entry,
                None => self.parser.next()?,
            };
            if let Some(Entry::Series(series)) = &entry {
                self.timestamp = series.timestamp;
            }
            if self.ends_histogram(entry.as_ref())
                && let Some(histogram) = self.take_histogram()
            {
                self.held = Some(entry);
                return Ok(Some(self.histogram(histogram)));
            }
            match entry {
                Some(Entry::Series(mut series)) => {
                    if self.gather(&mut series) && !self.keep_classic {
                        continue;
                    }
                    return Ok(Some(Entry::Series(series)));
                }
                Some(Entry::Type { metric, kind }) => {
                    self.family.clear();
                    self.family.push_str(&unescape(std::str::from_utf8(metric).unwrap_or_default(), true));
                    self.kind = kind;
                    return Ok(Some(Entry::Type { metric, kind }));
                }
                other => return Ok(other),
            }
        }
    }

    /// Whether this entry ends the histogram being collected, if any.
    fn ends_histogram(&mut self, entry: Option<&Entry<'_>>) -> bool {
        let Some(gathering) = &self.gathering else { return false };
        let Some(Entry::Series(series)) = entry else { return true };
        if self.kind != MetricType::Histogram || decode(series.key, series.kind, &mut self.scratch).is_err() {
            return true;
        }
        identity(&self.scratch) != *gathering
    }

    /// Adds a series if it belongs to a classic histogram. Returns whether it does.
    fn gather(&mut self, series: &mut Series<'a>) -> bool {
        if self.kind != MetricType::Histogram || decode(series.key, series.kind, &mut self.scratch).is_err() {
            return false;
        }
        let label = |wanted| self.scratch.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value);
        let Some((base, part)) = label(METRIC_NAME).and_then(ClassicPart::of) else { return false };
        if base != self.family {
            return false;
        }
        match part {
            ClassicPart::Bucket => {
                let bound = label(BUCKET_LABEL).and_then(|bound| parse_any_float(bound.as_bytes()).ok());
                let Some(bound) = bound.filter(|bound| !bound.is_nan()) else { return false };
                self.classic.set_bucket(bound, series.value);
            }
            ClassicPart::Count => self.classic.set_count(series.value),
            ClassicPart::Sum => self.classic.set_sum(series.value),
        }
        if self.gathering.is_none() {
            self.gathering = Some(identity(&self.scratch));
            self.start_timestamp = series.start_timestamp;
            self.exemplars.clear();
            write_key(&mut self.key, base, &self.scratch);
        }
        self.exemplars.extend(series.exemplar.take());
        true
    }

    /// Ends the collection. Returns the histogram if the series form a consistent one.
    fn take_histogram(&mut self) -> Option<HistogramValue> {
        self.gathering = None;
        let value = self.classic.convert().ok().filter(|value| value.validate().is_ok());
        self.classic.clear();
        value
    }

    fn histogram(&mut self, value: HistogramValue) -> Entry<'_> {
        // Exemplars without a timestamp could not be told from those of the previous scrape.
        self.exemplars.retain(|exemplar| exemplar.timestamp.is_some());
        Entry::Histogram(HistogramSample {
            key: &self.key,
            value,
            timestamp: self.timestamp,
            start_timestamp: self.start_timestamp,
            kind: MetricType::Histogram,
            exemplars: &self.exemplars,
        })
    }
}

/// What the series of one histogram have in common: the name without suffix, and the labels without the bound.
fn identity(labels: &LabelScratch) -> Vec<u8> {
    /// No text page contains this byte.
    const SEPARATOR: u8 = 0xff;
    let mut identity = Vec::new();
    for (name, value) in labels.iter() {
        let value = match name {
            METRIC_NAME => ClassicPart::of(value).map_or(value, |(base, _)| base),
            BUCKET_LABEL => continue,
            _ => value,
        };
        for text in [name, value] {
            identity.extend_from_slice(text.as_bytes());
            identity.push(SEPARATOR);
        }
    }
    identity
}

/// Writes the text of a series with this name and the labels without the bound.
fn write_key(key: &mut Vec<u8>, name: &str, labels: &LabelScratch) {
    let mut text = String::from_utf8(std::mem::take(key)).unwrap_or_default();
    text.clear();
    text.push('{');
    push_quoted(&mut text, name);
    for (name, value) in labels.iter().filter(|(name, _)| ![METRIC_NAME, BUCKET_LABEL].contains(name)) {
        text.push(',');
        push_quoted(&mut text, name);
        text.push('=');
        push_quoted(&mut text, value);
    }
    text.push('}');
    *key = text.into_bytes();
}

#[cfg(test)]
mod tests;
