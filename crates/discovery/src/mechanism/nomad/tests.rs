//! `nomad` against a simulated server: its labels, and its behaviour on errors of the server.

use crate::played::{PlayedServer, TestBed};

pub(crate) const PATHS: &[(&str, &str)] = &[
    (
        "/v1/services",
        r#"[{"Namespace": "default", "Services": [{"ServiceName": "web", "Tags": ["a"]}, {"ServiceName": "db/x", "Tags": null}]}]"#,
    ),
    (
        "/v1/service/web",
        r#"[{"ID": "i1", "ServiceName": "web", "Namespace": "default", "NodeID": "k", "Datacenter": "dc1", "Tags": ["a", "b"], "Address": "10.0.0.1", "Port": 80}]"#,
    ),
    ("/v1/service/db%2Fx", "null"),
];

pub(crate) fn section(address: &str) -> String {
    format!("nomad_sd_configs: [{{server: 'http://{address}', refresh_interval: 5s}}]")
}

#[tokio::test]
async fn instances_of_all_services_are_targets() {
    let server = PlayedServer::of_paths(PATHS).await;
    let bed = TestBed::new(&section(&server.address));
    assert_eq!(
        bed.targets(1).await,
        ["10.0.0.1:80 __meta_nomad_address=10.0.0.1 __meta_nomad_dc=dc1 __meta_nomad_namespace=default \
          __meta_nomad_node_id=k __meta_nomad_service=web __meta_nomad_service_address=10.0.0.1 \
          __meta_nomad_service_id=i1 __meta_nomad_service_port=80 __meta_nomad_tags=,a,b,"]
    );
    assert_eq!(
        server.targets()[..3],
        ["/v1/services", "/v1/service/web", "/v1/service/db%2Fx"]
            .map(|path| format!("{path}?namespace=default&region=global&stale="))
    );
}
