//! Why a metric, or a whole request, is not translated.

use ferula_go::protobuf::ProtobufError;
use ferula_go::quote::go_quote;
use ferula_storage::{AppendError, OutOfMemory};

use crate::name::NameError;

/// Why a metric was not stored. The texts are Prometheus'.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TranslateError {
    #[error("invalid temporality and type combination for metric {}", go_quote(.0))]
    Temporality(String),
    #[error("could not get aggregation temporality for {0} as it has unsupported metric type Empty")]
    NoKind(String),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("cannot convert exponential to native histogram. Scale must be >= -4, was {0}")]
    Scale(i32),
    #[error("unsupported exemplar value type: Empty")]
    ExemplarValue,
    /// The store refused a sample.
    #[error(transparent)]
    Refused(AppendError),
    #[error("out of bounds: timestamp is too far in the future")]
    TooFarAhead,
    /// The points of a resource lie so far apart that it would get more samples of `target_info` than it may.
    #[error("out of bounds: the points of a resource lie too far apart")]
    TooFarApart,
}

/// What translation does not get over.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    #[error(transparent)]
    Protobuf(#[from] ProtobufError),
    #[error(transparent)]
    NoRoom(#[from] OutOfMemory),
}
