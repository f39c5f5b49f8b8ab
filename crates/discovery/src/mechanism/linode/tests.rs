//! `linode` against a simulated API: two pages, all types of addresses, events in place of lists.

use crate::played::{Play, PlayedServer, ReceivedRequest, TestBed};

const INSTANCES: [&str; 2] = [
    r#"{"data": [{"id": 1, "label": "one", "image": "deb", "region": "eu", "type": "g6", "status": "running", "group": "g",
     "hypervisor": "kvm", "tags": ["a", "b"], "ipv4": ["1.2.3.4", "192.168.1.1", "1.2.3.5"], "ipv6": "fd00::1/128",
     "specs": {"disk": 2, "memory": 1, "vcpus": 3, "transfer": 4, "gpus": 0}, "backups": {"enabled": true}}],
     "page": 1, "pages": 2, "results": 3}"#,
    r#"{"data": [{"id": 2, "label": "two", "ipv4": ["192.168.1.2"], "specs": {}, "backups": {}}, {"id": 3, "label": "none", "ipv4": []}], "page": 2, "pages": 2}"#,
];
const IPS: &str = r#"{"data": [
    {"address": "1.2.3.4", "public": true, "rdns": "one.example"}, {"address": "1.2.3.5", "public": true, "rdns": "null"},
    {"address": "192.168.1.1", "public": false, "rdns": null}, {"address": "192.168.1.2", "public": false},
    {"address": "fd00::1", "public": true, "rdns": "six.example"}], "page": 1, "pages": 1}"#;
const RANGES: &str = r#"{"data": [{"range": "fd00:1::", "prefix": 64, "route_target": "fd00::1"},
    {"range": "fd00:2::", "prefix": 64, "route_target": "fd00::9"}], "page": 1, "pages": 1}"#;

pub(crate) fn play(request: &ReceivedRequest) -> Play {
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    let second = query.contains("page=2");
    Play::Json(match path {
        "/v4/linode/instances" => INSTANCES[usize::from(second)].to_owned(),
        "/v4/networking/ips" => IPS.to_owned(),
        "/v4/networking/ipv6/ranges" => RANGES.to_owned(),
        "/v4/account/events" => r#"{"data": [], "page": 1, "pages": 1}"#.to_owned(),
        _ => return Play::Raw("404 Not Found", String::new(), Vec::new()),
    })
}

pub(crate) const SECTION: &str =
    "linode_sd_configs: [{authorization: {credentials: T}, refresh_interval: 1s}]";

#[tokio::test]
async fn instances_are_read_with_their_addresses_and_followed_by_events() {
    let server = PlayedServer::start(play).await;
    let bed = TestBed::with_services(SECTION, &[(super::API, &server.address)]);
    let one = "__meta_linode_backups=enabled __meta_linode_extra_ips=,1.2.3.5, __meta_linode_gpus=0 __meta_linode_group=g \
        __meta_linode_hypervisor=kvm __meta_linode_image=deb __meta_linode_instance_id=1 __meta_linode_instance_label=one \
        __meta_linode_ipv6_ranges=,fd00:1::/64, __meta_linode_private_ipv4=192.168.1.1 __meta_linode_public_ipv4=1.2.3.4 \
        __meta_linode_public_ipv4_rdns=one.example __meta_linode_public_ipv6=fd00::1 \
        __meta_linode_public_ipv6_rdns=six.example __meta_linode_region=eu __meta_linode_specs_disk_bytes=2097152 \
        __meta_linode_specs_memory_bytes=1048576 __meta_linode_specs_transfer_bytes=4194304 __meta_linode_specs_vcpus=3 \
        __meta_linode_status=running __meta_linode_tags=,a,b, __meta_linode_type=g6";
    let two = "__meta_linode_backups=disabled __meta_linode_gpus=0 __meta_linode_instance_id=2 \
        __meta_linode_instance_label=two __meta_linode_private_ipv4=192.168.1.2 __meta_linode_specs_disk_bytes=0 \
        __meta_linode_specs_memory_bytes=0 __meta_linode_specs_transfer_bytes=0 __meta_linode_specs_vcpus=0";
    assert_eq!(bed.targets(2).await, [format!("1.2.3.4:80 {one}"), format!(":80 {two}")]);
    let lists = || server.targets().iter().filter(|target| target.contains("/instances")).count();
    assert_eq!(lists(), 2);
    // Nine quiet rounds request only events; the tenth lists everything again.
    let events = || server.targets().iter().filter(|target| target.contains("/events")).count();
    while lists() == 2 {
        bed.clock.advance(std::time::Duration::from_millis(500));
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    assert_eq!(events(), 10);
    let requests = server.requests.lock().expect("a test");
    assert!(requests.iter().all(|request| request.headers["authorization"] == "Bearer T"));
    let filter =
        &requests.iter().find(|request| request.target.contains("/events")).expect("one").headers["x-filter"];
    assert!(filter.starts_with(r#"{"created": {"+gte": "1970-01-01T00:00:0"#), "{filter}");
}
