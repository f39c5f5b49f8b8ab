//! A job's limits on native histograms: their schema, and how many buckets they may have.

use std::sync::Arc;

use ferula_model::HistogramValue;
use ferula_model::histogram::{
    EXPONENTIAL_SCHEMA_MIN, is_exponential_schema, is_exponential_schema_reserved,
};

use crate::error::ScrapeError;

/// Reduces a histogram to the job's schema if it is finer.
pub(super) fn reduce_to_schema(value: &mut HistogramValue, schema_max: i32) -> Result<(), ScrapeError> {
    if value.schema() <= schema_max || !is_exponential_schema_reserved(value.schema()) {
        return Ok(());
    }
    reduce(value, schema_max)
}

/// Halves the resolution until the limit of buckets is met. Returns whether that succeeded.
pub(super) fn reduce_to_buckets(value: &mut HistogramValue, limit: u64) -> Result<bool, ScrapeError> {
    while value.bucket_count() as u64 > limit {
        if !is_exponential_schema(value.schema()) || value.schema() <= EXPONENTIAL_SCHEMA_MIN {
            return Ok(false);
        }
        let coarser = value.schema() - 1;
        reduce(value, coarser)?;
    }
    Ok(true)
}

fn reduce(value: &mut HistogramValue, schema: i32) -> Result<(), ScrapeError> {
    match value {
        HistogramValue::Integer(h) => Arc::make_mut(h).reduce_resolution(schema),
        HistogramValue::Float(h) => Arc::make_mut(h).reduce_resolution(schema),
    }
    .map_err(ScrapeError::Histogram)
}
