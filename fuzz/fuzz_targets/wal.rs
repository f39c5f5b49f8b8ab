//! The log and the chunk files of the head: any bytes are read without a panic, and a repaired segment is read without
//! damage.

use std::path::Path;

use ferula_tsdb::disk::{Disk, FaultDisk};
use ferula_tsdb::formats::head_chunks;
use ferula_tsdb::formats::wal::repair;
use ferula_tsdb::formats::wal::segment_path;
use ferula_tsdb::formats::wal::{Compression, SegmentReader, Writer, WriterOptions};
use ferula_tsdb::formats::wal::{LogRef, LoggedSample, Records, begin_series, put_samples, put_series};

const DIR: &str = "/wal";

/// A disk with one file that contains these bytes.
fn disk_with(dir: &Path, path: &Path, bytes: &[u8]) -> FaultDisk {
    let disk = FaultDisk::default();
    disk.create_dir_all(dir).expect("a disk without faults");
    disk.create(path).and_then(|mut file| file.write_all(bytes)).expect("a disk without faults");
    disk
}

/// Reads all records. Returns the number of damaged places.
fn read_all(disk: &FaultDisk) -> usize {
    let mut reader = SegmentReader::open(disk, Path::new(DIR), 0).expect("there");
    let (mut records, mut damaged) = (Records::default(), 0);
    while let Some(read) = reader.next().expect("a disk without faults") {
        match read {
            Ok(record) => {
                let _ = records.decode(record);
            }
            Err(_) => damaged += 1,
        }
    }
    damaged
}

fn main() {
    let mut series = Vec::new();
    begin_series(&mut series);
    put_series(&mut series, LogRef::new(7), [("__name__", "up"), ("job", "x")].into_iter());
    let samples: Vec<LoggedSample> = (0..400)
        .map(|i| LoggedSample { series: LogRef::new(7), at: i * 15, start: 1, value: i as f64 })
        .collect();
    let (mut v1, mut v2) = (Vec::new(), Vec::new());
    put_samples(&mut v1, &samples, false);
    put_samples(&mut v2, &samples, true);
    let segment = |compression| {
        let disk = FaultDisk::default();
        let options = WriterOptions { compression, ..WriterOptions::default() };
        let mut writer = Writer::open(std::sync::Arc::new(disk.clone()), DIR.into(), options)
            .expect("a disk without faults");
        writer.log([&series[..], &v1, &v2]).expect("a disk without faults");
        ferula_tsdb::disk::read_file(&disk, &segment_path(Path::new(DIR), 0), 1 << 20).expect("written")
    };
    let seeds =
        [segment(Compression::None), segment(Compression::Snappy), segment(Compression::Zstd), v1.clone()];
    let seeds: Vec<&[u8]> = seeds.iter().map(Vec::as_slice).collect();
    ferula_fuzz::drive("wal", &seeds, |input| {
        let _ = Records::default().decode(input);
        let path = segment_path(Path::new(DIR), 0);
        let disk = disk_with(Path::new(DIR), &path, input);
        if read_all(&disk) > 0 {
            repair(&disk, Path::new(DIR), 0).expect("a disk without faults");
            assert_eq!(read_all(&disk), 0, "a repaired segment has no damage");
        }
        let dir = Path::new("/chunks_head");
        let chunks = disk_with(dir, &dir.join("000001"), input);
        let loaded = head_chunks::load(&chunks, dir).expect("a disk without faults");
        assert!(!loaded.damages.is_empty() || loaded.files.len() <= 1);
    });
}
