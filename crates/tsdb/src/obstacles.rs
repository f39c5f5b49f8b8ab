//! What is in the way of a start: names that the database needs for itself, and that stand for something else.
//!
//! A pipe in the place of a segment, a directory called `lock`, a file called `chunks_head`: each is set aside and reported, so
//! that no reader or writer meets it. Only what may be a disk that is not there (a link that leads nowhere in the place of the
//! log) is left for a person to decide about.

use std::io;
use std::path::Path;

use crate::block::Ulid;
use crate::close::LOCK_FILE;
use crate::damage::{Damage, DamageKind, set_aside};
use crate::disk::{Disk, Stat};
use crate::options::{CHUNKS_HEAD_DIR, OpenError, WAL_DIR, WBL_DIR};
use crate::savepoint::SAVEPOINT_DIR;
use crate::savepoint::in_blocks::IN_BLOCKS_FILE;
use crate::wal::format::{CHECKPOINT_PREFIX, list_strangers, segment_number};

/// What must stand behind a name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ExpectedFileType {
    BeFile,
    BeDirectory,
}

impl ExpectedFileType {
    fn holds(self, stat: Stat) -> bool {
        match self {
            ExpectedFileType::BeFile => stat.is_file,
            ExpectedFileType::BeDirectory => stat.is_dir,
        }
    }

    fn what(self) -> &'static str {
        match self {
            ExpectedFileType::BeFile => "it is not a file, and its name is needed for one",
            ExpectedFileType::BeDirectory => "it is not a directory, and its name is needed for one",
        }
    }
}

/// Sets aside what is in the way in a data directory.
///
/// # Errors
/// A person has to decide, or the directory cannot be read.
pub(crate) fn clear_the_way(
    disk: &dyn Disk,
    dir: &Path,
    report: &mut dyn FnMut(Damage),
) -> Result<(), OpenError> {
    let at = |path: &Path| {
        let path = path.to_path_buf();
        move |error| OpenError::Io { path, error }
    };
    for name in [WAL_DIR, WBL_DIR] {
        let path = dir.join(name);
        match disk.stat(&path).map_err(at(&path))? {
            Some(stat) if !stat.is_dir && !stat.is_file => return Err(OpenError::LogUnreachable(path)),
            _ => clear(disk, &path, ExpectedFileType::BeDirectory, report),
        }
    }
    clear(disk, &dir.join(CHUNKS_HEAD_DIR), ExpectedFileType::BeDirectory, report);
    clear(disk, &dir.join(SAVEPOINT_DIR), ExpectedFileType::BeDirectory, report);
    clear(disk, &dir.join(LOCK_FILE), ExpectedFileType::BeFile, report);
    for name in ["state", "segments", "wbl_segments", IN_BLOCKS_FILE] {
        clear(disk, &dir.join(SAVEPOINT_DIR).join(name), ExpectedFileType::BeFile, report);
    }
    clear(disk, &dir.join(WAL_DIR).join("series_state.json"), ExpectedFileType::BeFile, report);
    blocks_that_lead_nowhere(disk, dir, report).map_err(at(dir))?;
    for name in [WAL_DIR, WBL_DIR] {
        let log = dir.join(name);
        clear_log(disk, &log, report).map_err(at(&log))?;
    }
    Ok(())
}

/// Sets `path` aside if it is not what it must be. If that cannot be done, the code that needs the name reports it.
fn clear(disk: &dyn Disk, path: &Path, must: ExpectedFileType, report: &mut dyn FnMut(Damage)) {
    match disk.stat(path) {
        Ok(Some(stat)) if !must.holds(stat) => {
            let kept = set_aside(disk, path).ok();
            report(Damage::new(DamageKind::Foreign, path, must.what()).kept(kept));
        }
        _ => {}
    }
}

/// Links with the name of a block whose target is gone: a disk that is not mounted, mostly.
fn blocks_that_lead_nowhere(disk: &dyn Disk, dir: &Path, report: &mut dyn FnMut(Damage)) -> io::Result<()> {
    for entry in disk.list(dir)? {
        if entry.name.parse::<Ulid>().is_ok() && !entry.stat.is_dir && !entry.stat.is_file {
            let what = "it has the name of a block, and leads nowhere";
            let damage = Damage::new(DamageKind::Missing, dir.join(&entry.name), what);
            report(damage.cost("the samples of that block are not shown"));
        }
    }
    Ok(())
}

fn clear_log(disk: &dyn Disk, log: &Path, report: &mut dyn FnMut(Damage)) -> io::Result<()> {
    for name in list_strangers(disk, log)? {
        let path = log.join(&name);
        let damage = Damage::new(DamageKind::Foreign, &path, "it has a number, and is no segment of the log");
        // Under the number of a segment it would be in the way of one; under another name it is left alone.
        let kept = segment_number(&name).and_then(|_| set_aside(disk, &path).ok());
        report(damage.cost("none, if nobody gave a segment that name").kept(kept));
    }
    let entries = match disk.list(log) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let number = entry.name.strip_prefix(CHECKPOINT_PREFIX).and_then(segment_number);
        if number.is_some() {
            clear(disk, &log.join(&entry.name), ExpectedFileType::BeDirectory, report);
        }
    }
    Ok(())
}
