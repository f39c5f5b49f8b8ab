//! Parses the text of a script into commands.

use std::sync::LazyLock;

use ferula_model::LabelSet;
use ferula_model::duration::parse_millis;
use ferula_promql_syntax::{ParserOptions, parse};
use regex::Regex;

use crate::expand::{Point, parse_series, parse_start_line};
use crate::expect::{Expectation, Expectations, ExpectedText, ExpectedValue};

/// One command of a script.
#[derive(Debug)]
pub(crate) struct Command {
    /// Its first line, from 1.
    pub(crate) line: usize,
    /// What to do, or why it is invalid.
    pub(crate) kind: CommandKind,
}

/// Kinds of command.
#[derive(Debug)]
pub(crate) enum CommandKind {
    /// Start with an empty store.
    Clear,
    /// Put samples into the store.
    Load(Result<Load, String>),
    /// Run a query.
    Eval(Result<Box<Eval>, String>),
    Unknown(String),
}

/// `load 5m` and the series below it.
#[derive(Debug, Default)]
pub(crate) struct Load {
    /// Time between two points.
    pub(crate) step_ms: i64,
    /// Classic histograms are also stored as native ones with custom buckets.
    pub(crate) with_nhcb: bool,
    /// Series in the given order; a repeated series replaces the earlier one.
    pub(crate) series: Vec<LoadSeries>,
}

/// One series of a load.
#[derive(Debug)]
pub(crate) struct LoadSeries {
    /// Its labels.
    pub(crate) labels: LabelSet,
    /// One point per step.
    pub(crate) points: Vec<Point>,
    /// Start timestamp of each point relative to its time; may be empty.
    pub(crate) starts: Vec<Option<i64>>,
}

/// When a query is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EvalTimes {
    /// At one time.
    Instant { at_ms: i64 },
    /// At every step.
    Range { start_ms: i64, end_ms: i64, step_ms: i64 },
}

/// `eval …` and its expectations.
#[derive(Debug)]
pub(crate) struct Eval {
    /// The query.
    pub(crate) query: String,
    /// When.
    pub(crate) when: EvalTimes,
    /// The expected result.
    pub(crate) expected: Expectations,
}

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the patterns of this file are valid")
}

static LOAD: LazyLock<Regex> = LazyLock::new(|| pattern(r"^load(?:_(with_nhcb))?\s+(.+?)$"));
static EVAL_INSTANT: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^eval(?:_(fail|warn|ordered|info))?\s+instant\s+(?:at\s+(.+?))?\s+(.+)$"));
static EVAL_RANGE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"^eval(?:_(fail|warn|info))?\s+range\s+from\s+(.+)\s+to\s+(.+)\s+step\s+(.+?)\s+(.+)$")
});
static EXPECT: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^expect\s+(ordered|fail|warn|no_warn|info|no_info)(?:\s+(regex|msg):(.+))?$"));
static EXPECT_RANGE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^expect range vector\s+from\s+(.+)\s+to\s+(.+)\s+step\s+(.+)$"));

const EXPECT_RANGE_PREFIX: &str = "expect range vector";
const EXPECT_STRING_PREFIX: &str = "expect string";

/// The commands of a script. An invalid command is included with the reason; it extends to the next
/// empty line.
pub(crate) fn parse_script(text: &str) -> Vec<Command> {
    let lines: Vec<&str> =
        text.split('\n').map(str::trim).map(|line| if line.starts_with('#') { "" } else { line }).collect();
    let mut reader = Reader { lines, at: 0 };
    let mut commands = Vec::new();
    while let Some(line) = reader.next_command() {
        let word = line.split(['\t', ' ']).next().unwrap_or_default().to_ascii_lowercase();
        let started = reader.at;
        let kind = if word == "clear" {
            CommandKind::Clear
        } else if word.starts_with("load") {
            CommandKind::Load(reader.load(line))
        } else if word.starts_with("eval") {
            CommandKind::Eval(reader.eval(line).map(Box::new))
        } else {
            CommandKind::Unknown(format!("invalid command {line:?}"))
        };
        if matches!(&kind, CommandKind::Load(Err(_)) | CommandKind::Eval(Err(_)) | CommandKind::Unknown(_)) {
            reader.skip_block();
        }
        commands.push(Command { line: started, kind });
    }
    commands
}

struct Reader<'t> {
    lines: Vec<&'t str>,
    /// The number of lines read so far, which is also the number of the last line.
    at: usize,
}

impl<'t> Reader<'t> {
    /// The next non-empty line.
    fn next_command(&mut self) -> Option<&'t str> {
        loop {
            let line = *self.lines.get(self.at)?;
            self.at += 1;
            if !line.is_empty() {
                return Some(line);
            }
        }
    }

    /// The next line of the same command.
    fn next_in_block(&mut self) -> Option<&'t str> {
        let line = self.lines.get(self.at).copied().filter(|line| !line.is_empty())?;
        self.at += 1;
        Some(line)
    }

    fn skip_block(&mut self) {
        while self.next_in_block().is_some() {}
    }

    fn load(&mut self, line: &str) -> Result<Load, String> {
        let parts = LOAD.captures(line).ok_or("invalid load command. (load[_with_nhcb] <step:duration>)")?;
        let step = &parts[2];
        let step_ms =
            parse_millis(step).map_err(|error| format!("invalid step definition {step:?}: {error}"))?;
        let mut load = Load { step_ms, with_nhcb: parts.get(1).is_some(), series: Vec::new() };
        let mut starts: Option<(LabelSet, Vec<Option<i64>>)> = None;
        while let Some(line) = self.next_in_block() {
            let said = |error: String| format!("{line:?}: {error}");
            if let Some(start_line) = parse_start_line(line) {
                if starts.is_some() {
                    return Err("@st line has no following sample line".to_owned());
                }
                starts = Some(start_line.map_err(said)?);
                continue;
            }
            let (labels, points) = parse_series(line).map_err(said)?;
            let starts = match starts.take() {
                None => Vec::new(),
                Some((of, _)) if of != labels => {
                    return Err("@st metric does not match the following sample line metric".to_owned());
                }
                Some((_, starts)) if starts.len() != points.len() => {
                    let (have, want) = (starts.len(), points.len());
                    return Err(format!("@st line has {have} values but sample line has {want}"));
                }
                Some((_, starts)) => starts,
            };
            let series = LoadSeries { labels, points, starts };
            match load.series.iter_mut().find(|other| other.labels == series.labels) {
                Some(other) => *other = series,
                None => load.series.push(series),
            }
        }
        match starts {
            Some(_) => Err("@st line has no following sample line".to_owned()),
            None => Ok(load),
        }
    }

    fn eval(&mut self, line: &str) -> Result<Eval, String> {
        let (modifier, when, query) = eval_line(line)?;
        parse(&query, &ParserOptions::ALL).map_err(|error| error.to_string())?;
        let mut eval = Eval { query, when, expected: Expectations::default() };
        match modifier.as_deref() {
            Some("ordered") => eval.expected.ordered = true,
            Some("fail") => eval.expected.fail = Some(ExpectedText::Anything),
            Some("warn") => eval.expected.some_warning = true,
            Some("info") => eval.expected.some_info = true,
            _ => {}
        }
        let old_fail = eval.expected.fail.is_some();
        let mut position = 0;
        while let Some(line) = self.next_in_block() {
            position += 1;
            if let Some(message) = line.strip_prefix("expected_fail_message").filter(|_| old_fail) {
                eval.expected.fail = Some(ExpectedText::Text(message.trim().to_owned()));
                return Ok(eval);
            }
            if let Some(pattern) = line.strip_prefix("expected_fail_regexp").filter(|_| old_fail) {
                eval.expected.fail = Some(ExpectedText::pattern(pattern.trim(), "expected_fail_regexp")?);
                return Ok(eval);
            }
            if line.starts_with(EXPECT_RANGE_PREFIX) {
                let (start_ms, end_ms, step_ms) = expect_range(line)?;
                eval.expected.window = Some((start_ms, end_ms, step_ms));
                eval.when = EvalTimes::Instant { at_ms: end_ms };
                continue;
            }
            if let Some(text) = line.strip_prefix(EXPECT_STRING_PREFIX) {
                eval.expected.string = Some(quoted(text)?);
                continue;
            }
            if line.split(' ').next() == Some("expect") {
                eval.expected.add(expect(line)?)?;
                position -= 1;
                continue;
            }
            if let Some(value) = number(line) {
                eval.expected.values = ExpectedValue::Scalar(value);
                return Ok(eval);
            }
            let (labels, points) = parse_series(line).map_err(|error| format!("{line:?}: {error}"))?;
            let instant = matches!(eval.when, EvalTimes::Instant { .. });
            if points.len() > 1 && instant && eval.expected.window.is_none() {
                return Err("expecting multiple values in instant evaluation not allowed. consider using \
                            'expect range vector' directive to enable a range vector result for an instant query"
                    .to_owned());
            }
            eval.expected.add_series(position, labels, points);
        }
        Ok(eval)
    }
}

/// Splits an `eval` line into modifier, time and query.
fn eval_line(line: &str) -> Result<(Option<String>, EvalTimes, String), String> {
    if let Some(parts) = EVAL_INSTANT.captures(line) {
        let at = parts.get(2).map_or("", |m| m.as_str());
        let at_ms =
            parse_millis(at).map_err(|error| format!("invalid timestamp definition {at:?}: {error}"))?;
        let modifier = parts.get(1).map(|m| m.as_str().to_owned());
        return Ok((modifier, EvalTimes::Instant { at_ms }, parts[3].to_owned()));
    }
    let parts = EVAL_RANGE.captures(line).ok_or(
        "invalid evaluation command. Must be either 'eval[_fail|_warn|_ordered] instant [at <offset:duration>] \
         <query>' or 'eval[_fail|_warn] range from <from> to <to> step <step> <query>'",
    )?;
    let (start_ms, end_ms, step_ms) = times(&parts[2], &parts[3], &parts[4])?;
    let modifier = parts.get(1).map(|m| m.as_str().to_owned());
    Ok((modifier, EvalTimes::Range { start_ms, end_ms, step_ms }, parts[5].to_owned()))
}

fn times(from: &str, to: &str, step: &str) -> Result<(i64, i64, i64), String> {
    let parsed = |what: &str, text: &str| {
        parse_millis(text).map_err(|error| format!("invalid {what} definition {text:?}: {error}"))
    };
    let (start, end) = (parsed("start timestamp", from)?, parsed("end timestamp", to)?);
    if end < start {
        return Err(format!(
            "invalid test definition, end timestamp ({to}) is before start timestamp ({from})"
        ));
    }
    Ok((start, end, parsed("step", step)?))
}

fn expect_range(line: &str) -> Result<(i64, i64, i64), String> {
    let parts =
        EXPECT_RANGE.captures(line).ok_or_else(|| format!("invalid range vector definition {line:?}"))?;
    times(&parts[1], &parts[2], &parts[3])
}

fn expect(line: &str) -> Result<Expectation, String> {
    let parts = EXPECT
        .captures(line)
        .ok_or("invalid expect statement, must match `expect <type> <match_type>: <string>` format")?;
    let kind = &parts[1];
    let wanted = match (parts.get(2).map(|m| m.as_str()), parts.get(3).map(|m| m.as_str().trim())) {
        (Some("msg"), Some(text)) => ExpectedText::Text(text.to_owned()),
        (Some("regex"), Some(text)) => ExpectedText::pattern(text, kind)?,
        _ => ExpectedText::Anything,
    };
    Ok(match kind {
        "ordered" => Expectation::Ordered,
        "fail" => Expectation::Fail(wanted),
        "warn" => Expectation::Warn(wanted),
        "no_warn" => Expectation::NoWarn,
        "info" => Expectation::Info(wanted),
        _ => Expectation::NoInfo,
    })
}

/// The quoted string after `expect string`: `"…"` with Go's escapes, or `` `…` `` verbatim.
fn quoted(text: &str) -> Result<String, String> {
    let text = text.strip_prefix(' ').unwrap_or(text);
    if text.is_empty() {
        return Err("expected string literal not valid - a quoted string literal is required".to_owned());
    }
    let wrong = "expected string literal not valid - check that the string is correctly quoted";
    match parse(text, &ParserOptions::ALL).map(|expr| expr.kind) {
        Ok(ferula_promql_syntax::ExprKind::String(value)) if !text.starts_with('\'') => Ok(value),
        _ => Err(wrong.to_owned()),
    }
}

/// A number by itself on a line: an integer with Go's prefixes, or a float.
fn number(text: &str) -> Option<f64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let prefixed = [("0x", 16), ("0o", 8), ("0b", 2)].into_iter().find_map(|(prefix, radix)| {
        lower.strip_prefix(prefix).and_then(|rest| u64::from_str_radix(rest, radix).ok())
    });
    match prefixed {
        Some(value) => Some(sign * value as f64),
        None if digits.starts_with(['-', '+']) => None,
        None => digits.parse::<f64>().ok().map(|value| sign * value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_scalar_results() {
        for (text, want) in
            [("12", Some(12.0)), ("-1.5e3", Some(-1500.0)), ("0x1F", Some(31.0)), ("x", None), ("--1", None)]
        {
            assert_eq!(number(text), want, "{text}");
        }
        assert_eq!(number("+Inf"), Some(f64::INFINITY));
        assert!(number("NaN").is_some_and(f64::is_nan));
    }

    #[test]
    fn lines_of_commands() {
        let script = "\n# comment\nload 1m\n  a 1 2\n\nbogus\n  x\n\nclear\neval instant at 1m a\n  a 2\neval range from 0 to 1m step 1m a\n a 1 2\n";
        let commands = parse_script(script);
        let lines: Vec<usize> = commands.iter().map(|command| command.line).collect();
        assert_eq!(lines, [3, 6, 9, 10]);
        assert!(
            matches!(&commands[1].kind, CommandKind::Unknown(text) if text == "invalid command \"bogus\"")
        );
    }

    #[test]
    fn queries_may_hold_the_words_of_the_command() {
        let (_, when, query) = eval_line("eval instant at 50m sum(a) at 3").expect("matches");
        assert_eq!((when, query.as_str()), (EvalTimes::Instant { at_ms: 3_000_000 }, "sum(a) at 3"));
        let (modifier, when, query) =
            eval_line("eval_warn range from 0 to 10m step 1m count(x) step 2").expect("matches");
        assert_eq!(modifier.as_deref(), Some("warn"));
        assert_eq!(when, EvalTimes::Range { start_ms: 0, end_ms: 600_000, step_ms: 60_000 });
        assert_eq!(query, "count(x) step 2");
    }
}
