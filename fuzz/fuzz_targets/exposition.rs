//! Pages: any bytes are read in both formats without a panic; the fast scan and the exact parser say the same; every
//! key that a parser returns can be decoded. As families, a page has a name for every family and a sample in it.

use ferula_exposition::families::parse_families;
use ferula_exposition::key::{decode, decode_exemplar};
use ferula_exposition::{Entry, Format, LabelScratch, PageParser};
use ferula_model::labels::NameScheme;

const SEEDS: [&[u8]; 3] = [
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
                        decode(series.key, series.kind, &mut scratch).expect("keys of a parser are keys");
                        if let Some(exemplar) = series.exemplar {
                            decode_exemplar(exemplar.labels, &mut scratch).expect("so are labels");
                        }
                    }
                    Ok(Some(_)) => {}
                    Ok(None) | Err(_) => break,
                }
            }
        }
    });
}
