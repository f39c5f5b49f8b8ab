//! Answers from a store in memory, parsed field by field.

use ferula_chunk::{Encoding, decode_floats};
use ferula_storage::FloatColumn;
use ferula_testkit::MemStorage;

use super::*;
use crate::protobuf::Reader;
use crate::snappy;

const LIMITS: Limits = Limits { samples_max: 0, frame_bytes_max: FRAME_BYTES, concurrent_max: 0 };

fn matcher(kind: u64, name: &str, value: &str) -> Vec<u8> {
    let mut message = Vec::new();
    put_varint(&mut message, 1, kind);
    put_bytes(&mut message, 2, name.as_bytes());
    put_bytes(&mut message, 3, value.as_bytes());
    message
}

fn request(range: (i64, i64), matchers: &[Vec<u8>], accepted: &[u64]) -> Result<ReadRequest, ReadError> {
    let mut query = Vec::new();
    put_varint(&mut query, 1, range.0 as u64);
    put_varint(&mut query, 2, range.1 as u64);
    matchers.iter().for_each(|matcher| put_bytes(&mut query, 3, matcher));
    let mut message = Vec::new();
    put_bytes(&mut message, 1, &query);
    accepted.iter().for_each(|kind| put_varint(&mut message, 2, *kind));
    ReadRequest::decode(&snappy::encode(&message))
}

fn store() -> MemStorage {
    let store = MemStorage::new();
    let samples: Vec<(i64, f64)> = (0..300).map(|at| (at * 10, at as f64)).collect();
    store.put(&[("__name__", "a"), ("job", "x")], &samples);
    store.put(&[("__name__", "b"), ("job", "x"), ("dc", "own")], &[(50, -0.0), (60, 0.0)]);
    store
}

fn external() -> BTreeMap<String, String> {
    [("dc".to_owned(), "here".to_owned())].into()
}

/// Labels as text, and the other fields of a series.
fn series(message: &[u8]) -> (String, Vec<(u32, Vec<u8>)>) {
    let (mut reader, mut labels, mut rest) = (Reader::new(message), Vec::new(), Vec::new());
    while let Some((field, value)) = reader.field().expect("readable") {
        let bytes = value.bytes("field").expect("bytes");
        if field == 1 {
            let mut inner = Reader::new(bytes);
            let mut text = || {
                let (_, value) = inner.field().expect("readable").expect("there");
                String::from_utf8(value.bytes("label").expect("text").to_vec()).expect("UTF-8")
            };
            labels.push(format!("{}={}", text(), text()));
        } else {
            rest.push((field, bytes.to_vec()));
        }
    }
    (labels.join(","), rest)
}

#[test]
fn samples_of_the_range_come_with_external_labels() {
    let (store, external) = (store(), external());
    let answerer =
        Answerer { store: &store, external_labels: &external, limits: LIMITS, hints: Hints::default() };
    let asked = request((40, 60), &[matcher(0, "job", "x"), matcher(0, "dc", "here")], &[]).expect("good");
    assert_eq!(asked.response_type(), Ok(ResponseType::Samples));
    let message = answerer.samples(&asked).expect("answered");
    let mut reader = Reader::new(&message);
    let (field, result) = reader.field().expect("readable").expect("one");
    assert_eq!(field, 1);
    let mut result = Reader::new(result.bytes("result").expect("bytes"));
    let (_, first) = result.field().expect("readable").expect("a series");
    let (labels, samples) = series(first.bytes("series").expect("bytes"));
    // The other series sets that label itself.
    assert_eq!((labels.as_str(), samples.len()), ("__name__=a,dc=here,job=x", 3));
    assert!(result.field().expect("readable").is_none());
}

#[test]
fn streams_are_whole_chunks_in_frames_within_their_size_limit() {
    let (store, external) = (store(), BTreeMap::new());
    for (frame_bytes_max, frames_of_a) in [(FRAME_BYTES, 1), (1, 3)] {
        let limits = Limits { frame_bytes_max, ..LIMITS };
        let answerer =
            Answerer { store: &store, external_labels: &external, limits, hints: Hints::default() };
        let asked = request((0, 3000), &[matcher(2, "job", ".+")], &[7, 1, 0]).expect("good");
        assert_eq!(asked.response_type(), Ok(ResponseType::StreamedChunks));
        let mut frames = Vec::new();
        let mut send = |frame: Vec<u8>| {
            frames.push(frame);
            ControlFlow::Continue(())
        };
        answerer.stream(&asked, &mut send).expect("answered");
        assert_eq!(frames.len(), frames_of_a + 1);
        let mut all = FloatColumn::default();
        for frame in &frames {
            let length_bytes = frame.iter().position(|byte| byte & 0x80 == 0).expect("ends") + 1;
            let (crc, message) = frame[length_bytes..].split_first_chunk::<4>().expect("long enough");
            assert_eq!(u32::from_be_bytes(*crc), crc32c::crc32c(message));
            let mut reader = Reader::new(message);
            let (_, first) = reader.field().expect("readable").expect("a series");
            let (labels, chunks) = series(first.bytes("series").expect("bytes"));
            for (field, chunk) in chunks {
                assert_eq!(field, 2);
                let mut reader = Reader::new(&chunk);
                let mut fields = BTreeMap::new();
                while let Some((number, value)) = reader.field().expect("readable") {
                    fields.insert(number, value);
                }
                assert_eq!(fields[&3].uint("type"), Ok(1));
                let data = fields[&4].bytes("data").expect("bytes");
                if labels.starts_with("__name__=a") {
                    let mut columns = ferula_chunk::Columns::default();
                    decode_floats(Encoding::Xor, data, u16::MAX, &mut columns).expect("a chunk");
                    // What is zero is left out.
                    let begin = fields.get(&1).map_or(Ok(0), |field| field.int("min"));
                    assert_eq!(begin, Ok(columns.timestamps[0]));
                    all.timestamps.extend(&columns.timestamps);
                    all.values.extend(&columns.values);
                }
            }
        }
        assert_eq!(all.timestamps, (0..300).map(|at| at * 10).collect::<Vec<i64>>());
        assert_eq!(all.values.last(), Some(&299.0));
    }
}

#[test]
fn bad_and_oversized_requests_are_refused_with_a_reason() {
    let (store, external) = (store(), BTreeMap::new());
    let limits = Limits { samples_max: 10, ..LIMITS };
    let answerer = Answerer { store: &store, external_labels: &external, limits, hints: Hints::default() };
    let asked = request((0, 3000), &[], &[]).expect("good");
    assert_eq!(answerer.samples(&asked), Err(ReadError::SampleLimit(10)));
    assert_eq!(ReadError::SampleLimit(10).to_string(), "exceeded sample limit (10)");
    assert!(request((0, 1), &[matcher(9, "a", "b")], &[]).is_err());
    assert!(request((0, 1), &[matcher(2, "a", "(")], &[]).is_err());
    assert!(ReadRequest::decode(b"nonsense").is_err());
    let unknown = request((0, 1), &[], &[5]).expect("good").response_type();
    assert!(unknown.is_err_and(|error| error.is_clients()));
}
