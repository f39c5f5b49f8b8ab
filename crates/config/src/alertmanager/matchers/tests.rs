//! Matchers held against what the real program makes of them.

use std::path::Path;

use super::*;

fn text(json: &str) -> String {
    serde_yaml::from_str(json).expect("a JSON string")
}

#[test]
fn matchers_are_read_as_by_alertmanager_in_every_mode() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/alertmanager/matchers.tsv");
    let table = std::fs::read_to_string(file).expect("the table");
    let rows: Vec<&str> = table.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(rows.len() > 240, "only {} rows", rows.len());
    for row in rows {
        let [syntax, input, expected] = row.split('\t').collect::<Vec<_>>()[..] else { panic!("{row}") };
        let syntax = match syntax {
            "fallback" => MatcherSyntax::Fallback,
            "utf8" => MatcherSyntax::Utf8,
            "classic" => MatcherSyntax::Classic,
            other => panic!("{other}"),
        };
        let found = match parse_matchers(&text(input), syntax) {
            Ok(parsed) => Matchers::new(parsed.value).to_string(),
            Err(error) => format!("error: {error}"),
        };
        assert_eq!(found, text(expected), "{syntax:?} {input}");
    }
}

#[test]
fn what_the_grammars_disagree_on_is_named() {
    let warning = |input: &str| {
        let parsed = parse_matcher(input, MatcherSyntax::Fallback).expect(input);
        parsed.warning.map(|warning| warning.to_string())
    };
    assert_eq!(warning("a=b"), None);
    let classic_only = warning("a=b c").expect("only the classic grammar takes it");
    assert!(classic_only.ends_with(r#"write "a=\"b c\"" instead"#), "{classic_only}");
    let disagreement = warning(r#"a="\x41""#).expect("`A` in one, `\\x41` in the other");
    assert!(disagreement.contains("mean different things"), "{disagreement}");
}

#[test]
fn the_order_of_matchers_is_total_and_agrees_with_equality() {
    let mut all = Vec::new();
    for name in ["a", "b", "\u{e9}"] {
        for (op, value) in
            ["=", "!=", "=~", "!~"].iter().flat_map(|op| ["", "1", "10"].map(|value| (op, value)))
        {
            let text = format!("{name}{op}\"{value}\"");
            all.push(parse_matcher(&text, MatcherSyntax::Utf8).expect(&text).value);
        }
    }
    ferula_testkit::assert_total_order(&all, Matcher::cmp);
    for a in &all {
        assert_eq!(all.iter().filter(|b| a == *b).count(), 1, "{a}");
    }
}

#[test]
fn one_matcher_is_one() {
    for (input, syntax, expected) in [
        ("{a=b}", MatcherSyntax::Fallback, "unexpected open or close brace: {a=b}"),
        ("a=b,c=d", MatcherSyntax::Utf8, "expected 1 matcher, found 2"),
        ("", MatcherSyntax::Utf8, "no matchers"),
        ("", MatcherSyntax::Fallback, "bad matcher format: "),
    ] {
        assert_eq!(parse_matcher(input, syntax).expect_err(input).to_string(), expected);
    }
    // What looks like a list to one grammar is a value to the other.
    let one = parse_matcher("a=b,c=d", MatcherSyntax::Fallback).expect("classic takes it");
    assert_eq!(one.value.value(), "b,c=d");
}

#[test]
fn expressions_are_anchored_and_missing_labels_are_empty() {
    let matchers =
        |text: &str| Matchers::new(parse_matchers(text, MatcherSyntax::Fallback).expect(text).value);
    let value_of = |name: &str| if name == "team" { "ops" } else { "" };
    for (text, expected) in [
        ("team=ops", true),
        ("team=~op", false),
        ("team=~op.", true),
        ("team!~op", true),
        ("other=", true),
        ("other!=\"\"", false),
        ("other=~.*,team=ops", true),
        ("team=ops,other=x", false),
        ("", true),
    ] {
        assert_eq!(matchers(text).matches(value_of), expected, "{text}");
    }
}
