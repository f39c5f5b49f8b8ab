//! What callers want of a page.

/// What callers want of a page beside the samples that every format has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageOptions {
    /// Native histograms of a protobuf page. Without it, one that has native and classic buckets is a classic one.
    pub native_histograms: bool,
    /// Classic histograms are returned also where a native one is: a native histogram's classic buckets, and what became
    /// one with custom buckets.
    pub keep_classic: bool,
    /// Classic histograms are returned as native ones with custom buckets.
    pub custom_buckets: bool,
    /// Start timestamps. The `_created` lines of an OpenMetrics page are no samples then.
    pub start_timestamps: bool,
}
