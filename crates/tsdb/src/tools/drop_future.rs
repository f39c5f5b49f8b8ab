//! `tsdb drop-future`: the way out after a clock was ahead.
//!
//! Samples from a wrong clock's future keep everything from being stored until the right clock gets there. What is not of
//! the future is written to blocks, and the logs and head chunks, which have both, are set aside; so are blocks that are of the
//! future altogether. Blocks that reach into it are rewritten.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ferula_model::{TimeRange, Timestamp};
use ferula_telemetry::Registry;

use super::ToolError;
use crate::block::Ulid;
use crate::damage::set_aside;
use crate::db::Db;
use crate::disk::Disk;
use crate::options::{CHUNKS_HEAD_DIR, Options, WAL_DIR, WBL_DIR};
use crate::savepoint::SAVEPOINT_DIR;

/// What was done about samples of the future.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DroppedFuture {
    /// The newest sample of the head before, in milliseconds, if it was of the future.
    pub head_newest: Option<i64>,
    /// Blocks of the past that were made of the head.
    pub written: Vec<Ulid>,
    /// Blocks that reached into the future, and were rewritten without it.
    pub cleaned: Vec<Ulid>,
    /// What is kept beside: logs, head chunks, and blocks of the future.
    pub kept: Vec<PathBuf>,
}

/// Drops samples after `until_ms` from a data directory that nobody uses.
///
/// # Errors
/// The directory is in use, or the disk refuses.
pub fn drop_future(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    options: Options,
    until_ms: i64,
) -> Result<DroppedFuture, ToolError> {
    let mut dropped = DroppedFuture::default();
    let options = Options { opened_at: Some(Timestamp::from_millis(until_ms)), ..options };
    let db = Db::open(dir, options, disk.clone(), &Registry::new(), &mut |_| {})?;
    let future = TimeRange::from_millis(until_ms.saturating_add(1), i64::MAX);
    for block in db.blocks().iter() {
        let meta = block.meta();
        if meta.min_time > until_ms {
            dropped.kept.push(set_aside(&**disk, block.dir())?);
        } else if meta.max_time > until_ms.saturating_add(1) {
            block.delete(future.into(), &[])?;
            if !block.tombstones().is_empty() {
                dropped.cleaned.push(meta.ulid);
            }
        }
    }
    if !dropped.cleaned.is_empty() {
        db.clean_tombstones(Timestamp::from_millis(until_ms))?;
    }
    let newest = db.head().newest_of_all();
    if newest.is_some_and(|newest| newest > until_ms) {
        dropped.head_newest = newest;
        let written = db.write_head_until(until_ms)?;
        dropped.written.extend(written.iter().map(|meta| meta.ulid));
        drop(db);
        for name in [WAL_DIR, WBL_DIR, CHUNKS_HEAD_DIR, SAVEPOINT_DIR] {
            if disk.stat(&dir.join(name))?.is_some() {
                dropped.kept.push(set_aside(&**disk, &dir.join(name))?);
            }
        }
    } else {
        db.close()?;
    }
    Ok(dropped)
}

#[cfg(test)]
mod tests {
    use ferula_model::LabelSet;
    use ferula_storage::{Appendable, Durability, SampleBatch};

    use super::*;
    use crate::disk::{FaultDisk, OverlayDisk, Survives};
    use crate::head::Head;

    const MINUTE: i64 = 60_000;
    const NOW: i64 = 500_000 * 60 * MINUTE;

    fn options() -> Options {
        Options { out_of_order_window_ms: 60 * MINUTE, savepoints: true, ..Options::default() }
    }

    fn open(disk: &FaultDisk) -> Db {
        let disk = Arc::new(disk.clone());
        Db::open(Path::new("/data"), options(), disk, &Registry::new(), &mut |_| {}).expect("opened")
    }

    /// Whether the sample was taken.
    fn commit(db: &Db, at: i64) -> bool {
        let mut appender = db.appender();
        let mut batch = SampleBatch::default();
        let series = appender.resolve(&LabelSet::from_pairs([("n", "1")])).expect("resolved");
        batch.push_float(series, Timestamp::from_millis(at), 1.0);
        let taken = appender.append(&mut batch).refused.is_empty();
        appender.commit(Durability::Written).expect("written");
        taken
    }

    #[test]
    fn samples_are_stored_again_after_a_clock_was_ahead() {
        const AHEAD: i64 = 3 * 24 * 60 * MINUTE;
        let disk = FaultDisk::default();
        let db = open(&disk);
        (0..60).for_each(|minute| assert!(commit(&db, NOW - 60 * MINUTE + minute * MINUTE)));
        assert!(commit(&db, NOW - 20 * MINUTE + 1), "an out-of-order one");
        assert!(commit(&db, NOW + AHEAD), "the clock is ahead");
        assert!(!commit(&db, NOW), "and right again: nothing is stored");
        db.maintain(Timestamp::from_millis(NOW + AHEAD + 300 * MINUTE));
        (0..3).for_each(|hours| assert!(commit(&db, NOW + AHEAD + hours * 60 * MINUTE + 1)));
        db.maintain(Timestamp::from_millis(NOW + AHEAD + 300 * MINUTE));
        drop(db);
        let disk = disk.restart(Survives::Written);
        let dry: Arc<dyn Disk> = Arc::new(OverlayDisk::new(Arc::new(disk.clone())));
        let before = disk.operations();
        let said = drop_future(&dry, Path::new("/data"), options(), NOW).expect("tried");
        assert_eq!(disk.operations(), before, "nothing was changed");
        let real: Arc<dyn Disk> = Arc::new(disk.clone());
        let done = drop_future(&real, Path::new("/data"), options(), NOW).expect("done");
        assert!(done.head_newest.is_some_and(|newest| newest > NOW), "{done:?}");
        assert_eq!((said.head_newest, said.kept.len()), (done.head_newest, done.kept.len()));
        let db = open(&disk);
        assert_eq!(samples(&db), 61, "all that is of the past");
        assert!(commit(&db, NOW + 1), "it is stored again");
        assert_eq!(Head::newest_of_all(db.head()), Some(NOW + 1));
        drop(db);
        let again = drop_future(&real, Path::new("/data"), options(), NOW + 2).expect("nothing to do");
        assert_eq!(again, DroppedFuture::default());
    }

    fn samples(db: &Db) -> usize {
        use ferula_storage::{Hints, Queryable, SeriesSamples};
        let mut snapshot = db.snapshot(TimeRange::ALL).expect("a snapshot");
        let all = snapshot.select(&[], &Hints::default()).expect("selected");
        snapshot.freeze().expect("frozen");
        let mut count = 0;
        let mut take = |_: usize, samples: &SeriesSamples| {
            count += samples.floats.timestamps.len();
            std::ops::ControlFlow::Continue(())
        };
        snapshot.read(all, 0..1, TimeRange::ALL, &mut take).expect("readable");
        count
    }
}
