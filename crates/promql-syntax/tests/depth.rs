//! Deep and long queries on a thread with the stack of tokio's workers, 2 MiB: parsed, checked, printed, turned to JSON,
//! walked and dropped at the bound, refused above it.

use ferula_promql_syntax::{DEPTH_MAX, HEIGHT_MAX, ParserOptions, parse};

const WORKER_STACK_BYTES: usize = 2 << 20;

/// Runs where there is no more stack than a worker has.
fn on_worker_stack(run: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(WORKER_STACK_BYTES).spawn_scoped(scope, run);
        thread.expect("a thread").join().expect("no panic");
    });
}

fn around(open: &str, inner: &str, close: &str, times: usize) -> String {
    format!("{}{inner}{}", open.repeat(times), close.repeat(times))
}

/// Ways to nest, each at a number of levels. The innermost operand is a level itself.
const NESTED: &[(&str, fn(usize) -> String)] = &[
    ("parentheses", |levels| around("(", "a", ")", levels - 1)),
    ("signs", |levels| around("-", "a", "", levels - 1)),
    ("powers", |levels| around("a ^ ", "a", "", levels - 1)),
    ("calls", |levels| around("abs(", "a", ")", levels - 1)),
    ("aggregations", |levels| around("sum by (x) (", "a", ")", levels - 1)),
    ("parameters", |levels| around("quantile(scalar(", "a", "), a)", (levels - 1) / 2)),
    ("subqueries", |levels| around("max_over_time((", "a", ")[1m:1m])", (levels - 1) / 3)),
    ("right operands", |levels| around("a + (", "a", ")", (levels - 1) / 2)),
    ("both", |levels| around("(a or ", "a", " or a)", (levels - 1) / 3)),
];

/// Chains of so many operands, which are read without recursion but make high trees.
const CHAINS: &[(&str, fn(usize) -> String)] = &[
    ("or", |operands| around("a or ", "a", "", operands - 1)),
    ("and", |operands| around("a and on (x) ", "a", "", operands - 1)),
    ("sums", |operands| around("1 + ", "1", "", operands - 1)),
    ("comparisons", |operands| around("a > ", "a", "", operands - 1)),
    ("mixed", |operands| around("a * b - ", "c", "", (operands - 1) / 2)),
];

fn walk_whole(query: &str, name: &str, prettily: bool) {
    let options = ParserOptions::ALL;
    let tree = parse(query, &options).unwrap_or_else(|error| panic!("{name}: {error}"));
    let printed = tree.to_string();
    assert_eq!(printed.split_whitespace().count(), query.split_whitespace().count(), "{name}");
    if prettily {
        let pretty = tree.pretty().expect("a thread");
        let again = parse(&pretty, &options).unwrap_or_else(|error| panic!("{name}, printed: {error}"));
        assert_eq!(again.to_string(), printed, "{name}");
    }
    assert!(tree.to_json().expect("a thread").len() > query.len(), "{name}");
    let mut nodes = 0;
    tree.walk(&mut |_| nodes += 1);
    assert!(nodes > 300, "{name}: {nodes}");
    let _ = tree.value_type();
}

#[test]
fn the_deepest_queries_fit_a_workers_stack() {
    on_worker_stack(|| {
        for (name, query) in NESTED {
            walk_whole(&query(DEPTH_MAX), name, true);
        }
        for (name, query) in CHAINS {
            // Each link of a chain is asked whether it fits a line, so this takes the square of the length.
            walk_whole(&query(1000), name, *name == "or");
            walk_whole(&query(HEIGHT_MAX), name, false);
        }
    });
}

#[test]
fn deeper_ones_are_refused() {
    on_worker_stack(|| {
        let refused = |query: String, text: &str, name: &str| {
            let error = parse(&query, &ParserOptions::ALL).expect_err(name).to_string();
            assert!(error.contains(text), "{name}: {error}");
        };
        for (name, query) in NESTED {
            for levels in [3 * DEPTH_MAX, 1_000_000] {
                refused(query(levels), &format!("more than {DEPTH_MAX} levels"), name);
            }
        }
        for (name, query) in CHAINS {
            for operands in [2 * HEIGHT_MAX + 2, 1_000_000] {
                refused(query(operands), &format!("more than {HEIGHT_MAX}"), name);
            }
        }
    });
}
