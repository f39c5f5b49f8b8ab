//! Two engines with the same alerts; the link between them may be cut, and one may be killed.

use super::*;
use crate::annotations::Annotations;
use crate::engine::PairMessage;

struct Member {
    engine: Engine,
    name: &'static str,
    failure: Option<NotifyError>,
    is_up: bool,
}

struct Pair {
    members: [Member; 2],
    is_linked: bool,
    /// In tenths of a second.
    now: i64,
    told: Vec<String>,
}

fn tenth(tenths: i64) -> UnixNanos {
    UnixNanos(tenths * 100_000_000)
}

impl Pair {
    fn new() -> Self {
        let member = |name: &'static str| {
            let metrics = Metrics::new(&Registry::new(), false, false);
            let mut engine = Engine::new(settings(), setup(ONE), metrics);
            engine.join_pair(name.to_owned(), Duration::from_secs(15));
            Member { engine, name, failure: None, is_up: true }
        };
        Pair { members: [member("one"), member("two")], is_linked: true, now: 0, told: Vec::new() }
    }

    fn alert(&mut self, pairs: &str, ends_at: i64) {
        let labels = LabelSet::from_pairs(pairs.split(' ').filter_map(|pair| pair.split_once('=')));
        let time = |nanos: UnixNanos| Time::from_unix_nanos(nanos.0);
        let alert = StoredAlert {
            labels,
            annotations: Annotations::default(),
            starts_at: time(tenth(self.now)),
            ends_at: time(second(ends_at)),
            updated_at: time(tenth(self.now)),
            generator_url: "".into(),
            timeout: false,
        };
        for member in self.members.iter_mut().filter(|member| member.is_up) {
            member.engine.put(vec![alert.clone()], tenth(self.now));
        }
    }

    fn run_to(&mut self, seconds: i64) {
        while self.now < seconds * 10 {
            self.now += 1;
            let now = tenth(self.now);
            let mut said: [Option<Vec<PairMessage>>; 2] = [None, None];
            for (at, member) in self.members.iter_mut().enumerate().filter(|(_, member)| member.is_up) {
                for attempt in member.engine.poll(now) {
                    let failed = member.failure.is_some();
                    let result = member.failure.clone().map_or_else(|| Ok(Sent::default()), Err);
                    if !failed {
                        let alerts: Vec<String> = attempt.content.alerts.iter().map(show).collect();
                        let (name, at) = (member.name, self.now as f64 / 10.0);
                        self.told.push(format!("{at} {name} [{}]", alerts.join(" ")));
                    }
                    member.engine.finished(attempt.id, Attempted::plain(result), now);
                }
                let messages = member.engine.take_pair_messages();
                if !messages.is_empty() || self.now % 5 == 0 {
                    said[at] = Some(messages);
                }
            }
            for (at, messages) in said.into_iter().enumerate() {
                let (Some(messages), true) = (messages, self.is_linked) else { continue };
                let name = self.members[at].name;
                let other = &mut self.members[1 - at];
                if other.is_up {
                    other.engine.take_from_peer(name, messages, now);
                }
            }
        }
    }

    fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told)
    }
}

#[test]
fn only_the_first_tells_while_both_are_there() {
    let mut pair = Pair::new();
    pair.alert("g=1 n=1", FOREVER);
    pair.run_to(40);
    assert_eq!(pair.told(), ["30 one [+1]"]);
    let second_outcome =
        pair.members[1].engine.history().decisions().events().next().expect("decided").outcome.as_str();
    assert_eq!(second_outcome, "sent by peer");
    // The end, too, and both have the same shared state.
    pair.run_to(100);
    pair.alert("g=1 n=1", 100);
    pair.run_to(400);
    assert_eq!(pair.told(), ["330 one [-1]"]);
    assert_eq!(pair.members.each_ref().map(|member| member.engine.group_count()), [0, 0]);
    let silence = Silence {
        matcher_sets: vec![
            ferula_config::alertmanager::parse_matchers("g=2", MatcherSyntax::Utf8).expect("good").value,
        ],
        ends_at: second(1000),
        ..Silence::default()
    };
    let now = tenth(pair.now);
    pair.members[1].engine.set_silence(silence, || "s".into(), "me", now).expect("good");
    pair.run_to(401);
    assert!(pair.members[0].engine.silences().get("s").is_some());
    pair.alert("g=2 n=2", FOREVER);
    pair.run_to(500);
    assert_eq!(pair.told(), Vec::<String>::new());
}

#[test]
fn the_second_steps_in_when_the_first_is_gone() {
    for gone_at in [10, 29] {
        let mut pair = Pair::new();
        pair.alert("g=1 n=1", FOREVER);
        pair.run_to(gone_at);
        pair.members[0].is_up = false;
        pair.run_to(60);
        let told = pair.told();
        let [line] = told.as_slice() else { panic!("{gone_at}: {told:?}") };
        let (at, rest) = line.split_once(' ').expect("a time");
        assert_eq!(rest, "two [+1]");
        // At most the lease later.
        assert!((30.0..=33.6).contains(&at.parse::<f64>().expect("a time")), "{line}");
    }
}

#[test]
fn without_the_link_both_tell() {
    let mut pair = Pair::new();
    pair.run_to(5);
    pair.is_linked = false;
    pair.alert("g=1 n=1", FOREVER);
    pair.run_to(60);
    assert_eq!(pair.told(), ["35 one [+1]", "35 two [+1]"]);
    // After it comes back, only one notifies again.
    pair.is_linked = true;
    pair.run_to(300);
    pair.alert("g=1 n=2", FOREVER);
    pair.run_to(400);
    assert_eq!(pair.told(), ["335 one [+1 +2]"]);
}

#[test]
fn attempts_that_are_repeated_keep_the_other_from_telling_until_they_are_given_up() {
    let failure =
        |retry| Some(NotifyError { retry, reason: FailureReason::ServerError, text: "no".to_owned() });
    let mut pair = Pair::new();
    pair.members[0].failure = failure(true);
    pair.alert("g=1 n=1", FOREVER);
    // Longer than the patience of the second.
    pair.run_to(60);
    assert_eq!(pair.told(), Vec::<String>::new());
    pair.members[0].failure = None;
    pair.run_to(120);
    let told = pair.told();
    assert!(told.len() == 1 && told[0].ends_with("one [+1]"), "{told:?}");
    // If the first gives up, the second notifies at once.
    pair.members[0].failure = failure(false);
    pair.run_to(200);
    pair.alert("g=1 n=2", FOREVER);
    pair.run_to(400);
    let told = pair.told();
    assert_eq!(told, ["330.1 two [+1 +2]"]);
}

#[test]
fn a_first_that_lacks_the_alert_does_not_stop_the_second() {
    let mut pair = Pair::new();
    pair.run_to(1);
    pair.members[0].is_up = false;
    pair.alert("g=1 n=1", FOREVER);
    pair.members[0].is_up = true;
    pair.run_to(60);
    let told = pair.told();
    // 31 s, and the patience of 15 s.
    assert!(told.len() == 1 && told[0].starts_with("46") && told[0].ends_with("two [+1]"), "{told:?}");
}
