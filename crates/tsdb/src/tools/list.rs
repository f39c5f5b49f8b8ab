//! `tsdb list`: prints a table of blocks.

use std::io::Write;

use ferula_go::calendar::{Zoned, to_string_zoned};

use super::{ToolError, go_duration};
use crate::block::BlockMeta;

const TITLES: [&str; 8] =
    ["BLOCK ULID", "MIN TIME", "MAX TIME", "DURATION", "NUM SAMPLES", "NUM CHUNKS", "NUM SERIES", "SIZE"];
/// Minimum width of a column, including the gap after it.
const COLUMN_MIN: usize = 13;
const GAP: usize = 2;

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct ListedBlock<'a> {
    /// The content of `meta.json`.
    pub meta: &'a BlockMeta,
    /// Total size of its files, in bytes.
    pub bytes: u64,
}

/// Prints a row for each block, in the order given (oldest first), below a header row if `titles` is set.
/// `human` prints times and sizes in readable form.
pub fn list(
    blocks: &[ListedBlock<'_>],
    titles: bool,
    human: bool,
    out: &mut dyn Write,
) -> Result<(), ToolError> {
    let time = |millis: i64| if human { utc(millis) } else { millis.to_string() };
    let mut rows: Vec<[String; 8]> = Vec::new();
    rows.extend(titles.then(|| TITLES.map(str::to_owned)));
    rows.extend(blocks.iter().map(|block| {
        let meta = block.meta;
        [
            meta.ulid.to_string(),
            time(meta.min_time),
            time(meta.max_time),
            go_duration(meta.max_time.wrapping_sub(meta.min_time)),
            meta.stats.num_samples.to_string(),
            meta.stats.num_chunks.to_string(),
            meta.stats.num_series.to_string(),
            if human { binary_bytes(block.bytes) } else { block.bytes.to_string() },
        ]
    }));
    let width = |column: usize| {
        rows.iter().map(|row| row[column].chars().count() + GAP).max().unwrap_or(0).max(COLUMN_MIN)
    };
    let widths: [usize; 8] = std::array::from_fn(width);
    for row in &rows {
        for (cell, width) in row.iter().zip(widths).take(row.len() - 1) {
            write!(out, "{cell:width$}")?;
        }
        writeln!(out, "{}", row[row.len() - 1])?;
    }
    Ok(())
}

/// Formats a time of whole seconds as Go does: `2020-09-13 14:00:00 +0000 UTC`.
fn utc(millis: i64) -> String {
    to_string_zoned(&Zoned { seconds: millis / 1000, nanos: 0, offset_seconds: 0, zone: "UTC" })
}

/// Each power of 1024 with its own number: `16KiB319B`.
fn binary_bytes(mut bytes: u64) -> String {
    if bytes == 0 {
        return "0B".to_owned();
    }
    let mut text = String::new();
    for unit in ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] {
        if !bytes.is_multiple_of(1024) {
            text.insert_str(0, &format!("{}{unit}", bytes % 1024));
        }
        bytes /= 1024;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_look_like_gos() {
        assert_eq!(utc(1_600_005_600_999), "2020-09-13 14:00:00 +0000 UTC");
        assert_eq!(utc(0), "1970-01-01 00:00:00 +0000 UTC");
        assert_eq!(utc(951_782_400_000), "2000-02-29 00:00:00 +0000 UTC");
        assert_eq!(utc(-86_400_000), "1969-12-31 00:00:00 +0000 UTC");
        assert_eq!(utc(4_107_542_400_000), "2100-03-01 00:00:00 +0000 UTC");
        assert_eq!(binary_bytes(16_703), "16KiB319B");
        assert_eq!(binary_bytes(1 << 20), "1MiB");
        assert_eq!(binary_bytes(0), "0B");
    }
}
