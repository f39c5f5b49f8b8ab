//! Writer and reader against each other: every prefix, every failed write, every damaged byte.

use std::path::Path;

use proptest::prelude::*;

use super::super::format::{HEADER_BYTES, PAGE_BYTES, list_segments};
use super::super::reader::{Repair, SegmentReader, repair};
use super::*;
use crate::disk::Survives;
use crate::disk::{FaultDisk, Faults};

const DIR: &str = "/wal";

fn writer(disk: &FaultDisk, compression: Compression, pages: u64) -> Writer {
    let options = WriterOptions { compression, segment_bytes: pages * PAGE_BYTES as u64 };
    Writer::open(Arc::new(disk.clone()), DIR.into(), options).expect("opened")
}

/// All readable records, and the number of damaged places.
fn read_all(disk: &FaultDisk) -> (Vec<Vec<u8>>, usize) {
    let (mut records, mut damaged) = (Vec::new(), 0);
    for segment in list_segments(disk, Path::new(DIR)).expect("listed") {
        let mut reader = SegmentReader::open(disk, Path::new(DIR), segment.number).expect("opened");
        while let Some(read) = reader.next().expect("readable") {
            match read {
                Ok(record) => records.push(record.to_vec()),
                Err(_) => damaged += 1,
            }
        }
    }
    (records, damaged)
}

/// Incompressible bytes, different for every seed.
fn noise(seed: usize, bytes: usize) -> Vec<u8> {
    let mut state = seed as u64 ^ 0x9e37_79b9_7f4a_7c15;
    (0..bytes)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .collect()
}

#[test]
fn records_around_page_ends_survive_a_round_trip() {
    for compression in [Compression::None, Compression::Snappy, Compression::Zstd] {
        let disk = FaultDisk::default();
        let mut log = writer(&disk, compression, 8);
        let mut expected = Vec::new();
        // Leaves every small gap at the end of a page, and crosses pages and segments.
        for gap in 0..12 {
            let fill = PAGE_BYTES - 2 * HEADER_BYTES - gap;
            for bytes in [fill, gap, 0, 3 * PAGE_BYTES] {
                let record = noise(gap * 4 + bytes, bytes);
                log.log([&record[..]]).expect("written");
                expected.push(record);
            }
        }
        log.log([vec![7; 100_000].as_slice()]).expect("written");
        expected.push(vec![7; 100_000]);
        assert!(log.segment() > 3);
        assert_eq!(read_all(&disk), (expected, 0), "{compression:?}");
    }
}

#[test]
fn a_record_never_crosses_a_segment() {
    let disk = FaultDisk::default();
    let mut log = writer(&disk, Compression::None, 2);
    let records: Vec<Vec<u8>> = (0..40).map(|i| noise(i, 9_000)).collect();
    log.log(records.iter().map(Vec::as_slice)).expect("written");
    for segment in list_segments(&disk, Path::new(DIR)).expect("listed") {
        assert!(segment.bytes <= 2 * PAGE_BYTES as u64);
        let mut reader = SegmentReader::open(&disk, Path::new(DIR), segment.number).expect("opened");
        while let Some(read) = reader.next().expect("readable") {
            read.expect("no torn record");
        }
    }
    assert_eq!(read_all(&disk), (records, 0));
}

#[test]
fn any_prefix_of_the_file_gives_a_prefix_of_the_records() {
    let disk = FaultDisk::default();
    let mut log = writer(&disk, Compression::Zstd, 64);
    let records: Vec<Vec<u8>> = (0..30).map(|i| noise(i, i * 400 + 1)).collect();
    for record in &records {
        log.log([&record[..]]).expect("written");
    }
    let path = segment_path(Path::new(DIR), 0);
    let bytes = disk.stat(&path).expect("asked").expect("there").bytes as usize;
    for cut in (0..=bytes).step_by(611).chain(bytes - 40..=bytes) {
        let copy = disk.restart(Survives::Written);
        copy.damage(&path, |content| content.truncate(cut)).expect("cut");
        let (found, damaged) = read_all(&copy);
        assert_eq!(found[..], records[..found.len()], "cut at {cut}");
        assert!(damaged <= 1);
        if damaged == 1 {
            assert!(matches!(repair(&copy, Path::new(DIR), 0), Ok(Repair::Truncated { .. })));
            assert_eq!(read_all(&copy), (found, 0));
        }
    }
}

#[test]
fn damage_in_the_middle_costs_its_page_and_repair_keeps_the_rest() {
    let disk = FaultDisk::default();
    let mut log = writer(&disk, Compression::None, 64);
    let records: Vec<Vec<u8>> = (0..100).map(|i| noise(i, 3_000)).collect();
    log.log(records.iter().map(Vec::as_slice)).expect("written");
    let path = segment_path(Path::new(DIR), 0);
    disk.damage(&path, |bytes| bytes[4 * PAGE_BYTES + 900] ^= 1).expect("damaged");
    let (found, damaged) = read_all(&disk);
    assert_eq!(damaged, 1);
    let lost: Vec<usize> = (0..100).filter(|i| !found.contains(&records[*i])).collect();
    assert!(!lost.is_empty() && lost.len() <= 12, "a page holds 11 such records: {lost:?}");
    assert!(found.contains(&records[0]) && found.contains(&records[99]));
    let Ok(Repair::Rewritten { kept }) = repair(&disk, Path::new(DIR), 0) else { panic!("rewritten") };
    assert!(disk.stat(&kept).expect("asked").is_some());
    assert_eq!(read_all(&disk), (found, 0));
}

#[test]
fn a_full_disk_leaves_no_torn_record_and_the_log_continues_when_there_is_space() {
    let disk = FaultDisk::default();
    let mut log = writer(&disk, Compression::None, 64);
    log.log([&noise(1, 1000)[..]]).expect("written");
    disk.set_faults(Faults { capacity_bytes: Some(1500), ..Faults::default() });
    for _ in 0..3 {
        let error = log.log([&noise(2, 1000)[..]]).expect_err("no room");
        assert!(crate::disk::is_full(&error));
    }
    disk.set_faults(Faults::default());
    log.log([&noise(3, 1000)[..]]).expect("written");
    assert_eq!(read_all(&disk), (vec![noise(1, 1000), noise(3, 1000)], 0));
}

#[test]
fn a_segment_that_could_not_be_begun_is_begun_later() {
    let disk = FaultDisk::default();
    let mut log = writer(&disk, Compression::None, 1);
    log.log([&noise(1, 30_000)[..]]).expect("written");
    // There is space for the padding of the first segment, but not for the second record.
    disk.set_faults(Faults { capacity_bytes: Some(PAGE_BYTES as u64 + 100), ..Faults::default() });
    log.log([&noise(2, 30_000)[..]]).expect_err("no room");
    disk.set_faults(Faults::default());
    log.log([&noise(3, 30_000)[..]]).expect("written");
    assert_eq!(read_all(&disk), (vec![noise(1, 30_000), noise(3, 30_000)], 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Flipping any byte never causes a panic, and the records that are still read are a subsequence of those
    /// that were written.
    #[test]
    fn a_flipped_byte_never_invents_records(at in 0usize..120_000, bit in 0u8..8) {
        let disk = FaultDisk::default();
        let mut log = writer(&disk, Compression::Snappy, 64);
        let records: Vec<Vec<u8>> = (0..40).map(|i| noise(i, 2_990)).collect();
        log.log(records.iter().map(Vec::as_slice)).expect("written");
        disk.damage(&segment_path(Path::new(DIR), 0), |bytes| {
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
        }).expect("damaged");
        let (found, _) = read_all(&disk);
        let mut rest = records.iter();
        prop_assert!(found.iter().all(|record| rest.any(|written| written == record)));
    }
}
