//! What callers want from a page.

/// What callers want from a page, in addition to its float samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageOptions {
    /// Return native histograms of a protobuf page. Without it, a histogram with native and classic buckets is a
    /// classic one.
    pub native_histograms: bool,
    /// Return classic histograms even if there is a native one: the classic buckets of a native histogram, and those
    /// converted to custom buckets.
    pub keep_classic: bool,
    /// Return classic histograms as native ones with custom buckets.
    pub custom_buckets: bool,
    /// Return start timestamps. The `_created` lines of an OpenMetrics page are then not samples.
    pub start_timestamps: bool,
}
