//! Points of each kind as samples.

use std::cmp::Ordering;
use std::sync::Arc;

use ferula_model::labels::METRIC_NAME;
use ferula_model::value::{STALE_NAN, STALE_NAN_BITS};
use ferula_model::{
    CounterResetHint, Exemplar, Histogram, HistogramValue, LabelSet, LabelSetBuilder, Timestamp,
};

use super::layout::{Indexes, sparse};
use super::{EarlyEnd, Family, TranslateError, Translated, TranslatedValue, Translation, Warning, millis};
use crate::delta::StreamId;
use crate::point::{
    Common, ExponentialPoint, HistogramPoint, Metric, MetricKind, Number, NumberPoint, Point, PointExemplar,
    SummaryPoint,
};
use crate::value::{Attribute, bound_text};

/// The highest schema that is stored.
const SCHEMA_MAX: i32 = 8;
const SCHEMA_MIN: i32 = -4;
const CUSTOM_BUCKETS_SCHEMA: i32 = -53;
/// OTLP states none.
const ZERO_THRESHOLD: f64 = 1e-128;
/// So many characters the labels of an exemplar may have.
const EXEMPLAR_CHARS_MAX: usize = 128;

impl Translation<'_> {
    pub(super) fn points(
        &mut self,
        metric: &Metric<'_>,
        family: &Family<'_>,
        adds_up: bool,
    ) -> Result<(), EarlyEnd> {
        let mut points = metric.points();
        let stream = adds_up.then(|| {
            StreamId::of(
                metric,
                family.resource.attributes.as_slice(),
                family.scope.map_or(&[], |scope| &scope.identity),
            )
        });
        while let Some(message) = points.next()? {
            match metric.kind {
                MetricKind::Gauge | MetricKind::Sum => {
                    let mut point: NumberPoint<'_> = self.read(message)?;
                    if self.add_up(&stream, &point.common.attributes.clone(), |deltas, id| {
                        deltas.number(id, &mut point)
                    }) {
                        self.number(&point, family, metric.kind == MetricKind::Sum)?;
                    }
                }
                MetricKind::Histogram => {
                    let mut point: HistogramPoint<'_> = self.read(message)?;
                    if !self.add_up(&stream, &point.common.attributes.clone(), |deltas, id| {
                        deltas.histogram(id, &mut point)
                    }) {
                        continue;
                    }
                    if self.settings.custom_buckets {
                        self.custom_buckets(&point, family)?;
                    } else {
                        self.classic(&point, family)?;
                    }
                }
                MetricKind::ExponentialHistogram => {
                    let mut point: ExponentialPoint<'_> = self.read(message)?;
                    if self.add_up(&stream, &point.common.attributes.clone(), |deltas, id| {
                        deltas.exponential(id, &mut point)
                    }) {
                        self.exponential(&point, family)?;
                    }
                }
                MetricKind::Summary => {
                    let point: SummaryPoint<'_> = self.read(message)?;
                    self.summary(&point, family)?;
                }
                MetricKind::Empty => {}
            }
        }
        Ok(())
    }

    fn read<'m, P: Point<'m>>(&mut self, message: &'m [u8]) -> Result<P, EarlyEnd> {
        let point = P::read(message)?;
        self.sink.reserve(point.bytes())?;
        Ok(point)
    }

    /// Adds up a delta, if enabled. Returns whether there is a point to store.
    fn add_up(
        &mut self,
        stream: &Option<StreamId>,
        attributes: &[Attribute<'_>],
        add: impl FnOnce(&mut crate::delta::Deltas, u128) -> bool,
    ) -> bool {
        match (stream, &mut self.deltas) {
            (Some(stream), Some(deltas)) => {
                let id = stream.with_point(attributes);
                add(deltas, id)
            }
            _ => true,
        }
    }

    fn number(
        &mut self,
        point: &NumberPoint<'_>,
        family: &Family<'_>,
        with_exemplars: bool,
    ) -> Result<(), EarlyEnd> {
        let labels = self.named_labels(&point.common, family)?;
        let value = if point.common.is_stale() { STALE_NAN } else { point.value.value() };
        let exemplars = if with_exemplars { self.exemplars(&point.common)? } else { Vec::new() };
        self.push(&labels, &point.common, family, TranslatedValue::Float(value), exemplars)
    }

    fn classic(&mut self, point: &HistogramPoint<'_>, family: &Family<'_>) -> Result<(), EarlyEnd> {
        let base = self.base_labels(&point.common, family)?;
        let stale = point.common.is_stale();
        let float = |value: f64| TranslatedValue::Float(if stale { STALE_NAN } else { value });
        if let Some(sum) = point.sum {
            let labels = with(&base, family, "_sum", None);
            self.push(&labels, &point.common, family, float(sum), Vec::new())?;
        }
        let labels = with(&base, family, "_count", None);
        self.push(&labels, &point.common, family, float(point.count as f64), Vec::new())?;
        // Exemplars and buckets both rise.
        let mut exemplars = self.exemplars(&point.common)?.into_iter().peekable();
        let mut sum = 0u64;
        for (bound, count) in point.explicit_bounds.iter().zip(&point.bucket_counts) {
            sum = sum.wrapping_add(*count);
            let mut of_bucket = Vec::new();
            // A value that is not a number is above no bound.
            while let Some(exemplar) =
                exemplars.next_if(|exemplar| exemplar.value.partial_cmp(bound) != Some(Ordering::Greater))
            {
                of_bucket.push(exemplar);
            }
            let labels = with(&base, family, "_bucket", Some(("le", &bound_text(*bound))));
            self.push(&labels, &point.common, family, float(sum as f64), of_bucket)?;
        }
        let labels = with(&base, family, "_bucket", Some(("le", "+Inf")));
        self.push(&labels, &point.common, family, float(point.count as f64), exemplars.collect())
    }

    fn summary(&mut self, point: &SummaryPoint<'_>, family: &Family<'_>) -> Result<(), EarlyEnd> {
        let base = self.base_labels(&point.common, family)?;
        let stale = point.common.is_stale();
        let float = |value: f64| TranslatedValue::Float(if stale { STALE_NAN } else { value });
        for (suffix, value) in [("_sum", point.sum), ("_count", point.count as f64)] {
            let labels = with(&base, family, suffix, None);
            self.push(&labels, &point.common, family, float(value), Vec::new())?;
        }
        for (quantile, value) in &point.quantiles {
            let labels = with(&base, family, "", Some(("quantile", &bound_text(*quantile))));
            self.push(&labels, &point.common, family, float(*value), Vec::new())?;
        }
        Ok(())
    }

    fn custom_buckets(&mut self, point: &HistogramPoint<'_>, family: &Family<'_>) -> Result<(), EarlyEnd> {
        let empty = point.bucket_counts.iter().take_while(|count| **count == 0).count();
        let offset = i32::try_from(empty).unwrap_or(i32::MAX);
        let (positive_spans, positive_buckets) =
            sparse(&point.bucket_counts[empty..], offset, 0, Indexes::Explicit);
        let histogram = Histogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            positive_spans,
            positive_buckets,
            custom_values: Some(Arc::from(point.explicit_bounds.as_slice())),
            ..self.histogram(&point.common, point.count, point.sum, family, "histogram")
        };
        self.native(histogram, &point.common, family)
    }

    fn exponential(&mut self, point: &ExponentialPoint<'_>, family: &Family<'_>) -> Result<(), EarlyEnd> {
        if point.scale < SCHEMA_MIN {
            return Err(TranslateError::Scale(point.scale).into());
        }
        let scale_down = u32::try_from(point.scale.saturating_sub(SCHEMA_MAX)).unwrap_or(0);
        let sparse = |counts: &[u64], offset| sparse(counts, offset, scale_down, Indexes::Exponential);
        let (positive_spans, positive_buckets) = sparse(&point.positive.counts, point.positive.offset);
        let (negative_spans, negative_buckets) = sparse(&point.negative.counts, point.negative.offset);
        let histogram = Histogram {
            schema: point.scale.min(SCHEMA_MAX),
            zero_threshold: ZERO_THRESHOLD,
            zero_count: point.zero_count,
            positive_spans,
            positive_buckets,
            negative_spans,
            negative_buckets,
            ..self.histogram(&point.common, point.count, point.sum, family, "exponential histogram")
        };
        self.native(histogram, &point.common, family)
    }

    /// A histogram without buckets.
    fn histogram(
        &mut self,
        common: &Common<'_>,
        count: u64,
        sum: Option<f64>,
        family: &Family<'_>,
        what: &str,
    ) -> Histogram {
        let counter_reset_hint =
            if family.is_delta { CounterResetHint::Gauge } else { CounterResetHint::Unknown };
        if common.is_stale() {
            return Histogram {
                counter_reset_hint,
                sum: STALE_NAN,
                count: STALE_NAN_BITS,
                ..Histogram::default()
            };
        }
        let sum = sum.unwrap_or(0.0);
        if count == 0 && sum != 0.0 {
            let text = format_args!("{what} data point has zero count, but non-zero sum: {sum:.6}");
            self.sink.warn(Warning::ZeroCountNonZeroSum, text);
        }
        Histogram { counter_reset_hint, sum, count, ..Histogram::default() }
    }

    fn native(
        &mut self,
        histogram: Histogram,
        common: &Common<'_>,
        family: &Family<'_>,
    ) -> Result<(), EarlyEnd> {
        let labels = self.named_labels(common, family)?;
        let exemplars = self.exemplars(common)?;
        let value = TranslatedValue::Histogram(HistogramValue::Integer(Arc::new(histogram)));
        self.push(&labels, common, family, value, exemplars)
    }

    fn base_labels(&mut self, common: &Common<'_>, family: &Family<'_>) -> Result<LabelSetBuilder, EarlyEnd> {
        let mut builder = self.labels(&common.attributes, family)?;
        self.add_metadata_labels(&mut builder, &family.metadata);
        Ok(builder)
    }

    fn named_labels(&mut self, common: &Common<'_>, family: &Family<'_>) -> Result<LabelSet, EarlyEnd> {
        let mut builder = self.base_labels(common, family)?;
        builder.set(METRIC_NAME, &family.name);
        Ok(builder.finish())
    }

    fn push(
        &mut self,
        labels: &LabelSet,
        common: &Common<'_>,
        family: &Family<'_>,
        value: TranslatedValue,
        exemplars: Vec<Exemplar>,
    ) -> Result<(), EarlyEnd> {
        let (start_ms, at_ms) = (millis(common.start), millis(common.time));
        self.sink.push(Translated {
            labels,
            start_ms,
            at_ms,
            value,
            exemplars,
            metadata: &family.metadata,
        })?;
        Ok(())
    }

    fn exemplars(&mut self, common: &Common<'_>) -> Result<Vec<Exemplar>, EarlyEnd> {
        common.exemplars.iter().map(|message| exemplar(&PointExemplar::read(message)?)).collect()
    }
}

/// The labels with the family's name, a suffix and perhaps one more label.
fn with(base: &LabelSetBuilder, family: &Family<'_>, suffix: &str, extra: Option<(&str, &str)>) -> LabelSet {
    let mut builder = base.clone();
    if let Some((name, value)) = extra {
        builder.set(name, value);
    }
    builder.set(METRIC_NAME, &format!("{}{suffix}", family.name));
    builder.finish()
}

fn exemplar(point: &PointExemplar<'_>) -> Result<Exemplar, EarlyEnd> {
    let value = match point.value {
        Number::Empty => return Err(TranslateError::ExemplarValue.into()),
        number => number.value(),
    };
    let mut builder = LabelSetBuilder::new();
    let mut chars = 0;
    for (name, id) in [("trace_id", point.trace_id), ("span_id", point.span_id)] {
        if id.iter().any(|byte| *byte != 0) {
            let text = ferula_go::hex::encode(id);
            chars += name.len() + text.len();
            builder.set(name, &text);
        }
    }
    let attributes: Vec<(&str, String)> =
        point.attributes.iter().map(|attribute| (attribute.name, attribute.text())).collect();
    chars += attributes.iter().map(|(name, text)| name.chars().count() + text.chars().count()).sum::<usize>();
    // Rather without attributes than not at all.
    if chars <= EXEMPLAR_CHARS_MAX {
        for (name, text) in &attributes {
            builder.set(name, text);
        }
    }
    let at = (point.time as i64).div_euclid(1_000_000);
    Ok(Exemplar {
        labels: builder.finish(),
        value,
        timestamp: Timestamp::from_millis(at),
        has_timestamp: at != 0,
    })
}
