//! `vultr` against a simulated server: its labels, and its behaviour on errors of the server.

use super::*;
use crate::played::{Play, PlayedServer, round_of, section_of};

#[tokio::test]
async fn instances_are_read_page_by_page() {
    let server = PlayedServer::start(|request| {
        Play::Json(match request.target.as_str() {
            "/v2/instances?per_page=100" => r#"{"instances": [{"id": "i1", "label": "l", "os": "Debian", "os_id": 5, "region": "fra",
                "plan": "p", "main_ip": "1.2.3.4", "v6_main_ip": "fd00::1", "internal_ip": "10.0.0.1", "hostname": "h",
                "server_status": "ok", "vcpu_count": 2, "ram": 1024, "disk": 55, "allowed_bandwidth": 2000,
                "features": ["ipv6"], "tags": ["a", "b"]}], "meta": {"links": {"next": "bmV4dA=="}}}"#
                .to_owned(),
            "/v2/instances?per_page=100&cursor=bmV4dA%3D%3D" => {
                r#"{"instances": [{"id": "i2", "main_ip": "5.6.7.8"}], "meta": {"links": {"next": ""}}}"#.to_owned()
            }
            other => panic!("{other}"),
        })
    })
    .await;
    let (section, context) = section_of::<Vultr>("vultr_sd_configs: [{port: 9}]");
    let mut mechanism = Vultr::new(section, &context).expect("a provider");
    mechanism.base = format!("http://{}", server.address);
    let zeros = "__meta_vultr_instance_allowed_bandwidth_gb=0 __meta_vultr_instance_disk_gb=0 __meta_vultr_instance_id=i2";
    assert_eq!(
        round_of(&mut mechanism).await,
        [
            "1.2.3.4:9 __meta_vultr_instance_allowed_bandwidth_gb=2000 __meta_vultr_instance_disk_gb=55 \
             __meta_vultr_instance_features=,ipv6, __meta_vultr_instance_hostname=h __meta_vultr_instance_id=i1 \
             __meta_vultr_instance_internal_ip=10.0.0.1 __meta_vultr_instance_label=l \
             __meta_vultr_instance_main_ip=1.2.3.4 __meta_vultr_instance_main_ipv6=fd00::1 \
             __meta_vultr_instance_os=Debian __meta_vultr_instance_os_id=5 __meta_vultr_instance_plan=p \
             __meta_vultr_instance_ram_mb=1024 __meta_vultr_instance_region=fra \
             __meta_vultr_instance_server_status=ok __meta_vultr_instance_tags=,a,b, __meta_vultr_instance_vcpu_count=2"
                .to_owned(),
            format!(
                "5.6.7.8:9 {zeros} __meta_vultr_instance_main_ip=5.6.7.8 __meta_vultr_instance_os_id=0 \
                 __meta_vultr_instance_ram_mb=0 __meta_vultr_instance_vcpu_count=0"
            ),
        ]
    );
}
