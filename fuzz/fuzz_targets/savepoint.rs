//! Savepoints: any bytes are read without a panic, even with valid checksums; unused parts do no harm.

use std::path::Path;
use std::sync::Arc;

use ferula_model::{Histogram, HistogramValue, LabelSet, MetricMetadata, TimeRange, Timestamp};
use ferula_storage::{Appendable, Durability, Hints, HistogramSample, Queryable, SampleBatch};
use ferula_telemetry::Registry;
use ferula_tsdb::disk::Survives;
use ferula_tsdb::disk::{FaultDisk, read_file};
use ferula_tsdb::formats::savepoint::{FrameKind, end_body, frames, put_frame, put_header};
use ferula_tsdb::{Db, Options};

const DIR: &str = "/data";
const STATE: &str = "/data/ferula_savepoint/state";

fn open(disk: &FaultDisk) -> Db {
    let options = Options { savepoints: true, exemplars_max: 10, samples_per_chunk: 4, ..Options::default() };
    Db::open(Path::new(DIR), options, Arc::new(disk.clone()), &Registry::new(), &mut |_| {}).expect("opened")
}

/// A disk with a savepoint of some floats and histograms.
fn with_savepoint() -> FaultDisk {
    let disk = FaultDisk::default();
    let db = open(&disk);
    for at in 0..7 {
        let mut appender = db.appender();
        let mut batch = SampleBatch::default();
        for n in 0..3 {
            let labels = LabelSet::from_pairs([("__name__", "m"), ("n", ["a", "b", "c"][n])]);
            let series = appender.resolve(&labels).expect("resolved");
            batch.metadata.push((series, MetricMetadata { help: "a help".into(), ..Default::default() }));
            if n < 2 {
                batch.push_float(series, Timestamp::from_millis(at * 1_000), at as f64 / 3.0);
            } else {
                let value = HistogramValue::Integer(Arc::new(Histogram::default()));
                let (timestamp, start_timestamp) = (Timestamp::from_millis(at * 1_000), Timestamp::EPOCH);
                batch.histograms.push(HistogramSample { series, timestamp, start_timestamp, value });
            }
        }
        appender.append(&mut batch);
        appender.commit(Durability::Written).expect("written");
    }
    db.savepoint().expect("there is room").expect("taken");
    disk
}

fn main() {
    let disk = with_savepoint();
    let whole = read_file(&disk, Path::new(STATE), 1 << 20).expect("written");
    let parts = frames(&whole).expect("whole");
    let body_of =
        |wanted: FrameKind| parts.iter().find(|(kind, _)| *kind == wanted).map_or(&[][..], |(_, body)| body);
    let kinds = [
        FrameKind::Begin,
        FrameKind::ExtraRefs,
        FrameKind::Departed,
        FrameKind::Series,
        FrameKind::Exemplars,
    ];
    let seeds = [&whole[..], body_of(FrameKind::Series), body_of(FrameKind::Begin), &[9, 3, 2, 12, 1, 4]];
    ferula_fuzz::drive("savepoint", &seeds, |input| {
        let _ = frames(input);
        // The input replaces each frame's body in turn, with valid checksums.
        for replaced in kinds {
            let mut file = Vec::new();
            put_header(&mut file);
            for (kind, body) in &parts {
                put_frame(&mut file, *kind, if *kind == replaced { input } else { body });
            }
            let end = end_body(parts.len() as u64, file.len() as u64);
            put_frame(&mut file, FrameKind::End, &end);
            let copy = disk.restart(Survives::Written);
            copy.damage(Path::new(STATE), |bytes| *bytes = file).expect("there");
            let db = open(&copy);
            let mut snapshot = db.snapshot(TimeRange::ALL).expect("a snapshot");
            let selection = snapshot.select(&[], &Hints::default()).expect("selected");
            snapshot.freeze().expect("frozen");
            assert!(snapshot.series_count(selection) < 1 << 20);
        }
    });
}
