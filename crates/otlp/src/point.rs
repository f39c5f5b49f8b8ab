//! The messages of `opentelemetry/proto/metrics/v1/metrics.proto`, read one after the other. Field numbers are those of
//! that file.

use ferula_go::protobuf::{ProtobufError, Reader, Value};

use crate::value::{Attribute, text};

/// The memory of a point in addition to its parts.
const POINT_BYTES: usize = 512;

/// The kinds of metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// An unknown kind.
    Empty,
    Gauge,
    Sum,
    Histogram,
    ExponentialHistogram,
    Summary,
}

/// How values of points relate to earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Temporality {
    Unspecified,
    Delta,
    Cumulative,
    Other,
}

/// A metric whose points are still encoded.
#[derive(Clone, Copy, Debug)]
pub struct Metric<'a> {
    pub name: &'a str,
    pub description: &'a str,
    pub unit: &'a str,
    pub kind: MetricKind,
    pub temporality: Temporality,
    pub monotonic: bool,
    /// The message of its kind.
    data: &'a [u8],
}

impl<'a> Metric<'a> {
    /// Reads a metric up to its points.
    ///
    /// # Errors
    /// Broken bytes.
    pub fn read(message: &'a [u8]) -> Result<Self, ProtobufError> {
        let mut metric = Metric {
            name: "",
            description: "",
            unit: "",
            kind: MetricKind::Empty,
            temporality: Temporality::Unspecified,
            monotonic: false,
            data: &[],
        };
        let mut reader = Reader::new(message);
        while let Some((field, value)) = reader.field()? {
            let kind = match field {
                1 => {
                    metric.name = text(value.bytes("Metric.name")?);
                    continue;
                }
                2 => {
                    metric.description = text(value.bytes("Metric.description")?);
                    continue;
                }
                3 => {
                    metric.unit = text(value.bytes("Metric.unit")?);
                    continue;
                }
                5 => MetricKind::Gauge,
                7 => MetricKind::Sum,
                9 => MetricKind::Histogram,
                10 => MetricKind::ExponentialHistogram,
                11 => MetricKind::Summary,
                _ => continue,
            };
            (metric.kind, metric.data) = (kind, value.bytes("Metric.data")?);
        }
        metric.read_data()?;
        Ok(metric)
    }

    fn read_data(&mut self) -> Result<(), ProtobufError> {
        let has_temporality =
            matches!(self.kind, MetricKind::Sum | MetricKind::Histogram | MetricKind::ExponentialHistogram);
        let mut reader = Reader::new(self.data);
        while let Some((field, value)) = reader.field()? {
            match field {
                2 if has_temporality => {
                    self.temporality = match value.uint("Metric.aggregation_temporality")? {
                        0 => Temporality::Unspecified,
                        1 => Temporality::Delta,
                        2 => Temporality::Cumulative,
                        _ => Temporality::Other,
                    };
                }
                3 if self.kind == MetricKind::Sum => self.monotonic = value.uint("Sum.is_monotonic")? != 0,
                _ => {}
            }
        }
        Ok(())
    }

    /// The encoded points.
    pub fn points(&self) -> Messages<'a> {
        Messages::of(self.data, 1)
    }
}

/// The messages in one field of another.
#[derive(Clone)]
pub struct Messages<'a> {
    reader: Reader<'a>,
    field: u32,
}

impl<'a> Messages<'a> {
    /// Those of this field.
    pub fn of(message: &'a [u8], field: u32) -> Self {
        Messages { reader: Reader::new(message), field }
    }

    /// The next one.
    ///
    /// # Errors
    /// Broken bytes.
    pub fn next(&mut self) -> Result<Option<&'a [u8]>, ProtobufError> {
        while let Some((field, value)) = self.reader.field()? {
            if field == self.field {
                return value.bytes("message").map(Some);
            }
        }
        Ok(None)
    }
}

/// The attributes in one field of a message.
///
/// # Errors
/// Broken bytes.
pub fn attributes(message: &[u8], field: u32) -> Result<Vec<Attribute<'_>>, ProtobufError> {
    let mut messages = Messages::of(message, field);
    let mut attributes = Vec::new();
    while let Some(message) = messages.next()? {
        attributes.push(Attribute::read(message)?);
    }
    Ok(attributes)
}

/// An integer, a float, or no number.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Number {
    #[default]
    Empty,
    Int(i64),
    Double(f64),
}

impl Number {
    /// As a sample's value.
    pub fn value(self) -> f64 {
        match self {
            Number::Empty => 0.0,
            Number::Int(value) => value as f64,
            Number::Double(value) => value,
        }
    }
}

/// The common fields of points of all kinds. Times are in nanoseconds.
#[derive(Clone, Debug, Default)]
pub struct Common<'a> {
    pub attributes: Vec<Attribute<'a>>,
    pub start: u64,
    pub time: u64,
    flags: u64,
    /// Packed.
    pub exemplars: Vec<&'a [u8]>,
}

impl Common<'_> {
    /// Whether the point marks the end of the series.
    pub fn is_stale(&self) -> bool {
        self.flags & 1 == 1
    }

    fn bytes(&self) -> usize {
        self.attributes.len() * size_of::<Attribute<'_>>()
            + self.exemplars.len() * size_of::<&[u8]>()
            + POINT_BYTES
    }
}

/// The time of an encoded point of any kind: fields 2 and 3 in all of them.
///
/// # Errors
/// Broken bytes.
pub fn time_of(message: &[u8]) -> Result<u64, ProtobufError> {
    let mut reader = Reader::new(message);
    let mut time = 0;
    while let Some((field, value)) = reader.field()? {
        if field == 3 {
            time = value.fixed64("DataPoint.time_unix_nano")?;
        }
    }
    Ok(time)
}

/// A point of a gauge or sum.
#[derive(Clone, Debug, Default)]
pub struct NumberPoint<'a> {
    pub common: Common<'a>,
    pub value: Number,
}

/// A point of a histogram with explicit bounds.
#[derive(Clone, Debug, Default)]
pub struct HistogramPoint<'a> {
    pub common: Common<'a>,
    pub count: u64,
    pub sum: Option<f64>,
    pub bucket_counts: Vec<u64>,
    pub explicit_bounds: Vec<f64>,
}

/// One side of an exponential histogram.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Buckets {
    pub offset: i32,
    pub counts: Vec<u64>,
}

/// A point of an exponential histogram.
#[derive(Clone, Debug, Default)]
pub struct ExponentialPoint<'a> {
    pub common: Common<'a>,
    pub count: u64,
    pub sum: Option<f64>,
    pub scale: i32,
    pub zero_count: u64,
    pub zero_threshold: f64,
    pub positive: Buckets,
    pub negative: Buckets,
}

/// A point of a summary.
#[derive(Clone, Debug, Default)]
pub struct SummaryPoint<'a> {
    pub common: Common<'a>,
    pub count: u64,
    pub sum: f64,
    /// Quantiles with their values.
    pub quantiles: Vec<(f64, f64)>,
}

/// A point that can be read from its message.
pub trait Point<'a>: Sized + Default {
    /// Reads one field.
    ///
    /// # Errors
    /// Broken bytes.
    fn set(&mut self, field: u32, value: Value<'a>) -> Result<(), ProtobufError>;

    /// Approximate memory in bytes.
    fn bytes(&self) -> usize;

    /// Reads the message.
    ///
    /// # Errors
    /// Broken bytes.
    fn read(message: &'a [u8]) -> Result<Self, ProtobufError> {
        let mut point = Self::default();
        let mut reader = Reader::new(message);
        while let Some((field, value)) = reader.field()? {
            point.set(field, value)?;
        }
        Ok(point)
    }
}

impl<'a> Point<'a> for NumberPoint<'a> {
    fn set(&mut self, field: u32, value: Value<'a>) -> Result<(), ProtobufError> {
        let common = &mut self.common;
        match field {
            2 => common.start = value.fixed64("NumberDataPoint.start_time_unix_nano")?,
            3 => common.time = value.fixed64("NumberDataPoint.time_unix_nano")?,
            4 => self.value = Number::Double(value.double("NumberDataPoint.as_double")?),
            5 => common.exemplars.push(value.bytes("NumberDataPoint.exemplars")?),
            6 => self.value = Number::Int(value.fixed64("NumberDataPoint.as_int")? as i64),
            7 => common.attributes.push(Attribute::read(value.bytes("NumberDataPoint.attributes")?)?),
            8 => common.flags = value.uint("NumberDataPoint.flags")?,
            _ => {}
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.common.bytes()
    }
}

impl<'a> Point<'a> for HistogramPoint<'a> {
    fn set(&mut self, field: u32, value: Value<'a>) -> Result<(), ProtobufError> {
        let common = &mut self.common;
        match field {
            2 => common.start = value.fixed64("HistogramDataPoint.start_time_unix_nano")?,
            3 => common.time = value.fixed64("HistogramDataPoint.time_unix_nano")?,
            4 => self.count = value.fixed64("HistogramDataPoint.count")?,
            5 => self.sum = Some(value.double("HistogramDataPoint.sum")?),
            6 => value.extend_fixed64s("HistogramDataPoint.bucket_counts", &mut self.bucket_counts)?,
            7 => value.extend_doubles("HistogramDataPoint.explicit_bounds", &mut self.explicit_bounds)?,
            8 => common.exemplars.push(value.bytes("HistogramDataPoint.exemplars")?),
            9 => common.attributes.push(Attribute::read(value.bytes("HistogramDataPoint.attributes")?)?),
            10 => common.flags = value.uint("HistogramDataPoint.flags")?,
            _ => {}
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.common.bytes() + (self.bucket_counts.len() + self.explicit_bounds.len()) * 64
    }
}

impl<'a> Point<'a> for ExponentialPoint<'a> {
    fn set(&mut self, field: u32, value: Value<'a>) -> Result<(), ProtobufError> {
        let common = &mut self.common;
        match field {
            1 => {
                let attribute = value.bytes("ExponentialHistogramDataPoint.attributes")?;
                common.attributes.push(Attribute::read(attribute)?);
            }
            2 => common.start = value.fixed64("ExponentialHistogramDataPoint.start_time_unix_nano")?,
            3 => common.time = value.fixed64("ExponentialHistogramDataPoint.time_unix_nano")?,
            4 => self.count = value.fixed64("ExponentialHistogramDataPoint.count")?,
            5 => self.sum = Some(value.double("ExponentialHistogramDataPoint.sum")?),
            6 => self.scale = value.sint("ExponentialHistogramDataPoint.scale")? as i32,
            7 => self.zero_count = value.fixed64("ExponentialHistogramDataPoint.zero_count")?,
            8 => self.positive.read(value.bytes("ExponentialHistogramDataPoint.positive")?)?,
            9 => self.negative.read(value.bytes("ExponentialHistogramDataPoint.negative")?)?,
            10 => common.flags = value.uint("ExponentialHistogramDataPoint.flags")?,
            11 => common.exemplars.push(value.bytes("ExponentialHistogramDataPoint.exemplars")?),
            14 => self.zero_threshold = value.double("ExponentialHistogramDataPoint.zero_threshold")?,
            _ => {}
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.common.bytes() + (self.positive.counts.len() + self.negative.counts.len()) * 24
    }
}

impl Buckets {
    fn read(&mut self, message: &[u8]) -> Result<(), ProtobufError> {
        let mut reader = Reader::new(message);
        while let Some((field, value)) = reader.field()? {
            match field {
                1 => self.offset = value.sint("Buckets.offset")? as i32,
                2 => value.extend_uint64s("Buckets.bucket_counts", &mut self.counts)?,
                _ => {}
            }
        }
        Ok(())
    }
}

impl<'a> Point<'a> for SummaryPoint<'a> {
    fn set(&mut self, field: u32, value: Value<'a>) -> Result<(), ProtobufError> {
        let common = &mut self.common;
        match field {
            2 => common.start = value.fixed64("SummaryDataPoint.start_time_unix_nano")?,
            3 => common.time = value.fixed64("SummaryDataPoint.time_unix_nano")?,
            4 => self.count = value.fixed64("SummaryDataPoint.count")?,
            5 => self.sum = value.double("SummaryDataPoint.sum")?,
            6 => {
                let mut quantile = (0.0, 0.0);
                let mut reader = Reader::new(value.bytes("SummaryDataPoint.quantile_values")?);
                while let Some((field, value)) = reader.field()? {
                    match field {
                        1 => quantile.0 = value.double("ValueAtQuantile.quantile")?,
                        2 => quantile.1 = value.double("ValueAtQuantile.value")?,
                        _ => {}
                    }
                }
                self.quantiles.push(quantile);
            }
            7 => common.attributes.push(Attribute::read(value.bytes("SummaryDataPoint.attributes")?)?),
            8 => common.flags = value.uint("SummaryDataPoint.flags")?,
            _ => {}
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.common.bytes() + self.quantiles.len() * 64
    }
}

/// An exemplar of a point.
#[derive(Clone, Debug, Default)]
pub struct PointExemplar<'a> {
    pub attributes: Vec<Attribute<'a>>,
    pub time: u64,
    pub value: Number,
    pub span_id: &'a [u8],
    pub trace_id: &'a [u8],
}

impl<'a> PointExemplar<'a> {
    /// Reads the message.
    ///
    /// # Errors
    /// Broken bytes.
    pub fn read(message: &'a [u8]) -> Result<Self, ProtobufError> {
        let mut exemplar = PointExemplar::default();
        let mut reader = Reader::new(message);
        while let Some((field, value)) = reader.field()? {
            match field {
                2 => exemplar.time = value.fixed64("Exemplar.time_unix_nano")?,
                3 => exemplar.value = Number::Double(value.double("Exemplar.as_double")?),
                4 => exemplar.span_id = value.bytes("Exemplar.span_id")?,
                5 => exemplar.trace_id = value.bytes("Exemplar.trace_id")?,
                6 => exemplar.value = Number::Int(value.fixed64("Exemplar.as_int")? as i64),
                7 => {
                    let attribute = value.bytes("Exemplar.filtered_attributes")?;
                    exemplar.attributes.push(Attribute::read(attribute)?);
                }
                _ => {}
            }
        }
        Ok(exemplar)
    }
}
