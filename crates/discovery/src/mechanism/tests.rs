//! Every discovery key of the configuration has a mechanism or is named as pending, and all mechanisms behave alike.

use ferula_config::discovery::{DiscoveryConfigs, PENDING};

use super::{consul, docker, dockerswarm, kubernetes, marathon, nomad, puppetdb, table};
use crate::peer_tests::Played;
use crate::played::{Play, PlayedServer};

/// Every mechanism that can be played, with its number of targets and its section.
pub(crate) async fn played() -> Vec<Played> {
    let mut all = Vec::new();
    let mut add = |name: &str, server: PlayedServer, count: usize, section: String| {
        all.push((name.to_owned(), (server, count), section));
    };
    let list = r#"[{"Targets":["a:1","[::1]:2"],"LABELS":{"x":"\ud83d","y":"é"}},{"targets":["c:3"]}]"#;
    let server = PlayedServer::start(move |_| Play::Json(list.to_owned())).await;
    let section = format!("http_sd_configs: [{{url: 'http://{}/t?a=b'}}]", server.address);
    add("http", server, 3, section);

    let server = PlayedServer::start(consul::tests::agent).await;
    let section = consul::tests::section(&server.address);
    add("consul", server, 2, section);

    let server = PlayedServer::start(docker::tests::daemon).await;
    let section = docker::tests::section(&server.address);
    add("docker", server, 5, section);

    for (role, count) in [("nodes", 1), ("services", 2), ("tasks", 2)] {
        let server = PlayedServer::start(dockerswarm::tests::daemon).await;
        let section = dockerswarm::tests::section(&server.address, role);
        add(&format!("dockerswarm_{role}"), server, count, section);
    }

    let server = PlayedServer::of_paths(nomad::tests::PATHS).await;
    let section = nomad::tests::section(&server.address);
    add("nomad", server, 1, section);

    let server = PlayedServer::start(marathon::tests::play).await;
    let section = marathon::tests::section(&server.address);
    add("marathon", server, 8, section);

    let server = PlayedServer::start(puppetdb::tests::play).await;
    let section = puppetdb::tests::section(&server.address);
    add("puppetdb", server, 1, section);

    for (role, count) in kubernetes::tests::ROLES {
        let cluster = kubernetes::tests::Cluster::new();
        kubernetes::tests::fill(&cluster);
        let server = PlayedServer::start(move |asked| cluster.play(asked)).await;
        let section = kubernetes::tests::section(&server.address, role, "");
        add(&format!("kubernetes_{role}"), server, count, section);
    }
    all
}

#[test]
fn every_mechanism_of_the_configuration_is_run_or_named_as_not_supported() {
    let mut missing = Vec::new();
    for (key, _) in DiscoveryConfigs::default().counts() {
        let name = key.strip_suffix("_sd_configs").unwrap_or("static");
        let runs = table().iter().any(|mechanism| mechanism.name == name);
        if runs == PENDING.contains(&key) {
            missing.push(key);
        }
    }
    assert_eq!(missing, Vec::<&str>::new(), "in both places or in none");
}
