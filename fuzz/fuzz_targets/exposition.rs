//! Pages: any bytes are read in every format without a panic; the fast scan and the exact parser agree; every
//! key that a text parser returns can be decoded. Read as families, every family has a name and a sample.

use ferula_exposition::families::parse_families;
use ferula_exposition::key::{decode, decode_exemplar};
use ferula_exposition::{Entry, Format, LabelScratch, PageOptions, PageParser};
use ferula_model::labels::NameScheme;

const SEEDS: [&[u8]; 4] = [
    // A histogram with a label, classic and native buckets, an exemplar and a start.
    b"\x51\x0a\x01\x68\x18\x04\x22\x4a\x0a\x06\x0a\x01\x61\x12\x01\x62\x3a\x40\x08\x03\x11\x00\x00\x00\x00\x00\x00\xf0\x3f\x1a\x0b\x08\x02\x11\x00\x00\x00\x00\x00\x00\xf0\
      \x3f\x28\x02\x62\x04\x08\x02\x10\x02\x6a\x02\x02\x02\x82\x01\x15\x0a\x06\x0a\x01\x61\x12\x01\x62\x11\x00\x00\x00\x00\x00\x00\xf0\x3f\x1a\x02\x08\x09\x7a\x02\x08\x05",
    b"# HELP a b\\nc\n# TYPE a histogram\na_bucket{le=\"1\",x=\"y\\\"z\"} 12 345\na_sum -1.5e-3\n{\"q.r\",\"s t\"=\"u\"} NaN\n",
    b"# TYPE a counter\n# UNIT a_s s\na_total{b=\"c\"} 1 2.5 # {t=\"u\"} 3 4\na_created 1.5\n# EOF\n",
    b"  up\t{ a = \"b\" , } 1\n#comment\n\n",
];

fn main() {
    ferula_fuzz::drive("exposition", &SEEDS, |input| {
        if let Ok(families) = parse_families(input, NameScheme::Utf8) {
            assert!(families.iter().all(|family| !family.name.is_empty() && !family.metrics.is_empty()));
        }
        for format in [Format::Text, Format::OpenMetrics] {
            let (mut fast, mut exact) = (PageParser::new(input, format), PageParser::exact(input, format));
            let mut scratch = LabelScratch::new();
            loop {
                let entry = fast.next();
                assert_eq!(entry, exact.next());
                match entry {
                    Ok(Some(Entry::Series(series))) => {
                        decode(series.key, series.kind, &mut scratch)
                            .expect("keys of a text parser are keys");
                        if let Some(exemplar) = series.exemplar {
                            decode_exemplar(exemplar.labels, &mut scratch).expect("so are labels");
                        }
                    }
                    Ok(Some(_)) => {}
                    Ok(None) | Err(_) => break,
                }
            }
            read_with_options(input, format);
        }
        read_with_options(input, Format::Protobuf);
    });
}

/// Reads a page with all options; the results can be read as well.
fn read_with_options(page: &[u8], format: Format) {
    for bits in 0..16 {
        let options = PageOptions {
            native_histograms: bits & 1 > 0,
            keep_classic: bits & 2 > 0,
            custom_buckets: bits & 4 > 0,
            start_timestamps: bits & 8 > 0,
        };
        let mut parser = PageParser::with_options(page, format, options);
        let mut scratch = LabelScratch::new();
        while let Ok(Some(entry)) = parser.next() {
            match entry {
                Entry::Series(series) => drop(decode(series.key, series.kind, &mut scratch)),
                Entry::Histogram(histogram) => {
                    drop(decode(histogram.key, histogram.kind, &mut scratch));
                    for exemplar in histogram.exemplars {
                        drop(decode_exemplar(exemplar.labels, &mut scratch));
                    }
                    drop(histogram.value.validate());
                }
                _ => {}
            }
        }
    }
}
