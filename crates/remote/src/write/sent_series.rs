//! A series of a request, and what is known about it.

use ferula_model::SeriesRef;
use ferula_storage::AppendError;

use super::label_check::LabelProblem;
use super::message::TimeSeries;
use super::plain_series;
use crate::protobuf::ProtobufError;

/// A series of a request.
pub(super) struct SentSeries<'a> {
    pub(super) series: TimeSeries<'a>,
    /// The bytes of all labels; `None` if other fields are between them.
    pub(super) label_bytes: Option<&'a [u8]>,
    /// The samples, if the series is in the plain shape.
    pub(super) plain_samples: Option<&'a [u8]>,
    pub(super) state: SeriesState,
}

/// What is known about a series of a request.
pub(super) enum SeriesState {
    Unresolved,
    /// A series of the store.
    Known(SeriesRef),
    /// The labels are invalid.
    Invalid(LabelProblem),
    /// The store is at this limit.
    Refused(AppendError),
}

impl<'a> SentSeries<'a> {
    #[inline]
    pub(super) fn new(series: TimeSeries<'a>) -> Result<Self, ProtobufError> {
        let (label_bytes, plain_samples) = match plain_series::labels_end(series.message()) {
            Some(end) => {
                let (labels, samples) = series.message().split_at(end);
                (Some(labels), Some(samples))
            }
            None => (series.label_bytes()?, None),
        };
        Ok(SentSeries { series, label_bytes, plain_samples, state: SeriesState::Unresolved })
    }
}
