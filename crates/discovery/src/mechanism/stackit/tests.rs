//! `stackit` against a simulated API: with and without a service account, whose token is reused.

use crate::played::{Play, PlayedServer, ReceivedRequest, TestBed};

const SERVERS: &str = r#"{"items": [
 {"id": "s1", "name": "web", "availabilityZone": "eu01-1", "machineType": "c1.1", "status": "ACTIVE", "powerStatus": "RUNNING",
  "labels": {"env-x": "prod", "n": 3}, "nics": [{"networkName": "my net", "ipv4": "10.0.0.1"}, {"networkName": "b", "ipv4": "10.0.1.1", "publicIp": "1.2.3.4"}]},
 {"id": "s2", "name": "none"}, {"id": "s3", "name": "empty", "nics": []}]}"#;

pub(crate) fn play(request: &ReceivedRequest) -> Play {
    match (request.method.as_str(), request.target.as_str()) {
        ("GET", "/v1/projects/P/servers?details=true") => Play::Json(SERVERS.to_owned()),
        ("POST", "/") => Play::Json(r#"{"access_token": "TOKEN", "expires_in": 3600}"#.to_owned()),
        _ => Play::Raw("404 Not Found", String::new(), b"nothing here".to_vec()),
    }
}

pub(crate) fn section(address: &str, more: &str) -> String {
    format!("stackit_sd_configs: [{{project: P, endpoint: 'http://{address}', refresh_interval: 1s{more}}}]")
}

const TARGET: &str = "1.2.3.4:80 __meta_stackit_availability_zone=eu01-1 __meta_stackit_id=s1 __meta_stackit_label_env_x=prod \
    __meta_stackit_labelpresent_env_x=true __meta_stackit_name=web __meta_stackit_power_status=RUNNING \
    __meta_stackit_private_ipv4_b=10.0.1.1 __meta_stackit_private_ipv4_my_net=10.0.0.1 __meta_stackit_project=P \
    __meta_stackit_public_ipv4=1.2.3.4 __meta_stackit_status=ACTIVE __meta_stackit_type=c1.1";

#[tokio::test]
async fn servers_are_read_with_the_sections_credentials() {
    let server = PlayedServer::start(play).await;
    let bed = TestBed::new(&section(&server.address, ", authorization: {credentials: T}"));
    assert_eq!(bed.targets(1).await, [TARGET]);
    assert_eq!(server.requests.lock().expect("a test")[0].headers["authorization"], "Bearer T");
}

#[tokio::test]
async fn a_service_account_gets_a_token_and_reuses_it() {
    let server = PlayedServer::start(play).await;
    let directory = tempfile::tempdir().expect("a directory");
    let (account, key) = (directory.path().join("account.json"), directory.path().join("key.pem"));
    std::fs::write(&account, r#"{"credentials": {"aud": "A", "iss": "I", "kid": "K", "sub": "S"}}"#)
        .expect("written");
    std::fs::write(&key, crate::played::RSA_KEY).expect("written");
    let more =
        format!(", service_account_key_path: {}, private_key_path: {}", account.display(), key.display());
    let bed =
        TestBed::with_services(&section(&server.address, &more), &[(super::TOKEN_API, &server.address)]);
    assert_eq!(bed.targets(1).await, [TARGET]);
    bed.wait_for_metric("prometheus_sd_received_updates_total", 3.0).await;
    let requests = server.requests.lock().expect("a test");
    let (tokens, lists): (Vec<_>, Vec<_>) = requests.iter().partition(|request| request.method == "POST");
    assert_eq!(tokens.len(), 1);
    assert!(
        tokens[0]
            .body
            .starts_with("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=ey")
    );
    assert!(lists.iter().all(|request| request.headers["authorization"] == "Bearer TOKEN"));
}
