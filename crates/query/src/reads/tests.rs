//! The record of reads: what is noted, what is forgotten, and how it survives.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ferula_model::Timestamp;
use ferula_promql_syntax::parse_metric_selector;
use ferula_runtime::SimClock;
use ferula_testkit::MemStorage;

use super::tables::{SELECTORS_MAX, forget_oldest};
use super::*;

const START_MS: i64 = 1_000_000;

fn record() -> (ReadRecord, SimClock) {
    let clock = SimClock::at(Timestamp::from_millis(START_MS));
    (ReadRecord::new(Arc::new(clock.clone())), clock)
}

fn selector(text: &str) -> Vec<Matcher> {
    parse_metric_selector(text).expect(text)
}

#[test]
fn names_and_selectors_are_noted_by_who_reads_them() {
    let (record, clock) = record();
    record.note(&selector("up{job=\"a\"}"), ReaderKind::Client);
    record.note(&selector("{__name__=\"up\",job=\"b\"}"), ReaderKind::Rule);
    record.note(&selector("{job=\"b\",__name__=~\"node_.*\"}"), ReaderKind::Client);
    clock.advance(Duration::from_secs(5));
    record.note(&selector("{__name__=~\"node_.*\",job=\"b\"}"), ReaderKind::Client);
    record.note(&selector("{job=\"b\"}"), ReaderKind::Rule);
    let tables = record.tables();
    let last = |by_client_ms, by_rule_ms| LastRead { by_client_ms, by_rule_ms };
    assert_eq!(tables.complete_from_ms, START_MS);
    assert_eq!(tables.metrics, HashMap::from([("up".to_owned(), last(START_MS, START_MS))]));
    let selectors = [
        ("{__name__=~\"node_.*\",job=\"b\"}", last(START_MS + 5_000, 0)),
        ("{job=\"b\"}", last(0, START_MS + 5_000)),
    ];
    assert_eq!(tables.selectors, selectors.map(|(text, last)| (text.to_owned(), last)).into());
}

#[test]
fn a_selector_that_is_too_long_becomes_one_of_more_series() {
    let long = "x".repeat(TEXT_BYTES_MAX);
    assert_eq!(
        selector_text(&selector(&format!("{{__name__=~\"a.*\",l=\"{long}\"}}"))),
        "{__name__=~\"a.*\"}"
    );
    assert_eq!(selector_text(&selector(&format!("{{__name__=~\"a.*{long}\"}}"))), "{__name__=~\".+\"}");
    for text in [selector_text(&selector("{a=\"b\"}")), selector_text(&selector("{\"ä b\"=\"\\\"\"}"))] {
        assert_eq!(selector_text(&selector(&text)), text, "it can be read again");
    }
}

/// A record that forgets is complete only from what it has not forgotten.
#[test]
fn what_was_read_longest_ago_is_forgotten_first() {
    let (record, clock) = record();
    let extra = 10;
    for number in 0..SELECTORS_MAX + extra {
        clock.advance(Duration::from_millis(1));
        record.note(&selector(&format!("{{job=\"{number}\"}}")), ReaderKind::Client);
    }
    let tables = record.tables();
    assert!(tables.selectors.len() <= SELECTORS_MAX);
    let newest = format!("{{job=\"{}\"}}", SELECTORS_MAX + extra - 1);
    assert!(tables.selectors.contains_key(&newest));
    let oldest = tables.selectors.values().map(|last| last.newest_ms()).min().expect("some are left");
    assert_eq!(tables.complete_from_ms, oldest, "each millisecond has one read");
    assert!(oldest > START_MS);
}

#[test]
fn equal_times_are_forgotten_together() {
    let last = LastRead { by_client_ms: 7, by_rule_ms: 0 };
    let mut table: HashMap<String, LastRead> = (0..100).map(|number| (number.to_string(), last)).collect();
    let mut complete_from_ms = 1;
    forget_oldest(&mut table, 100, &mut complete_from_ms);
    assert_eq!((table.len(), complete_from_ms), (0, 8));
}

#[test]
fn the_record_continues_after_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let (record, _) = record();
    record.note(&selector("{\"a \\\"b\\\"\\n\"}"), ReaderKind::Client);
    record.note(&selector("{x=~\"ü.*\"}"), ReaderKind::Rule);
    record.save(dir.path()).expect("saved");
    let later = SimClock::at(Timestamp::from_millis(START_MS + 86_400_000));
    let next = ReadRecord::new(Arc::new(later));
    next.load(dir.path()).expect("loaded");
    assert_eq!(next.tables().metrics, record.tables().metrics);
    assert_eq!(next.tables().selectors, record.tables().selectors);
    assert_eq!(next.tables().complete_from_ms, START_MS, "the time in between counts");
    let left: Vec<_> = std::fs::read_dir(dir.path()).expect("listed").collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

/// A record is saved only when something was read since, and a failed attempt is repeated.
#[test]
fn a_failed_save_is_tried_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let (record, _) = record();
    let inside = dir.path().join("none");
    record.save(&inside).expect("nothing to save");
    record.note(&selector("up"), ReaderKind::Client);
    record.save(&inside).expect_err("there is no such directory");
    std::fs::create_dir(&inside).expect("created");
    record.save(&inside).expect("saved");
    assert!(inside.join("metric_reads.json").is_file());
}

#[test]
fn a_file_of_something_else_is_named_and_left_alone() {
    for (content, reason) in [
        ("", "EOF"),
        ("{}", "version"),
        ("{\"version\":2}", "version"),
        ("{\"version\":1}", "completeFrom"),
        ("{\"version\":1,\"completeFrom\":5,\"metrics\":[]}", "table"),
        ("{\"version\":1,\"completeFrom\":5,\"metrics\":[[\"a\",1]],\"selectors\":[]}", "row"),
        ("{\"version\":1,\"completeFrom\":5,\"metrics\":[[7,1,1]],\"selectors\":[]}", "row"),
        (&"[".repeat(10_000), "recursion"),
    ] {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("metric_reads.json");
        std::fs::write(&path, content).expect("written");
        let (record, _) = record();
        let error = record.load(dir.path()).expect_err(content).to_string();
        assert!(error.contains("metric_reads.json") && error.contains(reason), "{error}");
        assert_eq!(std::fs::read_to_string(&path).expect("still there"), content);
        assert_eq!(record.tables().complete_from_ms, START_MS);
    }
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(dir.path().join("metric_reads.json")).expect("created");
    assert!(record().0.load(dir.path()).is_err());
}

#[test]
fn every_selection_of_a_store_is_noted() {
    let (record, _) = record();
    let store = MemStorage::new();
    let noted = RecordingStore::new(&store, &record, ReaderKind::Client);
    let mut snapshot = noted.snapshot(TimeRange::ALL).expect("a snapshot");
    snapshot.select(&selector("a"), &Hints::default()).expect("selected");
    snapshot.select(&selector("{b=\"c\"}"), &Hints::default()).expect("selected");
    // Looking for names does not read samples.
    snapshot.label_values("x", &selector("d"), 0, &Hints::default()).expect("values");
    noted.exemplars(TimeRange::ALL, &[selector("e")]).expect("exemplars");
    let tables = record.tables();
    let mut names: Vec<&str> = tables.metrics.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["a", "e"]);
    assert_eq!(tables.selectors.keys().collect::<Vec<_>>(), ["{b=\"c\"}"]);
}
