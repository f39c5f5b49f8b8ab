//! The chunks of a row as it was at the cut, for readers that pass them on.

use ferula_chunk::{Corrupt, SampleIter};
use ferula_storage::{DiskError, StorageError};

use super::out_of_order::encode;
use super::reader::FrozenRow;
use super::{FullChunk, Head, OutOfOrderSample, Ranges};
use crate::block::BlockChunk;
use crate::compact::SampleEncoder;
use crate::ids::TimeSpan;

/// In-order chunks, and each out-of-order chunk by itself: they may overlap one another.
type RowChunks = (Vec<BlockChunk>, Vec<BlockChunk>);

impl Head {
    /// The ranges of a row that are deleted.
    pub(crate) fn deleted_of(&self, row: &FrozenRow) -> Ranges {
        self.deleted_ranges(row.slot).unwrap_or_default()
    }

    /// The chunks of a row that have samples in the span; in-order ones only from `head_min` on.
    pub(crate) fn chunks_of_row(
        &self,
        row: &FrozenRow,
        span: TimeSpan,
        head_min: i64,
    ) -> Result<RowChunks, StorageError> {
        let in_order = span.since(head_min);
        let mut full: Vec<(FullChunk, Option<u16>)> = Vec::new();
        let mut open = None;
        {
            let series = self.slots.lock(row.slot);
            for (number, chunk) in series.full_chunks() {
                // Numbers wrap; the cut is never half of them away.
                let ahead = number.wrapping_sub(row.chunk_number) as i32;
                if ahead <= 0 && chunk.time_span().overlaps(in_order) {
                    full.push((*chunk, (ahead == 0).then_some(row.samples)));
                }
            }
            if series.chunk_number == row.chunk_number
                && let Some(open_span) = series.open_span().filter(|open| open.overlaps(in_order))
                && let Some((encoding, _, data)) = series.open_bytes()
            {
                open = Some(BlockChunk {
                    encoding,
                    min_time: open_span.start(),
                    max_time: open_span.last(),
                    data: data.into(),
                });
            }
        }
        let mut chunks = Vec::with_capacity(full.len() + 1);
        for (chunk, limit) in full {
            chunks.extend(limited(self.full_bytes(&chunk)?, limit)?);
        }
        if let Some(open) = open {
            chunks.extend(limited(open, Some(row.samples))?);
        }
        let mut out_of_order = Vec::new();
        if let Some(frozen) = &row.out_of_order {
            for chunk in &frozen.full {
                out_of_order.push(self.full_bytes(chunk)?);
            }
            let inside: Vec<OutOfOrderSample> =
                frozen.samples.iter().filter(|sample| span.contains(sample.at)).cloned().collect();
            out_of_order.extend(encode(&inside, &self.chunk_rules()).into_iter().map(|chunk| BlockChunk {
                encoding: chunk.encoding,
                min_time: chunk.min_time,
                max_time: chunk.max_time,
                data: chunk.data.into(),
            }));
        }
        Ok((chunks, out_of_order))
    }

    fn full_bytes(&self, chunk: &FullChunk) -> Result<BlockChunk, StorageError> {
        let read = self.chunks.read(chunk.place, |stored| stored.data.to_vec());
        let data = read.map_err(|error| match error.kind() {
            std::io::ErrorKind::InvalidData => StorageError::Corrupt(error.to_string()),
            _ => StorageError::Io(DiskError::from(error)),
        })?;
        Ok(BlockChunk {
            encoding: chunk.encoding,
            min_time: chunk.min,
            max_time: chunk.max(),
            data: data.into(),
        })
    }
}

/// The chunk with no more samples than it had at the cut.
fn limited(chunk: BlockChunk, limit: Option<u16>) -> Result<Vec<BlockChunk>, StorageError> {
    let count = chunk.encoding.sample_count(&chunk.data).unwrap_or(0);
    let Some(limit) = limit.filter(|limit| *limit < count) else { return Ok(vec![chunk]) };
    let corrupt = |error: Corrupt| StorageError::Corrupt(format!("chunk of the head: {error}"));
    let mut encoder = SampleEncoder::same_as(chunk.encoding);
    for sample in SampleIter::new(chunk.encoding, &chunk.data).map_err(corrupt)?.take(usize::from(limit)) {
        encoder.push(&sample.map_err(corrupt)?);
    }
    Ok(encoder.finish())
}
