//! What was written is read, whatever happened to the files in between.

use super::*;

fn forgotten(fingerprint: u64) -> Record {
    Record::Forgotten { fingerprint }
}

fn stored(dir: &Path) -> Stored {
    Journal::open(dir).expect("readable").1
}

fn snapshot(records: Vec<Record>) -> Snapshot {
    Snapshot { silences: b"s".into(), nflog: b"n".into(), records }
}

fn rewrite(journal: &mut Journal, dir: &Path, records: Vec<Record>) {
    journal.begin_rewrite();
    let rewritten = write_state(dir, &snapshot(records));
    journal.end_rewrite(rewritten).expect("written");
}

/// The records but for the mark of the state.
fn plain(stored: &Stored) -> Vec<Record> {
    let is_plain = |record: &&Record| !matches!(record, Record::Snapshot { .. });
    stored.records.iter().filter(is_plain).cloned().collect()
}

#[test]
fn what_was_written_is_read_but_for_damage() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut journal, empty) = Journal::open(dir.path()).expect("a new directory");
    assert!(empty.silences.is_none() && empty.records.is_empty() && !empty.has_journal);
    assert!(journal.append(&[forgotten(1)]).is_err(), "nothing may be lost silently");
    rewrite(&mut journal, dir.path(), vec![forgotten(1)]);
    journal.append(&[forgotten(2), forgotten(300)]).expect("appended");
    journal.rewrite_history([&b"old"[..]].into_iter()).expect("written");
    journal.append_history(&[b"new".to_vec()]).expect("appended");
    let read = stored(dir.path());
    assert_eq!(plain(&read), [forgotten(1), forgotten(2), forgotten(300)]);
    assert!(read.damages.is_empty() && read.has_journal);
    assert_eq!(frame::read(&read.history).0, [&b"old"[..], b"new"]);

    let file = dir.path().join(JOURNAL);
    let whole = std::fs::read(&file).expect("there");
    for cut in 0..whole.len() {
        std::fs::write(&file, &whole[..cut]).expect("written");
        let read = stored(dir.path());
        let border: usize =
            read.records.iter().map(|record| record.encode().len() + frame::HEADER_BYTES).sum();
        assert_eq!(read.damages.is_empty(), border == cut, "{cut}");
    }
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x10;
        std::fs::write(&file, &flipped).expect("written");
        let read = stored(dir.path());
        assert_eq!(
            (read.damages.len(), read.records.len()),
            (1, 3),
            "one flipped bit costs one record: {at}"
        );
    }
}

#[test]
fn files_are_read_only_if_another_program_wrote_them() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut journal = Journal::open(dir.path()).expect("a new directory").0;
    rewrite(&mut journal, dir.path(), vec![forgotten(1)]);
    let read = stored(dir.path());
    assert_eq!((read.silences, read.nflog), (None, None));
    std::fs::write(dir.path().join(SILENCES), b"t").expect("written");
    let read = stored(dir.path());
    assert_eq!((read.silences.as_deref(), read.nflog), (Some(&b"t"[..]), None));
    // A damaged journal may lack what they have.
    let file = dir.path().join(JOURNAL);
    let mut journal = std::fs::read(&file).expect("there");
    journal[0] ^= 1;
    std::fs::write(&file, journal).expect("written");
    let read = stored(dir.path());
    assert_eq!((read.silences.is_some(), read.nflog.is_some()), (true, true));
}

#[test]
fn what_is_appended_during_a_rewrite_is_in_both_files() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut journal = Journal::open(dir.path()).expect("a new directory").0;
    rewrite(&mut journal, dir.path(), vec![forgotten(1)]);
    for fails in [true, false] {
        journal.begin_rewrite();
        let rewritten = write_state(dir.path(), &snapshot(vec![forgotten(1)]));
        journal.append(&[forgotten(2)]).expect("appended");
        assert_eq!(plain(&stored(dir.path())).last(), Some(&forgotten(2)), "at once");
        let rewritten = if fails { Err(io::Error::other("the disk is full")) } else { rewritten };
        assert_eq!(journal.end_rewrite(rewritten).is_err(), fails);
        journal.append(&[forgotten(3)]).expect("appended");
        assert_eq!(plain(&stored(dir.path())), [1, 2, 3].map(forgotten));
        rewrite(&mut journal, dir.path(), vec![forgotten(1)]);
    }
    // A start continues the file.
    drop(journal);
    let mut journal = Journal::open(dir.path()).expect("readable").0;
    journal.continue_file(0).expect("writable");
    journal.append(&[forgotten(4)]).expect("appended");
    assert_eq!(plain(&stored(dir.path())), [1, 4].map(forgotten));
    assert!(!journal.is_long());
    let many = vec![forgotten(u64::MAX); 1 << 19];
    journal.append(&many).expect("appended");
    assert!(journal.is_long());
    rewrite(&mut journal, dir.path(), many);
    assert!(!journal.is_long());
}

#[test]
fn many_records_are_read_in_their_order() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut journal = Journal::open(dir.path()).expect("a new directory").0;
    rewrite(&mut journal, dir.path(), Vec::new());
    let many: Vec<Record> = (1..=30_007).map(forgotten).collect();
    journal.append(&many).expect("appended");
    let read = stored(dir.path());
    assert!(plain(&read) == many && read.damages.is_empty());
    // A record that is no record is named, wherever it is.
    let mut file = std::fs::read(dir.path().join(JOURNAL)).expect("there");
    frame::push(&mut file, b"\x0a\xff");
    std::fs::write(dir.path().join(JOURNAL), &file).expect("written");
    let read = stored(dir.path());
    assert!(plain(&read) == many && read.damages.len() == 1, "{:?}", read.damages);
}
