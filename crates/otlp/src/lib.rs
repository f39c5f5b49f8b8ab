//! OTLP metrics in: `ExportMetricsServiceRequest`, as protobuf or JSON, to series.
//!
//! ```text
//! body ──gzip──▶ JSON ──json──▶ protobuf ──point──▶ points ──translate──▶ labels and samples ──Receiver──▶ Appender
//!                                            └── delta: adds up, if asked for
//! ```
//!
//! Names of metrics and labels follow `translation_strategy`; what becomes a label of a resource or scope follows the
//! other keys of the section `otlp`. A request is one commit: as in Prometheus, a metric that cannot be stored takes the
//! whole request back.
//!
//! Always true: messages are walked, never built in memory whole; what a request holds beyond its body is bounded by its
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
