//! `openstack` against simulated identity, compute, network and load balancer services: all roles, pages,
//! credentials.

use ferula_config::discovery::OpenStackSdConfig;

use super::session::Access;
use crate::played::{Play, PlayedServer, ReceivedRequest, TestBed};

const VERSIONS: &str = r#"{"versions": {"values": [
    {"id": "v3.14", "status": "stable", "links": [{"rel": "self", "href": "BASE/v3/"}]},
    {"id": "v2.0", "status": "deprecated", "links": [{"rel": "self", "href": "BASE/v2.0/"}]}]}}"#;
const CATALOG: &str = r#"{"token": {"expires_at": "2100-01-01T00:00:00.000000Z", "catalog": [
    {"type": "compute", "name": "nova", "id": "1", "endpoints": [
        {"id": "a", "interface": "internal", "region": "R", "region_id": "R", "url": "http://wrong"},
        {"id": "b", "interface": "public", "region": "other", "region_id": "other", "url": "http://wrong"},
        {"id": "c", "interface": "public", "region": "R", "region_id": "R", "url": "BASE/compute"}]},
    {"type": "network", "name": "neutron", "id": "2", "endpoints": [{"id": "d", "interface": "public", "region": "R", "region_id": "R", "url": "BASE/network/"}]},
    {"type": "load-balancer", "name": "octavia", "id": "3", "endpoints": [{"id": "e", "interface": "public", "region": "R", "region_id": "R", "url": "BASE/lb"}]}]}}"#;
const HYPERVISORS: &str = r#"{"hypervisors": [{"id": 1, "hypervisor_hostname": "nc14", "host_ip": "172.16.70.14", "status": "enabled",
    "state": "up", "hypervisor_type": "QEMU", "hypervisor_version": 2002000, "free_disk_gb": 1, "local_gb": 1, "service": {"id": 1, "host": "x"}, "cpu_info": ""}]}"#;
const SERVERS: [&str; 2] = [
    r#"{"servers": [{"id": "s1", "name": "one", "status": "ACTIVE", "tenant_id": "t", "user_id": "u", "flavor": {"original_name": "m1.tiny"},
      "image": {"id": "img"}, "metadata": {"env-x": "prod"}, "addresses": {
        "private": [{"addr": "10.0.0.31", "version": 4, "OS-EXT-IPS:type": "fixed"}, {"addr": "10.10.10.2", "version": 4, "OS-EXT-IPS:type": "floating"}],
        "six": [{"addr": "fd00::31", "version": 6}]}}],
      "servers_links": [{"rel": "next", "href": "BASE/compute/servers/detail?marker=s1"}]}"#,
    r#"{"servers": [{"id": "s2", "name": "two", "status": "ERROR", "tenant_id": "t", "user_id": "u", "flavor": {"id": "4"}, "image": "",
      "metadata": {}, "addresses": {"private": [{"addr": "10.0.0.32", "version": 4}]}},
      {"id": "s3", "name": "none", "flavor": {"id": "4"}, "image": "", "metadata": {}, "addresses": {}},
      {"id": "s4", "name": "odd", "flavor": {"vcpus": 1}, "image": "", "metadata": {}, "addresses": {"private": [{"addr": "10.0.0.33"}]}}]}"#,
];
const PORTS: &str = r#"{"ports": [{"id": "port1", "device_id": "s1"}, {"id": "vip", "device_id": "lb-x"}]}"#;
const FLOATING: &str = r#"{"floatingips": [
    {"id": "f1", "port_id": "port1", "fixed_ip_address": "10.0.0.31", "floating_ip_address": "10.10.10.2"},
    {"id": "f2", "port_id": null, "fixed_ip_address": null, "floating_ip_address": "10.10.10.3"},
    {"id": "f3", "port_id": "vip", "fixed_ip_address": "10.0.0.5", "floating_ip_address": "10.10.10.4"}]}"#;
const BALANCERS: &str = r#"{"loadbalancers": [{"id": "l1", "name": "lb", "operating_status": "ONLINE", "provisioning_status": "ACTIVE",
    "availability_zone": "az1", "vip_address": "10.0.0.5", "vip_port_id": "vip", "provider": "amphora", "project_id": "p", "tags": ["a", "b"]},
    {"id": "l2", "name": "plain", "vip_address": "10.0.0.6"}]}"#;
const LISTENERS: &str = r#"{"listeners": [{"id": "x", "protocol": "HTTP", "protocol_port": 80, "loadbalancers": [{"id": "l1"}, {"id": "l2"}]},
    {"id": "y", "protocol": "PROMETHEUS", "protocol_port": 9273, "loadbalancers": [{"id": "l1"}]}]}"#;

pub(crate) fn play(request: &ReceivedRequest) -> Play {
    let base = format!("http://{}", request.headers["host"]);
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    if request.method == "POST" {
        let headers = "X-Subject-Token: TOKEN\r\nContent-Type: application/json\r\n".to_owned();
        return Play::Raw("201 Created", headers, CATALOG.replace("BASE", &base).into());
    }
    if path != "/" && request.headers.get("x-auth-token").map(String::as_str) != Some("TOKEN") {
        return Play::Raw("401 Unauthorized", String::new(), b"no token".to_vec());
    }
    let body = match path {
        "/" => {
            let headers = "Content-Type: application/json\r\n".to_owned();
            return Play::Raw("300 Multiple Choices", headers, VERSIONS.replace("BASE", &base).into());
        }
        "/compute/os-hypervisors/detail" => HYPERVISORS,
        "/compute/servers/detail" => SERVERS[usize::from(query.contains("marker="))],
        "/network/v2.0/ports" => PORTS,
        "/network/v2.0/floatingips" => FLOATING,
        "/lb/v2.0/lbaas/loadbalancers" => BALANCERS,
        "/lb/v2.0/lbaas/listeners" => LISTENERS,
        _ => return Play::Raw("404 Not Found", String::new(), Vec::new()),
    };
    Play::Json(body.replace("BASE", &base))
}

pub(crate) fn section(address: &str, role: &str) -> String {
    format!(
        "openstack_sd_configs: [{{role: {role}, region: R, identity_endpoint: 'http://{address}/', refresh_interval: 1s, \
         username: u, password: p, domain_name: d, project_name: pn, port: 9100, all_tenants: true}}]"
    )
}

#[tokio::test]
async fn hypervisors_instances_and_load_balancers_are_read() {
    let server = PlayedServer::start(play).await;
    let shared = "__meta_openstack_project_id=t __meta_openstack";
    let one = "__meta_openstack_instance_flavor=m1.tiny __meta_openstack_instance_id=s1 __meta_openstack_instance_image=img \
         __meta_openstack_instance_name=one __meta_openstack_instance_status=ACTIVE __meta_openstack_private_ip";
    let end = "__meta_openstack_tag_env_x=prod __meta_openstack_user_id=u";
    for (role, expected) in [
        (
            "hypervisor",
            vec![
                "172.16.70.14:9100 __meta_openstack_hypervisor_host_ip=172.16.70.14 \
                 __meta_openstack_hypervisor_hostname=nc14 __meta_openstack_hypervisor_id=1 \
                 __meta_openstack_hypervisor_state=up __meta_openstack_hypervisor_status=enabled \
                 __meta_openstack_hypervisor_type=QEMU"
                    .to_owned(),
            ],
        ),
        (
            "instance",
            vec![
                format!("10.0.0.31:9100 __meta_openstack_address_pool=private {one}=10.0.0.31 {shared}_public_ip=10.10.10.2 {end}"),
                format!(
                    "10.0.0.32:9100 __meta_openstack_address_pool=private __meta_openstack_instance_flavor=4 \
                     __meta_openstack_instance_id=s2 __meta_openstack_instance_name=two \
                     __meta_openstack_instance_status=ERROR __meta_openstack_private_ip=10.0.0.32 {shared}_user_id=u"
                ),
                format!("[fd00::31]:9100 __meta_openstack_address_pool=six {one}=fd00::31 __meta_openstack_project_id=t {end}"),
            ],
        ),
        (
            "loadbalancer",
            vec![
                "10.0.0.5:9273 __meta_openstack_loadbalancer_availability_zone=az1 \
                 __meta_openstack_loadbalancer_floating_ip=10.10.10.4 __meta_openstack_loadbalancer_id=l1 \
                 __meta_openstack_loadbalancer_name=lb __meta_openstack_loadbalancer_operating_status=ONLINE \
                 __meta_openstack_loadbalancer_provider=amphora __meta_openstack_loadbalancer_provisioning_status=ACTIVE \
                 __meta_openstack_loadbalancer_tags=a,b __meta_openstack_loadbalancer_vip=10.0.0.5 \
                 __meta_openstack_project_id=p"
                    .to_owned(),
            ],
        ),
    ] {
        let bed = TestBed::new(&section(&server.address, role));
        assert_eq!(bed.targets(expected.len()).await, expected, "{role}");
    }
    let requests = server.requests.lock().expect("a test");
    let sign_on = requests.iter().find(|request| request.method == "POST").expect("one");
    assert_eq!(sign_on.target, "/v3/auth/tokens");
    assert_eq!(
        sign_on.body,
        r#"{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":"u","domain":{"name":"d"},"password":"p"}}},"scope":{"project":{"name":"pn","domain":{"name":"d"}}}}}"#
    );
    assert!(requests.iter().any(|request| request.target == "/compute/servers/detail?all_tenants=true"));
}

#[test]
fn without_an_endpoint_credentials_come_from_the_environment() {
    let section = OpenStackSdConfig::default();
    let error = |variables: &'static [(&str, &str)]| {
        let find = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        Access::of(&section, find).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(error(&[]), Err("Missing environment variable [OS_AUTH_URL]".to_owned()));
    assert_eq!(error(&[("OS_AUTH_URL", "x")]), Err("Missing environment variable [OS_PASSWORD]".to_owned()));
    assert_eq!(error(&[("OS_AUTH_URL", "x"), ("OS_APPLICATION_CREDENTIAL_SECRET", "s")]), Ok(()));
}
