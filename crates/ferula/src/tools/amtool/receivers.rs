//! `amtool receivers test`: sends a marked test notification through a receiver, or only shows what would be sent.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use ferula_alertmanager::receiver::{KeptValues, Notification, Reason, Record, build};
use ferula_alertmanager::{Alert, Labels, Time};
use ferula_config::alertmanager::AlertmanagerConfig;
use ferula_runtime::{RealClock, SharedClock};

use super::settings::{self, finish};
use crate::tools::args::{Args, Argument, Command, Flag, ValueKind, argument, flag, group};

const CONFIG: Flag =
    flag("config.file", ValueKind::File, "The configuration with the receivers to test.").required();
const DRY_RUN: Flag = flag("dry-run", ValueKind::Switch, "Send nothing; print what would be sent.");
const NAME: Argument =
    argument("name", ValueKind::Text, "The receiver; by default, every receiver that a route uses.");

/// `receivers`
pub const COMMAND: Command = group(
    "receivers",
    "Try receivers. Ferula only.",
    &[Command::new(
        "test",
        "Send a marked test notification, and print requests and answers without secrets.",
        |args| finish(args, test(args)),
    )
    .flags(&[CONFIG, settings::EXPAND_ENV, DRY_RUN])
    .arguments(&[NAME])
    .ours()],
)
.ours();

fn test(args: &Args) -> Result<ExitCode> {
    let config = AlertmanagerConfig::load_with(Path::new(args.text(CONFIG)), settings::load_options(args))?;
    let clock: SharedClock = Arc::new(RealClock::new());
    let mut receivers = build(&config, "http://localhost:9093", &clock)?;
    if let Some(name) = args.argument(NAME) {
        receivers.retain(|known, _| known == name);
        if receivers.is_empty() {
            bail!("no route uses a receiver {name}");
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let now = Time::from_unix_nanos(clock.unix_nanos());
    let timeout = Duration::from_nanos(args.nanos(settings::TIMEOUT).unwrap_or(0).unsigned_abs());
    let (labels, alert) = test_alert(now);
    let (kept, mut failures) = (KeptValues::new(), 0);
    for (receiver, integrations) in &receivers {
        for integration in integrations {
            let record = if args.has(DRY_RUN) { Record::dry_run() } else { Record::on() };
            let notification = Notification {
                receiver,
                group_key: "{}:{alertname=\"FerulaTest\"}",
                group_labels: &labels,
                alerts: std::slice::from_ref(&alert),
                now,
                repeat_interval: Duration::from_secs(4 * 3600),
                reason: Reason::FirstNotification,
                kept: &kept,
                record: &record,
                rendering: None,
            };
            let result = runtime
                .block_on(async { tokio::time::timeout(timeout, integration.notify(&notification)).await });
            let faults = result.as_ref().map(|notified| notified.faults.clone()).unwrap_or_default();
            let outcome = match result.map(|notified| notified.result) {
                Ok(Ok(_)) if args.has(DRY_RUN) => "not sent".to_owned(),
                Ok(Ok(_)) => "sent".to_owned(),
                Ok(Err(error)) => format!("FAILED: {error}"),
                Err(_) => "FAILED: context deadline exceeded".to_owned(),
            };
            failures += usize::from(outcome.starts_with("FAILED")) + usize::from(!faults.is_empty());
            println!("{receiver}/{integration}: {outcome}");
            faults.iter().for_each(|fault| println!("  template of {fault}"));
            print_exchanges(&record);
        }
    }
    Ok(if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A marked alert, and its labels.
fn test_alert(now: Time) -> (Labels, Alert) {
    let labels = Labels::from([
        ("alertname".to_owned(), "FerulaTest".to_owned()),
        ("severity".to_owned(), "test".to_owned()),
    ]);
    let annotations = Labels::from([(
        "summary".to_owned(),
        "This is a test of the receiver, sent with amtool receivers test. Nothing is wrong.".to_owned(),
    )]);
    let alert = Alert::new(&labels, &annotations, now, Time::ZERO, "");
    (labels, alert)
}

/// The requests of a notification, and what they were answered.
fn print_exchanges(record: &Record) {
    for exchange in record.take() {
        println!("  {} {}", exchange.method, exchange.url);
        for (name, value) in &exchange.headers {
            println!("  {name}: {value}");
        }
        println!("  {}", exchange.body.replace('\n', "\n  "));
        if let Some(answer) = &exchange.answer {
            println!("  -> {answer}");
        }
    }
}
