//! Runs the real Prometheus against the same simulated APIs: it must show the same discovered labels.

mod hour;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ferula_http_client::{HttpClient, Request};
use ferula_testkit::shared::peer;
use serde_json::Value as Json;

use crate::mechanism::tests as mechanisms;
use crate::played::{PlayedServer, TestBed};

/// Labels that are newer than Prometheus 3.5, the version used for the comparison.
const NEWER_LABELS: [&str; 3] =
    ["__meta_docker_container_image", "__meta_ec2_default_ipv6_address", "__meta_kubernetes_node_condition_"];

/// Prometheus 3.5 does not find IPv6 addresses of containers without ports, nor network cards of Scaleway
/// instances; later versions do.
fn is_comparable(target: &str) -> bool {
    !target.contains("__meta_docker_container_name=/six ")
        && !target.contains("__meta_scaleway_instance_id=i2 ")
}

/// Services whose address Prometheus takes from an environment variable, by job name.
const BY_ENVIRONMENT: [(&str, &str, &str); 1] = [("linode", "LINODE_URL", "https://api.linode.com")];

struct Prometheus {
    process: Child,
    address: String,
    _directory: tempfile::TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Prometheus {
    fn start(program: &Path, jobs: &[(String, String)], environment: &[(&str, String)]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut config = String::from("global: {scrape_interval: 1h}\nscrape_configs:\n");
        for (name, discovery) in jobs {
            let indented = discovery.replace('\n', "\n  ");
            // Otherwise, targets that differ only in their discovered labels would be merged.
            let relabelling = "relabel_configs: [{action: labelmap, regex: '__meta_(.*)'}]";
            config.push_str(&format!("- job_name: {name}\n  {indented}\n  {relabelling}\n"));
        }
        let file = directory.path().join("prometheus.yml");
        std::fs::write(&file, config).expect("written");
        let mut process = Command::new(program)
            .envs(environment.iter().map(|(name, value)| (*name, value.as_str())))
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .arg("--web.listen-address=127.0.0.1:0")
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("Prometheus starts");
        let mut lines = BufReader::new(process.stderr.take().expect("piped")).lines();
        let address = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let rest = line.split("Listening on").nth(1)?;
            Some(rest.split("address=").nth(1)?.split_whitespace().next()?.to_owned())
        });
        std::thread::spawn(move || {
            let told = ["level=ERROR", "panic", "fatal"];
            let lines = lines.map_while(Result::ok);
            lines
                .filter(|line| told.iter().any(|word| line.contains(word)))
                .for_each(|line| eprintln!("{line}"));
        });
        let address = address.expect("Prometheus listens");
        Prometheus { process, address, _directory: directory }
    }

    /// The discovered labels of each target of a job, without those that every target has.
    async fn targets(&self, client: &HttpClient, job: &str) -> BTreeSet<String> {
        let url = format!("http://{}/api/v1/targets", self.address);
        let response = loop {
            let request = Request::get(&url).expect("a URL");
            let response = client.send(request).await.expect("an answer");
            // It listens before it is ready.
            if response.status().as_u16() != 503 {
                break response;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        };
        let body = response.bytes(64 << 20).await.expect("a body");
        let answer: Json = serde_json::from_slice(&body).expect("JSON");
        let active = answer["data"]["activeTargets"].as_array().cloned().unwrap_or_default();
        let dropped = answer["data"]["droppedTargets"].as_array().cloned().unwrap_or_default();
        active
            .iter()
            .chain(&dropped)
            .map(|target| target["discoveredLabels"].as_object().expect("labels"))
            .filter(|labels| labels["job"] == job)
            .map(|labels| {
                let address = labels["__address__"].as_str().unwrap_or_default().to_owned();
                // Labels that every target gets from its job.
                let of_job = ["__address__", "__scheme__", "__metrics_path__", "job"];
                let own = labels
                    .iter()
                    .filter(|(name, _)| !name.starts_with("__scrape_") && !of_job.contains(&name.as_str()));
                own.fold(address, |text, (name, value)| {
                    format!("{text} {name}={}", value.as_str().unwrap_or_default())
                })
            })
            .collect()
    }
}

/// Whether the available Prometheus has the mechanism; distributions omit some.
fn knows(promtool: &Path, discovery: &str) -> bool {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("f.yml");
    let indented = discovery.replace('\n', "\n  ");
    std::fs::write(&file, format!("scrape_configs:\n- job_name: a\n  {indented}\n")).expect("written");
    let checked = Command::new(promtool).args(["check", "config", "--syntax-only"]).arg(&file).output();
    checked.expect("promtool runs").status.success()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_prometheus_discovers_the_same() {
    let (Some(prometheus), Some(promtool)) = (peer("prometheus"), peer("promtool")) else { return };
    let mut servers = mechanisms::played().await;
    servers.retain(|(name, _, discovery)| {
        let known = knows(&promtool, discovery);
        if !known {
            println!("{name}: skipped, this Prometheus does not have it");
        }
        known
    });
    let jobs: Vec<(String, String)> =
        servers.iter().map(|(name, _, discovery)| (name.clone(), discovery.clone())).collect();
    let moved = |name: &str| BY_ENVIRONMENT.iter().find(|(job, ..)| *job == name);
    let environment: Vec<(&str, String)> = servers
        .iter()
        .filter_map(|(name, (server, _), _)| Some((moved(name)?.1, format!("http://{}", server.address))))
        .collect();
    let prometheus = Prometheus::start(&prometheus, &jobs, &environment);
    let client = HttpClient::new(&Default::default(), "test").expect("a client");
    let mut wrong = Vec::new();
    for (name, (server, count), discovery) in &servers {
        let services: Vec<(&str, &str)> =
            moved(name).iter().map(|(_, _, real)| (*real, server.address.as_str())).collect();
        let bed = TestBed::in_real_time(discovery, &services);
        let known = |label: &&str| !NEWER_LABELS.iter().any(|newer| label.starts_with(newer));
        let without_newer = |target: String| target.split(' ').filter(known).collect::<Vec<_>>().join(" ");
        let found = bed.targets(*count).await.into_iter().map(without_newer);
        let ours: BTreeSet<String> = found.filter(|target| is_comparable(target)).collect();
        let start = Instant::now();
        let mut theirs = BTreeSet::new();
        while theirs != ours && start.elapsed() < Duration::from_secs(120) {
            tokio::time::sleep(Duration::from_millis(200)).await;
            theirs = prometheus.targets(&client, name).await;
            theirs.retain(|target| is_comparable(target));
        }
        if theirs != ours {
            let only = |these: &BTreeSet<String>, those: &BTreeSet<String>| {
                these.difference(those).map(|line| format!("    {line}\n")).collect::<String>()
            };
            wrong.push(format!(
                "{name}\n  only in ferula:\n{}  only in Prometheus:\n{}",
                only(&ours, &theirs),
                only(&theirs, &ours)
            ));
        }
        println!("{name}: {} targets", ours.len());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Kept alive during the comparison.
pub(crate) type Played = (String, (PlayedServer, usize), String);
