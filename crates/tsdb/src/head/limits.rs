//! Limits of the head at which new series are refused. Existing series continue.

use std::sync::atomic::Ordering;

use ferula_storage::AppendError;

use super::{Head, Index};

/// Limits of a head.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limits {
    /// Maximum number of series.
    pub series: Option<u64>,
    /// Maximum memory of series in bytes, as estimated by [`Head::bytes`].
    pub bytes: Option<u64>,
}

/// Memory of a series besides its labels: slot, open chunk, list of full chunks, an entry in a scraper's
/// cache. Measured at 330 to 420 bytes with floats; the rest is for the allocator.
const SERIES_BYTES: u64 = 512;

/// The head accepts no new series.
#[derive(Clone, Copy, Debug)]
pub(crate) enum HeadFull {
    Series(u64),
    Bytes(u64),
}

impl From<HeadFull> for AppendError {
    fn from(full: HeadFull) -> Self {
        match full {
            HeadFull::Series(limit) => AppendError::SeriesLimit(limit),
            HeadFull::Bytes(limit) => AppendError::MemoryLimit(limit),
        }
    }
}

fn bytes(index: &Index) -> u64 {
    index.series_count() as u64 * SERIES_BYTES + index.label_bytes()
}

impl Head {
    /// Checks whether there is space for one more series. Changes are logged once, not for every series.
    pub(super) fn check_limits(&self, index: &Index) -> Result<(), HeadFull> {
        let (series, bytes) = (index.series_count() as u64, bytes(index));
        let refused = match self.limits {
            Limits { series: Some(max), .. } if series >= max => Some(HeadFull::Series(max)),
            Limits { bytes: Some(max), .. } if bytes >= max => Some(HeadFull::Bytes(max)),
            _ => None,
        };
        if let Some(full) = refused {
            self.metrics.series_refused.inc();
            if !self.full.swap(true, Ordering::Relaxed) {
                ferula_telemetry::error!(
                    "The head is full: new series are refused, existing ones continue",
                    component = "tsdb",
                    series = series,
                    estimated_bytes = bytes,
                    err = AppendError::from(full)
                );
            }
            return Err(full);
        }
        if self.full.load(Ordering::Relaxed) && self.full.swap(false, Ordering::Relaxed) {
            ferula_telemetry::info!("The head accepts new series again", component = "tsdb", series = series);
        }
        Ok(())
    }

    /// Estimated memory of the head in bytes, from the number of series and the size of their labels.
    pub fn bytes(&self) -> u64 {
        bytes(&self.index())
    }

    /// The limits; see [`Limits`].
    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }
}
