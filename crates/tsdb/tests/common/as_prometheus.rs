//! What Prometheus finds in a data directory, by its rules for a start (`tsdb/head.go`, `tsdb/head_wal.go`, `tsdb/db.go`): float
//! samples only, and what was deleted is still there.
//!
//! 1. Blocks; not those that another one names as its parent. In-order samples before the end of the newest in-order block
//!    are in blocks.
//! 2. Chunks of `chunks_head`. A damaged file and those behind it are gone; chunks of a series that do not rise cost all files.
//! 3. Checkpoint and log. A series record resets its series to the chunks of its ref. Samples up to the end of those chunks are
//!    passed over. The log ends at the first damage. (Its end is often torn when a process was killed. Then Prometheus repairs it,
//!    does not read the out-of-order log, and reads that at its next start only.)
//! 4. The out-of-order log. A marker that is not behind the newest chunk drops the samples that its series has in memory.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use ferula_chunk::SampleIter;
use ferula_model::LabelSet;
use ferula_tsdb::disk::{Disk, FaultDisk, Survives};
use ferula_tsdb::formats::block::SeriesEntry;
use ferula_tsdb::formats::head_chunks::{ChunkPlace, LoadedChunk, file_path, load, read_chunk};
use ferula_tsdb::formats::wal::{
    RecordKind, Records, SegmentReader, checkpoint_path, list_checkpoints, list_segments,
};
use ferula_tsdb::{Access, Block, DamageKind};

/// Times of samples by label set.
pub type Times = BTreeMap<LabelSet, BTreeSet<i64>>;

/// What Prometheus finds in `dir`. The disk stays as it is.
pub fn found(disk: &FaultDisk, dir: &Path) -> Times {
    let disk: Arc<dyn Disk> = Arc::new(disk.restart(Survives::Written));
    let mut times = Times::new();
    let floor = blocks(&disk, dir, &mut times);
    let mut head = Head { floor, ..Head::default() };
    head.chunks(&disk, &dir.join("chunks_head"));
    head.log(&*disk, &dir.join("wal"));
    head.out_of_order_log(&*disk, &dir.join("wbl"));
    for series in head.series {
        let all = times.entry(series.labels).or_default();
        all.extend(series.in_chunks.iter().chain(&series.in_memory));
        all.extend(series.out_of_order.iter().chain(&series.out_of_order_in_memory));
    }
    times.retain(|_, times| !times.is_empty());
    times
}

/// Adds the samples of blocks; returns the end of the newest in-order one.
fn blocks(disk: &Arc<dyn Disk>, dir: &Path, times: &mut Times) -> i64 {
    let names = disk.list(dir).expect("listed").into_iter().map(|entry| entry.name);
    let dirs = names.filter(|name| name.len() == 26).map(|name| dir.join(name));
    let blocks: Vec<Block> = dirs.filter_map(|dir| Block::open(disk, &dir, Access::Pread).ok()).collect();
    let parents: Vec<_> = blocks.iter().flat_map(|block| block.meta().compaction.parents.clone()).collect();
    let shown = blocks.iter().filter(|block| {
        let meta = block.meta();
        !meta.compaction.deletable && parents.iter().all(|parent| parent.ulid != meta.ulid)
    });
    let mut floor = i64::MIN;
    for block in shown {
        let meta = block.meta();
        if !meta.compaction.hints.iter().any(|hint| hint == "from-out-of-order") {
            floor = floor.max(meta.max_time);
        }
        let mut entry = SeriesEntry::default();
        for number in block.select(&[]).expect("readable") {
            block.series(number, &mut entry).expect("readable");
            let of_series = times.entry(block.labels(&entry).expect("readable")).or_default();
            for chunk in &entry.chunks {
                let chunk = block.chunk(*chunk).expect("readable");
                let samples = SampleIter::new(chunk.encoding, &chunk.data).expect("a chunk");
                of_series.extend(samples.map(|sample| sample.expect("a sample").timestamp));
            }
        }
    }
    floor
}

/// A chunk, and the times of its samples.
type Chunk = (LoadedChunk, Vec<i64>);

#[derive(Default)]
struct Head {
    floor: i64,
    in_order_chunks: HashMap<u64, Vec<Chunk>>,
    out_of_order_chunks: HashMap<u64, Vec<Chunk>>,
    /// The newest chunk of any kind.
    last_chunk: Option<ChunkPlace>,
    series: Vec<Series>,
    by_labels: BTreeMap<LabelSet, usize>,
    by_ref: HashMap<u64, usize>,
}

#[derive(Default)]
struct Series {
    labels: LabelSet,
    in_chunks: Vec<i64>,
    in_memory: Vec<i64>,
    out_of_order: Vec<i64>,
    out_of_order_in_memory: BTreeSet<i64>,
}

impl Head {
    fn chunks(&mut self, disk: &Arc<dyn Disk>, dir: &Path) {
        let loaded = load(&**disk, dir).expect("listed");
        // A last chunk that is torn costs Prometheus its whole file.
        let torn = loaded.damages.iter().find(|damage| damage.kind == DamageKind::Torn);
        let torn = torn.and_then(|damage| damage.path.file_name()?.to_str()?.parse::<u32>().ok());
        let mut ends: HashMap<u64, i64> = HashMap::new();
        let mut files: HashMap<u32, Vec<u8>> = HashMap::new();
        for chunk in loaded.chunks.into_iter().filter(|chunk| Some(chunk.place.file()) != torn) {
            let file = files.entry(chunk.place.file()).or_insert_with(|| {
                let path = file_path(dir, chunk.place.file());
                ferula_tsdb::disk::read_file(&**disk, &path, 1 << 30).expect("readable")
            });
            let (stored, _) = read_chunk(file, chunk.place.offset() as usize).expect("whole");
            let samples = SampleIter::new(stored.encoding, stored.data).expect("a chunk");
            let times: Vec<i64> = samples.map(|sample| sample.expect("a sample").timestamp).collect();
            let series = chunk.series.get();
            self.last_chunk = Some(chunk.place);
            if chunk.out_of_order {
                self.out_of_order_chunks.entry(series).or_default().push((chunk, times));
            } else if chunk.max >= self.floor {
                let end = ends.insert(series, chunk.max);
                assert!(end.is_none_or(|end| end < chunk.min), "Prometheus drops all head chunks");
                self.in_order_chunks.entry(series).or_default().push((chunk, times));
            }
        }
    }

    fn log(&mut self, disk: &dyn Disk, wal: &Path) {
        let checkpoint = list_checkpoints(disk, wal).expect("listed").last().copied();
        let mut dirs = Vec::new();
        if let Some(number) = checkpoint {
            let dir = checkpoint_path(wal, number);
            dirs.extend(
                list_segments(disk, &dir).expect("listed").into_iter().map(|part| (dir.clone(), part.number)),
            );
        }
        let behind = list_segments(disk, wal).expect("listed").into_iter().map(|segment| segment.number);
        let behind = behind.filter(|number| checkpoint.is_none_or(|checkpoint| *number > checkpoint));
        dirs.extend(behind.map(|number| (wal.to_path_buf(), number)));
        let _ = dirs.into_iter().all(|(dir, number)| {
            read_segment(disk, &dir, number, &mut |kind, records| match kind {
                RecordKind::Series => {
                    for series in &records.series {
                        self.series_record(series.series.get(), &series.labels);
                    }
                }
                RecordKind::Samples | RecordKind::SamplesV2 => {
                    for sample in &records.samples {
                        self.sample(sample.series.get(), sample.at);
                    }
                }
                _ => {}
            })
        });
    }

    fn series_record(&mut self, log_ref: u64, labels: &LabelSet) {
        let next = self.series.len();
        let place = *self.by_labels.entry(labels.clone()).or_insert(next);
        if place == next {
            self.series.push(Series { labels: labels.clone(), ..Series::default() });
        }
        self.by_ref.insert(log_ref, place);
        let times = |chunks: Option<&Vec<Chunk>>| -> Vec<i64> {
            chunks.into_iter().flatten().flat_map(|(_, times)| times.iter().copied()).collect()
        };
        let series = &mut self.series[place];
        series.in_chunks = times(self.in_order_chunks.get(&log_ref));
        series.out_of_order = times(self.out_of_order_chunks.get(&log_ref));
        series.in_memory.clear();
        series.out_of_order_in_memory.clear();
    }

    fn sample(&mut self, log_ref: u64, at: i64) {
        let Some(place) = self.by_ref.get(&log_ref).filter(|_| at >= self.floor) else { return };
        let series = &mut self.series[*place];
        let last = series.in_memory.last().or(series.in_chunks.last());
        if last.is_none_or(|last| at > *last) {
            series.in_memory.push(at);
        }
    }

    fn out_of_order_log(&mut self, disk: &dyn Disk, wbl: &Path) {
        let segments = list_segments(disk, wbl).unwrap_or_default();
        let _ = segments.into_iter().all(|segment| {
            read_segment(disk, wbl, segment.number, &mut |kind, records| {
                if kind == RecordKind::MmapMarkers {
                    for marker in &records.markers {
                        let there = self.last_chunk.map_or(0, ChunkPlace::number) >= marker.chunk;
                        if let Some(place) = self.by_ref.get(&marker.series.get()).filter(|_| there) {
                            self.series[*place].out_of_order_in_memory.clear();
                        }
                    }
                }
                for sample in &records.samples {
                    if let Some(place) = self.by_ref.get(&sample.series.get()) {
                        self.series[*place].out_of_order_in_memory.insert(sample.at);
                    }
                }
            })
        });
    }
}

/// Returns whether the segment was read to its end.
fn read_segment(
    disk: &dyn Disk,
    dir: &Path,
    number: u32,
    take: &mut dyn FnMut(RecordKind, &Records),
) -> bool {
    let mut reader = SegmentReader::open(disk, dir, number).expect("there");
    let mut records = Records::default();
    while let Some(read) = reader.next().expect("readable") {
        match read.ok().map(|record| records.decode(record)) {
            Some(Ok(Some(kind))) => take(kind, &records),
            Some(Ok(None)) => {}
            Some(Err(_)) | None => return false,
        }
    }
    true
}
