//! Old alerts after a start, and those that inhibit them.

use super::*;

const RULES: &str = "
route: {receiver: a, group_by: [g], group_wait: 30s, group_interval: 5m, repeat_interval: 1h}
inhibit_rules: [{source_matchers: [n=source], target_matchers: [n=target], equal: [g]}]";

#[test]
fn after_a_start_alerts_wait_for_those_that_inhibit_them() {
    let mut play = Play::new(RULES);
    play.run_to(10);
    // All are old. One that no rule is about is sent at once.
    play.alert("g=1 n=target", -500, FOREVER);
    play.alert("g=2 n=other", -500, FOREVER);
    play.alert("g=3 n=target", -500, FOREVER);
    play.run_to(20);
    play.alert("g=1 n=source", -500, FOREVER);
    play.run_to(60);
    assert_eq!(
        play.told(),
        [
            "10 a {}:{g=\"2\"} [+other] first notification",
            "40 a {}:{g=\"1\"} [+source] first notification",
            "40 a {}:{g=\"3\"} [+target] first notification",
        ]
    );
    // Later everything that inhibits is known.
    play.run_to(200);
    play.alert("g=4 n=target", -500, FOREVER);
    play.run_to(201);
    assert_eq!(play.told(), ["200 a {}:{g=\"4\"} [+target] first notification"]);
    // A start knows from the journal what inhibits, and a reload forgets nothing.
    play.alert("g=1 n=3", 201, 202);
    play.crash(RULES);
    play.engine.reload(setup(RULES), play.now);
    play.run_to(700);
    assert!(!play.told().iter().any(|line| line.contains("g=\"1\"") && line.contains("target")));
}
