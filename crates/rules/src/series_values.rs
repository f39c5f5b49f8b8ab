//! Expands a series line of a test to its points: `name{label="value"} 1+2x3 _ stale {{schema:0 sum:1}}x2`.

use std::sync::Arc;

use ferula_model::histogram::HistogramError;
use ferula_model::{FloatHistogram, LabelSet};
use ferula_promql_syntax::ast::UnaryOp;
use ferula_promql_syntax::{HistogramSequence, ParseErrors, SequenceItem, parse_series_description};

/// Upper bound on the points of a line, so that `1x1000000000` is an error instead of exhausting memory.
const POINTS_MAX: u64 = 10_000_000;

/// Why a line is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum SeriesLineError {
    #[error(transparent)]
    Syntax(#[from] ParseErrors),
    #[error("{0} points in one series are more than the {POINTS_MAX} allowed")]
    TooMany(u64),
    #[error(transparent)]
    Histogram(#[from] HistogramError),
}

/// One point of a series.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Point {
    /// No sample.
    Omitted,
    /// A float, or the staleness marker.
    Float(f64),
    /// A histogram.
    Histogram(Arc<FloatHistogram>),
}

/// Returns the labels and points of a line.
pub(crate) fn expand(line: &str) -> Result<(LabelSet, Vec<Point>), SeriesLineError> {
    let series = parse_series_description(line)?;
    let count = series.items.iter().map(SequenceItem::points).fold(0, u64::saturating_add);
    if count > POINTS_MAX {
        return Err(SeriesLineError::TooMany(count));
    }
    let mut points = Vec::new();
    for item in &series.items {
        match item {
            SequenceItem::Omitted { count } => points.extend((0..*count).map(|_| Point::Omitted)),
            SequenceItem::Floats { first, step, times } => {
                let mut value = *first;
                for _ in 0..=*times {
                    points.push(Point::Float(value));
                    // Even adding zero would change the bits of a staleness marker.
                    if *step != 0.0 {
                        value += step;
                    }
                }
            }
            SequenceItem::Histograms(sequence) => histograms(sequence, &mut points)?,
        }
    }
    Ok((series.labels, points))
}

fn histograms(sequence: &HistogramSequence, points: &mut Vec<Point>) -> Result<(), HistogramError> {
    let mut value = Arc::new(sequence.first.clone());
    points.push(Point::Histogram(value.clone()));
    for _ in 0..sequence.times {
        if let Some((sign, step)) = &sequence.step {
            let next = Arc::make_mut(&mut value);
            let combined = match sign {
                UnaryOp::Plus => next.add(step),
                UnaryOp::Minus => next.sub(step),
            };
            combined?;
        }
        points.push(Point::Histogram(value.clone()));
    }
    Ok(())
}
