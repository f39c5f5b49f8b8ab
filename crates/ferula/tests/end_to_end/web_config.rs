//! `--web.config.file`: the server with TLS and a password, queried by its own commands and scraped by
//! itself.

use std::path::Path;
use std::process::Command;

use super::common::Server;

/// "secret", hashed by bcrypt at the lowest cost.
const HASH: &str = "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";

fn ferula(directory: &Path, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_ferula"))
        .current_dir(directory)
        .args(arguments)
        .output()
        .expect("the program starts");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

fn write(directory: &Path, name: &str, text: &str) {
    std::fs::write(directory.join(name), text).expect("writable");
}

#[test]
fn the_server_is_queried_and_scraped_through_tls_with_a_password() {
    let directory = tempfile::tempdir().expect("a directory");
    let dir = directory.path();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
    write(dir, "cert.pem", &made.cert.pem());
    write(dir, "key.pem", &made.signing_key.serialize_pem());
    let web = format!(
        "tls_server_config: {{cert_file: cert.pem, key_file: key.pem}}\nbasic_auth_users: {{admin: '{HASH}'}}\n"
    );
    write(dir, "web.yml", &web);
    write(dir, "bad.yml", &web.replace("cert.pem", "nowhere.pem"));
    let client = |password: &str| {
        format!("tls_config: {{ca_file: cert.pem}}\nbasic_auth: {{username: admin, password: {password}}}\n")
    };
    write(dir, "right.yml", &client("secret"));
    write(dir, "wrong.yml", &client("guess"));

    let (good, said) = ferula(dir, &["check", "web-config", "web.yml"]);
    assert!(good && said.contains("SUCCESS"), "{said}");
    let (good, said) = ferula(dir, &["check", "web-config", "bad.yml"]);
    assert!(!good && said.contains("nowhere.pem") && !said.contains(HASH), "{said}");

    write(dir, "prometheus.yml", "global: {scrape_interval: 1s}\n");
    let server = Server::start(
        dir,
        &["--config.file=prometheus.yml", "--web.config.file=web.yml", "--web.enable-lifecycle"],
    );
    let port = server.address.rsplit(':').next().expect("a port").to_owned();
    let url = format!("https://localhost:{port}");
    let query = |file: &str| {
        ferula(dir, &["query", "instant", &format!("--http.config.file={file}"), &url, "vector(7)"])
    };
    assert!(server.log().contains(&format!("url={url}")), "{}", server.log());
    let (good, said) = query("right.yml");
    assert!(good && said.contains("{} => 7 @"), "{said}");
    let (good, said) = query("wrong.yml");
    assert!(!good && !said.contains("=> 7") && !said.contains("guess"), "{said}");

    // The server scrapes itself with the same section.
    let job = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs: [{{job_name: self, scheme: https, tls_config: {{ca_file: cert.pem}}, \
         basic_auth: {{username: admin, password: secret}}, static_configs: [{{targets: ['localhost:{port}']}}]}}]\n"
    );
    write(dir, "prometheus.yml", &job);
    server.signal(libc::SIGHUP);
    server.wait_for_line("Completed loading of configuration file");
    let up = || ferula(dir, &["query", "instant", "--http.config.file=right.yml", &url, "up == 1"]).1;
    let deadline = std::time::Instant::now() + super::common::PATIENCE;
    while !up().contains("job=\"self\"") {
        assert!(std::time::Instant::now() < deadline, "it does not scrape itself:\n{}", server.log());
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

#[test]
fn a_broken_file_prevents_the_start_and_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    write(
        directory.path(),
        "web.yml",
        "tls_server_config: {cert_file: nowhere.pem, key_file: nowhere.key}\n",
    );
    let (good, said) = ferula(
        directory.path(),
        &["--web.config.file=web.yml", "--web.listen-address=127.0.0.1:0", "--storage.tsdb.path=data"],
    );
    assert!(!good && said.contains("web.yml") && said.contains("nowhere.pem"), "{said}");
}
