//! The parts of the dialogue that need no server.

use super::*;

#[test]
fn challenges_are_answered_as_rfc_2195_shows() {
    // The example of the RFC: user "tim", secret "tanstaaftanstaaf".
    let challenge = b"<1896.697170952@postoffice.reston.mci.net>";
    let digest = hex::encode(hmac_md5(b"tanstaaftanstaaf", challenge));
    assert_eq!(digest, "b913a602c7eda7a495b4e6e7334d3890");
}

/// What a server that sends all this at once receives during a dialogue.
async fn played(server_says: &str, conversation: impl AsyncFnOnce(&mut Smtp)) -> String {
    let (ours, mut theirs) = tokio::io::duplex(1 << 20);
    theirs.write_all(server_says.as_bytes()).await.expect("the buffer has room");
    let mut smtp = Smtp::over(ours);
    conversation(&mut smtp).await;
    drop(smtp);
    let mut seen = String::new();
    theirs.read_to_string(&mut seen).await.expect("text");
    seen
}

#[tokio::test]
async fn dots_at_the_beginning_of_lines_are_doubled() {
    let seen = played("250 ok\r\n", async |smtp: &mut Smtp| {
        smtp.message(".\r\n..a\nb\r\n.").await.expect("accepted");
    })
    .await;
    assert_eq!(seen, "..\r\n...a\r\nb\r\n..\r\n.\r\n");
}

#[tokio::test]
async fn an_old_server_is_greeted_the_old_way() {
    let seen = played("502 what?\r\n250 hi\r\n", async |smtp: &mut Smtp| {
        smtp.hello("me").await.expect("greeted");
        assert_eq!(smtp.extension("AUTH"), None);
    })
    .await;
    assert_eq!(seen, "EHLO me\r\nHELO me\r\n");
}

#[tokio::test]
async fn mechanisms_are_tried_in_the_servers_order() {
    let secrets = |secret: &str| Secrets {
        identity: String::new(),
        user: "u".to_owned(),
        host: "localhost".to_owned(),
        password: Ok("p".to_owned()),
        secret: Ok(secret.to_owned()),
    };
    let login = "334 VXNlcm5hbWU6\r\n334 UGFzc3dvcmQ6\r\n235 in\r\n";
    for (mechanisms, secret, server, expected) in [
        ("PLAIN LOGIN", "", "235 in\r\n", "AUTH PLAIN AHUAcA==\r\n"),
        ("LOGIN PLAIN", "", login, "AUTH LOGIN\r\ndQ==\r\ncA==\r\n"),
        ("CRAM-MD5 PLAIN", "", "235 in\r\n", "AUTH PLAIN AHUAcA==\r\n"),
        (
            "CRAM-MD5 PLAIN",
            "s",
            "334 PDFAeD4=\r\n235 in\r\n",
            "AUTH CRAM-MD5\r\ndSAwYzU5OTJiMWQwYjgzNTNmZDkxYWNmNTFlMGNkYmU3ZQ==\r\n",
        ),
    ] {
        let seen = played(server, async |smtp: &mut Smtp| {
            assert!(smtp.authenticate(mechanisms, &secrets(secret)).await.is_ok(), "{mechanisms}");
        })
        .await;
        assert_eq!(seen, expected, "{mechanisms}");
    }
}

#[tokio::test]
async fn misbehaving_servers_are_refused() {
    for (says, expected) in [
        ("hello\r\n", "invalid reply: hello"),
        ("", "EOF"),
        ("554 go away\r\n", "554 \"go away\""),
        (&"220-more\r\n".repeat(REPLY_BYTES_MAX), "invalid reply: more than 65536 bytes"),
    ] {
        let (ours, mut theirs) = tokio::io::duplex(1 << 20);
        theirs.write_all(says.as_bytes()).await.expect("the buffer has room");
        theirs.shutdown().await.expect("closed");
        let error = Smtp::over(ours).greeting().await.expect_err("no greeting");
        assert_eq!(error.to_string(), expected);
    }
}
