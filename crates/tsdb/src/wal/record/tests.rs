//! Round trips of every record, the exact bytes of the common ones, and hostile input.

use proptest::prelude::*;

use super::*;

fn sample(series: u64, at: i64, start: i64, value: f64) -> LoggedSample {
    LoggedSample { series: LogRef::new(series), at, start, value }
}

fn bits(samples: &[LoggedSample]) -> Vec<(u64, i64, i64, u64)> {
    samples.iter().map(|s| (s.series.get(), s.at, s.start, s.value.to_bits())).collect()
}

fn decoded(record: &[u8]) -> (RecordKind, Records) {
    let mut records = Records::default();
    let kind = records.decode(record).expect("a whole record").expect("a known kind");
    (kind, records)
}

/// The bytes as in docs/format/wal.md: deltas are zig-zag encoded and relative to the first sample.
#[test]
fn samples_have_the_bytes_of_the_format_page() {
    let mut out = Vec::new();
    put_samples(&mut out, &[sample(7, 1000, 0, 1.0), sample(6, 1003, 0, -2.0)], false);
    let mut expected = vec![2];
    expected.extend(7u64.to_be_bytes());
    expected.extend(1000i64.to_be_bytes());
    expected.extend([0, 0]);
    expected.extend(1f64.to_be_bytes());
    expected.extend([1, 6]);
    expected.extend((-2f64).to_be_bytes());
    assert_eq!(out, expected);
}

#[test]
fn series_have_the_bytes_of_the_format_page() {
    let labels = LabelSet::from_pairs([("__name__", "up"), ("job", "x")]);
    let mut out = Vec::new();
    begin_series(&mut out);
    put_series(&mut out, LogRef::new(3), labels.iter());
    assert_eq!(out, b"\x01\0\0\0\0\0\0\0\x03\x02\x08__name__\x02up\x03job\x01x");
    let (kind, records) = decoded(&out);
    assert_eq!(kind, RecordKind::Series);
    assert_eq!(records.series, [LoggedSeries { series: LogRef::new(3), labels }]);
}

fn histogram(custom: bool) -> Histogram {
    Histogram {
        counter_reset_hint: CounterResetHint::NotReset,
        schema: if custom { -53 } else { 3 },
        zero_threshold: if custom { 0.0 } else { 1e-128 },
        zero_count: if custom { 0 } else { 2 },
        count: 9,
        sum: 18.4,
        positive_spans: vec![Span { offset: 0, length: 2 }, Span { offset: 3, length: 1 }],
        negative_spans: vec![],
        positive_buckets: vec![1, 1, -1],
        negative_buckets: vec![],
        custom_values: custom.then(|| vec![0.1, 1.0, 10.0, 20.0, 30.0, 40.0].into()),
    }
}

fn float_histogram(custom: bool) -> FloatHistogram {
    let h = histogram(custom);
    FloatHistogram {
        counter_reset_hint: CounterResetHint::Gauge,
        schema: h.schema,
        zero_threshold: h.zero_threshold,
        zero_count: 2.5,
        count: 9.25,
        sum: h.sum,
        positive_spans: h.positive_spans,
        negative_spans: vec![Span { offset: -2, length: 1 }],
        positive_buckets: vec![1.0, 2.0, 1.5],
        negative_buckets: vec![0.5],
        custom_values: h.custom_values,
    }
}

#[test]
fn histograms_survive_a_round_trip_in_the_record_of_their_type() {
    let values = [
        HistogramValue::Integer(Arc::new(histogram(false))),
        HistogramValue::Integer(Arc::new(histogram(true))),
        HistogramValue::Float(Arc::new(float_histogram(false))),
        HistogramValue::Float(Arc::new(float_histogram(true))),
    ];
    for start_timestamps in [false, true] {
        let logged: Vec<LoggedHistogram> = (0i64..)
            .zip(&values)
            .map(|(i, value)| LoggedHistogram {
                series: LogRef::new(10 - i as u64),
                at: 5000 + i,
                start: if start_timestamps { 40 * (i / 2) } else { 0 },
                value: value.clone(),
            })
            .collect();
        let (mut kinds, mut back) = (Vec::new(), Vec::new());
        put_histograms(&logged, start_timestamps, |write| {
            let mut record = Vec::new();
            write(&mut record);
            let (kind, mut records) = decoded(&record);
            kinds.push(kind as u8);
            back.append(&mut records.histograms);
        });
        assert_eq!(back, logged);
        assert_eq!(kinds, if start_timestamps { vec![12, 13] } else { vec![7, 9, 8, 10] });
    }
}

#[test]
fn the_other_kinds_round_trip() {
    let tombstones = [LoggedTombstone { series: LogRef::new(4), min: i64::MIN, max: i64::MAX }];
    let mut out = Vec::new();
    put_tombstones(&mut out, &tombstones);
    assert_eq!(decoded(&out).1.tombstones, tombstones);

    let markers = [
        LoggedMarker { series: LogRef::new(1), chunk: 2 },
        LoggedMarker { series: LogRef::new(3), chunk: 0 },
    ];
    out.clear();
    put_markers(&mut out, &markers);
    assert_eq!(decoded(&out).1.markers, markers);

    let metadata = [LoggedMetadata {
        series: LogRef::new(300),
        metadata: MetricMetadata { kind: MetricType::StateSet, unit: "s".into(), help: "Some help.".into() },
    }];
    out.clear();
    put_metadata(&mut out, metadata.iter().map(|logged| (logged.series, &logged.metadata)));
    assert_eq!(decoded(&out).1.metadata, metadata);

    let exemplar = |series, at| LoggedExemplar {
        series: LogRef::new(series),
        exemplar: Exemplar {
            labels: LabelSet::from_pairs([("trace_id", "abc")]),
            value: 0.5,
            timestamp: Timestamp::from_millis(at),
            has_timestamp: false,
        },
    };
    let exemplars = [exemplar(9, 77), exemplar(2, -5)];
    out.clear();
    put_exemplars(&mut out, &exemplars);
    assert_eq!(decoded(&out).1.exemplars, exemplars);
}

#[test]
fn unknown_kinds_are_skipped_and_unknown_schemas_counted() {
    let mut records = Records::default();
    assert_eq!(records.decode(&[200, 1, 2, 3]), Ok(None));
    assert_eq!(records.decode(&[]), Ok(None));
    let value = HistogramValue::Integer(Arc::new(Histogram { schema: 60, ..histogram(false) }));
    put_histograms(&[LoggedHistogram { series: LogRef::new(1), at: 1, start: 0, value }], false, |write| {
        let mut record = Vec::new();
        write(&mut record);
        let (_, records) = decoded(&record);
        assert_eq!((records.histograms.len(), records.unknown_schemas), (0, 1));
    });
}

#[test]
fn resolutions_of_later_versions_are_reduced() {
    let fine = Histogram {
        schema: 10,
        count: 8,
        positive_spans: vec![Span { offset: 1, length: 5 }],
        positive_buckets: vec![1, 1, 0, -1, 0],
        ..Histogram::default()
    };
    let float = FloatHistogram {
        schema: 10,
        count: 8.0,
        positive_spans: fine.positive_spans.clone(),
        positive_buckets: vec![1.0, 2.0, 2.0, 1.0, 1.0],
        ..FloatHistogram::default()
    };
    for with_starts in [false, true] {
        let mut read = Vec::new();
        let values =
            [HistogramValue::Integer(Arc::new(fine.clone())), HistogramValue::Float(Arc::new(float.clone()))];
        for value in values {
            put_histograms(
                &[LoggedHistogram { series: LogRef::new(1), at: 1, start: 0, value }],
                with_starts,
                |write| {
                    let mut record = Vec::new();
                    write(&mut record);
                    read.extend(decoded(&record).1.histograms);
                },
            );
        }
        // Four buckets of schema 10 form one of schema 8: 1+2+2+1, and then 1.
        assert!(
            matches!(&read[0].value, HistogramValue::Integer(h) if h.schema == 8 && h.positive_buckets == [6, -5])
        );
        assert!(
            matches!(&read[1].value, HistogramValue::Float(h) if h.schema == 8 && h.positive_buckets == [6.0, 1.0])
        );
    }
}

proptest! {
    #[test]
    fn samples_survive_a_round_trip_bit_for_bit(
        raw in proptest::collection::vec((any::<u64>(), any::<i64>(), any::<i64>(), any::<u64>()), 0..40),
        start_timestamps: bool,
    ) {
        let samples: Vec<LoggedSample> = raw
            .into_iter()
            .map(|(series, at, start, v)| {
                sample(series, at, if start_timestamps { start } else { 0 }, f64::from_bits(v))
            })
            .collect();
        let mut out = Vec::new();
        put_samples(&mut out, &samples, start_timestamps);
        prop_assert_eq!(bits(&decoded(&out).1.samples), bits(&samples));
    }

    /// The short ways to write a sample write the same as the general one.
    #[test]
    fn samples_are_written_as_one_number_after_the_other(
        raw in proptest::collection::vec((0u32..40, 0u32..40, any::<u64>(), any::<bool>()), 0..60),
    ) {
        let samples: Vec<LoggedSample> = raw
            .into_iter()
            .map(|(series, at, value, negative)| {
                // Of every length that a difference can have.
                let wide = |bits: u32| (1u64 << bits).wrapping_sub(u64::from(negative));
                sample(wide(series), wide(at) as i64, 0, f64::from_bits(value))
            })
            .collect();
        let mut out = Vec::new();
        put_samples(&mut out, &samples, false);
        let mut plain = vec![RecordKind::Samples as u8];
        if let Some(first) = samples.first() {
            plain.extend_from_slice(&first.series.get().to_be_bytes());
            plain.extend_from_slice(&first.at.to_be_bytes());
        }
        for sample in &samples {
            put_varint(&mut plain, sample.series.get().wrapping_sub(samples[0].series.get()) as i64);
            put_varint(&mut plain, sample.at.wrapping_sub(samples[0].at));
            plain.extend_from_slice(&sample.value.to_bits().to_be_bytes());
        }
        prop_assert_eq!(out, plain);
    }

    #[test]
    fn hostile_bytes_never_panic(kind in 0u8..16, body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let record = [&[kind][..], &body].concat();
        let _ = Records::default().decode(&record);
    }
}
