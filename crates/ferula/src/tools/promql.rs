//! `ferula promql …`: formats queries and edits their label matchers.

use std::process::ExitCode;

use anyhow::{Result, anyhow};
use ferula_model::{MatchOp, Matcher};
use ferula_promql_syntax::ast::VectorSelector;
use ferula_promql_syntax::{Expr, parse};

use super::args::{Args, Argument, Command, EXPERIMENTAL, Flag, ValueKind, argument, flag, group};
use super::features::{parser_options, promql_features};
use super::output::{finish, print_line};

const QUERY: Argument = argument("query", ValueKind::Text, "The query.").required();
const TYPE: Flag = flag("type", ValueKind::Word(&["=", "!=", "=~", "!~"]), "How the label is compared.")
    .short('t')
    .default("=");
const NAME: Argument = argument("name", ValueKind::Text, "The name of the label.").required();
const VALUE: Argument =
    argument("value", ValueKind::Text, "The value or regular expression to compare with.").required();

/// `promql`
pub const COMMAND: Command = group(
    "promql",
    "Format and edit queries; needs --experimental.",
    &[
        Command::new("format", "Print a query on several lines, indented.", |args| {
            experimental(args, |_| Ok(()))
        })
        .arguments(&[QUERY]),
        group(
            "label-matchers",
            "Edit the label matchers of a query.",
            &[
                Command::new("set", "Set a matcher in every selector of a query.", |args| {
                    experimental(args, |expr| set(args, expr))
                })
                .flags(&[TYPE])
                .arguments(&[QUERY, NAME, VALUE]),
                Command::new("delete", "Remove the matchers of a label from a query.", |args| {
                    experimental(args, |expr| {
                        let name = args.required(NAME);
                        expr.change_selectors(&mut |selector| {
                            selector.matchers.retain(|known| &*known.name != name)
                        });
                        Ok(())
                    })
                })
                .arguments(&[QUERY, NAME]),
            ],
        ),
    ],
);

/// Parses the query, changes it and prints it, provided that `--experimental` is given.
fn experimental(args: &Args, change: impl FnOnce(&mut Expr) -> Result<()>) -> ExitCode {
    if !args.has(EXPERIMENTAL) {
        eprintln!("This command is experimental and requires the --experimental flag to be set.");
        return ExitCode::FAILURE;
    }
    let options = parser_options(&promql_features(args));
    let changed = parse(args.required(QUERY), &options)
        .map_err(|error| anyhow!("{error}"))
        .and_then(|mut expr| change(&mut expr).map(|()| expr));
    finish(changed.and_then(|expr| print_line(&expr.pretty()?)))
}

/// Sets a matcher in every selector: replaces the one for that label, or appends it.
fn set(args: &Args, expr: &mut Expr) -> Result<()> {
    let op = match args.text(TYPE) {
        "!=" => MatchOp::NotEqual,
        "=~" => MatchOp::Regex,
        "!~" => MatchOp::NotRegex,
        _ => MatchOp::Equal,
    };
    let matcher = Matcher::new(op, args.required(NAME), args.required(VALUE))?;
    expr.change_selectors(&mut |selector: &mut VectorSelector| {
        let mut known = selector.matchers.iter_mut().filter(|known| *known.name == *matcher.name).peekable();
        if known.peek().is_some() {
            known.for_each(|known| *known = matcher.clone());
        } else {
            drop(known);
            selector.matchers.push(matcher.clone());
        }
    });
    Ok(())
}
