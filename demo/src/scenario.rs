//! The scenarios: what happens, what a person should look at, and who must be notified.

use crate::condition::Condition;
use crate::inbox::Channel::{self, Discord, Mail, PagerDuty, Slack};

/// One thing that goes wrong, or only seems to.
pub struct Scenario {
    pub name: &'static str,
    /// What happens.
    pub story: &'static str,
    /// What to look at, in this order: a query or a page, and what it shows.
    pub look_at: &'static [(&'static str, &'static str)],
    pub condition: Condition,
    /// Alerts that must reach these channels. Nothing else may.
    pub expected: &'static [(&'static str, &'static [Channel])],
}

const CRITICAL: &[Channel] = &[PagerDuty, Slack];
const WARNING: &[Channel] = &[Slack, Mail];
/// Warnings that concern those who watch for attacks.
const SECURITY: &[Channel] = &[Slack, Mail, Discord];

/// All of them. The first is how things are meant to be.
pub fn scenarios() -> Vec<Scenario> {
    let normal = Condition::default();
    vec![
        Scenario {
            name: "steady",
            story: "An ordinary afternoon. Nobody is notified.",
            look_at: &[
                ("sum by (route) (rate(http_requests_total[1m]))", "traffic, by route"),
                (
                    "histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket[1m])))",
                    "what one in twenty waits, or longer; the objective is 0.8 s",
                ),
                (
                    "sum(rate(redis_cache_hits_total[1m])) / sum(rate(redis_cache_hits_total[1m]) + rate(redis_cache_misses_total[1m]))",
                    "how much the cache answers",
                ),
            ],
            condition: normal,
            expected: &[],
        },
        Scenario {
            name: "burst",
            story: "Five times the traffic, as after a mention on television. The shop copes: a burst is no alert.",
            look_at: &[("sum(rate(http_requests_total[1m]))", "the burst"), ("/alerts", "still quiet")],
            condition: Condition { requests: 300.0, slowness: 1.3, ..normal },
            expected: &[],
        },
        Scenario {
            name: "bad-deploy",
            story: "A deploy breaks one request in twelve.",
            look_at: &[
                (
                    "sum by (status) (rate(http_requests_total{status=~\"5..\"}[1m]))",
                    "errors by status: 500 is the code, 502 and 503 its surroundings",
                ),
                ("job:slo_errors_per_request:ratio_rate5m", "against the objective of 0.001"),
                ("/alerts", "pending first, then firing"),
            ],
            condition: Condition { errors: 0.08, ..normal },
            expected: &[("HighErrorRatio", CRITICAL), ("ErrorBudgetBurnsFast", CRITICAL)],
        },
        Scenario {
            name: "slow-database",
            story: "The database answers twenty times as slowly; everything above it waits.",
            look_at: &[
                (
                    "histogram_quantile(0.95, sum by (le, route) (rate(http_request_duration_seconds_bucket[1m])))",
                    "all routes, so it is below them",
                ),
                ("sum(rate(http_request_duration_seconds[1m]))", "the same as a heatmap, with exemplars"),
            ],
            condition: Condition { slowness: 20.0, ..normal },
            expected: &[("SlowRequests", WARNING), ("SlowGrpc", WARNING)],
        },
        Scenario {
            name: "login-attack",
            story: "Somebody tries passwords, thirty a second.",
            look_at: &[(
                "sum by (reason) (rate(auth_login_failure_total[1m]))",
                "wrong passwords; locked accounts follow",
            )],
            condition: Condition { failed_logins: 30.0, ..normal },
            expected: &[("LoginFailures", SECURITY)],
        },
        Scenario {
            name: "dead-instance",
            story: "One of two instances is gone. The other takes its traffic.",
            look_at: &[
                ("up", "0 for the dead one"),
                ("/targets", "the reason"),
                ("sum by (instance) (rate(http_requests_total[1m]))", "the traffic moves"),
            ],
            condition: Condition { instance_is_dead: true, ..normal },
            expected: &[("InstanceDown", CRITICAL)],
        },
        Scenario {
            name: "lost-traffic",
            story: "A wrong DNS entry: hardly anybody arrives, so hardly anybody sees an error.",
            look_at: &[("sum(rate(http_requests_total[1m]))", "below ten a second")],
            condition: Condition { requests: 3.0, ..normal },
            expected: &[("TrafficDrop", CRITICAL)],
        },
        Scenario {
            name: "cardinality-leak",
            story: "A release puts session IDs into a label: every visitor is a series of their own.",
            look_at: &[
                ("scrape_samples_scraped{job=\"shop\"}", "the page grows and grows"),
                ("/tsdb-status", "shop_cart_items, and its label session"),
            ],
            condition: Condition { leaked_series: 200.0, ..normal },
            expected: &[("SeriesLeak", WARNING)],
        },
        Scenario {
            name: "sick-machine",
            story: "Processors, memory and disk run out, and a worker restarts all the time.",
            look_at: &[
                ("node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes", "memory that is left"),
                ("changes(process_start_time_seconds{job=\"worker\"}[5m])", "restarts"),
            ],
            condition: Condition { machine_is_sick: true, ..normal },
            expected: &[
                ("CpuPressure", WARNING),
                ("MemoryPressure", WARNING),
                ("DiskAlmostFull", CRITICAL),
                ("RestartLoop", CRITICAL),
            ],
        },
    ]
}
