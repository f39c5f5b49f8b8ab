//! Generated queries, sound and broken, against the `promql-parser` crate: the two agree on which are queries and on
//! what they mean, or the reason is in the table.

use ferula_promql_syntax::generate::{Generator, Soundness, Vocabulary};
use ferula_promql_syntax::{ParserOptions, parse};

/// A reason to differ, and how to see in a query and the printed forms of the two that it applies.
type Explanation = (&'static str, fn(query: &str, ours: &str, theirs: &str) -> bool);

/// Which queries the two accept differently. Prometheus does as we do in every case.
const EXPLAINED: &[Explanation] = &[
    ("promql-parser has no underscores in numbers", |query, _, _| query.contains("1_0")),
    ("promql-parser compiles regexes by Rust's rules; Go refuses `**`", |query, _, theirs| {
        query.contains("**\"") && !theirs.starts_with("error")
    }),
    ("promql-parser knows one sign behind offset", |query, _, _| {
        query.contains("offset --") || query.contains("offset -(")
    }),
    ("promql-parser refuses a zero offset", |query, _, theirs| {
        query.contains("offset 0") && theirs.contains("duration must be greater than 0")
    }),
];

/// What the two print differently, Prometheus as we do: reason, our text, theirs.
const PRINTED: &[(&str, &str, &str)] = &[
    ("a duration among numbers is a duration, not its seconds", "9h15m", "33300"),
    ("a duration among numbers is a duration, not its seconds", "1m30s", "90"),
    ("a duration among numbers is a duration, not its seconds", "5m", "300"),
    ("infinity has a sign", "+Inf", "Inf"),
    ("`ignoring ()` has to stand in front of `group_left`", " ignoring ()", ""),
];

/// A printed form without what the two print differently; blanks and the order of matchers do not count either.
fn normalized(text: &str) -> String {
    let text =
        parse(text, &ParserOptions::default()).map_or_else(|_| text.to_owned(), |expr| expr.to_string());
    PRINTED.iter().fold(text, |text, (_, ours, theirs)| text.replace(ours, theirs))
}

#[test]
fn the_two_agree_or_the_reason_is_known() {
    let vocabulary = Vocabulary::default();
    let mut unexplained = Vec::new();
    let mut accepted = 0;
    for soundness in [Soundness::WellTyped, Soundness::IllTyped, Soundness::Broken] {
        let mut generator = Generator::new(&vocabulary, 42);
        for _ in 0..4000 {
            let query = generator.query(soundness);
            let ours = parse(&query, &ParserOptions::default());
            let theirs = promql_parser::parser::parse(&query);
            let same = match (&ours, &theirs) {
                (Ok(ours), Ok(theirs)) => {
                    accepted += 1;
                    normalized(&ours.to_string()) == normalized(&theirs.to_string())
                }
                (ours, theirs) => ours.is_ok() == theirs.is_ok(),
            };
            let ours = ours.map_or_else(|error| format!("error {error}"), |expr| expr.to_string());
            let theirs = theirs.map_or_else(|error| format!("error {error}"), |expr| expr.to_string());
            if !same && !EXPLAINED.iter().any(|(_, applies)| applies(&query, &ours, &theirs)) {
                unexplained.push(format!("{query}\n  ours   {ours}\n  theirs {theirs}"));
            }
        }
    }
    assert!(accepted > 5000, "only {accepted} queries were accepted by both");
    assert!(unexplained.is_empty(), "{} differ:\n{}", unexplained.len(), unexplained.join("\n"));
}
