//! A proxy that serves a server below a different path, without telling the server.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

/// Starts the proxy: `/deep/er/x` is answered with the server's `/x`. Returns its address.
pub fn start(server: &str, below: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    let server = server.to_owned();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let server = server.clone();
            // Broken connections are up to the browser.
            std::thread::spawn(move || drop(forward(client, &server, below)));
        }
    });
    address
}

/// One request per connection, so that only the first line has to be changed.
fn forward(client: TcpStream, server: &str, below: &str) -> std::io::Result<()> {
    let mut input = BufReader::new(client.try_clone()?);
    let mut client = client;
    let mut head = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        match line.as_str() {
            "\r\n" => break,
            _ if head.is_empty() => match line.split_once(below) {
                Some((method, rest)) => head.push_str(&format!("{method}{rest}")),
                None => {
                    return client.write_all(
                        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                    );
                }
            },
            _ if lower.starts_with("connection:") => {}
            _ => head.push_str(&line),
        }
    }
    head.push_str("Connection: close\r\n\r\n");
    let mut body = vec![0; length];
    input.read_exact(&mut body)?;
    let mut upstream = TcpStream::connect(server)?;
    upstream.write_all(head.as_bytes())?;
    upstream.write_all(&body)?;
    std::io::copy(&mut upstream, &mut client)?;
    Ok(())
}
