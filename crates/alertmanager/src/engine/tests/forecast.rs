//! Compares forecasts with what happens then, and explanations at other times.

use proptest::prelude::*;

use super::*;
use crate::engine::Verdict;

impl Play {
    /// The next notification of the first group, as [`Play::told`] shows it.
    fn forecast(&self, from: i64) -> Option<String> {
        let fingerprint = self.engine.alerts(|_| true, self.now).first()?.fingerprint;
        let explained = self.engine.explain(fingerprint, second(from), self.now)?;
        let next = explained.routes.first()?.integrations.first()?.next.clone()?;
        let alerts: Vec<String> = next.content.alerts.iter().map(show).collect();
        let content = &next.content;
        Some(format!(
            "{} {} {} [{}] {}",
            next.at.0 as f64 / 1e9,
            content.receiver,
            content.group_key,
            alerts.join(" "),
            content.reason.as_str()
        ))
    }
}

const NIGHT: &str = "
route:
  receiver: a
  group_by: [g]
  group_wait: 30s
  group_interval: 5m
  repeat_interval: 1h
  routes: [{matchers: [g=1], mute_time_intervals: [first_hour]}]
time_intervals: [{name: first_hour, time_intervals: [{times: [{start_time: '00:00', end_time: '01:00'}]}]}]";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever was reported, the forecast comes true if nothing else happens.
    #[test]
    fn forecasts_come_true(
        reports in proptest::collection::vec((0_i64..1500, 1_u8..4, prop::bool::ANY), 1..6),
        silenced_until in 0_i64..4000,
        is_muted in prop::bool::ANY,
    ) {
        let mut play = Play::new(if is_muted { NIGHT } else { ONE });
        let mut reports = reports;
        reports.sort_unstable();
        for (at, n, is_over) in reports {
            play.run_to(at);
            let ends = if is_over { at } else { FOREVER };
            play.alert(&format!("g=1 n={n}"), at - i64::from(is_over), ends);
        }
        let silence = Silence {
            matcher_sets: vec![
                ferula_config::alertmanager::parse_matchers("n=1", MatcherSyntax::Utf8).expect("good").value,
            ],
            ends_at: second(play.now.0 / 1_000_000_000 + silenced_until + 1),
            ..Silence::default()
        };
        play.engine.set_silence(silence, || "s".into(), "", play.now).expect("good");
        play.told();
        let forecast = play.forecast(0);
        // Also the second notification, after the first.
        play.run_to(100_000);
        let told = play.told();
        match forecast {
            Some(forecast) => prop_assert_eq!(told.first(), Some(&forecast)),
            None => prop_assert!(play.engine.alerts(|_| true, play.now).is_empty() || told.is_empty()),
        }
    }
}

#[test]
fn explanations_hold_for_other_times() {
    let mut play = Play::new(NIGHT);
    play.alert("g=1 n=1", 0, FOREVER);
    play.alert("g=2 n=2", 0, FOREVER);
    play.run_to(600);
    let of = |play: &Play, n: &str| {
        play.engine.alerts(|alert| alert.labels.value("n") == n, play.now)[0].fingerprint
    };
    let muted = of(&play, "1");
    let explained = play.engine.explain(muted, play.now, play.now).expect("known");
    let route = &explained.routes[0];
    assert_eq!((route.muted_by.join(","), route.muted_until), ("first_hour".into(), Some(second(3600))));
    // Ticks are at 30 s and every five minutes after.
    assert_eq!(route.integrations[0].next.as_ref().map(|next| next.at), Some(second(3630)));
    assert_eq!(route.integrations[0].next_reason, None);
    let later = play.engine.explain(muted, second(4000), play.now).expect("known");
    assert!(later.routes[0].muted_by.is_empty());
    // It is notified at 3630, and again when more than an hour has passed.
    assert_eq!(later.routes[0].integrations[0].next.as_ref().map(|next| next.at), Some(second(7530)));
    let verdicts = |explained: &crate::engine::Explanation| {
        explained.tree.children.iter().map(|child| child.verdict.clone()).collect::<Vec<_>>()
    };
    assert_eq!(verdicts(&explained), [Verdict::Matched]);
    let other = play.engine.explain(of(&play, "2"), play.now, play.now).expect("known");
    let failed = Verdict::Failed { matcher: "g=\"1\"".into(), value: "2".into() };
    assert_eq!(verdicts(&other), [failed]);
    assert_eq!(other.routes[0].integrations[0].next.as_ref().map(|next| next.at), Some(second(3930)));
}
