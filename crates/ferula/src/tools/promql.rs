//! `ferula promql …`: formats queries, and edits the label matchers in them.

use std::process::ExitCode;

use anyhow::{Result, anyhow};
use ferula_model::{MatchOp, Matcher};
use ferula_promql_syntax::ast::VectorSelector;
use ferula_promql_syntax::{Expr, parse};

use super::args::{Args, Argument, Command, Kind, argument, flag, group};
use super::{finish, parser_options, print_line, promql_features};

const QUERY: Argument = argument("query", Kind::Text, "PromQL query.").required();

/// `promql`
pub const COMMAND: Command = group(
    "promql",
    "PromQL formatting and editing. Requires the --experimental flag.",
    &[
        Command::new("format", "Format PromQL query to pretty printed form.", |args| {
            experimental(args, |_| Ok(()))
        })
        .arguments(&[QUERY]),
        group(
            "label-matchers",
            "Edit label matchers contained within an existing PromQL query.",
            &[
                Command::new("set", "Set a label matcher in the query.", |args| {
                    experimental(args, |expr| set(args, expr))
                })
                .flags(&[flag(
                    "type",
                    Kind::Word(&["=", "!=", "=~", "!~"]),
                    "Type of the label matcher to set.",
                )
                .short('t')
                .default("=")])
                .arguments(&[
                    QUERY,
                    argument("name", Kind::Text, "Name of the label matcher to set.").required(),
                    argument("value", Kind::Text, "Value of the label matcher to set.").required(),
                ]),
                Command::new("delete", "Delete a label from the query.", |args| {
                    experimental(args, |expr| {
                        let name = args.argument("name").unwrap_or_default();
                        expr.change_selectors(&mut |selector| {
                            selector.matchers.retain(|known| &*known.name != name)
                        });
                        Ok(())
                    })
                })
                .arguments(&[QUERY, argument("name", Kind::Text, "Name of the label to delete.").required()]),
            ],
        ),
    ],
);

/// Reads the query, changes it and prints it, if that was asked for knowingly.
fn experimental(args: &Args, change: impl FnOnce(&mut Expr) -> Result<()>) -> ExitCode {
    if !args.has("experimental") {
        eprintln!("This command is experimental and requires the --experimental flag to be set.");
        return ExitCode::FAILURE;
    }
    let options = parser_options(&promql_features(args));
    let changed = parse(args.argument("query").unwrap_or_default(), &options)
        .map_err(|error| anyhow!("{error}"))
        .and_then(|mut expr| change(&mut expr).map(|()| expr));
    finish(changed.and_then(|expr| print_line(&expr.pretty()?)))
}

/// Sets a matcher of every selector: in the place of the one of that name, or behind the others.
fn set(args: &Args, expr: &mut Expr) -> Result<()> {
    let op = match args.text("type") {
        "!=" => MatchOp::NotEqual,
        "=~" => MatchOp::Regex,
        "!~" => MatchOp::NotRegex,
        _ => MatchOp::Equal,
    };
    let (name, value) =
        (args.argument("name").unwrap_or_default(), args.argument("value").unwrap_or_default());
    let matcher = Matcher::new(op, name, value)?;
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
