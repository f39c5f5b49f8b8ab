//! Why a protobuf page is invalid.

use ferula_go::protobuf::ProtobufError;
use ferula_go::quote::go_quote;
use ferula_model::histogram::ClassicError;

/// Why a body is not a valid page.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum MessageError {
    #[error("{0}")]
    Wire(#[from] ProtobufError),
    /// The length before a family is invalid.
    #[error("clientpb: invalid varint encountered")]
    Length,
    /// The body ends inside a family.
    #[error("clientpb: insufficient length of buffer, expected at least {needed} bytes, got {found} bytes")]
    TooShort { needed: u64, found: usize },
    #[error("invalid metric name: {0}")]
    MetricName(String),
    #[error("invalid help for metric {}: {help}", go_quote(.metric))]
    Help { metric: String, help: String },
    #[error("unknown metric type for metric {}: {number}", go_quote(.metric))]
    Type { metric: String, number: i32 },
    /// The spans of a native histogram do not match its number of buckets.
    #[error("histogram {}: {side} side: spans require {required} buckets, have {found}", go_quote(.metric))]
    Spans { metric: String, side: &'static str, required: u64, found: usize },
    /// Name and labels stand once for many series, which have far more of them than the page has bytes.
    #[error("names and labels of all series have more than {0} bytes")]
    Repeated(u64),
    /// A classic histogram cannot be made one with custom buckets.
    #[error("{0}")]
    Classic(#[from] ClassicError),
}
