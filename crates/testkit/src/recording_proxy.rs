//! A proxy that tells what it was asked for and refuses it.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::mpsc::Sender;

/// Starts a proxy that sends the first line of every request to `asked`, after its own name, and refuses the request. Returns
/// its address.
///
/// # Panics
/// There is no free port.
pub fn recording_proxy(name: &'static str, asked: Sender<(&'static str, String)>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let Some(first) = lines.next() else { continue };
            let _ = lines.find(String::is_empty);
            if asked.send((name, first)).is_err() {
                return;
            }
            // The client may be gone.
            let _ = (&stream).write_all(b"HTTP/1.1 502 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    address
}
