//! `oci` against a simulated API: compartments below the tenancy, the primary network card, signatures.

use crate::played::{Play, PlayedServer, RSA_KEY, ReceivedRequest, TestBed};

pub(crate) fn play(request: &ReceivedRequest) -> Play {
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    let signed = request.headers.get("authorization").is_some_and(|text| {
        text.starts_with(r#"Signature version="1",headers="date (request-target) host",keyId="TEN/USR/FP",algorithm="rsa-sha256",signature=""#)
    });
    if !signed || !request.headers.contains_key("date") {
        return Play::Raw(
            "401 Unauthorized",
            String::new(),
            br#"{"code": "NotAuthenticated", "message": "who"}"#.to_vec(),
        );
    }
    Play::Json(
        match (path, query) {
            ("/20160918/compartments", query) if query.contains("Id=TEN&") => {
                r#"[{"id": "child", "lifecycleState": "ACTIVE"}, {"id": "dead", "lifecycleState": "DELETED"}]"#
            }
            ("/20160918/compartments", _) => "[]",
            ("/20160918/instances", query) if query.contains("page=N") => r#"[{"id": "i2", "compartmentId": "TEN"}]"#,
            ("/20160918/instances", query) if query.contains("Id=TEN&") => {
                let body = r#"[{"id": "i1", "compartmentId": "TEN", "displayName": "one", "lifecycleState": "RUNNING", "shape": "E4",
                  "availabilityDomain": "AD-1", "faultDomain": "FD-1", "region": "r", "imageId": "img", "freeformTags": {"a b": "c"},
                  "definedTags": {"Ops": {"cost-x": "1", "n": 2.5, "b": true, "list": []}}}]"#;
                return Play::Raw("200 OK", "opc-next-page: N\r\n".to_owned(), body.into());
            }
            ("/20160918/instances", _) => "[]",
            ("/20160918/vnicAttachments", query) if query.contains("instanceId=i1") => {
                r#"[{"vnicId": "v0", "lifecycleState": "DETACHED"}, {"vnicId": "v1", "lifecycleState": "ATTACHED"}, {"vnicId": "v2", "lifecycleState": "ATTACHED"}]"#
            }
            ("/20160918/vnicAttachments", _) => "[]",
            ("/20160918/vnics/v1", _) => r#"{"id": "v1", "isPrimary": false, "privateIp": "10.9.9.9"}"#,
            ("/20160918/vnics/v2", _) => {
                r#"{"id": "v2", "isPrimary": true, "privateIp": "10.0.0.1", "publicIp": "1.2.3.4", "hostnameLabel": "h", "ipv6Addresses": ["fd00::2", "fd00::1"]}"#
            }
            _ => return Play::Raw("404 Not Found", String::new(), Vec::new()),
        }
        .to_owned(),
    )
}

pub(crate) const IDENTITY: &str = "https://identity.r.oraclecloud.com";
pub(crate) const CORE: &str = "https://iaas.r.oraclecloud.com";

pub(crate) fn section(key_file: &str) -> String {
    format!(
        "oci_sd_configs: [{{tenancy: TEN, user: USR, fingerprint: FP, region: r, refresh_interval: 1s, key_file: '{key_file}'}}]"
    )
}

#[tokio::test]
async fn instances_of_all_compartments_are_read() {
    let server = PlayedServer::start(play).await;
    let key = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(key.path(), RSA_KEY).expect("written");
    let section = section(&key.path().display().to_string());
    let bed = TestBed::with_services(&section, &[(IDENTITY, &server.address), (CORE, &server.address)]);
    assert_eq!(
        bed.targets(1).await,
        ["10.0.0.1:80 __meta_oci_availability_domain=AD-1 __meta_oci_compartment_id=TEN \
          __meta_oci_defined_tag_Ops_b=true __meta_oci_defined_tag_Ops_cost_x=1 __meta_oci_defined_tag_Ops_n=2.5 \
          __meta_oci_fault_domain=FD-1 __meta_oci_hostname_label=h __meta_oci_image_id=img __meta_oci_instance_id=i1 \
          __meta_oci_instance_name=one __meta_oci_instance_shape=E4 __meta_oci_instance_state=RUNNING \
          __meta_oci_ipv6_addresses=,fd00::1,fd00::2, __meta_oci_private_ip=10.0.0.1 __meta_oci_public_ip=1.2.3.4 \
          __meta_oci_region=r __meta_oci_tag_a_b=c __meta_oci_tenancy_id=TEN __meta_oci_vnic_id=v2"]
    );
}
