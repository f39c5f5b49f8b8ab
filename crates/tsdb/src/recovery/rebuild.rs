//! A checkpoint written from the head, after a savepoint had what the log has lost.
//!
//! The next savepoint replaces this one, and a start may have to do without it (another program continued the log,
//! or options changed). Then the log must have everything again: series, deletions, and every in-order sample. Records of
//! segments behind the checkpoint come a second time when it is read, and are passed over.

use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::sync::Arc;

use ferula_chunk::{Encoding, SampleIter, SampleValue};
use ferula_model::HistogramValue;

use crate::disk::Disk;
use crate::head::Head;
use crate::head_chunks::ChunkPlace;
use crate::ids::LogRef;
use crate::wal::checkpoint::write_checkpoint;
use crate::wal::format::segment_path;
use crate::wal::record::{
    LoggedHistogram, LoggedSample, LoggedTombstone, begin_series, put_histograms, put_metadata, put_samples,
    put_series, put_tombstones,
};
use crate::wal::{Writer, WriterOptions};

/// Writes a checkpoint that stands for all segments up to `last` from what the head holds.
///
/// # Errors
/// The disk refuses; there is no new checkpoint then.
pub(crate) fn rebuild_checkpoint(
    disk: &Arc<dyn Disk>,
    wal: &Path,
    head: &Head,
    last: u32,
    options: WriterOptions,
) -> io::Result<()> {
    // The last segment that a checkpoint stands for stays until the next one: without it the checkpoint would be in doubt.
    let segment = segment_path(wal, last);
    if disk.stat(&segment)?.is_none() {
        disk.create(&segment)?.sync_data()?;
    }
    write_checkpoint(disk, wal, last, options, |writer| {
        for record in series_records(head) {
            writer.log([&record[..]])?;
        }
        let start_timestamps = head.chunk_rules().start_timestamps;
        let mut copied = Vec::new();
        let collected: Result<(), Infallible> =
            head.copy_series(&mut copied, |copied, _, series| copied.push(OfSeries::new(series)), |_| Ok(()));
        collected.unwrap_or_else(|never| match never {});
        copied.into_iter().try_for_each(|series| series.log(head, start_timestamps, writer))
    })
}

/// Records of all series under all their refs.
fn series_records(head: &Head) -> Vec<Vec<u8>> {
    const SERIES_PER_RECORD: usize = 1024;
    let mut labels_of = std::collections::HashMap::new();
    let mut records: Vec<Vec<u8>> = Vec::new();
    let mut in_record = SERIES_PER_RECORD;
    let extra = head.extra_refs();
    let wanted: std::collections::HashSet<LogRef> = extra.iter().map(|(_, extra)| extra.first).collect();
    let collected: Result<(), Infallible> = head.copy_series(
        &mut (&mut records, &mut in_record, &mut labels_of),
        |(records, in_record, labels_of), labels, series| {
            if **in_record >= SERIES_PER_RECORD {
                let mut record = Vec::new();
                begin_series(&mut record);
                records.push(record);
                **in_record = 0;
            }
            if let Some(record) = records.last_mut() {
                put_series(record, series.log_ref, labels.clone());
            }
            **in_record += 1;
            if wanted.contains(&series.log_ref) {
                let owned: Vec<(String, String)> =
                    labels.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
                labels_of.insert(series.log_ref, owned);
            }
        },
        |_| Ok(()),
    );
    collected.unwrap_or_else(|never| match never {});
    for (log_ref, extra) in extra.iter().filter(|(log_ref, extra)| *log_ref != extra.first) {
        let Some(labels) = labels_of.get(&extra.first) else { continue };
        let mut record = Vec::new();
        begin_series(&mut record);
        put_series(&mut record, *log_ref, labels.iter().map(|(name, value)| (&**name, &**value)));
        records.push(record);
    }
    records
}

/// What is copied of a series under the locks of the head.
struct OfSeries {
    log_ref: LogRef,
    full: Vec<u64>,
    open: Option<(Encoding, Vec<u8>)>,
    deleted: Vec<LoggedTombstone>,
    metadata: Option<Arc<ferula_model::MetricMetadata>>,
}

impl OfSeries {
    fn new(series: crate::head::SeriesCopy<'_>) -> Self {
        let log_ref = series.log_ref;
        let tombstone = |range: crate::ids::TimeSpan| LoggedTombstone {
            series: log_ref,
            min: range.start(),
            max: range.last(),
        };
        OfSeries {
            log_ref,
            full: series.full.into_iter().map(|(place, _)| place).collect(),
            open: series.open.map(|(open, data)| (open.encoding, data.to_vec())),
            deleted: series.deleted.into_iter().map(tombstone).collect(),
            metadata: series.metadata,
        }
    }

    fn log(self, head: &Head, start_timestamps: bool, writer: &mut Writer) -> io::Result<()> {
        for place in &self.full {
            let read: io::Result<(Encoding, Vec<u8>)> = head
                .stored_chunk(ChunkPlace::from_number(*place), |chunk| (chunk.encoding, chunk.data.to_vec()));
            // A chunk that cannot be read is reported when somebody reads it.
            if let Ok((encoding, data)) = read {
                self.log_chunk(encoding, &data, start_timestamps, writer)?;
            }
        }
        if let Some((encoding, data)) = &self.open {
            self.log_chunk(*encoding, data, start_timestamps, writer)?;
        }
        let mut record = Vec::new();
        if !self.deleted.is_empty() {
            put_tombstones(&mut record, &self.deleted);
            writer.log([&record[..]])?;
        }
        if let Some(metadata) = &self.metadata {
            record.clear();
            put_metadata(&mut record, [(self.log_ref, &**metadata)]);
            writer.log([&record[..]])?;
        }
        Ok(())
    }

    fn log_chunk(
        &self,
        encoding: Encoding,
        data: &[u8],
        start_timestamps: bool,
        writer: &mut Writer,
    ) -> io::Result<()> {
        let (mut samples, mut histograms) = (Vec::new(), Vec::new());
        for sample in SampleIter::new(encoding, data).into_iter().flatten().map_while(Result::ok) {
            let (series, at, start) = (self.log_ref, sample.timestamp, sample.start);
            let value = match sample.value {
                SampleValue::Float(value) => {
                    samples.push(LoggedSample { series, at, start, value });
                    continue;
                }
                SampleValue::Histogram(value) => HistogramValue::Integer(Arc::new(*value)),
                SampleValue::FloatHistogram(value) => HistogramValue::Float(Arc::new(*value)),
            };
            histograms.push(LoggedHistogram { series, at, start, value });
        }
        let mut records = Vec::new();
        if !samples.is_empty() {
            let mut record = Vec::new();
            put_samples(&mut record, &samples, start_timestamps);
            records.push(record);
        }
        put_histograms(&histograms, start_timestamps, |write| {
            let mut record = Vec::new();
            write(&mut record);
            records.push(record);
        });
        writer.log(records.iter().map(Vec::as_slice))
    }
}
