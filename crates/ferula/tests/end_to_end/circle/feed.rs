//! The ingested data: twelve hours at a time, one request per minute, every type of sample; and a stream of
//! requests during which a server is killed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use super::wire::{Histogram, Series, Version, body};
use crate::common::Server;

/// Milliseconds between two requests.
pub const STEP_MS: i64 = 60_000;
const HOUR_MS: i64 = 3_600_000;
/// The time range of the samples of one round.
pub const TURN_MS: i64 = 12 * HOUR_MS;
/// Out-of-order samples are older than the newest by a little more than this, so that their blocks end before
/// the head begins: promtool (not the server) skips samples of the head that are older than the end of any
/// block.
pub const LATE_MS: i64 = 5 * HOUR_MS + HOUR_MS / 2;
const STALE: u64 = 0x7ff0_0000_0000_0002;

/// Sends the requests of a round, except for its last minutes, which belong to [`Noise`].
pub fn turn(server: &Server, number: u64, base: i64) {
    for round in 0..TURN_MS / STEP_MS - 1 {
        let at = base + round * STEP_MS;
        let mut series = in_order(number, round as u64, at);
        if at - base > LATE_MS + HOUR_MS && round % 15 == 7 {
            series.extend(late(round as u64, at - LATE_MS - 1 - round));
        }
        let version = if round % 2 == 0 { Version::One } else { Version::Two };
        send(server, version, &series).unwrap_or_else(|why| panic!("round {round}: {why}\n{}", server.log()));
    }
}

/// Sends some requests for a handful of series, and out-of-order samples if there are blocks for them.
pub fn few(server: &Server, base: i64, rounds: std::ops::Range<i64>, step: i64) {
    for round in rounds {
        let at = base + round * step;
        let mut series = in_order(0, round as u64, at);
        if at - base > LATE_MS + HOUR_MS && round % 3 == 1 {
            series.extend(late(round as u64, at - LATE_MS - 1 - round));
        }
        series.retain(|series| {
            let value =
                |wanted: &str| series.labels.iter().find(|(name, _)| name == wanted).map(|(_, v)| v.as_str());
            match value("n") {
                Some("1") => matches!(value("__name__"), Some("m" | "h_float")),
                other => other.is_none_or(|n| n == "0"),
            }
        });
        let version = if round % 2 == 0 { Version::One } else { Version::Two };
        send(server, version, &series).unwrap_or_else(|why| panic!("round {round}: {why}\n{}", server.log()));
    }
}

/// Sends out-of-order samples of one series, a second apart.
pub fn burst_of_late(server: &Server, base: i64, count: i64) {
    let samples = (0..count).map(|n| {
        let mut late = named("late", &[]);
        late.float = Some((base + n * 1000, n as f64));
        late
    });
    send(server, Version::One, &samples.collect::<Vec<_>>()).unwrap_or_else(|why| panic!("{why}"));
}

/// Sends one request; returns the reason if it was refused.
fn send(server: &Server, version: Version, series: &[Series]) -> Result<(), String> {
    let answer = server.request("POST", "/api/v1/write", version.headers(), &body(version, series));
    match answer {
        Ok((200..300, _)) => Ok(()),
        Ok((status, text)) => Err(format!("{version:?}: {status}: {text}")),
        Err(error) => Err(error.to_string()),
    }
}

fn named(name: &str, labels: &[(&str, String)]) -> Series {
    let mut all = vec![("__name__".to_owned(), name.to_owned())];
    all.extend(labels.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    Series { labels: all, ..Series::default() }
}

fn in_order(turn: u64, round: u64, at: i64) -> Vec<Series> {
    let mut all = Vec::new();
    let total = turn * 1000 + round;
    for n in 0..6u64 {
        let value = match n {
            // A counter that is reset, a gauge with fractions, and special values.
            0 | 1 => (total % (170 + 60 * n) * (n + 1)) as f64,
            2 if round % 50 == 20 => f64::INFINITY,
            2 if round % 50 == 30 => f64::NAN,
            _ => (total as f64 * 0.37 + n as f64).sin() * 1e3,
        };
        let stale = n == 4 && round % 90 == 60;
        if n == 4 && (round % 90) > 60 && round % 90 < 75 {
            continue;
        }
        let mut series = named("m", &[("n", n.to_string())]);
        if n < 2 && !stale {
            series.start = at - (total % (170 + 60 * n) + 1) as i64 * STEP_MS;
        }
        series.float = Some((at, if stale { f64::from_bits(STALE) } else { value }));
        if n == 0 && round % 10 == 3 {
            series.exemplar = Some((at, round as f64, format!("trace-{turn}-{round}")));
        }
        all.push(series);
    }
    for n in 0..3u64 {
        for (name, mut histogram) in histograms(total % 230 + n) {
            let mut series = named(name, &[("n", n.to_string())]);
            if n == 2 && round % 120 == 77 {
                histogram.sum = f64::from_bits(STALE);
            }
            if name != "h_gauge" {
                series.start = at - (total % 230 + n + 1) as i64 * STEP_MS;
            }
            series.histogram = Some((at, histogram));
            all.push(series);
        }
    }
    let mut mixed = named("mixed", &[]);
    match round / 25 % 3 {
        0 => mixed.float = Some((at, total as f64)),
        kind => mixed.histogram = Some((at, histograms(total)[usize::from(kind == 2)].1.clone())),
    }
    all.push(mixed);
    // Series that appear and disappear.
    let mut churn = named("churn", &[("part", (round / 40).to_string()), ("turn", turn.to_string())]);
    churn.float = Some((at, round as f64));
    all.push(churn);
    all
}

/// One histogram of each type, for a counter with this value. Counts are never near zero, where Prometheus
/// 3.14 extrapolates rates of histograms more carefully than 3.5.
fn histograms(counted: u64) -> [(&'static str, Histogram); 5] {
    let count = counted + 5000;
    // Buckets appear one after the other.
    let width = 1 + count / 40 % 5;
    let exponential = Histogram {
        schema: 2,
        zero_count: count / 3,
        positive_spans: vec![(-1, width), (2, 1)],
        positive_counts: (0..=width).map(|bucket| count + bucket).collect(),
        negative_spans: vec![(3, 1)],
        negative_counts: vec![count / 2],
        sum: count as f64 * 1.5,
        ..Histogram::default()
    };
    let custom = Histogram {
        schema: -53,
        custom_values: vec![0.1, 0.5, 2.5, 10.0],
        positive_spans: vec![(0, 2), (1, 2)],
        positive_counts: vec![count, count + 1, count + 5, count],
        sum: count as f64 * 0.75,
        ..Histogram::default()
    };
    let gauge = Histogram {
        reset_hint: 3,
        schema: -1,
        positive_counts: exponential.positive_counts.iter().map(|c| (c * 7919) % 101).collect(),
        ..exponential.clone()
    };
    [
        ("h_integer", exponential.clone()),
        ("h_float", Histogram { float: true, ..exponential }),
        ("h_custom", custom.clone()),
        ("h_custom_float", Histogram { float: true, ..custom }),
        ("h_gauge", gauge),
    ]
}

/// Samples of known series, and of one that is always out of order.
fn late(round: u64, at: i64) -> Vec<Series> {
    let mut all: Vec<Series> = [0, 3]
        .map(|n| {
            let mut series = named("m", &[("n", n.to_string())]);
            series.float = Some((at + n, round as f64 / 4.0));
            series
        })
        .into();
    for (name, histogram) in histograms(round) {
        let mut series = named(name, &[("n", "0".to_owned())]);
        series.histogram = Some((at, histogram));
        all.push(series);
    }
    let mut always = named("late", &[]);
    always.float = Some((at, round as f64));
    all.push(always);
    all
}

/// Samples that are sent while the server is killed.
pub struct Noise {
    /// Number of the round, which is a label.
    pub turn: u64,
    /// Timestamp of its first sample.
    pub base: i64,
}

const NOISE_SERIES: u64 = 40;
const NOISE_SENDERS: u64 = 2;

impl Noise {
    /// Sends from several threads until the server dies by `kill` after `acknowledged` requests. Returns the
    /// last acknowledged timestamp of every sender.
    pub fn until_killed(&self, server: Server, acknowledged: u64) -> BTreeMap<u64, i64> {
        let taken = AtomicU64::new(0);
        let ended = AtomicU64::new(0);
        std::thread::scope(|scope| {
            let (server_ref, taken, ended) = (&server, &taken, &ended);
            let senders: Vec<_> = (0..NOISE_SENDERS)
                .map(|sender| {
                    scope.spawn(move || {
                        let mut last = i64::MIN;
                        for at in self.base.. {
                            if send(server_ref, Version::One, &self.series(sender, at)).is_err() {
                                break;
                            }
                            last = at;
                            taken.fetch_add(1, Ordering::SeqCst);
                        }
                        ended.fetch_add(1, Ordering::SeqCst);
                        (sender, last)
                    })
                })
                .collect();
            while taken.load(Ordering::SeqCst) < acknowledged {
                assert_eq!(ended.load(Ordering::SeqCst), 0, "a request was refused\n{}", server.log());
                std::thread::yield_now();
            }
            server.signal(libc::SIGKILL);
            senders.into_iter().map(|sender| sender.join().expect("no panic")).collect()
        })
    }

    fn series(&self, sender: u64, at: i64) -> Vec<Series> {
        let (turn, sender) = (self.turn.to_string(), sender.to_string());
        let series = |n: u64| {
            let labels = [("n", n.to_string()), ("sender", sender.clone()), ("turn", turn.clone())];
            let mut series = named("noise", &labels);
            series.float = Some((at, at as f64));
            series
        };
        let mut all: Vec<Series> = (0..NOISE_SERIES).map(series).collect();
        // A series that is new in every request.
        let of_one = [("at", at.to_string()), ("sender", sender.clone()), ("turn", turn.clone())];
        let mut once = named("noise_once", &of_one);
        once.float = Some((at, 1.0));
        all.push(once);
        all
    }

    /// Asserts that a dump contains everything that was acknowledged.
    pub fn assert_in(&self, dump: &str, last: &BTreeMap<u64, i64>) {
        for (sender, last) in last.iter().filter(|(_, last)| **last > i64::MIN) {
            for n in [0, NOISE_SERIES - 1] {
                let turn = self.turn;
                let labels =
                    format!("{{__name__=\"noise\", n=\"{n}\", sender=\"{sender}\", turn=\"{turn}\"}} ");
                let times: Vec<i64> = dump
                    .lines()
                    .filter_map(|line| line.strip_prefix(&labels))
                    .filter_map(|rest| rest.rsplit_once(' ')?.1.parse().ok())
                    .collect();
                let wanted: Vec<i64> = (self.base..=*last).collect();
                assert!(times.starts_with(&wanted), "{labels} until {last}: {} samples", times.len());
                assert!(times.len() <= wanted.len() + 1, "{labels}: more than was sent");
            }
        }
    }
}
