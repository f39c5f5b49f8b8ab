//! The functions of notification templates, beyond those of the language.

use std::collections::BTreeMap;
use std::sync::Arc;

use ferula_go::Regexp;
use ferula_go::unicode;
use ferula_go::url::query_unescape;
use ferula_runtime::SharedClock;
use ferula_template::json::to_json;
use ferula_template::prometheus::humanize_duration;
use ferula_template::{CallError, Duration, Function, FunctionMap, Map, MapElement, Parameter, Value, safe};
use jiff::tz::TimeZone;

use super::time::{TimeValue, nanos_between, time_of};
use crate::time::Time;

const TEXT: &[Parameter] = &[Parameter::Text];
const STRINGS: &str = "[]string";
const ANYTHING: &str = "[]interface {}";
const TIME: Parameter = Parameter::Named("time.Time");
/// Maximum size of a replacement's result in bytes.
const REPLACED_BYTES_MAX: usize = 16 << 20;

fn text(value: &Value) -> &str {
    value.as_text().unwrap_or_default()
}

/// All functions.
pub fn functions(clock: &SharedClock) -> FunctionMap {
    let mut map = FunctionMap::new();
    of_text(&mut map);
    of_lists(&mut map);
    of_times(&mut map, clock);
    map
}

fn of_text(map: &mut FunctionMap) {
    let mut pure = |name: &'static str, f: fn(&str) -> String| {
        map.insert(name, Function::new(TEXT, move |args| Ok(Value::text(f(text(&args[0]))))));
    };
    pure("toUpper", unicode::upper);
    pure("toLower", unicode::lower);
    pure("title", title);
    pure("trimSpace", |text| text.trim_matches(unicode::is_space).to_owned());
    map.insert("safeHtml", Function::new(TEXT, |args| Ok(Value::defined(&safe::HTML, args[0].clone()))));
    map.insert("safeUrl", Function::new(TEXT, |args| Ok(Value::defined(&safe::URL, args[0].clone()))));
    map.insert(
        "urlUnescape",
        Function::new(TEXT, |args| {
            query_unescape(text(&args[0])).map(Value::text).map_err(CallError::outside)
        }),
    );
    map.insert(
        "match",
        Function::new(&[Parameter::Text, Parameter::Text], |args| {
            Ok(Value::Bool(Regexp::new(text(&args[0]))?.is_match(text(&args[1]))))
        }),
    );
    map.insert(
        "reReplaceAll",
        Function::new(&[Parameter::Text, Parameter::Text, Parameter::Text], |args| {
            let [pattern, by, subject] = [text(&args[0]), text(&args[1]), text(&args[2])];
            let regexp = Regexp::new(pattern).map_err(|error| {
                CallError::outside(format!("regexp: Compile({}): {error}", raw_quoted(pattern)))
            })?;
            if (subject.len() + 1).saturating_mul(by.len()) > REPLACED_BYTES_MAX {
                return Err(CallError::outside("the replacement is too large"));
            }
            Ok(Value::text(regexp.replace_all(subject, by)))
        }),
    );
    map.insert("toJson", Function::new(&[Parameter::Any], |args| to_json(&args[0]).map(Value::text)));
}

/// Quotes as Go shows patterns: in backquotes where possible.
fn raw_quoted(text: &str) -> String {
    let is_plain = !text.contains('`') && !text.chars().any(|c| c.is_control() && c != '\t');
    if is_plain { format!("`{text}`") } else { ferula_go::quote::go_quote(text) }
}

fn of_lists(map: &mut FunctionMap) {
    map.insert(
        "join",
        Function::new(&[Parameter::Text, Parameter::Named(STRINGS)], |args| {
            let Value::List(items, _) = &args[1] else { return Ok(Value::text("")) };
            let items: Vec<&str> = items.iter().map(text).collect();
            Ok(Value::text(items.join(text(&args[0]))))
        }),
    );
    map.insert("stringSlice", Function::variadic(TEXT, |args| Ok(Value::List(args.into(), STRINGS))));
    map.insert("list", Function::variadic(&[Parameter::Any], |args| Ok(Value::List(args.into(), ANYTHING))));
    map.insert(
        "append",
        Function::variadic(&[Parameter::Named(ANYTHING), Parameter::Any], |args| {
            let (first, rest) = args.split_first().ok_or_else(|| CallError::outside("no list"))?;
            let before = match first {
                Value::List(items, _) => &items[..],
                _ => &[],
            };
            Ok(Value::List(before.iter().chain(rest).cloned().collect(), ANYTHING))
        }),
    );
    map.insert(
        "dict",
        Function::variadic(&[Parameter::Any], |args| {
            if args.len() % 2 == 1 {
                return Err(CallError::outside("dict requires an even number of arguments"));
            }
            let mut entries = BTreeMap::new();
            for pair in args.chunks(2) {
                let Value::Text(key) = &pair[0] else {
                    return Err(CallError::outside("dict keys must be strings"));
                };
                entries.insert(key.to_string(), pair[1].clone());
            }
            Ok(Value::Map(Arc::new(Map { entries, element: MapElement::Any })))
        }),
    );
}

fn of_times(map: &mut FunctionMap, clock: &SharedClock) {
    let wanted = || CallError::outside("no time");
    map.insert(
        "date",
        Function::new(&[Parameter::Text, TIME], move |args| {
            let time = time_of(&args[1]).ok_or_else(wanted)?;
            Ok(Value::text(time.format(text(&args[0]))))
        }),
    );
    map.insert(
        "tz",
        Function::new(&[Parameter::Text, TIME], move |args| {
            let time = time_of(&args[1]).ok_or_else(wanted)?;
            Ok(time.in_zone(&zone(text(&args[0]))?).value())
        }),
    );
    let now = clock.clone();
    map.insert(
        "now",
        Function::new(&[], move |_| {
            let time = TimeValue::new(Time::from_unix_nanos(now.unix_nanos()));
            Ok(time.in_zone(&TimeZone::system()).value())
        }),
    );
    let now = clock.clone();
    map.insert(
        "since",
        Function::new(&[TIME], move |args| {
            let time = time_of(&args[0]).ok_or_else(wanted)?;
            Ok(Duration::new(nanos_between(Time::from_unix_nanos(now.unix_nanos()), time.time())).value())
        }),
    );
    map.insert("humanizeDuration", Function::new(&[Parameter::Any], |args| humanize_duration(&args[0])));
}

/// Go's `time.LoadLocation`.
fn zone(name: &str) -> Result<TimeZone, CallError> {
    match name {
        "" | "UTC" => Ok(TimeZone::UTC),
        "Local" => Ok(TimeZone::system()),
        name if name.contains("..") || name.starts_with(['/', '\\']) => {
            Err(CallError::outside("time: invalid location name"))
        }
        name => TimeZone::get(name).map_err(|_| CallError::outside(format!("unknown time zone {name}"))),
    }
}

/// Converts to title case: the first letter of every word in upper case, the others in lower case. Words end
/// as in Unicode: not at an apostrophe or dot between letters, nor at an underscore.
fn title(text: &str) -> String {
    ferula_template::prometheus::title(&unicode::lower(text))
}
