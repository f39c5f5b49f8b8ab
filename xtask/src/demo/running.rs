//! Starts the services of a demonstration, writes its configuration, and starts ferula.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use ferula_demo::run::Stage;
use ferula_demo::services::Service;

use super::shorten::divide_durations;
use crate::peer::Process;
use crate::root::root;

/// Everything of one demonstration. Ends when dropped; its directory stays where something failed.
pub(super) struct RunningDemo {
    pub stage: Stage,
    pub ferula: Process,
    pub directory: PathBuf,
}

impl RunningDemo {
    pub fn start(
        ferula: &Path,
        directory: PathBuf,
        factor: u64,
        port: u16,
        seed: u64,
    ) -> Result<RunningDemo> {
        std::fs::create_dir_all(&directory).with_context(|| format!("creating {}", directory.display()))?;
        let stage = Stage::start(Ipv4Addr::LOCALHOST, 0, seed)?;
        write_configuration(&directory, &stage, factor, port)?;
        let args = [
            format!("--config.file={}", directory.join("prometheus.yml").display()),
            format!("--alertmanager.config.file={}", directory.join("alertmanager.yml").display()),
            format!("--storage.tsdb.path={}", directory.join("data").display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
            "--enable-feature=exemplar-storage".to_owned(),
            "--rules.alert.resend-delay=2s".to_owned(),
        ];
        let mut ferula = Process::start("ferula", ferula, &args, &directory.join("ferula.log"), port)?;
        ferula.await_ready("/-/ready", Duration::from_secs(60)).with_context(|| {
            format!("is port {port} taken? The log is {}", directory.join("ferula.log").display())
        })?;
        Ok(RunningDemo { stage, ferula, directory })
    }
}

/// Writes the configuration of the demonstration and the shipped rules, with divided durations and real addresses.
fn write_configuration(directory: &Path, stage: &Stage, factor: u64, port: u16) -> Result<()> {
    let mut addresses: Vec<(String, String)> = vec![
        ("INBOX".to_owned(), stage.inbox_address.to_string()),
        ("MAIL".to_owned(), stage.mail_address.to_string()),
        ("FERULA".to_owned(), format!("127.0.0.1:{port}")),
    ];
    for (service, address) in &stage.targets {
        let name = match service {
            Service::Shop(instance) => format!("SHOP_{instance}"),
            Service::Auth => "AUTH".to_owned(),
            Service::Machine => "NODE".to_owned(),
            Service::Worker => "WORKER".to_owned(),
            Service::Cluster => "CLUSTER".to_owned(),
        };
        addresses.push((name, address.to_string()));
    }
    let files = [
        "demo/prometheus.yml",
        "demo/alertmanager.yml",
        "config/rules/machine.yml",
        "config/rules/service.yml",
        "config/rules/slo.yml",
    ];
    for file in files {
        let path = root().join(file);
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let mut text = divide_durations(&text, factor);
        if file.starts_with("demo/") {
            for (name, address) in &addresses {
                text = text.replace(name.as_str(), address);
            }
        }
        let name = path.file_name().context("a file has a name")?;
        std::fs::write(directory.join(name), text).context("writing the configuration")?;
    }
    Ok(())
}
