//! Comparisons that are not a total order make a sort panic or lose its meaning. Each one that is handed to a sort either
//! consists of `cmp` and `total_cmp` alone, without a branch, or has a name that a test of its crate passes to
//! `assert_total_order`. So has the `cmp` of each type that implements `Ord` itself; its `partial_cmp` returns the same.

use super::tree::{Tree, has_word, product_code};

/// Calls that take a comparison.
const CALLS: [&str; 6] =
    ["sort_by(", "sort_unstable_by(", "max_by(", "min_by(", "select_nth_unstable_by(", "binary_search_by("];

/// Complains about comparisons whose order nothing shows to be total.
pub fn comparisons(tree: &Tree, complaints: &mut Vec<String>) {
    for (file, text) in tree.product() {
        let code = product_code(text);
        implementations(tree, file, &code, complaints);
        for (at, call) in CALLS.iter().flat_map(|call| code.match_indices(call)) {
            // A definition, or a longer name.
            let before = code[..at].trim_end_matches("sorting::");
            if !before.ends_with(['.', ' ', '(', '!']) || before.ends_with("fn ") {
                continue;
            }
            let argument = until_closed(&code[at + call.len()..]);
            let line = code[..at].matches('\n').count() + 1;
            if argument.contains("partial_cmp") {
                complaints.push(format!("{file}:{line}: `partial_cmp` in a sort: NaN has no place in it"));
            } else if !is_plain(argument, &code) && !is_tested(tree, file, argument) {
                complaints.push(format!(
                    "{file}:{line}: no test passes this comparison to `assert_total_order`: {}",
                    argument.trim()
                ));
            }
        }
    }
}

/// Complains about orders of types that no test checks.
fn implementations(tree: &Tree, file: &str, code: &str, complaints: &mut Vec<String>) {
    for (at, _) in code.match_indices("Ord for ") {
        let rest = &code[at + "Ord for ".len()..];
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let line = code[..at].matches('\n').count() + 1;
        if code[..at].ends_with("Partial") {
            let body =
                rest.split_once('{').map_or("", |(_, body)| body).split("\n}").next().unwrap_or_default();
            if !body.contains("Some(self.cmp(other))") {
                complaints.push(format!("{file}:{line}: `partial_cmp` of {name} is not its `cmp`"));
            }
        } else if !is_tested(tree, file, &format!("{name}::cmp")) {
            complaints.push(format!("{file}:{line}: no test passes `{name}::cmp` to `assert_total_order`"));
        }
    }
}

/// The text up to the parenthesis that closes the call.
fn until_closed(rest: &str) -> &str {
    let mut depth = 0;
    for (at, byte) in rest.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' if depth == 0 => return &rest[..at],
            b')' => depth -= 1,
            _ => {}
        }
    }
    rest
}

/// With one of these a comparison decides by itself, which can contradict what it decides elsewhere.
const BRANCHES: [&str; 7] = ["partial_cmp", "if ", "match ", "==", "!=", "Ordering::", "unwrap"];

/// Whether a comparison is made of `cmp` and `total_cmp` alone, here or where its name is bound.
fn is_plain(argument: &str, code: &str) -> bool {
    let is_made_of_cmp = |text: &str| {
        ["cmp(", "::cmp", "total_cmp"].iter().any(|part| text.contains(part))
            && !BRANCHES.iter().any(|part| text.contains(part))
    };
    let name = argument.rsplit(',').next().unwrap_or_default().trim().trim_start_matches("&mut ");
    // A function that passes on its caller's comparison, which is judged there.
    if code.contains(&format!("{name}: impl Fn")) {
        return true;
    }
    let bound = code.split_once(&format!("let {name} =")).and_then(|(_, rest)| rest.split(';').next());
    is_made_of_cmp(argument) || bound.is_some_and(is_made_of_cmp)
}

/// Whether a test of the crate checks a function that the argument names; all words of a path must be there.
fn is_tested(tree: &Tree, file: &str, argument: &str) -> bool {
    let directory = file.split("/src/").next().unwrap_or_default();
    let words = argument.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| word.len() > 2);
    let words: Vec<&str> = words.collect();
    let files = tree.files(|other| other.starts_with(directory) && other.ends_with(".rs"));
    let checks = files.flat_map(|(_, text)| text.split("assert_total_order(").skip(1));
    let is_path = argument.contains("::");
    checks.map(until_closed).any(|check| match is_path {
        true => words.iter().all(|word| has_word(check, word)),
        false => words.iter().any(|word| has_word(check, word)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_orders_that_are_total_pass() {
        let tree = Tree::of(&[
            ("crates/a/src/good.rs", "fn f() { a.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1))); }"),
            ("crates/a/src/path.rs", "fn f() { a.sort_by(f64::total_cmp); }"),
            (
                "crates/a/src/bound.rs",
                "fn f() { let order = |a: &u8, b: &u8| b.cmp(a); a.sort_unstable_by(order); }",
            ),
            ("crates/a/src/named.rs", "fn f() { sorting::sort_by(&mut a, query, |a, b| natural(a, b))?; }"),
            ("crates/a/tests/orders.rs", "assert_total_order(&items, natural);"),
            ("crates/a/src/nan.rs", "\nfn f() { a.sort_by(|a, b| a.partial_cmp(b).unwrap()); }"),
            ("crates/a/src/untested.rs", "fn f() { a.max_by(|a, b| odd(a, b)); }"),
            ("crates/b/src/untested.rs", "fn f() { a.sort_by(natural); }"),
            ("crates/b/src/own.rs", "pub fn sort_by(items: &mut [u8]) {}"),
            ("crates/b/src/branch.rs", "fn f() { a.sort_by(|a, b| if a.x { b.cmp(a) } else { a.cmp(b) }); }"),
            (
                "crates/a/src/time.rs",
                "impl Ord for Time {}\nimpl PartialOrd for Time { Some(self.cmp(other)) \n}",
            ),
            ("crates/a/tests/time.rs", "assert_total_order(&times, Time::cmp);"),
            ("crates/b/src/place.rs", "impl PartialOrd for Place { None \n}\nimpl Ord for Place {}"),
        ]);
        let mut complaints = Vec::new();
        comparisons(&tree, &mut complaints);
        assert_eq!(
            complaints,
            [
                "crates/a/src/nan.rs:2: `partial_cmp` in a sort: NaN has no place in it",
                "crates/a/src/untested.rs:1: no test passes this comparison to `assert_total_order`: |a, b| odd(a, b)",
                "crates/b/src/branch.rs:1: no test passes this comparison to `assert_total_order`: |a, b| if a.x { b.cmp(a) } \
                 else { a.cmp(b) }",
                "crates/b/src/place.rs:1: `partial_cmp` of Place is not its `cmp`",
                "crates/b/src/place.rs:3: no test passes `Place::cmp` to `assert_total_order`",
                "crates/b/src/untested.rs:1: no test passes this comparison to `assert_total_order`: natural",
            ]
        );
    }
}
