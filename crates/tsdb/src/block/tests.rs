//! Whole blocks: written and read back, read from Prometheus' tools, damaged, and interrupted while being
//! written.

use std::collections::BTreeMap;
use std::io::Write;

use ferula_chunk::{SampleIter, SampleValue, XorChunk};
use ferula_model::{LabelSet, MatchOp, Matcher};
use proptest::prelude::*;

use super::index::{IndexReader, SeriesEntry, SymbolTable};
use super::*;
use crate::blob::Access;
use crate::disk::{FaultDisk, Faults, RealDisk};
use crate::ids::TimeSpan;
use std::sync::Arc;

/// Float samples by series, the simplest model of a block.
type Model = BTreeMap<LabelSet, Vec<(i64, f64)>>;

const DATA: &str = "/data";

fn empty_disk() -> Arc<dyn Disk> {
    let disk = FaultDisk::default();
    disk.create_dir_all(Path::new(DATA)).expect("an empty disk has room");
    Arc::new(disk)
}

fn symbols_of(model: &Model) -> SymbolTable {
    let texts: std::collections::BTreeSet<&str> =
        model.keys().flat_map(|labels| labels.iter().flat_map(|(name, value)| [name, value])).collect();
    SymbolTable::from_sorted(texts).expect("a set is sorted")
}

fn chunks_of(samples: &[(i64, f64)], per_chunk: usize) -> Vec<BlockChunk> {
    samples
        .chunks(per_chunk)
        .map(|samples| {
            let mut chunk = XorChunk::new();
            samples.iter().for_each(|(t, v)| chunk.push(*t, *v));
            chunk.take().expect("a piece has samples").into()
        })
        .collect()
}

fn write(disk: &Arc<dyn Disk>, model: &Model, per_chunk: usize) -> Result<Option<BlockMeta>, BlockError> {
    let meta = BlockMeta::level_1(Ulid::new(1, 2), 0, 1 << 20);
    let options = BlockOptions { segment_bytes_max: 200, ..BlockOptions::default() };
    let mut writer = BlockWriter::create(disk, Path::new(DATA), meta, symbols_of(model), &options)?;
    for (labels, samples) in model {
        let number = |text: &str| writer.symbols().find(text).expect("all texts are symbols");
        let labels: Vec<_> = labels.iter().map(|(name, value)| (number(name), number(value))).collect();
        writer.add_series(&labels, &chunks_of(samples, per_chunk))?;
    }
    writer.finish()
}

fn read(block: &Block, matchers: &[Matcher]) -> Result<Model, BlockError> {
    let mut model = Model::new();
    let mut entry = SeriesEntry::default();
    for number in block.select(matchers)? {
        block.series(number, &mut entry)?;
        let mut samples = Vec::new();
        for meta in &entry.chunks {
            let chunk = block.chunk(*meta)?;
            let corrupt = |e: ferula_chunk::Corrupt| BlockError::corrupt(block.dir(), 0, e.to_string());
            for sample in SampleIter::new(chunk.encoding, &chunk.data).map_err(corrupt)? {
                let sample = sample.map_err(corrupt)?;
                if let SampleValue::Float(v) = sample.value {
                    samples.push((sample.timestamp, v));
                }
            }
        }
        model.insert(block.labels(&entry)?, samples);
    }
    Ok(model)
}

fn models() -> impl Strategy<Value = Model> {
    let labels = prop::collection::btree_map(
        prop::sample::select(vec!["__name__", "a", "job", "zone", "ü"]),
        prop_oneof!["[a-c]{1,2}", "[0-9]{1,3}"],
        1..4,
    );
    let samples = prop::collection::btree_map(0i64..1 << 20, -5.0f64..5.0, 1..40);
    prop::collection::btree_map(
        labels.prop_map(LabelSet::from_pairs),
        samples.prop_map(|s| s.into_iter().collect()),
        1..40,
    )
}

fn matcher() -> impl Strategy<Value = Matcher> {
    (
        prop::sample::select(vec![MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex]),
        prop::sample::select(vec!["__name__", "a", "job", "missing"]),
        prop::sample::select(vec!["", "a", "b", ".*", ".+", "a|bb", "a.*|", "[0-4].*"]),
    )
        .prop_map(|(op, name, value)| Matcher::new(op, name, value).expect("the patterns are valid"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_block_returns_what_was_written(model in models(), per_chunk in 1usize..20) {
        let disk = empty_disk();
        let meta = write(&disk, &model, per_chunk).unwrap().expect("there are samples");
        prop_assert_eq!(meta.stats.num_series as usize, model.len());
        prop_assert_eq!(meta.stats.num_samples as usize, model.values().map(Vec::len).sum::<usize>());
        for access in [Access::Mapped, Access::Pread] {
            let block = Block::open(&disk, &Path::new(DATA).join(meta.ulid.to_string()), access).unwrap();
            prop_assert_eq!(&*block.meta(), &meta);
            prop_assert_eq!(read(&block, &[]).unwrap(), model.clone());
        }
    }

    #[test]
    fn selection_follows_the_matchers(model in models(), matchers in prop::collection::vec(matcher(), 0..4)) {
        let disk = empty_disk();
        let meta = write(&disk, &model, 100).unwrap().expect("there are samples");
        let block = Block::open(&disk, &Path::new(DATA).join(meta.ulid.to_string()), Access::Mapped).unwrap();
        let expected: Model = model
            .into_iter()
            .filter(|(labels, _)| matchers.iter().all(|m| m.matches(labels.value(&m.name))))
            .collect();
        for name in ["a", "job", "missing"] {
            let mut values: Vec<_> =
                expected.keys().filter_map(|labels| labels.get(name).map(str::to_owned)).collect();
            values.sort();
            values.dedup();
            prop_assert_eq!(block.label_values(name, &matchers).unwrap(), values);
        }
        let names: std::collections::BTreeSet<_> =
            expected.keys().flat_map(|labels| labels.iter().map(|(name, _)| name.to_owned())).collect();
        prop_assert_eq!(block.label_names(&matchers).unwrap(), names.into_iter().collect::<Vec<_>>());
        prop_assert_eq!(read(&block, &matchers).unwrap(), expected);
    }
}

fn small_model() -> Model {
    let samples = |n: i64| (0..n).map(|i| (i * 15, i as f64)).collect::<Vec<_>>();
    let labels = |a: &str, b: &str| LabelSet::from_pairs([("__name__", a), ("job", b)]);
    Model::from([
        (labels("up", "x"), samples(5)),
        (labels("up", "y"), samples(3)),
        (labels("down", "x"), samples(1)),
    ])
}

fn block_path(meta: &BlockMeta) -> PathBuf {
    Path::new(DATA).join(meta.ulid.to_string())
}

#[test]
fn damage_anywhere_is_an_error_or_harmless_and_never_a_panic() {
    let fault = FaultDisk::default();
    fault.create_dir_all(Path::new(DATA)).expect("room");
    let disk: Arc<dyn Disk> = Arc::new(fault.clone());
    let model = small_model();
    let meta = write(&disk, &model, 2).unwrap().expect("samples");
    let dir = block_path(&meta);
    for file in [INDEX_FILE, "chunks/000001", META_FILE, TOMBSTONES_FILE] {
        let path = dir.join(file);
        let whole = crate::disk::read_file(&*disk, &path, 1 << 20).unwrap();
        for at in 0..whole.len() {
            for change in [0x01, 0x80, 0xff] {
                fault.damage(&path, |bytes| bytes[at] ^= change).unwrap();
                let read = Block::open(&disk, &dir, Access::Mapped).and_then(|block| read(&block, &[]));
                if let Ok(read) = read {
                    assert_eq!(read, model, "{file}: byte {at} changed what is read, unnoticed");
                }
                fault.damage(&path, |bytes| bytes[at] ^= change).unwrap();
            }
        }
        for len in 0..whole.len() {
            fault.damage(&path, |bytes| bytes.truncate(len)).unwrap();
            let opened = Block::open(&disk, &dir, Access::Pread);
            let noticed = opened.as_ref().map_or(true, |block| !block.damages().is_empty());
            let read = opened.and_then(|block| read(&block, &[]));
            assert!(
                noticed || read.is_err() || file == TOMBSTONES_FILE,
                "{file}: cut to {len} bytes, unnoticed"
            );
            // What the index says too is not lost with meta.json.
            assert!(file != META_FILE || read.is_ok_and(|read| read == model), "{len} bytes of meta.json");
            fault.damage(&path, |bytes| *bytes = whole.clone()).unwrap();
        }
    }
}

#[test]
fn a_crash_at_any_write_leaves_a_complete_block_or_none() {
    let model = small_model();
    let mut completed = 0;
    for crash_at in 1.. {
        let fault = FaultDisk::default();
        fault.create_dir_all(Path::new(DATA)).expect("room");
        fault.set_faults(Faults { crash_at: Some(crash_at), torn_bytes: 3, ..Faults::default() });
        let disk: Arc<dyn Disk> = Arc::new(fault.clone());
        let written = write(&disk, &model, 2);
        let after: Arc<dyn Disk> = Arc::new(fault.restart(crate::disk::Survives::Synced));
        let blocks = block_dirs(&*after, Path::new(DATA)).unwrap();
        for dir in &blocks {
            let block = Block::open(&after, dir, Access::Mapped)
                .expect("a directory with the name of a block is a valid block");
            assert_eq!(read(&block, &[]).unwrap(), model);
        }
        completed += blocks.len();
        if written.is_ok() {
            assert!(crash_at > 20, "the writer asks the disk for more than {crash_at} things");
            break;
        }
    }
    assert!(completed > 0);
}

#[test]
fn content_out_of_order_is_refused() {
    let disk = empty_disk();
    let model = small_model();
    let meta = BlockMeta::level_1(Ulid::new(1, 2), 0, 100);
    let mut writer =
        BlockWriter::create(&disk, Path::new(DATA), meta, symbols_of(&model), &BlockOptions::default())
            .unwrap();
    let chunks = chunks_of(&[(1, 1.0)], 1);
    writer.add_series(&[(0, 2)], &chunks).unwrap();
    let error = writer.add_series(&[(0, 2)], &chunks).unwrap_err().to_string();
    assert!(error.starts_with("out-of-order series added with label set"), "{error}");
    let twice = [chunks_of(&[(5, 1.0)], 1), chunks_of(&[(5, 2.0)], 1)].concat();
    let error = writer.add_series(&[(0, 3)], &twice).unwrap_err().to_string();
    assert_eq!(error, "chunk minT 5 is not higher than previous chunk maxT 5");
    let error = writer.add_series(&[(0, 99)], &chunks).unwrap_err().to_string();
    assert!(error.contains("symbols"), "{error}");
    writer.abandon().unwrap();
    assert!(block_dirs(&*disk, Path::new(DATA)).unwrap().is_empty());
}

#[test]
fn a_block_without_samples_is_not_created() {
    let disk = empty_disk();
    assert_eq!(write(&disk, &Model::new(), 1).unwrap(), None);
    assert!(disk.list(Path::new(DATA)).unwrap().is_empty());
}

#[test]
fn deletions_are_kept_and_copied_into_backups() {
    let disk = empty_disk();
    let meta = write(&disk, &small_model(), 2).unwrap().expect("samples");
    let block = Block::open(&disk, &block_path(&meta), Access::Mapped).unwrap();
    block.delete(TimeSpan::closed(10, 1000), &[Matcher::equal("__name__", "up")]).unwrap();
    block.delete(TimeSpan::closed(500, 1000), &[Matcher::equal("job", "x")]).unwrap();
    assert_eq!(block.meta().stats.num_tombstones, 2);
    let intervals: Vec<_> = block.tombstones().iter().map(|(_, i)| i.iter().collect::<Vec<_>>()).collect();
    // From the requested start, but only up to the end of the series.
    assert_eq!(intervals, [[Interval { min: 10, max: 60 }], [Interval { min: 10, max: 30 }]]);
    let to = Path::new("/data/snapshots/s");
    block.snapshot(to).unwrap();
    block.delete(TimeSpan::closed(0, 1000), &[]).unwrap();
    let copy = Block::open(&disk, &to.join(meta.ulid.to_string()), Access::Mapped).unwrap();
    assert_eq!(copy.tombstones().total(), 2);
    assert_eq!(read(&copy, &[]).unwrap(), small_model());
    remove_block(&*disk, block.dir()).unwrap();
    assert!(block_dirs(&*disk, Path::new(DATA)).unwrap().is_empty());
}

/// The directory `testdata/tsdb`.
fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/tsdb")
}

#[test]
fn blocks_of_prometheus_are_read_and_written_byte_for_byte() {
    let real: Arc<dyn Disk> = Arc::new(RealDisk);
    let mut seen = 0;
    for dir in block_dirs(&*real, &testdata()).unwrap() {
        let theirs = Block::open(&real, &dir, Access::Mapped).unwrap();
        let disk = empty_disk();
        let mut symbols = SymbolTable::default();
        theirs.index().each_symbol(|_, text| symbols.push(text).expect("symbols are sorted")).unwrap();
        let mut meta = (*theirs.meta()).clone();
        meta.stats = BlockStats::default();
        let options = BlockOptions::default();
        let mut writer = BlockWriter::create(&disk, Path::new(DATA), meta, symbols, &options).unwrap();
        let mut entry = SeriesEntry::default();
        for number in theirs.index().all_postings().unwrap() {
            theirs.series(number, &mut entry).unwrap();
            let chunks: Vec<_> = entry.chunks.iter().map(|meta| theirs.chunk(*meta).unwrap()).collect();
            writer.add_series(&entry.labels, &chunks).unwrap();
        }
        let ours = writer.finish().unwrap().expect("there are samples");
        assert_eq!(ours.stats.num_samples, theirs.meta().stats.num_samples);
        assert_eq!(ours.stats.num_series, theirs.meta().stats.num_series);
        let bytes = |disk: &dyn Disk, dir: &Path, file: &str| {
            crate::disk::read_file(disk, &dir.join(file), 1 << 30).expect("the file is there")
        };
        for file in ["chunks/000001", TOMBSTONES_FILE] {
            let equal = bytes(&*real, &dir, file) == bytes(&*disk, &block_path(&ours), file);
            assert!(equal, "{}/{file}", dir.display());
        }
        // Up to 3.5, the index has value lists per label between series and postings; 3.14 omits them, as
        // ferula does.
        let reopened = Block::open(&disk, &block_path(&ours), Access::Mapped).unwrap();
        let series_end = reopened.index().toc().label_indices as usize;
        assert_eq!(theirs.index().toc().label_indices as usize, series_end);
        let (a, b) = (bytes(&*real, &dir, INDEX_FILE), bytes(&*disk, &block_path(&ours), INDEX_FILE));
        assert!(a[..series_end] == b[..series_end], "{}/index", dir.display());
        let lists = |index: &IndexReader| {
            let mut lists = Vec::new();
            for name in std::iter::once("").chain(index.label_names()) {
                let add = |value: &str, at| {
                    lists.push((name.to_owned(), value.to_owned(), index.postings_at(at)?));
                    Ok(std::ops::ControlFlow::Continue(()))
                };
                index.each_value(name, add).unwrap();
            }
            lists
        };
        assert_eq!(lists(theirs.index()), lists(reopened.index()));
        seen += 1;
    }
    assert!(seen > 0, "testdata/tsdb has blocks");
}

#[test]
fn an_index_of_version_1_with_all_its_sections_is_read() {
    let Some(dir) = shared_case("index_format_v1") else { return };
    let index = IndexReader::open(&RealDisk, &dir.join(INDEX_FILE), Access::Mapped).unwrap();
    assert_eq!(index.version(), 1);
    let all = index.all_postings().unwrap();
    assert!(!all.is_empty());
    let mut entry = SeriesEntry::default();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let block = Block::open(&disk, &dir, Access::Pread).unwrap();
    let mut last = LabelSet::empty();
    for number in &all {
        index.series(*number, &mut entry).unwrap();
        let labels = index.labels(&entry).unwrap();
        assert!(labels > last, "series come in order of their labels");
        for (name, value) in labels.iter() {
            assert!(index.postings(name, value).unwrap().contains(number));
        }
        for meta in &entry.chunks {
            let chunk = block.chunk(*meta).unwrap();
            assert!(SampleIter::new(chunk.encoding, &chunk.data).unwrap().all(|sample| sample.is_ok()));
        }
        last = labels;
    }
    let names: Vec<_> = index.label_names().map(str::to_owned).collect();
    for name in names {
        let values = index.label_values(&name).unwrap();
        let of_values: usize = values.iter().map(|value| index.postings(&name, value).unwrap().len()).sum();
        assert_eq!(index.postings_where(&name, |_| true).unwrap().len(), of_values);
    }
}

/// A block of Prometheus 2.1 with wrong versions, copied into memory and repaired there.
#[test]
fn wrong_versions_of_prometheus_2_1_are_repaired() {
    let Some(case) = shared_case("repair_index_version") else { return };
    let disk = empty_disk();
    let theirs = block_dirs(&RealDisk, &case).unwrap().remove(0);
    let dir = Path::new(DATA).join(theirs.file_name().expect("a ULID"));
    disk.create_dir_all(&dir).unwrap();
    for file in [INDEX_FILE, META_FILE] {
        let bytes = crate::disk::read_file(&RealDisk, &theirs.join(file), 1 << 30).unwrap();
        disk.create(&dir.join(file)).unwrap().write_all(&bytes).unwrap();
    }
    assert_eq!(repair_index_versions(&*disk, Path::new(DATA)).unwrap().len(), 1);
    assert_eq!(BlockMeta::read(&*disk, &dir).unwrap().version, 1);
    let index = IndexReader::open(&*disk, &dir.join(INDEX_FILE), Access::Mapped).unwrap();
    let mut entry = SeriesEntry::default();
    let mut labels = Vec::new();
    // The index is short and lacks the list of all series.
    for number in index.postings("b", "1").unwrap() {
        index.series(number, &mut entry).unwrap();
        labels.push(index.labels(&entry).unwrap());
    }
    assert_eq!(labels, ["1", "2"].map(|a| LabelSet::from_pairs([("a", a), ("b", "1")])));
}

/// A case of the shared material, which is not part of the project.
fn shared_case(name: &str) -> Option<PathBuf> {
    let shared = std::env::var_os("FERULA_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let case = shared.join("cases/tsdb").join(name);
    if !case.is_dir() {
        // `eprintln!` is hidden when the test passes.
        let _ = writeln!(std::io::stderr(), "LEFT OUT: {} is missing (set FERULA_SHARED)", case.display());
        return None;
    }
    Some(case)
}
