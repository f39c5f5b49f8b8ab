//! The data model: label sets, matchers, timestamps, values, histograms, samples, alerts, relabel rules.
//!
//! Here: the types that crates pass to each other, and the few rules that belong to a single type: the order and
//! hash of label sets, the anchoring of matchers' regexes, the staleness marker, the syntax of durations. Elsewhere:
//! what Go's library does (`ferula-go`), I/O, async, every file format.

pub mod alert;
pub mod duration;
pub mod histogram;
pub mod labels;
pub mod matcher;
pub mod metadata;
pub mod metric_family;
pub mod regex;
pub mod relabel;
pub mod sample;
pub mod timestamp;
pub mod value;

pub use alert::{Alert, AlertSink, UnixNanos};
pub use histogram::{CounterResetHint, FloatHistogram, Histogram, HistogramValue, Span};
pub use labels::{LabelSet, LabelSetBuilder, NameScheme};
pub use matcher::{MatchOp, Matcher};
pub use metadata::{MetricMetadata, MetricType};
pub use metric_family::{Metric, MetricFamily, MetricValue};
pub use sample::{Exemplar, SeriesRef};
pub use timestamp::{TimeRange, Timestamp};
