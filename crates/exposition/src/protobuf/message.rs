//! The messages of a page: family, metric, and the parts of a metric. Field numbers are those of `metrics.proto`.
//!
//! Repeated fields are treated as in Go's generated decoders: the last number is used, and nested messages are merged.

use std::sync::Arc;

use ferula_go::protobuf::{ProtobufError, Reader};
use ferula_model::MetricType;
use ferula_model::histogram::{CounterResetHint, FloatHistogram, Histogram, HistogramValue, Span};

use super::error::MessageError;
use super::fields::each_field;
use super::key::{KeyBuffer, read_label};
use crate::entry::{ExemplarLabels, ExemplarText};

/// A family without its metrics.
#[derive(Clone, Debug, Default)]
pub(super) struct Family<'a> {
    pub(super) name: &'a [u8],
    pub(super) help: &'a [u8],
    pub(super) unit: &'a [u8],
    pub(super) kind: MetricType,
    type_number: i32,
    /// Where the search for metrics continues.
    rest: &'a [u8],
}

impl<'a> Family<'a> {
    pub(super) fn read(message: &'a [u8]) -> Result<Self, ProtobufError> {
        let mut family = Family { rest: message, ..Family::default() };
        each_field(message, |number, value| {
            match number {
                1 => family.name = value.bytes("Name")?,
                2 => family.help = value.bytes("Help")?,
                3 => family.type_number = value.uint("Type")? as i32,
                4 => drop(value.bytes("Metric")?),
                5 => family.unit = value.bytes("Unit")?,
                _ => {}
            }
            Ok::<_, ProtobufError>(())
        })?;
        family.kind = match family.type_number {
            0 => MetricType::Counter,
            1 => MetricType::Gauge,
            2 => MetricType::Summary,
            4 => MetricType::Histogram,
            5 => MetricType::GaugeHistogram,
            _ => MetricType::Unknown,
        };
        Ok(family)
    }

    /// Validates name, help and type.
    pub(super) fn check(&self) -> Result<(), MessageError> {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        if self.name.is_empty() || std::str::from_utf8(self.name).is_err() {
            return Err(MessageError::MetricName(text(self.name)));
        }
        if std::str::from_utf8(self.help).is_err() {
            return Err(MessageError::Help { metric: text(self.name), help: text(self.help) });
        }
        if !(0..=5).contains(&self.type_number) {
            return Err(MessageError::Type { metric: text(self.name), number: self.type_number });
        }
        Ok(())
    }

    /// Reads the next metric into `metric` and its labels into `key`. Returns whether there is one.
    pub(super) fn next_metric(
        &mut self,
        metric: &mut Metric<'a>,
        key: &mut KeyBuffer,
    ) -> Result<bool, ProtobufError> {
        let mut reader = Reader::new(self.rest);
        while let Some((number, value)) = reader.field()? {
            if number == 4 {
                self.rest = reader.rest();
                metric.read(value.bytes("Metric")?, self.kind, key)?;
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// One metric, without its labels.
#[derive(Clone, Debug, Default)]
pub(super) struct Metric<'a> {
    /// Of a counter, gauge or untyped metric.
    pub(super) value: f64,
    pub(super) exemplar: Option<ExemplarText<'a>>,
    /// Quantile and value.
    pub(super) quantiles: Vec<(f64, f64)>,
    /// Also holds the count and sum of a summary.
    pub(super) histogram: HistogramMessage<'a>,
    pub(super) start_millis: i64,
    timestamp_millis: i64,
}

impl<'a> Metric<'a> {
    /// Its own timestamp; 0 means none, as in Prometheus.
    pub(super) fn timestamp(&self) -> Option<i64> {
        Some(self.timestamp_millis).filter(|millis| *millis != 0)
    }

    /// Replaces the previous metric and keeps its buffers.
    fn read(
        &mut self,
        message: &'a [u8],
        kind: MetricType,
        key: &mut KeyBuffer,
    ) -> Result<(), ProtobufError> {
        self.value = 0.0;
        self.exemplar = None;
        self.quantiles.clear();
        self.histogram.clear();
        self.start_millis = 0;
        self.timestamp_millis = 0;
        key.clear_labels();
        let mut reader = Reader::new(message);
        let at = |reader: &Reader<'_>| message.len() - reader.rest().len();
        // Labels are nearly always adjacent, and then form one piece of the key.
        let mut labels = 0..0;
        loop {
            let start = at(&reader);
            let Some((number, value)) = reader.field()? else { break };
            // Parts that the family's type does not use are read anyway, for their errors.
            let wanted = |of: &[MetricType]| of.contains(&kind);
            match number {
                1 => {
                    value.bytes("Label")?;
                    if labels.end != start {
                        key.push_labels(&message[labels]);
                        labels = start..start;
                    }
                    labels.end = at(&reader);
                }
                2 => self.number(value.bytes("Gauge")?, wanted(&[MetricType::Gauge]))?,
                3 => self.counter(value.bytes("Counter")?, wanted(&[MetricType::Counter]))?,
                4 => self.summary(value.bytes("Summary")?, wanted(&[MetricType::Summary]))?,
                5 => self.number(value.bytes("Untyped")?, wanted(&[MetricType::Unknown]))?,
                6 => self.timestamp_millis = value.int("TimestampMs")?,
                7 => {
                    let bytes = value.bytes("Histogram")?;
                    if wanted(&[MetricType::Histogram, MetricType::GaugeHistogram]) {
                        self.histogram.read(bytes, &mut self.start_millis)?;
                    } else {
                        HistogramMessage::default().read(bytes, &mut 0)?;
                    }
                }
                _ => {}
            }
        }
        key.push_labels(&message[labels]);
        Ok(())
    }

    /// A gauge or an untyped metric.
    fn number(&mut self, message: &'a [u8], wanted: bool) -> Result<(), ProtobufError> {
        each_field(message, |number, value| {
            if number == 1 {
                let value = value.double("Value")?;
                if wanted {
                    self.value = value;
                }
            }
            Ok(())
        })
    }

    fn counter(&mut self, message: &'a [u8], wanted: bool) -> Result<(), ProtobufError> {
        let (mut number, mut exemplar, mut start) = (None, None, None);
        each_field(message, |field, value| {
            match field {
                1 => number = Some(value.double("Value")?),
                2 => exemplar = Some(read_exemplar(value.bytes("Exemplar")?)?),
                3 => start = Some(read_time(value.bytes("StartTimestamp")?)?),
                _ => {}
            }
            Ok::<_, ProtobufError>(())
        })?;
        if wanted {
            self.value = number.unwrap_or(self.value);
            self.exemplar = exemplar.or_else(|| self.exemplar.take());
            self.start_millis = start.unwrap_or(self.start_millis);
        }
        Ok(())
    }

    fn summary(&mut self, message: &'a [u8], wanted: bool) -> Result<(), ProtobufError> {
        each_field(message, |field, value| {
            match field {
                1 => {
                    let count = value.uint("SampleCount")?;
                    if wanted {
                        self.histogram.count = count;
                    }
                }
                2 => {
                    let sum = value.double("SampleSum")?;
                    if wanted {
                        self.histogram.sum = sum;
                    }
                }
                3 => {
                    let quantile = read_pair(value.bytes("Quantile")?, ["Quantile", "Value"])?;
                    if wanted {
                        self.quantiles.push(quantile);
                    }
                }
                4 => {
                    let start = read_time(value.bytes("StartTimestamp")?)?;
                    if wanted {
                        self.start_millis = start;
                    }
                }
                _ => {}
            }
            Ok(())
        })
    }
}

/// A histogram, classic and native.
#[derive(Clone, Debug, Default)]
pub(super) struct HistogramMessage<'a> {
    count: u64,
    count_float: f64,
    pub(super) sum: f64,
    pub(super) buckets: Vec<BucketMessage<'a>>,
    schema: i32,
    zero_threshold: f64,
    zero_count: u64,
    zero_count_float: f64,
    negative: Side,
    positive: Side,
    /// Those of the native histogram.
    pub(super) exemplars: Vec<ExemplarText<'a>>,
}

/// Buckets on one side of zero.
#[derive(Clone, Debug, Default)]
struct Side {
    spans: Vec<Span>,
    deltas: Vec<i64>,
    counts: Vec<f64>,
}

/// A classic bucket.
#[derive(Clone, Debug, Default)]
pub(super) struct BucketMessage<'a> {
    pub(super) bound: f64,
    /// Cumulative.
    pub(super) count: f64,
    pub(super) exemplar: Option<ExemplarText<'a>>,
}

impl<'a> HistogramMessage<'a> {
    /// Forgets everything but the buffers.
    fn clear(&mut self) {
        self.buckets.clear();
        self.exemplars.clear();
        self.negative.clear();
        self.positive.clear();
        (self.count, self.count_float, self.sum) = (0, 0.0, 0.0);
        (self.schema, self.zero_threshold, self.zero_count, self.zero_count_float) = (0, 0.0, 0, 0.0);
    }

    fn read(&mut self, message: &'a [u8], start_millis: &mut i64) -> Result<(), ProtobufError> {
        each_field(message, |number, value| {
            match number {
                1 => self.count = value.uint("SampleCount")?,
                2 => self.sum = value.double("SampleSum")?,
                3 => self.buckets.push(read_bucket(value.bytes("Bucket")?)?),
                4 => self.count_float = value.double("SampleCountFloat")?,
                5 => self.schema = value.sint("Schema")? as i32,
                6 => self.zero_threshold = value.double("ZeroThreshold")?,
                7 => self.zero_count = value.uint("ZeroCount")?,
                8 => self.zero_count_float = value.double("ZeroCountFloat")?,
                9 => self.negative.spans.push(read_span(value.bytes("NegativeSpan")?)?),
                10 => value.extend_sints("NegativeDelta", &mut self.negative.deltas)?,
                11 => value.extend_doubles("NegativeCount", &mut self.negative.counts)?,
                12 => self.positive.spans.push(read_span(value.bytes("PositiveSpan")?)?),
                13 => value.extend_sints("PositiveDelta", &mut self.positive.deltas)?,
                14 => value.extend_doubles("PositiveCount", &mut self.positive.counts)?,
                15 => *start_millis = read_time(value.bytes("StartTimestamp")?)?,
                16 => self.exemplars.push(read_exemplar(value.bytes("Exemplars")?)?),
                _ => {}
            }
            Ok(())
        })
    }

    /// How many observations there were, as a float.
    pub(super) fn observations(&self) -> f64 {
        if self.count_float == 0.0 { self.count as f64 } else { self.count_float }
    }

    /// Whether it has native buckets. One without observations has none but an empty span, which says so.
    pub(super) fn is_native(&self) -> bool {
        !self.positive.spans.is_empty()
            || !self.negative.spans.is_empty()
            || self.zero_threshold > 0.0
            || self.zero_count > 0
    }

    /// The native histogram.
    ///
    /// # Errors
    /// The side whose spans have not as many buckets as there are counts, how many they have, and how many there are.
    pub(super) fn native(&self, gauge: bool) -> Result<HistogramValue, (&'static str, u64, usize)> {
        let counter_reset_hint = if gauge { CounterResetHint::Gauge } else { CounterResetHint::Unknown };
        if self.count_float > 0.0 || self.zero_count_float > 0.0 {
            check_spans("positive", &self.positive.spans, self.positive.counts.len())?;
            check_spans("negative", &self.negative.spans, self.negative.counts.len())?;
            let mut histogram = FloatHistogram {
                counter_reset_hint,
                schema: self.schema,
                zero_threshold: self.zero_threshold,
                zero_count: self.zero_count_float,
                count: self.count_float,
                sum: self.sum,
                positive_spans: self.positive.spans.clone(),
                negative_spans: self.negative.spans.clone(),
                positive_buckets: self.positive.counts.clone(),
                negative_buckets: self.negative.counts.clone(),
                custom_values: None,
            };
            histogram.compact(0);
            return Ok(HistogramValue::Float(Arc::new(histogram)));
        }
        check_spans("positive", &self.positive.spans, self.positive.deltas.len())?;
        check_spans("negative", &self.negative.spans, self.negative.deltas.len())?;
        let mut histogram = Histogram {
            counter_reset_hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count,
            count: self.count,
            sum: self.sum,
            positive_spans: self.positive.spans.clone(),
            negative_spans: self.negative.spans.clone(),
            positive_buckets: self.positive.deltas.clone(),
            negative_buckets: self.negative.deltas.clone(),
            custom_values: None,
        };
        histogram.compact(0);
        Ok(HistogramValue::Integer(Arc::new(histogram)))
    }
}

impl Side {
    fn clear(&mut self) {
        self.spans.clear();
        self.deltas.clear();
        self.counts.clear();
    }
}

fn check_spans(side: &'static str, spans: &[Span], found: usize) -> Result<(), (&'static str, u64, usize)> {
    let required = spans.iter().map(|span| u64::from(span.length)).sum();
    if required == found as u64 { Ok(()) } else { Err((side, required, found)) }
}

fn read_bucket(message: &[u8]) -> Result<BucketMessage<'_>, ProtobufError> {
    let mut bucket = BucketMessage::default();
    let mut count = 0;
    each_field(message, |number, value| {
        match number {
            1 => count = value.uint("CumulativeCount")?,
            2 => bucket.bound = value.double("UpperBound")?,
            3 => bucket.exemplar = Some(read_exemplar(value.bytes("Exemplar")?)?),
            4 => bucket.count = value.double("CumulativeCountFloat")?,
            _ => {}
        }
        Ok::<_, ProtobufError>(())
    })?;
    if bucket.count == 0.0 {
        bucket.count = count as f64;
    }
    Ok(bucket)
}

fn read_span(message: &[u8]) -> Result<Span, ProtobufError> {
    let mut span = Span { offset: 0, length: 0 };
    each_field(message, |number, value| {
        match number {
            1 => span.offset = value.sint("Offset")? as i32,
            2 => span.length = value.uint("Length")? as u32,
            _ => {}
        }
        Ok::<_, ProtobufError>(())
    })?;
    Ok(span)
}

/// A message of two doubles.
fn read_pair(message: &[u8], names: [&'static str; 2]) -> Result<(f64, f64), ProtobufError> {
    let mut pair = (0.0, 0.0);
    each_field(message, |number, value| {
        match number {
            1 => pair.0 = value.double(names[0])?,
            2 => pair.1 = value.double(names[1])?,
            _ => {}
        }
        Ok::<_, ProtobufError>(())
    })?;
    Ok(pair)
}

/// A `google.protobuf.Timestamp` in milliseconds, truncated.
fn read_time(message: &[u8]) -> Result<i64, ProtobufError> {
    let (mut seconds, mut nanos) = (0i64, 0i32);
    each_field(message, |number, value| {
        match number {
            1 => seconds = value.int("Seconds")?,
            2 => nanos = value.int("Nanos")? as i32,
            _ => {}
        }
        Ok::<_, ProtobufError>(())
    })?;
    Ok(seconds.wrapping_mul(1000).wrapping_add(i64::from(nanos / 1_000_000)))
}

/// An exemplar; its labels stay as they are in the message, which is checked.
fn read_exemplar(message: &[u8]) -> Result<ExemplarText<'_>, ProtobufError> {
    let mut exemplar =
        ExemplarText { labels: ExemplarLabels::Protobuf(message), value: 0.0, timestamp: None };
    each_field(message, |number, value| {
        match number {
            1 => drop(read_label(value.bytes("Label")?)?),
            2 => exemplar.value = value.double("Value")?,
            3 => exemplar.timestamp = Some(read_time(value.bytes("Timestamp")?)?),
            _ => {}
        }
        Ok::<_, ProtobufError>(())
    })?;
    Ok(exemplar)
}
