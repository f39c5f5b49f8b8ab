//! `consul` against a simulated server: its labels, and its behaviour on errors of the server.

use std::sync::{Arc, Mutex};

use ferula_config::Config;

use super::Consul;
use crate::played::{Play, PlayedServer, ReceivedRequest, TestBed, context};
use crate::provider::{Output, Provider};

const WEB: &str = r#"[
  {"Node": {"Node": "n1", "Address": "10.0.0.1", "Meta": {"rack-1": "r"}, "TaggedAddresses": {"lan": "10.0.0.1", "wan": "8.8.8.8"}},
   "Service": {"ID": "web-1", "Service": "web", "Tags": ["a", "b"], "Address": "", "Port": 80, "Meta": {"v": "2"}},
   "Checks": [{"CheckID": "c", "Status": "passing"}, {"CheckID": "d", "Status": "warning"}]},
  {"Node": {"Node": "n2", "Address": "fd00::2", "Meta": null, "TaggedAddresses": null},
   "Service": {"ID": "web-2", "Service": "web", "Tags": null, "Address": "fd00::3", "Port": 81, "Namespace": "ns", "Partition": "p"},
   "Checks": [{"CheckID": "_node_maintenance", "Status": "critical"}]}
]"#;

fn indexed(index: &str, body: &str) -> Play {
    let headers = format!("Content-Type: application/json\r\nX-Consul-Index: {index}\r\n");
    Play::Raw("200 OK", headers, body.as_bytes().to_vec())
}

/// An agent with the service `web`.
pub(crate) fn agent(request: &ReceivedRequest) -> Play {
    match request.target.split('?').next().unwrap_or_default() {
        "/v1/agent/self" => Play::Json(r#"{"Config": {"Datacenter": "dc1"}}"#.to_owned()),
        // Nothing changes, so the request is held.
        _ if request.target.contains("index=") => Play::Stream(Vec::new()),
        "/v1/catalog/services" => indexed("5", r#"{"consul": [], "web": ["a", "b"]}"#),
        "/v1/health/service/web" => indexed("7", WEB),
        _ => indexed("7", "[]"),
    }
}

pub(crate) fn section(address: &str) -> String {
    format!("consul_sd_configs: [{{server: '{address}', refresh_interval: 1s}}]")
}

#[tokio::test]
async fn instances_have_the_labels_of_node_service_and_checks() {
    let server = PlayedServer::start(agent).await;
    let bed = TestBed::new(&section(&server.address));
    assert_eq!(
        bed.targets(2).await,
        [
            "10.0.0.1:80 __meta_consul_address=10.0.0.1 __meta_consul_dc=dc1 __meta_consul_health=warning \
             __meta_consul_metadata_rack_1=r __meta_consul_node=n1 __meta_consul_service=web \
             __meta_consul_service_id=web-1 __meta_consul_service_metadata_v=2 __meta_consul_service_port=80 \
             __meta_consul_tagged_address_lan=10.0.0.1 __meta_consul_tagged_address_wan=8.8.8.8 \
             __meta_consul_tags=,a,b,",
            "[fd00::3]:81 __meta_consul_address=fd00::2 __meta_consul_dc=dc1 __meta_consul_health=maintenance \
             __meta_consul_namespace=ns __meta_consul_node=n2 __meta_consul_partition=p __meta_consul_service=web \
             __meta_consul_service_address=fd00::3 __meta_consul_service_id=web-2 __meta_consul_service_port=81 \
             __meta_consul_tags=,,",
        ]
    );
}

#[tokio::test]
async fn services_come_and_go_and_stay_while_consul_fails() {
    // The catalog, whose index counts its changes, and whether the agent is down.
    let state = Arc::new(Mutex::new((1, r#"{"web": []}"#, false)));
    let played = state.clone();
    let server = PlayedServer::start(move |request| {
        let (index, services, is_down) = *played.lock().expect("a test");
        let path = request.target.split('?').next().unwrap_or_default();
        if is_down {
            return Play::Raw("500 Internal Server Error", String::new(), b"No cluster leader".to_vec());
        }
        match path {
            "/v1/catalog/services" => indexed(&index.to_string(), services),
            "/v1/health/service/web" => indexed("3", WEB),
            "/v1/health/service/db" => {
                indexed("4", r#"[{"Node": {"Address": "10.0.0.9"}, "Service": {"Port": 1}, "Checks": []}]"#)
            }
            _ => Play::Close,
        }
    })
    .await;
    let bed = TestBed::new(&format!(
        "consul_sd_configs: [{{server: '{}', refresh_interval: 1s, datacenter: d, token: T, filter: 'x == 1'}}]",
        server.address
    ));
    bed.targets(2).await;
    *state.lock().expect("a test") = (2, r#"{"web": [], "db": []}"#, false);
    bed.targets(3).await;
    let request = server.requests.lock().expect("a test").clone();
    assert!(request.iter().all(|request| request.headers["x-consul-token"] == "T"));
    assert!(request.iter().any(|request| {
        request.target.contains("/v1/catalog/services?dc=d&wait=120000ms&stale=&filter=x+%3D%3D+1")
    }));
    *state.lock().expect("a test") = (3, "{}", true);
    bed.wait_for_metric("prometheus_sd_consul_rpc_failures_total", 3.0).await;
    assert_eq!(bed.metric("prometheus_sd_discovered_targets"), 3.0);
    *state.lock().expect("a test") = (3, r#"{"db": []}"#, false);
    assert_eq!(bed.targets(1).await.len(), 1);
}

/// Every send replaces all groups. If one were made outside the lock, another watch could send a newer state
/// in between, and the older one would remain.
#[tokio::test]
async fn groups_are_read_and_sent_under_the_same_lock() {
    let server = PlayedServer::start(agent).await;
    let yaml = format!("scrape_configs:\n- job_name: a\n  {}\n", section(&server.address));
    let config = Config::parse(&yaml).expect("a good configuration");
    let section = Consul::sections(&config.scrape_configs[0].discovery).remove(0);
    let consul = Consul::new(section, &context()).expect("a provider");
    let inner = consul.0.clone();
    let (sent, mut sends) = tokio::sync::mpsc::unbounded_channel();
    let output = Output::new(move |groups| {
        let _ = sent.send((inner.groups.try_lock().is_err(), groups.len()));
    });
    tokio::spawn(consul.run(output));
    loop {
        let (is_locked, groups) = sends.recv().await.expect("the provider runs");
        assert!(is_locked, "sent outside the lock");
        if groups == 2 {
            break;
        }
    }
}
