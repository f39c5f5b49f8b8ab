//! Queries, selectors and series descriptions of any bytes: an error or a tree that prints and reads back.

use ferula_promql_syntax::{
    ParserOptions, parse, parse_metric, parse_metric_selector, parse_series_description,
};

const SEEDS: &[&[u8]] = &[
    b"sum by (job) (rate(http_requests_total{job=~\"a.+\", code!=\"5\"}[5m] offset -1h @ end())) > bool 1e3",
    b"a + on(x, \"y z\") group_left(z) fill_left(-1) fill_right(2) b and c unless d or e atan2 0x1F",
    b"max_over_time((a offset 5m)[1h:step() * 2]) + {\"m\", 'l'=`v`} # comment",
    b"up[max_of(5m, range()) - (1m ^ 2) % 7] anchored offset -(5m)",
    b"topk(5, quantile(0.9, x) without (y)) == on() vector(1) + - 1_000 ^ 2 ^ NaN",
    b"metric{a=\"b\"} 1 2+3x4 _x5 stale {{schema:1 sum:-0.3 buckets:[5 -1 7] counter_reset_hint:gauge}}+{{}}x2",
    b"up{a=~\"(?P<n>[[:alpha:]]\\\\pL+)|\\\\Qx\\\\E{2,3}\"}",
];

fn main() {
    ferula_fuzz::drive("promql", SEEDS, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        for options in [ParserOptions::ALL, ParserOptions::default()] {
            if let Ok(expr) = parse(&text, &options) {
                let printed = expr.to_string();
                let pretty = expr.pretty().expect("a thread");
                expr.to_json().expect("a thread");
                // A replacement character is refused as a literal, but can be written as an escape.
                if !printed.contains('\u{fffd}') {
                    let again = parse(&printed, &options).expect("what is printed reads back");
                    assert_eq!(again.to_string(), printed);
                    parse(&pretty, &options).expect("what is printed over several lines reads back");
                }
            }
        }
        let _ = parse_metric_selector(&text);
        let _ = parse_metric(&text);
        let _ = parse_series_description(&text);
    });
}
