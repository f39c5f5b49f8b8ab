//! The machine's clock is set while groups wait.

use super::*;

const HOUR: i64 = 3600;

impl Play {
    fn set_clock(&mut self, seconds: i64) {
        self.now = second(self.now.0 / 1_000_000_000 + seconds);
        self.engine.clock_jumped(seconds * 1_000_000_000, self.now);
    }
}

#[test]
fn a_clock_that_is_set_back_delays_nothing() {
    let mut play = Play::new(ONE);
    play.run_to(10_000);
    play.alert("g=1 n=1", 10_000, FOREVER);
    play.run_to(10_100);
    play.set_clock(-HOUR);
    play.alert("g=1 n=2", 6500, FOREVER);
    // 300 s after the first notification, and only once.
    play.run_to(7800);
    assert_eq!(
        play.told(),
        ["10030 a {}:{g=\"1\"} [+1] first notification", "6730 a {}:{g=\"1\"} [+1 +2] new alerts added"]
    );
    // New reports and silences count, although their times are earlier than known ones.
    play.alert("g=1 n=1", 6500, 7800);
    let silence = Silence {
        id: "s".into(),
        matcher_sets: vec![
            ferula_config::alertmanager::parse_matchers("g=9", MatcherSyntax::Utf8).expect("good").value,
        ],
        ends_at: second(20_000),
        updated_at: second(9000),
        ..Silence::default()
    };
    play.engine.silences_mut().merge(silence, play.now);
    play.engine.expire_silence("s", "me", play.now).expect("known");
    assert_eq!(play.engine.silences().get("s").expect("known").ends_at, play.now);
    play.run_to(8300);
    assert_eq!(play.told(), ["7930 a {}:{g=\"1\"} [-1 +2] some alerts resolved"]);
}

#[test]
fn a_clock_that_is_set_forward_resolves_nothing() {
    let mut play = Play::new(&ONE.replace("1h", "4h"));
    play.run_to(1000);
    play.alert("g=1 n=1", 1000, 1300);
    play.run_to(1100);
    play.set_clock(HOUR);
    // The sender reports it again within its interval.
    play.run_to(4760);
    play.alert("g=1 n=1", 1000, 5100);
    play.run_to(5050);
    assert_eq!(play.told(), ["1030 a {}:{g=\"1\"} [+1] first notification"]);
}

#[test]
fn a_start_does_not_bring_back_what_was_told_to_be_over() {
    let mut play = Play::new(ONE);
    play.run_to(1003);
    // One is reported as resolved, the other one ends because nothing more is heard; both just before the crash.
    play.alert("g=1 n=1", 1003, FOREVER);
    play.alert("g=2 n=2", 1003, 1332);
    play.run_to(1331);
    play.alert("g=1 n=1", 1003, 1331);
    play.run_to(1334);
    let lines = play.told();
    assert_eq!(lines.iter().filter(|line| line.contains("all alerts resolved")).count(), 2, "{lines:?}");
    // Down for a while, twice: each start rewrites its state.
    for _ in 0..2 {
        play.now = second(play.now.0 / 1_000_000_000 + 60);
        play.crash(ONE);
        play.records = play.engine.state_records(play.now);
        play.run_to(play.now.0 / 1_000_000_000 + 40);
    }
    assert_eq!(play.told(), Vec::<String>::new());
    assert_eq!(play.engine.group_count(), 0);
}
