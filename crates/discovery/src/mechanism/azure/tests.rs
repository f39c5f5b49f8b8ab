//! `azure` against a simulated resource manager: machines, scale sets, cached cards, sources of tokens.

use super::credential::{Cloud, Credential};
use crate::played::{Play, PlayedServer, ReceivedRequest, TestBed, context, section_of};

const GROUP: &str = "/subscriptions/S/resourceGroups/g";

pub(crate) fn play(request: &ReceivedRequest) -> Play {
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    let base = format!("http://{}", request.headers["host"]);
    if path.ends_with("/token") {
        return Play::Json(
            r#"{"access_token": "TOKEN", "expires_in": "3599", "token_type": "Bearer"}"#.to_owned(),
        );
    }
    if request.headers.get("authorization").map(String::as_str) != Some("Bearer TOKEN") {
        let body = br#"{"error": {"code": "AuthenticationFailed", "message": "no token"}}"#;
        return Play::Raw("401 Unauthorized", String::new(), body.to_vec());
    }
    let machine = |name: &str, card: &str, more: &str| {
        format!(
            r#"{{"id": "{GROUP}/providers/Microsoft.Compute/virtualMachines/{name}", "name": "{name}", "type": "t", "location": "westeurope",
              "tags": {{"env-x": "prod"}}, "properties": {{"storageProfile": {{"osDisk": {{"osType": "Linux"}}}}, "osProfile": {{"computerName": "host-{name}"}},
              "hardwareProfile": {{"vmSize": "B1"}}, "networkProfile": {{"networkInterfaces": [{{"id": "{card}"}}]}}}}{more}}}"#
        )
    };
    let card = |name: &str| format!("{GROUP}/providers/Microsoft.Network/networkInterfaces/{name}");
    let ip = |ip: &str, primary: &str| {
        format!(
            r#"{{"properties": {{{primary}"ipConfigurations": [{{"properties": {{"privateIPAddress": "{ip}",
              "publicIPAddress": {{"properties": {{"ipAddress": "1.2.3.4"}}}}}}}}]}}}}"#
        )
    };
    let set = "/subscriptions/S/resourceGroups/g/providers/Microsoft.Compute/virtualMachineScaleSets/set/virtualMachines";
    Play::Json(match path {
        "/subscriptions/S/providers/Microsoft.Compute/virtualMachines" if query.contains("page=2") => {
            format!(
                r#"{{"value": [{}, {}]}}"#,
                machine("gone", &card("gone"), ""),
                machine("off", &card("off"), "")
            )
        }
        "/subscriptions/S/providers/Microsoft.Compute/virtualMachines" => format!(
            r#"{{"value": [{}], "nextLink": "{base}{path}?page=2"}}"#,
            machine("vm1", &card("nic1"), "")
        ),
        "/subscriptions/S/providers/Microsoft.Compute/virtualMachineScaleSets" => {
            let id = format!("{GROUP}/providers/Microsoft.Compute/virtualMachineScaleSets/set");
            format!(r#"{{"value": [{{"id": "{id}", "name": "set"}}]}}"#)
        }
        path if path == set => {
            format!(r#"{{"value": [{}]}}"#, machine("set_0", &card("nic2"), r#", "instanceId": "0""#))
        }
        path if path.ends_with("/Microsoft.Network/networkInterfaces/nic1") => {
            ip("10.0.0.1", r#""primary": true, "#)
        }
        path if path.ends_with("/Microsoft.Network/networkInterfaces/off") => ip("10.0.0.9", ""),
        path if path.ends_with("virtualMachineScaleSets/set/virtualMachines/0/networkInterfaces/nic2") => {
            ip("10.0.0.2", r#""primary": true, "#)
        }
        _ => return Play::Raw("404 Not Found", String::new(), Vec::new()),
    })
}

pub(crate) const SECTION: &str = "azure_sd_configs: [{subscription_id: S, tenant_id: T, client_id: C, client_secret: X, refresh_interval: 1s}]";
pub(crate) const MANAGER: &str = "https://management.azure.com";
pub(crate) const AUTHORITY: &str = "https://login.microsoftonline.com";

#[tokio::test]
async fn machines_and_those_of_scale_sets_are_read() {
    let server = PlayedServer::start(play).await;
    let bed = TestBed::with_services(SECTION, &[(MANAGER, &server.address), (AUTHORITY, &server.address)]);
    let target = |name: &str, ip: &str, set: &str| {
        format!(
            "{ip}:80 __meta_azure_machine_computer_name=host-{name} \
             __meta_azure_machine_id={GROUP}/providers/Microsoft.Compute/virtualMachines/{name} \
             __meta_azure_machine_location=westeurope __meta_azure_machine_name={name} \
             __meta_azure_machine_os_type=Linux __meta_azure_machine_private_ip={ip} \
             __meta_azure_machine_public_ip=1.2.3.4 __meta_azure_machine_resource_group=g{set} \
             __meta_azure_machine_size=B1 __meta_azure_machine_tag_env_x=prod __meta_azure_subscription_id=S \
             __meta_azure_tenant_id=T"
        )
    };
    let expected =
        [target("vm1", "10.0.0.1", ""), target("set_0", "10.0.0.2", " __meta_azure_machine_scale_set=set")];
    assert_eq!(bed.targets(2).await, expected);
    bed.wait_for_metric("prometheus_sd_azure_cache_hit_total", 4.0).await;
    let cards = server.targets().iter().filter(|target| target.contains("networkInterfaces/nic1")).count();
    assert_eq!(cards, 1, "cards are kept");
    let requests = server.requests.lock().expect("a test");
    assert_eq!(requests[0].target, "/T/oauth2/v2.0/token");
    assert!(requests[0].body.contains(
        "client_id=C&client_secret=X&scope=https%3A%2F%2Fmanagement.core.windows.net%2F%2F.default"
    ));
}

#[tokio::test]
async fn tokens_come_from_every_source() {
    let server = PlayedServer::start(play).await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("token");
    std::fs::write(&file, "JWT\n").expect("written");
    let file = file.display().to_string();
    let authority = format!("http://{}", server.address);
    let endpoint = format!("http://{}/msi/token", server.address);
    let workload =
        [("AZURE_TENANT_ID", "WT"), ("AZURE_CLIENT_ID", "WC"), ("AZURE_FEDERATED_TOKEN_FILE", &*file)];
    let service = [("IDENTITY_ENDPOINT", &*endpoint), ("IDENTITY_HEADER", "H")];
    for (method, variables, path, part) in [
        ("WorkloadIdentity", &workload[..], "/WT/oauth2/v2.0/token", "client_assertion=JWT"),
        ("SDK", &workload, "/WT/oauth2/v2.0/token", "client_assertion=JWT"),
        ("ManagedIdentity", &service, "/msi/token?api-version=2019-08-01", ""),
        ("ManagedIdentity", &[], "/metadata/identity/oauth2/token?api-version=2018-02-01", ""),
    ] {
        let text = format!("azure_sd_configs: [{{subscription_id: S, authentication_method: {method}}}]");
        let (section, _) = section_of::<super::Azure>(&text);
        let context = context();
        let played = context.shared.get::<crate::played_services::PlayedServices>();
        played.play("http://169.254.169.254", &server.address);
        let variable = |name: &str| {
            let own =
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
            own.or_else(|| (name == "AZURE_AUTHORITY_HOST").then(|| authority.clone()))
        };
        let cloud = Cloud::named("azurepubliccloud").expect("a cloud");
        let mut credential = Credential::of(&section, cloud, &context, variable).expect("a way");
        assert_eq!(credential.token().await.expect("a token"), "TOKEN", "{method}");
        let requests = server.requests.lock().expect("a test");
        let last = requests.last().expect("one");
        assert!(last.target.starts_with(path) && last.body.contains(part), "{method}: {last:?}");
    }
    assert!(Cloud::named("nowhere").is_none());
}
