//! The message of remote write 1.0 (`prometheus.WriteRequest`), parsed field by field without copying.
//!
//! Field numbers are those of `prompb/types.proto` and `prompb/remote.proto` of Prometheus.

use std::sync::Arc;

use ferula_model::{
    CounterResetHint, Exemplar, FloatHistogram, Histogram, HistogramValue, LabelSet, Span, Timestamp,
};

use crate::protobuf::{ProtobufError, Reader, Value};

/// A label as sent: name and value, which may not be valid UTF-8.
pub type RawLabel<'a> = (&'a [u8], &'a [u8]);

/// The series of a request, in order. As in Prometheus, metadata is parsed, so that malformed bytes are
/// noticed, but not kept.
pub struct WriteRequest<'a> {
    fields: Reader<'a>,
}

impl<'a> WriteRequest<'a> {
    /// Wraps a decompressed request.
    pub fn new(message: &'a [u8]) -> Self {
        WriteRequest { fields: Reader::new(message) }
    }

    /// The next series.
    pub fn next_series(&mut self) -> Result<Option<TimeSeries<'a>>, ProtobufError> {
        while let Some((number, value)) = self.fields.field()? {
            match number {
                1 => return Ok(Some(TimeSeries { message: value.bytes("WriteRequest.timeseries")? })),
                3 => check_metadata(value.bytes("WriteRequest.metadata")?)?,
                _ => {}
            }
        }
        Ok(None)
    }
}

fn check_metadata(message: &[u8]) -> Result<(), ProtobufError> {
    let mut reader = Reader::new(message);
    while let Some((number, value)) = reader.field()? {
        match number {
            1 => drop(value.uint("MetricMetadata.type")?),
            2 => drop(value.bytes("MetricMetadata.metric_family_name")?),
            4 => drop(value.bytes("MetricMetadata.help")?),
            5 => drop(value.bytes("MetricMetadata.unit")?),
            _ => {}
        }
    }
    Ok(())
}

/// One series with its samples.
#[derive(Clone, Copy)]
pub struct TimeSeries<'a> {
    message: &'a [u8],
}

/// A field of a series other than a label.
pub enum Item<'a> {
    /// A float sample.
    Sample(Times, f64),
    /// A histogram sample.
    Histogram(Times, HistogramValue),
    /// An exemplar, not yet parsed.
    Exemplar(&'a [u8]),
}

/// Timestamps of a sample, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    pub at: i64,
    /// Start timestamp, or 0; only 2.0 has it.
    pub start: i64,
}

impl<'a> TimeSeries<'a> {
    /// Over the message of one series.
    pub fn new(message: &'a [u8]) -> Self {
        TimeSeries { message }
    }

    /// Its bytes.
    pub fn message(&self) -> &'a [u8] {
        self.message
    }

    /// The bytes from the first label to the last, which identify the series as long as its sender writes labels
    /// the same way each time; `None` if other fields are between labels. Also checks that the message can be walked.
    pub fn label_bytes(&self) -> Result<Option<&'a [u8]>, ProtobufError> {
        let mut reader = Reader::new(self.message);
        let (mut labels, mut apart) = (0..0, false);
        loop {
            let start = self.message.len() - reader.rest().len();
            let Some((number, _)) = reader.field()? else { break };
            if number == 1 {
                apart |= !labels.is_empty() && labels.end != start;
                let first = if labels.is_empty() { start } else { labels.start };
                labels = first..self.message.len() - reader.rest().len();
            }
        }
        Ok((!apart).then(|| &self.message[labels]))
    }

    /// All labels, in the order sent.
    pub fn labels(&self) -> Result<Vec<RawLabel<'a>>, ProtobufError> {
        labels(self.message)
    }

    /// Whether there is a sample or histogram.
    pub fn has_samples(&self) -> Result<bool, ProtobufError> {
        let mut reader = Reader::new(self.message);
        while let Some((number, _)) = reader.field()? {
            if matches!(number, 2 | 4) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Passes every sample, histogram and exemplar to `take`, in the order sent.
    pub fn items<E: From<ProtobufError>>(
        &self,
        mut take: impl FnMut(Item<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut reader = Reader::new(self.message);
        while let Some((number, value)) = reader.field()? {
            match number {
                2 => {
                    let (times, value) = sample(value.bytes("TimeSeries.samples")?)?;
                    take(Item::Sample(times, value))?;
                }
                3 => take(Item::Exemplar(value.bytes("TimeSeries.exemplars")?))?,
                4 => {
                    let (times, value) = histogram(value.bytes("TimeSeries.histograms")?)?;
                    take(Item::Histogram(times, value))?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Field 1 of series and exemplars: repeated labels.
fn labels(message: &[u8]) -> Result<Vec<RawLabel<'_>>, ProtobufError> {
    let mut reader = Reader::new(message);
    let mut labels = Vec::with_capacity(16);
    while let Some((number, value)) = reader.field()? {
        if number == 1 {
            labels.push(label(value.bytes("TimeSeries.labels")?)?);
        }
    }
    Ok(labels)
}

fn label(message: &[u8]) -> Result<RawLabel<'_>, ProtobufError> {
    let mut reader = Reader::new(message);
    let mut label: RawLabel<'_> = (b"", b"");
    while let Some((number, value)) = reader.field()? {
        match number {
            1 => label.0 = value.bytes("Label.name")?,
            2 => label.1 = value.bytes("Label.value")?,
            _ => {}
        }
    }
    Ok(label)
}

pub(super) fn sample(message: &[u8]) -> Result<(Times, f64), ProtobufError> {
    let mut reader = Reader::new(message);
    let (mut times, mut float) = (Times::default(), 0.0);
    while let Some((number, value)) = reader.field()? {
        match number {
            1 => float = value.double("Sample.value")?,
            2 => times.at = value.int("Sample.timestamp")?,
            3 => times.start = value.int("Sample.start_timestamp")?,
            _ => {}
        }
    }
    Ok((times, float))
}

/// Labels as text; as in Prometheus' output, invalid UTF-8 becomes the replacement character. Only for labels
/// that identify nothing (those of exemplars, or in log lines).
pub(super) fn lossy_labels(labels: &[RawLabel<'_>]) -> LabelSet {
    LabelSet::from_pairs(labels.iter().map(|(name, value)| (lossy(name), lossy(value))))
}

/// [`lossy_labels`] for a log line, cut to a readable length.
pub(super) fn short_labels(labels: &[RawLabel<'_>]) -> String {
    const CHARS_MAX: usize = 500;
    const LABELS_MAX: usize = 32;
    let text = lossy_labels(&labels[..labels.len().min(LABELS_MAX)]).to_string();
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

pub(super) fn lossy(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    text
}

/// Parses an exemplar.
pub fn exemplar(message: &[u8]) -> Result<Exemplar, ProtobufError> {
    let mut reader = Reader::new(message);
    let (mut timestamp, mut float) = (0, 0.0);
    while let Some((number, value)) = reader.field()? {
        match number {
            2 => float = value.double("Exemplar.value")?,
            3 => timestamp = value.int("Exemplar.timestamp")?,
            _ => {}
        }
    }
    Ok(Exemplar {
        labels: lossy_labels(&labels(message)?),
        value: float,
        timestamp: Timestamp::from_millis(timestamp),
        has_timestamp: timestamp != 0,
    })
}

/// A count, which is an integer or a float; that determines the type of the histogram.
#[derive(Clone, Copy)]
enum Count {
    Integer(u64),
    Float(f64),
}

#[derive(Default)]
struct HistogramFields {
    count: Option<Count>,
    zero_count: Option<Count>,
    sum: f64,
    schema: i32,
    zero_threshold: f64,
    negative_spans: Vec<Span>,
    negative_deltas: Vec<i64>,
    negative_counts: Vec<f64>,
    positive_spans: Vec<Span>,
    positive_deltas: Vec<i64>,
    positive_counts: Vec<f64>,
    reset_hint: u64,
    times: Times,
    custom_values: Vec<f64>,
}

pub(super) fn histogram(message: &[u8]) -> Result<(Times, HistogramValue), ProtobufError> {
    let mut reader = Reader::new(message);
    let mut fields = HistogramFields::default();
    while let Some((number, value)) = reader.field()? {
        fields.set(number, value)?;
    }
    Ok((fields.times, fields.finish().reduced_to_stored_schema()))
}

impl HistogramFields {
    fn set(&mut self, number: u32, value: Value<'_>) -> Result<(), ProtobufError> {
        match number {
            1 => self.count = Some(Count::Integer(value.uint("Histogram.count_int")?)),
            2 => self.count = Some(Count::Float(value.double("Histogram.count_float")?)),
            3 => self.sum = value.double("Histogram.sum")?,
            // A schema beyond 32 bits is truncated as in Go's decoder; the store refuses unknown schemas.
            4 => self.schema = value.sint("Histogram.schema")? as i32,
            5 => self.zero_threshold = value.double("Histogram.zero_threshold")?,
            6 => self.zero_count = Some(Count::Integer(value.uint("Histogram.zero_count_int")?)),
            7 => self.zero_count = Some(Count::Float(value.double("Histogram.zero_count_float")?)),
            8 => self.negative_spans.push(span(value.bytes("Histogram.negative_spans")?)?),
            9 => value.extend_sints("Histogram.negative_deltas", &mut self.negative_deltas)?,
            10 => value.extend_doubles("Histogram.negative_counts", &mut self.negative_counts)?,
            11 => self.positive_spans.push(span(value.bytes("Histogram.positive_spans")?)?),
            12 => value.extend_sints("Histogram.positive_deltas", &mut self.positive_deltas)?,
            13 => value.extend_doubles("Histogram.positive_counts", &mut self.positive_counts)?,
            14 => self.reset_hint = value.uint("Histogram.reset_hint")?,
            15 => self.times.at = value.int("Histogram.timestamp")?,
            16 => value.extend_doubles("Histogram.custom_values", &mut self.custom_values)?,
            17 => self.times.start = value.int("Histogram.start_timestamp")?,
            _ => {}
        }
        Ok(())
    }

    fn finish(self) -> HistogramValue {
        let counter_reset_hint = match self.reset_hint {
            1 => CounterResetHint::Reset,
            2 => CounterResetHint::NotReset,
            3 => CounterResetHint::Gauge,
            _ => CounterResetHint::Unknown,
        };
        let custom_values = (!self.custom_values.is_empty()).then(|| Arc::from(self.custom_values));
        if let Some(Count::Float(count)) = self.count {
            return HistogramValue::Float(Arc::new(FloatHistogram {
                counter_reset_hint,
                schema: self.schema,
                zero_threshold: self.zero_threshold,
                zero_count: if let Some(Count::Float(zero)) = self.zero_count { zero } else { 0.0 },
                count,
                sum: self.sum,
                positive_spans: self.positive_spans,
                negative_spans: self.negative_spans,
                positive_buckets: self.positive_counts,
                negative_buckets: self.negative_counts,
                custom_values,
            }));
        }
        HistogramValue::Integer(Arc::new(Histogram {
            counter_reset_hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: if let Some(Count::Integer(zero)) = self.zero_count { zero } else { 0 },
            count: if let Some(Count::Integer(count)) = self.count { count } else { 0 },
            sum: self.sum,
            positive_spans: self.positive_spans,
            negative_spans: self.negative_spans,
            positive_buckets: self.positive_deltas,
            negative_buckets: self.negative_deltas,
            custom_values,
        }))
    }
}

fn span(message: &[u8]) -> Result<Span, ProtobufError> {
    let mut reader = Reader::new(message);
    let mut span = Span { offset: 0, length: 0 };
    while let Some((number, value)) = reader.field()? {
        match number {
            1 => span.offset = value.sint("BucketSpan.offset")? as i32,
            2 => span.length = value.uint("BucketSpan.length")? as u32,
            _ => {}
        }
    }
    Ok(span)
}
