//! `scaleway` against a simulated API: both roles, pages, addresses of network cards.

use crate::played::{Play, PlayedServer, ReceivedRequest, TestBed};

const PAGES: [&str; 2] = [
    r#"{"total_count": 2, "servers": [{"id": "i1", "name": "one", "hostname": "h", "organization": "o", "project": "p",
     "state": "running", "commercial_type": "DEV1-S", "boot_type": "local", "zone": "fr-par-1", "tags": ["x", "y"],
     "image": {"id": "im", "name": "Deb", "arch": "x86_64"}, "location": {"cluster_id": "1", "hypervisor_id": "2", "node_id": "3"},
     "security_group": {"id": "sg", "name": "default"}, "public_ip": {"id": "p1", "address": "51.1.1.1", "family": "inet"},
     "public_ips": [{"id": "p1", "address": "51.1.1.1", "family": "inet"}, {"id": "p2", "address": "2001:db8::1", "family": "inet6"}],
     "private_ip": "10.1.1.1", "ipv6": {"address": "2001:db8::9", "gateway": "::", "netmask": "64"}, "private_nics": []}]}"#,
    r#"{"total_count": 2, "servers": [{"id": "i2", "name": "two", "zone": "fr-par-1", "project": "p", "private_nics": [{"id": "nic"}]}]}"#,
];
const IPAM: &str = r#"{"total_count": 1, "ips": [{"id": "ip", "address": "172.16.0.2/22", "is_ipv6": false, "resource": {"id": "nic"}}]}"#;
const BARE: &str = r#"{"total_count": 1, "servers": [{"id": "b1", "name": "metal", "zone": "fr-par-2", "status": "ready",
    "project_id": "p", "offer_id": "off", "tags": ["t"], "install": {"os_id": "os1", "hostname": "h"},
    "ips": [{"address": "2001:db8::2", "version": "IPv6"}, {"address": "51.2.2.2", "version": "IPv4"}]}]}"#;

pub(crate) fn play(request: &ReceivedRequest) -> Play {
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    if request.headers.get("x-auth-token").map(String::as_str) != Some("11111111-1111-1111-1111-111111111111")
    {
        return Play::Raw("401 Unauthorized", String::new(), br#"{"message": "denied"}"#.to_vec());
    }
    Play::Json(
        match path {
            "/instance/v1/zones/fr-par-1/servers" => PAGES[usize::from(query.contains("page=2"))],
            "/ipam/v1/regions/fr-par/ips" => IPAM,
            "/baremetal/v1/zones/fr-par-2/servers" => BARE,
            "/baremetal/v1/zones/fr-par-2/offers" => {
                r#"{"total_count": 1, "offers": [{"id": "off", "name": "EM-A"}]}"#
            }
            "/baremetal/v1/zones/fr-par-2/os" => {
                r#"{"total_count": 1, "os": [{"id": "os1", "name": "Ubuntu", "version": "24.04"}]}"#
            }
            _ => return Play::Raw("404 Not Found", String::new(), Vec::new()),
        }
        .to_owned(),
    )
}

pub(crate) fn section(address: &str, role: &str, zone: &str) -> String {
    format!(
        "scaleway_sd_configs: [{{role: {role}, zone: {zone}, api_url: 'http://{address}', refresh_interval: 1s, \
         project_id: 11111111-1111-1111-1111-111111111112, access_key: SCWXXXXXXXXXXXXXXXXX, \
         secret_key: 11111111-1111-1111-1111-111111111111}}]"
    )
}

#[tokio::test]
async fn instances_are_read_page_by_page_with_addresses_of_their_cards() {
    let server = PlayedServer::start(play).await;
    let bed = TestBed::new(&section(&server.address, "instance", "fr-par-1"));
    let one = "__meta_scaleway_instance_boot_type=local __meta_scaleway_instance_hostname=h __meta_scaleway_instance_id=i1 \
        __meta_scaleway_instance_image_arch=x86_64 __meta_scaleway_instance_image_id=im __meta_scaleway_instance_image_name=Deb \
        __meta_scaleway_instance_location_cluster_id=1 __meta_scaleway_instance_location_hypervisor_id=2 \
        __meta_scaleway_instance_location_node_id=3 __meta_scaleway_instance_name=one \
        __meta_scaleway_instance_organization_id=o __meta_scaleway_instance_private_ipv4=10.1.1.1 \
        __meta_scaleway_instance_project_id=p __meta_scaleway_instance_public_ipv4=51.1.1.1 \
        __meta_scaleway_instance_public_ipv4_addresses=,51.1.1.1, __meta_scaleway_instance_public_ipv6=2001:db8::9 \
        __meta_scaleway_instance_public_ipv6_addresses=,2001:db8::1, __meta_scaleway_instance_region=fr-par \
        __meta_scaleway_instance_security_group_id=sg __meta_scaleway_instance_security_group_name=default \
        __meta_scaleway_instance_status=running __meta_scaleway_instance_tags=,x,y, \
        __meta_scaleway_instance_type=DEV1-S __meta_scaleway_instance_zone=fr-par-1";
    let two = "__meta_scaleway_instance_id=i2 __meta_scaleway_instance_name=two \
        __meta_scaleway_instance_private_ipv4=172.16.0.2 __meta_scaleway_instance_project_id=p \
        __meta_scaleway_instance_region=fr-par __meta_scaleway_instance_zone=fr-par-1";
    assert_eq!(bed.targets(2).await, [format!("10.1.1.1:80 {one}"), format!("172.16.0.2:80 {two}")]);
}

#[tokio::test]
async fn bare_metal_prefers_ipv4() {
    let server = PlayedServer::start(play).await;
    let bed = TestBed::new(&section(&server.address, "baremetal", "fr-par-2"));
    assert_eq!(
        bed.targets(1).await,
        ["51.2.2.2:80 __meta_scaleway_baremetal_id=b1 __meta_scaleway_baremetal_name=metal \
          __meta_scaleway_baremetal_os_name=Ubuntu __meta_scaleway_baremetal_os_version=24.04 \
          __meta_scaleway_baremetal_project_id=p __meta_scaleway_baremetal_public_ipv4=51.2.2.2 \
          __meta_scaleway_baremetal_public_ipv6=2001:db8::2 __meta_scaleway_baremetal_status=ready \
          __meta_scaleway_baremetal_tags=,t, __meta_scaleway_baremetal_type=EM-A __meta_scaleway_baremetal_zone=fr-par-2"]
    );
}
