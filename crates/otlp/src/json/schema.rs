//! The fields of a request: their names in JSON, numbers and types.

/// The type of a field.
#[derive(Clone, Copy)]
pub enum FieldKind {
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

impl PartialEq for FieldKind {
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
    pub kind: FieldKind,
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

const fn one(number: u32, camel: &'static str, snake: &'static str, kind: FieldKind) -> Field {
    Field { camel, snake, number, kind, repeated: false }
}

const fn many(number: u32, camel: &'static str, snake: &'static str, kind: FieldKind) -> Field {
    Field { camel, snake, number, kind, repeated: true }
}

/// `ExportMetricsServiceRequest`
pub static REQUEST: Message =
    Message(&[many(1, "resourceMetrics", "resource_metrics", FieldKind::Message(|| &RESOURCE_METRICS))]);

static RESOURCE_METRICS: Message = Message(&[
    one(1, "resource", "resource", FieldKind::Message(|| &RESOURCE)),
    many(2, "scopeMetrics", "scope_metrics", FieldKind::Message(|| &SCOPE_METRICS)),
    one(3, "schemaUrl", "schema_url", FieldKind::Text),
]);

static RESOURCE: Message = Message(&[many(1, "attributes", "attributes", FieldKind::Message(|| &KEY_VALUE))]);

static KEY_VALUE: Message = Message(&[
    one(1, "key", "key", FieldKind::Text),
    one(2, "value", "value", FieldKind::Message(|| &ANY_VALUE)),
]);

static ANY_VALUE: Message = Message(&[
    one(1, "stringValue", "string_value", FieldKind::Text),
    one(2, "boolValue", "bool_value", FieldKind::Bool),
    one(3, "intValue", "int_value", FieldKind::Signed64),
    one(4, "doubleValue", "double_value", FieldKind::Double),
    one(5, "arrayValue", "array_value", FieldKind::Message(|| &ARRAY_VALUE)),
    one(6, "kvlistValue", "kvlist_value", FieldKind::Message(|| &KEY_VALUE_LIST)),
    one(7, "bytesValue", "bytes_value", FieldKind::Base64),
]);

static ARRAY_VALUE: Message = Message(&[many(1, "values", "values", FieldKind::Message(|| &ANY_VALUE))]);

static KEY_VALUE_LIST: Message = Message(&[many(1, "values", "values", FieldKind::Message(|| &KEY_VALUE))]);

static SCOPE_METRICS: Message = Message(&[
    one(1, "scope", "scope", FieldKind::Message(|| &SCOPE)),
    many(2, "metrics", "metrics", FieldKind::Message(|| &METRIC)),
    one(3, "schemaUrl", "schema_url", FieldKind::Text),
]);

static SCOPE: Message = Message(&[
    one(1, "name", "name", FieldKind::Text),
    one(2, "version", "version", FieldKind::Text),
    many(3, "attributes", "attributes", FieldKind::Message(|| &KEY_VALUE)),
]);

static METRIC: Message = Message(&[
    one(1, "name", "name", FieldKind::Text),
    one(2, "description", "description", FieldKind::Text),
    one(3, "unit", "unit", FieldKind::Text),
    one(5, "gauge", "gauge", FieldKind::Message(|| &GAUGE)),
    one(7, "sum", "sum", FieldKind::Message(|| &SUM)),
    one(9, "histogram", "histogram", FieldKind::Message(|| &HISTOGRAM)),
    one(10, "exponentialHistogram", "exponential_histogram", FieldKind::Message(|| &EXPONENTIAL_HISTOGRAM)),
    one(11, "summary", "summary", FieldKind::Message(|| &SUMMARY)),
]);

const TEMPORALITY: FieldKind = FieldKind::Enum(&[
    "AGGREGATION_TEMPORALITY_UNSPECIFIED",
    "AGGREGATION_TEMPORALITY_DELTA",
    "AGGREGATION_TEMPORALITY_CUMULATIVE",
]);

static GAUGE: Message =
    Message(&[many(1, "dataPoints", "data_points", FieldKind::Message(|| &NUMBER_POINT))]);

static SUM: Message = Message(&[
    many(1, "dataPoints", "data_points", FieldKind::Message(|| &NUMBER_POINT)),
    one(2, "aggregationTemporality", "aggregation_temporality", TEMPORALITY),
    one(3, "isMonotonic", "is_monotonic", FieldKind::Bool),
]);

static HISTOGRAM: Message = Message(&[
    many(1, "dataPoints", "data_points", FieldKind::Message(|| &HISTOGRAM_POINT)),
    one(2, "aggregationTemporality", "aggregation_temporality", TEMPORALITY),
]);

static EXPONENTIAL_HISTOGRAM: Message = Message(&[
    many(1, "dataPoints", "data_points", FieldKind::Message(|| &EXPONENTIAL_POINT)),
    one(2, "aggregationTemporality", "aggregation_temporality", TEMPORALITY),
]);

static SUMMARY: Message =
    Message(&[many(1, "dataPoints", "data_points", FieldKind::Message(|| &SUMMARY_POINT))]);

static NUMBER_POINT: Message = Message(&[
    one(2, "startTimeUnixNano", "start_time_unix_nano", FieldKind::Fixed64),
    one(3, "timeUnixNano", "time_unix_nano", FieldKind::Fixed64),
    one(4, "asDouble", "as_double", FieldKind::Double),
    many(5, "exemplars", "exemplars", FieldKind::Message(|| &EXEMPLAR)),
    one(6, "asInt", "as_int", FieldKind::SignedFixed64),
    many(7, "attributes", "attributes", FieldKind::Message(|| &KEY_VALUE)),
    one(8, "flags", "flags", FieldKind::Unsigned32),
]);

static HISTOGRAM_POINT: Message = Message(&[
    one(2, "startTimeUnixNano", "start_time_unix_nano", FieldKind::Fixed64),
    one(3, "timeUnixNano", "time_unix_nano", FieldKind::Fixed64),
    one(4, "count", "count", FieldKind::Fixed64),
    one(5, "sum", "sum", FieldKind::Double),
    many(6, "bucketCounts", "bucket_counts", FieldKind::Fixed64),
    many(7, "explicitBounds", "explicit_bounds", FieldKind::Double),
    many(8, "exemplars", "exemplars", FieldKind::Message(|| &EXEMPLAR)),
    many(9, "attributes", "attributes", FieldKind::Message(|| &KEY_VALUE)),
    one(10, "flags", "flags", FieldKind::Unsigned32),
]);

static EXPONENTIAL_POINT: Message = Message(&[
    many(1, "attributes", "attributes", FieldKind::Message(|| &KEY_VALUE)),
    one(2, "startTimeUnixNano", "start_time_unix_nano", FieldKind::Fixed64),
    one(3, "timeUnixNano", "time_unix_nano", FieldKind::Fixed64),
    one(4, "count", "count", FieldKind::Fixed64),
    one(5, "sum", "sum", FieldKind::Double),
    one(6, "scale", "scale", FieldKind::Zigzag32),
    one(7, "zeroCount", "zero_count", FieldKind::Fixed64),
    one(8, "positive", "positive", FieldKind::Message(|| &BUCKETS)),
    one(9, "negative", "negative", FieldKind::Message(|| &BUCKETS)),
    one(10, "flags", "flags", FieldKind::Unsigned32),
    many(11, "exemplars", "exemplars", FieldKind::Message(|| &EXEMPLAR)),
    one(14, "zeroThreshold", "zero_threshold", FieldKind::Double),
]);

static BUCKETS: Message = Message(&[
    one(1, "offset", "offset", FieldKind::Zigzag32),
    many(2, "bucketCounts", "bucket_counts", FieldKind::Unsigned64),
]);

static SUMMARY_POINT: Message = Message(&[
    one(2, "startTimeUnixNano", "start_time_unix_nano", FieldKind::Fixed64),
    one(3, "timeUnixNano", "time_unix_nano", FieldKind::Fixed64),
    one(4, "count", "count", FieldKind::Fixed64),
    one(5, "sum", "sum", FieldKind::Double),
    many(6, "quantileValues", "quantile_values", FieldKind::Message(|| &QUANTILE)),
    many(7, "attributes", "attributes", FieldKind::Message(|| &KEY_VALUE)),
    one(8, "flags", "flags", FieldKind::Unsigned32),
]);

static QUANTILE: Message = Message(&[
    one(1, "quantile", "quantile", FieldKind::Double),
    one(2, "value", "value", FieldKind::Double),
]);

static EXEMPLAR: Message = Message(&[
    one(2, "timeUnixNano", "time_unix_nano", FieldKind::Fixed64),
    one(3, "asDouble", "as_double", FieldKind::Double),
    one(4, "spanId", "span_id", FieldKind::Hex),
    one(5, "traceId", "trace_id", FieldKind::Hex),
    one(6, "asInt", "as_int", FieldKind::SignedFixed64),
    many(7, "filteredAttributes", "filtered_attributes", FieldKind::Message(|| &KEY_VALUE)),
]);
