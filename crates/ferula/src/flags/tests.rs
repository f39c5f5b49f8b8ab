//! Flags: every supported flag changes what the program receives, and every unsupported one is reported.

use super::value::Syntax;
use super::*;

fn check(arguments: &[&str]) -> Result<Flags, Refused> {
    let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    match parse(&arguments) {
        Ok(Parsed::Run(given)) => Flags::check(&given),
        other => panic!("{other:?}"),
    }
}

#[test]
fn impossible_flags_are_refused_with_the_exit_codes_of_prometheus() {
    for (arguments, code, text) in [
        (
            &["--agent", "--query.timeout=1m"][..],
            3,
            "The following flag(s) can not be used in agent mode: [\"--query.timeout\"]",
        ),
        (
            &["--storage.agent.path=x"],
            3,
            "The following flag(s) can only be used in agent mode: [\"--storage.agent.path\"]",
        ),
        (
            &["--web.listen-address=x"],
            2,
            "parse external URL \"\": address x: missing port in address (did you mean '--web.listen-address=x:9090'?)",
        ),
        (
            &["--web.listen-address="],
            2,
            "parse external URL \"\": missing port in address (did you mean '--web.listen-address=:9090'?)",
        ),
        (
            &["--web.listen-address=::1:80"],
            2,
            "parse external URL \"\": address ::1:80: too many colons in address (did you mean '--web.listen-address=[::1]:80'?)",
        ),
        (&["--web.external-url='x"], 2, "parse external URL \"'x\": URL must not begin or end with quotes"),
        (
            &["--storage.tsdb.wal-segment-size=1MB"],
            1,
            "flag 'storage.tsdb.wal-segment-size' must be set between 10MB and 256MB",
        ),
        (
            &["--storage.tsdb.max-block-chunk-segment-size=1KB"],
            1,
            "flag 'storage.tsdb.max-block-chunk-segment-size' must be set over 1MB",
        ),
        (
            &["--web.search.max-limit=-1"],
            1,
            "--web.search.max-limit must be non-negative; got -1 (use 0 to disable the cap)",
        ),
        (
            &["--web.remote-write-receiver.accepted-protobuf-messages=x"],
            2,
            "Error parsing command line arguments: unknown type for remote write protobuf message x, supported: \
             prometheus.WriteRequest, io.prometheus.write.v2.Request",
        ),
        (
            &["--agent", "--storage.agent.wal-segment-size=1MB"],
            1,
            "flag 'storage.agent.wal-segment-size' must be set between 10MB and 256MB",
        ),
        (
            &["--agent", "--storage.agent.checkpoint-batch-size=0"],
            1,
            "--storage.agent.checkpoint-batch-size must be greater than 0.",
        ),
        (
            &["--auto-gomemlimit.ratio=2"],
            1,
            "--auto-gomemlimit.ratio must be greater than 0 and less than or equal to 1.",
        ),
    ] {
        assert_eq!(check(arguments).expect_err("refused"), Refused::new(code, text));
    }
    let cors = check(&["--web.cors.origin=("]).expect_err("refused");
    assert!(
        cors.exit_code == 2 && cors.text.starts_with("could not compile CORS regex string \"(\":"),
        "{cors}"
    );
}

#[test]
fn unsupported_flags_are_refused_with_advice() {
    for (argument, advice) in [
        ("--enable-feature=st-synthesis", "--enable-feature=st-synthesis"),
        ("--enable-feature=extra-scrape-metrics", "--enable-feature=extra-scrape-metrics"),
    ] {
        let refused = check(&[argument]).expect_err("refused");
        assert!(
            refused.exit_code == 1
                && refused.text.starts_with(&format!("not supported yet: {argument}"))
                && refused.text.contains(advice),
            "{refused}"
        );
    }
}

#[test]
fn flags_without_effect_are_named_and_defaults_may_be_given() {
    let flags = check(&["--web.console.templates=x", "--no-agent"]);
    let flags = flags.expect("accepted");
    assert_eq!(flags.without_effect.len(), 1);
    assert_eq!(flags.without_effect[0].0, "--web.console.templates");
    assert_eq!(flags.shown["storage.tsdb.path"], "data/");
}

#[test]
fn a_size_beyond_its_bound_is_clamped() {
    let flags = check(&["--storage.tsdb.samples-per-chunk=100000", "--storage.ferula.max-head-memory=-1GB"]);
    let storage = flags.expect("accepted").storage;
    assert_eq!((storage.samples_per_chunk, storage.head_bytes_max), (u16::MAX, 0));
}

#[test]
fn times_of_an_agent_are_completed_and_ordered() {
    let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
    for (arguments, want) in [
        (&[][..], (120, 5, 240)),
        (&["--storage.agent.retention.max-time=1h"], (120, 5, 120)),
        (&["--storage.agent.wal-truncate-frequency=6h"], (360, 5, 360)),
        (
            &["--storage.agent.retention.min-time=5h", "--storage.agent.retention.max-time=3h"],
            (120, 300, 300),
        ),
        (&["--storage.agent.retention.min-time=0s", "--storage.agent.retention.max-time=0s"], (120, 5, 240)),
    ] {
        let agent = check(&[&["--agent"], arguments].concat()).expect("accepted").agent.expect("an agent");
        let got = (agent.truncate_frequency, agent.retention_min, agent.retention_max);
        assert_eq!(got, (minutes(want.0), minutes(want.1), minutes(want.2)), "{arguments:?}");
    }
}

/// A value that is not the default.
fn other_value(flag: &table::Flag) -> String {
    let value = match flag.syntax {
        Syntax::Switch => return if flag.default == "true" { "--no-" } else { "--" }.to_owned() + flag.name,
        Syntax::Text if flag.name == table::EXTERNAL_URL.flag.name => "http://x.example/".to_owned(),
        Syntax::Text => "x".to_owned(),
        Syntax::List if flag.name == table::FEATURES.flag.name => "exemplar-storage".to_owned(),
        Syntax::List if flag.name == table::REMOTE_WRITE_MESSAGES.flag.name => {
            "prometheus.WriteRequest".to_owned()
        }
        Syntax::List => ":1234".to_owned(),
        Syntax::Duration => "77s".to_owned(),
        Syntax::Integer | Syntax::Digits => "77".to_owned(),
        Syntax::Number => "0.77".to_owned(),
        Syntax::Bytes => "77MB".to_owned(),
        Syntax::Word(words, _) => {
            (*words.iter().find(|word| **word != flag.default).expect("two words")).to_owned()
        }
    };
    format!("--{}={value}", flag.name)
}

/// What the program receives, without the text table of all flags.
fn seen(arguments: &[&str]) -> String {
    let mut flags = check(arguments).unwrap_or_else(|refused| panic!("{arguments:?}: {refused}"));
    flags.shown.clear();
    flags.config_file_given = false;
    format!("{flags:?}")
}

/// A flag that is accepted but never read would be silently ignored.
#[test]
fn every_supported_flag_changes_what_the_program_receives() {
    let mut checked = 0;
    for flag in FLAGS.iter().filter(|flag| flag.support == Support::Works) {
        let other = other_value(flag);
        // The interval only matters if reloading is enabled, and flags of agents only to agents.
        let mut without =
            if flag.name == table::AUTO_RELOAD.flag.name { vec![] } else { vec!["--config.auto-reload"] };
        if flag.mode == Mode::Agent {
            without.push("--agent");
        }
        let with: Vec<&str> = without.iter().copied().chain([other.as_str()]).collect();
        assert_ne!(seen(&without), seen(&with), "{other} has no effect");
        checked += 1;
    }
    assert!(checked > 40, "{checked}");
}

#[test]
fn every_unsupported_flag_is_reported_when_given() {
    for flag in FLAGS.iter().filter(|flag| flag.support != Support::Works) {
        let checked = check(&[&other_value(flag)]);
        match flag.support {
            Support::Harmless(why) => {
                let without_effect = checked.expect("accepted").without_effect;
                assert_eq!(without_effect, [(format!("--{}", flag.name), why)]);
            }
            _ => assert!(checked.is_err(), "{}", flag.name),
        }
    }
}
