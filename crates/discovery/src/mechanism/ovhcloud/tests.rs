//! `ovhcloud` against a simulated API: both services, signatures, an unreadable server.

use crate::played::{Play, PlayedServer, ReceivedRequest, TestBed};

pub(crate) fn play(request: &ReceivedRequest) -> Play {
    let signed = request
        .headers
        .get("x-ovh-signature")
        .is_some_and(|text| text.starts_with("$1$") && text.len() == 43);
    if request.target != "/1.0/auth/time" && !signed {
        return Play::Raw(
            "403 Forbidden",
            String::new(),
            br#"{"message": "Invalid signature", "class": "C"}"#.to_vec(),
        );
    }
    Play::Json(
        match request.target.trim_start_matches("/1.0") {
            "/auth/time" => "1000",
            "/vps" => r#"["vps-1"]"#,
            "/vps/vps-1" => {
                r#"{"zone": "z", "displayName": "d", "cluster": "c", "state": "running", "name": "vps-1", "netbootMode": "local",
                  "memoryLimit": 2048, "offerType": "ssd", "vcore": 1, "model": {"maximumAdditionnalIp": 16, "offer": "VPS 1",
                  "datacenter": ["a", "b"], "vcore": 2, "version": "2019v1", "name": "m", "disk": 40, "memory": 2048}}"#
            }
            "/vps/vps-1/ips" => r#"["192.0.2.1", "2001:db8::1"]"#,
            "/dedicated/server" => r#"["ns1", "broken"]"#,
            "/dedicated/server/ns1" => {
                r#"{"state": "ok", "commercialRange": "RISE-1", "linkSpeed": 100, "rack": "r", "noIntervention": false,
                  "os": "debian11", "supportLevel": "pro", "serverId": 7, "reverse": "ns1.x", "datacenter": "gra2", "name": "ns1"}"#
            }
            "/dedicated/server/ns1/ips" => r#"["1.2.3.4/32", "2001:db8::/64"]"#,
            _ => {
                let body = br#"{"message": "no such object", "class": "Client::NotFound"}"#;
                return Play::Raw("404 Not Found", String::new(), body.to_vec());
            }
        }
        .to_owned(),
    )
}

pub(crate) fn section(address: &str, service: &str) -> String {
    format!(
        "ovhcloud_sd_configs: [{{service: {service}, endpoint: 'http://{address}/1.0', refresh_interval: 1s, \
         application_key: AK, application_secret: AS, consumer_key: CK}}]"
    )
}

#[tokio::test]
async fn servers_of_both_services_are_read() {
    let server = PlayedServer::start(play).await;
    let bed = TestBed::new(&section(&server.address, "vps"));
    assert_eq!(
        bed.targets(1).await,
        [
            "192.0.2.1 __meta_ovhcloud_vps_cluster=c __meta_ovhcloud_vps_datacenter=[a b] __meta_ovhcloud_vps_disk=40 \
          __meta_ovhcloud_vps_display_name=d __meta_ovhcloud_vps_ipv4=192.0.2.1 __meta_ovhcloud_vps_ipv6=2001:db8::1 \
          __meta_ovhcloud_vps_maximum_additional_ip=16 __meta_ovhcloud_vps_memory=2048 \
          __meta_ovhcloud_vps_memory_limit=2048 __meta_ovhcloud_vps_model_name=m __meta_ovhcloud_vps_model_vcore=2 \
          __meta_ovhcloud_vps_name=vps-1 __meta_ovhcloud_vps_netboot_mode=local __meta_ovhcloud_vps_offer=VPS 1 \
          __meta_ovhcloud_vps_offer_type=ssd __meta_ovhcloud_vps_state=running __meta_ovhcloud_vps_vcore=1 \
          __meta_ovhcloud_vps_version=2019v1 __meta_ovhcloud_vps_zone=z instance=vps-1"
        ]
    );
    let bed = TestBed::new(&section(&server.address, "dedicated_server"));
    assert_eq!(
        bed.targets(1).await,
        ["1.2.3.4 __meta_ovhcloud_dedicated_server_commercial_range=RISE-1 \
          __meta_ovhcloud_dedicated_server_datacenter=gra2 __meta_ovhcloud_dedicated_server_ipv4=1.2.3.4 \
          __meta_ovhcloud_dedicated_server_link_speed=100 __meta_ovhcloud_dedicated_server_name=ns1 \
          __meta_ovhcloud_dedicated_server_no_intervention=false __meta_ovhcloud_dedicated_server_os=debian11 \
          __meta_ovhcloud_dedicated_server_rack=r __meta_ovhcloud_dedicated_server_reverse=ns1.x \
          __meta_ovhcloud_dedicated_server_server_id=7 __meta_ovhcloud_dedicated_server_state=ok \
          __meta_ovhcloud_dedicated_server_support_level=pro instance=ns1"]
    );
    // The server's time, whatever the local clock shows.
    let requests = server.requests.lock().expect("a test");
    let times =
        requests.iter().filter_map(|request| request.headers.get("x-ovh-timestamp")?.parse::<i64>().ok());
    assert!(times.into_iter().all(|time| (1000..1100).contains(&time)));
}
