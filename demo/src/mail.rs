//! A mail server that accepts everything for everybody and keeps it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// Bytes of one mail.
const MAIL_BYTES_MAX: usize = 1 << 20;
const LINE_BYTES_MAX: u64 = 4 << 10;
const PATIENCE: Duration = Duration::from_secs(10);

/// A mail: its subject, and its text as it came (headers left out).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mail {
    pub to: String,
    pub subject: String,
    pub text: String,
}

/// Hands every mail over, until the process ends.
pub fn serve(listener: TcpListener, deliver: impl Fn(Mail) + Send + Sync + 'static) {
    let deliver = Arc::new(deliver);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let deliver = deliver.clone();
            std::thread::spawn(move || talk_over(stream, &*deliver).ok());
        }
    });
}

fn talk_over(stream: TcpStream, deliver: &dyn Fn(Mail)) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    talk(BufReader::new(stream.try_clone()?), stream, deliver)
}

/// The server's side of a conversation (RFC 5321, the commands without which no client is content).
fn talk(mut from: impl BufRead, mut to: impl Write, deliver: &dyn Fn(Mail)) -> std::io::Result<()> {
    to.write_all(b"220 demo\r\n")?;
    let mut recipients = Vec::new();
    while let Some(line) = read_line(&mut from)? {
        let command = line.get(..4).unwrap_or(&line).to_ascii_uppercase();
        let answer = match command.as_str() {
            "EHLO" | "HELO" | "MAIL" | "RSET" | "NOOP" => "250 fine",
            "RCPT" => {
                recipients.push(line.split(['<', '>']).nth(1).unwrap_or("").to_owned());
                "250 fine"
            }
            "DATA" => {
                to.write_all(b"354 go ahead\r\n")?;
                let Some(mail) = read_mail(&mut from)? else { return Ok(()) };
                deliver(Mail { to: std::mem::take(&mut recipients).join(", "), ..mail });
                "250 delivered"
            }
            "QUIT" => return to.write_all(b"221 bye\r\n"),
            _ => "502 not here",
        };
        to.write_all(format!("{answer}\r\n").as_bytes())?;
    }
    Ok(())
}

/// A line without its end; `None` at the end of the stream, or if the line is too long.
fn read_line(from: &mut impl BufRead) -> std::io::Result<Option<String>> {
    let mut line = Vec::new();
    from.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
    Ok((line.last() == Some(&b'\n')).then(|| String::from_utf8_lossy(&line).trim_end().to_owned()))
}

fn read_mail(from: &mut impl BufRead) -> std::io::Result<Option<Mail>> {
    let (mut mail, mut in_headers, mut bytes) = (Mail::default(), true, 0);
    while let Some(line) = read_line(from)? {
        bytes += line.len() + 1;
        match line.as_str() {
            "." => return Ok(Some(mail)),
            _ if bytes > MAIL_BYTES_MAX => return Ok(None),
            "" if in_headers => in_headers = false,
            header if in_headers => {
                if let Some(subject) = header.strip_prefix("Subject: ") {
                    subject.clone_into(&mut mail.subject);
                }
            }
            text => {
                mail.text.push_str(text.strip_prefix('.').unwrap_or(text));
                mail.text.push('\n');
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn a_mail_is_delivered_once_it_is_whole() {
        let said = "EHLO me\r\nMAIL FROM:<a@b>\r\nRCPT TO:<team@x>\r\nDATA\r\nSubject: [FIRING:1] Slow\r\nTo: team@x\r\n\r\n\
                    ..dots\r\ntext\r\n.\r\nQUIT\r\n";
        let mails = Mutex::new(Vec::new());
        let mut answers = Vec::new();
        let deliver = |mail| mails.lock().expect("no panic before").push(mail);
        talk(said.as_bytes(), &mut answers, &deliver).expect("memory takes everything");
        let expected =
            Mail { to: "team@x".into(), subject: "[FIRING:1] Slow".into(), text: ".dots\ntext\n".into() };
        assert_eq!(*mails.lock().expect("no panic before"), [expected]);
        assert!(answers.ends_with(b"221 bye\r\n"));

        let cut = said.split("text").next().expect("the part before");
        talk(cut.as_bytes(), &mut Vec::new(), &deliver).expect("memory takes everything");
        assert_eq!(mails.lock().expect("no panic before").len(), 1, "half a mail is none");
    }
}
