//! The dialogue with a mail server.
//!
//! ```text
//! greeting ─▶ EHLO (or HELO) ─▶ [STARTTLS, EHLO] ─▶ [AUTH] ─▶ MAIL ─▶ RCPT … ─▶ DATA, message ─▶ QUIT
//! ```
//!
//! Always true: replies are limited in size, and nothing that is sent contains unexpected line breaks.

use std::collections::BTreeMap;
use std::io;

use ferula_go::{base64, hex};
use ferula_http_client::{Cause, TlsClient};
use md5::{Digest, Md5};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Maximum size of a reply in bytes.
const REPLY_BYTES_MAX: usize = 64 << 10;

/// A plain or encrypted connection.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// An SMTP session.
pub struct Smtp {
    /// `None` only during the TLS handshake.
    stream: Option<Box<dyn Stream>>,
    /// Bytes read beyond the last line.
    unread: Vec<u8>,
    extensions: BTreeMap<String, String>,
    is_encrypted: bool,
}

/// Why the server did not carry out a command.
#[derive(Debug, thiserror::Error)]
pub enum SmtpError {
    /// The server's own words.
    #[error("{code} {}", ferula_go::quote::go_quote(.text))]
    Refused { code: u16, text: String },
    #[error("EOF")]
    Closed,
    #[error("{}", ferula_http_client::error::io_text(.0))]
    Io(#[from] io::Error),
    #[error("{0}")]
    Tls(#[from] Cause),
    #[error("invalid reply: {0}")]
    Reply(String),
    #[error("smtp: A line must not contain CR or LF")]
    Line,
    #[error("{0}")]
    Auth(&'static str),
}

/// Why authentication failed.
pub enum AuthError {
    /// No common mechanism has the credentials that it needs.
    NoMechanism(String),
    Failed {
        mechanism: &'static str,
        error: SmtpError,
    },
}

/// Credentials. Files that could not be read are errors only if a mechanism needs them.
pub struct Secrets {
    pub identity: String,
    pub user: String,
    /// The user name.
    pub host: String,
    pub password: Result<String, String>,
    /// The secret for CRAM-MD5.
    pub secret: Result<String, String>,
}

struct Reply {
    code: u16,
    lines: Vec<String>,
}

impl Reply {
    fn text(&self) -> String {
        self.lines.join("\n")
    }
}

impl Smtp {
    /// Starts a session over a plain connection.
    pub fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        Smtp {
            stream: Some(Box::new(stream)),
            unread: Vec::new(),
            extensions: BTreeMap::new(),
            is_encrypted: false,
        }
    }

    /// Starts a session over TLS.
    pub fn over_tls(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        Smtp { is_encrypted: true, ..Smtp::over(stream) }
    }

    /// Waits for the server's greeting.
    pub async fn greeting(&mut self) -> Result<(), SmtpError> {
        self.expect(|code| code == 220).await.map(drop)
    }

    /// Sends EHLO, or HELO if the server does not know that.
    pub async fn hello(&mut self, name: &str) -> Result<(), SmtpError> {
        match self.command(&format!("EHLO {name}"), |code| code == 250).await {
            Ok(reply) => {
                let extensions = reply.lines.iter().skip(1).map(|line| {
                    let (name, arguments) = line.split_once(' ').unwrap_or((line, ""));
                    (name.to_ascii_uppercase(), arguments.to_owned())
                });
                self.extensions = extensions.collect();
                Ok(())
            }
            // A server without extensions.
            Err(SmtpError::Refused { .. }) => {
                self.extensions.clear();
                self.command(&format!("HELO {name}"), |code| code == 250).await.map(drop)
            }
            Err(error) => Err(error),
        }
    }

    /// The arguments of an extension that the server offers.
    pub fn extension(&self, name: &str) -> Option<String> {
        self.extensions.get(name).cloned()
    }

    /// Starts TLS. The server's earlier list of extensions is dropped.
    pub async fn start_tls(&mut self, tls: &TlsClient, host: &str, hello: &str) -> Result<(), SmtpError> {
        self.command("STARTTLS", |code| code == 220).await?;
        // Bytes received in plain text must not be taken for encrypted content.
        self.unread.clear();
        let stream = self.stream.take().ok_or(SmtpError::Closed)?;
        self.stream = Some(Box::new(tls.connect(stream, host).await?));
        self.is_encrypted = true;
        self.hello(hello).await
    }

    /// Authenticates with the first usable mechanism of the server.
    pub async fn authenticate(&mut self, mechanisms: &str, secrets: &Secrets) -> Result<(), AuthError> {
        let mut problems = Vec::new();
        for mechanism in mechanisms.split(' ') {
            let (needed, kind) = match mechanism {
                "CRAM-MD5" => (&secrets.secret, "secret"),
                "PLAIN" | "LOGIN" => (&secrets.password, "password"),
                other => {
                    problems.push(format!("unknown auth mechanism: {other}"));
                    continue;
                }
            };
            let value = match needed {
                Ok(value) if !value.is_empty() => value,
                Ok(_) => {
                    problems.push(format!("missing {kind} for {mechanism} auth mechanism"));
                    continue;
                }
                Err(error) => {
                    problems.push(error.clone());
                    continue;
                }
            };
            let failed = |mechanism: &'static str| move |error| AuthError::Failed { mechanism, error };
            return match mechanism {
                "CRAM-MD5" => self.cram_md5(secrets, value).await.map_err(failed("*smtp.cramMD5Auth")),
                "PLAIN" => self.plain(secrets, value).await.map_err(failed("*smtp.plainAuth")),
                _ => self.login(secrets, value).await.map_err(failed("*email.loginAuth")),
            };
        }
        Err(AuthError::NoMechanism(problems.join("\n")))
    }

    async fn plain(&mut self, secrets: &Secrets, password: &str) -> Result<(), SmtpError> {
        // The password must not be readable in transit.
        let is_local = matches!(secrets.host.as_str(), "localhost" | "127.0.0.1" | "::1");
        if !self.is_encrypted && !is_local {
            return Err(SmtpError::Auth("unencrypted connection"));
        }
        let text = format!("{}\0{}\0{password}", secrets.identity, secrets.user);
        self.auth_step(&format!("AUTH PLAIN {}", base64::encode(text.as_bytes())), 235).await.map(drop)
    }

    async fn login(&mut self, secrets: &Secrets, password: &str) -> Result<(), SmtpError> {
        let mut reply = self.auth_step("AUTH LOGIN", 334).await?;
        loop {
            let asked = challenge(&reply)?;
            let answer = match asked.to_ascii_lowercase().as_slice() {
                b"username:" => secrets.user.as_str(),
                b"password:" => password,
                _ => return self.give_up(SmtpError::Auth("unexpected server challenge")).await,
            };
            reply = self.auth_reply(&base64::encode(answer.as_bytes())).await?;
            match reply.code {
                235 => return Ok(()),
                334 => {}
                code => return Err(SmtpError::Refused { code, text: reply.text() }),
            }
        }
    }

    async fn cram_md5(&mut self, secrets: &Secrets, secret: &str) -> Result<(), SmtpError> {
        let reply = self.auth_step("AUTH CRAM-MD5", 334).await?;
        let digest = hmac_md5(secret.as_bytes(), &challenge(&reply)?);
        let digest = hex::encode(digest);
        let answer = base64::encode(format!("{} {digest}", secrets.user).as_bytes());
        self.auth_step(&answer, 235).await.map(drop)
    }

    /// Sends a line and expects this reply code.
    async fn auth_step(&mut self, line: &str, code: u16) -> Result<Reply, SmtpError> {
        let reply = self.auth_reply(line).await?;
        match reply.code {
            found if found == code => Ok(reply),
            code => Err(SmtpError::Refused { code, text: reply.text() }),
        }
    }

    async fn auth_reply(&mut self, line: &str) -> Result<Reply, SmtpError> {
        self.send_line(line).await?;
        self.reply().await
    }

    async fn give_up(&mut self, error: SmtpError) -> Result<(), SmtpError> {
        self.command("*", |code| code == 501).await.ok();
        Err(error)
    }

    /// Starts a message.
    pub async fn mail(&mut self, from: &str) -> Result<(), SmtpError> {
        let mut line = format!("MAIL FROM:<{from}>");
        for (extension, words) in [("8BITMIME", " BODY=8BITMIME"), ("SMTPUTF8", " SMTPUTF8")] {
            if self.extensions.contains_key(extension) {
                line.push_str(words);
            }
        }
        self.command(&line, |code| code == 250).await.map(drop)
    }

    /// Adds a recipient.
    pub async fn recipient(&mut self, to: &str) -> Result<(), SmtpError> {
        self.command(&format!("RCPT TO:<{to}>"), |code| code / 10 == 25).await.map(drop)
    }

    /// Announces the content of the message.
    pub async fn data(&mut self) -> Result<(), SmtpError> {
        self.command("DATA", |code| code == 354).await.map(drop)
    }

    /// Sends the content and waits until the server has accepted it.
    pub async fn message(&mut self, text: &str) -> Result<(), SmtpError> {
        let mut out = String::with_capacity(text.len() + 16);
        for line in text.split_inclusive('\n') {
            // A line with a single dot would end the message.
            if line.starts_with('.') {
                out.push('.');
            }
            out.push_str(line.strip_suffix("\r\n").or(line.strip_suffix('\n')).unwrap_or(line));
            out.push_str("\r\n");
        }
        out.push_str(".\r\n");
        self.send(out.as_bytes()).await?;
        self.expect(|code| code == 250).await.map(drop)
    }

    /// Ends the session; the reply does not matter.
    pub async fn quit(&mut self) {
        self.command("QUIT", |code| code == 221).await.ok();
    }

    async fn command(&mut self, line: &str, is_good: impl Fn(u16) -> bool) -> Result<Reply, SmtpError> {
        self.send_line(line).await?;
        self.expect(is_good).await
    }

    async fn expect(&mut self, is_good: impl Fn(u16) -> bool) -> Result<Reply, SmtpError> {
        let reply = self.reply().await?;
        match reply.code {
            code if is_good(code) => Ok(reply),
            code => Err(SmtpError::Refused { code, text: reply.text() }),
        }
    }

    async fn send_line(&mut self, line: &str) -> Result<(), SmtpError> {
        if line.contains(['\r', '\n']) {
            return Err(SmtpError::Line);
        }
        self.send(format!("{line}\r\n").as_bytes()).await
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), SmtpError> {
        let stream = self.stream.as_mut().ok_or(SmtpError::Closed)?;
        stream.write_all(bytes).await?;
        Ok(stream.flush().await?)
    }

    /// Reads a reply of one or more lines: `250-first`, `250 last`.
    async fn reply(&mut self) -> Result<Reply, SmtpError> {
        let (mut lines, mut bytes) = (Vec::new(), 0);
        loop {
            let line = self.line(REPLY_BYTES_MAX - bytes).await?;
            bytes += line.len();
            let code = line.get(..3).and_then(|code| code.parse::<u16>().ok());
            let (Some(code), rest) = (code, line.get(3..).unwrap_or_default()) else {
                return Err(SmtpError::Reply(line.chars().take(200).collect()));
            };
            let is_last = !rest.starts_with('-');
            lines.push(rest.get(1..).unwrap_or_default().to_owned());
            if is_last {
                return Ok(Reply { code, lines });
            }
        }
    }

    async fn line(&mut self, bytes_max: usize) -> Result<String, SmtpError> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned());
            }
            if self.unread.len() >= bytes_max {
                return Err(SmtpError::Reply(format!("more than {REPLY_BYTES_MAX} bytes")));
            }
            let mut piece = [0; 4096];
            let stream = self.stream.as_mut().ok_or(SmtpError::Closed)?;
            match stream.read(&mut piece).await? {
                0 => return Err(SmtpError::Closed),
                count => self.unread.extend_from_slice(&piece[..count]),
            }
        }
    }
}

fn challenge(reply: &Reply) -> Result<Vec<u8>, SmtpError> {
    base64::decode(&reply.text()).ok_or(SmtpError::Auth("illegal base64 data"))
}

/// HMAC (RFC 2104) with MD5. That is not secure any more, but CRAM-MD5 requires it.
fn hmac_md5(key: &[u8], message: &[u8]) -> Vec<u8> {
    const BLOCK_BYTES: usize = 64;
    let mut block = [0; BLOCK_BYTES];
    match key.len() > BLOCK_BYTES {
        true => block[..16].copy_from_slice(&Md5::digest(key)),
        false => block[..key.len()].copy_from_slice(key),
    }
    let pad = |with: u8| block.map(|byte| byte ^ with);
    let inner = Md5::new().chain_update(pad(0x36)).chain_update(message).finalize();
    Md5::new().chain_update(pad(0x5c)).chain_update(inner).finalize().to_vec()
}

#[cfg(test)]
mod tests;
