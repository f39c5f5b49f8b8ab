//! `ferula amtool …`: queries and changes an Alertmanager, and checks its configuration.

mod alert;
mod client;
mod explain;
mod output;
mod receivers;
mod routes;
mod settings;
mod silence;
mod template;

use std::path::Path;
use std::process::ExitCode;

use ferula_alertmanager::receiver::check::check_templates;
use ferula_config::alertmanager::AlertmanagerConfig;
use ferula_runtime::RealClock;

use self::client::Client;
use self::output::Table;
use super::args::{Args, Argument, Command, ValueKind, argument, group};

const FILES: Argument = argument("check-files", ValueKind::Files, "The files to check.").required();

/// `amtool`
pub const COMMAND: Command = Command {
    flags: settings::FLAGS,
    ..group(
        "amtool",
        "List alerts and silences of an Alertmanager, change silences, and check its configuration.",
        &[
            alert::COMMAND,
            silence::COMMAND,
            Command::new(
                "check-config",
                "Check configuration files: sections, receivers, routes, time intervals, matchers, and template files.",
                check_config,
            )
            .flags(&[settings::EXPAND_ENV])
            .arguments(&[FILES])
            .ours(),
            group(
                "cluster",
                "Show the cluster.",
                &[Command::new("show", "Print the state of the cluster and its members.", |args| {
                    settings::finish(args, show_cluster(args))
                })
                .default()
                .ours()],
            )
            .ours(),
            routes::COMMAND,
            template::COMMAND,
            explain::COMMAND,
            receivers::COMMAND,
        ],
    )
    .ours()
};

fn check_config(args: &Args) -> ExitCode {
    let mut failed = 0;
    for file in args.arguments(FILES) {
        print!("Checking '{file}'");
        match AlertmanagerConfig::check(Path::new(file), settings::load_options(args)) {
            Ok(config) => failed += usize::from(!print_found(&config)),
            Err(errors) => {
                errors.iter().for_each(|error| println!("  FAILED: {error}"));
                failed += 1;
            }
        }
        println!();
    }
    if failed == 0 {
        return ExitCode::SUCCESS;
    }
    eprintln!("{}: error: failed to validate {failed} file(s)\n", args.program);
    ExitCode::FAILURE
}

/// Prints what a valid file contains. Returns whether its templates can be used.
fn print_found(config: &AlertmanagerConfig) -> bool {
    println!("  SUCCESS");
    println!("Found:");
    println!(" - global config");
    println!(" - route");
    println!(" - {} inhibit rules", config.inhibit_rules.len());
    println!(" - {} receivers", config.receivers.len());
    println!(" - {} templates", config.templates.0.len());
    let mut is_good = true;
    let clock = RealClock::shared();
    let has_templates = !config.templates.0.is_empty();
    let warnings = match check_templates(config, "http://localhost:9093", &clock) {
        Ok(warnings) => warnings,
        Err(problems) => {
            for (file, error) in problems {
                println!("  FAILED: {error}{}", shown_file(&file, &error.to_string()));
            }
            is_good = false;
            Vec::new()
        }
    };
    if has_templates && is_good {
        println!("  SUCCESS");
    }
    // Alertmanager accepts these. The notification would be sent with a replacement for the field.
    for warning in warnings {
        println!(" - warning: {warning}");
    }
    for warning in config.warnings() {
        println!(" - warning: {warning}");
    }
    is_good
}

/// The file of an error that does not name it.
fn shown_file(file: &str, error: &str) -> String {
    if error.contains(file) { String::new() } else { format!(" (in {file})") }
}

fn show_cluster(args: &Args) -> anyhow::Result<ExitCode> {
    let status = Client::new(args)?.get("status", &[])?;
    let cluster = &status["cluster"];
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    match output::format(args) {
        output::Format::Json => output::print_json(cluster),
        format => {
            let is_extended = format == output::Format::Extended;
            print!(
                "{}",
                output::two_columns(&[
                    ("Cluster Status:", &text(&cluster["status"])),
                    ("Node Name:", &text(&cluster["name"]))
                ])
            );
            if is_extended {
                let mut peers = Table::new(&["Address", "Name"]);
                for peer in cluster["peers"].as_array().into_iter().flatten() {
                    peers.row(vec![text(&peer["address"]), text(&peer["name"])]);
                }
                // The last name of the head has no column.
                let drawn = peers.draw();
                let (head, rows) = drawn.split_once('\n').unwrap_or_default();
                print!("\n{}\n{rows}", head.trim_end());
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
