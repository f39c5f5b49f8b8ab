//! `gce` against a simulated API: the machine's account and a service account, pages, labels.

mod federation;

use super::account::Account;
use crate::api_client::ApiClient;
use crate::played::{Play, PlayedServer, RSA_KEY, ReceivedRequest, TestBed, context};
use crate::refresh::Refresh;

const PAGES: [&str; 2] = [
    r#"{"items": [{"id": "123", "name": "one", "status": "RUNNING", "zone": "zones/z", "machineType": "mt",
     "networkInterfaces": [{"name": "nic0", "network": "net", "subnetwork": "sub", "networkIP": "10.0.0.1",
       "accessConfigs": [{"type": "ONE_TO_ONE_NAT", "natIP": "1.2.3.4"}]}, {"name": "nic-1", "networkIP": "10.0.1.1"}],
     "tags": {"items": ["a", "b"]}, "metadata": {"items": [{"key": "k-x", "value": "v"}, {"key": "none"}]}, "labels": {"l-x": "w"}},
     {"id": "9", "name": "no network"}], "nextPageToken": "N"}"#,
    r#"{"items": [{"id": "124", "name": "two", "networkInterfaces": [{"name": "nic0", "networkIP": "10.0.0.2"}]}]}"#,
];

pub(crate) fn play(request: &ReceivedRequest) -> Play {
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    match path {
        "/computeMetadata/v1/instance/service-accounts/default/token" => Play::Json(
            r#"{"access_token": "MACHINE", "expires_in": 3599, "token_type": "Bearer"}"#.to_owned(),
        ),
        "/token" => Play::Json(r#"{"access_token": "ACCOUNT", "expires_in": "3599"}"#.to_owned()),
        "/compute/v1/projects/p/zones/z/instances"
            if request.headers["authorization"] == "Bearer MACHINE" =>
        {
            Play::Json(PAGES[usize::from(query.contains("pageToken=N"))].to_owned())
        }
        _ => Play::Raw(
            "403 Forbidden",
            String::new(),
            br#"{"error": {"code": 403, "message": "denied"}}"#.to_vec(),
        ),
    }
}

/// The address of the metadata service, which the section cannot change.
pub(crate) const METADATA: &str = "http://169.254.169.254";
pub(crate) const SECTION: &str =
    "gce_sd_configs: [{project: p, zone: z, filter: 'name = x', refresh_interval: 1s}]";

#[tokio::test]
async fn instances_are_read_page_by_page_with_the_machines_account() {
    let server = PlayedServer::start(play).await;
    let bed = TestBed::with_services(SECTION, &[(super::API, &server.address), (METADATA, &server.address)]);
    assert_eq!(
        bed.targets(2).await,
        [
            "10.0.0.1:80 __meta_gce_instance_id=123 __meta_gce_instance_name=one __meta_gce_instance_status=RUNNING \
             __meta_gce_interface_ipv4_nic0=10.0.0.1 __meta_gce_interface_ipv4_nic_1=10.0.1.1 __meta_gce_label_l_x=w \
             __meta_gce_machine_type=mt __meta_gce_metadata_k_x=v __meta_gce_network=net __meta_gce_private_ip=10.0.0.1 \
             __meta_gce_project=p __meta_gce_public_ip=1.2.3.4 __meta_gce_subnetwork=sub __meta_gce_tags=,a,b, \
             __meta_gce_zone=zones/z",
            "10.0.0.2:80 __meta_gce_instance_id=124 __meta_gce_instance_name=two __meta_gce_interface_ipv4_nic0=10.0.0.2 \
             __meta_gce_private_ip=10.0.0.2 __meta_gce_project=p"
        ]
    );
    let first = server.requests.lock().expect("a test")[..2].to_vec();
    assert_eq!(first[0].headers["metadata-flavor"], "Google");
    assert!(
        first[1].target.ends_with("?alt=json&prettyPrint=false&filter=name+%3D+x"),
        "{}",
        first[1].target
    );
    bed.wait_for_metric("prometheus_sd_received_updates_total", 3.0).await;
    let tokens = server.targets().iter().filter(|target| target.contains("token?")).count();
    assert_eq!(tokens, 1, "a token serves until it ends");
}

#[tokio::test]
async fn a_service_account_signs_for_its_token() {
    let server = PlayedServer::start(play).await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("account.json");
    let write = |account: serde_json::Value| std::fs::write(&file, account.to_string()).expect("written");
    let context = context();
    let api =
        ApiClient::new(&Default::default(), &context, std::time::Duration::from_secs(10)).expect("a client");
    let find = || {
        let name = file.display().to_string();
        Account::find(&api, &context, |variable| {
            (variable == "GOOGLE_APPLICATION_CREDENTIALS").then(|| name.clone())
        })
    };
    let url = format!("http://{}/token", server.address);
    write(
        serde_json::json!({"type": "service_account", "client_email": "me@x", "private_key_id": "k", "private_key": RSA_KEY, "token_uri": url}),
    );
    assert_eq!(find().expect("an account").token().await.expect("a token"), "ACCOUNT");
    write(
        serde_json::json!({"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r", "token_uri": url}),
    );
    assert_eq!(find().expect("an account").token().await.expect("a token"), "ACCOUNT");
    let bodies: Vec<String> =
        server.requests.lock().expect("a test").iter().map(|request| request.body.clone()).collect();
    assert!(
        bodies[0]
            .starts_with("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=ey")
    );
    assert_eq!(bodies[1], "grant_type=refresh_token&refresh_token=r&client_id=c&client_secret=s");
    let source = |source: serde_json::Value| serde_json::json!({"type": "external_account", "audience": "a", "subject_token_type": "t", "credential_source": source});
    for (account, expected) in [
        (serde_json::json!({"type": "x"}), "unknown credential type: \"x\""),
        (serde_json::json!({}), "missing 'type' field in credentials"),
        (
            serde_json::json!({"type": "impersonated_service_account"}),
            "missing 'source_credentials' field or 'service_account_impersonation_url' in credentials",
        ),
        (
            serde_json::json!({"type": "external_account_authorized_user", "client_id": "c"}),
            "external_account_authorized_user needs refresh_token, token_url, client_id and client_secret",
        ),
        (serde_json::json!({"type": "external_account"}), "external_account: audience is missing"),
        (source(serde_json::json!({})), "oauth2/google/externalaccount: unable to parse credential source"),
        (
            source(serde_json::json!({"certificate": {"certificate_config_location": "x"}})),
            "oauth2/google/externalaccount: unable to parse credential source",
        ),
        (
            source(serde_json::json!({"environment_id": "aws2"})),
            "oauth2/google/externalaccount: aws version '2' is not supported in the current build",
        ),
        (source(serde_json::json!({"executable": {}})), "external_account: command is missing"),
        (
            source(serde_json::json!({"executable": {"command": "x", "timeout_millis": 1}})),
            "oauth2/google/externalaccount: invalid `timeout_millis` field",
        ),
        (
            source(serde_json::json!({"file": "f", "format": {"type": "xml"}})),
            "external_account: invalid credential_source format type \"xml\"",
        ),
        (
            source(serde_json::json!({"file": "f", "format": {"type": "json"}})),
            "external_account: subject_token_field_name is missing",
        ),
    ] {
        write(account);
        let error = find().err().expect("refused").to_string();
        let expected = format!("error setting up communication with GCE service: {expected}");
        assert!(error.starts_with(&expected), "{error}");
    }
    assert_eq!(super::Gce::MECHANISM, "gce");
}
