//! The output of promtool 3.5 for the blocks in `testdata/tsdb`, and blocks created from samples.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ferula_chunk::SampleIter;
use ferula_model::{LabelSet, Matcher, TimeRange, Timestamp};
use ferula_storage::AppendError;

use super::*;
use crate::blob::Access;
use crate::block::index::SeriesEntry;
use crate::block::{Block, BlockOptions, Ulid, block_dirs};
use crate::compact::{BlockSource, SeriesSource};
use crate::disk::{Disk, FaultDisk, RealDisk, read_file};

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/tsdb")
}

fn blocks() -> Vec<Block> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let dirs = block_dirs(&*disk, &testdata()).expect("the directory is there");
    dirs.iter().map(|dir| Block::open(&disk, dir, Access::Mapped).expect("a good block")).collect()
}

fn text(write: impl FnOnce(&mut dyn std::io::Write) -> Result<(), ToolError>) -> String {
    let mut out = Vec::new();
    write(&mut out).expect("memory takes it");
    String::from_utf8(out).expect("text")
}

fn sources(blocks: &[Block]) -> Vec<Box<dyn SeriesSource + '_>> {
    let source = |block| Box::new(BlockSource::new(block).expect("a good block")) as Box<dyn SeriesSource>;
    blocks.iter().map(source).collect()
}

/// Compares with the golden file beside the blocks, or rewrites it if `UPDATE_GOLDEN` is set.
fn golden(name: &str, actual: &str) {
    let path = testdata().join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, actual).expect("testdata can be written");
    }
    let expected = std::fs::read_to_string(&path).expect("the golden file is there");
    assert!(actual == expected, "{name} differs:\n{actual}");
}

#[test]
fn list_is_promtools_table() {
    let blocks = blocks();
    let metas: Vec<_> = blocks.iter().map(Block::meta).collect();
    let rows: Vec<_> =
        blocks.iter().zip(&metas).map(|(block, meta)| ListedBlock { meta, bytes: block.bytes() }).collect();
    golden("list.txt", &text(|out| list(&rows, true, false, out)));
    golden("list-human.txt", &text(|out| list(&rows, true, true, out)));
}

#[test]
fn analyze_is_promtools_report() {
    for (block, name) in blocks().iter().zip(["analyze-1.txt", "analyze-2.txt"]) {
        let options =
            AnalyzeOptions { matchers: Vec::new(), matcher_text: String::new(), limit: 20, extended: true };
        golden(name, &text(|out| analyze(block, &options, out)));
    }
    let matching = AnalyzeOptions {
        matchers: vec![Matcher::equal("instance", "a:9100")],
        matcher_text: "{instance=\"a:9100\"}".to_owned(),
        limit: 2,
        extended: false,
    };
    golden("analyze-matching.txt", &text(|out| analyze(&blocks()[0], &matching, out)));
}

#[test]
fn dump_is_promtools() {
    let blocks = blocks();
    let histograms = text(|out| dump(sources(&blocks[1..]), &DumpOptions::default(), out));
    golden("dump-histograms.txt", &histograms);
    let all = text(|out| dump(sources(&blocks), &DumpOptions::default(), out));
    assert_eq!(all.lines().count() as u64, blocks.iter().map(|b| b.meta().stats.num_samples).sum::<u64>());
    let some = DumpOptions {
        range: TimeRange::from_millis(1_600_005_600_000, 1_600_005_645_000),
        matcher_sets: vec![vec![Matcher::equal("__name__", "up")], vec![Matcher::equal("room", "küche")]],
        format: DumpFormat::Prometheus,
    };
    golden("dump-some.txt", &text(|out| dump(sources(&blocks), &some, out)));
    let open_metrics = DumpOptions { format: DumpFormat::OpenMetrics, ..some.clone() };
    golden("dump-openmetrics.txt", &text(|out| dump(sources(&blocks), &open_metrics, out)));
    let json = DumpOptions { format: DumpFormat::SeriesJson, ..DumpOptions::default() };
    golden("dump-series.txt", &text(|out| dump(sources(&blocks), &json, out)));
}

#[test]
fn valid_blocks_verify_and_damage_is_reported() {
    for block in blocks() {
        let verified = verify(&block).expect("the series can be listed");
        assert_eq!(verified.problems, [""; 0], "{}", block.dir().display());
    }
    let theirs = &blocks()[0];
    let disk = FaultDisk::default();
    let dir = Path::new("/b");
    disk.create_dir_all(&dir.join("chunks")).expect("room");
    for file in ["index", "meta.json", "chunks/000001"] {
        let bytes = read_file(&RealDisk, &theirs.dir().join(file), 1 << 20).expect("the file is there");
        disk.create(&dir.join(file)).and_then(|mut f| f.write_all(&bytes)).expect("room");
    }
    disk.damage(&dir.join("chunks/000001"), |bytes| bytes[300] ^= 4).expect("it is there");
    disk.damage(&dir.join("meta.json"), |bytes| {
        let text = String::from_utf8(bytes.clone()).expect("text").replace("2850", "2851");
        *bytes = text.into_bytes();
    })
    .expect("it is there");
    let block = Block::open(&(Arc::new(disk) as Arc<dyn Disk>), dir, Access::Mapped).expect("it opens");
    let problems = verify(&block).expect("the series can be listed").problems;
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].contains("000001: checksum mismatch"), "{problems:?}");
    assert!(problems[1].contains("states 2851 samples"), "{problems:?}");
}

/// The samples of a block that promtool created become the same chunks.
#[test]
fn a_backfilled_block_has_promtools_chunks() {
    let theirs = &blocks()[0];
    let mut backfill = Backfill::new(HOURS_2_MS);
    let mut entry = SeriesEntry::default();
    for number in theirs.select(&[]).expect("a good block") {
        theirs.series(number, &mut entry).expect("a good block");
        let labels = theirs.labels(&entry).expect("a good block");
        for meta in &entry.chunks {
            let chunk = theirs.chunk(*meta).expect("a good block");
            for sample in SampleIter::new(chunk.encoding, &chunk.data).expect("a good chunk") {
                let sample = sample.expect("a good chunk");
                let ferula_chunk::SampleValue::Float(value) = sample.value else { panic!("floats only") };
                backfill.append(&labels, Timestamp::from_millis(sample.timestamp), value).expect("in order");
            }
        }
    }
    let disk: Arc<dyn Disk> = Arc::new(FaultDisk::default());
    disk.create_dir_all(Path::new("/d")).expect("room");
    let options = BlockOptions { chunk_samples_max: 120, ..BlockOptions::default() };
    let meta = theirs.meta();
    let ours = backfill.write(&disk, Path::new("/d"), meta.ulid, &options).expect("room").expect("samples");
    assert_eq!((ours.min_time, ours.max_time, ours.stats.num_chunks), (meta.min_time, meta.max_time, 29));
    let bytes =
        |disk: &dyn Disk, dir: &Path| read_file(disk, &dir.join("chunks/000001"), 1 << 20).expect("there");
    let same = bytes(&*disk, &Path::new("/d").join(meta.ulid.to_string())) == bytes(&RealDisk, theirs.dir());
    assert!(same, "chunks differ");
}

const HOURS_2_MS: i64 = 2 * 3_600_000;

#[test]
fn out_of_order_samples_are_skipped_in_a_commit_and_refused_after_it() {
    let labels = LabelSet::from_pairs([("__name__", "m")]);
    let mut backfill = Backfill::new(HOURS_2_MS);
    let mut append = |at, value| backfill.append(&labels, Timestamp::from_millis(at), value);
    append(10, 1.0).expect("first");
    append(5, 1.0).expect("older than what is not committed: left out");
    for t in 11..5009 {
        append(t, 1.0).expect("in order");
    }
    assert_eq!(append(5, 1.0), Err(AppendError::OutOfOrder));
    assert_eq!(append(5008, 2.0), Err(AppendError::DuplicateForTimestamp));
    append(5008, 1.0).expect("the same again");
    let disk: Arc<dyn Disk> = Arc::new(FaultDisk::default());
    disk.create_dir_all(Path::new("/d")).expect("room");
    let options = BlockOptions::default();
    let meta =
        backfill.write(&disk, Path::new("/d"), Ulid::new(1, 1), &options).expect("room").expect("samples");
    assert_eq!(meta.stats.num_samples, 4999);
    assert_eq!((meta.min_time, meta.max_time), (10, 5009));
}

#[test]
fn windows_are_aligned_and_durations_grow_by_threes() {
    let windows = |first, last| {
        let spans = backfill_windows(TimeRange::from_millis(first, last), 20);
        spans.map(|span| (span.start(), span.end())).collect::<Vec<_>>()
    };
    assert_eq!(windows(25, 61), [(20, 40), (40, 60), (60, 80)]);
    assert_eq!(windows(-25, -1), [(-20, 0)]);
    let hour = 3_600_000;
    for (max, expected) in [(0, 2), (2, 2), (5, 2), (6, 6), (17, 6), (18, 18), (1_000_000, 39_366)] {
        assert_eq!(backfill_block_duration(max * hour), expected * hour, "{max} h");
    }
}
