//! Features of silences that Alertmanager does not have.

use super::*;
use crate::silence::{END_WHEN_RESOLVED, REMIND_BEFORE, REPEAT_IN, SilenceState};

fn silence(matchers: &str, ends_at: i64, annotations: &[(&str, &str)]) -> Silence {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Silence {
        matcher_sets: vec![
            ferula_config::alertmanager::parse_matchers(matchers, MatcherSyntax::Utf8).expect("good").value,
        ],
        ends_at: second(ends_at),
        annotations: annotations.iter().map(own).collect(),
        created_by: "me".into(),
        comment: "c".into(),
        ..Silence::default()
    }
}

impl Play {
    fn silence(&mut self, id: &str, silence: Silence) {
        let id = id.to_owned();
        self.engine.set_silence(silence, || id, "me", self.now).expect("a good silence");
        self.records.extend(self.engine.take_records());
    }

    fn actions(&self) -> Vec<(String, String)> {
        let history = self.engine.history().decisions();
        let changes = history.silence_changes();
        changes.map(|change| (change.action.clone(), change.by.clone())).collect()
    }
}

#[test]
fn a_silence_may_end_with_its_alerts() {
    let mut play = Play::new(ONE);
    play.alert("g=1 n=1", 0, 100);
    play.alert("g=1 n=2", 0, 200);
    // Alerts that were resolved before it do not count.
    play.alert("g=0 n=0", -50, -10);
    play.run_to(20);
    play.silence("until", silence("g=~1|0", 100_000, &[(END_WHEN_RESOLVED, "true")]));
    play.silence("plain", silence("g=1", 100_000, &[]));
    play.run_to(190);
    let state = |play: &Play, id: &str| {
        play.engine.silence_state(play.engine.silences().get(id).expect("known"), play.now)
    };
    assert_eq!(state(&play, "until"), SilenceState::Active);
    play.run_to(211);
    assert_eq!((state(&play, "until"), state(&play, "plain")), (SilenceState::Expired, SilenceState::Active));
    assert_eq!(play.actions()[0], ("ended with its alerts".to_owned(), "ferula".to_owned()));
    // A crash does not bring it back.
    play.crash(ONE);
    assert_eq!(state(&play, "until"), SilenceState::Expired);
    assert_eq!(play.told(), Vec::<String>::new());
}

#[test]
fn receivers_are_reminded_before_a_silence_ends() {
    let mut play = Play::new(ONE);
    play.alert("g=1 n=1", 0, FOREVER);
    play.alert("g=2 n=2", 0, FOREVER);
    play.silence("s", silence("g=1", 1000, &[(REMIND_BEFORE, "5m")]));
    // Nothing fires under this one.
    play.silence("idle", silence("g=9", 1000, &[(REMIND_BEFORE, "5m")]));
    play.run_to(999);
    assert_eq!(
        play.told(),
        ["30 a {}:{g=\"2\"} [+2] first notification", "700 a {}:{g=\"1\"} [+1] silence ends soon",]
    );
    // Once; and when it has ended, the alert is notified as if there had been no silence.
    play.crash(ONE);
    play.run_to(1300);
    assert_eq!(play.told(), ["1230 a {}:{g=\"1\"} [+1] first notification"]);
    // With a new end, there is another reminder.
    play.silence("s", silence("g=1", 2000, &[(REMIND_BEFORE, "5m")]));
    let mut longer = play.engine.silences().get("s").expect("known").clone();
    play.run_to(1750);
    assert_eq!(play.told().len(), 1);
    longer.ends_at = second(3000);
    longer.annotations = play.engine.silences().get("s").expect("known").annotations.clone();
    play.silence("other", longer);
    play.run_to(2750);
    assert_eq!(play.told(), ["2700 a {}:{g=\"1\"} [+1] silence ends soon"]);
}

#[test]
fn a_silence_may_repeat_in_a_time_interval() {
    let yaml = format!(
        "{}
time_intervals: [{{name: first_minutes, time_intervals: [{{times: [{{start_time: '00:00', end_time: '00:10'}}]}}]}}]",
        ONE.replace("5m", "1m")
    );
    let mut play = Play::new(&yaml);
    play.silence("s", silence("g=1", 200_000, &[(REPEAT_IN, "first_minutes")]));
    play.alert("g=1 n=1", 0, FOREVER);
    play.run_to(590);
    assert_eq!(play.told(), Vec::<String>::new());
    let state = |play: &Play| {
        let silence = play.engine.silences().get("s").expect("known");
        (
            play.engine.silence_state(silence, play.now),
            play.engine.alerts(|_| true, play.now)[0].status.is_active(),
        )
    };
    assert_eq!(state(&play), (SilenceState::Active, false));
    play.run_to(640);
    assert_eq!(state(&play), (SilenceState::Pending, true));
    assert_eq!(play.told(), ["630 a {}:{g=\"1\"} [+1] first notification"]);
    // The next day as well.
    play.run_to(86_400 + 300);
    assert_eq!(state(&play), (SilenceState::Active, false));
    // A removed interval silences nothing.
    play.engine.reload(setup(ONE), play.now);
    assert_eq!(state(&play), (SilenceState::Pending, true));
    let refused =
        play.engine.set_silence(silence("a=b", 200_000, &[(REPEAT_IN, "x")]), String::new, "", play.now);
    assert_eq!(
        refused.expect_err("refused").to_string(),
        "invalid silence: undefined time interval \"x\" to repeat in"
    );
}

#[test]
fn the_end_of_what_was_told_before_it_was_silenced_is_told() {
    for (tells, expected) in [
        (false, vec!["630 a {}:{g=\"1\"} [+2] new alerts added"]),
        (
            true,
            vec![
                "630 a {}:{g=\"1\"} [+2] new alerts added",
                "930 a {}:{g=\"1\"} [+2 -1] some alerts resolved",
                "1230 a {}:{g=\"1\"} [-2] all alerts resolved",
            ],
        ),
    ] {
        let own = OwnSettings { tells_end_of_silenced: tells, ..OwnSettings::default() };
        let mut play = Play::with(ONE, EngineSettings { own, ..settings() });
        play.alert("g=1 n=1", 0, 800);
        // It was never notified, so its end is not, either.
        play.run_to(100);
        assert_eq!(play.told(), ["30 a {}:{g=\"1\"} [+1] first notification"]);
        play.silence("s", silence("n=~1|3", 100_000, &[]));
        play.alert("g=1 n=3", 100, 800);
        play.run_to(400);
        // The log drops the silenced alert here.
        play.alert("g=1 n=2", 400, 1000);
        play.run_to(990);
        play.silence("t", silence("n=2", 100_000, &[]));
        play.run_to(2000);
        assert_eq!(play.told(), expected, "{tells}");
    }
}

#[test]
fn a_preview_shows_what_fires_and_what_did() {
    let mut play = Play::new(ONE);
    for (pairs, starts, ends) in [
        ("g=1 n=old", 0, 50),
        ("g=1 n=ended", 0, 3000),
        ("g=1 n=now", 0, FOREVER),
        ("g=2 n=other", 0, FOREVER),
    ] {
        play.alert(pairs, starts, ends);
    }
    play.run_to(100);
    play.engine.collect_alerts(play.now);
    play.run_to(4000);
    let matchers =
        ferula_config::alertmanager::parse_matchers("g=1", MatcherSyntax::Utf8).expect("good").value;
    let names = |since: i64| {
        let mut preview = play.engine.preview_silence(&matchers, second(since), play.now);
        preview.add_past(&play.engine.history().past_alerts(), &matchers, second(since));
        let now = preview.now.iter().map(|view| view.alert.labels.value("n").to_owned());
        let past = preview.past.iter().map(|alert| alert.labels.value("n").to_owned());
        (now.collect::<Vec<_>>().join(" "), past.collect::<Vec<_>>().join(" "))
    };
    assert_eq!(names(0), ("now".into(), "ended old".into()));
    assert_eq!(names(60), ("now".into(), "ended".into()));
    assert_eq!(names(3500), ("now".into(), String::new()));
}

#[test]
fn changes_say_who_and_what() {
    let mut play = Play::new(ONE);
    play.silence("s", silence("g=1", 1000, &[]));
    play.run_to(10);
    let longer = Silence {
        id: "s".into(),
        ends_at: second(2000),
        ..play.engine.silences().get("s").expect("known").clone()
    };
    play.silence("unused", longer);
    play.run_to(20);
    play.engine.expire_silence("s", "you", play.now).expect("known");
    let actions = play.actions();
    let expected = [("expired", "you"), ("updated", "me"), ("created", "me")];
    assert_eq!(actions, expected.map(|(action, by)| (action.to_owned(), by.to_owned())));
    let changes: Vec<_> = play.engine.history().decisions().silence_changes().collect();
    assert!(changes[1].before.contains("1970-01-01T00:16:40.000Z: c"), "{:?}", changes[1]);
    assert!(changes[1].after.contains("1970-01-01T00:33:20.000Z: c"), "{:?}", changes[1]);
}
