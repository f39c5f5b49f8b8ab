//! The services and the inbox, running: listeners, and time that passes.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use ferula_exposition::Format;
use ferula_exposition::negotiation::negotiate;
use ferula_exposition::writer::write_page;
use ferula_model::Timestamp;

use crate::http::{self, Request, Response};
use crate::inbox::Inbox;
use crate::mail;
use crate::services::{SERVICES, Service, Services};

/// How often time passes for the services.
const TICK: Duration = Duration::from_millis(100);

/// Everything that runs. Traffic ends when this is dropped; the listeners end with the process.
pub struct Stage {
    pub services: Arc<Services>,
    pub inbox: Arc<Inbox>,
    pub targets: Vec<(Service, SocketAddr)>,
    pub inbox_address: SocketAddr,
    pub mail_address: SocketAddr,
}

impl Stage {
    /// Listens on consecutive ports from `first_port` on, or on any free ones if it is 0.
    pub fn start(address: Ipv4Addr, first_port: u16, seed: u64) -> Result<Stage> {
        let mut listeners = Vec::new();
        for index in 0..SERVICES.len() + 2 {
            let port = if first_port == 0 { 0 } else { first_port + index as u16 };
            let listener = TcpListener::bind((address, port))
                .with_context(|| format!("port {port} is taken; choose another first port"))?;
            listeners.push((listener.local_addr()?, listener));
        }
        let services = Arc::new(Services::start(seed, now()));
        let inbox = Arc::new(Inbox::default());
        let mut listeners = listeners.into_iter();
        let mut targets = Vec::new();
        for (service, (address, listener)) in SERVICES.into_iter().zip(listeners.by_ref()) {
            targets.push((service, address));
            let services = services.clone();
            http::serve(listener, move |request| answer_scrape(&services, service, request));
        }
        let mut addresses = Vec::new();
        for (index, (address, listener)) in listeners.enumerate() {
            addresses.push(address);
            let inbox = inbox.clone();
            match index {
                0 => http::serve(listener, move |request| Some(inbox.answer(request))),
                _ => mail::serve(listener, move |mail| inbox.add(mail.into())),
            }
        }
        let passing = Arc::downgrade(&services);
        std::thread::spawn(move || let_time_pass(&passing));
        Ok(Stage { services, inbox, targets, inbox_address: addresses[0], mail_address: addresses[1] })
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

fn let_time_pass(services: &Weak<Services>) {
    let mut before = Instant::now();
    loop {
        std::thread::sleep(TICK);
        let Some(services) = services.upgrade() else { return };
        let after = Instant::now();
        services.advance((after - before).as_secs_f64(), now());
        before = after;
    }
}

fn answer_scrape(services: &Services, service: Service, request: &Request) -> Option<Response> {
    if request.path.split('?').next() != Some("/metrics") {
        return Some(Response::not_found());
    }
    let page = services.page(service)?;
    let negotiated = negotiate(&request.accept, &Format::ALL);
    Some(Response::new(&negotiated.content_type(), write_page(&page, negotiated.format)))
}
