//! `amtool template render`: renders a text with template files and alert data.

use std::process::ExitCode;

use anyhow::{Context, Result};
use ferula_alertmanager::Time;
use ferula_alertmanager::template::{Data, Templates};
use ferula_runtime::RealClock;

use super::settings::finish;
use crate::tools::args::{Args, Command, Flag, ValueKind, flag, group};

const GLOB: Flag =
    flag("template.glob", ValueKind::Texts, "Patterns of template files; may be repeated.").required();
const TEXT: Flag = flag("template.text", ValueKind::Text, "The text to render.").required();
const TYPE: Flag =
    flag("template.type", ValueKind::Word(&["html", "text"]), "How to escape: text (no escaping) or html.")
        .default("text");
const DATA: Flag = flag(
    "template.data",
    ValueKind::File,
    "JSON with the data as templates see it; by default, that of two sample alerts.",
);

/// `template`
pub const COMMAND: Command = group(
    "template",
    "Try templates.",
    &[Command::new("render", "Render a text to standard output.", |args| finish(args, render(args)))
        .flags(&[GLOB, TEXT, TYPE, DATA])
        .ours()],
)
.ours();

fn render(args: &Args) -> Result<ExitCode> {
    let globs: Vec<String> = args.all(GLOB).into_iter().map(str::to_owned).collect();
    let clock = RealClock::shared();
    let templates = Templates::load(&globs, "", &clock)?;
    let data = match args.last(DATA) {
        Some(file) => {
            Data::from_json(&std::fs::read_to_string(file).with_context(|| format!("open {file}"))?)?
        }
        None => Data::sample(Time::from_unix_nanos(clock.unix_nanos())),
    };
    let (text, value) = (args.text(TEXT), data.value(false));
    let rendered = match args.text(TYPE) {
        "html" => templates.html(text, &value)?,
        _ => templates.text(text, &value)?,
    };
    print!("{rendered}");
    Ok(ExitCode::SUCCESS)
}
