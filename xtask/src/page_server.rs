//! A target that serves generated pages of metrics.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};

use crate::generated::pages;

/// Serves the pages, another one each second, for the life of the process.
pub fn serve_pages() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let port = listener.local_addr()?.port();
    let pages = Arc::new(pages(8)?);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let pages = pages.clone();
            // A server may be killed in the middle of a page.
            std::thread::spawn(move || drop(answer_scrapes(stream, &pages)));
        }
    });
    Ok(port)
}

fn answer_scrapes(mut stream: TcpStream, pages: &[Vec<u8>]) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut request = vec![0; 16 << 10];
    loop {
        let mut read = 0;
        while !request[..read].ends_with(b"\r\n\r\n") {
            match stream.read(&mut request[read..])? {
                0 => return Ok(()),
                more => read += more,
            }
            if read == request.len() {
                bail!("a request of a scrape is too long");
            }
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let page = &pages[now.as_secs() as usize % pages.len()];
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
            page.len()
        );
        stream.write_all(&[head.as_bytes(), page].concat())?;
    }
}
