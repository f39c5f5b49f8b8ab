//! The histogram schemas, and which of them this version supports.

/// Schema of histograms whose bucket bounds are listed in `custom_values`.
pub const CUSTOM_BUCKETS_SCHEMA: i32 = -53;
/// Finest exponential schema.
pub const EXPONENTIAL_SCHEMA_MAX: i32 = 8;
/// Coarsest exponential schema.
pub const EXPONENTIAL_SCHEMA_MIN: i32 = -4;
/// Finest exponential schema that a page or a remote writer may send; it is reduced on input.
pub const EXPONENTIAL_SCHEMA_MAX_RESERVED: i32 = 52;
/// Coarsest exponential schema that the data model reserves.
pub const EXPONENTIAL_SCHEMA_MIN_RESERVED: i32 = -9;

/// Whether the bounds are listed explicitly.
pub const fn is_custom_buckets_schema(schema: i32) -> bool {
    schema == CUSTOM_BUCKETS_SCHEMA
}

/// Whether `schema` is an exponential one that can be stored and queried.
pub const fn is_exponential_schema(schema: i32) -> bool {
    schema >= EXPONENTIAL_SCHEMA_MIN && schema <= EXPONENTIAL_SCHEMA_MAX
}

/// Whether `schema` is exponential, including reserved finer and coarser ones.
pub const fn is_exponential_schema_reserved(schema: i32) -> bool {
    schema >= EXPONENTIAL_SCHEMA_MIN_RESERVED && schema <= EXPONENTIAL_SCHEMA_MAX_RESERVED
}
