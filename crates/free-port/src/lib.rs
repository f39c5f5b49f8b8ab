//! For tests and tools only: ports for programs that must be told theirs before they start.
//!
//! A port that was bound to 0 and closed again is no such port: the kernel may give it to any connection that somebody opens
//! before the program listens. The ports here lie below the kernel's range for that, and no two processes get the same.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

/// Where ports are looked for: above those of well-known services, below those that Linux gives to connections (32768 and up
/// unless somebody changed it).
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// The marks of the ports that this process got, kept until it ends.
static TAKEN: Mutex<Vec<Mark>> = Mutex::new(Vec::new());

/// Returns a port of 127.0.0.1 on which nobody listens, and which no other caller of this function gets while this process
/// lives.
///
/// # Errors
///
/// Every port of the range is in use.
pub fn free_port() -> io::Result<u16> {
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    let count = u32::from(RANGE.end - RANGE.start);
    // Processes begin at different places, so that they rarely meet.
    let first = std::process::id().wrapping_mul(211) % count;
    for offset in 0..count {
        let port = RANGE.start + u16::try_from((first + offset) % count).map_err(io::Error::other)?;
        if let Some(mark) = Mark::set(port)?
            && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
        {
            taken.push(mark);
            return Ok(port);
        }
    }
    Err(io::Error::other(format!("no port between {} and {} is free", RANGE.start, RANGE.end)))
}

/// Says to all processes of the machine that a port is taken. The kernel forgets it when this process ends.
#[cfg(target_os = "linux")]
struct Mark(#[expect(dead_code, reason = "it only has to stay open")] std::os::unix::net::UnixDatagram);

#[cfg(target_os = "linux")]
impl Mark {
    /// `None` if another one has it.
    fn set(port: u16) -> io::Result<Option<Mark>> {
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::net::{SocketAddr, UnixDatagram};

        let name = SocketAddr::from_abstract_name(format!("ferula-free-port-{port}"))?;
        match UnixDatagram::bind_addr(&name) {
            Ok(socket) => Ok(Some(Mark(socket))),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Elsewhere the mark holds within the process only; others begin at another place of the range.
#[cfg(not(target_os = "linux"))]
struct Mark;

#[cfg(not(target_os = "linux"))]
impl Mark {
    fn set(port: u16) -> io::Result<Option<Mark>> {
        static NEXT: std::sync::atomic::AtomicU16 = std::sync::atomic::AtomicU16::new(0);
        Ok((NEXT.fetch_max(port + 1, std::sync::atomic::Ordering::Relaxed) <= port).then_some(Mark))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::TcpStream;

    use super::*;

    /// The same port twice, even to several threads, would make one of two programs fail to start.
    #[test]
    fn no_port_is_given_twice() {
        let ports = || (0..50).map(|_| free_port().expect("a port")).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(ports)).collect();
        let ports: Vec<u16> = threads.into_iter().flat_map(|it| it.join().expect("no panic")).collect();
        assert_eq!(ports.iter().collect::<HashSet<_>>().len(), 200);
        assert!(ports.iter().all(|port| RANGE.contains(port)));
    }

    #[test]
    fn a_port_that_somebody_listens_on_is_passed_over() {
        let port = free_port().expect("a port");
        let next = if port + 1 == RANGE.end { RANGE.start } else { port + 1 };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, next));
        assert!(listener.is_err() || free_port().expect("a port") != next);
    }

    /// Connections get their ports from the kernel's own range.
    #[cfg(target_os = "linux")]
    #[test]
    fn connections_get_no_port_of_the_range() {
        let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
        let lowest = range.split_whitespace().next().and_then(|number| number.parse::<u16>().ok());
        if lowest.is_none_or(|lowest| lowest < RANGE.end) {
            return;
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bound");
        let address = listener.local_addr().expect("bound");
        for _ in 0..100 {
            let stream = TcpStream::connect(address).expect("connected");
            assert!(!RANGE.contains(&stream.local_addr().expect("bound").port()));
        }
    }
}
