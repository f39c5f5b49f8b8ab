//! `ionos` against a simulated API: several network cards, servers without addresses.

use crate::played::{Play, PlayedServer, ReceivedRequest, TestBed};

const SERVERS: &str = r#"{"id": "dc/servers", "items": [
 {"id": "s1", "metadata": {"state": "AVAILABLE"}, "properties": {"name": "web", "availabilityZone": "AUTO", "cpuFamily": "INTEL",
   "vmState": "RUNNING", "type": "ENTERPRISE", "bootVolume": {"id": "v1"}, "bootCdrom": null},
  "entities": {"nics": {"items": [{"properties": {"name": "my nic", "ips": ["10.0.0.1"]}}, {"properties": {"ips": ["1.2.3.4", "1.2.3.5"]}}]},
   "volumes": {"items": [{"properties": {"image": "img"}}]}}},
 {"id": "s2", "properties": {"name": "none"}, "entities": {"nics": {"items": []}}}]}"#;

pub(crate) fn play(request: &ReceivedRequest) -> Play {
    match request.target.as_str() {
        "/cloudapi/v6/datacenters/dc%2F1/servers?depth=3" => Play::Json(SERVERS.to_owned()),
        _ => Play::Raw("404 Not Found", String::new(), Vec::new()),
    }
}

pub(crate) const SECTION: &str =
    "ionos_sd_configs: [{datacenter_id: dc/1, refresh_interval: 1s, basic_auth: {username: u, password: p}}]";

#[tokio::test]
async fn servers_have_the_address_of_their_newest_card() {
    let server = PlayedServer::start(play).await;
    let bed = TestBed::with_services(SECTION, &[(super::API, &server.address)]);
    assert_eq!(
        bed.targets(1).await,
        ["1.2.3.4:80 __meta_ionos_server_availability_zone=AUTO __meta_ionos_server_boot_image_id=img \
          __meta_ionos_server_boot_volume_id=v1 __meta_ionos_server_cpu_family=INTEL __meta_ionos_server_id=s1 \
          __meta_ionos_server_ip=,1.2.3.4,1.2.3.5,10.0.0.1, __meta_ionos_server_lifecycle=AVAILABLE \
          __meta_ionos_server_name=web __meta_ionos_server_nic_ip_my_nic=,10.0.0.1, \
          __meta_ionos_server_nic_ip_unnamed=,1.2.3.4,1.2.3.5, __meta_ionos_server_servers_id=dc/servers \
          __meta_ionos_server_state=RUNNING __meta_ionos_server_type=ENTERPRISE"]
    );
    assert_eq!(server.requests.lock().expect("a test")[0].headers["authorization"], "Basic dTpw");
}
