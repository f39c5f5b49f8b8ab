//! `hetzner` against a simulated server: its labels, and its behaviour on errors of the server.

use super::*;
use crate::played::{Play, PlayedServer, round_of, section_of};

#[tokio::test]
async fn cloud_servers_have_their_networks_and_labels() {
    let server = PlayedServer::start(|request| {
        Play::Json(match request.target.as_str() {
            "/servers?label_selector=a%3D%3Db&page=1&per_page=50" => r#"{"servers": [{"id": 42, "name": "s", "status": "running",
                "public_net": {"ipv4": {"ip": "1.2.3.4"}, "ipv6": {"ip": "2001:db8::/64"}},
                "private_net": [{"network": 7, "ip": "10.0.0.2"}],
                "server_type": {"name": "cx11", "cores": 1, "cpu_type": "shared", "memory": 1.5, "disk": 25},
                "datacenter": {"location": {"name": "fsn1", "network_zone": "eu-central"}},
                "image": {"name": "deb", "description": "Debian 12", "os_flavor": "debian", "os_version": "12"},
                "labels": {"my-key": "v"}}], "meta": {"pagination": {"next_page": 2}}}"#
                .to_owned(),
            "/servers?label_selector=a%3D%3Db&page=2&per_page=50" => {
                r#"{"servers": [{"id": 43, "public_net": {"ipv4": null}, "image": null,
                    "location": {"name": "hel1", "network_zone": "z"}}], "meta": {"pagination": {"next_page": 2}}}"#
                    .to_owned()
            }
            "/networks?page=1&per_page=50" => {
                r#"{"networks": [{"id": 7, "name": "my net"}], "meta": {"pagination": {"next_page": null}}}"#.to_owned()
            }
            other => panic!("{other}"),
        })
    })
    .await;
    let (section, context) =
        section_of::<Hetzner>("hetzner_sd_configs: [{role: hcloud, label_selector: 'a==b'}]");
    let mut mechanism = Hetzner::new(section, &context).expect("a provider");
    mechanism.base = format!("http://{}", server.address);
    let targets = round_of(&mut mechanism).await;
    assert_eq!(
        targets[0],
        "1.2.3.4:80 __meta_hetzner_hcloud_cpu_cores=1 __meta_hetzner_hcloud_cpu_type=shared \
         __meta_hetzner_hcloud_datacenter_location=fsn1 \
         __meta_hetzner_hcloud_datacenter_location_network_zone=eu-central __meta_hetzner_hcloud_disk_size_gb=25 \
         __meta_hetzner_hcloud_image_description=Debian 12 __meta_hetzner_hcloud_image_name=deb \
         __meta_hetzner_hcloud_image_os_flavor=debian __meta_hetzner_hcloud_image_os_version=12 \
         __meta_hetzner_hcloud_label_my_key=v __meta_hetzner_hcloud_labelpresent_my_key=true \
         __meta_hetzner_hcloud_location=fsn1 __meta_hetzner_hcloud_location_network_zone=eu-central \
         __meta_hetzner_hcloud_memory_size_gb=1 __meta_hetzner_hcloud_private_ipv4_my_net=10.0.0.2 \
         __meta_hetzner_hcloud_server_type=cx11 __meta_hetzner_public_ipv4=1.2.3.4 \
         __meta_hetzner_public_ipv6_network=2001:db8::/64 __meta_hetzner_role=hcloud __meta_hetzner_server_id=42 \
         __meta_hetzner_server_name=s __meta_hetzner_server_status=running"
    );
    assert!(targets[1].starts_with("<nil>:80 ") && targets[1].contains("_location=hel1 "), "{}", targets[1]);
}

#[tokio::test]
async fn dedicated_servers_have_their_first_ipv6_network() {
    let server = PlayedServer::of_paths(&[(
        "/server",
        r#"[{"server": {"server_ip": "1.2.3.4", "server_number": 5, "server_name": "n", "dc": "FSN1-DC5", "status": "ready",
            "product": "AX", "cancelled": true, "subnet": [{"ip": "1.2.3.0", "mask": "24"}, {"ip": "2001:db8::", "mask": "64"}]}}]"#,
    )])
    .await;
    let (section, context) = section_of::<Hetzner>("hetzner_sd_configs: [{role: robot, port: 9100}]");
    let mut mechanism = Hetzner::new(section, &context).expect("a provider");
    mechanism.base = format!("http://{}", server.address);
    assert_eq!(
        round_of(&mut mechanism).await,
        ["1.2.3.4:9100 __meta_hetzner_datacenter=fsn1-dc5 __meta_hetzner_public_ipv4=1.2.3.4 \
          __meta_hetzner_public_ipv6_network=2001:db8::/64 __meta_hetzner_robot_cancelled=true \
          __meta_hetzner_robot_datacenter=fsn1-dc5 __meta_hetzner_robot_product=AX __meta_hetzner_role=robot \
          __meta_hetzner_server_id=5 __meta_hetzner_server_name=n __meta_hetzner_server_status=ready"]
    );
}
