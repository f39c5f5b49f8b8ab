//! The record of a finished query: its text, result and timing. For the caller, the query log and the metrics.

use std::sync::Arc;
use std::time::Duration;

use ferula_promql::{QueryOutcome, QueryValue, SampleValue};

use crate::request::QueryRequest;

/// A query that has finished, with a result or an error.
pub struct CompletedQuery {
    pub request: Arc<QueryRequest>,
    pub outcome: QueryOutcome,
    /// Time spent waiting for a place.
    pub queue_time: Duration,
    /// From the request to the result.
    pub total_time: Duration,
}

impl CompletedQuery {
    /// How many floats the result is as large as; 0 without one. Histograms weigh as in the limit of samples.
    pub fn weight(&self) -> usize {
        match &self.outcome.result {
            Ok(QueryValue::Scalar { .. } | QueryValue::String { .. }) => 1,
            Ok(QueryValue::Vector(samples)) => samples
                .iter()
                .map(|sample| match &sample.value {
                    SampleValue::Float(_) => 1,
                    SampleValue::Histogram(histogram) => histogram.sample_weight(),
                })
                .sum(),
            Ok(QueryValue::Matrix(series)) => series
                .iter()
                .map(|series| {
                    let histograms = series.histograms.iter().map(|(_, histogram)| histogram.sample_weight());
                    series.floats.len() + histograms.sum::<usize>()
                })
                .sum(),
            Err(_) => 0,
        }
    }
}
