//! Requests of remote write 2.0 against a store in memory.

use ferula_telemetry::Registry;
use ferula_testkit::MemStorage;
use proptest::prelude::*;

use super::*;
use crate::protobuf::{put_double, put_varint};

const NOW: Timestamp = Timestamp::from_millis(1_000_000);

/// A series with label references and float samples.
fn series(references: &[u8], samples: &[(i64, f64)]) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(&mut out, 1, references);
    for (timestamp, value) in samples {
        let mut sample = Vec::new();
        put_double(&mut sample, 1, *value);
        put_varint(&mut sample, 2, *timestamp as u64);
        put_bytes(&mut out, 2, &sample);
    }
    out
}

fn request(symbols: &[&str], all: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    for symbol in symbols {
        put_bytes(&mut out, 4, symbol.as_bytes());
    }
    for one in all {
        put_bytes(&mut out, 5, one);
    }
    out
}

const SYMBOLS: &[&str] = &["", "__name__", "up", "job", "a", "down"];

#[test]
fn valid_parts_are_kept_and_the_rest_is_reported() {
    let (store, receiver) = (MemStorage::new(), Receiver::new(&Registry::new(), Features::default()));
    let ahead = NOW.millis() + AHEAD_MILLIS_MAX + 1;
    let body = request(
        SYMBOLS,
        &[
            series(&[3, 4, 1, 2], &[(10, 1.0), (11, 2.0)]),
            series(&[1, 5], &[(20, 1.0), (19, 1.0)]),
            series(&[1, 9], &[(1, 1.0)]),
            series(&[1], &[(1, 1.0)]),
            series(&[3, 4], &[(1, 1.0)]),
            series(&[1, 2, 3, 4, 3, 5], &[(1, 1.0)]),
            series(&[1, 2], &[]),
            series(&[1, 4], &[(ahead, 1.0)]),
        ],
    );
    let written = receiver.write_v2(&store, &body, NOW).expect("accepted in part");
    assert_eq!((written.samples, written.histograms, written.exemplars), (3, 0, 0));
    assert_eq!(
        written.refused,
        [
            "parsing labels for series [1, 9]: labelRefs 1 (name) = 9 (value) outside of symbols table (size 6)",
            "parsing labels for series [1]: invalid labelRefs length 1",
            "invalid metric name or labels, got {job=\"a\"}",
            "invalid labels for series, labels {__name__=\"up\", job=\"a\", job=\"down\"}, duplicated label job",
            "TimeSeries must contain at least one sample or histogram for series {__name__=\"up\"}",
            "out of bounds: timestamp is too far in the future for series {__name__=\"a\"}",
            "out of order sample for series {__name__=\"down\"}",
        ]
    );
    assert_eq!(store.floats(&[("__name__", "up"), ("job", "a")]).len(), 2);
}

/// A series with metadata (type, references of the help text and the unit) and a sample with a start
/// timestamp.
fn series_with_metadata(references: &[u8], stated: (u64, u64, u64), (at, start): (i64, i64)) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(&mut out, 1, references);
    let (mut sample, mut metadata) = (Vec::new(), Vec::new());
    put_double(&mut sample, 1, 1.0);
    put_varint(&mut sample, 2, at as u64);
    put_varint(&mut sample, 3, start as u64);
    put_bytes(&mut out, 2, &sample);
    for (field, number) in [(1, stated.0), (3, stated.1), (4, stated.2)] {
        put_varint(&mut metadata, field, number);
    }
    put_bytes(&mut out, 5, &metadata);
    out
}

#[test]
fn metadata_and_start_timestamps_are_stored_if_the_flags_enable_them() {
    let symbols = &["", "__name__", "x_total", "Help.", "seconds", "__type__", "gauge"];
    let labels = [1, 2, 5, 6];
    let one = |at| request(symbols, &[series_with_metadata(&labels, (1, 3, 4), (at, 7))]);
    let plain: &[(&str, &str)] = &[("__name__", "x_total"), ("__type__", "gauge")];
    let typed: &[(&str, &str)] = &[("__name__", "x_total"), ("__type__", "counter"), ("__unit__", "seconds")];
    for (features, stored) in [
        (Features::default(), plain),
        (
            Features {
                type_and_unit_labels: true,
                start_timestamps: true,
                metadata: true,
                ..Features::default()
            },
            typed,
        ),
    ] {
        let (store, receiver) = (MemStorage::new(), Receiver::new(&Registry::new(), features));
        for at in [10, 11] {
            assert_eq!(receiver.write_v2(&store, &one(at), NOW).expect("taken").refused, [""; 0]);
        }
        assert_eq!(store.floats(stored).len(), 2);
        let metadata = store.metadata(&LabelSet::from_pairs(stored.iter().copied()));
        assert_eq!(metadata.is_some(), features.metadata);
        if let Some(metadata) = metadata {
            let MetricMetadata { kind, unit, help } = metadata;
            assert_eq!((kind, unit.as_str(), help.as_str()), (MetricType::Counter, "seconds", "Help."));
        }
        assert_eq!(store.starts(stored), if features.start_timestamps { vec![7, 7] } else { vec![] });
    }
    let receiver = Receiver::new(&Registry::new(), Features::default());
    let body = request(symbols, &[series_with_metadata(&labels, (1, 30, 4), (10, 7))]);
    let refused = receiver.write_v2(&MemStorage::new(), &body, NOW).expect("answered").refused;
    assert_eq!(
        refused,
        ["parsing metadata for series [1, 2, 5, 6]: metadata help_ref 30 outside of symbols table (size 7)"]
    );
}

#[test]
fn both_messages_share_the_cache() {
    let (store, receiver) = (MemStorage::new(), Receiver::new(&Registry::new(), Features::default()));
    let body = request(SYMBOLS, &[series(&[1, 2, 3, 4], &[(10, 1.0)])]);
    receiver.write_v2(&store, &body, NOW).expect("stored");
    let mut labels = Vec::new();
    for (name, value) in [("__name__", "up"), ("job", "a")] {
        let mut label = Vec::new();
        put_bytes(&mut label, 1, name.as_bytes());
        put_bytes(&mut label, 2, value.as_bytes());
        put_bytes(&mut labels, 1, &label);
    }
    assert!(receiver.cache.lookups(0).get(receiver.cache.key(&labels)).is_some());
}

#[test]
fn a_symbol_with_invalid_utf8_skips_the_series_that_use_it() {
    let (store, receiver) = (MemStorage::new(), Receiver::new(&Registry::new(), Features::default()));
    for bad in [&b"\xff"[..], b"a\xc3", b"\xe2\x82b", b"\xf0\x9f\x92"] {
        let mut body = Vec::new();
        for symbol in [b"", &b"__name__"[..], b"up", b"job", b"a", bad] {
            put_bytes(&mut body, 4, symbol);
        }
        for one in [
            series(&[1, 2, 3, 5], &[(10, 1.0)]),
            series(&[1, 2, 5, 4], &[(10, 1.0)]),
            series(&[1, 2], &[(10, 1.0)]),
        ] {
            put_bytes(&mut body, 5, &one);
        }
        let written = receiver.write_v2(&store, &body, NOW).expect("accepted in part");
        assert_eq!((written.samples, written.refused.len()), (1, 2), "{bad:?}");
        let first = &written.refused[0];
        assert!(first.starts_with("invalid metric name or labels, got {__name__=\"up\", job=\""), "{first}");
    }
    assert_eq!(show(&[(b"a\xff", b"\"\xc3x"), (b"b", b"c")]), r#"{"a\xff"="\"\xc3x", b="c"}"#);
    assert_eq!(store.series().len(), 1);
}

#[test]
fn malformed_bytes_are_noticed_in_series_that_are_left_out() {
    let good = series(&[1, 2], &[(1, 1.0)]);
    for references in [&[3, 4][..], &[1, 2, 3, 4, 3, 5], &[1, 9], &[1]] {
        for broken in [
            &b"\x12\x05\x09"[..],
            b"\x12\x02\x08\x01",
            b"\x1a\x02\x7f\x01",
            b"\x22\x02\x10\x01",
            b"\x2a\x02\x0a\x01",
            b"\x07",
        ] {
            let (store, receiver) = (MemStorage::new(), Receiver::new(&Registry::new(), Features::default()));
            let bad = [series(references, &[]), broken.to_vec()].concat();
            let error =
                receiver.write_v2(&store, &request(SYMBOLS, &[good.clone(), bad]), NOW).expect_err("refused");
            assert!(matches!(error, WriteError::Protobuf(_)), "{references:?} {broken:?} {error}");
            assert!(store.floats(&[("__name__", "up")]).is_empty(), "nothing of the request is stored");
        }
    }
}

#[test]
fn equal_names_are_shown_in_the_order_sent_and_every_sample_counts() {
    let (store, receiver) = (MemStorage::new(), Receiver::new(&Registry::new(), Features::default()));
    let body = request(SYMBOLS, &[series(&[3, 5, 1, 2, 3, 4], &[(1, 1.0), (2, 1.0), (3, 1.0)])]);
    let written = receiver.write_v2(&store, &body, NOW).expect("accepted in part");
    assert_eq!(
        written.refused,
        [
            "invalid labels for series, labels {__name__=\"up\", job=\"down\", job=\"a\"}, duplicated label job"
        ]
    );
    assert_eq!(receiver.invalid_labels.get(), 3.0);
}

#[test]
fn an_exemplar_far_in_the_future_is_skipped_and_not_counted() {
    let (store, receiver) = (MemStorage::new(), Receiver::new(&Registry::new(), Features::default()));
    let exemplar = |at: i64| {
        let mut exemplar = Vec::new();
        put_double(&mut exemplar, 2, 0.5);
        put_varint(&mut exemplar, 3, at as u64);
        exemplar
    };
    let mut one = series(&[1, 2], &[(10, 1.0)]);
    put_bytes(&mut one, 4, &exemplar(NOW.millis() + AHEAD_MILLIS_MAX));
    put_bytes(&mut one, 4, &exemplar(NOW.millis() + AHEAD_MILLIS_MAX + 1));
    let written = receiver.write_v2(&store, &request(SYMBOLS, &[one]), NOW).expect("taken");
    assert_eq!((written.samples, written.exemplars, written.refused), (1, 1, Vec::new()));
}

proptest! {
    #[test]
    fn any_bytes_get_an_answer_and_never_a_panic(bytes: Vec<u8>, references: Vec<u8>) {
        let (store, receiver) = (MemStorage::new(), Receiver::new(&Registry::new(), Features::default()));
        let _ = receiver.write_v2(&store, &bytes, NOW);
        let _ = receiver.write_v2(&store, &request(SYMBOLS, &[series(&references, &[(1, 1.0)]), bytes]), NOW);
    }
}
