//! Why a page could not be decompressed.

/// Why a page could not be decompressed. The texts for gzip are Go's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnpackError {
    /// The data is not gzip.
    #[error("gzip: invalid header")]
    Header,
    /// The checksum or length at the end does not match.
    #[error("gzip: invalid checksum")]
    Checksum,
    /// The data is truncated.
    #[error("unexpected EOF")]
    Truncated,
    /// There is no data.
    #[error("EOF")]
    Empty,
    /// The compressed data is invalid.
    #[error("flate: corrupt input")]
    Corrupt,
    /// The page is larger than allowed.
    #[error("body size limit exceeded")]
    TooLarge,
    /// The page does not fit into its current share of memory.
    #[error("no room for the page")]
    NoRoom,
    /// The data is not zstd, or damaged.
    #[error("zstd: {0}")]
    Zstd(String),
}
