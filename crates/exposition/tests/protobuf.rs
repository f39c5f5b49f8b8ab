//! Protobuf pages: against the slow reader over random and broken ones, and what is said of some that are wrong.

mod slow_protobuf;

use ferula_exposition::key::{decode, decode_exemplar};
use ferula_exposition::{Entry, ExemplarText, Format, LabelScratch, PageOptions, PageParser};
use ferula_go::protobuf::{push_varint, put_bytes, put_double, put_sint, put_varint};
use proptest::prelude::*;
use slow_protobuf::{Exemplar, Labels, Row};

fn labels(scratch: &LabelScratch) -> Labels {
    scratch.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The exemplars with valid labels.
fn exemplars(all: &[ExemplarText<'_>]) -> Vec<Exemplar> {
    let mut scratch = LabelScratch::new();
    let one = |exemplar: &ExemplarText<'_>| {
        decode_exemplar(exemplar.labels, &mut scratch).ok()?;
        Some((labels(&scratch), exemplar.value.to_bits(), exemplar.timestamp))
    };
    all.iter().filter_map(one).collect()
}

/// What the parser makes of a page, in the slow reader's terms; the error's text when it refuses it.
fn rows(page: &[u8], options: PageOptions) -> Result<Vec<Row>, String> {
    let mut parser = PageParser::with_options(page, Format::Protobuf, options);
    let mut rows = Vec::new();
    let mut scratch = LabelScratch::new();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    while let Some(entry) = parser.next().map_err(|error| error.to_string())? {
        rows.push(match entry {
            Entry::Type { metric, kind } => Row::Type(text(metric), kind),
            Entry::Help { metric, text: help } => Row::Help(text(metric), help.into_owned()),
            Entry::Unit { metric, unit } => Row::Unit(text(metric), text(unit)),
            Entry::Series(s) => {
                decode(s.key, s.kind, &mut scratch).map_err(|error| error.to_string())?;
                Row::Sample {
                    labels: labels(&scratch),
                    value: s.value.to_bits(),
                    timestamp: s.timestamp,
                    start: s.start_timestamp,
                    exemplars: exemplars(s.exemplar.as_slice()),
                }
            }
            Entry::Histogram(h) => {
                decode(h.key, h.kind, &mut scratch).map_err(|error| error.to_string())?;
                Row::Histogram {
                    labels: labels(&scratch),
                    value: format!("{:?}", h.value),
                    timestamp: h.timestamp,
                    start: h.start_timestamp,
                    exemplars: exemplars(h.exemplars),
                }
            }
        });
    }
    Ok(rows)
}

/// Random numbers that can be repeated (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn maybe(&mut self) -> bool {
        self.below(3) > 0
    }

    fn number(&mut self) -> f64 {
        [0.0, 0.5, 1.0, 2.5, -3.0, f64::INFINITY, f64::NAN, 7.0, 100.0][self.below(9) as usize]
    }

    fn text(&mut self) -> &'static [u8] {
        [&b"a"[..], b"bc", b"", b"\xc3\xa9 \"", b"le", b"\xff", b"name_total", b"x\ny"]
            [self.below(8) as usize]
    }

    /// Mostly one that is good.
    fn name(&mut self) -> &'static [u8] {
        if self.below(20) == 0 {
            self.text()
        } else {
            [&b"a"[..], b"b.c", b"d_total"][self.below(3) as usize]
        }
    }
}

/// A message whose fields were written by `fill`.
fn message(fill: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    fill(&mut out);
    out
}

fn label(r: &mut Random) -> Vec<u8> {
    message(|out| {
        if r.below(30) > 0 {
            put_bytes(out, 1, r.name());
        }
        if r.maybe() {
            put_bytes(out, 2, if r.below(30) == 0 { r.text() } else { b"value" });
        }
    })
}

fn time(r: &mut Random) -> Vec<u8> {
    message(|out| {
        put_varint(out, 1, r.below(2_000_000_000));
        put_varint(out, 2, r.below(1_000_000_000));
    })
}

fn exemplar(r: &mut Random) -> Vec<u8> {
    message(|out| {
        for _ in 0..r.below(3) {
            put_bytes(out, 1, &label(r));
        }
        put_double(out, 2, r.number());
        if r.maybe() {
            put_bytes(out, 3, &time(r));
        }
    })
}

fn histogram(r: &mut Random) -> Vec<u8> {
    message(|out| {
        let (native, float) = (r.maybe(), r.below(4) == 0);
        if r.maybe() {
            put_varint(out, 1, r.below(9));
        }
        put_double(out, 2, r.number());
        if float {
            put_double(out, 4, r.number());
        }
        let mut count = 0;
        for bound in 0..r.below(4) {
            count += r.below(4);
            let bucket = message(|out| {
                put_varint(out, 1, count);
                put_double(out, 2, if r.below(8) == 0 { r.number() } else { bound as f64 });
                if r.maybe() {
                    put_bytes(out, 3, &exemplar(r));
                }
            });
            put_bytes(out, 3, &bucket);
        }
        if native {
            put_sint(out, 5, r.below(12) as i64 - 3);
            put_double(out, 6, r.number());
            put_varint(out, 7, r.below(3));
            for (spans, deltas, counts) in [(9, 10, 11), (12, 13, 14)] {
                let length = r.below(4);
                let span = message(|out| {
                    put_sint(out, 1, r.below(9) as i64 - 4);
                    put_varint(out, 2, length);
                });
                put_bytes(out, spans, &span);
                let given = if r.below(20) == 0 { length + 1 } else { length };
                for _ in 0..given {
                    put_sint(out, deltas, r.below(5) as i64 - 1);
                }
                let packed: Vec<u8> = (0..given).flat_map(|_| r.number().to_le_bytes()).collect();
                put_bytes(out, counts, &packed);
            }
            if r.maybe() {
                put_bytes(out, 16, &exemplar(r));
            }
        }
        if r.maybe() {
            put_bytes(out, 15, &time(r));
        }
    })
}

fn metric(r: &mut Random, kind: u64) -> Vec<u8> {
    message(|out| {
        for _ in 0..r.below(3) {
            put_bytes(out, 1, &label(r));
        }
        // Now and then what another type has.
        let kind = if r.below(15) == 0 { r.below(6) } else { kind };
        match kind {
            0 => {
                let counter = message(|out| {
                    put_double(out, 1, r.number());
                    if r.maybe() {
                        put_bytes(out, 2, &exemplar(r));
                        put_bytes(out, 3, &time(r));
                    }
                });
                put_bytes(out, 3, &counter);
            }
            1 => put_bytes(out, 2, &message(|out| put_double(out, 1, r.number()))),
            2 => {
                let summary = message(|out| {
                    put_varint(out, 1, r.below(100));
                    put_double(out, 2, r.number());
                    for _ in 0..r.below(3) {
                        let pair = message(|out| {
                            put_double(out, 1, r.number());
                            put_double(out, 2, r.number());
                        });
                        put_bytes(out, 3, &pair);
                    }
                    put_bytes(out, 4, &time(r));
                });
                put_bytes(out, 4, &summary);
            }
            3 => put_bytes(out, 5, &message(|out| put_double(out, 1, r.number()))),
            _ => put_bytes(out, 7, &histogram(r)),
        }
        if r.maybe() {
            put_varint(out, 6, r.below(3));
        }
        if r.below(4) == 0 {
            // Labels need not stand together.
            put_bytes(out, 1, &label(r));
            put_bytes(out, 99, b"unknown");
        }
    })
}

fn page(r: &mut Random) -> Vec<u8> {
    let mut page = Vec::new();
    for _ in 0..r.below(4) {
        let kinds = if r.below(20) == 0 { 8 } else { 6 };
        let kind = r.below(kinds);
        let family = message(|out| {
            put_bytes(out, 1, r.name());
            if r.maybe() {
                put_bytes(out, 2, if r.below(20) == 0 { r.text() } else { b"Help." });
            }
            put_varint(out, 3, kind);
            for _ in 0..r.below(4) {
                put_bytes(out, 4, &metric(r, kind));
            }
            if r.maybe() {
                put_bytes(out, 5, b"seconds");
            }
        });
        push_varint(&mut page, family.len() as u64);
        page.extend_from_slice(&family);
    }
    page
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn the_slow_reader_finds_the_same(seed: u64, bits in 0u8..16, damage in proptest::option::weighted(0.3, any::<(u16, u8)>())) {
        let mut page = page(&mut Random(seed));
        if let Some((at, byte)) = damage && !page.is_empty() {
            let at = usize::from(at) % page.len();
            page[at] = byte;
        }
        let options = PageOptions {
            native_histograms: bits & 1 > 0,
            keep_classic: bits & 2 > 0,
            custom_buckets: bits & 4 > 0,
            start_timestamps: bits & 8 > 0,
        };
        prop_assert_eq!(rows(&page, options).ok(), slow_protobuf::read(&page, options), "{:02x?}", page);
    }
}

/// Most random pages must be good ones, or the test above would say little.
#[test]
fn most_random_pages_are_good() {
    let good =
        (0..500).filter(|seed| rows(&page(&mut Random(*seed)), PageOptions::default()).is_ok()).count();
    assert!(good > 250, "{good} of 500");
}

fn family_of(kind: u64, metrics: &[&[u8]]) -> Vec<u8> {
    let family = message(|out| {
        put_bytes(out, 1, b"m");
        put_varint(out, 3, kind);
        metrics.iter().for_each(|metric| put_bytes(out, 4, metric));
    });
    let mut page = Vec::new();
    push_varint(&mut page, family.len() as u64);
    [page, family].concat()
}

#[test]
fn bad_pages_are_refused_in_prometheus_words() {
    let native = PageOptions { native_histograms: true, ..PageOptions::default() };
    let labelled = |name: &[u8], value: &[u8]| {
        let pair = message(|out| {
            put_bytes(out, 1, name);
            put_bytes(out, 2, value);
        });
        family_of(0, &[&message(|out| put_bytes(out, 1, &pair))])
    };
    let spans = message(|out| {
        let span = message(|out| put_varint(out, 2, 3));
        put_bytes(out, 7, &message(|out| put_bytes(out, 12, &span)));
    });
    let named = |name: &[u8], help: &[u8]| {
        let family = message(|out| {
            put_bytes(out, 1, name);
            put_bytes(out, 2, help);
            put_bytes(out, 4, b"");
        });
        [&[family.len() as u8][..], &family].concat()
    };
    for (page, expected) in [
        (b"\xff\xff\xff\xff\xff\x01".to_vec(), "clientpb: invalid varint encountered"),
        (
            b"\x05a".to_vec(),
            "clientpb: insufficient length of buffer, expected at least 6 bytes, got 2 bytes",
        ),
        (b"\x01\x0a".to_vec(), "unexpected EOF"),
        (b"\x02\x08\x01".to_vec(), "proto: wrong wireType = 0 for field Name"),
        (named(b"", b""), "invalid metric name: "),
        (named(b"m", b"\xff"), "invalid help for metric \"m\": \u{fffd}"),
        (family_of(9, &[b""]), "unknown metric type for metric \"m\": 9"),
        (labelled(b"", b"x"), "invalid label name: "),
        (labelled(b"a", b"x\xff"), "invalid label value: x\u{fffd}"),
        (family_of(4, &[&spans]), "histogram \"m\": positive side: spans require 3 buckets, have 0"),
    ] {
        assert_eq!(rows(&page, native), Err(expected.to_owned()), "{}", page.escape_ascii());
    }
    // A family without metrics is passed over, whatever it is called.
    assert_eq!(rows(&family_of(9, &[]), native), Ok(Vec::new()));
}

#[test]
fn equal_keys_mean_the_same_series_and_other_series_have_other_keys() {
    let pair = |name: &[u8], value: &[u8]| {
        message(|out| {
            put_bytes(out, 1, name);
            put_bytes(out, 2, value);
        })
    };
    let metric = |value: &[u8]| message(|out| put_bytes(out, 1, &pair(b"a", value)));
    let keys = |page: &[u8]| {
        let mut parser = PageParser::new(page, Format::Protobuf);
        let mut keys = Vec::new();
        while let Some(entry) = parser.next().expect("a good page") {
            if let Entry::Series(series) = entry {
                keys.push(series.key.to_vec());
            }
        }
        keys
    };
    let page = family_of(4, &[&metric(b"x"), &metric(b"y"), &metric(b"x")]);
    let all = keys(&page);
    assert_eq!(all.len(), 9);
    assert_eq!(all[0..3], all[6..9]);
    for (at, key) in all[..6].iter().enumerate() {
        assert!(!all[..at].contains(key));
    }
}

/// A name that stands once for many metrics would be read once for each of them.
#[test]
fn a_page_whose_series_repeat_a_long_name_too_often_is_refused() {
    let page_of = |name_bytes: usize, metrics: usize| {
        let family = message(|out| {
            put_bytes(out, 1, &vec![b'n'; name_bytes]);
            (0..metrics).for_each(|_| put_bytes(out, 4, b""));
        });
        message(|out| {
            push_varint(out, family.len() as u64);
            out.extend_from_slice(&family);
        })
    };
    let read = |page: &[u8]| {
        let mut parser = PageParser::with_options(page, Format::Protobuf, PageOptions::default());
        let mut samples = 0;
        loop {
            match parser.next() {
                Ok(Some(Entry::Series(_))) => samples += 1,
                Ok(Some(_)) => {}
                Ok(None) => return Ok(samples),
                Err(error) => return Err((samples < 100_000, error.to_string())),
            }
        }
    };
    assert_eq!(read(&page_of(30, 200_000)), Ok(200_000));
    let (early, error) = read(&page_of(100_000, 200_000)).expect_err("20 GB of keys");
    assert!(early && error.starts_with("names and labels of all series have more than "), "{error}");
}
