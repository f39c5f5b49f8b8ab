//! Records the requests and answers of an attempt, for the history of notifications and for receiver tests.

use std::sync::Mutex;

use ferula_go::sync::MutexExt;

/// How much of a body is kept, in bytes.
const BODY_BYTES_MAX: usize = 64 << 10;

/// Requests and answers of one attempt.
#[derive(Debug, Default)]
pub struct Record {
    exchanges: Option<Mutex<Vec<Exchange>>>,
    is_dry: bool,
    keeps_bodies: bool,
    reads_no_files: bool,
}

/// A request with its answer. Secrets are masked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exchange {
    /// `POST`; `SMTP` for mail.
    pub method: String,
    pub url: String,
    /// In the order in which they are sent.
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// Status and beginning of the answer, or the error; `None` if nothing was sent.
    pub answer: Option<String>,
}

impl Record {
    /// Records nothing.
    pub const fn off() -> Self {
        Record { exchanges: None, is_dry: false, keeps_bodies: false, reads_no_files: false }
    }

    /// Records what is sent and answered.
    pub fn on() -> Self {
        Record { exchanges: Some(Mutex::default()), keeps_bodies: true, ..Record::off() }
    }

    /// Keeps addresses and answers, but not the bodies of requests, for the history.
    pub fn answers() -> Self {
        Record { keeps_bodies: false, ..Record::on() }
    }

    /// Sends nothing and reads no file; only checks templates.
    pub fn check() -> Self {
        Record { exchanges: None, is_dry: true, reads_no_files: true, ..Record::off() }
    }

    /// Records what would be sent, but sends nothing: every service seems to accept.
    pub fn dry_run() -> Self {
        Record { is_dry: true, ..Record::on() }
    }

    /// Whether nothing is actually sent.
    pub fn is_dry(&self) -> bool {
        self.is_dry
    }

    /// Whether files with secrets are left alone.
    pub fn reads_no_files(&self) -> bool {
        self.reads_no_files
    }

    /// Takes the recorded exchanges.
    pub fn take(&self) -> Vec<Exchange> {
        let Some(exchanges) = &self.exchanges else { return Vec::new() };
        std::mem::take(&mut exchanges.locked())
    }

    /// Records an exchange, which is created only if recording is on.
    pub fn note(&self, exchange: impl FnOnce() -> Exchange) {
        let Some(exchanges) = &self.exchanges else { return };
        let mut exchange = exchange();
        if !self.keeps_bodies {
            (exchange.body, exchange.headers) = (String::new(), Vec::new());
        }
        for text in [Some(&mut exchange.body), exchange.answer.as_mut()].into_iter().flatten() {
            if text.len() > BODY_BYTES_MAX {
                text.truncate(text.floor_char_boundary(BODY_BYTES_MAX));
            }
        }
        exchanges.locked().push(exchange);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_bodies_are_kept_in_part() {
        let record = Record::on();
        record.note(|| Exchange { body: "é".repeat(BODY_BYTES_MAX), ..Exchange::default() });
        let kept = record.take();
        assert_eq!(kept[0].body.len(), BODY_BYTES_MAX);
        assert!(record.take().is_empty() && Record::off().take().is_empty());
    }
}
