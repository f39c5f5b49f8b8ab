//! Transitions of silences, limits, the index, and the file.

use ferula_config::alertmanager::{Matcher, parse_matchers};

use super::*;

const HOUR: i64 = 3600 * 1_000_000_000;

fn at(hours: i64) -> UnixNanos {
    UnixNanos(hours * HOUR)
}

fn matchers(text: &str) -> Vec<Matcher> {
    parse_matchers(text, MatcherSyntax::Utf8).expect(text).value
}

fn silence(text: &str, starts: i64, ends: i64) -> Silence {
    Silence {
        matcher_sets: vec![matchers(text)],
        starts_at: at(starts),
        ends_at: at(ends),
        created_by: "me".into(),
        comment: "work".into(),
        ..Silence::default()
    }
}

fn empty() -> Silences {
    Silences::new(SilenceLimits {
        retention: Duration::from_secs(120 * 3600),
        silences_max: 0,
        silence_bytes_max: 0,
        syntax: MatcherSyntax::Fallback,
    })
}

fn set(silences: &mut Silences, silence: Silence, now: i64) -> Result<Vec<Silence>, SilenceError> {
    let id = format!("id-{}", silences.next_sequence + 1);
    silences.set(silence, || id, at(now))
}

/// A silence from hour 10 to 20, pending before, is changed; the result is shown as the identifiers and times
/// that changed.
#[test]
fn changes_keep_the_past() {
    type Change = fn(&mut Silence);
    let cases: [(&str, i64, Change, &str); 9] = [
        ("pending, later start", 5, |s| s.starts_at = at(11), "id-1 11-20"),
        ("pending, start in the past", 5, |s| s.starts_at = at(4), "id-1 5-5, id-2 5-20"),
        ("pending, other matchers", 5, |s| s.matcher_sets = vec![matchers("b=c")], "id-1 5-5, id-2 10-20"),
        ("active, later end", 15, |s| s.ends_at = at(30), "id-1 10-30"),
        ("active, earlier end", 15, |s| s.ends_at = at(16), "id-1 10-16"),
        ("active, other start", 15, |s| s.starts_at = at(11), "id-1 10-15, id-2 15-20"),
        ("active, start within the second", 15, |s| s.starts_at.0 += 1, "id-1 10-20"),
        ("active, other comment", 15, |s| s.comment = "x".into(), "id-1 10-20"),
        ("expired, later end", 25, |s| s.ends_at = at(30), "id-2 25-30"),
    ];
    for (name, now, change, expected) in cases {
        let mut silences = empty();
        let mut again = set(&mut silences, silence("a=b", 10, 20), 1).expect("a good silence").remove(0);
        change(&mut again);
        let changed = set(&mut silences, again, now).expect(name);
        let shown: Vec<String> = changed
            .iter()
            .map(|s| format!("{} {}-{}", s.id, s.starts_at.0 / HOUR, s.ends_at.0 / HOUR))
            .collect();
        assert_eq!(shown.join(", "), expected, "{name}");
        let last = changed.last().expect("one was set");
        assert_eq!(silences.get(&last.id), Some(last), "{name}");
    }
}

#[test]
fn an_expired_silence_is_kept_until_the_retention_ends() {
    let mut silences = empty();
    set(&mut silences, silence("a=b", 0, 20), 1).expect("active");
    set(&mut silences, silence("a=b", 10, 20), 1).expect("pending");
    for (id, shown) in [("id-1", (1, 5)), ("id-2", (5, 5))] {
        let ended = silences.expire(id, at(5)).expect("found").expect("changed");
        assert_eq!((ended.starts_at, ended.ends_at), (at(shown.0), at(shown.1)));
        assert_eq!(silences.expire(id, at(6)), Ok(None));
    }
    assert_eq!(silences.expire("id-3", at(6)), Err(SilenceError::NotFound));
    assert_eq!((silences.collect_garbage(at(124)), silences.all().len()), (0, 2));
    assert_eq!((silences.collect_garbage(at(125)), silences.all().len()), (2, 0));
}

#[test]
fn invalid_silences_are_refused_in_alertmanagers_words() {
    let mut silences =
        Silences::new(SilenceLimits { silences_max: 1, silence_bytes_max: 60, ..empty().limits });
    let mut tell = |silence: Silence| set(&mut silences, silence, 1).err().map(|error| error.to_string());
    let unnamed = Matcher::new("", ferula_config::alertmanager::MatchOp::Equal, "x").expect("a matcher");
    for (wrong, text) in [
        (
            silence("a=\"\",b=~\"x*\"", 1, 2),
            "invalid silence: matcher set 0: at least one matcher must not match the empty string",
        ),
        (silence("", 1, 2), "invalid silence: matcher set 0 is empty"),
        (
            Silence { matcher_sets: vec![], ..silence("", 1, 2) },
            "invalid silence: at least one matcher set required",
        ),
        (
            Silence { matcher_sets: vec![vec![unnamed]], ..silence("", 1, 2) },
            "invalid silence: invalid label matcher 0 in set 0: invalid label name \"\"",
        ),
        (silence("a=b", 3, 2), "invalid silence: end time must not be before start time"),
        (Silence { id: "x".into(), ..silence("a=b", 1, 2) }, "silence not found"),
        (
            Silence { comment: "x".repeat(100), ..silence("a=b", 1, 2) },
            "silence exceeded maximum size: 146 bytes (limit: 60 bytes)",
        ),
    ] {
        assert_eq!(tell(wrong).as_deref(), Some(text));
    }
    let mut silences = Silences::new(SilenceLimits { silences_max: 1, ..empty().limits });
    set(&mut silences, silence("a=b", 1, 2), 1).expect("the first");
    let error = set(&mut silences, silence("a=b", 1, 2), 1).expect_err("one is too many");
    assert_eq!(error.to_string(), "exceeded maximum number of silences: 1 (limit: 1)");
    let error = Silence::matcher(0, "a", ferula_config::alertmanager::MatchOp::Regexp, "(")
        .expect_err("no expression");
    assert_eq!(
        error.to_string(),
        "invalid silence: invalid label matcher 0 in set 0: invalid regular expression \"(\": error parsing regexp: missing closing ): `(`"
    );
}

#[test]
fn alerts_are_silenced_by_active_silences_that_match() {
    let mut silences = empty();
    for (text, starts, ends) in
        [("a=b", 0, 20), ("a=~\"b|c\"", 0, 20), ("a=b,x!=y", 0, 20), ("a=b,x=\"\"", 10, 20), ("a=c", 0, 20)]
    {
        set(&mut silences, silence(text, starts, ends), 1).expect(text);
    }
    let mut two_sets = silence("q=r", 0, 20);
    two_sets.matcher_sets.push(matchers("a=b"));
    set(&mut silences, two_sets, 1).expect("two sets");
    let ab = LabelSet::from_pairs([("a", "b")]);
    assert_eq!(silences.silencing(&ab, at(5)), ["id-1", "id-2", "id-3", "id-6"]);
    assert_eq!(silences.silencing(&ab, at(15)), ["id-1", "id-2", "id-3", "id-4", "id-6"]);
    assert_eq!(
        silences.silencing(&LabelSet::from_pairs([("a", "b"), ("x", "y"), ("q", "r")]), at(5)),
        ["id-1", "id-2", "id-6"]
    );
    silences.expire("id-1", at(6)).expect("found");
    assert_eq!(silences.silencing(&ab, at(7)), ["id-2", "id-3", "id-6"]);
    silences.collect_garbage(at(21));
    assert!(silences.silencing(&ab, at(21)).is_empty());
}

#[test]
fn what_is_remembered_follows_time_and_changes() {
    let mut silences = empty();
    for number in 0..20 {
        let text = format!("a=~\"b|{number}\"");
        set(&mut silences, silence(&text, if number < 18 { 50 } else { 0 }, 90), 1).expect("good");
    }
    let ab = LabelSet::from_pairs([("a", "b")]);
    for _ in 0..2 {
        assert_eq!(silences.silencing(&ab, at(5)), ["id-19", "id-20"]);
        assert_eq!(silences.silencing(&ab, at(60)).len(), 20);
        assert!(silences.silencing(&LabelSet::from_pairs([("a", "c")]), at(60)).is_empty());
    }
    assert_eq!(silences.silencing_counted(&ab, at(60)).1, 20);
    assert_eq!(silences.silencing_counted(&LabelSet::from_pairs([("a", "c")]), at(60)).1, 0, "remembered");
    silences.expire("id-19", at(6)).expect("found");
    assert_eq!(silences.silencing(&ab, at(7)), ["id-20"]);
    set(&mut silences, silence("a=b", 0, 90), 7).expect("good");
    assert_eq!(silences.silencing(&ab, at(8)), ["id-20", "id-21"]);
}

#[test]
fn files_are_read_back() {
    let mut silences = empty();
    let mut first = silence("a=b,c!=\"d\",e=~\"f.*\",g!~h", 1, 20);
    first.annotations.insert("ticket".into(), String::new());
    set(&mut silences, first, 1).expect("good");
    set(&mut silences, silence("\"ü x\"=b", 30, 40), 1).expect("good");
    let file = silences.to_file();
    let mut read = empty();
    assert_eq!(read.load_file(&file, at(2)), Ok(vec![]));
    assert_eq!(read.all(), silences.all());
    for end in 1..file.len() {
        // A file cut between two silences is valid; any other cut is refused as a whole.
        let mut cut = empty();
        if cut.load_file(&file[..end], at(2)).is_err() {
            assert_eq!(cut.all().len(), 0, "{end}");
        } else {
            assert_eq!(cut.all().len(), 1, "{end}");
        }
    }
}
