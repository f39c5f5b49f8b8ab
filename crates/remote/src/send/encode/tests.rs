//! Messages that are built here, parsed by the receivers of both versions.

use std::sync::Arc;

use ferula_model::{
    CounterResetHint, Exemplar, FloatHistogram, Histogram, HistogramValue, LabelSet, MetricMetadata,
    MetricType, Span, Timestamp,
};
use ferula_storage::LogRef;
use ferula_telemetry::Registry;
use ferula_testkit::MemStorage;

use super::super::series::{LabelRules, SeriesState, SeriesTable};
use super::*;
use crate::write::{Features, Receiver};

fn integer() -> HistogramValue {
    HistogramValue::Integer(Arc::new(Histogram {
        counter_reset_hint: CounterResetHint::Gauge,
        schema: 1,
        zero_threshold: 0.001,
        zero_count: 2,
        count: 11,
        sum: -0.5,
        positive_spans: vec![Span { offset: -2, length: 2 }, Span { offset: 1, length: 1 }],
        negative_spans: vec![Span { offset: 0, length: 1 }],
        positive_buckets: vec![3, -1, 1],
        negative_buckets: vec![1],
        custom_values: None,
    }))
}

fn custom() -> HistogramValue {
    HistogramValue::Float(Arc::new(FloatHistogram {
        schema: -53,
        count: 3.5,
        sum: 4.0,
        positive_spans: vec![Span { offset: 0, length: 2 }],
        positive_buckets: vec![1.5, 2.0],
        custom_values: Some([1.0, 2.0].into()),
        ..FloatHistogram::default()
    }))
}

/// A message with an item of each kind for some series.
fn message(version: Message) -> Vec<u8> {
    let mut table = SeriesTable::new(LabelRules::default());
    for number in 0..3u64 {
        let pairs = [("__name__", "m".to_owned()), ("n", number.to_string()), ("ünïcode", "é".to_owned())];
        table.insert(LogRef::new(number), &LabelSet::from_pairs(pairs), 0);
    }
    let help = MetricMetadata { kind: MetricType::Counter, help: "Help.".into(), unit: String::new() };
    table.set_metadata(LogRef::new(0), &help);
    let mut builder = Builder::new(version);
    let exemplar = Exemplar {
        labels: LabelSet::from_pairs([("trace", "abc")]),
        value: 7.5,
        timestamp: Timestamp::from_millis(30),
        has_timestamp: true,
    };
    let (whole, own) = (integer(), custom());
    for (number, item) in [
        (0, Item::Float(ms(10), ms(5), -0.0)),
        (1, Item::Float(ms(-10), ms(0), f64::INFINITY)),
        (0, Item::Float(ms(20), ms(5), ferula_model::value::STALE_NAN)),
        (2, Item::Histogram(ms(40), ms(0), &whole)),
        (2, Item::Histogram(ms(50), ms(3), &own)),
        (0, Item::Exemplar(&exemplar)),
    ] {
        match table.get(LogRef::new(number), 0) {
            (SeriesState::Sent(series), symbols) => builder.add(symbols, series, item),
            _ => panic!("series {number} is known"),
        }
    }
    let bytes = builder.finish();
    let empty = builder.finish();
    assert!(empty.len() <= 2, "the builder is empty again");
    bytes
}

fn ms(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

#[test]
fn the_receivers_parse_both_messages() {
    let labels = |number: &'static str| [("__name__", "m"), ("n", number), ("ünïcode", "é")];
    let now = Timestamp::from_millis(1000);
    for version in [Message::V1, Message::V2] {
        let store = MemStorage::new();
        let features = Features { start_timestamps: true, metadata: true, ..Features::default() };
        let receiver = Receiver::new(&Registry::new(), features);
        let bytes = message(version);
        match version {
            Message::V1 => assert_eq!(receiver.write(&store, &bytes, now).expect("taken").samples, 5),
            Message::V2 => {
                let written = receiver.write_v2(&store, &bytes, now).expect("taken");
                assert_eq!((written.samples, written.histograms), (3, 2));
                assert_eq!(written.refused, [""; 0]);
                assert_eq!(store.starts(&labels("0")), [5, 5]);
                let metadata = store.metadata(&LabelSet::from_pairs(labels("0"))).expect("some");
                assert_eq!((metadata.kind, &*metadata.help), (MetricType::Counter, "Help."));
            }
        }
        let bits = |number| -> Vec<(i64, u64)> {
            store.floats(&labels(number)).into_iter().map(|(at, value)| (at, value.to_bits())).collect()
        };
        let stale = ferula_model::value::STALE_NAN_BITS;
        assert_eq!(bits("0"), [(10, (-0.0f64).to_bits()), (20, stale)], "{version:?}");
        assert_eq!(bits("1"), [(-10, f64::INFINITY.to_bits())], "{version:?}");
    }
}

#[test]
fn histograms_survive_a_round_trip() {
    use crate::write::message;
    for value in [integer(), custom()] {
        let mut bytes = Vec::new();
        crate::histogram::put_histogram(&mut bytes, -7, 3, &value);
        let mut series = Vec::new();
        crate::protobuf::put_bytes(&mut series, 4, &bytes);
        let mut request = Vec::new();
        crate::protobuf::put_bytes(&mut request, 1, &series);
        let mut request = message::WriteRequest::new(&request);
        let series = request.next_series().expect("readable").expect("one");
        let mut seen = 0;
        series
            .items(|item| {
                if let message::Item::Histogram(times, read) = item {
                    assert_eq!((times.at, times.start), (-7, 3));
                    assert_eq!(read, value);
                    seen += 1;
                }
                Ok::<(), crate::protobuf::ProtobufError>(())
            })
            .expect("readable");
        assert_eq!(seen, 1);
    }
}

#[test]
fn series_that_became_too_old_are_removed() {
    for version in [Message::V1, Message::V2] {
        let (kept, dropped) = without_older(version, &message(version), ms(20)).expect("readable");
        // In version 2, an exemplar goes with the first sample of its series.
        let first = u64::from(version == Message::V2);
        assert_eq!(dropped, Counts { samples: 2, histograms: 0, exemplars: first }, "{version:?}");
        let (_, dropped) = without_older(version, &kept, ms(45)).expect("readable");
        assert_eq!(dropped, Counts { samples: 1, histograms: 1, exemplars: 1 - first }, "{version:?}");
        assert!(without_older(version, b"\x0b", ms(0)).is_none());
    }
}
