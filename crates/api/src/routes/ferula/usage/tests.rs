//! Rules and words; the endpoint as a whole is in `crates/api/tests/usage.rs`.

use ferula_model::LabelSet;

use super::drop_rules::{DropRules, Replay};

fn series(name: &str) -> LabelSet {
    LabelSet::from_pairs([("__name__", name), ("job", "a")])
}

#[test]
fn rules_drop_exactly_the_named_metrics() {
    let names = ["a_b", "on", "x.y", "x|y", "ä\n\"'", "a:b", "$1", "(", "null", "true_"];
    let rules = DropRules::new(&names);
    let mut replay = Replay::new(&rules, &names).expect("valid rules");
    names.iter().for_each(|name| replay.add(&series(name)));
    assert_eq!(
        (replay.counts.all, replay.counts.dropped, replay.counts.wrong),
        (10, 10, 0),
        "{}",
        rules.yaml()
    );
    for near in ["a_bc", "xay", "x", "y", "On", "", "1"] {
        replay.add(&series(near));
    }
    assert_eq!((replay.counts.dropped, replay.counts.wrong), (10, 0), "nothing else");
}

#[test]
fn one_plain_list_stays_readable_and_long_lists_are_split() {
    assert_eq!(
        DropRules::new(&["go_gc", "go_info"]).yaml(),
        "- source_labels: [__name__]\n  regex: go_gc|go_info\n  action: drop\n"
    );
    assert_eq!(DropRules::new(&[]).yaml(), "");
    let names: Vec<String> = (0..1_000).map(|number| format!("metric_{number:04}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let rules = DropRules::new(&names);
    assert!((6..12).contains(&rules.yaml().matches("action: drop").count()));
    let mut replay = Replay::new(&rules, &names).expect("valid rules");
    names.iter().for_each(|name| replay.add(&series(name)));
    assert_eq!((replay.counts.dropped, replay.counts.wrong), (1_000, 0));
}

/// The check must be able to fail.
#[test]
fn a_replay_counts_what_the_rules_do_otherwise() {
    let mut replay = Replay::new(&DropRules::new(&["a_.*"]), &["a_b"]).expect("valid rules");
    replay.add(&series("a_b"));
    replay.add(&series("a_.*"));
    replay.add(&series("c"));
    assert_eq!((replay.counts.dropped, replay.counts.wrong), (1, 2));
}
