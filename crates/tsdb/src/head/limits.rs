//! Bounds of the head at which new series are refused. Series that are there continue.

use std::sync::atomic::Ordering;

use ferula_storage::AppendError;

use super::{Head, Index};

/// Bounds of a head.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limits {
    /// How many series there may be.
    pub series: Option<u64>,
    /// How many bytes they may take, as [`Head::bytes`] estimates it.
    pub bytes: Option<u64>,
}

/// What a series takes in memory beside its labels: slot, open chunk, list of full chunks, an entry in a scraper's
/// cache. Measured at 330 to 420 bytes with floats; the rest is for the allocator.
const SERIES_BYTES: u64 = 512;

/// The head takes no new series.
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
    /// Whether there is room for one more series. A change is logged once, not for every series.
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

    /// Bytes that the head takes in memory, estimated from the number of series and the length of their labels.
    pub fn bytes(&self) -> u64 {
        bytes(&self.index())
    }

    /// The bounds; see [`Limits`].
    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }
}
