//! The fields of a request: their names in JSON, numbers and types.

/// The type of a field.
#[derive(Clone, Copy)]
pub enum Kind {
    Message(fn() -> &'static Message),
    Text,
    Bool,
    Double,
    Fixed64,
    SignedFixed64,
    Unsigned32,
    Unsigned64,
    Zigzag32,
    Signed64,
    /// Names of the numbers from 0 on.
    Enum(&'static [&'static str]),
    Base64,
    Hex,
}

impl PartialEq for Kind {
    /// By kind alone.
    fn eq(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

/// One field.
pub struct Field {
    pub camel: &'static str,
    snake: &'static str,
    pub number: u32,
    pub kind: Kind,
    pub repeated: bool,
}

/// The fields of a message that are used.
pub struct Message(&'static [Field]);

impl Message {
    /// The field of this name.
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.0.iter().find(|field| field.camel == name || field.snake == name)
    }
}

const fn one(number: u32, camel: &'static str, snake: &'static str, kind: Kind) -> Field {
    Field { camel, snake, number, kind, repeated: false }
}

const fn many(number: u32, camel: &'static str, snake: &'static str, kind: Kind) -> Field {
    Field { camel, snake, number, kind, repeated: true }
}

/// `ExportMetricsServiceRequest`
pub static REQUEST: Message =
    Message(&[many(1, "resourceMetrics", "resource_metrics", Kind::Message(|| &RESOURCE_METRICS))]);

static RESOURCE_METRICS: Message = Message(&[
    one(1, "resource", "resource", Kind::Message(|| &RESOURCE)),
    many(2, "scopeMetrics", "scope_metrics", Kind::Message(|| &SCOPE_METRICS)),
    one(3, "schemaUrl", "schema_url", Kind::Text),
]);

static RESOURCE: Message = Message(&[many(1, "attributes", "attributes", Kind::Message(|| &KEY_VALUE))]);

static KEY_VALUE: Message =
    Message(&[one(1, "key", "key", Kind::Text), one(2, "value", "value", Kind::Message(|| &ANY_VALUE))]);

static ANY_VALUE: Message = Message(&[
    one(1, "stringValue", "string_value", Kind::Text),
    one(2, "boolValue", "bool_value", Kind::Bool),
    one(3, "intValue", "int_value", Kind::Signed64),
    one(4, "doubleValue", "double_value", Kind::Double),
    one(5, "arrayValue", "array_value", Kind::Message(|| &ARRAY_VALUE)),
    one(6, "kvlistValue", "kvlist_value", Kind::Message(|| &KEY_VALUE_LIST)),
    one(7, "bytesValue", "bytes_value", Kind::Base64),
]);

static ARRAY_VALUE: Message = Message(&[many(1, "values", "values", Kind::Message(|| &ANY_VALUE))]);

static KEY_VALUE_LIST: Message = Message(&[many(1, "values", "values", Kind::Message(|| &KEY_VALUE))]);

static SCOPE_METRICS: Message = Message(&[
    one(1, "scope", "scope", Kind::Message(|| &SCOPE)),
    many(2, "metrics", "metrics", Kind::Message(|| &METRIC)),
    one(3, "schemaUrl", "schema_url", Kind::Text),
]);

static SCOPE: Message = Message(&[
    one(1, "name", "name", Kind::Text),
    one(2, "version", "version", Kind::Text),
    many(3, "attributes", "attributes", Kind::Message(|| &KEY_VALUE)),
]);

static METRIC: Message = Message(&[
    one(1, "name", "name", Kind::Text),
    one(2, "description", "description", Kind::Text),
    one(3, "unit", "unit", Kind::Text),
    one(5, "gauge", "gauge", Kind::Message(|| &GAUGE)),
    one(7, "sum", "sum", Kind::Message(|| &SUM)),
    one(9, "histogram", "histogram", Kind::Message(|| &HISTOGRAM)),
    one(10, "exponentialHistogram", "exponential_histogram", Kind::Message(|| &EXPONENTIAL_HISTOGRAM)),
    one(11, "summary", "summary", Kind::Message(|| &SUMMARY)),
]);

const TEMPORALITY: Kind = Kind::Enum(&[
    "AGGREGATION_TEMPORALITY_UNSPECIFIED",
    "AGGREGATION_TEMPORALITY_DELTA",
    "AGGREGATION_TEMPORALITY_CUMULATIVE",
]);

static GAUGE: Message = Message(&[many(1, "dataPoints", "data_points", Kind::Message(|| &NUMBER_POINT))]);

static SUM: Message = Message(&[
    many(1, "dataPoints", "data_points", Kind::Message(|| &NUMBER_POINT)),
    one(2, "aggregationTemporality", "aggregation_temporality", TEMPORALITY),
    one(3, "isMonotonic", "is_monotonic", Kind::Bool),
]);

static HISTOGRAM: Message = Message(&[
    many(1, "dataPoints", "data_points", Kind::Message(|| &HISTOGRAM_POINT)),
    one(2, "aggregationTemporality", "aggregation_temporality", TEMPORALITY),
]);

static EXPONENTIAL_HISTOGRAM: Message = Message(&[
    many(1, "dataPoints", "data_points", Kind::Message(|| &EXPONENTIAL_POINT)),
    one(2, "aggregationTemporality", "aggregation_temporality", TEMPORALITY),
]);

static SUMMARY: Message = Message(&[many(1, "dataPoints", "data_points", Kind::Message(|| &SUMMARY_POINT))]);

static NUMBER_POINT: Message = Message(&[
    one(2, "startTimeUnixNano", "start_time_unix_nano", Kind::Fixed64),
    one(3, "timeUnixNano", "time_unix_nano", Kind::Fixed64),
    one(4, "asDouble", "as_double", Kind::Double),
    many(5, "exemplars", "exemplars", Kind::Message(|| &EXEMPLAR)),
    one(6, "asInt", "as_int", Kind::SignedFixed64),
    many(7, "attributes", "attributes", Kind::Message(|| &KEY_VALUE)),
    one(8, "flags", "flags", Kind::Unsigned32),
]);

static HISTOGRAM_POINT: Message = Message(&[
    one(2, "startTimeUnixNano", "start_time_unix_nano", Kind::Fixed64),
    one(3, "timeUnixNano", "time_unix_nano", Kind::Fixed64),
    one(4, "count", "count", Kind::Fixed64),
    one(5, "sum", "sum", Kind::Double),
    many(6, "bucketCounts", "bucket_counts", Kind::Fixed64),
    many(7, "explicitBounds", "explicit_bounds", Kind::Double),
    many(8, "exemplars", "exemplars", Kind::Message(|| &EXEMPLAR)),
    many(9, "attributes", "attributes", Kind::Message(|| &KEY_VALUE)),
    one(10, "flags", "flags", Kind::Unsigned32),
]);

static EXPONENTIAL_POINT: Message = Message(&[
    many(1, "attributes", "attributes", Kind::Message(|| &KEY_VALUE)),
    one(2, "startTimeUnixNano", "start_time_unix_nano", Kind::Fixed64),
    one(3, "timeUnixNano", "time_unix_nano", Kind::Fixed64),
    one(4, "count", "count", Kind::Fixed64),
    one(5, "sum", "sum", Kind::Double),
    one(6, "scale", "scale", Kind::Zigzag32),
    one(7, "zeroCount", "zero_count", Kind::Fixed64),
    one(8, "positive", "positive", Kind::Message(|| &BUCKETS)),
    one(9, "negative", "negative", Kind::Message(|| &BUCKETS)),
    one(10, "flags", "flags", Kind::Unsigned32),
    many(11, "exemplars", "exemplars", Kind::Message(|| &EXEMPLAR)),
    one(14, "zeroThreshold", "zero_threshold", Kind::Double),
]);

static BUCKETS: Message = Message(&[
    one(1, "offset", "offset", Kind::Zigzag32),
    many(2, "bucketCounts", "bucket_counts", Kind::Unsigned64),
]);

static SUMMARY_POINT: Message = Message(&[
    one(2, "startTimeUnixNano", "start_time_unix_nano", Kind::Fixed64),
    one(3, "timeUnixNano", "time_unix_nano", Kind::Fixed64),
    one(4, "count", "count", Kind::Fixed64),
    one(5, "sum", "sum", Kind::Double),
    many(6, "quantileValues", "quantile_values", Kind::Message(|| &QUANTILE)),
    many(7, "attributes", "attributes", Kind::Message(|| &KEY_VALUE)),
    one(8, "flags", "flags", Kind::Unsigned32),
]);

static QUANTILE: Message =
    Message(&[one(1, "quantile", "quantile", Kind::Double), one(2, "value", "value", Kind::Double)]);

static EXEMPLAR: Message = Message(&[
    one(2, "timeUnixNano", "time_unix_nano", Kind::Fixed64),
    one(3, "asDouble", "as_double", Kind::Double),
    one(4, "spanId", "span_id", Kind::Hex),
    one(5, "traceId", "trace_id", Kind::Hex),
    one(6, "asInt", "as_int", Kind::SignedFixed64),
    many(7, "filteredAttributes", "filtered_attributes", Kind::Message(|| &KEY_VALUE)),
]);
