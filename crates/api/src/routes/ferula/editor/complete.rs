//! Candidates for completion at the cursor.

use ferula_go::quote::go_quote;
use ferula_model::labels::METRIC_NAME;
use ferula_model::{MatchOp, Matcher};
use ferula_promql_syntax::ast::AggregateOp;
use ferula_promql_syntax::functions::FUNCTIONS;
use serde_json::{Value, json};

use super::context::{CompletionKind, Context, context};
use super::data::EditorData;
use super::rank::ranked;
use crate::error::ApiError;
use crate::routes::ferula::utf16::Utf16;

/// Maximum number of a label's values to read for ranking. If there are more, the typed text narrows them
/// down.
const VALUES_MAX: usize = 10_000;
const DURATIONS: [&str; 9] = ["1m", "5m", "10m", "15m", "30m", "1h", "6h", "1d", "7d"];
const UNITS: [&str; 6] = ["s", "m", "h", "d", "w", "ms"];
const AFTER_OPERAND: [&str; 8] = ["and", "or", "unless", "offset", "by", "without", "on", "ignoring"];

/// Candidates, and the text that each of them replaces; positions in bytes.
pub(super) struct Completed {
    from: usize,
    to: usize,
    items: Vec<Item>,
}

struct Item {
    text: String,
    kind: &'static str,
    detail: String,
    help: String,
    insert: String,
}

impl Item {
    fn plain(kind: &'static str, text: &str) -> Self {
        Item {
            text: text.to_owned(),
            kind,
            detail: String::new(),
            help: String::new(),
            insert: text.to_owned(),
        }
    }
}

impl Completed {
    pub(super) fn to_json(&self, offsets: &Utf16<'_>) -> Value {
        let item = |item: &Item| json!({ "text": item.text, "kind": item.kind, "detail": item.detail, "help": item.help, "insert": item.insert });
        json!({
            "from": offsets.at(self.from), "to": offsets.at(self.to),
            "items": self.items.iter().map(item).collect::<Vec<_>>(),
        })
    }
}

/// Returns `None` if nothing can be completed. With `forced`, an empty word is completed everywhere.
pub(super) fn complete(
    text: &str,
    cursor: usize,
    forced: bool,
    limit: usize,
    data: &EditorData<'_>,
) -> Result<Option<Completed>, ApiError> {
    let Context { wanted, from, to } = context(text, cursor);
    let word = &text[from..cursor];
    let items = match wanted {
        CompletionKind::Nothing => return Ok(None),
        CompletionKind::Operand | CompletionKind::Operator if word.is_empty() && !forced => return Ok(None),
        CompletionKind::Operand => operands(word, &text[to..], limit, data)?,
        CompletionKind::Operator => {
            let fitting = |known: &&&str| known.starts_with(&word.to_ascii_lowercase()) && **known != word;
            let item = |known: &&str| Item { insert: format!("{known} "), ..Item::plain("keyword", known) };
            AFTER_OPERAND.iter().filter(fitting).map(item).collect()
        }
        CompletionKind::Duration => durations(word),
        CompletionKind::Label(matchers) => {
            let end = if next_is_operator(&text[to..]) { "" } else { "=" };
            let written: Vec<&str> = matchers.iter().map(|matcher| &*matcher.name).collect();
            let names = data.label_names(&matchers)?;
            let names = names.iter().map(String::as_str).filter(|name| !written.contains(name));
            label_items(word, names, end, limit)
        }
        CompletionKind::Grouping(matchers) => {
            let names = data.label_names(&matchers)?;
            label_items(word, names.iter().map(String::as_str).filter(|name| *name != METRIC_NAME), "", limit)
        }
        CompletionKind::Value { label, matchers, quote, closed } => {
            value_items(word, &label, matchers, quote, closed, limit, data)?
        }
    };
    Ok((!items.is_empty()).then_some(Completed { from, to, items }))
}

fn next_is_operator(rest: &str) -> bool {
    rest.trim_start().starts_with(['=', '!'])
}

/// Metrics, functions and aggregations in one ranking.
fn operands(word: &str, rest: &str, limit: usize, data: &EditorData<'_>) -> Result<Vec<Item>, ApiError> {
    let names = data.metric_names()?;
    let functions = FUNCTIONS.iter().map(|function| function.name);
    let aggregations = AggregateOp::ALL.iter().map(|op| op.as_str());
    let best = ranked(word, functions.chain(aggregations).chain(names.with_letters_of(word)), limit);
    let open = if rest.trim_start().starts_with('(') { "" } else { "(" };
    Ok(best.into_iter().map(|name| operand(name, open, data)).collect())
}

fn operand(name: &str, open: &str, data: &EditorData<'_>) -> Item {
    let called = |kind, help: ferula_promql_syntax::Help| Item {
        text: name.to_owned(),
        kind,
        detail: format!("({})", help.arguments),
        help: help.text.to_owned(),
        insert: format!("{name}{open}"),
    };
    if let Some(function) = ferula_promql_syntax::functions::function(name) {
        return called("function", function.help());
    }
    if let Some(op) = AggregateOp::from_name(name) {
        return called("aggregation", op.help());
    }
    let about = data.metadata(name).unwrap_or_default();
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':'))
        && !name.starts_with(|first: char| first.is_ascii_digit());
    Item {
        text: name.to_owned(),
        kind: "metric",
        detail: about.kind.as_str().to_owned(),
        help: about.help,
        insert: if plain { name.to_owned() } else { format!("{{{}}}", go_quote(name)) },
    }
}

fn durations(word: &str) -> Vec<Item> {
    let digits: String = word.chars().take_while(char::is_ascii_digit).collect();
    let all: Vec<String> = match digits.as_str() {
        "" => DURATIONS.map(str::to_owned).to_vec(),
        digits => UNITS.iter().map(|unit| format!("{digits}{unit}")).collect(),
    };
    all.iter().filter(|known| *known != word).map(|known| Item::plain("duration", known)).collect()
}

fn label_items<'a>(
    word: &str,
    names: impl Iterator<Item = &'a str> + Clone,
    end: &str,
    limit: usize,
) -> Vec<Item> {
    let item = |name: &str| {
        let plain = !name.starts_with(|first: char| first.is_ascii_digit())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let written = if plain { name.to_owned() } else { go_quote(name) };
        Item { insert: format!("{written}{end}"), ..Item::plain("label", name) }
    };
    ranked(word, names, limit).into_iter().map(item).collect()
}

fn value_items(
    word: &str,
    label: &str,
    mut matchers: Vec<Matcher>,
    quote: char,
    closed: bool,
    limit: usize,
    data: &EditorData<'_>,
) -> Result<Vec<Item>, ApiError> {
    let mut values = data.values(label, &matchers, VALUES_MAX)?;
    if values.len() >= VALUES_MAX && !word.is_empty() {
        let pattern = format!("(?i).*{}.*", regex_escape(word));
        matchers.extend(Matcher::new(MatchOp::Regex, label, &pattern));
        values = data.values(label, &matchers, VALUES_MAX)?;
    }
    let end = if closed { String::new() } else { quote.to_string() };
    let item = |value: &str| {
        let escaped = match quote {
            '`' => value.to_owned(),
            quote => {
                go_quote(value).trim_matches('"').replace("\\\"", if quote == '"' { "\\\"" } else { "\"" })
            }
        };
        Item { insert: format!("{escaped}{end}"), ..Item::plain("value", value) }
    };
    let fitting = values.iter().map(String::as_str).filter(|value| quote != '`' || !value.contains('`'));
    Ok(ranked(word, fitting, limit).into_iter().map(item).collect())
}

fn regex_escape(text: &str) -> String {
    let special = |c: char| "\\.+*?()|[]{}^$".contains(c);
    text.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}
