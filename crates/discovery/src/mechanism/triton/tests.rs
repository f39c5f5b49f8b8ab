//! `triton` against a simulated API over TLS: both roles, groups.

use crate::played::{Play, PlayedServer, ReceivedRequest, TestBed};

pub(crate) fn play(request: &ReceivedRequest) -> Play {
    match request.target.as_str() {
        "/v1/discover?groups=a%2Cb+c" | "/v1/discover" => Play::Json(
            r#"{"containers": [{"groups": ["a", "b c"], "server_uuid": "s", "vm_alias": "al", "vm_brand": "lx",
               "vm_image_uuid": "im", "vm_uuid": "u1"}, {"vm_uuid": "u2"}]}"#
                .to_owned(),
        ),
        "/v1/gz/discover" => {
            Play::Json(r#"{"cns": [{"server_uuid": "n1", "server_hostname": "host"}]}"#.to_owned())
        }
        _ => Play::Raw("404 Not Found", String::new(), b"{}".to_vec()),
    }
}

pub(crate) fn section(address: &str, more: &str) -> String {
    let (host, port) = address.split_once(':').expect("a port");
    format!(
        "triton_sd_configs: [{{account: x, dns_suffix: triton.example, endpoint: {host}, port: {port}, \
         refresh_interval: 1s, tls_config: {{insecure_skip_verify: true}}{more}}}]"
    )
}

#[tokio::test]
async fn containers_and_nodes_are_read() {
    let server = PlayedServer::start_tls(play).await;
    let port = server.address.split(':').nth(1).expect("a port");
    let bed = TestBed::new(&section(&server.address, ", groups: [a, b c]"));
    assert_eq!(
        bed.targets(2).await,
        [
            format!(
                "u1.triton.example:{port} __meta_triton_groups=,a,b c, __meta_triton_machine_alias=al \
                 __meta_triton_machine_brand=lx __meta_triton_machine_id=u1 __meta_triton_machine_image=im \
                 __meta_triton_server_id=s"
            ),
            format!("u2.triton.example:{port} __meta_triton_machine_id=u2")
        ]
    );
    let bed = TestBed::new(&section(&server.address, ", role: cn"));
    let node =
        format!("n1.triton.example:{port} __meta_triton_machine_alias=host __meta_triton_machine_id=n1");
    assert_eq!(bed.targets(1).await, [node]);
}
