//! The head through its public interface: what is accepted and refused, what is read, and what a restart
//! restores.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{Floats, commit, commit_histogram, floats, labels, open, read, series};
use ferula_model::value::STALE_NAN;
use ferula_model::{
    CounterResetHint, Histogram, HistogramValue, LabelSet, MatchOp, Matcher, Span, TimeRange, Timestamp,
};
use ferula_storage::{
    AppendError, Appendable, Durability, Hints, MemoryContract, Queryable, SampleBatch, SeriesSamples, Stop,
    StorageError,
};
use ferula_tsdb::disk::FaultDisk;
use ferula_tsdb::disk::Survives;
use ferula_tsdb::{Db, Options};
use proptest::prelude::*;

fn memory() -> Db {
    Db::in_memory(Options::default()).expect("opened")
}

const HOUR: i64 = 3_600_000;

#[test]
fn out_of_order_repeated_and_ancient_samples_are_judged_as_in_prometheus() {
    let db = memory();
    let at = 10 * HOUR;
    let one = |t, v| commit(&db, &[(series(1), t, v)]).expect("written");
    assert_eq!(one(at, 1.0), []);
    assert_eq!(one(at, 1.0), [], "the same sample again is no error");
    assert_eq!(one(at, 2.0), [AppendError::DuplicateForTimestamp]);
    assert_eq!(one(at - 1, 1.0), [AppendError::OutOfOrder]);
    // Another series may be at most half a chunk range behind the newest sample of all.
    let other = |t| commit(&db, &[(series(2), t, 1.0)]).expect("written");
    assert_eq!(other(at - HOUR - 1), [AppendError::OutOfBounds]);
    assert_eq!(other(at - HOUR), []);
    // NaNs are compared by their bits.
    assert_eq!(one(at + 1, STALE_NAN), []);
    assert_eq!(one(at + 1, STALE_NAN), []);
    assert_eq!(one(at + 1, f64::NAN), [AppendError::DuplicateForTimestamp]);
    assert_eq!(floats(&db)[&series(1)].keys().copied().collect::<Vec<_>>(), [at, at + 1]);
}

#[test]
fn of_two_samples_with_one_timestamp_in_one_commit_the_first_is_kept() {
    let db = memory();
    assert_eq!(commit(&db, &[(series(1), 5, 1.0), (series(1), 5, 2.0)]).expect("written"), []);
    assert_eq!(floats(&db)[&series(1)], BTreeMap::from([(5, 1f64.to_bits())]));
}

#[test]
fn a_dropped_appender_leaves_nothing_behind() {
    let db = memory();
    {
        let mut appender = db.appender();
        let mut batch = SampleBatch::default();
        batch.push_float(appender.resolve(&series(1)).expect("resolved"), Timestamp::from_millis(1), 1.0);
        assert_eq!(appender.append(&mut batch).accepted, 1);
        assert!(batch.is_empty());
    }
    assert_eq!(floats(&db), Floats::new());
}

#[test]
fn series_with_only_refused_samples_leave_nothing_behind() {
    for out_of_order_window_ms in [0, HOUR] {
        let options = || Options { out_of_order_window_ms, ..Options::default() };
        let disk = FaultDisk::default();
        let db = open(&disk, options());
        let at = 10 * HOUR;
        commit(&db, &[(series(0), at, 1.0)]).expect("written");
        // A sender with a wrong clock, repeatedly; one of its series has a valid sample too.
        for round in 0..3 {
            let mut samples: Vec<_> = (1..100).map(|n| (series(n), at - 5 * HOUR, 1.0)).collect();
            samples.push((series(1), at + round, 1.0));
            assert_eq!(commit(&db, &samples).expect("written").len(), 99);
            assert_eq!(db.head().series_count(), 2, "in round {round}");
        }
        let histogram = HistogramValue::Integer(Arc::default());
        assert_eq!(commit_histogram(&db, &series(500), at - 5 * HOUR, histogram).len(), 1);
        drop(db.appender().resolve(&series(501)));
        assert_eq!(db.head().series_count(), 2);
        let mut snapshot = db.snapshot(TimeRange::ALL).expect("a snapshot");
        assert_eq!(snapshot.label_values("n", &[], 0, &Hints::default()).expect("readable"), ["000", "001"]);
        let all = snapshot.select(&[], &Hints::default()).expect("selected");
        snapshot.freeze().expect("frozen");
        assert_eq!(snapshot.series_count(all), 2);
        drop(snapshot);
        // A refused series is accepted once its clock is correct, and the log contains both.
        commit(&db, &[(series(7), at + 5, 7.0)]).expect("written");
        let before = floats(&db);
        drop(db);
        let db = open(&disk.restart(Survives::Written), options());
        assert_eq!((floats(&db), db.recovered().unknown_series), (before, 0));
        assert_eq!(db.head().series_count(), 3);
    }
}

#[test]
fn a_series_that_ended_before_the_range_is_not_listed() {
    let db = memory();
    let minute = 60_000;
    for at in 0..10 {
        commit(&db, &[(series(1), at * minute, 1.0)]).expect("written");
        if at <= 3 {
            commit(&db, &[(series(2), at * minute, 1.0)]).expect("written");
        }
    }
    let listed = |from: i64, to: i64| {
        let range = TimeRange::from_millis(from * minute, to * minute);
        read(&db, &[], range).into_iter().map(|(labels, _)| labels).collect::<Vec<_>>()
    };
    assert_eq!(listed(8, 20), [series(1)]);
    assert_eq!(listed(3, 20), [series(1), series(2)]);
    assert_eq!(listed(4, 20), [series(1)]);
    assert_eq!(listed(10, 20), Vec::<LabelSet>::new());
}

#[test]
fn new_series_are_refused_at_the_limit_and_known_ones_continue() {
    let db = Db::in_memory(Options { series_max: Some(2), ..Options::default() }).expect("opened");
    commit(&db, &[(series(1), 1, 1.0), (series(2), 1, 1.0)]).expect("written");
    let mut appender = db.appender();
    assert_eq!(appender.resolve(&series(3)), Err(AppendError::SeriesLimit(2)));
    assert_eq!(appender.resolve(&labels(&[])), Err(AppendError::EmptyLabelSet));
    assert!(appender.resolve(&series(2)).is_ok());
}

#[test]
fn the_longer_the_labels_the_fewer_series_are_accepted() {
    let mut fitted = Vec::new();
    for label_bytes in [10, 1000] {
        let disk = FaultDisk::default();
        let options = || Options { head_bytes_max: Some(100_000), ..Options::default() };
        let db = open(&disk, options());
        let mut known = Floats::new();
        let long = |n: usize| {
            LabelSet::from_pairs([("__name__", "m".to_owned()), ("long", format!("{n:label_bytes$}"))])
        };
        let full = (0..1000).find(|n| {
            let fits = commit(&db, &[(long(*n), 1, 1.0)]).is_ok();
            if fits {
                known.entry(long(*n)).or_default().insert(1, 1f64.to_bits());
            }
            !fits
        });
        let limit = Err(AppendError::MemoryLimit(100_000));
        assert_eq!(db.appender().resolve(&long(9999)), limit);
        assert!(db.head().bytes() >= 100_000);
        // Existing series continue, and are restored from the log although the limit is lower now.
        commit(&db, &[(long(0), 2, 2.0)]).expect("written");
        known.entry(long(0)).or_default().insert(2, 2f64.to_bits());
        drop(db);
        let db = open(&disk, Options { head_bytes_max: Some(1), ..options() });
        assert_eq!(floats(&db), known);
        assert!(db.appender().resolve(&long(9999)).is_err());
        fitted.push(full.expect("the limit is reached"));
    }
    assert!(fitted[1] > 30 && fitted[1] * 2 < fitted[0], "{fitted:?}");
}

fn histogram(count: u64, hint: CounterResetHint) -> HistogramValue {
    HistogramValue::Integer(Arc::new(Histogram {
        counter_reset_hint: hint,
        count: 2 * count,
        sum: count as f64,
        zero_threshold: 1e-128,
        positive_spans: vec![Span { offset: 0, length: 2 }],
        positive_buckets: vec![count as i64, 0],
        ..Histogram::default()
    }))
}

#[test]
fn a_series_may_change_between_floats_and_histograms() {
    let disk = FaultDisk::default();
    let db = open(&disk, Options::default());
    commit(&db, &[(series(1), 1, 1.0)]).expect("written");
    assert_eq!(
        commit_histogram(&db, &series(1), 1, histogram(1, CounterResetHint::Unknown)),
        [AppendError::DuplicateForTimestamp]
    );
    assert_eq!(commit_histogram(&db, &series(1), 2, histogram(5, CounterResetHint::Unknown)), []);
    assert_eq!(commit_histogram(&db, &series(1), 3, histogram(9, CounterResetHint::Unknown)), []);
    assert_eq!(commit(&db, &[(series(1), 3, 1.0)]).expect("written"), [AppendError::DuplicateForTimestamp]);
    // The end of a histogram series is a histogram, although it is sent as a float.
    commit(&db, &[(series(1), 4, STALE_NAN)]).expect("written");
    commit(&db, &[(series(1), 5, 7.0)]).expect("written");
    let check = |db: &Db| {
        let rows = read(db, &[], TimeRange::ALL);
        let SeriesSamples { floats, histograms } = &rows[0].1;
        assert_eq!((&floats.timestamps, &floats.values), (&vec![1, 5], &vec![1.0, 7.0]));
        assert_eq!(histograms.timestamps, [2, 3, 4]);
        let counts: Vec<f64> = histograms.values.iter().map(|h| h.count).collect();
        assert_eq!(counts, [10.0, 18.0, 0.0]);
        assert_eq!(histograms.values[1].counter_reset_hint, CounterResetHint::NotReset);
        assert_eq!(histograms.values[2].sum.to_bits(), STALE_NAN.to_bits());
    };
    check(&db);
    drop(db);
    check(&open(&disk.restart(Survives::Written), Options::default()));
}

#[test]
fn an_inconsistent_histogram_is_refused() {
    let db = memory();
    let HistogramValue::Integer(good) = histogram(5, CounterResetHint::Unknown) else { unreachable!() };
    let bad = Histogram { positive_buckets: vec![1], ..(*good).clone() };
    let refused = commit_histogram(&db, &series(1), 1, HistogramValue::Integer(Arc::new(bad)));
    assert!(matches!(refused[..], [AppendError::InvalidHistogram(_)]), "{refused:?}");
}

#[test]
fn chunks_are_cut_where_prometheus_cuts_them() {
    let db = memory();
    // 15 s apart: 480 samples in 2 h make four chunks of 120.
    for i in 0..480 {
        commit(&db, &[(series(1), i * 15_000, i as f64)]).expect("written");
    }
    commit(&db, &[(series(1), 2 * HOUR, 0.0)]).expect("written");
    assert_eq!(
        db.head_chunks(&series(1)),
        [(0, 120), (120 * 15_000, 120), (240 * 15_000, 120), (360 * 15_000, 120), (2 * HOUR, 1)]
            .map(|(at, samples)| (Timestamp::from_millis(at), samples))
    );
}

#[test]
fn names_and_values_are_those_of_the_matching_series() {
    let db = memory();
    commit(
        &db,
        &[
            (labels(&[("__name__", "a"), ("x", "1")]), 1, 1.0),
            (labels(&[("__name__", "a"), ("y", "2")]), 1, 1.0),
            (labels(&[("__name__", "b"), ("x", "3")]), 1, 1.0),
        ],
    )
    .expect("written");
    let snapshot = db.snapshot(TimeRange::from_millis(0, 10)).expect("a snapshot");
    assert_eq!(
        snapshot.label_names(&[], 0, &Hints::default()),
        Ok(vec!["__name__".into(), "x".into(), "y".into()])
    );
    let b = [Matcher::equal("__name__", "b")];
    assert_eq!(snapshot.label_names(&b, 0, &Hints::default()), Ok(vec!["__name__".into(), "x".into()]));
    assert_eq!(snapshot.label_values("x", &[], 0, &Hints::default()), Ok(vec!["1".into(), "3".into()]));
    assert_eq!(snapshot.label_values("x", &b, 0, &Hints::default()), Ok(vec!["3".into()]));
    assert_eq!(
        snapshot.label_names(&[], 1, &Hints::default()).map(|names| names.len()),
        Ok(2),
        "one more shows that there are more"
    );
    let outside = db.snapshot(TimeRange::from_millis(100, 200)).expect("a snapshot");
    assert_eq!(outside.label_names(&[], 0, &Hints::default()), Ok(vec![]));
}

#[test]
fn a_snapshot_does_not_see_what_was_committed_after_its_cut() {
    let db = memory();
    commit(&db, &[(series(1), 1, 1.0)]).expect("written");
    let mut snapshot = db.snapshot(TimeRange::ALL).expect("a snapshot");
    let selection = snapshot.select(&[], &Hints::default()).expect("selected");
    // Committed before the cut: visible, although its series is new.
    commit(&db, &[(series(1), 2, 1.0), (series(2), 2, 1.0)]).expect("written");
    snapshot.freeze().expect("frozen");
    // After it: not visible, even if the chunk is cut meanwhile.
    for i in 0..300 {
        commit(&db, &[(series(1), 3 + i, 1.0), (series(2), 3 + i, 1.0), (series(3), 3 + i, 1.0)])
            .expect("written");
    }
    assert_eq!(snapshot.series_count(selection), 2);
    let mut seen = Vec::new();
    snapshot
        .read(selection, 0..2, TimeRange::ALL, &mut |_: usize, samples: &SeriesSamples| {
            seen.push(samples.floats.timestamps.clone());
            std::ops::ControlFlow::Continue(())
        })
        .expect("readable");
    assert_eq!(seen, [vec![1, 2], vec![2]]);
}

#[test]
fn readers_see_every_commit_completely_or_not_at_all() {
    let db = memory();
    let stop = AtomicBool::new(false);
    const ROWS: usize = 40;
    std::thread::scope(|scope| {
        for writer in 0..2usize {
            let (db, stop) = (&db, &stop);
            scope.spawn(move || {
                for round in 0..400i64 {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    let all: Vec<_> = (0..ROWS)
                        .map(|n| (series(writer * ROWS + n), round, round as f64))
                        // One series of each commit is new.
                        .chain([(series(1000 + writer * 500 + round as usize), round, round as f64)])
                        .collect();
                    commit(db, &all).expect("written");
                }
            });
        }
        for _ in 0..2 {
            let (db, stop) = (&db, &stop);
            scope.spawn(move || {
                for _ in 0..60 {
                    let mut snapshot = db.snapshot(TimeRange::ALL).expect("a snapshot");
                    let old = Matcher::new(MatchOp::Regex, "n", "0..").expect("a regex");
                    let new = Matcher::new(MatchOp::NotRegex, "n", "0..").expect("a regex");
                    let old = snapshot.select(&[old], &Hints::default()).expect("selected");
                    let new = snapshot.select(&[new], &Hints::default()).expect("selected");
                    snapshot.freeze().expect("frozen");
                    let mut lasts = BTreeMap::<usize, BTreeSet<i64>>::new();
                    let mut newest: BTreeMap<usize, i64> = BTreeMap::new();
                    for selection in [old, new] {
                        let rows = snapshot.series_count(selection);
                        snapshot
                            .read(
                                selection,
                                0..rows,
                                TimeRange::ALL,
                                &mut |row: usize, samples: &SeriesSamples| {
                                    let n: usize =
                                        snapshot.labels(selection, row).value("n").parse().expect("a number");
                                    let Some(last) = samples.floats.timestamps.last() else {
                                        return std::ops::ControlFlow::Continue(());
                                    };
                                    if n < 1000 {
                                        lasts.entry(n / ROWS).or_default().insert(*last);
                                    } else {
                                        let newest = newest.entry((n - 1000) / 500).or_insert(*last);
                                        *newest = (*newest).max(*last);
                                    }
                                    std::ops::ControlFlow::Continue(())
                                },
                            )
                            .expect("readable");
                    }
                    for (writer, rounds) in &lasts {
                        assert_eq!(rounds.len(), 1, "half a commit was seen");
                        assert_eq!(
                            newest.get(writer),
                            rounds.first(),
                            "the new series of the commit was not seen"
                        );
                    }
                }
                stop.store(true, Ordering::SeqCst);
            });
        }
    });
}

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<(u8, i64, u8)>),
    Restart,
    Snapshot,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => proptest::collection::vec((0u8..6, 0i64..400_000, 0u8..5), 1..12).prop_map(Step::Commit),
        1 => Just(Step::Restart),
        1 => Just(Step::Snapshot),
    ]
}

/// The model: the same rules on maps.
#[derive(Default)]
struct Model {
    samples: Floats,
    max: Option<i64>,
}

impl Model {
    fn commit(&mut self, range: i64, samples: &[common::Sample]) {
        let Some((_, first, _)) = samples.first() else { return };
        let max = *self.max.get_or_insert(*first);
        let min_valid = max - range / 2;
        let before: BTreeMap<_, _> = self
            .samples
            .iter()
            .filter_map(|(labels, samples)| {
                Some((labels.clone(), samples.last_key_value().map(|(t, v)| (*t, *v))?))
            })
            .collect();
        for (labels, at, value) in samples {
            // Refused at once because of the state before the commit,
            let ok = |last: Option<(i64, u64)>| match last {
                _ if *at < min_valid => false,
                Some((t, _)) => *at > t,
                None => true,
            };
            if !ok(before.get(labels).copied()) {
                continue;
            }
            // or when it is applied, after the other samples of the commit.
            let last = self.samples.get(labels).and_then(|s| s.last_key_value()).map(|(t, v)| (*t, *v));
            if ok(last) {
                self.samples.entry(labels.clone()).or_default().insert(*at, value.to_bits());
                self.max = self.max.max(Some(*at));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Any commits, with restarts in between: the head equals plain maps.
    #[test]
    fn the_head_equals_a_map(steps in proptest::collection::vec(step(), 1..40)) {
        let options = || Options { min_block_duration_ms: 100_000, samples_per_chunk: 8, ..Options::default() };
        let mut disk = FaultDisk::default();
        let mut db = open(&disk, options());
        let mut model = Model::default();
        let mut clock = 0;
        for step in steps {
            match step {
                Step::Commit(raw) => {
                    clock += 7_000;
                    let samples: Vec<_> = raw
                        .iter()
                        .map(|(n, t, v)| (series(usize::from(*n)), clock + t % 60_000, f64::from(*v)))
                        .collect();
                    commit(&db, &samples).expect("written");
                    model.commit(100_000, &samples);
                }
                Step::Restart => {
                    drop(db);
                    disk = disk.restart(Survives::Written);
                    db = open(&disk, options());
                    // A head without samples has no bounds yet.
                    if model.samples.is_empty() {
                        model.max = None;
                    }
                }
                Step::Snapshot => prop_assert_eq!(floats(&db), model.samples.clone()),
            }
        }
        prop_assert_eq!(floats(&db), model.samples);
    }
}

#[test]
fn samples_that_must_be_in_order_are_refused_even_in_the_window() {
    let options = || Options { out_of_order_window_ms: 10_000, ..Options::default() };
    let db = open(&FaultDisk::default(), options());
    let (floats, histograms) = (series(0), series(1));
    let histogram = || HistogramValue::Float(std::sync::Arc::default());
    commit(&db, &[(floats.clone(), 100_000, 1.0)]).expect("written");
    assert_eq!(commit_histogram(&db, &histograms, 100_000, histogram()), []);
    let out_of_order = |at: i64, in_order_only: bool| {
        let mut appender = db.appender();
        let mut batch = SampleBatch { in_order_only, ..SampleBatch::default() };
        for labels in [&floats, &histograms] {
            let series = appender.resolve(labels).expect("it is there");
            batch.push_float(series, Timestamp::from_millis(at), STALE_NAN);
        }
        let outcome = appender.append(&mut batch);
        assert!(!batch.in_order_only, "the next batch is another");
        appender.commit(Durability::Written).expect("written");
        outcome.refused.into_iter().map(|refusal| refusal.error).collect::<Vec<_>>()
    };
    assert_eq!(out_of_order(95_000, true), [AppendError::OutOfOrder, AppendError::OutOfOrder]);
    assert_eq!(out_of_order(80_000, true), [AppendError::TooOld, AppendError::TooOld]);
    assert_eq!(out_of_order(95_000, false), []);
    assert_eq!(out_of_order(105_000, true), []);
    let found = read(&db, &[], TimeRange::ALL);
    let times: Vec<usize> =
        found.iter().map(|(_, s)| s.floats.timestamps.len() + s.histograms.timestamps.len()).collect();
    assert_eq!(times, [3, 3]);
}

#[test]
fn readers_hold_no_more_memory_than_allowed() {
    let disk = FaultDisk::default();
    let db = open(&disk, Options::default());
    let many: Vec<_> = (0..5_000).map(|n| (series(n), 1, 1.0)).collect();
    commit(&db, &many).expect("written");
    let contract = MemoryContract::new(8 << 20);
    let hints = || Hints { memory: Some(Arc::new(contract.lease())), ..Hints::default() };
    // As often as the selector fits into one request.
    let repeated = |times: usize| -> Result<usize, StorageError> {
        let mut snapshot = db.snapshot(TimeRange::ALL)?;
        let hints = hints();
        let selections = (0..times).map(|_| snapshot.select(&[], &hints)).collect::<Result<Vec<_>, _>>()?;
        snapshot.freeze()?;
        Ok(selections.iter().map(|selection| snapshot.series_count(*selection)).sum())
    };
    assert_eq!(repeated(3), Ok(15_000));
    assert!(matches!(repeated(200), Err(StorageError::OutOfMemory(_))));
    assert_eq!(contract.used(), 0, "what was refused is given back");
    let snapshot = db.snapshot(TimeRange::ALL).expect("a snapshot");
    assert_eq!(snapshot.label_values("n", &[], 0, &hints()).map(|values| values.len()), Ok(5_000));
    contract.set_limit(64 << 10);
    let refused = snapshot.label_values("n", &[], 0, &hints());
    assert!(matches!(refused, Err(StorageError::OutOfMemory(_))), "{refused:?}");
    let gone = Hints { stop: Stop::when(Arc::new(|| true)), ..Hints::default() };
    assert_eq!(snapshot.label_values("n", &[], 0, &gone), Err(StorageError::Stopped));
    let regex = [Matcher::new(MatchOp::Regex, "n", ".*1.*2.*").expect("a regex")];
    assert_eq!(snapshot.label_names(&regex, 0, &gone), Err(StorageError::Stopped));
}
