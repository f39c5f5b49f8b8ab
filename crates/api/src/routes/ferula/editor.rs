//! `ferula/editor`: what a query editor requests at every pause in typing: errors, completions at the cursor,
//! and warnings about probable mistakes.
//!
//! ```text
//! text ─ parse ─▶ errors, or a tree ─▶ hints.rs: diagnostics with fixes
//! text before the cursor ─ context.rs ─▶ what may follow ─ complete.rs ─▶ candidates, ranked (rank.rs)
//! ```
//!
//! All positions are in UTF-16 code units, as in JavaScript.

mod complete;
mod context;
mod data;
mod diagnostic;
mod hints;
pub(super) mod rank;

use ferula_go::number::atoi;
use ferula_promql_syntax::ast::ExprKind;
use ferula_promql_syntax::{Expr, ParseErrors, parse, stack};
use ferula_query::Lookup;
use serde_json::{Value, json};

use diagnostic::{Diagnostic, Fix};

pub(super) use self::data::EditorData;
use super::utf16::Utf16;
use crate::answer::{Answer, Handled};
use crate::api::Api;
use crate::error::ApiError;
use crate::request::Request;

/// Longer texts are refused; nobody types them.
const QUERY_BYTES_MAX: usize = 64 << 10;
const ITEMS_DEFAULT: i64 = 50;
const ITEMS_MAX: i64 = 100;
const NODES_MAX: usize = 500;

/// `/api/v1/ferula/editor`
pub fn editor(api: &Api, request: &Request, lookup: Lookup) -> Handled {
    let params = &request.params;
    let query = params.first("query").to_owned();
    if query.len() > QUERY_BYTES_MAX {
        return Err(ApiError::parameter("query", format!("must not be longer than {QUERY_BYTES_MAX} bytes")));
    }
    let count = |name: &str, default: i64| match params.first(name) {
        "" => Ok(default),
        text => atoi(text).map_err(|why| ApiError::parameter(name, why)),
    };
    let cursor = count("cursor", -1)?;
    let limit = count("limit", ITEMS_DEFAULT)?;
    if !(1..=ITEMS_MAX).contains(&limit) {
        return Err(ApiError::parameter("limit", format!("must be a number from 1 to {ITEMS_MAX}")));
    }
    let data = EditorData::new(api, params, lookup)?;
    let offsets = Utf16::of(&query);
    let mut answer = json!({ "diagnostics": [], "complete": null, "nodes": [], "formatted": null });
    let diagnostics = match parse(&query, &api.site.settings.parser) {
        Ok(expr) => {
            let look = || {
                answer["nodes"] = nodes(&expr, &offsets);
                answer["formatted"] = expr.pretty().map_or(Value::Null, Value::from);
                hints::hints(&expr, &query, &data)
            };
            stack::with_room(&expr, look).map_err(|error| ApiError::internal(error.to_string()))?
        }
        Err(_) if query.trim().is_empty() => Vec::new(),
        Err(errors) => mistakes(&errors, &query),
    };
    answer["diagnostics"] = diagnostics.iter().map(|one| diagnostic_json(one, &offsets)).collect();
    if let Ok(cursor) = usize::try_from(cursor) {
        let at = offsets.byte(cursor);
        let forced = params.first("forced") == "true";
        let completed = complete::complete(&query, at, forced, usize::try_from(limit).unwrap_or(1), &data)?;
        answer["complete"] = completed.map_or(Value::Null, |completed| completed.to_json(&offsets));
    }
    Ok(Answer::json(move |json| json.raw(&answer.to_string())))
}

/// The parser's errors.
fn mistakes(errors: &ParseErrors, query: &str) -> Vec<Diagnostic> {
    let mistake = |error: &ferula_promql_syntax::ParseError| Diagnostic {
        from: error.span.start.min(query.len()),
        to: error.span.end.min(query.len()),
        severity: "error",
        message: format!("{}: {}", error.position, error.message),
        fixes: Vec::new(),
    };
    errors.all().iter().map(mistake).collect()
}

fn diagnostic_json(one: &Diagnostic, offsets: &Utf16<'_>) -> Value {
    let fix = |fix: &Fix| json!({ "title": fix.title, "from": offsets.at(fix.from), "to": offsets.at(fix.to), "insert": fix.insert });
    json!({
        "from": offsets.at(one.from), "to": offsets.at(one.to), "severity": one.severity, "message": one.message,
        "fixes": one.fixes.iter().map(fix).collect::<Vec<_>>(),
    })
}

/// The nodes of the expression, parents before children, and descriptions of functions.
fn nodes(expr: &Expr, offsets: &Utf16<'_>) -> Value {
    fn collect(expr: &Expr, parent: Option<usize>, offsets: &Utf16<'_>, all: &mut Vec<Value>) {
        if all.len() >= NODES_MAX {
            return;
        }
        let mut node = json!({
            "id": all.len(), "parent": parent,
            "from": offsets.at(expr.span.start), "to": offsets.at(expr.span.end),
            "type": super::tree::kind(expr), "valueType": expr.value_type().as_str(),
        });
        match &expr.kind {
            ExprKind::Call(call) => {
                node["name"] = call.function.name.into();
                node["help"] = call.function.help().text.into();
            }
            ExprKind::Aggregate(aggregate) => {
                node["name"] = aggregate.op.as_str().into();
                node["help"] = aggregate.op.help().text.into();
            }
            _ => {}
        }
        let id = all.len();
        all.push(node);
        for child in expr.children() {
            collect(child, Some(id), offsets, all);
        }
    }
    let mut all = Vec::new();
    collect(expr, None, offsets, &mut all);
    Value::Array(all)
}
