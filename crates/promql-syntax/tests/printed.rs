//! Queries that parse: what they print as, on one line and over several.

use ferula_promql_syntax::{DEPTH_MAX, HEIGHT_MAX, ParserOptions, parse, parse_metric_selector};

fn printed(query: &str) -> String {
    let expr = parse(query, &ParserOptions::ALL).unwrap_or_else(|error| panic!("{query}: {error}"));
    expr.to_string()
}

#[test]
fn a_query_prints_in_prometheus_form() {
    for (query, form) in [
        ("sum(up)by(job)", "sum by (job) (up)"),
        ("sum by () (up)", "sum(up)"),
        ("sum without () (up)", "sum without () (up)"),
        ("topk (3, up)", "topk(3, up)"),
        ("SUM(up) AND ON() b", "sum(up) and on () b"),
        ("a+on(x)group_left b", "a + on (x) group_left () b"),
        ("a / ignoring(x) group_right(y,\"z z\") b", "a / ignoring (x) group_right (y, \"z z\") b"),
        ("a == bool fill(0) b", "a == bool fill (0) b"),
        ("a + fill_right(1) fill_left(-2) b", "a + fill_left (-2) fill_right (1) b"),
        ("{b=\"2\",a!=\"1\",__name__=~\"x\"}", "{__name__=~\"x\",a!=\"1\",b=\"2\"}"),
        ("{\"my metric\",'l l'='v'}", "{\"l l\"=\"v\",__name__=\"my metric\"}"),
        ("up{job='a',}", "up{job=\"a\"}"),
        ("up @ 1.5 offset -5m", "up @ 1.500 offset -5m"),
        ("up offset 0s", "up"),
        ("up[5m:] @ end() offset 1h", "up[5m:] @ end() offset 1h"),
        ("rate(up[90s] smoothed)", "rate(up[1m30s] smoothed)"),
        ("up[step()*2:(1m)]", "up[step() * 2:(1m)]"),
        ("up offset (5m) + 3", "up offset (5m) + 3"),
        ("up offset -5m + 3", "up offset -5m + 3"),
        ("-2 ^ 2", "-2 ^ 2"),
        ("- 1d", "-1d"),
        ("0x1F + 017 + 1e3 + .5 + 1_000", "31 + 15 + 1000 + 0.5 + 1000"),
        ("start + end() - step", "start + end() - step"),
        ("fill + fill(0) b", "fill + fill (0) b"),
        ("info(up, {})", "info(up, {})"),
        ("'a\"\\n'", "\"a\\\"\\n\""),
        ("a # comment )\n + b", "a + b"),
        ("a </ 5 >/ 1", "a </ 5 >/ 1"),
    ] {
        assert_eq!(printed(query), form, "{query}");
        assert_eq!(printed(&printed(query)), form, "printed form of {query}");
    }
}

#[test]
fn operators_bind_as_in_prometheus() {
    for (query, grouped) in [
        ("a or b and c == d + e * f ^ g", "a or (b and (c == (d + (e * (f ^ g)))))"),
        ("a - b - c", "(a - b) - c"),
        ("a ^ b ^ c", "a ^ (b ^ c)"),
        ("-a ^ b", "-(a ^ b)"),
        ("-a * b", "(-a) * b"),
        ("a ^ -b * c", "(a ^ (-b)) * c"),
        ("a * b atan2 c % d", "((a * b) atan2 c) % d"),
        ("a unless b or c and d", "(a unless b) or (c and d)"),
        ("-a offset 5m", "-(a offset 5m)"),
    ] {
        let ungroup = |text: &str| {
            let expr = parse(text, &ParserOptions::ALL).unwrap_or_else(|error| panic!("{text}: {error}"));
            shape(&expr)
        };
        assert_eq!(ungroup(query), ungroup(grouped), "{query}");
    }
}

/// The tree with every operand in brackets and no parentheses of the query's own.
fn shape(expr: &ferula_promql_syntax::Expr) -> String {
    use ferula_promql_syntax::ExprKind;
    match &expr.without_parens().kind {
        ExprKind::Binary(binary) => {
            format!("[{} {} {}]", shape(&binary.left), binary.op.as_str(), shape(&binary.right))
        }
        ExprKind::Unary(op, inner) => format!("[{}{}]", op.as_str(), shape(inner)),
        _ => expr.without_parens().to_string(),
    }
}

#[test]
fn long_queries_are_split() {
    let query = "sum by (job, instance) (rate(http_requests_total{job=\"api\",status=~\"5..\"}[5m])) / on (job) \
                 group_left (team) -clamp_max(some_other_metric_with_a_long_name{label=\"value\"} offset 1d, 10)";
    let pretty = parse(query, &ParserOptions::ALL).expect("the query is sound").pretty().expect("a thread");
    assert_eq!(
        pretty,
        "  sum by (job, instance) (rate(http_requests_total{job=\"api\",status=~\"5..\"}[5m]))\n\
         / on (job) group_left (team)\n  \
         -clamp_max(some_other_metric_with_a_long_name{label=\"value\"} offset 1d, 10)"
    );
}

#[test]
fn depth_is_bounded_and_size_is_not() {
    let too_deep = format!("more than {DEPTH_MAX} levels");
    let huge = 100_000;
    for query in [
        "(".repeat(huge),
        "-".repeat(huge) + "a",
        "a ^ ".repeat(huge) + "a",
        "abs(".repeat(huge),
        format!("a{}", "[1m:1m]".repeat(huge)),
        format!("a[{}", "(".repeat(huge)),
        format!("a offset {}", "-".repeat(huge)),
        format!("a[{}1]", "1 + ".repeat(huge)),
    ] {
        let error = parse(&query, &ParserOptions::ALL).expect_err("too deep").to_string();
        assert!(error.contains(&too_deep), "{error}");
    }
    let error = parse(&("a + ".repeat(huge) + "a"), &ParserOptions::ALL).expect_err("too long").to_string();
    assert!(error.contains(&format!("too many operators in a row: more than {HEIGHT_MAX}")), "{error}");
    let deepest = "(".repeat(DEPTH_MAX - 1) + "a" + &")".repeat(DEPTH_MAX - 1);
    assert_eq!(printed(&deepest), deepest);
    let wide = format!(
        "{{a=~\"x{}\"}} or {}",
        "|y".repeat(10),
        "label_join(a".to_owned() + &", 'b'".repeat(300_000) + ")"
    );
    assert_eq!(printed(&wide).len(), wide.len());
}

#[test]
fn selectors_of_match_parameters() {
    let matchers = parse_metric_selector("up{a!=\"b\"}").expect("a selector");
    let texts: Vec<String> = matchers.iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["a!=\"b\"", "__name__=\"up\""]);
    for (text, error) in [
        ("", "unknown position: parse error: unexpected end of input"),
        ("up[5m]", "1:3: parse error: unexpected \"[\""),
        ("up offset 5m", "1:4: parse error: unexpected <offset>"),
        ("1", "1:1: parse error: unexpected number \"1\""),
    ] {
        assert_eq!(parse_metric_selector(text).expect_err(text).to_string(), error);
    }
}
