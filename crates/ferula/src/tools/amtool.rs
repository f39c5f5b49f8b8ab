//! `ferula amtool …`: what can be asked of an Alertmanager's configuration without a running one.

mod routes;

use std::path::Path;
use std::process::ExitCode;

use ferula_config::alertmanager::{AlertmanagerConfig, MatcherSyntax};

use super::args::{Args, Argument, Command, Flag, Kind, argument, flag, group};

const FEATURES: Flag = flag(
    "enable-feature",
    Kind::Texts,
    "How matchers are read: utf8-strict-mode or classic-mode. By default the UTF-8 syntax is tried first, then the classic one.",
);
const FILES: Argument = argument("check-files", Kind::Files, "The files to check.").required();

/// `amtool`
pub const COMMAND: Command = Command {
    flags: &[FEATURES],
    ..group(
        "amtool",
        "Check the configuration of an Alertmanager, and ask where alerts would go.",
        &[
            Command::new(
                "check-config",
                "Check configuration files: sections, receivers, routes, time intervals and matchers. Templates are counted, not checked.",
                check_config,
            )
            .arguments(&[FILES])
            .ours(),
            routes::COMMAND,
        ],
    )
    .ours()
};

/// The syntax that the flag asks for; names of other features are passed over, as amtool does.
fn syntax(args: &Args) -> MatcherSyntax {
    let names = args.all(FEATURES);
    let mut names = names.iter().flat_map(|names| names.split(','));
    names
        .find_map(|name| match name.trim() {
            "classic-mode" => Some(MatcherSyntax::Classic),
            "utf8-strict-mode" => Some(MatcherSyntax::Utf8),
            _ => None,
        })
        .unwrap_or_default()
}

fn check_config(args: &Args) -> ExitCode {
    let mut failed = 0;
    for file in args.arguments(FILES) {
        print!("Checking '{file}'");
        match AlertmanagerConfig::load(Path::new(file), syntax(args)) {
            Ok(config) => print_found(&config),
            Err(error) => {
                println!("  FAILED: {error}");
                failed += 1;
            }
        }
        println!();
    }
    if failed == 0 {
        return ExitCode::SUCCESS;
    }
    eprintln!("{}: error: failed to validate {failed} file(s)", args.program);
    ExitCode::FAILURE
}

fn print_found(config: &AlertmanagerConfig) {
    println!("  SUCCESS");
    println!("Found:");
    println!(" - global config");
    println!(" - route");
    println!(" - {} inhibit rules", config.inhibit_rules.len());
    println!(" - {} receivers", config.receivers.len());
    println!(" - {} templates", config.templates.0.len());
    for warning in config.warnings() {
        println!(" - warning: {warning}");
    }
}
