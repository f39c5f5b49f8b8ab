//! Compactions: nothing is lost, whatever the disk does.

use std::collections::BTreeMap;

use ferula_chunk::{Sample, SampleIter, SampleValue};
use ferula_model::{LabelSet, Matcher};
use proptest::prelude::*;

use super::*;
use crate::blob::Access;
use crate::block::{BlockStats, CHUNKS_DIR, INDEX_FILE, block_dirs};
use crate::compact::encode::SampleEncoder;
use crate::disk::Survives;
use crate::disk::{FaultDisk, Faults, RealDisk, read_file};
use crate::ids::TimeSpan;

type Model = BTreeMap<LabelSet, BTreeMap<i64, f64>>;

const DATA: &str = "/data";

fn go_on() -> bool {
    true
}

/// Series in memory as a source. The head has a different implementation of the same interface.
struct ModelSource {
    symbols: std::vec::IntoIter<String>,
    numbers: BTreeMap<String, u32>,
    series: std::vec::IntoIter<(LabelSet, BTreeMap<i64, f64>)>,
    symbol: String,
}

impl ModelSource {
    fn new(model: &Model) -> Self {
        let texts: std::collections::BTreeSet<String> =
            model.keys().flat_map(|l| l.iter().flat_map(|(n, v)| [n.to_owned(), v.to_owned()])).collect();
        ModelSource {
            numbers: texts.iter().cloned().zip(0..).collect(),
            symbols: texts.into_iter().collect::<Vec<_>>().into_iter(),
            series: model.clone().into_iter().collect::<Vec<_>>().into_iter(),
            symbol: String::new(),
        }
    }
}

impl SeriesSource for ModelSource {
    fn next_symbol(&mut self) -> Result<Option<&str>, BlockError> {
        let Some(symbol) = self.symbols.next() else { return Ok(None) };
        self.symbol = symbol;
        Ok(Some(&self.symbol))
    }

    fn next_series(&mut self, series: &mut SourceSeries) -> Result<bool, BlockError> {
        let Some((labels, samples)) = self.series.next() else { return Ok(false) };
        series.clear();
        series.labels.extend(labels.iter().map(|(n, v)| (self.numbers[n], self.numbers[v])));
        let mut encoder = SampleEncoder::new(EncodeOptions { samples_max: 9, ..EncodeOptions::default() });
        for (timestamp, value) in samples {
            encoder.push(&Sample { start: 0, timestamp, value: SampleValue::Float(value) });
        }
        series.chunks = encoder.finish();
        Ok(true)
    }

    fn place(&self) -> &Path {
        Path::new("model")
    }
}

fn write(disk: &Arc<dyn Disk>, number: u128, model: &Model) -> Option<Block> {
    let times = || model.values().flat_map(|samples| samples.keys());
    let (min, max) = (*times().min()?, *times().max()?);
    let meta = BlockMeta::level_1(Ulid::new(0, number), min, max + 1);
    let sources: Vec<Box<dyn SeriesSource>> = vec![Box::new(ModelSource::new(model))];
    let options = BlockOptions::default();
    let meta = write_block(disk, Path::new(DATA), meta, sources, &options, &go_on).unwrap()?;
    Some(open(disk, &meta))
}

fn open(disk: &Arc<dyn Disk>, meta: &BlockMeta) -> Block {
    Block::open(disk, &Path::new(DATA).join(meta.ulid.to_string()), Access::Mapped).unwrap()
}

fn read(block: &Block) -> Model {
    let mut model = Model::new();
    let mut entry = SeriesEntry::default();
    let tombstones = block.tombstones();
    for number in block.select(&[]).unwrap() {
        block.series(number, &mut entry).unwrap();
        let mut samples = BTreeMap::new();
        for meta in &entry.chunks {
            let chunk = block.chunk(*meta).unwrap();
            for sample in SampleIter::new(chunk.encoding, &chunk.data).unwrap() {
                let sample = sample.unwrap();
                let SampleValue::Float(value) = sample.value else { panic!("the model has floats only") };
                let deleted = tombstones.get(u64::from(number));
                if !deleted.is_some_and(|deleted| deleted.contains(sample.timestamp)) {
                    samples.insert(sample.timestamp, value);
                }
            }
        }
        if !samples.is_empty() {
            model.insert(block.labels(&entry).unwrap(), samples);
        }
    }
    model
}

/// Values identify series and timestamp, so it does not matter which of several samples is kept.
fn models() -> impl Strategy<Value = Model> {
    let times = prop::collection::btree_set(0i64..400, 1..60);
    prop::collection::btree_map((0u8..6, 0u8..3), times, 1..8).prop_map(|series| {
        series
            .into_iter()
            .map(|((a, b), times)| {
                let labels = LabelSet::from_pairs([("__name__", format!("m{a}")), ("b", format!("v{b}"))]);
                let value = |t: i64| (t * i64::from(a + 1)) as f64 / 7.0;
                (labels, times.into_iter().map(|t| (t, value(t))).collect())
            })
            .collect()
    })
}

fn empty_disk() -> (FaultDisk, Arc<dyn Disk>) {
    let fault = FaultDisk::default();
    fault.create_dir_all(Path::new(DATA)).expect("an empty disk has room");
    (fault.clone(), Arc::new(fault))
}

fn compactor(disk: &Arc<dyn Disk>) -> Compactor {
    Compactor { disk: disk.clone(), data_dir: DATA.into(), options: BlockOptions::default() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_compaction_changes_no_sample(
        models in prop::collection::vec(models(), 1..4),
        deletions in prop::collection::vec((0usize..4, 0i64..400, 0i64..200, 0u8..6), 0..3),
    ) {
        let (_, disk) = empty_disk();
        let mut blocks: Vec<Block> =
            models.iter().zip(1..).filter_map(|(model, number)| write(&disk, number, model)).collect();
        blocks.sort_by_key(|block| block.meta().min_time);
        for (at, min, len, name) in deletions {
            let matcher = Matcher::equal("__name__", &format!("m{name}"));
            blocks[at % blocks.len()].delete(TimeSpan::closed(min, min + len), &[matcher]).unwrap();
        }
        let mut expected = Model::new();
        for block in &blocks {
            for (labels, samples) in read(block) {
                expected.entry(labels).or_default().extend(samples);
            }
        }
        let sources: Vec<&Block> = blocks.iter().collect();
        let merged = compactor(&disk).compact(&sources, Ulid::new(1, 0), &go_on).unwrap();
        match merged {
            Some(meta) => {
                let merged = open(&disk, &meta);
                prop_assert_eq!(meta.stats.num_series as usize, expected.len());
                prop_assert_eq!(meta.stats.num_samples as usize, expected.values().map(BTreeMap::len).sum::<usize>());
                prop_assert_eq!(read(&merged), expected);
            }
            None => {
                prop_assert!(expected.is_empty());
                prop_assert!(blocks.iter().all(|block| block.meta().compaction.deletable));
            }
        }
    }
}

fn one_series(samples: impl IntoIterator<Item = (i64, f64)>) -> Model {
    Model::from([(LabelSet::from_pairs([("__name__", "m")]), samples.into_iter().collect())])
}

#[test]
fn a_compaction_that_fails_marks_its_sources_and_leaves_no_block() {
    let (fault, disk) = empty_disk();
    let a = write(&disk, 1, &one_series((0..50).map(|t| (t, 1.0)))).unwrap();
    let b = write(&disk, 2, &one_series((50..90).map(|t| (t, 1.0)))).unwrap();
    let chunks = b.dir().join(CHUNKS_DIR).join("000001");
    fault.damage(&chunks, |bytes| bytes[20] ^= 1).unwrap();
    let b = open(&disk, &b.meta());
    let error = compactor(&disk).compact(&[&a, &b], Ulid::new(1, 0), &go_on).unwrap_err().to_string();
    assert!(error.contains("000001") && error.contains("checksum mismatch"), "{error}");
    assert!(a.meta().compaction.failed && open(&disk, &b.meta()).meta().compaction.failed);
    assert_eq!(block_dirs(&*disk, Path::new(DATA)).unwrap().len(), 2);
    assert_eq!(disk.list(Path::new(DATA)).unwrap().len(), 2, "nothing half-written stays");
}

#[test]
fn a_stopped_compaction_changes_nothing() {
    let (_, disk) = empty_disk();
    let a = write(&disk, 1, &one_series([(1, 1.0)])).unwrap();
    assert!(compactor(&disk).compact(&[&a], Ulid::new(1, 0), &|| false).is_err());
    assert!(!a.meta().compaction.failed);
    assert_eq!(disk.list(Path::new(DATA)).unwrap().len(), 1);
}

#[test]
fn a_crash_in_a_compaction_loses_no_sample() {
    let model = one_series((0..50).map(|t| (t, t as f64)));
    let (fault, disk) = empty_disk();
    let block = write(&disk, 1, &model).unwrap();
    let before = fault.operations();
    for crash_at in before.. {
        let fault = fault.restart(Survives::Synced);
        let disk: Arc<dyn Disk> = Arc::new(fault.clone());
        let source = open(&disk, &block.meta());
        fault.set_faults(Faults { crash_at: Some(crash_at - before), ..Faults::default() });
        let compacted = compactor(&disk).compact(&[&source], Ulid::new(1, 0), &go_on);
        let after: Arc<dyn Disk> = Arc::new(fault.restart(Survives::Synced));
        let dirs = block_dirs(&*after, Path::new(DATA)).unwrap();
        assert!(!dirs.is_empty());
        for dir in dirs {
            assert_eq!(read(&Block::open(&after, &dir, Access::Mapped).unwrap()), model);
        }
        if compacted.is_ok() {
            return;
        }
    }
}

#[test]
fn cleaning_keeps_what_is_not_deleted() {
    let (_, disk) = empty_disk();
    let block = write(&disk, 1, &one_series((0..50).map(|t| (t, 1.0)))).unwrap();
    let compactor = compactor(&disk);
    assert!(compactor.clean_tombstones(&block, Ulid::new(1, 0), &go_on).unwrap().is_none());
    block.delete(TimeSpan::closed(10, 39), &[]).unwrap();
    let cleaned = compactor.clean_tombstones(&block, Ulid::new(1, 0), &go_on).unwrap().unwrap().unwrap();
    assert_eq!((cleaned.min_time, cleaned.max_time, cleaned.compaction.level), (0, 50, 1));
    assert_eq!(cleaned.compaction.parents, [block.meta().desc()]);
    let expected = one_series((0..10).chain(40..50).map(|t| (t, 1.0)));
    assert_eq!(read(&open(&disk, &cleaned)), expected);
    block.delete(TimeSpan::closed(0, 1000), &[]).unwrap();
    assert!(compactor.clean_tombstones(&block, Ulid::new(2, 0), &go_on).unwrap().unwrap().is_none());
}

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/tsdb").join(name)
}

/// Three blocks with different values at the same timestamps, merged by Prometheus 3.5: ferula keeps the same
/// values, and ends chunks at the same samples.
#[test]
fn overlapping_blocks_are_merged_as_in_prometheus() {
    let real: Arc<dyn Disk> = Arc::new(RealDisk);
    let dirs = block_dirs(&*real, &testdata("overlapping")).unwrap();
    let mut blocks: Vec<_> =
        dirs.iter().map(|dir| Block::open(&real, dir, Access::Mapped).unwrap()).collect();
    blocks.sort_by_key(|block| block.meta().min_time);
    let merged_dir = block_dirs(&*real, &testdata("merged")).unwrap().remove(0);
    let theirs = Block::open(&real, &merged_dir, Access::Mapped).unwrap();
    let (_, disk) = empty_disk();
    let options = BlockOptions { chunk_samples_max: 120, ..BlockOptions::default() };
    let compactor = Compactor { options, ..compactor(&disk) };
    let ours = compactor.compact(&blocks.iter().collect::<Vec<_>>(), theirs.meta().ulid, &go_on);
    let ours = ours.unwrap().expect("there are samples");
    let dir = Path::new(DATA).join(ours.ulid.to_string());
    let chunks = |disk: &dyn Disk, dir: &Path| read_file(disk, &dir.join("chunks/000001"), 1 << 20).unwrap();
    assert!(chunks(&*disk, &dir) == chunks(&*real, &merged_dir), "chunks differ");
    let series_end = theirs.index().toc().label_indices as usize;
    let index = |disk: &dyn Disk, dir: &Path| read_file(disk, &dir.join(INDEX_FILE), 1 << 20).unwrap();
    assert!(index(&*disk, &dir)[..series_end] == index(&*real, &merged_dir)[..series_end], "index differs");
    let mut meta = (*theirs.meta()).clone();
    // 3.5 does not count samples by type.
    meta.stats = BlockStats { num_float_samples: meta.stats.num_samples, ..meta.stats };
    assert_eq!(ours, meta);
}

/// Histogram chunks from the head of Prometheus 3.5, with changing buckets, a reset, and staleness: encoding
/// their samples again yields the same bytes.
#[test]
fn histogram_chunks_of_prometheus_are_encoded_the_same() {
    let real: Arc<dyn Disk> = Arc::new(RealDisk);
    let mut seen = BTreeMap::new();
    for dir in block_dirs(&*real, &testdata("")).unwrap() {
        let block = Block::open(&real, &dir, Access::Mapped).unwrap();
        let mut entry = SeriesEntry::default();
        for number in block.select(&[]).unwrap() {
            block.series(number, &mut entry).unwrap();
            for meta in &entry.chunks {
                let chunk = block.chunk(*meta).unwrap();
                let mut encoder = SampleEncoder::same_as(chunk.encoding);
                for sample in SampleIter::new(chunk.encoding, &chunk.data).unwrap() {
                    encoder.push(&sample.unwrap());
                }
                let again = encoder.finish();
                assert_eq!(again.len(), 1);
                let mut expected = chunk.data.to_vec();
                let mut actual = again[0].data.to_vec();
                if chunk.encoding != ferula_chunk::Encoding::Xor {
                    // The previous chunk cannot be inferred from the samples.
                    (expected[2], actual[2]) = (expected[2] & 0x3f, actual[2] & 0x3f);
                }
                assert!(actual == expected, "{} of {}", chunk.encoding, dir.display());
                *seen.entry(chunk.encoding).or_insert(0) += 1;
            }
        }
    }
    assert_eq!(seen.len(), 3, "{seen:?}");
}
