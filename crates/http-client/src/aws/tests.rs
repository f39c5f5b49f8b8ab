//! Signatures against AWS' own examples, and each source of credentials against a fake service.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use ferula_config::Secret;
use ferula_testkit::played_api::{Play, PlayedServer, ReceivedRequest};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};

use super::{Aws, AwsError, Credentials, Settings, sign};
use crate::{HttpClient, Request};

/// The key of AWS' examples.
fn example() -> Credentials {
    Credentials {
        access_key: "AKIDEXAMPLE".into(),
        secret_key: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
        ..Credentials::default()
    }
}

fn signature(request: Request, service: &str) -> String {
    // 2015-08-30T12:36:00Z
    let signed = sign(request, &example(), "us-east-1", service, Duration::from_secs(1_440_938_160));
    let signed = signed.expect("a good key");
    let value = signed.headers[AUTHORIZATION].to_str().expect("ASCII").to_owned();
    value.split("Signature=").nth(1).unwrap_or_default().to_owned()
}

#[test]
fn requests_are_signed_as_in_the_examples_of_aws() {
    let get = |url: &str| Request::get(url).expect("a URL");
    let form =
        |request: Request, kind: &'static str| request.header(CONTENT_TYPE, HeaderValue::from_static(kind));
    let post = Request::new(http::Method::POST, "https://example.amazonaws.com/").expect("a URL");
    for (request, service, expected) in [
        (
            get("https://example.amazonaws.com/"),
            "service",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
        (
            get("https://example.amazonaws.com/?Param2=value2&Param1=value1"),
            "service",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
        (
            form(
                get("https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08"),
                "application/x-www-form-urlencoded; charset=utf-8",
            ),
            "iam",
            "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
        ),
        (
            form(post, "application/x-www-form-urlencoded").body(Bytes::from_static(b"Param1=value1")),
            "service",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
    ] {
        assert_eq!(signature(request.clone(), service), expected, "{request:?}");
    }
}

const STS: &str = "<AssumeRoleResponse xmlns='https://sts.amazonaws.com/doc/2011-06-15/'><AssumeRoleResult><Credentials>\
    <AccessKeyId>ROLE</AccessKeyId><SecretAccessKey>S&amp;CRET</SecretAccessKey><SessionToken>T</SessionToken>\
    <Expiration>2100-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>";
const KEY_JSON: &str = r#"{"Code": "Success", "AccessKeyId": "META", "SecretAccessKey": "S", "Token": "T",
    "Expiration": "2100-01-01T00:00:00Z"}"#;

const RENEWED_FILE: &str = ".aws/sso/cache/4205714cdfe14ed9e3d030ddf7887781b964f510.json";
const ROLE_JSON: &str = r#"{"roleCredentials": {"accessKeyId": "SSO-KEY", "secretAccessKey": "S", "sessionToken": "T",
    "expiration": 4102444800000}}"#;

/// Variables or files by their names.
type Named<'a> = &'a [(&'a str, &'a str)];

/// All services that issue credentials, in one.
fn services(request: &ReceivedRequest) -> Play {
    let text = |body: &str| Play::Raw("200 OK", String::new(), body.as_bytes().to_vec());
    let needs = |name: &str, value: &str, body: &str| match request.headers.get(name) {
        Some(found) if found == value => text(body),
        _ => Play::Raw("401 Unauthorized", String::new(), b"<html>".to_vec()),
    };
    match (request.method.as_str(), request.target.as_str()) {
        ("PUT", "/latest/api/token") => text("TOKEN"),
        ("GET", "/latest/meta-data/iam/security-credentials/") => {
            needs("x-aws-ec2-metadata-token", "TOKEN", "my-role\n")
        }
        ("GET", "/latest/meta-data/iam/security-credentials/my-role") => {
            needs("x-aws-ec2-metadata-token", "TOKEN", KEY_JSON)
        }
        ("GET", "/latest/dynamic/instance-identity/document") => {
            needs("x-aws-ec2-metadata-token", "TOKEN", r#"{"region": "eu-north-1"}"#)
        }
        ("GET", "/container") => needs("authorization", "CONTAINER", KEY_JSON),
        ("GET", "/federation/credentials?account_id=12&role_name=r+r") => {
            needs("x-amz-sso_bearer_token", "SSO", ROLE_JSON)
        }
        ("POST", "/token") => match request.body.contains("\"refreshToken\":\"R1\"") {
            true => text("{\"accessToken\":\"SSO\",\"expiresIn\":28800,\"refreshToken\":\"R2\"}"),
            false => Play::Close,
        },
        ("POST", "/") if request.body.contains("Action=AssumeRoleWithWebIdentity") => {
            if request.body.contains("WebIdentityToken=JWT") { text(STS) } else { Play::Close }
        }
        ("POST", "/") => text(STS),
        _ => Play::Raw("404 Not Found", String::new(), Vec::new()),
    }
}

/// The access key that is found with these variables and files, and the bodies of all STS requests.
async fn found(
    settings: Settings,
    variables: Named<'_>,
    files: Named<'_>,
) -> (Result<String, AwsError>, Vec<String>) {
    let server = PlayedServer::start(services).await;
    let directory = tempfile::tempdir().expect("a directory");
    let home = directory.path().display().to_string();
    let base = format!("http://{}", server.address);
    let expand = |text: &str| text.replace("BASE", &base).replace("HOME", &home);
    let mut environment: BTreeMap<String, String> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), expand(value))).collect();
    environment.insert("HOME".into(), home.clone());
    environment.insert("AWS_ENDPOINT_URL_STS".into(), format!("{base}/"));
    environment.insert("AWS_ENDPOINT_URL_SSO".into(), base.clone());
    environment.insert("AWS_ENDPOINT_URL_SSO_OIDC".into(), base.clone());
    environment.entry("AWS_EC2_METADATA_SERVICE_ENDPOINT".into()).or_insert(base.clone());
    std::fs::create_dir_all(directory.path().join(".aws/sso/cache")).expect("a directory");
    for (name, text) in files {
        std::fs::write(directory.path().join(name), expand(text)).expect("written");
    }
    let client = HttpClient::new(&Default::default(), "test").expect("a client");
    let settings_profile = settings.profile.clone();
    let aws = Aws::with_environment(settings, client, move |name| environment.get(name).cloned());
    let credentials = aws.credentials().await;
    let renewed = std::fs::read_to_string(directory.path().join(RENEWED_FILE)).unwrap_or_default();
    if settings_profile == "renewed" {
        assert!(
            renewed.contains("\"refreshToken\":\"R2\"") && renewed.contains("\"clientId\":\"C\""),
            "{renewed}"
        );
    }
    // A second look-up must use the cache.
    let again = aws.credentials().await.ok().map(|credentials| credentials.access_key);
    let requests = server.requests.lock().expect("a test");
    let bodies =
        requests.iter().filter(|request| request.method == "POST").map(|request| request.body.clone());
    let found = credentials.map(|credentials| credentials.access_key);
    assert_eq!(found.as_ref().ok(), again.as_ref());
    (found, bodies.collect())
}

#[tokio::test]
async fn credentials_are_found_in_the_order_of_the_sdk() {
    let own = || Settings {
        region: "us-east-1".into(),
        access_key: "OWN".into(),
        secret_key: Secret::new("S"),
        ..Settings::default()
    };
    let plain = || Settings { region: "us-east-1".into(), ..Settings::default() };
    let with_profile = |profile: &str| Settings { profile: profile.into(), ..plain() };
    let env = [("AWS_ACCESS_KEY_ID", "ENV"), ("AWS_SECRET_ACCESS_KEY", "S")];
    let files: Named<'_> = &[
        (".aws/credentials", "[default]\naws_access_key_id = FILE\naws_secret_access_key = S # c\n"),
        (
            ".aws/config",
            "[default]\nregion=x\n[profile role]\nrole_arn=arn:r\nsource_profile=default\nexternal_id=e i\n\
             [profile chain]\nrole_arn=arn:c\nsource_profile=role\n\
             [profile program]\ncredential_process = echo '{\"AccessKeyId\":\"PROGRAM\",\"SecretAccessKey\":\"S\"}'\n\
             [profile source]\nrole_arn=arn:s\ncredential_source=Ec2InstanceMetadata\n\
             [profile web]\nrole_arn=arn:w\nweb_identity_token_file=HOME/token\n\
             [profile a]\nrole_arn=x\nsource_profile=b\n[profile b]\nrole_arn=x\nsource_profile=a\n\
             [profile sso]\nsso_session=s\nsso_account_id=12\nsso_role_name=r r\n\
             [profile renewed]\nsso_session=s2\nsso_account_id=12\nsso_role_name=r r\n\
             [profile old-sso]\nsso_start_url=https://x/start\nsso_region=r\nsso_account_id=12\nsso_role_name=r r\n\
             [profile by-sso]\nrole_arn=arn:c\nsource_profile=sso\n\
             [profile ended]\nsso_session=s3\nsso_account_id=12\nsso_role_name=r r\n\
             [profile no-session]\nsso_session=s4\nsso_account_id=12\nsso_role_name=r r\n\
             [profile no-role]\nsso_session=s\nsso_account_id=12\n\
             [sso-session s]\nsso_region=r\nsso_start_url=https://x/start\n\
             [sso-session s2]\nsso_region=r\nsso_start_url=https://x/start\n\
             [sso-session s3]\nsso_region=r\nsso_start_url=https://x/start\n",
        ),
        // SHA-1 of the session's name, or of the URL.
        (
            ".aws/sso/cache/a0f1490a20d0211c997b44bc357e1972deab8ae3.json",
            "{\"accessToken\":\"SSO\",\"expiresAt\":\"2100-01-01T00:00:00Z\"}",
        ),
        (
            ".aws/sso/cache/f9bd89c67fef27fcb5df8d2e4b64eabe5bae45a4.json",
            "{\"accessToken\":\"SSO\",\"expiresAt\":\"2100-01-01T00:00:00Z\"}",
        ),
        (
            ".aws/sso/cache/4205714cdfe14ed9e3d030ddf7887781b964f510.json",
            "{\"accessToken\":\"OLD\",\"expiresAt\":\"2020-01-01T00:00:00Z\",\"clientId\":\"C\",\"clientSecret\":\"D\",\"refreshToken\":\"R1\"}",
        ),
        (
            ".aws/sso/cache/dd33a084ba223dd231b0aa962f77a5920017bc8b.json",
            "{\"accessToken\":\"OLD\",\"expiresAt\":\"2020-01-01T00:00:00Z\"}",
        ),
        ("token", "JWT\n"),
    ];
    let container = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "BASE/container");
    let container_token = ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "CONTAINER");
    let web = [("AWS_WEB_IDENTITY_TOKEN_FILE", "HOME/token"), ("AWS_ROLE_ARN", "arn:w")];
    let cases: &[(Settings, Named<'_>, Named<'_>, &str, usize)] = &[
        (own(), &env, files, "OWN", 0),
        (plain(), &env, files, "ENV", 0),
        (with_profile("default"), &env, files, "FILE", 0),
        (plain(), &web, files, "ROLE", 1),
        (plain(), &[], files, "FILE", 0),
        (plain(), &[("AWS_PROFILE", "role")], files, "ROLE", 1),
        (with_profile("chain"), &[], files, "ROLE", 2),
        (with_profile("program"), &[], files, "PROGRAM", 0),
        (with_profile("source"), &[], files, "ROLE", 1),
        (with_profile("web"), &[], files, "ROLE", 1),
        (with_profile("sso"), &[], files, "SSO-KEY", 0),
        (with_profile("old-sso"), &[], files, "SSO-KEY", 0),
        // One request for a new token.
        (with_profile("renewed"), &[], files, "SSO-KEY", 1),
        (with_profile("by-sso"), &[], files, "ROLE", 1),
        (plain(), &[container, container_token], &[], "META", 0),
        (plain(), &[], &[], "META", 0),
        (Settings { role_arn: "arn:own".into(), external_id: "e&i".into(), ..own() }, &[], &[], "ROLE", 1),
    ];
    for (settings, variables, files, expected, sts) in cases {
        let (found, bodies) = found(settings.clone(), variables, files).await;
        let context = format!("{settings:?} {variables:?}");
        assert_eq!(found.unwrap_or_else(|error| error.to_string()), *expected, "{context}");
        assert_eq!(bodies.len(), *sts, "{context}: {bodies:?}");
        if settings.external_id == "e&i" {
            assert!(bodies[0].contains("ExternalId=e%26i") && bodies[0].contains("RoleArn=arn%3Aown"));
        }
    }
    for (settings, variables, files, expected) in [
        (with_profile("none"), &[] as Named<'_>, files, "failed to get shared config profile, none"),
        (with_profile("a"), &[], files, "profile a is its own source through other profiles"),
        (with_profile("ended"), &[], files, "profile ended: the SSO session has expired or is invalid"),
        (with_profile("no-session"), &[], files, "profile no-session: its sso_session does not exist"),
        (with_profile("no-role"), &[], files, "profile no-role: sso_role_name is missing"),
        (plain(), &[("AWS_EC2_METADATA_DISABLED", "true")], &[], "no EC2 IMDS role found"),
        (
            plain(),
            &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://example.com/x")],
            &[],
            "example.com must be https, a loopback address",
        ),
        (plain(), &[container], &[], "failed to refresh cached credentials, http://127.0.0.1"),
    ] {
        let (found, _) = found(settings.clone(), variables, files).await;
        let error = found.expect_err("nothing is there").to_string();
        assert!(error.starts_with(expected), "{settings:?}: {error}");
    }
}

#[tokio::test]
async fn the_region_is_that_of_the_section_the_environment_the_profile_or_the_instance() {
    let server = PlayedServer::start(services).await;
    let base = format!("http://{}", server.address);
    let region = async |settings: Settings, variables: &[(&str, &str)]| {
        let mut variables: BTreeMap<String, String> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        variables.insert("AWS_EC2_METADATA_SERVICE_ENDPOINT".into(), base.clone());
        let client = HttpClient::new(&Default::default(), "test").expect("a client");
        let aws = Aws::with_environment(settings, client, move |name| variables.get(name).cloned());
        (aws.region().await.unwrap_or_else(|error| error.to_string()), aws.service_url("ec2").await.ok())
    };
    let own = Settings { region: "cn-north-1".into(), ..Settings::default() };
    let url = Some("https://ec2.cn-north-1.amazonaws.com.cn".to_owned());
    assert_eq!(region(own, &[("AWS_REGION", "x")]).await, ("cn-north-1".to_owned(), url));
    let named = region(Settings::default(), &[("AWS_DEFAULT_REGION", "d")]).await;
    assert_eq!(named.0, "d");
    assert_eq!(region(Settings::default(), &[]).await.0, "eu-north-1");
    let disabled = region(Settings::default(), &[("AWS_EC2_METADATA_DISABLED", "TRUE")]).await;
    assert_eq!(disabled.0, "could not determine AWS region: region not found in AWS config or IMDS");
}
