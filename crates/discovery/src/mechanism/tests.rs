//! Every discovery key of the configuration has a mechanism, and all mechanisms behave alike.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ferula_config::discovery::DiscoveryConfigs;

use super::{
    aws, azure, consul, docker, dockerswarm, eureka, gce, ionos, kubernetes, kuma, linode, marathon, nomad,
    oci, openstack, outscale, ovhcloud, puppetdb, scaleway, stackit, table, triton, uyuni, zookeeper,
};
use crate::peer_tests::Played;
use crate::played::{Play, PlayedServer, RSA_KEY, ReceivedRequest, TestBed, untrusted};

/// Every mechanism that can be simulated, with its number of targets and its section.
pub(crate) async fn played() -> Vec<Played> {
    let mut all = Vec::new();
    let mut add = |name: &str, server: PlayedServer, count: usize, section: String| {
        all.push((name.to_owned(), (server, count), section));
    };
    let list = r#"[{"Targets":["a:1","[::1]:2"],"LABELS":{"x":"\ud83d","y":"é","z":"a\u0000b"}},{"targets":["c:3"]}]"#;
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

    let server = PlayedServer::start(eureka::tests::play).await;
    let section = eureka::tests::section(&server.address);
    add("eureka", server, 2, section);

    let server = PlayedServer::start(kuma::tests::play).await;
    let section = kuma::tests::section(&server.address);
    add("kuma", server, 2, section);

    let server = PlayedServer::start(uyuni::tests::play).await;
    let section = uyuni::tests::section(&server.address);
    add("uyuni", server, 2, section);

    for (role, zone, count) in [("instance", "fr-par-1", 2), ("baremetal", "fr-par-2", 1)] {
        let server = PlayedServer::start(scaleway::tests::play).await;
        let section = scaleway::tests::section(&server.address, role, zone);
        add(&format!("scaleway_{role}"), server, count, section);
    }

    for service in ["vps", "dedicated_server"] {
        let server = PlayedServer::start(ovhcloud::tests::play).await;
        let section = ovhcloud::tests::section(&server.address, service);
        add(&format!("ovhcloud_{service}"), server, 1, section);
    }

    for (role, count) in [("hypervisor", 1), ("instance", 3), ("loadbalancer", 1)] {
        let server = PlayedServer::start(openstack::tests::play).await;
        let section = openstack::tests::section(&server.address, role);
        add(&format!("openstack_{role}"), server, count, section);
    }

    for (more, count) in [("", 2), (", role: cn", 1)] {
        let server = PlayedServer::start_tls(triton::tests::play).await;
        let section = triton::tests::section(&server.address, more);
        add(&format!("triton{}", more.replace(", role: ", "_")), server, count, section);
    }

    let server = PlayedServer::start(linode::tests::play).await;
    add("linode", server, 2, linode::tests::SECTION.to_owned());

    let server = PlayedServer::start(aws::tests::query).await;
    let section = aws::tests::section("ec2_sd_configs", &server.address, "");
    add("ec2", server, 2, section);

    let server = PlayedServer::start(aws::tests::json).await;
    let section = aws::tests::section("lightsail_sd_configs", &server.address, "");
    add("lightsail", server, 1, section);

    let server = PlayedServer::start(outscale::tests::play).await;
    let section = outscale::tests::section(&server.address);
    add("outscale", server, 2, section);

    let server = PlayedServer::start(stackit::tests::play).await;
    let section = stackit::tests::section(&server.address, "");
    add("stackit", server, 1, section);

    // Not over HTTP: the server is not used here.
    for (kind, nodes, path, count) in [
        ("serverset", zookeeper::tests::SERVERSET, "/discovery", 2),
        ("nerve", zookeeper::tests::NERVE, "/nerve", 1),
    ] {
        let zookeeper = zookeeper::tests::PlayedZooKeeper::start(nodes).await;
        let section = zookeeper::tests::section(kind, &zookeeper.address, path);
        let unused = PlayedServer::start(|_| Play::Close).await;
        add(kind, unused, count, section);
    }

    for (role, count) in kubernetes::tests::ROLES {
        let cluster = kubernetes::tests::Cluster::new();
        kubernetes::tests::fill(&cluster);
        let server = PlayedServer::start(move |request| cluster.play(request)).await;
        let section = kubernetes::tests::section(&server.address, role, "");
        add(&format!("kubernetes_{role}"), server, count, section);
    }
    all
}

/// A mechanism over HTTP: its section with `ADDRESS` for the server, the services that are simulated there,
/// and the server's answers.
struct OverHttp {
    name: &'static str,
    section: String,
    services: Vec<&'static str>,
    play: Box<dyn Fn(&ReceivedRequest) -> Play + Send + Sync>,
    targets: usize,
    /// The metric that counts failed rounds.
    failures: &'static str,
    uses_tls: bool,
}

const ADDRESS: &str = "ADDRESS";
/// For sections that name host and port apart.
const TLS_ADDRESS: &str = "HOST:PORT";

fn addressed(section: &str, address: &str) -> String {
    let (host, port) = address.split_once(':').expect("a port");
    section.replace(ADDRESS, address).replace("HOST", host).replace("PORT", port)
}

const REFRESHES: &str = "prometheus_sd_refresh_failures_total";

/// Every mechanism that uses HTTP, except Kubernetes, which lists and watches.
fn over_http(key_file: &str) -> Vec<OverHttp> {
    fn one(
        name: &'static str,
        targets: usize,
        section: String,
        play: impl Fn(&ReceivedRequest) -> Play + Send + Sync + 'static,
    ) -> OverHttp {
        let (play, services) = (Box::new(play), Vec::new());
        OverHttp { name, section, services, play, targets, failures: REFRESHES, uses_tls: false }
    }
    fn fixed(
        name: &'static str,
        targets: usize,
        section: &str,
        services: &[&'static str],
        play: impl Fn(&ReceivedRequest) -> Play + Send + Sync + 'static,
    ) -> OverHttp {
        OverHttp { services: services.to_vec(), ..one(name, targets, section.to_owned(), play) }
    }
    let aws = |key| aws::tests::section(key, ADDRESS, "");
    let ec2 = "https://ec2.us-east-1.amazonaws.com";
    let list = |_: &ReceivedRequest| Play::Json(r#"[{"targets": ["a:1"]}]"#.to_owned());
    let kuma = one("kuma", 2, kuma::tests::section(ADDRESS), |request| {
        // Each answer has a new version, so that the last good one is requested again.
        let mut request = request.clone();
        request.body.clear();
        kuma::tests::play(&request)
    });
    let ecs = |request: &ReceivedRequest| match request.headers.get("x-amz-target") {
        Some(_) => aws::tests::json(request),
        None => aws::tests::query(request),
    };
    let consul = one("consul", 2, consul::tests::section(ADDRESS), |request| {
        // Nothing is held, so that each answer is followed by a request.
        let mut request = request.clone();
        request.target = request.target.replace("index=", "");
        consul::tests::agent(&request)
    });
    let nomad = one("nomad", 1, nomad::tests::section(ADDRESS), |request| {
        let path = request.target.split('?').next().unwrap_or_default();
        let found = nomad::tests::PATHS.iter().find(|(known, _)| *known == path);
        found.map_or(Play::Close, |(_, json)| Play::Json((*json).to_owned()))
    });
    let json = |text: &'static str| move |_: &ReceivedRequest| Play::Json(text.to_owned());
    let swarm = |name, targets, role| {
        one(name, targets, dockerswarm::tests::section(ADDRESS, role), dockerswarm::tests::daemon)
    };
    vec![
        OverHttp { failures: "prometheus_sd_consul_rpc_failures_total", ..consul },
        OverHttp { failures: "prometheus_sd_nomad_failures_total", ..nomad },
        one("docker", 5, docker::tests::section(ADDRESS), docker::tests::daemon),
        swarm("swarm nodes", 1, "nodes"),
        swarm("swarm services", 2, "services"),
        swarm("swarm tasks", 2, "tasks"),
        one("marathon", 8, marathon::tests::section(ADDRESS), marathon::tests::play),
        one("puppetdb", 1, puppetdb::tests::section(ADDRESS), puppetdb::tests::play),
        fixed(
            "digitalocean",
            1,
            "digitalocean_sd_configs: [{authorization: {credentials: T}, refresh_interval: 1s}]",
            &["https://api.digitalocean.com"],
            json(
                r#"{"droplets": [{"id": 1, "networks": {"v4": [{"ip_address": "1.2.3.4", "type": "public"}]}}], "links": {}}"#,
            ),
        ),
        fixed(
            "hetzner robot",
            1,
            "hetzner_sd_configs: [{role: robot, refresh_interval: 1s}]",
            &["https://robot-ws.your-server.de"],
            json(r#"[{"server": {"server_ip": "1.2.3.4"}}]"#),
        ),
        fixed(
            "hetzner cloud",
            1,
            "hetzner_sd_configs: [{role: hcloud, refresh_interval: 1s}]",
            &["https://api.hetzner.cloud/v1"],
            json(
                r#"{"servers": [{"id": 1, "public_net": {"ipv4": {"ip": "1.2.3.4"}}}], "networks": [], "meta": {"pagination": {"next_page": null}}}"#,
            ),
        ),
        fixed(
            "vultr",
            1,
            "vultr_sd_configs: [{refresh_interval: 1s}]",
            &["https://api.vultr.com"],
            json(r#"{"instances": [{"id": "i", "main_ip": "1.2.3.4"}], "meta": {"links": {"next": ""}}}"#),
        ),
        one(
            "http",
            1,
            format!("http_sd_configs: [{{url: 'http://{ADDRESS}/', refresh_interval: 1s}}]"),
            list,
        ),
        OverHttp {
            uses_tls: true,
            ..one("triton", 2, triton::tests::section(TLS_ADDRESS, ""), triton::tests::play)
        },
        one("eureka", 2, eureka::tests::section(ADDRESS), eureka::tests::play),
        OverHttp { failures: "prometheus_sd_kuma_fetch_failures_total", ..kuma },
        one("uyuni", 2, uyuni::tests::section(ADDRESS), uyuni::tests::play),
        one("scaleway", 2, scaleway::tests::section(ADDRESS, "instance", "fr-par-1"), scaleway::tests::play),
        one(
            "baremetal",
            1,
            scaleway::tests::section(ADDRESS, "baremetal", "fr-par-2"),
            scaleway::tests::play,
        ),
        one("ovhcloud", 1, ovhcloud::tests::section(ADDRESS, "vps"), ovhcloud::tests::play),
        one("hypervisor", 1, openstack::tests::section(ADDRESS, "hypervisor"), openstack::tests::play),
        one("instance", 3, openstack::tests::section(ADDRESS, "instance"), openstack::tests::play),
        one("loadbalancer", 1, openstack::tests::section(ADDRESS, "loadbalancer"), openstack::tests::play),
        one("outscale", 2, outscale::tests::section(ADDRESS), outscale::tests::play),
        one("stackit", 1, stackit::tests::section(ADDRESS, ""), stackit::tests::play),
        one("ec2", 2, aws("ec2_sd_configs"), aws::tests::query),
        one("rds", 1, aws("rds_sd_configs"), aws::tests::query),
        one("elasticache", 2, aws("elasticache_sd_configs"), aws::tests::query),
        one("lightsail", 1, aws("lightsail_sd_configs"), aws::tests::json),
        one("msk", 3, aws("msk_sd_configs"), aws::tests::json),
        fixed("ecs", 2, &aws("ecs_sd_configs"), &[ec2], ecs),
        fixed("linode", 2, linode::tests::SECTION, &["https://api.linode.com"], linode::tests::play),
        fixed("ionos", 1, ionos::tests::SECTION, &["https://api.ionos.com"], ionos::tests::play),
        fixed(
            "gce",
            2,
            gce::tests::SECTION,
            &["https://compute.googleapis.com", gce::tests::METADATA],
            gce::tests::play,
        ),
        fixed(
            "azure",
            2,
            azure::tests::SECTION,
            &[azure::tests::MANAGER, azure::tests::AUTHORITY],
            azure::tests::play,
        ),
        fixed(
            "oci",
            1,
            &oci::tests::section(key_file),
            &[oci::tests::IDENTITY, oci::tests::CORE],
            oci::tests::play,
        ),
    ]
}

/// What a server may send in place of a proper answer.
pub(crate) fn bad_answers() -> Vec<(&'static str, fn(&ReceivedRequest) -> Play)> {
    fn ok(body: impl Into<Vec<u8>>) -> Play {
        Play::Raw("200 OK", "Content-Type: application/json\r\n".to_owned(), body.into())
    }
    vec![
        ("closes", |_| Play::Close),
        ("status", |_| Play::Raw("503 Out of order", String::new(), b"later".to_vec())),
        ("empty", |_| ok("")),
        ("html", |_| ok("<!DOCTYPE html><html><body><p>Sign in<br></body></html>")),
        ("well-formed html", |_| ok("<html><body>Sign in</body></html>")),
        ("half", |_| ok(r#"{"data": [{"id": 1"#)),
        ("half xml", |_| ok("<DescribeInstancesResponse><reservationSet><item>")),
        ("deep", |_| ok("[".repeat(10_000))),
        ("deep object", |_| ok(r#"{"a":"#.repeat(10_000))),
        ("deep xml", |_| ok("<a>".repeat(10_000))),
        ("entities", |_| {
            let entity = |at: u32| format!("<!ENTITY e{} '&e{at};&e{at};&e{at};&e{at};'>", at + 1);
            let entities: String = (0..30).map(entity).collect();
            ok(format!("<!DOCTYPE a [<!ENTITY e0 'x'>{entities}]><applications>&e30;</applications>"))
        }),
        ("other shape", |_| ok("[1, 2, \"x\"]")),
        ("not unicode", |_| ok([0xff, 0xfe, 0x00, 0x01])),
        ("redirects", |request| {
            Play::Raw("302 Found", format!("Location: {}\r\n", request.target), Vec::new())
        }),
        ("silent", |_| Play::Stream(Vec::new())),
        ("endless", |_| Play::Endless(b"[{\"a\":1},")),
        ("a gigabyte", |_| Play::Long(b' ', 1 << 30)),
    ]
}

#[tokio::test]
async fn bad_answers_are_counted_and_the_last_good_targets_stay() {
    let key = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(key.path(), RSA_KEY).expect("written");
    for mechanism in over_http(&key.path().display().to_string()) {
        // 0 sends proper answers, other values the bad ones.
        let turn = Arc::new(AtomicUsize::new(0));
        let (current, play, bad) = (turn.clone(), mechanism.play, bad_answers());
        let script = move |request: &ReceivedRequest| match current.load(Ordering::SeqCst) {
            0 => play(request),
            turn => bad[turn - 1].1(request),
        };
        let server = PlayedServer::start_with(script, mechanism.uses_tls.then(untrusted)).await;
        let services: Vec<(&str, &str)> =
            mechanism.services.iter().map(|real| (*real, server.address.as_str())).collect();
        let bed = TestBed::with_services(&addressed(&mechanism.section, &server.address), &services);
        let good = bed.targets(mechanism.targets).await;
        for (at, (answer, _)) in bad_answers().iter().enumerate() {
            let before = bed.metric(mechanism.failures);
            turn.store(at + 1, Ordering::SeqCst);
            bed.wait_for_metric_of(
                mechanism.failures,
                before + 2.0,
                &format!("{}: {answer}", mechanism.name),
            )
            .await;
            assert_eq!(bed.shown(), good, "{}: {answer}", mechanism.name);
        }
        turn.store(0, Ordering::SeqCst);
        // Consul's watches tell of changes only.
        if mechanism.name != "consul" {
            let updates = bed.metric("prometheus_sd_received_updates_total");
            bed.wait_for_metric("prometheus_sd_received_updates_total", updates + 1.0).await;
        }
        assert_eq!(bed.shown(), good, "{}: good again", mechanism.name);
    }
}

#[test]
fn every_mechanism_of_the_configuration_is_run() {
    for (key, _) in DiscoveryConfigs::default().counts() {
        let name = key.strip_suffix("_sd_configs").unwrap_or("static");
        assert!(table().iter().any(|mechanism| mechanism.name == name), "{key}");
    }
}
