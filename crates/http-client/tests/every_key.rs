//! Every key of a client's section, against real servers.

use std::cell::Cell;
use std::path::PathBuf;

use ferula_config::http_client::HttpClientConfig;
use ferula_http_client::{HttpClient, Request, StatusCode};
use ferula_testkit::http_lab::{Case, Expected, Lab};

fn client(section: &str) -> Result<HttpClient, String> {
    let config = HttpClientConfig::parse_file(section, ".").expect("a good section");
    HttpClient::new(&config, "Lab/1.0").map_err(|error| error.to_string())
}

/// Sends one request; any status but 200 is a failure.
async fn get(client: &HttpClient, case: &Case) -> Result<(), String> {
    let url = format!("{}://{}/metrics", case.scheme, case.address);
    let mut request = Request::get(&url).expect("a URL");
    if let Some(path) = &case.unix_socket {
        request = request.over_unix_socket(path.as_path().into());
    }
    let response = client.send(request).await.map_err(|error| error.to_string())?;
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
    lab.run(lab.cases(), |case| client(&case.section), async |client, case| get(client, case).await).await;
}

/// What the table covers; a row that is lost would not be missed otherwise.
#[tokio::test]
async fn the_table_has_a_row_for_every_key() {
    let lab = Lab::start().await;
    let sections: Vec<String> = lab.cases().into_iter().map(|case| case.section).collect();
    for key in [
        "username:",
        "username_file:",
        "password:",
        "password_file:",
        "type:",
        "credentials:",
        "credentials_file:",
        "bearer_token:",
        "bearer_token_file:",
        "client_id:",
        "client_secret:",
        "client_secret_file:",
        "scopes:",
        "endpoint_params:",
        "token_url:",
        "grant_type:",
        "client_certificate_key_file:",
        "ca:",
        "ca_file:",
        "cert:",
        "cert_file:",
        "key:",
        "key_file:",
        "server_name:",
        "insecure_skip_verify:",
        "min_version:",
        "max_version:",
        "proxy_url:",
        "no_proxy:",
        "proxy_connect_header:",
        "follow_redirects:",
        "enable_http2:",
        "values:",
        "secrets:",
        "files:",
    ] {
        let has = |section: &String| {
            section.contains(&format!("{{{key} ")) || section.contains(&format!(", {key} "))
        };
        assert!(sections.iter().any(has), "{key}");
    }
}

fn case(lab: &Lab, name: &str) -> Case {
    lab.cases().into_iter().find(|case| case.name == name).expect("a case of the table")
}

#[tokio::test]
async fn a_token_is_fetched_once_and_again_when_the_secret_changes() {
    let lab = Lab::start().await;
    let case = case(&lab, "oauth2 scopes and parameters");
    let client = client(&case.section).expect("a client");
    for (secret, connections) in [("one", 1), ("one", 1), ("two", 1)] {
        lab.write("secret", secret);
        get(&client, &case).await.expect("a page");
        // Kept alive between the fetches, so that the number of connections equals the number of servers.
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

/// A way of replacing a file's content.
#[derive(Clone, Copy, Debug)]
enum Change {
    InPlace,
    Rename,
    Symlink,
}

/// A file that is replaced repeatedly, in one way.
struct Replaced {
    change: Change,
    directory: tempfile::TempDir,
    name: &'static str,
    generation: Cell<u32>,
}

impl Replaced {
    fn new(change: Change, name: &'static str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        Replaced { change, directory, name, generation: Cell::new(0) }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join(self.name)
    }

    fn put(&self, text: &str) {
        let (path, generation) = (self.path(), self.generation.replace(self.generation.get() + 1));
        let beside = self.directory.path().join(format!("{generation}.{}", self.name));
        match self.change {
            Change::InPlace => std::fs::write(&path, text).expect("written"),
            Change::Rename => {
                std::fs::write(&beside, text).expect("written");
                std::fs::rename(&beside, &path).expect("renamed");
            }
            Change::Symlink => {
                std::fs::write(&beside, text).expect("written");
                let link = self.directory.path().join("link");
                std::os::unix::fs::symlink(&beside, &link).expect("linked");
                std::fs::rename(&link, &path).expect("renamed");
            }
        }
        // Size and modification time must not reveal the change.
        let file = std::fs::File::options().write(true).open(&path).expect("it is there");
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1);
        file.set_modified(time).expect("its time is set");
    }
}

const CHANGES: [Change; 3] = [Change::InPlace, Change::Rename, Change::Symlink];

#[tokio::test]
async fn replaced_authorities_take_effect_with_the_next_request() {
    for change in CHANGES {
        let (old, new) = (Lab::start().await, Lab::start().await);
        let file = Replaced::new(change, "ca.pem");
        let path = file.path();
        let text = |lab: &Lab| std::fs::read_to_string(lab.path("ca.pem")).expect("read");
        file.put(&text(&old));
        let client = client(&format!("{{tls_config: {{ca_file: '{}'}}}}", path.display())).expect("a client");
        let with_old = Case { name: "the old authority".into(), ..case(&old, "ca_file") };
        let with_new = Case { name: "the new authority".into(), ..case(&new, "ca_file") };
        get(&client, &with_old).await.expect("a page");
        let error = get(&client, &with_new).await.expect_err("not yet");
        assert!(
            error.contains("certificate signed by unknown authority (its signer is "),
            "{change:?}: {error}"
        );
        file.put(&text(&new));
        get(&client, &with_new).await.expect("a page");
        let error = get(&client, &with_old).await.expect_err("no longer");
        assert!(
            error.contains("certificate signed by unknown authority (its signer is "),
            "{change:?}: {error}"
        );
        std::fs::remove_file(&path).expect("removed");
        let error = get(&client, &with_new).await.expect_err("gone");
        let reason = format!(
            "unable to read CA cert: unable to read file {0}: open {0}: no such file or directory",
            path.display()
        );
        assert!(error.ends_with(&reason), "{change:?}: {error}");
    }
}

#[tokio::test]
async fn replaced_client_certificates_and_keys_take_effect_with_the_next_request() {
    for change in CHANGES {
        let (old, new) = (Lab::start().await, Lab::start().await);
        let (certificate, key) = (Replaced::new(change, "cert.pem"), Replaced::new(change, "key.pem"));
        let put = |file: &Replaced, lab: &Lab| {
            file.put(&std::fs::read_to_string(lab.path(file.name)).expect("read"));
        };
        [&certificate, &key].into_iter().for_each(|file| put(file, &old));
        let section = format!(
            "{{tls_config: {{cert_file: '{}', key_file: '{}', insecure_skip_verify: true}}}}",
            certificate.path().display(),
            key.path().display()
        );
        let client = client(&section).expect("a client");
        let at = |lab: &Lab| Case { address: lab.address("tls-mutual"), ..case(lab, "ca_file") };
        get(&client, &at(&old)).await.expect("a page");
        get(&client, &at(&new)).await.expect_err("the new server does not know the old authority");
        put(&certificate, &new);
        let error = get(&client, &at(&new)).await.expect_err("half of it is replaced");
        assert!(error.ends_with("tls: private key does not match public key"), "{change:?}: {error}");
        put(&key, &new);
        get(&client, &at(&new)).await.expect("a page");
        get(&client, &at(&old)).await.expect_err("the old server does not know the new authority");
    }
}

#[tokio::test]
async fn replaced_secrets_take_effect_with_the_next_request() {
    let lab = Lab::start().await;
    // Texts of equal length, and the expected header for each.
    let cases = [
        (
            "authorization: {credentials_file: 'FILE'}",
            "authorization: bearer one",
            "authorization: bearer two",
        ),
        ("bearer_token_file: 'FILE'", "authorization: bearer one", "authorization: bearer two"),
        (
            "basic_auth: {username: u, password_file: 'FILE'}",
            "authorization: basic dtpvbmu=",
            "authorization: basic dtp0d28=",
        ),
        (
            "basic_auth: {username_file: 'FILE', password: p}",
            "authorization: basic b25lonA=",
            "authorization: basic dhdvonA=",
        ),
        ("http_headers: {X-Own: {files: ['FILE']}}", "x-own: one", "x-own: two"),
    ];
    for change in CHANGES {
        for (section, one, two) in cases {
            let file = Replaced::new(change, "secret");
            file.put("one\n");
            let section = format!("{{{}}}", section.replace("FILE", &file.path().display().to_string()));
            let client = client(&section).expect("a client");
            for (text, with) in [("one\n", one), ("two\n", two), ("one\n", one)] {
                file.put(text);
                let case = Case {
                    expected: Expected::Arrives {
                        at: "plain",
                        with: vec![format!("{}\r\n", with.to_lowercase())],
                        without: Vec::new(),
                    },
                    ..case(&lab, "nothing")
                };
                lab.judge(&case, get(&client, &case).await);
            }
        }
    }
}
