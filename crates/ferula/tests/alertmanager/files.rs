//! Files that the configuration names: whatever way one is replaced, and even if its size and time stay the same, the new
//! content takes effect. That of secrets and addresses with the next notification, that of the configuration and its
//! templates with the next reload.

use std::path::Path;

use crate::common::{Alertmanager, ReceivedNotification, Webhook, alert, ours};

/// A way of replacing files.
#[derive(Clone, Copy, Debug)]
enum Replacement {
    InPlace,
    Rename,
    /// As Kubernetes does it for mounted secrets: `NAME` → `..data/NAME`, and `..data` → a directory of each version.
    Symlink,
}

const MODIFIED: std::time::SystemTime = std::time::UNIX_EPOCH;

/// Writes all files of a version.
fn put(directory: &Path, change: Replacement, version: &str, files: &[(&str, String)]) {
    let write = |path: &Path, text: &str| {
        std::fs::write(path, text).expect("written");
        let file = std::fs::File::options().write(true).open(path).expect("it is there");
        file.set_modified(MODIFIED).expect("its time is set");
    };
    let link = |target: &str, name: &str| {
        let beside = directory.join("..link");
        std::os::unix::fs::symlink(target, &beside).expect("linked");
        std::fs::rename(&beside, directory.join(name)).expect("renamed");
    };
    match change {
        Replacement::InPlace => files.iter().for_each(|(name, text)| write(&directory.join(name), text)),
        Replacement::Rename => {
            for (name, text) in files {
                write(&directory.join("..new"), text);
                std::fs::rename(directory.join("..new"), directory.join(name)).expect("renamed");
            }
        }
        Replacement::Symlink => {
            let versioned = format!("..{version}");
            std::fs::create_dir(directory.join(&versioned)).expect("made");
            files.iter().for_each(|(name, text)| write(&directory.join(&versioned).join(name), text));
            link(&versioned, "..data");
            for (name, _) in files {
                if !directory.join(name).exists() {
                    link(&format!("..data/{name}"), name);
                }
            }
        }
    }
}

/// A receiver's section, its file's content, and what a request shows of it. `HOST` is the recorded server, `FILE` the
/// file, `VERSION` the version.
const RECEIVERS: &[(&str, &str, &str)] = &[
    ("webhook_configs: [{url_file: FILE}]", "http://HOST/webhook-VERSION", "/webhook-VERSION"),
    ("slack_configs: [{api_url_file: FILE, channel: c}]", "http://HOST/slack-VERSION", "/slack-VERSION"),
    ("discord_configs: [{webhook_url_file: FILE}]", "http://HOST/discord-VERSION", "/discord-VERSION"),
    ("msteams_configs: [{webhook_url_file: FILE}]", "http://HOST/teams-VERSION", "/teams-VERSION"),
    ("msteamsv2_configs: [{webhook_url_file: FILE}]", "http://HOST/teams2-VERSION", "/teams2-VERSION"),
    (
        "mattermost_configs: [{webhook_url_file: FILE, channel: c}]",
        "http://HOST/matter-VERSION",
        "/matter-VERSION",
    ),
    (
        "incidentio_configs: [{url_file: FILE, alert_source_token: t}]",
        "http://HOST/incident-VERSION",
        "/incident-VERSION",
    ),
    (
        "incidentio_configs: [{url: 'http://HOST/incident', alert_source_token_file: FILE}]",
        "token-VERSION",
        "authorization: bearer token-VERSION",
    ),
    (
        "pagerduty_configs: [{url: 'http://HOST/pager', routing_key_file: FILE}]",
        "pager-VERSION",
        "\"routing_key\":\"pager-VERSION\"",
    ),
    (
        "opsgenie_configs: [{api_url: 'http://HOST/', api_key_file: FILE}]",
        "genie-VERSION",
        "authorization: geniekey genie-VERSION",
    ),
    (
        "victorops_configs: [{api_url: 'http://HOST/victor/', routing_key: r, api_key_file: FILE}]",
        "victor-VERSION",
        "/victor/victor-VERSION/r",
    ),
    (
        "telegram_configs: [{api_url: 'http://HOST', chat_id: 1, bot_token_file: FILE}]",
        "telegram-VERSION",
        "/bottelegram-VERSION/sendmessage",
    ),
    (
        "rocketchat_configs: [{api_url: 'http://HOST/', channel: c, token_id: i, token_file: FILE}]",
        "rocket-VERSION",
        "x-auth-token: rocket-VERSION",
    ),
    (
        "rocketchat_configs: [{api_url: 'http://HOST/', channel: c, token: t, token_id_file: FILE}]",
        "rocketid-VERSION",
        "x-user-id: rocketid-VERSION",
    ),
    (
        "webhook_configs: [{url: 'http://HOST/w', http_config: {authorization: {credentials_file: FILE}}}]",
        "credentials-VERSION",
        "authorization: bearer credentials-VERSION",
    ),
    (
        "webhook_configs: [{url: 'http://HOST/w', http_config: {http_headers: {X-Own: {files: [FILE]}}}}]",
        "header-VERSION",
        "x-own: header-VERSION",
    ),
];

/// Texts of equal length.
const VERSIONS: [&str; 3] = ["one", "two", "six"];

fn file_name(index: usize) -> String {
    format!("secret-{index}")
}

fn config(host: &str, version: &str) -> String {
    let mut text = format!(
        "templates: ['*.tmpl']\nroute:\n  receiver: {version}\n  group_by: ['...']\n  group_wait: 10ms\n  routes:\n"
    );
    for index in 0..RECEIVERS.len() {
        text += &format!("  - {{receiver: r{index}, continue: true}}\n");
    }
    text += &format!(
        "  - {{receiver: {version}, continue: true}}\nreceivers:\n- name: {version}\n  webhook_configs:\n  - {{url: 'http://{host}/config-{version}', \
         payload: {{text: '{{{{ template \"own\" . }}}} {{{{ .CommonLabels.alertname }}}}'}}}}\n"
    );
    for (index, (section, ..)) in RECEIVERS.iter().enumerate() {
        let section = section.replace("HOST", host).replace("FILE", &file_name(index));
        text += &format!("- name: r{index}\n  {section}\n");
    }
    text
}

/// Everything that was sent for an alert, in lower case: a text per request.
fn sent_for(told: &[ReceivedNotification], alert: &str) -> Vec<String> {
    let texts = told.iter().map(|told| format!("{}\n{}\n{}", told.path, told.head, told.body).to_lowercase());
    texts.filter(|text| text.contains(alert)).collect()
}

fn check(change: Replacement) {
    let (hook, directory) = (Webhook::start(), tempfile::tempdir().expect("a directory"));
    let directory = directory.path();
    let secrets = |version: &str| -> Vec<(String, String)> {
        let text = |text: &str| text.replace("HOST", &hook.address).replace("VERSION", version);
        RECEIVERS
            .iter()
            .enumerate()
            .map(|(index, (_, content, _))| (file_name(index), text(content)))
            .collect()
    };
    let put_secrets = |version: &str| {
        let files = secrets(version);
        let files: Vec<(&str, String)> =
            files.iter().map(|(name, text)| (name.as_str(), text.clone())).collect();
        put(directory, change, version, &files);
    };
    // A mounted secret and a mounted configuration are two directories; here they are two sets of links.
    let put_config = |version: &str| {
        let files = [
            ("alertmanager.yml", config(&hook.address, version)),
            ("own.tmpl", format!("{{{{ define \"own\" }}}}template-{version}{{{{ end }}}}")),
        ];
        match change {
            // Only one `..data` can be there.
            Replacement::Symlink => {
                let own = directory.join(format!("config-{version}"));
                std::fs::create_dir(&own).expect("made");
                put(&own, Replacement::InPlace, version, &files);
                for (name, _) in &files {
                    std::os::unix::fs::symlink(own.join(name), directory.join("..link")).expect("linked");
                    std::fs::rename(directory.join("..link"), directory.join(name)).expect("renamed");
                }
            }
            other => put(directory, other, version, &files),
        }
    };
    let (mut secret, mut configured) = (VERSIONS[0], VERSIONS[0]);
    put_secrets(secret);
    put_config(configured);
    let server = Alertmanager::start(ours(), directory);
    let check_alert = |name: &str, secret: &str, configured: &str| {
        assert_eq!(server.post("/api/v2/alerts", &alert(&[("alertname", name)], -1.0, 600.0)).0, 200);
        let mut expected: Vec<String> =
            RECEIVERS.iter().map(|(_, _, shown)| shown.replace("VERSION", secret)).collect();
        expected.push(format!("/config-{configured}"));
        expected.push(format!("template-{configured}"));
        hook.wait(&format!("{change:?} {name}: {expected:?}"), |told| {
            let sent = sent_for(told, name);
            expected.iter().all(|shown| sent.iter().any(|text| text.contains(shown)))
        });
    };
    check_alert("alert-a", secret, configured);
    for (step, version) in VERSIONS.into_iter().enumerate().skip(1) {
        secret = version;
        put_secrets(secret);
        check_alert(&format!("alert-secret-{step}"), secret, configured);
        put_config(version);
        configured = version;
        assert_eq!(server.post("/-/reload", &serde_json::Value::Null).0, 200);
        check_alert(&format!("alert-config-{step}"), secret, configured);
    }
}

#[test]
fn replaced_in_place() {
    check(Replacement::InPlace);
}

#[test]
fn replaced_by_rename() {
    check(Replacement::Rename);
}

#[test]
fn replaced_by_symlinks_as_in_kubernetes() {
    check(Replacement::Symlink);
}
