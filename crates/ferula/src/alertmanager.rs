//! `ferula alertmanager`: a standalone Alertmanager, with Alertmanager's flags.
//!
//! ```text
//! flags ─▶ configuration ─▶ storage path ─▶ engine ─▶ HTTP ─▶ signals (reload, stop) ─▶ files written
//! ```
//!
//! Here: flags, wiring, HTTP paths, reload, signals. Elsewhere: everything else (`ferula_alertmanager`).

mod configuration;
pub mod embedded;
mod flags;
mod metrics;
mod serve;
mod settings;
mod web;

use std::process::ExitCode;

use ferula_telemetry::{error, info, logging};

use self::flags::AlertmanagerFlags;
use crate::tools::args::{Args, Argument, Command, ValueKind, argument};

const WORDS: Argument = argument(
    "export DIR",
    ValueKind::Texts,
    "Instead of serving, write the silences and the notification log of --storage.path into a directory, as Alertmanager reads them.",
);

/// `alertmanager`
pub const COMMAND: Command = Command {
    flags: flags::FLAGS,
    arguments: &[WORDS],
    ..Command::new(
        "alertmanager",
        "Receive alerts, group and silence them, and send notifications. Takes Alertmanager's flags.",
        run,
    )
    .ours()
};

fn run(args: &Args) -> ExitCode {
    let flags = match AlertmanagerFlags::check(args) {
        Ok(flags) => flags,
        Err(refused) => {
            logging::init(logging::Level::Info, logging::Format::Logfmt);
            error!("Invalid flags", err = refused);
            return ExitCode::FAILURE;
        }
    };
    match args.arguments(WORDS).as_slice() {
        [] => {}
        ["export", directory] => return export_to(&flags, directory),
        words => {
            let word = words.iter().find(|word| **word != "export").copied().unwrap_or("export");
            eprintln!("{}: error: unexpected {word}, try --help", args.program);
            return ExitCode::FAILURE;
        }
    }
    logging::init(flags.log_level, flags.log_format);
    info!("Starting Alertmanager", version = crate::version::short_of(crate::version::ALERTMANAGER_VERSION));
    for (flag, why) in &flags.without_effect {
        ferula_telemetry::warn!("This flag has no effect", flag = flag, reason = why);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(err) => {
            error!("Fatal error", err = err);
            return ExitCode::FAILURE;
        }
    };
    let served = runtime.block_on(serve::serve(flags));
    runtime.shutdown_background();
    match served {
        Ok(()) => {
            info!("Received shutdown signal, exiting gracefully...");
            ExitCode::SUCCESS
        }
        Err(err) => {
            error!("alertmanager exited with error", err = format!("{err:#}"));
            ExitCode::FAILURE
        }
    }
}

fn export_to(flags: &AlertmanagerFlags, directory: &str) -> ExitCode {
    let now = ferula_runtime::RealClock::shared().unix_nanos();
    let now = ferula_model::UnixNanos(now);
    match ferula_alertmanager::export(&flags.storage_path, directory.as_ref(), flags.retention, now) {
        Ok(exported) => {
            println!(
                "{} silences and {} notifications written to {directory}",
                exported.silences, exported.notifications
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("cannot export {}: {error}", flags.storage_path.display());
            ExitCode::FAILURE
        }
    }
}
