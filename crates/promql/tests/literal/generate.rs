//! Random data and random well-typed queries over it, from a seed.
//!
//! Left out on purpose, because the documentation does not say what they must give: ties of `topk`, the order in which
//! an aggregation meets the results of a vector match, `limit_ratio`.

use ferula_model::LabelSet;
use ferula_model::value::STALE_NAN;

use super::Series;

/// A small, repeatable generator of numbers (splitmix64).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.number() % bound as u64) as usize
    }

    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    fn fraction(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Milliseconds that the data covers.
pub const DATA_END: i64 = 1_800_000;

/// Counters with resets, gauges with odd values, buckets; with gaps, jitter and staleness markers.
pub fn data(random: &mut Random) -> Vec<Series> {
    let mut out = Vec::new();
    for job in ["api", "web"] {
        for instance in ["a", "b", "c"] {
            let base = [("job", job), ("instance", instance)];
            for status in ["200", "500"] {
                let labels = [("__name__", "requests_total"), ("status", status)];
                out.push(series(base.iter().chain(&labels), counter(random)));
            }
            out.push(series(base.iter().chain(&[("__name__", "temperature")]), gauge(random)));
            if instance != "c" {
                out.push(series(
                    base.iter().chain(&[("__name__", "build_info"), ("version", "1.2")]),
                    constant(random),
                ));
            }
        }
        let mut total: Vec<(i64, f64)> = Vec::new();
        for le in ["0.1", "1", "10", "+Inf"] {
            let more = counter(random);
            if total.is_empty() {
                total = more;
            } else {
                total.iter_mut().for_each(|(_, v)| *v += 3.0);
            }
            out.push(series(&[("__name__", "latency_bucket"), ("job", job), ("le", le)], total.clone()));
        }
    }
    out
}

fn series<'a>(labels: impl IntoIterator<Item = &'a (&'a str, &'a str)>, samples: Vec<(i64, f64)>) -> Series {
    (LabelSet::from_pairs(labels.into_iter().copied()), samples)
}

/// Times every 15 s, some shifted, some missing, sometimes with a marker and a pause.
fn times(random: &mut Random, mut value: impl FnMut(&mut Random) -> f64) -> Vec<(i64, f64)> {
    let mut out = Vec::new();
    let mut t = random.below(15_000) as i64;
    let jitters = random.chance(50);
    while t < DATA_END {
        if random.chance(1) {
            out.push((t, STALE_NAN));
            t += 15_000 * random.below(40) as i64;
        } else if !random.chance(4) {
            let jitter = if jitters { random.below(40) as i64 } else { 0 };
            let sample = value(random);
            out.push((t + jitter, sample));
        }
        t += 15_000;
    }
    out
}

fn counter(random: &mut Random) -> Vec<(i64, f64)> {
    let mut total = random.below(1000) as f64;
    times(random, |random| {
        if random.chance(2) {
            total = 0.0;
        }
        total += random.below(50) as f64 * if random.chance(20) { 0.1 } else { 1.0 };
        total
    })
}

fn gauge(random: &mut Random) -> Vec<(i64, f64)> {
    times(random, |random| match random.below(200) {
        0 => f64::NAN,
        1 => f64::INFINITY,
        2 => f64::NEG_INFINITY,
        3 => 1e300,
        4 => -0.0,
        _ => random.fraction() * 60.0 - 20.0,
    })
}

fn constant(random: &mut Random) -> Vec<(i64, f64)> {
    times(random, |_| 1.0)
}

const DURATIONS: [&str; 8] = ["15s", "45s", "1m", "90s", "5m", "7m", "15m", "1h"];

/// A query that the parser accepts, of vector or scalar type.
pub fn query(random: &mut Random) -> String {
    let depth = 1 + random.below(4);
    if random.chance(8) { scalar(random, depth) } else { vector(random, depth) }
}

fn selector(random: &mut Random) -> String {
    let metrics = ["requests_total", "temperature", "latency_bucket", "build_info", "nothing_here"];
    let metric = random.pick(&metrics);
    let matchers = [
        "",
        "",
        "",
        "{job=\"api\"}",
        "{job!=\"api\"}",
        "{instance=~\"a|b\"}",
        "{instance!~\"a.*\"}",
        "{status=\"200\"}",
        "{status=\"\"}",
        "{job=~\".+\",instance!=\"\"}",
    ];
    let shift = match random.below(12) {
        0 => " offset 1m",
        1 => " offset -2m",
        2 => " @ 600",
        3 => " @ end()",
        4 => " @ start() offset 30s",
        _ => "",
    };
    if random.chance(5) {
        return format!("{{__name__=~\"requests.*|temp.*\",job=\"web\"}}{shift}");
    }
    format!("{metric}{}{shift}", random.pick(&matchers))
}

fn range(random: &mut Random, depth: usize) -> String {
    if depth > 0 && random.chance(20) {
        let step = random.pick(&["", "15s", "1m", "40s"]);
        return format!("{}[{}:{step}]", operand(random, depth - 1), random.pick(&["2m", "5m", "10m"]));
    }
    let selector = selector(random);
    let (name, shift) = selector.split_at(
        selector.find([' ', '@']).filter(|_| !selector.contains("{__name__")).unwrap_or(selector.len()),
    );
    if selector.contains("{__name__") {
        return format!("requests_total[{}]", random.pick(&DURATIONS));
    }
    format!("{name}[{}]{shift}", random.pick(&DURATIONS))
}

/// A vector that may stand before `[…:…]` or as an operand.
fn operand(random: &mut Random, depth: usize) -> String {
    format!("({})", vector(random, depth))
}

fn vector(random: &mut Random, depth: usize) -> String {
    if depth == 0 {
        return selector(random);
    }
    let d = depth - 1;
    match random.below(13) {
        0 => selector(random),
        1 | 2 => aggregation(random, d),
        3 | 4 => range_function(random, d),
        5 => {
            let plain = ["abs", "ceil", "floor", "sqrt", "sgn", "deg", "rad", "round", "exp"];
            format!("{}({})", random.pick(&plain), vector(random, d))
        }
        6 => match random.below(7) {
            0 => format!("clamp({}, {}, {})", vector(random, d), scalar(random, 0), scalar(random, 0)),
            1 => format!("clamp_min({}, {})", vector(random, d), scalar(random, d)),
            2 => format!("round({}, {})", vector(random, d), random.pick(&["5", "0.1", "3"])),
            3 => format!("timestamp({})", vector(random, d)),
            4 => format!("absent({})", vector(random, d)),
            // Of times only: Go leaves open what the date of 1e300 is.
            5 => {
                let part = random.pick(&["hour", "minute", "month", "day_of_year", "days_in_month"]);
                format!("{part}(86399 * timestamp({}))", selector(random))
            }
            _ => format!("vector({})", scalar(random, d)),
        },
        7 => {
            let args = random.pick(&[
                "\"job\", \"$1x\", \"instance\", \"(.*)\"",
                "\"new\", \"${1}-${2}\", \"job\", \"(a)(.*)\"",
                "\"instance\", \"\", \"instance\", \"a\"",
                "\"__name__\", \"renamed\", \"job\", \".*\"",
            ]);
            format!("label_replace({}, {args})", vector(random, d))
        }
        8 => format!("label_join({}, \"joined\", \"-\", \"job\", \"instance\")", vector(random, d)),
        9 => format!("histogram_quantile({}, {})", random.pick(&["0.5", "0.9", "0", "1", "-1", "NaN"]), {
            if random.chance(50) { "rate(latency_bucket[5m])".to_owned() } else { vector(random, d) }
        }),
        10 => format!("-{}", operand(random, d)),
        11 => {
            let op = random.pick(&[
                "+", "-", "*", "/", "%", "^", "atan2", "==", "!=", ">", "<", ">=", "<=", "> bool", "== bool",
            ]);
            let (v, s) = (operand(random, d), scalar(random, d));
            if random.chance(50) { format!("{v} {op} {s}") } else { format!("{s} {op} {v}") }
        }
        _ => matched(random, d),
    }
}

fn matched(random: &mut Random, depth: usize) -> String {
    let (a, b) = (operand(random, depth), operand(random, depth));
    if random.chance(35) {
        let on = random.pick(&["", " on (job)", " ignoring (status)", " on ()"]);
        return format!("{a} {}{on} {b}", random.pick(&["and", "or", "unless"]));
    }
    let op = random.pick(&["+", "-", "*", "/", "==", ">", "<= bool", "!="]);
    let matching = random.pick(&[
        "",
        "",
        " on (job, instance)",
        " on (job)",
        " ignoring (status)",
        " on (job, instance) group_left ()",
        " on (job, instance) group_left (version)",
        " on (job) group_right ()",
        " ignoring (status, version) group_right ()",
    ]);
    format!("{a} {op}{matching} {b}")
}

fn aggregation(random: &mut Random, depth: usize) -> String {
    let by = random.pick(&[
        "",
        " by (job)",
        " by (job, instance)",
        " without (instance)",
        " by (nothing)",
        " without ()",
    ]);
    match random.below(12) {
        0 => format!("topk{by} ({}, temperature)", random.pick(&["1", "2", "100", "0"])),
        1 => format!("bottomk{by} ({}, temperature)", random.pick(&["1", "3"])),
        2 => format!(
            "quantile{by} ({}, {})",
            random.pick(&["0.5", "0.9", "0", "-2", "1.5"]),
            vector(random, depth)
        ),
        3 => format!("count_values{by} (\"value\", {})", vector(random, depth)),
        _ => {
            let op = random
                .pick(&["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar", "sum", "avg"]);
            format!("{op}{by} ({})", vector(random, depth))
        }
    }
}

fn range_function(random: &mut Random, depth: usize) -> String {
    let range = range(random, depth);
    match random.below(10) {
        0 => format!("quantile_over_time({}, {range})", random.pick(&["0.5", "0.25", "1", "2"])),
        1 => format!("predict_linear({range}, {})", random.pick(&["60", "-30", "3600"])),
        2 => format!("double_exponential_smoothing({range}, 0.5, {})", random.pick(&["0.1", "0.9"])),
        3 => format!("absent_over_time({range})"),
        _ => {
            let functions = [
                "rate",
                "increase",
                "delta",
                "irate",
                "idelta",
                "changes",
                "resets",
                "deriv",
                "sum_over_time",
                "avg_over_time",
                "count_over_time",
                "present_over_time",
                "last_over_time",
                "first_over_time",
                "min_over_time",
                "max_over_time",
                "stddev_over_time",
                "stdvar_over_time",
                "mad_over_time",
                "ts_of_last_over_time",
                "ts_of_first_over_time",
                "ts_of_min_over_time",
                "ts_of_max_over_time",
                "rate",
                "increase",
            ];
            format!("{}({range})", random.pick(&functions))
        }
    }
}

fn scalar(random: &mut Random, depth: usize) -> String {
    if depth == 0 || random.chance(40) {
        return random
            .pick(&["1", "0", "2.5", "1e3", "100", "-1", "Inf", "NaN", "5m", "time()", "pi()"])
            .to_owned();
    }
    match random.below(3) {
        0 => format!("scalar({})", vector(random, depth - 1)),
        1 => format!(
            "({} {} {})",
            scalar(random, depth - 1),
            random.pick(&["+", "-", "*", "/", "%", "> bool"]),
            scalar(random, depth - 1)
        ),
        _ => format!("-({})", scalar(random, depth - 1)),
    }
}
