//! The store and sources beside it, read as one.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use ferula_model::{LabelSet, Matcher, TimeRange};
use ferula_storage::{
    Fanout, Hints, PendingRead, Queryable, SeriesSamples, Source, SourceRow, SourceRows, StorageError,
};
use ferula_testkit::MemStorage;

/// A source with fixed answers, one for each selection in turn.
struct Played {
    part: Option<TimeRange>,
    answers: Mutex<Vec<SourceRows>>,
    asked: Mutex<Vec<(TimeRange, usize)>>,
}

impl Played {
    fn new(part: Option<TimeRange>, answers: Vec<SourceRows>) -> Arc<Self> {
        Arc::new(Played { part, answers: Mutex::new(answers), asked: Mutex::default() })
    }
}

struct Answer(SourceRows);

impl PendingRead for Answer {
    fn wait(self: Box<Self>) -> SourceRows {
        self.0
    }
}

impl Source for Played {
    fn part_of(&self, _: TimeRange) -> Option<TimeRange> {
        self.part
    }

    fn begin(&self, range: TimeRange, matchers: &[Matcher], _: &Hints) -> Option<Box<dyn PendingRead>> {
        self.asked.lock().expect("no panic").push((range, matchers.len()));
        Some(Box::new(Answer(self.answers.lock().expect("no panic").remove(0))))
    }
}

fn floats(samples: &[(i64, f64)]) -> SeriesSamples {
    let mut all = SeriesSamples::default();
    (all.floats.timestamps, all.floats.values) = samples.iter().copied().unzip();
    all
}

fn rows(series: &[(&str, &[(i64, f64)])]) -> SourceRows {
    let row = |(job, samples): &(&str, &[(i64, f64)])| SourceRow {
        labels: LabelSet::from_pairs([("__name__", "m"), ("job", job)]),
        samples: floats(samples),
        broken: None,
    };
    SourceRows { rows: series.iter().map(row).collect(), error: None }
}

fn cut() -> StorageError {
    StorageError::Remote("the wire is cut".to_owned())
}

fn failed(before: SourceRows) -> SourceRows {
    SourceRows { error: Some(cut()), ..before }
}

type Read = Vec<(String, Vec<(i64, f64)>)>;

/// What selections of `m` over 0..=100, each read over `range`, find, and the warnings.
fn read(
    store: &dyn Queryable,
    selections: usize,
    range: (i64, i64),
) -> Result<(Vec<Read>, Vec<String>), StorageError> {
    let mut snapshot = store.snapshot(TimeRange::from_millis(0, 100))?;
    let mut ids = Vec::new();
    for _ in 0..selections {
        ids.push(snapshot.select(&[Matcher::equal("__name__", "m")], &Hints::default())?);
    }
    snapshot.freeze()?;
    let mut all = Vec::new();
    for id in ids {
        let mut found: Read = Vec::new();
        let mut take = |row: usize, samples: &SeriesSamples| {
            let values = samples.floats.timestamps.iter().copied().zip(samples.floats.values.iter().copied());
            found.push((snapshot.labels(id, row).value("job").to_owned(), values.collect()));
            ControlFlow::Continue(())
        };
        let count = snapshot.series_count(id);
        snapshot.read(id, 0..count, TimeRange::from_millis(range.0, range.1), &mut take)?;
        all.push(found);
    }
    Ok((all, snapshot.warnings()))
}

fn store() -> Arc<MemStorage> {
    let store = MemStorage::new();
    store.put(&[("__name__", "m"), ("job", "z")], &[(50, 1.0), (60, 2.0)]);
    store.put(&[("__name__", "m"), ("job", "b")], &[(50, 3.0)]);
    Arc::new(store)
}

#[test]
fn series_come_by_label_and_the_store_wins_where_both_have_a_sample() {
    let fanout = Fanout::new(store());
    let first = Played::new(
        Some(TimeRange::from_millis(0, 70)),
        vec![rows(&[("z", &[(5, 9.0), (10, 10.0), (50, 99.0)]), ("a", &[(20, 5.0)])])],
    );
    // The same series twice, as a stream in several frames has it, and one that the first source also has.
    let twice = rows(&[("c", &[(1, 1.0)]), ("c", &[(30, 7.0)]), ("a", &[(20, 6.0), (25, 8.0)])]);
    let second = Played::new(Some(TimeRange::ALL), vec![twice]);
    fanout.set_sources(vec![first.clone(), second]);
    let (found, warnings) = read(&fanout, 1, (10, 60)).expect("read");
    let want: Read = vec![
        ("a".into(), vec![(20, 5.0), (25, 8.0)]),
        ("b".into(), vec![(50, 3.0)]),
        ("c".into(), vec![(30, 7.0)]),
        ("z".into(), vec![(10, 10.0), (50, 1.0), (60, 2.0)]),
    ];
    assert_eq!((found, warnings), (vec![want], Vec::<String>::new()));
    assert_eq!(*first.asked.lock().expect("no panic"), [(TimeRange::from_millis(0, 70), 1)]);
}

#[test]
fn a_source_that_fails_at_once_is_a_warning_and_counts_for_nothing() {
    let fanout = Fanout::new(store());
    let good = rows(&[("a", &[(20, 5.0)])]);
    let source = Played::new(Some(TimeRange::ALL), vec![good, failed(SourceRows::default())]);
    fanout.set_sources(vec![source]);
    let (found, warnings) = read(&fanout, 2, (0, 100)).expect("read");
    assert_eq!(found[0], found[1], "of the selection that was answered nothing is shown either");
    assert_eq!(found[0].len(), 2);
    assert_eq!(warnings, ["the wire is cut"]);
}

#[test]
fn a_source_that_breaks_off_later_fails_the_read() {
    let fanout = Fanout::new(store());
    let broken_off = failed(rows(&[("a", &[(1, 1.0)])]));
    fanout.set_sources(vec![Played::new(Some(TimeRange::ALL), vec![broken_off])]);
    assert_eq!(read(&fanout, 1, (0, 100)), Err(cut()));
}

#[test]
fn a_series_that_is_broken_is_there_and_cannot_be_read() {
    let fanout = Fanout::new(store());
    let mut answer = rows(&[("a", &[])]);
    answer.rows[0].broken = Some(cut());
    fanout.set_sources(vec![Played::new(Some(TimeRange::ALL), vec![answer])]);
    let mut snapshot = fanout.snapshot(TimeRange::ALL).expect("opened");
    let id = snapshot.select(&[], &Hints::default()).expect("selected");
    snapshot.freeze().expect("frozen");
    assert_eq!((snapshot.series_count(id), snapshot.labels(id, 0).value("job")), (3, "a"));
    let mut take = |_: usize, _: &SeriesSamples| ControlFlow::Continue(());
    assert_eq!(snapshot.read(id, 0..1, TimeRange::ALL, &mut take), Err(cut()));
    assert_eq!(snapshot.read(id, 1..3, TimeRange::ALL, &mut take), Ok(()));
}

#[test]
fn a_source_without_a_part_is_not_asked_and_labels_are_those_of_the_store() {
    let fanout = Fanout::new(store());
    fanout.set_sources(vec![Played::new(None, Vec::new())]);
    assert_eq!(read(&fanout, 1, (0, 100)).map(|(found, _)| found[0].len()), Ok(2));
    fanout.set_sources(vec![Played::new(Some(TimeRange::ALL), Vec::new())]);
    let snapshot = fanout.snapshot(TimeRange::ALL).expect("opened");
    let values = snapshot.label_values("job", &[], 0, &Hints::default());
    assert_eq!(values, Ok(vec!["b".to_owned(), "z".to_owned()]));
    assert_eq!(snapshot.warnings(), ["not implemented"]);
}
