//! Tokens of other identity providers, and of service accounts that another account impersonates.

use std::path::Path;
use std::time::Duration;

use ferula_model::Timestamp;
use ferula_runtime::SimClock;
use serde_json::{Value, json};

use super::super::account::Account;
use crate::api_client::ApiClient;
use crate::played::{Play, PlayedServer, ReceivedRequest, context};

/// The account that a file of this content describes, with these variables in the environment.
fn account_of(content: &Value, environment: &[(&str, &str)]) -> Account {
    account_at(content, environment, context())
}

fn account_at(content: &Value, environment: &[(&str, &str)], context: crate::provider::Context) -> Account {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), content.to_string()).expect("written");
    let api = ApiClient::new(&Default::default(), &context, Duration::from_secs(10)).expect("a client");
    let path = file.path().display().to_string();
    let variable = |name: &str| match name {
        "GOOGLE_APPLICATION_CREDENTIALS" => Some(path.clone()),
        _ => environment.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()),
    };
    Account::find(&api, &context, variable).expect("an account")
}

/// An identity provider, Google's exchange, and a service account, in one.
fn play_federation(request: &ReceivedRequest) -> Play {
    let json = |value: Value| Play::Json(value.to_string());
    match request.target.as_str() {
        "/subject" if request.headers.get("x-key").is_some_and(|key| key == "K") => {
            json(json!({"value": "SUBJECT"}))
        }
        "/exchange" if request.body.contains("subject_token=SUBJECT&") => {
            json(json!({"access_token": "EXCHANGED", "expires_in": 3600}))
        }
        "/impersonate"
            if request.headers.get("authorization").is_some_and(|token| token == "Bearer EXCHANGED") =>
        {
            json(json!({"accessToken": "IMPERSONATED", "expireTime": "2100-01-01T00:00:00Z"}))
        }
        _ => Play::Raw("403 Forbidden", String::new(), b"{}".to_vec()),
    }
}

#[tokio::test]
async fn a_token_of_another_provider_is_exchanged() {
    let server = PlayedServer::start(play_federation).await;
    let directory = tempfile::tempdir().expect("a directory");
    let subject = directory.path().join("subject");
    std::fs::write(&subject, "SUBJECT\n").expect("written");
    let base = format!("http://{}", server.address);
    let of_file = json!({"file": subject});
    let of_url = json!({"url": format!("{base}/subject"), "headers": {"x-key": "K"},
        "format": {"type": "json", "subject_token_field_name": "value"}});
    for (source, impersonation, expected) in [
        (of_file.clone(), "", Ok("EXCHANGED")),
        (of_file.clone(), "/impersonate", Ok("IMPERSONATED")),
        (of_url, "/impersonate", Ok("IMPERSONATED")),
        (
            of_file,
            "/nothing",
            Err("external_account: unable to impersonate the service account: 403 Forbidden"),
        ),
        (
            json!({"file": directory.path().join("none")}),
            "",
            Err("external_account: failed to open credential file"),
        ),
    ] {
        let impersonation =
            if impersonation.is_empty() { String::new() } else { format!("{base}{impersonation}") };
        let account = json!({"type": "external_account", "audience": "//iam/x", "subject_token_type": "jwt",
            "token_url": format!("{base}/exchange"), "service_account_impersonation_url": impersonation,
            "credential_source": source});
        let mut account = account_of(&account, &[]);
        let before = server.targets().len();
        let found = account.token().await;
        match (&found, expected) {
            (Ok(token), Ok(expected)) => assert_eq!(token, expected),
            (Err(error), Err(expected)) => assert!(error.to_string().starts_with(expected), "{error}"),
            _ => panic!("{found:?} instead of {expected:?}"),
        }
        if found.is_ok() {
            let requests = server.targets().len();
            assert!(requests > before);
            assert_eq!(account.token().await.ok(), found.ok());
            assert_eq!(server.targets().len(), requests, "a token serves until it ends");
        }
    }
    let exchange = server.requests.lock().expect("a test");
    let exchange = exchange.iter().find(|request| request.target == "/exchange").expect("an exchange");
    assert!(
        exchange.body.contains("audience=%2F%2Fiam%2Fx&") && exchange.body.contains("token-exchange"),
        "{}",
        exchange.body
    );
}

/// The metadata service of AWS, and Google's exchange, which answers with the subject token.
fn play_aws(request: &ReceivedRequest) -> Play {
    let with_session =
        request.headers.get("x-aws-ec2-metadata-token").is_some_and(|token| token == "SESSION");
    let raw = |text: &str| Play::Raw("200 OK", String::new(), text.as_bytes().to_vec());
    match request.target.as_str() {
        "/session" if request.headers.contains_key("x-aws-ec2-metadata-token-ttl-seconds") => raw("SESSION"),
        "/zone" if with_session => raw("us-east-2b"),
        "/roles" if with_session => raw("my-role"),
        "/roles/my-role" if with_session => {
            raw(r#"{"AccessKeyId": "AKID", "SecretAccessKey": "SECRET", "Token": "TOKEN"}"#)
        }
        "/roles/none" => raw("{}"),
        "/exchange" => Play::Json(json!({"access_token": "EXCHANGED", "expires_in": 3600}).to_string()),
        _ => Play::Raw("403 Forbidden", String::new(), b"{}".to_vec()),
    }
}

/// The signed request in the last exchange.
fn signed_request(server: &PlayedServer) -> Value {
    let requests = server.requests.lock().expect("a test");
    let exchange = requests.iter().rev().find(|request| request.target == "/exchange").expect("an exchange");
    let (form, _) = ferula_go::url::parse_query(&exchange.body);
    let (_, token) = form.into_iter().find(|(name, _)| name == "subject_token").expect("a token");
    let (text, _) = ferula_go::url::parse_query(format!("t={token}"));
    serde_json::from_str(&text[0].1).expect("JSON")
}

/// What Google's library (golang.org/x/oauth2, January 2026) made at this time of the same region, keys and audience.
const RECORDED_AT_SECONDS: i64 = 1_700_000_000;
const RECORDED_URL: &str = "https://sts.us-east-2.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15";
const RECORDED_HEADERS: [(&str, &str); 5] = [
    (
        "authorization",
        "AWS4-HMAC-SHA256 Credential=AKID/20231114/us-east-2/sts/aws4_request, \
         SignedHeaders=host;x-amz-date;x-amz-security-token;x-goog-cloud-target-resource, \
         Signature=cfbda3541206f2ffae14ce29838fee2f51c582098569a8eb06a8f65964b6083d",
    ),
    ("host", "sts.us-east-2.amazonaws.com"),
    ("x-amz-date", "20231114T221320Z"),
    ("x-amz-security-token", "TOKEN"),
    ("x-goog-cloud-target-resource", "//iam.googleapis.com/projects/1/x"),
];

#[tokio::test]
async fn an_identity_of_aws_signs_a_request_as_googles_library_does() {
    let server = PlayedServer::start(play_aws).await;
    let base = format!("http://{}", server.address);
    let content = |source: Value| {
        json!({"type": "external_account", "audience": "//iam.googleapis.com/projects/1/x",
            "subject_token_type": "urn:ietf:params:aws:token-type:aws4_request",
            "token_url": format!("{base}/exchange"), "credential_source": source})
    };
    let of_environment = content(json!({"environment_id": "aws1"}));
    let environment = [
        ("AWS_REGION", "us-east-2"),
        ("AWS_ACCESS_KEY_ID", "AKID"),
        ("AWS_SECRET_ACCESS_KEY", "SECRET"),
        ("AWS_SESSION_TOKEN", "TOKEN"),
    ];
    let of_metadata = content(json!({"environment_id": "aws1", "region_url": format!("{base}/zone"),
        "url": format!("{base}/roles"), "imdsv2_session_token_url": format!("{base}/session")}));
    for (content, environment) in [(of_environment, &environment[..]), (of_metadata, &[])] {
        let clock = SimClock::at(Timestamp::from_millis(RECORDED_AT_SECONDS * 1000));
        let context = crate::provider::Context { clock: std::sync::Arc::new(clock), ..context() };
        let mut account = account_at(&content, environment, context);
        assert_eq!(account.token().await.expect("a token"), "EXCHANGED");
        let signed = signed_request(&server);
        assert_eq!((&signed["url"], &signed["method"]), (&json!(RECORDED_URL), &json!("POST")));
        let headers: std::collections::BTreeMap<String, &str> = signed["headers"]
            .as_array()
            .expect("headers")
            .iter()
            .map(|one| {
                (one["key"].as_str().expect("a key").to_lowercase(), one["value"].as_str().expect("a value"))
            })
            .collect();
        assert_eq!(
            headers.into_iter().collect::<Vec<_>>(),
            RECORDED_HEADERS.map(|(name, value)| (name.to_owned(), value))
        );
    }
    for (source, expected) in [
        (json!({"environment_id": "aws1"}), "unable to determine the AWS role name"),
        (
            json!({"environment_id": "aws1", "url": format!("{base}/nothing")}),
            "unable to retrieve AWS role name",
        ),
        (
            json!({"environment_id": "aws1", "imdsv2_session_token_url": format!("{base}/nothing")}),
            "unable to retrieve AWS session token",
        ),
    ] {
        let error = account_of(&content(source), &[]).token().await.expect_err("no credentials").to_string();
        assert!(error.starts_with(&format!("external_account: {expected}")), "{error}");
    }
}

/// A program that prints this, and tells what it was told in the file `told`.
fn program(directory: &Path, printed: &Value) -> String {
    let file = directory.join("program");
    let told = directory.join("told");
    let script = format!(
        "#!/bin/sh\nenv | grep ^GOOGLE_EXTERNAL | sort > {}\necho \"$@\" >> {}\ncat <<'END'\n{printed}\nEND\n",
        told.display(),
        told.display()
    );
    std::fs::write(&file, script).expect("written");
    // Not executed itself: while another test forks, the file may still be open for writing there.
    format!("/bin/sh {} first second", file.display())
}

#[tokio::test]
async fn a_program_prints_the_token_if_the_environment_allows_it() {
    let server = PlayedServer::start(play_federation).await;
    let directory = tempfile::tempdir().expect("a directory");
    let base = format!("http://{}", server.address);
    let content = |command: &str, output_file: &Path| {
        json!({"type": "external_account", "audience": "//iam/x", "subject_token_type": "t",
            "token_url": format!("{base}/exchange"), "credential_source": {"executable":
            {"command": command, "output_file": output_file}}})
    };
    let nowhere = Path::new("");
    let allowed = [("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "1")];
    let jwt = "urn:ietf:params:oauth:token-type:jwt";
    let good = json!({"version": 1, "success": true, "token_type": jwt, "id_token": "SUBJECT"});
    let command = program(directory.path(), &good);
    let mut account = account_of(&content(&command, nowhere), &allowed);
    assert_eq!(account.token().await.expect("a token"), "EXCHANGED");
    let told = std::fs::read_to_string(directory.path().join("told")).expect("it ran");
    assert_eq!(
        told,
        "GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE=//iam/x\nGOOGLE_EXTERNAL_ACCOUNT_INTERACTIVE=0\n\
         GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE=t\nfirst second\n"
    );
    let error =
        account_of(&content(&command, nowhere), &[]).token().await.expect_err("not allowed").to_string();
    assert!(error.contains("executables need to be explicitly allowed"), "{error}");
    let refused = [
        (json!({}), "response missing `\"version\"` field"),
        (json!({"version": 1}), "response missing `\"success\"` field"),
        (json!({"version": 2, "success": true}), "response contains unsupported version: 2"),
        (json!({"version": 1, "success": true}), "response missing `\"token_type\"` field"),
        (
            json!({"version": 1, "success": true, "token_type": "x"}),
            "response contains unsupported token type",
        ),
        (json!({"version": 1, "success": true, "token_type": jwt}), "response missing `\"id_token\"` field"),
        (
            json!({"version": 1, "success": true, "token_type": jwt, "id_token": "x", "expiration_time": 1}),
            "the token returned by the executable is expired",
        ),
        (
            json!({"version": 1, "success": false, "code": "401", "message": "who"}),
            "response contains unsuccessful response: (401) who",
        ),
        (json!("text"), "unable to parse response: "),
    ];
    for (printed, expected) in refused {
        let command = program(directory.path(), &printed);
        let error =
            account_of(&content(&command, nowhere), &allowed).token().await.expect_err("refused").to_string();
        assert!(error.starts_with(&format!("oauth2/google/externalaccount: {expected}")), "{error}");
    }
    // The answer in its file is used while it is good; then the program runs.
    let kept = directory.path().join("kept");
    let lasting = |token: &str, ends: i64| json!({"version": 1, "success": true, "token_type": jwt, "id_token": token, "expiration_time": ends});
    let command = program(directory.path(), &lasting("SUBJECT", i64::MAX));
    for (in_file, expected) in [
        (lasting("SUBJECT", i64::MAX), true),
        (lasting("OTHER", i64::MAX), false),
        (lasting("OTHER", 1), true),
    ] {
        std::fs::write(&kept, in_file.to_string()).expect("written");
        let found = account_of(&content(&command, &kept), &allowed).token().await;
        assert_eq!(found.is_ok(), expected, "{in_file}: {found:?}");
    }
}

/// Google's token services: a user's refresh token changes with each use.
fn play_accounts(request: &ReceivedRequest) -> Play {
    let json = |value: Value| Play::Json(value.to_string());
    let authorization = request.headers.get("authorization").map(String::as_str).unwrap_or_default();
    match (request.target.as_str(), authorization) {
        // `c:s`
        ("/sts", "Basic Yzpz") if request.body == "grant_type=refresh_token&refresh_token=R1" => {
            json(json!({"access_token": "FIRST", "expires_in": 3600, "refresh_token": "R2"}))
        }
        ("/sts", "Basic Yzpz") if request.body == "grant_type=refresh_token&refresh_token=R2" => {
            json(json!({"access_token": "SECOND", "expires_in": 3600}))
        }
        ("/impersonate", "Bearer FIRST" | "Bearer SECOND") => {
            json(json!({"accessToken": request.body, "expireTime": "2100-01-01T00:00:00Z"}))
        }
        _ => Play::Raw("403 Forbidden", String::new(), b"{}".to_vec()),
    }
}

#[tokio::test]
async fn a_user_of_a_workforce_pool_may_impersonate_a_service_account() {
    let server = PlayedServer::start(play_accounts).await;
    let base = format!("http://{}", server.address);
    let user = json!({"type": "external_account_authorized_user", "audience": "a", "refresh_token": "R1",
        "token_url": format!("{base}/sts"), "client_id": "c", "client_secret": "s"});
    let mut account = account_of(&user, &[]);
    assert_eq!(account.token().await.expect("a token"), "FIRST");
    account.forget_token();
    assert_eq!(account.token().await.expect("the new refresh token"), "SECOND");
    let impersonated = json!({"type": "impersonated_service_account", "delegates": ["d"],
        "service_account_impersonation_url": format!("{base}/impersonate"), "source_credentials": user});
    let mut account = account_of(&impersonated, &[]);
    let body: Value = serde_json::from_str(&account.token().await.expect("a token")).expect("the request");
    let scope = "https://www.googleapis.com/auth/compute.readonly";
    assert_eq!(body, json!({"delegates": ["d"], "lifetime": "3600s", "scope": [scope]}));
    let requests = server.targets().len();
    account.token().await.expect("it is kept");
    assert_eq!(server.targets().len(), requests);
    account.forget_token();
    account.token().await.expect("both tokens are requested again");
    assert_eq!(server.targets()[requests..], ["/sts", "/impersonate"]);
}
