//! Every key of a client's section, against real servers.

use ferula_config::http_client::HttpClientConfig;
use ferula_http_client::{HttpClient, Request, StatusCode};
use ferula_testkit::http_lab::{Case, Expected, Lab};

fn client(section: &str) -> Result<HttpClient, String> {
    let config = HttpClientConfig::parse_file(section, ".").expect("a good section");
    HttpClient::new(&config, "Lab/1.0").map_err(|error| error.to_string())
}

/// One request; any status but 200 is a failure.
async fn get(client: &HttpClient, case: &Case) -> Result<(), String> {
    let url = format!("{}://{}/metrics", case.scheme, case.address);
    let response =
        client.send(Request::get(&url).expect("a URL")).await.map_err(|error| error.to_string())?;
    if response.status() != StatusCode::OK {
        return Err(response.status_text().to_owned());
    }
    let body = response.bytes(100).await.map_err(|error| error.to_string())?;
    assert_eq!(body, b"up 1\n"[..]);
    Ok(())
}

#[tokio::test]
async fn every_key_does_what_it_does_in_prometheus() {
    let lab = Lab::start().await;
    for case in lab.cases() {
        let outcome = match client(&case.section) {
            Ok(client) => get(&client, &case).await,
            Err(error) => Err(error),
        };
        lab.judge(&case, outcome);
    }
}

fn case(lab: &Lab, name: &str) -> Case {
    lab.cases().into_iter().find(|case| case.name == name).expect("a case of the table")
}

#[tokio::test]
async fn connections_are_used_again() {
    let lab = Lab::start().await;
    for (name, server) in [("nothing", "plain"), ("ca_file", "tls"), ("enable_http2: false", "tls")] {
        let case = case(&lab, name);
        let before = lab.connections(server);
        let client = client(&case.section).expect("a client");
        for _ in 0..5 {
            lab.judge(&case, get(&client, &case).await);
        }
        assert_eq!(lab.connections(server), before + 1, "{name}");
    }
}

#[tokio::test]
async fn a_token_is_fetched_once_and_again_when_the_secret_changes() {
    let lab = Lab::start().await;
    let case = case(&lab, "oauth2 scopes and parameters");
    let client = client(&case.section).expect("a client");
    for (secret, connections) in [("one", 1), ("one", 1), ("two", 1)] {
        lab.write("secret", secret);
        get(&client, &case).await.expect("a page");
        // Kept alive between the fetches, so that connections count servers, not fetches.
        assert_eq!(lab.connections("tls-tokens"), connections, "{secret}");
    }
    let two = Case {
        expected: Expected::Arrives {
            at: "tls-tokens",
            with: vec!["authorization: basic atp0d28=\r\n".into()],
            without: Vec::new(),
        },
        ..case
    };
    lab.judge(&two, Ok(()));
}

/// How the same name comes to hold another content.
#[derive(Clone, Copy, Debug)]
enum Change {
    InPlace,
    Rename,
    Symlink,
}

#[tokio::test]
async fn replaced_certificates_count_from_the_next_request_on() {
    for change in [Change::InPlace, Change::Rename, Change::Symlink] {
        let (old, new) = (Lab::start().await, Lab::start().await);
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("ca.pem");
        let text = |lab: &Lab| {
            let section = case(lab, "ca").section;
            let config = HttpClientConfig::parse_file(&section, ".").expect("a good section");
            config.tls_config.ca
        };
        let put = |text: &str, generation: u32| {
            let beside = directory.path().join(format!("{generation}.pem"));
            match change {
                Change::InPlace => std::fs::write(&path, text).expect("written"),
                Change::Rename => {
                    std::fs::write(&beside, text).expect("written");
                    std::fs::rename(&beside, &path).expect("renamed");
                }
                Change::Symlink => {
                    std::fs::write(&beside, text).expect("written");
                    let link = directory.path().join("link");
                    std::os::unix::fs::symlink(&beside, &link).expect("linked");
                    std::fs::rename(&link, &path).expect("renamed");
                }
            }
            // Neither size nor time must be what tells.
            let file = std::fs::File::options().write(true).open(&path).expect("it is there");
            file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1))
                .expect("its time is set");
        };
        put(&text(&old), 0);
        let client = client(&format!("{{tls_config: {{ca_file: '{}'}}}}", path.display())).expect("a client");
        let with_old = Case { name: "the old authority", ..case(&old, "ca_file") };
        let with_new = Case { name: "the new authority", ..case(&new, "ca_file") };
        get(&client, &with_old).await.expect("a page");
        let error = get(&client, &with_new).await.expect_err("not yet");
        assert!(error.ends_with("certificate signed by unknown authority"), "{change:?}: {error}");
        put(&text(&new), 1);
        get(&client, &with_new).await.expect("a page");
        let error = get(&client, &with_old).await.expect_err("no longer");
        assert!(error.ends_with("certificate signed by unknown authority"), "{change:?}: {error}");
        std::fs::remove_file(&path).expect("removed");
        let error = get(&client, &with_new).await.expect_err("gone");
        let reason = format!(
            "unable to read CA cert: unable to read file {0}: open {0}: no such file or directory",
            path.display()
        );
        assert!(error.ends_with(&reason), "{change:?}: {error}");
    }
}
