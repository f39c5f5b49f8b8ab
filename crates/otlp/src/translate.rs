//! A request's metrics as labels and samples, metric by metric.
//!
//! Resources and scopes are walked in the order in which they were sent. A metric that fails does not stop the others:
//! all errors together are the answer.

mod error;
mod labels;
mod layout;
mod origin;
mod points;
mod settings;

use std::collections::BTreeSet;

use ferula_go::protobuf::{ProtobufError, Reader};
use ferula_model::{Exemplar, HistogramValue, LabelSet, MetricMetadata, MetricType};
use ferula_storage::OutOfMemory;

pub use self::error::{Fatal, TranslateError};
use self::origin::{ResourceLabels, ScopeLabels};
pub use self::settings::Settings;
use crate::delta::Deltas;
use crate::name;
use crate::point::{Messages, Metric, MetricKind, Temporality, time_of};

/// A sample on its way to the store.
pub struct Translated<'a> {
    pub labels: &'a LabelSet,
    /// Milliseconds, 0 for none.
    pub start_ms: i64,
    pub at_ms: i64,
    pub value: TranslatedValue,
    pub exemplars: Vec<Exemplar>,
    pub metadata: &'a MetricMetadata,
}

/// What a sample is.
pub enum TranslatedValue {
    Float(f64),
    Histogram(HistogramValue),
}

/// Takes samples.
pub trait Sink {
    /// Takes one sample, perhaps only into a batch.
    ///
    /// # Errors
    /// The sample, or an earlier one of the same metric, is refused.
    fn push(&mut self, sample: Translated<'_>) -> Result<(), TranslateError>;

    /// Ends a metric.
    ///
    /// # Errors
    /// One of its samples is refused.
    fn flush(&mut self) -> Result<(), TranslateError>;

    /// Makes sure that a point may take so many bytes.
    ///
    /// # Errors
    /// So many are not free.
    fn reserve(&mut self, bytes: usize) -> Result<(), OutOfMemory>;

    /// Notes that something was left out or changed.
    fn warn(&mut self, warning: Warning, text: std::fmt::Arguments<'_>);
}

/// What a warning is about, as its metric names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warning {
    EmptyDataPoints,
    LabelNameCollision,
    ZeroCountNonZeroSum,
}

impl Warning {
    /// The value of the label.
    pub fn as_str(self) -> &'static str {
        match self {
            Warning::EmptyDataPoints => "empty_data_points",
            Warning::LabelNameCollision => "label_name_collision",
            Warning::ZeroCountNonZeroSum => "histogram_zero_count_non_zero_sum",
        }
    }
}

/// Translates one request.
pub struct Translation<'t> {
    settings: &'t Settings,
    sink: &'t mut dyn Sink,
    deltas: Option<&'t mut Deltas>,
    errors: Vec<TranslateError>,
    /// Labels of which a collision was already reported.
    collided: BTreeSet<String>,
}

/// So many errors are kept; a request that has more has enough.
const ERRORS_MAX: usize = 100;

/// Why a metric ends early.
enum EarlyEnd {
    Fatal(Fatal),
    Error(TranslateError),
}

impl<E: Into<TranslateError>> From<E> for EarlyEnd {
    fn from(error: E) -> Self {
        EarlyEnd::Error(error.into())
    }
}

impl From<Fatal> for EarlyEnd {
    fn from(fatal: Fatal) -> Self {
        EarlyEnd::Fatal(fatal)
    }
}

impl From<ProtobufError> for EarlyEnd {
    fn from(error: ProtobufError) -> Self {
        EarlyEnd::Fatal(error.into())
    }
}

impl From<OutOfMemory> for EarlyEnd {
    fn from(error: OutOfMemory) -> Self {
        EarlyEnd::Fatal(error.into())
    }
}

impl<'t> Translation<'t> {
    /// Nothing translated yet. With `deltas`, points of delta temporality are added up.
    pub fn new(settings: &'t Settings, sink: &'t mut dyn Sink, deltas: Option<&'t mut Deltas>) -> Self {
        Translation { settings, sink, deltas, errors: Vec::new(), collided: BTreeSet::new() }
    }

    /// Translates the whole request. Returns why metrics were not stored.
    ///
    /// # Errors
    /// Broken bytes, and no memory.
    pub fn run(mut self, request: &[u8]) -> Result<Vec<TranslateError>, Fatal> {
        let mut resources = Messages::of(request, 1);
        while let Some(resource) = resources.next()? {
            self.resource(resource)?;
        }
        Ok(self.errors)
    }

    /// An error ends its metric; what cannot be got over ends the request.
    fn note(&mut self, result: Result<(), EarlyEnd>) -> Result<(), Fatal> {
        match result {
            Ok(()) => Ok(()),
            Err(EarlyEnd::Fatal(fatal)) => Err(fatal),
            Err(EarlyEnd::Error(error)) => {
                if self.errors.len() < ERRORS_MAX {
                    self.errors.push(error);
                }
                Ok(())
            }
        }
    }

    fn resource(&mut self, message: &[u8]) -> Result<(), Fatal> {
        let mut resource: &[u8] = &[];
        let mut reader = Reader::new(message);
        while let Some((field, value)) = reader.field()? {
            if field == 1 {
                resource = value.bytes("ResourceMetrics.resource")?;
            }
        }
        let labels = match ResourceLabels::read(resource, self.settings)? {
            Ok(labels) => labels,
            Err(error) => return self.note(Err(error.into())),
        };
        let mut span = TimeSpan { first: u64::MAX, last: 0 };
        let mut scopes = Messages::of(message, 2);
        while let Some(scope) = scopes.next()? {
            self.scope(scope, &labels, &mut span)?;
        }
        if span.first < u64::MAX {
            let result = self.target_info(&labels, span);
            self.note(result)?;
        }
        Ok(())
    }

    fn scope(
        &mut self,
        message: &[u8],
        resource: &ResourceLabels<'_>,
        span: &mut TimeSpan,
    ) -> Result<(), Fatal> {
        let scope = match ScopeLabels::read(message, self.settings)? {
            Ok(scope) => scope,
            Err(error) => return self.note(Err(error.into())),
        };
        let mut metrics = Messages::of(message, 2);
        while let Some(message) = metrics.next()? {
            let metric = Metric::read(message)?;
            let mut points = metric.points();
            while let Some(point) = points.next()? {
                span.add(time_of(point)?);
            }
            let result = self.metric(&metric, resource, &scope);
            self.note(result)?;
        }
        Ok(())
    }

    fn metric(
        &mut self,
        metric: &Metric<'_>,
        resource: &ResourceLabels<'_>,
        scope: &ScopeLabels,
    ) -> Result<(), EarlyEnd> {
        if metric.kind == MetricKind::Empty {
            return Err(TranslateError::NoKind(metric.name.to_owned()).into());
        }
        let adds_up = metric.temporality == Temporality::Delta && self.deltas.is_some();
        let is_known = match metric.kind {
            MetricKind::Gauge | MetricKind::Summary => true,
            _ => match metric.temporality {
                Temporality::Cumulative => true,
                Temporality::Delta => adds_up || self.settings.stores_deltas,
                Temporality::Unspecified | Temporality::Other => false,
            },
        };
        if !is_known {
            return Err(TranslateError::Temporality(metric.name.to_owned()).into());
        }
        let family = Family {
            name: self.settings.naming.metric(metric)?,
            metadata: metadata_of(metric, adds_up),
            resource,
            scope: Some(scope),
            is_delta: metric.temporality == Temporality::Delta && !adds_up,
        };
        if metric.points().next()?.is_none() {
            let text = format_args!("empty data points. {} is dropped", metric.name);
            self.sink.warn(Warning::EmptyDataPoints, text);
            return Ok(());
        }
        let stored = self.points(metric, &family, adds_up);
        // What was pushed before an error must not wait for the next metric.
        let flushed = self.sink.flush().map_err(EarlyEnd::from);
        stored.and(flushed)
    }
}

/// A metric family of one resource and scope.
struct Family<'f> {
    name: String,
    metadata: MetricMetadata,
    resource: &'f ResourceLabels<'f>,
    scope: Option<&'f ScopeLabels>,
    /// Its values are not added up.
    is_delta: bool,
}

/// Of a metric that was added up, the type is that of a cumulative one; there is none for deltas.
fn metadata_of(metric: &Metric<'_>, adds_up: bool) -> MetricMetadata {
    let is_delta = metric.temporality == Temporality::Delta && !adds_up;
    let kind = match metric.kind {
        _ if is_delta => MetricType::Unknown,
        MetricKind::Gauge => MetricType::Gauge,
        MetricKind::Sum if metric.monotonic => MetricType::Counter,
        MetricKind::Sum => MetricType::Gauge,
        MetricKind::Histogram | MetricKind::ExponentialHistogram => MetricType::Histogram,
        MetricKind::Summary => MetricType::Summary,
        MetricKind::Empty => MetricType::Unknown,
    };
    MetricMetadata { kind, unit: name::unit(metric.unit), help: metric.description.to_owned() }
}

/// The times of all points of a resource, in nanoseconds.
#[derive(Clone, Copy)]
struct TimeSpan {
    first: u64,
    last: u64,
}

impl TimeSpan {
    fn add(&mut self, time: u64) {
        self.first = self.first.min(time);
        self.last = self.last.max(time);
    }
}

/// Nanoseconds as milliseconds, towards zero; times beyond the year 2262 come out negative, as in Prometheus.
fn millis(nanos: u64) -> i64 {
    nanos as i64 / 1_000_000
}

#[cfg(test)]
mod tests;
