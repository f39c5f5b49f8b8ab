//! Text pages, and what becomes of their classic histograms.

use ferula_model::histogram::HistogramValue;

use crate::{Entry, Format, LabelScratch, PageOptions, PageParser, key};

/// Each sample of a page as `labels value`, a histogram with its exemplars and time.
fn samples(page: &str, format: Format, keep_classic: bool) -> Vec<String> {
    let options =
        PageOptions { custom_buckets: true, keep_classic, start_timestamps: true, ..PageOptions::default() };
    let mut parser = PageParser::with_options(page.as_bytes(), format, options);
    let mut all = Vec::new();
    let mut scratch = LabelScratch::new();
    let mut labels = |text: &[u8], kind| {
        key::decode(text, kind, &mut scratch).expect("a key");
        scratch.to_label_set().to_string()
    };
    while let Some(entry) = parser.next().expect("a good page") {
        match entry {
            Entry::Series(s) => {
                let exemplar = if s.exemplar.is_some() { " #" } else { "" };
                all.push(format!("{} {}{exemplar}", labels(s.key, s.kind), s.value));
            }
            Entry::Histogram(h) => {
                let kind = match &h.value {
                    HistogramValue::Integer(_) => "int",
                    HistogramValue::Float(_) => "float",
                };
                all.push(format!(
                    "{} {kind} {} at {:?} from {} exemplars {}",
                    labels(h.key, h.kind),
                    h.value.to_float(),
                    h.timestamp,
                    h.start_timestamp,
                    h.exemplars.len()
                ));
            }
            _ => {}
        }
    }
    all
}

const PAGE: &str = r#"# TYPE rpc histogram
rpc_bucket{a="x",le="1"} 1
rpc_bucket{a="x",le="+Inf"} 3
rpc_sum{a="x"} 9
rpc_count{a="x"} 3
rpc_bucket{a="y\"\\",le="1"} 0.5 700
rpc_bucket{a="y\"\\",le="+Inf"} 2 700
rpc_bucket{le="1"} 5
rpc_bucket{le="2"} 4
rpc 7
# TYPE other gauge
other_bucket{le="1"} 1
"#;

#[test]
fn series_of_one_histogram_become_one_sample() {
    assert_eq!(
        samples(PAGE, Format::Text, false),
        [
            // Its time is that of the series behind it.
            r#"{__name__="rpc", a="x"} int {count:3, sum:9, [-Inf,1]:1, (1,+Inf]:2} at Some(700) from 0 exemplars 0"#,
            r#"{__name__="rpc", a="y\"\\"} float {count:2, sum:0, [-Inf,1]:0.5, (1,+Inf]:1.5} at None from 0 exemplars 0"#,
            // The third does not rise and is dropped; what is called as the histogram itself is none of it.
            r#"{__name__="rpc"} 7"#,
            r#"{__name__="other_bucket", le="1"} 1"#,
        ]
    );
}

#[test]
fn classic_series_stay_where_that_is_wanted() {
    let kept = samples(PAGE, Format::Text, true);
    assert_eq!(kept.len(), 12);
    assert_eq!(kept[0], r#"{__name__="rpc_bucket", a="x", le="1.0"} 1"#);
    assert!(kept[4].starts_with(r#"{__name__="rpc", a="x"} int"#), "{kept:?}");
}

#[test]
fn exemplars_and_start_go_with_the_histogram() {
    let page = "# TYPE rpc histogram\n\
        rpc_bucket{le=\"1\"} 1 # {id=\"a\"} 0.5 10\n\
        rpc_bucket{le=\"+Inf\"} 3 # {id=\"b\"} 2\n\
        rpc_count 3\nrpc_created 5.5\n# EOF\n";
    assert_eq!(
        samples(page, Format::OpenMetrics, false),
        [r#"{__name__="rpc"} int {count:3, sum:0, [-Inf,1]:1, (1,+Inf]:2} at None from 5500 exemplars 1"#]
    );
    let kept = samples(page, Format::OpenMetrics, true);
    assert!(kept.iter().all(|sample| !sample.ends_with('#')), "{kept:?}");
    assert_eq!(kept.len(), 4);
}

#[test]
fn the_end_of_the_page_and_a_comment_end_a_histogram() {
    let page = "# TYPE a histogram\na_bucket{le=\"+Inf\"} 1\n# HELP b B\n# TYPE b histogram\nb_count 2";
    assert_eq!(
        samples(page, Format::Text, false),
        [
            r#"{__name__="a"} int {count:1, sum:0, [-Inf,+Inf]:1} at None from 0 exemplars 0"#,
            r#"{__name__="b"} int {count:2, sum:0, [-Inf,+Inf]:2} at None from 0 exemplars 0"#,
        ]
    );
}

#[test]
fn what_is_no_bucket_is_an_ordinary_series() {
    let page = "# TYPE a histogram\na_bucket{le=\"x\"} 1\na_bucket 2\na_bucket{le=\"NaN\"} 3\nb_count 4\n";
    assert_eq!(samples(page, Format::Text, false).len(), 4);
}
