//! All of Prometheus in one binary.
//!
//! ```text
//! arguments ─▶ tools (a command)                        one file each, thin over the crate that knows
//!           └▶ flags ─▶ config ─▶ serve ─▶ store, agents, HTTP ─▶ signals ─▶ close
//!                          ▲        └─ reload (SIGHUP, /-/reload, --config.auto-reload)
//!                          └ a built-in one if there is no file and none was named
//! ```
//!
//! Here: flags, wiring, reload, signals, commands. Elsewhere: everything that is an algorithm.

mod agents;
mod alerting;
mod alertmanager;
mod allocator;
mod config_source;
mod flags;
mod foundation;
mod limits;
mod listen;
mod maintenance;
mod memory_shares;
mod own_metrics;
mod part_error;
mod reload;
mod remote;
mod scrub;
mod serve;
mod settings;
mod similar_file;
mod storage;
mod tools;
mod version;
mod web_ui;
mod welcome;

use std::path::Path;
use std::process::ExitCode;

use ferula_telemetry::{error, logging};

use crate::config_source::ConfigSource;
use crate::flags::{Flags, Parsed};

/// The configuration or an address is invalid.
const EXIT_USAGE: u8 = 2;
/// Threads for blocking work, in addition to one per connection: a client that reads its answer slowly occupies one.
/// Rule groups, commits of scraped pages and file reloads use these.
const BLOCKING_THREADS_MORE: usize = 512;

fn main() -> ExitCode {
    allocator::settle();
    let mut arguments = std::env::args();
    let program = arguments.next().unwrap_or_default();
    let program =
        Path::new(&program).file_name().map_or_else(|| "ferula".into(), |name| name.to_string_lossy());
    let arguments: Vec<String> = arguments.collect();
    if program == "promtool" {
        return tools::run(&program, &arguments);
    }
    if matches!(&*program, "alertmanager" | "amtool") {
        // Called by one of these names, the program acts as that tool.
        let command = std::iter::once(program.to_string()).chain(arguments).collect::<Vec<_>>();
        return tools::run(&program, &command);
    }
    if arguments.first().is_some_and(|first| tools::is_command(first)) {
        return tools::run(&program, &arguments);
    }
    match flags::parse(&arguments) {
        Ok(Parsed::Run(given)) => match Flags::check(&given) {
            Ok(flags) => run(flags),
            Err(refused) => {
                eprintln!("{refused}");
                ExitCode::from(refused.exit_code)
            }
        },
        Ok(Parsed::Help) => {
            print!("{}", flags::help(&program));
            ExitCode::SUCCESS
        }
        Ok(Parsed::Version) => {
            print!("{}", version::text("prometheus"));
            ExitCode::SUCCESS
        }
        Ok(Parsed::Documentation) => {
            print!("{}", flags::documentation());
            ExitCode::SUCCESS
        }
        Err(error) => {
            // One line, without the help text, which would push it off the screen.
            eprintln!(
                "Error parsing command line arguments: {error} (`{program} --help` lists flags and commands)"
            );
            ExitCode::from(error.exit_code())
        }
    }
}

/// Serves until told to stop.
fn run(flags: Flags) -> ExitCode {
    logging::init(flags.log_level, flags.log_format);
    let source = ConfigSource::of(&flags);
    // An invalid configuration prevents the start before anything else begins.
    let config = match source.load_file(flags.agent.is_some()) {
        Ok(config) => config,
        Err(err) => {
            let file = std::path::absolute(&flags.config_file).unwrap_or_else(|_| flags.config_file.clone());
            error!(
                format!("Error loading config (--config.file={})", flags.config_file.display()),
                file = file.display(),
                err = err
            );
            if let config_source::LoadError::Config(err) = &err {
                let similar = similar_file::similar(&flags.config_file);
                welcome::show_suggestion(err.suggestion().or(similar.as_deref()));
            }
            return ExitCode::from(EXIT_USAGE);
        }
    };
    if let Some(Err(err)) = config
        .as_ref()
        .map(|config| alerting::check_rule_files(config, flags.features.promql.parser_options()))
    {
        let file = std::path::absolute(&flags.config_file).unwrap_or_else(|_| flags.config_file.clone());
        let shown = flags.config_file.display().to_string();
        let quoted = ferula_go::quote::go_quote(&shown);
        error!(
            format!("Error loading rule file patterns from config (--config.file={quoted})"),
            file = file.display(),
            err = err
        );
        return ExitCode::from(EXIT_USAGE);
    }
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let blocking_threads_max = flags.connections_max.saturating_add(BLOCKING_THREADS_MORE);
    let runtime = match builder.enable_all().max_blocking_threads(blocking_threads_max).build() {
        Ok(runtime) => runtime,
        Err(err) => {
            error!("Fatal error", err = err);
            return ExitCode::FAILURE;
        }
    };
    let served = runtime.block_on(serve::serve(flags, source, config));
    // Threads that still work for disconnected clients must not keep the process alive.
    runtime.shutdown_background();
    match served {
        Ok(()) => {
            ferula_telemetry::info!("See you next time!");
            ExitCode::SUCCESS
        }
        Err(err) => {
            error!("Fatal error", err = format!("{err:#}"));
            ExitCode::FAILURE
        }
    }
}
