//! `meta.json`: name, range of time, statistics and ancestry of a block; see docs/format/meta.md.
//!
//! Unknown keys are preserved, so that what Thanos and other programs store there survives.

use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::{BlockError, Ulid};
use crate::disk::{Disk, read_file, write_whole};
use crate::ids::TimeSpan;

/// Name of the file in the block's directory.
pub const META_FILE: &str = "meta.json";
const VERSION: u32 = 1;
/// Far more than any block has; a file of this size is something else.
pub(super) const META_BYTES_MAX: u64 = 64 << 20;

/// The block consists only of out-of-order samples.
pub const HINT_OUT_OF_ORDER: &str = "from-out-of-order";
/// The block consists only of series that had become stale.
pub const HINT_STALE_SERIES: &str = "from-stale-series";
/// The block consists only of selected series.
pub const HINT_SELECTED_SERIES: &str = "from-selected-series";

/// The content of `meta.json`. Times are in milliseconds since the epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockMeta {
    /// The name of the block, which is also that of its directory.
    pub ulid: Ulid,
    /// No sample is older than this.
    pub min_time: i64,
    /// All samples are older than this.
    pub max_time: i64,
    #[serde(default, deserialize_with = "or_default")]
    pub stats: BlockStats,
    /// The block's origin.
    #[serde(default, deserialize_with = "or_default")]
    pub compaction: Ancestry,
    /// Always 1.
    #[serde(default)]
    pub version: u32,
    /// Unknown keys.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Statistics of a block's content. Zeros are omitted from the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BlockStats {
    /// Samples of all kinds.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_samples: u64,
    /// Floats among them.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_float_samples: u64,
    /// Histograms among them.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_histogram_samples: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_series: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_chunks: u64,
    /// Deleted ranges of time, one per series and range.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_tombstones: u64,
}

/// The blocks from which a block was created.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ancestry {
    /// 1 for a block from the head; otherwise one more than the highest level of its parents.
    #[serde(default)]
    pub level: u32,
    /// The blocks from the head that went into it.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Ulid>,
    /// All its samples are deleted; the next reload removes it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deletable: bool,
    /// Its direct parents.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<BlockDesc>,
    /// A compaction of it failed and is not retried.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub failed: bool,
    /// The kind of samples in it; see the `HINT_` constants.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
    /// Unknown keys.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A block's name and time range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockDesc {
    pub ulid: Ulid,
    /// No sample is older than this.
    pub min_time: i64,
    /// All samples are older than this.
    pub max_time: i64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Go writes empty lists as `null`.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

impl Ancestry {
    /// Whether the block has this hint.
    pub fn has_hint(&self, hint: &str) -> bool {
        self.hints.iter().any(|h| h == hint)
    }

    /// Adds a hint; hints are sorted and unique.
    pub fn set_hint(&mut self, hint: &str) {
        if !self.has_hint(hint) {
            self.hints.push(hint.to_owned());
            self.hints.sort();
        }
    }
}

/// Why a text is not a valid `meta.json`.
#[derive(Debug, thiserror::Error)]
pub enum MetaError {
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    #[error("unexpected meta file version {0}")]
    Version(u32),
}

impl BlockMeta {
    /// The meta of a block that is created from the head or from given samples.
    pub fn level_1(ulid: Ulid, min_time: i64, max_time: i64) -> Self {
        BlockMeta {
            ulid,
            min_time,
            max_time,
            compaction: Ancestry { level: 1, sources: vec![ulid], ..Ancestry::default() },
            version: VERSION,
            ..BlockMeta::default()
        }
    }

    /// Name and time range.
    pub fn desc(&self) -> BlockDesc {
        BlockDesc { ulid: self.ulid, min_time: self.min_time, max_time: self.max_time }
    }

    /// Whether the block can only be the result of a wrong clock: it begins more than a block's length in the
    /// future.
    pub fn is_of_future(&self, now_ms: i64, block_ms: i64) -> bool {
        self.min_time > now_ms.saturating_add(block_ms)
    }

    /// The time range of its samples.
    pub fn span(&self) -> TimeSpan {
        TimeSpan::new(self.min_time, self.max_time)
    }

    /// Whether it may have samples in the span.
    pub fn overlaps(&self, span: TimeSpan) -> bool {
        self.span().overlaps(span)
    }

    /// Parses the output of [`to_json`](Self::to_json) or of Prometheus.
    ///
    /// # Errors
    /// The text is invalid or has another version.
    pub fn from_json(json: &[u8]) -> Result<Self, MetaError> {
        let meta: BlockMeta = serde_json::from_slice(json)?;
        if meta.version != VERSION {
            return Err(MetaError::Version(meta.version));
        }
        Ok(meta)
    }

    /// The content of the file, indented with tabs as in Prometheus.
    pub fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let tabs = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut serializer = serde_json::Serializer::with_formatter(&mut out, tabs);
        self.serialize(&mut serializer).expect("the fields are numbers, texts and lists of them");
        out
    }

    /// Reads the file in a block's directory.
    pub fn read(disk: &dyn Disk, block_dir: &Path) -> Result<Self, BlockError> {
        let path = block_dir.join(META_FILE);
        let json = read_file(disk, &path, META_BYTES_MAX).map_err(|e| BlockError::io(&path, e))?;
        Self::from_json(&json).map_err(|error| BlockError::corrupt(&path, 0, error.to_string()))
    }

    /// Writes the file in a block's directory: writes under another name, syncs, then renames.
    pub fn write(&self, disk: &dyn Disk, block_dir: &Path) -> Result<(), BlockError> {
        let path = block_dir.join(META_FILE);
        write_whole(disk, &path, &self.to_json()).map_err(|error| BlockError::io(&path, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Prometheus 3.5 wrote it, with keys that Thanos adds.
    const FOREIGN: &str = "{\n\t\"ulid\": \"01BKGV7JBM69T2G1BGBGM6KB12\",\n\t\"minTime\": -5,\n\t\"maxTime\": 10,\n\t\"stats\": {\n\t\t\"numSamples\": 2,\n\t\t\"numSeries\": 1\n\t},\n\t\"compaction\": {\n\t\t\"level\": 1,\n\t\t\"sources\": [\n\t\t\t\"01BKGV7JBM69T2G1BGBGM6KB12\"\n\t\t],\n\t\t\"hints\": [\n\t\t\t\"from-out-of-order\"\n\t\t]\n\t},\n\t\"version\": 1,\n\t\"thanos\": {\n\t\t\"labels\": {\n\t\t\t\"a\": \"b\"\n\t\t}\n\t}\n}";

    #[test]
    fn a_foreign_file_is_preserved_byte_for_byte() {
        let meta = BlockMeta::from_json(FOREIGN.as_bytes()).expect("readable");
        assert_eq!((meta.min_time, meta.max_time, meta.stats.num_series), (-5, 10, 1));
        assert!(meta.compaction.has_hint(HINT_OUT_OF_ORDER));
        assert_eq!(String::from_utf8(meta.to_json()).expect("text"), FOREIGN);
    }

    #[test]
    fn an_empty_block_has_empty_stats_as_go_prints_them() {
        let meta = BlockMeta::level_1(Ulid::new(0, 1), 0, 1);
        let json = String::from_utf8(meta.to_json()).expect("text");
        assert!(json.contains("\"stats\": {},"), "{json}");
    }

    #[test]
    fn null_lists_and_missing_parts_are_empty() {
        let json = r#"{"ulid":"01BKGV7JBM69T2G1BGBGM6KB12","minTime":0,"maxTime":1,"compaction":{"level":1,"sources":null},"version":1}"#;
        let meta = BlockMeta::from_json(json.as_bytes()).expect("readable");
        assert!(meta.compaction.sources.is_empty());
        let other = json.replace("\"version\":1", "\"version\":3");
        assert!(matches!(BlockMeta::from_json(other.as_bytes()), Err(MetaError::Version(3))));
        assert!(BlockMeta::from_json(b"{").is_err());
    }
}
