//! Requests of remote write 1.0 against a store in memory.

use ferula_storage::Queryable as _;
use ferula_testkit::MemStorage;
use proptest::prelude::*;

use super::*;
use crate::protobuf::{put_bytes, put_double, put_varint};

/// One series, encoded as senders do.
fn series(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in labels {
        let mut label = Vec::new();
        put_bytes(&mut label, 1, name.as_bytes());
        put_bytes(&mut label, 2, value.as_bytes());
        put_bytes(&mut out, 1, &label);
    }
    for (timestamp, value) in samples {
        let mut sample = Vec::new();
        put_double(&mut sample, 1, *value);
        put_varint(&mut sample, 2, *timestamp as u64);
        put_bytes(&mut out, 2, &sample);
    }
    out
}

fn request(all: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    for one in all {
        put_bytes(&mut out, 1, one);
    }
    out
}

const NOW: Timestamp = Timestamp::from_millis(1_000_000);

#[test]
fn a_request_is_stored_with_its_labels_sorted_and_empty_ones_removed() {
    let (store, receiver) = (MemStorage::new(), Receiver::new(&Registry::new(), Features::default()));
    let sent = [("__name__", "up"), ("zone", ""), ("job", "a")];
    for (timestamp, value) in [(1, 1.0), (2, -0.5)] {
        let body = request(&[series(&sent, &[(timestamp, value)])]);
        assert_eq!(receiver.write(&store, &body, NOW), Ok(Written { samples: 1, series_invalid: 0 }));
    }
    assert_eq!(store.floats(&[("__name__", "up"), ("job", "a")]), [(1, 1.0), (2, -0.5)]);
}

#[test]
fn a_refused_sample_is_skipped_and_reported_to_the_sender() {
    let (a, b) = ([("__name__", "a")], [("__name__", "b")]);
    for (bad, error) in [
        ((9, 1.0), WriteError::Refused(AppendError::OutOfOrder)),
        ((10, 2.0), WriteError::Refused(AppendError::DuplicateForTimestamp)),
        ((NOW.millis() + AHEAD_MILLIS_MAX + 1, 2.0), WriteError::TooFarAhead),
    ] {
        let (store, receiver) = (MemStorage::new(), Receiver::new(&Registry::new(), Features::default()));
        store.put(&b, &[(10, 1.0)]);
        let body = request(&[series(&b, &[bad, (11, 3.0)]), series(&a, &[(20, 1.0)])]);
        let got = receiver.write(&store, &body, NOW).expect_err("refused in part");
        assert!(got.is_senders());
        assert_eq!(got.to_string(), error.to_string(), "the text is Prometheus'");
        assert_eq!(got, WriteError::SamplesLeftOut { count: 1, first: Box::new(error) });
        assert_eq!(store.floats(&a), [(20, 1.0)]);
        assert_eq!(store.floats(&b), [(10, 1.0), (11, 3.0)]);
    }
}

/// Every kind of invalid UTF-8, truncated or wrongly continued, alone and between other text, in every place.
#[test]
fn labels_with_invalid_utf8_skip_only_their_own_series() {
    let broken: [&[u8]; 9] = [
        b"\xff",
        b"\x80",
        b"\xc3",
        b"\xe2\x82",
        b"\xf0\x9f\x92",
        b"\xed\xa0\x80",
        b"\xc0\xaf",
        b"\xf4\x90\x80\x80",
        b"\xe2\x28\xa1",
    ];
    for bad in broken {
        for (before, after) in [("", ""), ("a", ""), ("", "b"), ("é", "é")] {
            let bytes = [before.as_bytes(), bad, after.as_bytes()].concat();
            let (store, receiver) = (MemStorage::new(), Receiver::new(&Registry::new(), Features::default()));
            let named = |name: &[u8], labels: &[(&[u8], &[u8])]| {
                let mut out = Vec::new();
                for (name, value) in [(&b"__name__"[..], name)].iter().chain(labels) {
                    let mut label = Vec::new();
                    put_bytes(&mut label, 1, name);
                    put_bytes(&mut label, 2, value);
                    put_bytes(&mut out, 1, &label);
                }
                [out, series(&[], &[(1, 1.0)])].concat()
            };
            let body = request(&[
                named(b"first", &[]),
                named(&bytes, &[]),
                named(b"x", &[(b"job", &bytes)]),
                named(b"x", &[(&bytes, b"y")]),
                named(b"last", &[(b"job", "é".as_bytes())]),
            ]);
            let written = receiver.write(&store, &body, NOW);
            assert_eq!(written, Ok(Written { samples: 2, series_invalid: 3 }), "{bytes:?}");
            assert_eq!(store.series().len(), 2);
        }
    }
}

#[test]
fn metadata_and_groups_are_parsed_but_not_kept() {
    let (store, receiver) = (MemStorage::new(), Receiver::new(&Registry::new(), Features::default()));
    let good = request(&[series(&[("__name__", "x")], &[(1, 1.0)])]);
    let mut metadata = Vec::new();
    put_varint(&mut metadata, 1, 1);
    put_bytes(&mut metadata, 2, b"x\xff");
    let (mut whole, mut broken, mut group) = (good.clone(), good.clone(), good.clone());
    put_bytes(&mut whole, 3, &metadata);
    assert!(receiver.write(&store, &whole, NOW).is_ok());
    put_bytes(&mut broken, 3, &metadata[..metadata.len() - 1]);
    assert_eq!(receiver.write(&store, &broken, NOW), Err(ProtobufError::UnexpectedEnd.into()));
    group.extend_from_slice(&[0x7b, 0x08, 1, 0x7c]);
    assert!(receiver.write(&store, &group, NOW).is_ok());
    // A group where the message has a field of another type.
    let refused = receiver.write(&store, &[0x0b, 0x0c], NOW).expect_err("refused");
    assert_eq!(refused.to_string(), "proto: wrong wireType = 3 for field WriteRequest.timeseries");
}

#[test]
fn malformed_bytes_are_noticed_in_series_that_are_left_out() {
    let good = series(&[("__name__", "good")], &[(1, 1.0)]);
    for labels in [&[("job", "nameless")][..], &[("__name__", "x"), ("a", "1"), ("a", "2")]] {
        for broken in [
            &b"\x12\x05\x09"[..],
            b"\x12\x02\x08\x01",
            b"\x1a\x02\x10\x01",
            b"\x22\x02\x7f\x01",
            b"\x07",
            b"\x00\x00",
        ] {
            let (store, receiver) = (MemStorage::new(), Receiver::new(&Registry::new(), Features::default()));
            let bad = [series(labels, &[]), broken.to_vec()].concat();
            let error = receiver.write(&store, &request(&[good.clone(), bad]), NOW).expect_err("refused");
            assert!(matches!(error, WriteError::Protobuf(_)), "{labels:?} {broken:?} {error}");
            assert!(store.floats(&[("__name__", "good")]).is_empty(), "nothing of the request is stored");
        }
    }
}

#[test]
fn exemplars_alone_create_no_series() {
    let (store, receiver) = (MemStorage::new(), Receiver::new(&Registry::new(), Features::default()));
    let labels = [("__name__", "x")];
    let mut exemplar = Vec::new();
    put_double(&mut exemplar, 2, 0.5);
    put_varint(&mut exemplar, 3, 7);
    let mut alone = series(&labels, &[]);
    put_bytes(&mut alone, 3, &exemplar);
    assert_eq!(receiver.write(&store, &request(&[alone.clone()]), NOW), Ok(Written::default()));
    assert_eq!(store.series().len(), 0);
    // Senders put them next to the samples, as a separate series.
    let both = request(&[series(&labels, &[(7, 1.0)]), alone]);
    assert_eq!(receiver.write(&store, &both, NOW).map(|written| written.samples), Ok(1));
    let found = store.exemplars(
        ferula_model::TimeRange::from_millis(0, 10),
        &[vec![ferula_model::Matcher::equal("__name__", "x")]],
    );
    assert_eq!(found.expect("memory does not fail").len(), 1);
}

#[test]
fn series_with_invalid_labels_are_skipped_and_counted() {
    let registry = Registry::new();
    let (store, receiver) = (MemStorage::new(), Receiver::new(&registry, Features::default()));
    let body = request(&[
        series(&[("job", "nameless")], &[(1, 1.0)]),
        series(&[("__name__", "x"), ("a", "1"), ("a", "2")], &[(1, 1.0)]),
        series(&[("__name__", "x"), ("", "1")], &[(1, 1.0)]),
        series(&[("__name__", "good")], &[(1, 1.0)]),
    ]);
    assert_eq!(receiver.write(&store, &body, NOW), Ok(Written { samples: 1, series_invalid: 3 }));
    assert_eq!(store.series().len(), 1);
    assert_eq!(receiver.invalid_labels.get(), 3.0);
}

#[test]
fn a_cached_series_that_the_store_dropped_is_created_again() {
    let receiver = Receiver::new(&Registry::new(), Features::default());
    let body = request(&[series(&[("__name__", "x")], &[(1, 1.0)])]);
    let store = MemStorage::new();
    receiver.write(&store, &body, NOW).expect("stored");
    let emptied = MemStorage::new();
    receiver.write(&emptied, &body, NOW).expect("stored again");
    assert_eq!(emptied.floats(&[("__name__", "x")]), [(1, 1.0)]);
}

/// Labels that stand behind a sample belong to the series, too, so the first ones do not identify it.
#[test]
fn labels_apart_from_each_other_are_those_of_one_series() {
    let (store, receiver) = (MemStorage::new(), Receiver::new(&Registry::new(), Features::default()));
    let apart = |at| [series(&[("__name__", "x")], &[(at, 1.0)]), series(&[("job", "a")], &[])].concat();
    let alone = |at| series(&[("__name__", "x")], &[(at, 2.0)]);
    for at in [1, 2] {
        receiver.write(&store, &request(&[apart(at), alone(at)]), NOW).expect("stored");
    }
    assert_eq!(store.floats(&[("__name__", "x"), ("job", "a")]), [(1, 1.0), (2, 1.0)]);
    assert_eq!(store.floats(&[("__name__", "x")]), [(1, 2.0), (2, 2.0)]);
}

/// A request with more series than are looked up together, twice, with other ones in between the second time.
#[test]
fn large_requests_are_stored_completely_and_in_order() {
    let (store, receiver) = (MemStorage::new(), Receiver::new(&Registry::new(), Features::default()));
    let name = |number: usize| format!("m{number}");
    let one = |number: usize, at: i64| {
        series(&[("__name__", &name(number))], &[(at, number as f64), (at + 1, 0.0)])
    };
    let count = 2 * WINDOW_SERIES + 7;
    let evens: Vec<Vec<u8>> = (0..count).step_by(2).map(|number| one(number, 10)).collect();
    receiver.write(&store, &request(&evens), NOW).expect("stored");
    let all: Vec<Vec<u8>> = (0..count).map(|number| one(number, 20)).collect();
    let written = receiver.write(&store, &request(&all), NOW);
    assert_eq!(written, Ok(Written { samples: 2 * count, series_invalid: 0 }));
    for number in 0..count {
        let new = [(20, number as f64), (21, 0.0)];
        let expected = if number % 2 == 0 {
            [&[(10, number as f64), (11, 0.0)][..], &new].concat()
        } else {
            new.to_vec()
        };
        assert_eq!(store.floats(&[("__name__", &name(number))]), expected, "{number}");
    }
}

#[test]
fn packed_messages_are_read_whole_whatever_was_in_the_buffer() {
    let (store, receiver) = (MemStorage::new(), Receiver::new(&Registry::new(), Features::default()));
    let memory = ferula_storage::MemoryContract::new(1 << 30).lease();
    for (at, names) in [(1, &["a", "b", "c"][..]), (2, &["a"]), (3, &["b", "c"])] {
        let all: Vec<Vec<u8>> =
            names.iter().map(|name| series(&[("__name__", name)], &[(at, 1.0)])).collect();
        let plain = request(&all);
        for (encoding, body) in [
            (Encoding::Snappy, snappy::encode(&plain)),
            (Encoding::Zstd, ::zstd::bulk::compress(&plain, 1).expect("memory can be written")),
        ] {
            let read = |message: &[u8]| (message == plain, receiver.write(&store, message, NOW).is_ok());
            assert_eq!(receiver.with_message(encoding, &body, &memory, read), Ok((true, true)));
        }
    }
    assert_eq!(store.floats(&[("__name__", "b")]), [(1, 1.0), (3, 1.0)]);
    assert_eq!(
        receiver.with_message(Encoding::Snappy, b"xx", &memory, |_| ()),
        Err(snappy::SnappyError::Corrupt.into())
    );
    let none = ferula_storage::MemoryContract::new(0).lease();
    let body = snappy::encode(&[1; 100]);
    assert!(matches!(
        receiver.with_message(Encoding::Snappy, &body, &none, |_| ()),
        Err(UnpackError::NoRoom(_))
    ));
}

/// A store that accepts samples and cannot log them.
struct FullDisk(MemStorage);

struct FullAppender<'a>(Box<dyn Appender + 'a>);

impl Appendable for FullDisk {
    fn appender(&self) -> Box<dyn Appender + '_> {
        Box::new(FullAppender(self.0.appender()))
    }
}

impl Appender for FullAppender<'_> {
    fn resolve(&mut self, labels: &LabelSet) -> Result<SeriesRef, AppendError> {
        self.0.resolve(labels)
    }

    fn append(&mut self, batch: &mut SampleBatch) -> ferula_storage::AppendOutcome {
        self.0.append(batch)
    }

    fn commit(self: Box<Self>, _: Durability) -> Result<(), CommitError> {
        Err(CommitError::Closed)
    }
}

#[test]
fn samples_that_a_commit_failed_to_store_are_counted_as_without_metadata() {
    let registry = Registry::new();
    let receiver = Receiver::new(&registry, Features::default());
    let body = request(&[series(&[("__name__", "x")], &[(1, 1.0), (2, 2.0)])]);
    let counted = || {
        let name = "prometheus_api_remote_write_without_metadata_appended_samples_total";
        let families = registry.gather();
        let family = families.into_iter().find(|family| family.name == name).expect("it is there");
        format!("{:?}", family.metrics[0].value)
    };
    receiver.write(&MemStorage::new(), &body, NOW).expect("stored");
    assert!(counted().contains("0.0"), "{}", counted());
    let error = receiver.write(&FullDisk(MemStorage::new()), &body, NOW).expect_err("the disk is full");
    assert!(!error.is_senders(), "{error}");
    assert!(counted().contains("2.0"), "{}", counted());
}

#[test]
fn at_a_limit_known_series_continue_and_the_sender_is_told_not_to_repeat_the_others() {
    let (store, receiver) = (MemStorage::new(), Receiver::new(&Registry::new(), Features::default()));
    let page = |at: i64| {
        let named = |name: &str| series(&[("__name__", name)], &[(at, 1.0)]);
        if at == 1 { request(&[named("a")]) } else { request(&[named("b"), named("a"), named("c")]) }
    };
    receiver.write(&store, &page(1), NOW).expect("stored");
    store.set_series_max(1);
    let error = receiver.write(&store, &page(2), NOW).expect_err("two series are new");
    assert_eq!(error, WriteError::NewSeries { count: 2, limit: AppendError::SeriesLimit(1) });
    assert!(error.is_senders());
    assert_eq!(store.floats(&[("__name__", "a")]), [(1, 1.0), (2, 1.0)]);
}

#[test]
fn native_histograms_and_exemplars_arrive_whole() {
    let (store, receiver) = (MemStorage::new(), Receiver::new(&Registry::new(), Features::default()));
    let mut histogram = Vec::new();
    put_double(&mut histogram, 2, 4.0);
    put_double(&mut histogram, 3, 18.4);
    crate::protobuf::put_sint(&mut histogram, 4, -1);
    let mut span = Vec::new();
    crate::protobuf::put_sint(&mut span, 1, -2);
    put_varint(&mut span, 2, 2);
    put_bytes(&mut histogram, 11, &span);
    put_bytes(&mut histogram, 13, &[1.0f64.to_le_bytes(), 3.0f64.to_le_bytes()].concat());
    put_varint(&mut histogram, 15, 7);
    let mut exemplar = Vec::new();
    put_double(&mut exemplar, 2, 0.5);
    put_varint(&mut exemplar, 3, 7);
    let mut one = series(&[("__name__", "h")], &[]);
    put_bytes(&mut one, 3, &exemplar);
    put_bytes(&mut one, 4, &histogram);
    assert_eq!(receiver.write(&store, &request(&[one]), NOW).map(|w| w.samples), Ok(1));
    use ferula_storage::{Hints, Queryable, SeriesSamples};
    let mut snapshot = store.snapshot(ferula_model::TimeRange::ALL).expect("opens");
    let all = snapshot.select(&[], &Hints::default()).expect("selects");
    let mut seen = Vec::new();
    let mut sink = |_: usize, samples: &SeriesSamples| {
        seen.extend(samples.histograms.timestamps.iter().copied().zip(samples.histograms.values.clone()));
        std::ops::ControlFlow::Continue(())
    };
    snapshot.read(all, 0..1, ferula_model::TimeRange::ALL, &mut sink).expect("reads");
    let (timestamp, histogram) = seen.pop().expect("one histogram");
    assert_eq!((timestamp, histogram.schema, histogram.count, histogram.sum), (7, -1, 4.0, 18.4));
    assert_eq!(histogram.positive_spans, [ferula_model::Span { offset: -2, length: 2 }]);
    assert_eq!(histogram.positive_buckets, [1.0, 3.0]);
    let exemplars = store.exemplars(ferula_model::TimeRange::ALL, &[vec![]]).expect("reads");
    assert_eq!(exemplars.len(), 1);
}

proptest! {
    #[test]
    fn any_bytes_get_an_answer_and_never_a_panic(bytes: Vec<u8>, cut: u8) {
        let (store, receiver) = (MemStorage::new(), Receiver::new(&Registry::new(), Features::default()));
        let _ = receiver.write(&store, &bytes, NOW);
        let whole = series(&[("__name__", "x"), ("job", "a")], &[(1, 1.0)]);
        let part = &whole[..usize::from(cut).min(whole.len())];
        let _ = receiver.write(&store, &request(&[part.to_vec()]), NOW);
    }
}
