//! `outscale` against a simulated API: signed requests, pages, machines without addresses.

use crate::played::{Play, PlayedServer, ReceivedRequest, TestBed};

pub(crate) fn play(request: &ReceivedRequest) -> Play {
    let authorization = request.headers.get("authorization").map_or("", String::as_str);
    if request.target != "/api/v1/ReadVms" || !authorization.contains("/eu-west-2/oapi/aws4_request") {
        let body = br#"{"Errors": [{"Code": "1", "Details": "denied"}]}"#;
        return Play::Raw("401 Unauthorized", String::new(), body.to_vec());
    }
    Play::Json(match request.body.as_str() {
        "{}" => {
            r#"{"Vms": [{"VmId": "i-1", "State": "running", "PrivateIp": "10.0.0.1", "PublicIp": "1.2.3.4",
              "Placement": {"SubregionName": "eu-west-2a"}, "Tags": [{"Key": "a b", "Value": "v"}, {"Key": "e", "Value": ""}]},
              {"VmId": "i-2", "State": "stopped"}], "NextPageToken": "N"}"#
        }
        _ => r#"{"Vms": [{"VmId": "i-3", "State": "running", "PublicIp": "1.2.3.5"}]}"#,
    }
    .to_owned())
}

pub(crate) fn section(address: &str) -> String {
    format!(
        "outscale_sd_configs: [{{endpoint: 'http://{address}/api/v1', access_key: AK, secret_key: SK, refresh_interval: 1s}}]"
    )
}

#[tokio::test]
async fn machines_are_read_page_by_page() {
    let server = PlayedServer::start(play).await;
    let bed = TestBed::new(&section(&server.address));
    assert_eq!(
        bed.targets(2).await,
        [
            "1.2.3.5:80 __meta_outscale_vm_instance_id=i-3 __meta_outscale_vm_public_ip=1.2.3.5 \
             __meta_outscale_vm_region=eu-west-2 __meta_outscale_vm_state=running",
            "10.0.0.1:80 __meta_outscale_vm_instance_id=i-1 __meta_outscale_vm_private_ip=10.0.0.1 \
             __meta_outscale_vm_public_ip=1.2.3.4 __meta_outscale_vm_region=eu-west-2 \
             __meta_outscale_vm_state=running __meta_outscale_vm_subregion=eu-west-2a __meta_outscale_vm_tag_a_b=v"
        ]
    );
    assert_eq!(server.requests.lock().expect("a test")[1].body, r#"{"NextPageToken":"N"}"#);
}
