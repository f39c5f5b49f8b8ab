//! Properties of generated queries: what is printed reads back as the same tree.

use ferula_promql_syntax::generate::{Generator, Soundness, Vocabulary, shrink};
use ferula_promql_syntax::{ParserOptions, parse};
use proptest::prelude::*;

fn everything() -> Vocabulary {
    Vocabulary { options: ParserOptions::ALL, ..Vocabulary::default() }
}

/// The tree without places: its JSON, and its text for what the JSON leaves out. Matchers are printed in the order
/// of their text, so their order is not compared.
fn tree(query: &str) -> Option<(serde_json::Value, String)> {
    let expr = parse(query, &ParserOptions::ALL).ok()?;
    let mut json = serde_json::from_str(&expr.to_json().expect("a thread")).expect("JSON");
    sort_matchers(&mut json);
    Some((json, expr.to_string()))
}

fn sort_matchers(json: &mut serde_json::Value) {
    match json {
        serde_json::Value::Object(members) => {
            for (key, value) in members {
                match value {
                    serde_json::Value::Array(list) if key == "matchers" => {
                        list.sort_by_key(ToString::to_string)
                    }
                    other => sort_matchers(other),
                }
            }
        }
        serde_json::Value::Array(list) => list.iter_mut().for_each(sort_matchers),
        _ => {}
    }
}

fn reads_back(query: &str) -> bool {
    let Ok(expr) = parse(query, &ParserOptions::ALL) else { return true };
    tree(&expr.to_string()) == tree(query) && tree(&expr.pretty().expect("a thread")) == tree(query)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn queries_read_back_as_printed(seed: u64) {
        let vocabulary = everything();
        for soundness in [Soundness::WellTyped, Soundness::IllTyped, Soundness::Broken] {
            let query = Generator::new(&vocabulary, seed).query(soundness);
            if !reads_back(&query) {
                let small = shrink(&query, &ParserOptions::ALL, |query| !reads_back(query));
                prop_assert!(false, "{small:?} prints as {:?} and {:?}", tree(&small), tree(&query));
            }
        }
    }

    #[test]
    fn generated_queries_are_well_typed(seed: u64) {
        let vocabulary = everything();
        let query = Generator::new(&vocabulary, seed).query(Soundness::WellTyped);
        let parsed = parse(&query, &ParserOptions::ALL);
        prop_assert!(parsed.is_ok(), "{query}: {}", parsed.map_or_else(|e| e.to_string(), |_| String::new()));
    }

    /// Every node's place is inside its parent's, and parses to that node when cut out of the text.
    #[test]
    fn places_are_those_of_the_parts(seed: u64) {
        // `anchored` and `smoothed` do not belong to a selector's place, as in Prometheus.
        let options = ParserOptions { extended_range_selectors: false, ..ParserOptions::ALL };
        let vocabulary = Vocabulary { options, ..Vocabulary::default() };
        let query = Generator::new(&vocabulary, seed).query(Soundness::WellTyped);
        let expr = parse(&query, &ParserOptions::ALL).expect("well-typed");
        let mut parts = vec![&expr];
        while let Some(part) = parts.pop() {
            let text = &query[part.span.start..part.span.end];
            prop_assert_eq!(tree(text).map(|tree| tree.1), Some(part.to_string()), "{} in {}", text, &query);
            for child in part.children() {
                prop_assert!(part.span.start <= child.span.start && child.span.end <= part.span.end);
                parts.push(child);
            }
        }
    }
}

#[test]
fn ill_typed_and_broken_queries_fail_often_enough() {
    let vocabulary = everything();
    for soundness in [Soundness::IllTyped, Soundness::Broken] {
        let mut generator = Generator::new(&vocabulary, 7);
        let failed =
            (0..1000).filter(|_| parse(&generator.query(soundness), &ParserOptions::ALL).is_err()).count();
        assert!((300..1000).contains(&failed), "{soundness:?}: {failed} of 1000 fail");
    }
}
