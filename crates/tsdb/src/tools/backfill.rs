//! `tsdb create-blocks-from`: creates blocks from samples of a file or a rule.
//!
//! The samples of one block are collected in memory and cut into chunks like those of the head. The rules for
//! out-of-order samples are those of `promtool`, which commits every 5,000 samples: a sample older than a
//! committed one is an error, and one that is only older than an uncommitted one is skipped.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use ferula_chunk::{XorChunk, XorWriter};
use ferula_model::{LabelSet, TimeRange, Timestamp};
use ferula_storage::AppendError;

use crate::block::{BlockChunk, BlockError, BlockMeta, BlockOptions, HINT_OUT_OF_ORDER, Ulid};
use crate::compact::{SeriesSource, SourceSeries, block_ranges, write_block};
use crate::disk::Disk;
use crate::ids::TimeSpan;

const SAMPLES_PER_COMMIT: u32 = 5000;
const SAMPLES_PER_CHUNK: u16 = 120;
const CHUNK_BYTES_MAX: usize = 1024;
const HOURS_2_MS: i64 = 2 * 3_600_000;

/// The length of blocks if at most `max_ms` is requested: two hours, or the longest of 6 h, 18 h, … that
/// fits.
pub fn backfill_block_duration(max_ms: i64) -> i64 {
    block_ranges(HOURS_2_MS, max_ms).last().copied().unwrap_or(HOURS_2_MS)
}

/// The spans of the blocks for samples in `range`.
pub fn backfill_windows(range: TimeRange, block_duration_ms: i64) -> impl Iterator<Item = TimeSpan> {
    let (first, last) = (range.start.millis(), range.end.millis());
    let first = first / block_duration_ms * block_duration_ms;
    std::iter::successors(Some(first), move |start| start.checked_add(block_duration_ms))
        .take_while(move |start| *start <= last)
        .map(move |start| TimeSpan::new(start, start.saturating_add(block_duration_ms)))
}

/// The samples of a future block.
#[derive(Debug)]
pub struct Backfill {
    series: BTreeMap<LabelSet, Series>,
    /// Chunks end at multiples of this range, as in a head.
    chunk_range_ms: i64,
    span: TimeSpan,
    commit: u32,
    uncommitted: u32,
    beside_head: bool,
}

#[derive(Debug)]
struct Series {
    done: Vec<BlockChunk>,
    open: XorChunk,
    open_start: i64,
    next_cut: i64,
    /// Timestamp and value of the last sample, and the number of its commit.
    last: (i64, f64, u32),
    /// Timestamp and value of the last sample of an earlier commit.
    committed: Option<(i64, f64)>,
}

impl Backfill {
    /// Creates an empty collection for a block of this length.
    pub fn new(block_duration_ms: i64) -> Self {
        Backfill {
            series: BTreeMap::new(),
            chunk_range_ms: block_duration_ms.saturating_mul(2).max(1),
            span: TimeSpan::EMPTY,
            commit: 0,
            uncommitted: 0,
            beside_head: false,
        }
    }

    /// The block may extend into the time of a head. Unlike other blocks, it does not imply that the head's
    /// samples of its time are already in blocks.
    #[must_use]
    pub fn beside_head(self) -> Self {
        Backfill { beside_head: true, ..self }
    }

    /// Adds a sample.
    ///
    /// # Errors
    /// Its series has a newer sample, or another value at this time.
    pub fn append(&mut self, labels: &LabelSet, timestamp: Timestamp, value: f64) -> Result<(), AppendError> {
        let timestamp = timestamp.millis();
        let commit = self.commit;
        let mut taken = true;
        match self.series.get_mut(labels) {
            Some(series) => {
                series.check(timestamp, value, commit)?;
                taken = series.push(timestamp, value, commit, self.chunk_range_ms);
            }
            None => {
                let series = Series::begin(timestamp, value, commit, self.chunk_range_ms);
                self.series.insert(labels.clone(), series);
            }
        }
        if taken {
            self.span = self.span.cover(TimeSpan::closed(timestamp, timestamp));
        }
        self.uncommitted += 1;
        if self.uncommitted == SAMPLES_PER_COMMIT {
            self.commit += 1;
            self.uncommitted = 0;
        }
        Ok(())
    }

    /// Writes the block `ulid` to `data_dir`. `None` if there are no samples.
    pub fn write(
        self,
        disk: &Arc<dyn Disk>,
        data_dir: &Path,
        ulid: Ulid,
        options: &BlockOptions,
    ) -> Result<Option<BlockMeta>, BlockError> {
        let Some(span) = self.span.some() else { return Ok(None) };
        let mut meta = BlockMeta::level_1(ulid, span.start(), span.end());
        if self.beside_head {
            meta.compaction.set_hint(HINT_OUT_OF_ORDER);
        }
        let source = Source::new(self.series, data_dir);
        write_block(disk, data_dir, meta, vec![Box::new(source)], options, &|| true)
    }
}

/// The end of the chunk range that contains `t`.
fn range_end(t: i64, range: i64) -> i64 {
    (t / range).saturating_mul(range).saturating_add(range)
}

impl Series {
    fn begin(timestamp: i64, value: f64, commit: u32, range: i64) -> Self {
        let mut open = XorChunk::new();
        open.push(timestamp, value);
        Series {
            done: Vec::new(),
            open,
            open_start: timestamp,
            next_cut: range_end(timestamp, range),
            last: (timestamp, value, commit),
            committed: None,
        }
    }

    fn check(&mut self, timestamp: i64, value: f64, commit: u32) -> Result<(), AppendError> {
        if self.last.2 < commit {
            self.committed = Some((self.last.0, self.last.1));
        }
        match self.committed {
            Some((last, _)) if timestamp < last => Err(AppendError::OutOfOrder),
            Some((last, other)) if timestamp == last && value.to_bits() != other.to_bits() => {
                Err(AppendError::DuplicateForTimestamp)
            }
            _ => Ok(()),
        }
    }

    /// Whether the sample was newer than the last one; others are skipped.
    fn push(&mut self, timestamp: i64, value: f64, commit: u32, range: i64) -> bool {
        if timestamp <= self.last.0 {
            return false;
        }
        let samples = self.open.writer().len();
        if samples == SAMPLES_PER_CHUNK / 4 {
            self.next_cut = even_end(self.open_start, self.last.0, self.next_cut);
        }
        let full = self.open.byte_len() > CHUNK_BYTES_MAX - XorWriter::SAMPLE_BYTES_MAX;
        if full || timestamp >= self.next_cut || samples >= 2 * SAMPLES_PER_CHUNK {
            self.done.extend(self.open.take().map(BlockChunk::from));
            self.open_start = timestamp;
            self.next_cut = range_end(timestamp, range);
        }
        self.open.push(timestamp, value);
        self.last = (timestamp, value, commit);
        true
    }
}

/// Where a chunk that is a quarter full should end, so that the chunks of its range have about the same
/// length.
fn even_end(start: i64, now: i64, end: i64) -> i64 {
    let range = end.saturating_sub(start) as f64;
    let chunks = range / ((now.saturating_sub(start) as f64 + 1.0) * 4.0);
    if chunks <= 1.0 { end } else { (start as f64 + range / chunks.floor()) as i64 }
}

/// The collected series in order, for the block writer.
struct Source {
    symbols: std::vec::IntoIter<String>,
    symbol: String,
    numbers: BTreeMap<String, u32>,
    series: std::collections::btree_map::IntoIter<LabelSet, Series>,
    place: std::path::PathBuf,
}

impl Source {
    fn new(series: BTreeMap<LabelSet, Series>, place: &Path) -> Self {
        let mut texts = std::collections::BTreeSet::new();
        for (name, value) in series.keys().flat_map(LabelSet::iter) {
            for text in [name, value] {
                if !texts.contains(text) {
                    texts.insert(text.to_owned());
                }
            }
        }
        Source {
            numbers: texts.iter().cloned().zip(0..).collect(),
            symbols: texts.into_iter().collect::<Vec<_>>().into_iter(),
            symbol: String::new(),
            series: series.into_iter(),
            place: place.to_path_buf(),
        }
    }
}

impl SeriesSource for Source {
    fn next_symbol(&mut self) -> Result<Option<&str>, BlockError> {
        let Some(symbol) = self.symbols.next() else { return Ok(None) };
        self.symbol = symbol;
        Ok(Some(&self.symbol))
    }

    fn next_series(&mut self, out: &mut SourceSeries) -> Result<bool, BlockError> {
        let Some((labels, mut series)) = self.series.next() else { return Ok(false) };
        out.clear();
        out.labels.extend(labels.iter().map(|(name, value)| (self.numbers[name], self.numbers[value])));
        out.chunks = series.done;
        out.chunks.extend(series.open.take().map(BlockChunk::from));
        Ok(true)
    }

    fn place(&self) -> &Path {
        &self.place
    }
}
