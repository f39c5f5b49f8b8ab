//! The protobuf format: `io.prometheus.client.MetricFamily` messages, each behind its length.
//!
//! ```text
//! body ─▶ family (name, help, unit, type) ─▶ metric ─▶ samples of one metric, in the order of the text format:
//!                                                      native histogram, _count, _sum, _bucket …, custom buckets
//! ```
//!
//! Names, help texts and labels are never copied out of the body, but for a series' key, which is put together in a
//! buffer that is used again for the next ([`key`]). The labels of a series are looked at when its key is decoded, which
//! callers do for new keys only.
//!
//! Rules and texts are those of Prometheus' parser, with one exception: each histogram of a family is taken for native or
//! classic by what it has itself, where Prometheus, after a classic one, reads a native one as classic too.

mod error;
mod fields;
pub(crate) mod key;
mod message;

use std::sync::Arc;

use ferula_model::MetricType;
use ferula_model::histogram::{ClassicHistogram, CounterResetHint, HistogramValue};

use crate::entry::{Entry, ExemplarText, HistogramSample, Series};
use crate::options::PageOptions;
pub use error::MessageError;
use key::{KeyBuffer, SeriesPart};
use message::{Family, Metric};

/// How many times longer than the page all its keys together may be: a classic histogram has its labels once for all its
/// buckets. A name of a megabyte above a million empty metrics would be a terabyte.
const KEYS_PER_BODY_MAX: u64 = 256;
/// What the keys of a small page may have.
const KEYS_BYTES: u64 = 256 << 20;

/// Reads a protobuf page sample by sample.
#[derive(Clone, Debug)]
pub(crate) struct ProtobufParser<'a> {
    rest: &'a [u8],
    /// What all keys together may have.
    keys_bytes_max: u64,
    options: PageOptions,
    family: Family<'a>,
    metric: Metric<'a>,
    key: KeyBuffer,
    next: Step,
    classic: ClassicHistogram,
    exemplars: Vec<ExemplarText<'a>>,
}

/// What comes next.
#[derive(Clone, Copy, Debug)]
enum Step {
    Family,
    Help,
    Unit,
    Type,
    /// The first sample of the metric that was read.
    Metric,
    /// A sample of a summary or classic histogram: 0 is the count, 1 the sum, then quantiles or buckets.
    Part(usize),
    /// The classic histogram with custom buckets.
    CustomBuckets,
    NextMetric,
}

impl<'a> ProtobufParser<'a> {
    pub(crate) fn new(body: &'a [u8], options: PageOptions) -> Self {
        ProtobufParser {
            rest: body,
            keys_bytes_max: KEYS_BYTES + KEYS_PER_BODY_MAX.saturating_mul(body.len() as u64),
            options,
            family: Family::default(),
            metric: Metric::default(),
            key: KeyBuffer::default(),
            next: Step::Family,
            classic: ClassicHistogram::new(),
            exemplars: Vec::new(),
        }
    }

    /// The next entry; `None` at the end of the page.
    pub(crate) fn next(&mut self) -> Result<Option<Entry<'_>>, MessageError> {
        if self.key.handed_out() > self.keys_bytes_max {
            return Err(MessageError::Repeated(self.keys_bytes_max));
        }
        loop {
            match self.next {
                Step::Family => {
                    if !self.next_family()? {
                        return Ok(None);
                    }
                    self.next = Step::Help;
                }
                Step::Help => {
                    self.next = if self.family.unit.is_empty() { Step::Type } else { Step::Unit };
                    let text = std::str::from_utf8(self.family.help).unwrap_or_default().into();
                    return Ok(Some(Entry::Help { metric: self.family.name, text }));
                }
                Step::Unit => {
                    self.next = Step::Type;
                    return Ok(Some(Entry::Unit { metric: self.family.name, unit: self.family.unit }));
                }
                Step::Type => {
                    self.next = Step::Metric;
                    return Ok(Some(Entry::Type { metric: self.family.name, kind: self.family.kind }));
                }
                Step::NextMetric => {
                    let more = self.family.next_metric(&mut self.metric, &mut self.key)?;
                    self.next = if more { Step::Metric } else { Step::Family };
                }
                Step::Metric => match self.family.kind {
                    MetricType::Histogram | MetricType::GaugeHistogram => {
                        if let Some(histogram) = self.native()? {
                            return Ok(Some(self.histogram(histogram)));
                        }
                        let keep = !self.options.custom_buckets || self.options.keep_classic;
                        self.next = if keep { Step::Part(0) } else { Step::CustomBuckets };
                    }
                    MetricType::Summary => self.next = Step::Part(0),
                    _ => {
                        self.next = Step::NextMetric;
                        let value = self.metric.value;
                        return Ok(Some(self.series(SeriesPart::Whole, value, self.metric.exemplar.clone())));
                    }
                },
                Step::Part(index) => return Ok(Some(self.part(index))),
                Step::CustomBuckets => {
                    self.next = Step::NextMetric;
                    let histogram = self.custom_buckets()?;
                    return Ok(Some(self.histogram(histogram)));
                }
            }
        }
    }

    /// Goes to the next family that has a metric, and reads that; whether there is one.
    fn next_family(&mut self) -> Result<bool, MessageError> {
        loop {
            if self.rest.is_empty() {
                return Ok(false);
            }
            let message = self.delimited()?;
            self.family = Family::read(message)?;
            // The first metric is read before the family is judged: that is the order of Prometheus' errors.
            self.key.begin(self.family.name);
            if !self.family.next_metric(&mut self.metric, &mut self.key)? {
                continue;
            }
            self.family.check()?;
            return Ok(true);
        }
    }

    /// The next message and its length in front.
    fn delimited(&mut self) -> Result<&'a [u8], MessageError> {
        /// More bytes no length of 32 bits has.
        const LENGTH_BYTES_MAX: usize = 5;
        let mut length = 0u64;
        let end = self.rest.iter().take(LENGTH_BYTES_MAX).position(|byte| byte & 0x80 == 0);
        let end = end.ok_or(MessageError::Length)?;
        for (index, byte) in self.rest[..=end].iter().enumerate() {
            length |= u64::from(byte & 0x7f) << (7 * index);
        }
        let (found, needed) = (self.rest.len(), end as u64 + 1 + length);
        let too_short = MessageError::TooShort { needed, found };
        let whole = usize::try_from(needed).ok().and_then(|needed| self.rest.split_at_checked(needed));
        let (message, rest) = whole.ok_or(too_short)?;
        self.rest = rest;
        Ok(&message[end + 1..])
    }

    /// The native histogram of the metric, if it has one that is wanted. Continues with what follows it.
    fn native(&mut self) -> Result<Option<HistogramValue>, MessageError> {
        if !self.options.native_histograms || !self.metric.histogram.is_native() {
            return Ok(None);
        }
        let gauge = self.family.kind == MetricType::GaugeHistogram;
        let value = self.metric.histogram.native(gauge).map_err(|(side, required, found)| {
            let metric = String::from_utf8_lossy(self.family.name).into_owned();
            MessageError::Spans { metric, side, required, found }
        })?;
        let classic_too = self.options.keep_classic && !self.metric.histogram.buckets.is_empty();
        self.next = if classic_too { Step::Part(0) } else { Step::NextMetric };
        Ok(Some(value))
    }

    fn custom_buckets(&mut self) -> Result<HistogramValue, MessageError> {
        let histogram = &self.metric.histogram;
        self.classic.clear();
        self.classic.set_count(histogram.observations());
        self.classic.set_sum(histogram.sum);
        for bucket in &histogram.buckets {
            self.classic.set_bucket(bucket.bound, bucket.count);
        }
        let value = self.classic.convert()?;
        Ok(if self.family.kind == MetricType::GaugeHistogram { of_gauge(value) } else { value })
    }

    /// A sample of a summary or classic histogram, and what follows it.
    fn part(&mut self, index: usize) -> Entry<'_> {
        let is_summary = self.family.kind == MetricType::Summary;
        self.next = Step::Part(index + 1);
        if is_summary {
            let quantiles = &self.metric.quantiles;
            if index + 1 >= 2 + quantiles.len() && index > 0 {
                self.next = Step::NextMetric;
            }
            let (part, value) = match index.checked_sub(2).and_then(|at| quantiles.get(at)) {
                _ if index == 0 => (SeriesPart::Count, self.metric.histogram.observations()),
                Some(quantile) => (SeriesPart::Quantile(quantile.0), quantile.1),
                None => (SeriesPart::Sum, self.metric.histogram.sum),
            };
            return self.series(part, value, None);
        }
        let histogram = &self.metric.histogram;
        let count = histogram.observations();
        let (part, value, exemplar) = match index {
            0 => (SeriesPart::Count, count, None),
            1 => (SeriesPart::Sum, histogram.sum, None),
            _ => match histogram.buckets.get(index - 2) {
                Some(bucket) => (SeriesPart::Bucket(bucket.bound), bucket.count, bucket.exemplar.clone()),
                None => (SeriesPart::Bucket(f64::INFINITY), count, None),
            },
        };
        if matches!(part, SeriesPart::Bucket(f64::INFINITY)) {
            let converted =
                self.options.custom_buckets && !(self.options.native_histograms && histogram.is_native());
            self.next = if converted { Step::CustomBuckets } else { Step::NextMetric };
        }
        self.series(part, value, exemplar)
    }

    fn series<'s>(&'s mut self, part: SeriesPart, value: f64, exemplar: Option<ExemplarText<'s>>) -> Entry<'s>
    where
        'a: 's,
    {
        Entry::Series(Series {
            timestamp: self.metric.timestamp(),
            start_timestamp: self.start(),
            kind: self.family.kind,
            key: self.key.of(part),
            value,
            exemplar,
        })
    }

    fn histogram(&mut self, value: HistogramValue) -> Entry<'_> {
        let histogram = &self.metric.histogram;
        self.exemplars.clear();
        if histogram.exemplars.is_empty() {
            self.exemplars.extend(histogram.buckets.iter().filter_map(|bucket| bucket.exemplar.clone()));
        } else {
            self.exemplars.extend_from_slice(&histogram.exemplars);
        }
        // Without a time of their own they could not be told from those of the scrape before.
        self.exemplars.retain(|exemplar| exemplar.timestamp.is_some());
        Entry::Histogram(HistogramSample {
            timestamp: self.metric.timestamp(),
            start_timestamp: self.start(),
            kind: self.family.kind,
            key: self.key.of(SeriesPart::Histogram),
            value,
            exemplars: &self.exemplars,
        })
    }

    fn start(&self) -> i64 {
        let has = !matches!(self.family.kind, MetricType::Gauge | MetricType::Unknown);
        if self.options.start_timestamps && has { self.metric.start_millis } else { 0 }
    }
}

/// The histogram as one that does not only grow.
fn of_gauge(value: HistogramValue) -> HistogramValue {
    let hint = CounterResetHint::Gauge;
    match value {
        HistogramValue::Integer(mut h) => {
            Arc::make_mut(&mut h).counter_reset_hint = hint;
            HistogramValue::Integer(h)
        }
        HistogramValue::Float(mut h) => {
            Arc::make_mut(&mut h).counter_reset_hint = hint;
            HistogramValue::Float(h)
        }
    }
}
