//! Tokens of a slow OAuth 2.0 server.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ferula_config::http_client::HttpClientConfig;
use ferula_http_client::{HttpClient, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Reads the head of a request.
async fn head_of(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        assert_ne!(stream.read_buf(&mut head).await.expect("read"), 0, "the head is whole");
    }
    String::from_utf8_lossy(&head).to_lowercase()
}

async fn answer(stream: &mut TcpStream, content_type: &str, body: &str) {
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all((head + body).as_bytes()).await.expect("written");
}

#[tokio::test]
async fn a_token_that_arrives_after_its_caller_left_is_used_for_the_next_one() {
    let (tokens, target) = (
        TcpListener::bind("127.0.0.1:0").await.expect("a port"),
        TcpListener::bind("127.0.0.1:0").await.expect("a port"),
    );
    let section = format!(
        "oauth2: {{client_id: i, client_secret: s, token_url: 'http://{}/token'}}",
        tokens.local_addr().expect("bound")
    );
    let url = format!("http://{}/", target.local_addr().expect("bound"));
    let asked = Arc::new(AtomicUsize::new(0));
    let (release, mut released) = watch::channel(false);
    tokio::spawn({
        let asked = asked.clone();
        async move {
            loop {
                let (mut stream, _) = tokens.accept().await.expect("a client");
                head_of(&mut stream).await;
                asked.fetch_add(1, Ordering::SeqCst);
                released.wait_for(|released| *released).await.expect("the test waits");
                answer(&mut stream, "application/json", "{\"access_token\": \"t\", \"expires_in\": 3600}")
                    .await;
            }
        }
    });
    let served = tokio::spawn(async move {
        let (mut stream, _) = target.accept().await.expect("a client");
        let head = head_of(&mut stream).await;
        answer(&mut stream, "text/plain", "").await;
        head
    });
    let section = HttpClientConfig::parse_file(&section, ".").expect("a good section");
    let client = HttpClient::new(&section, "test").expect("a client");
    let send = |client: HttpClient, url: String| async move {
        client.send(Request::get(&url).expect("a URL")).await.expect("answered").status()
    };
    let first = tokio::spawn(send(client.clone(), url.clone()));
    while asked.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    first.abort();
    assert!(first.await.is_err_and(|error| error.is_cancelled()));
    release.send_replace(true);
    assert_eq!(send(client, url).await, 200);
    let head = served.await.expect("no panic");
    assert!(head.contains("authorization: bearer t\r\n"), "{head}");
    assert_eq!(asked.load(Ordering::SeqCst), 1, "the token was not asked for again");
}
