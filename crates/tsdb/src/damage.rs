//! What a start, a look at the blocks or the scrub found missing or damaged, in one shape for the log, the metric, the
//! API and the commands.
//!
//! Nothing damaged is deleted: it is set aside under a name that no program reads ([`set_aside`]), and what the log, the
//! savepoint or another file still has is used in its place.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use ferula_telemetry::{CounterVec, Registry};

use crate::disk::Disk;
use crate::sync::{Mutex, rank};

/// What is wrong with a file or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DamageKind {
    /// Its end was not written, or is gone.
    Torn,
    /// Its bytes are not what was written.
    Unreadable,
    /// Bytes that were written are zeros now.
    Zeroed,
    /// It is not there, though something says that it must be.
    Missing,
    /// It is there under the name of another, or in the place of another.
    Misplaced,
    /// Its name looks like one of the database's, but nothing of the database has it.
    Foreign,
    /// Two files contradict each other, and which of them is right cannot be told.
    Contradictory,
}

impl DamageKind {
    /// All of them.
    pub const ALL: [DamageKind; 7] = [
        DamageKind::Torn,
        DamageKind::Unreadable,
        DamageKind::Zeroed,
        DamageKind::Missing,
        DamageKind::Misplaced,
        DamageKind::Foreign,
        DamageKind::Contradictory,
    ];

    /// Its name in the metric and in the API.
    pub fn name(self) -> &'static str {
        match self {
            DamageKind::Torn => "torn",
            DamageKind::Unreadable => "unreadable",
            DamageKind::Zeroed => "zeroed",
            DamageKind::Missing => "missing",
            DamageKind::Misplaced => "misplaced",
            DamageKind::Foreign => "foreign",
            DamageKind::Contradictory => "contradictory",
        }
    }
}

/// One damaged place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    pub kind: DamageKind,
    /// The file or directory.
    pub path: PathBuf,
    /// Which bytes of the file, when it is not all of it.
    pub bytes: Option<Range<u64>>,
    /// What is wrong.
    pub what: String,
    /// The cost: which samples are gone, and what was used instead.
    pub cost: String,
    /// Where the damaged file is now, when it was set aside.
    pub kept: Option<PathBuf>,
}

impl Damage {
    /// Damage of a whole file whose cost is not known yet.
    pub fn new(kind: DamageKind, path: impl Into<PathBuf>, what: impl Into<String>) -> Self {
        Damage { kind, path: path.into(), bytes: None, what: what.into(), cost: String::new(), kept: None }
    }

    /// The same, with the cost.
    #[must_use]
    pub fn cost(self, cost: impl Into<String>) -> Self {
        Damage { cost: cost.into(), ..self }
    }

    /// The same, of these bytes only.
    #[must_use]
    pub fn at(self, bytes: Range<u64>) -> Self {
        Damage { bytes: Some(bytes), ..self }
    }

    /// The same, with the place where the damaged file is now.
    #[must_use]
    pub fn kept(self, kept: Option<PathBuf>) -> Self {
        Damage { kept, ..self }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(bytes) = &self.bytes {
            write!(f, ", bytes {} to {}", bytes.start, bytes.end)?;
        }
        write!(f, ": {}", self.what)?;
        if !self.cost.is_empty() {
            write!(f, "; {}", self.cost)?;
        }
        match &self.kept {
            Some(kept) => write!(f, "; kept as {}", kept.display()),
            None => Ok(()),
        }
    }
}

/// The list shows so many; the metric counts all.
const LISTED_MAX: usize = 1000;

/// The damage that was found since the start.
pub(crate) struct DamageList {
    counts: CounterVec,
    listed: Mutex<VecDeque<Damage>, rank::Damages>,
}

impl DamageList {
    pub fn new(registry: &Registry) -> Self {
        let counts = registry.counter_vec(
            "ferula_tsdb_damage_total",
            "Damaged or missing files and places in files that were found since the start, by kind. \
             /api/v1/ferula/damage lists them.",
            &["kind"],
        );
        for kind in DamageKind::ALL {
            counts.with(&[kind.name()]);
        }
        DamageList { counts, listed: Mutex::default() }
    }

    /// Counts and lists it. Returns `false` when it is on the list already: it was found once more.
    pub fn note(&self, damage: &Damage) -> bool {
        let mut listed = self.listed.lock();
        let same = |other: &Damage| {
            (other.kind, &other.path, &other.bytes, &other.what)
                == (damage.kind, &damage.path, &damage.bytes, &damage.what)
        };
        if listed.iter().any(same) {
            return false;
        }
        self.counts.with(&[damage.kind.name()]).inc();
        if listed.len() == LISTED_MAX {
            listed.pop_front();
        }
        listed.push_back(damage.clone());
        true
    }

    /// All that are listed, oldest first.
    pub fn list(&self) -> Vec<Damage> {
        self.listed.lock().iter().cloned().collect()
    }
}

/// Ends the name of what was set aside.
pub const KEPT_SUFFIX: &str = ".damaged";
/// So many names are tried for what is set aside.
const NAMES_MAX: u32 = 10_000;

/// The first free name beside `path` for what is set aside.
///
/// # Errors
/// The disk refused, or every name is taken.
pub(crate) fn free_name(disk: &dyn Disk, path: &Path) -> io::Result<PathBuf> {
    for number in 1..NAMES_MAX {
        let mut name = path.as_os_str().to_owned();
        name.push(KEPT_SUFFIX);
        if number > 1 {
            name.push(format!(".{number}"));
        }
        let name = PathBuf::from(name);
        if disk.stat(&name)?.is_none() {
            return Ok(name);
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "too many files were set aside already"))
}

/// Gives a damaged file or directory a name that nothing reads, beside its own; returns it.
///
/// # Errors
/// The disk refused; it has its own name still.
pub(crate) fn set_aside(disk: &dyn Disk, path: &Path) -> io::Result<PathBuf> {
    let kept = free_name(disk, path)?;
    disk.rename(path, &kept)?;
    if let Some(dir) = path.parent() {
        disk.sync_dir(dir)?;
    }
    Ok(kept)
}

/// So many bytes are copied at a time.
const COPY_BYTES: u64 = 32 << 10;

/// Shortens a file to `len` bytes, and keeps what is cut off as a file of its own; returns how many bytes that were, and where
/// they are. What cannot be read of them is left out.
///
/// # Errors
/// The disk refused.
pub(crate) fn cut_off(disk: &dyn Disk, path: &Path, len: u64) -> io::Result<(u64, PathBuf)> {
    let kept = free_name(disk, path)?;
    let file = disk.open(path)?;
    let (mut out, end) = (disk.create(&kept)?, file.bytes()?);
    let mut buffer = vec![0; COPY_BYTES as usize];
    let mut at = len;
    while at < end {
        match file.read_at(&mut buffer, at) {
            Ok(0) => break,
            Ok(read) => {
                out.write_all(&buffer[..read])?;
                at += read as u64;
            }
            Err(_) => at += COPY_BYTES,
        }
    }
    out.sync_data()?;
    let mut file = disk.append(path)?;
    file.set_len(len)?;
    file.sync_data()?;
    Ok((end.saturating_sub(len), kept))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::FaultDisk;

    #[test]
    fn what_is_set_aside_never_replaces_what_was_set_aside_before() {
        let disk = FaultDisk::default();
        disk.create_dir_all(Path::new("/d")).expect("room");
        let mut kept = Vec::new();
        for text in ["one", "two", "three"] {
            let mut file = disk.create(Path::new("/d/7")).expect("room");
            file.write_all(text.as_bytes()).expect("room");
            kept.push(set_aside(&disk, Path::new("/d/7")).expect("renamed"));
        }
        assert_eq!(kept, ["/d/7.damaged", "/d/7.damaged.2", "/d/7.damaged.3"].map(PathBuf::from));
        let read = |path: &PathBuf| crate::disk::read_file(&disk, path, 10).expect("there");
        assert_eq!(kept.iter().map(read).collect::<Vec<_>>(), [&b"one"[..], b"two", b"three"]);
    }

    #[test]
    fn what_is_cut_off_is_kept() {
        let disk = FaultDisk::default();
        disk.create_dir_all(Path::new("/d")).expect("room");
        disk.create(Path::new("/d/7")).and_then(|mut file| file.write_all(b"whole torn")).expect("room");
        let cut = cut_off(&disk, Path::new("/d/7"), 6).expect("cut");
        assert_eq!(cut, (4, PathBuf::from("/d/7.damaged")));
        let read = |path: &str| crate::disk::read_file(&disk, Path::new(path), 10).expect("there");
        assert_eq!((read("/d/7"), read("/d/7.damaged")), (b"whole ".to_vec(), b"torn".to_vec()));
    }

    #[test]
    fn the_same_damage_is_counted_once() {
        let registry = Registry::new();
        let list = DamageList::new(&registry);
        let damage = Damage::new(DamageKind::Torn, "/d/7", "it ends early").at(3..9).cost("2 samples");
        assert!(list.note(&damage) && !list.note(&damage));
        assert!(list.note(&Damage { kind: DamageKind::Zeroed, ..damage.clone() }));
        assert_eq!(list.list().len(), 2);
        let family = registry.gather_one("ferula_tsdb_damage_total").expect("registered");
        assert_eq!(family.metrics.len(), DamageKind::ALL.len());
        let text = "/d/7, bytes 3 to 9: it ends early; 2 samples; kept as /d/7.damaged";
        assert_eq!(damage.kept(Some("/d/7.damaged".into())).to_string(), text);
    }
}
