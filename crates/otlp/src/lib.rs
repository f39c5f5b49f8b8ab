//! Receives OTLP metrics: converts an `ExportMetricsServiceRequest`, as protobuf or JSON, to series.
//!
//! ```text
//! body ──gzip──▶ JSON ──json──▶ protobuf ──point──▶ points ──translate──▶ labels and samples ──Receiver──▶ Appender
//!                                            └── delta: adds up, if enabled
//! ```
//!
//! Names of metrics and labels follow `translation_strategy`; the other keys of the section `otlp` determine what of a resource or
//! scope becomes a label. A request is one commit: as in Prometheus, if a metric cannot be stored, the
//! whole request is undone.
//!
//! Always: messages are read in place, never built in memory as a whole; the memory of a request beyond its body is limited by its
//! largest point.

mod body;
mod delta;
mod json;
mod name;
mod point;
mod receiver;
mod translate;
mod value;

pub use body::{BodyError, Format};
pub use name::NameError;
pub use receiver::{Body, Features, OtlpError, Receiver};
pub use translate::TranslateError;
