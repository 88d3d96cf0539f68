//! The listening sockets, and the number of connections that the process's file descriptors allow.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Socket, Type};

/// The most connections, however many descriptors there are.
const CONNECTIONS_MAX: usize = 100_000;
/// The least number of descriptors that connections leave to the store, to threads and to the application.
const RESERVED_MIN: usize = 64;
/// The bytes of a response that the system accepts before the client has room for them.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT_MAX: u32 = 128 << 10;
/// The connections that the system queues until they are accepted.
const BACKLOG: i32 = 4_096;

/// Listens on each of these addresses that is available, and at least on one.
pub(super) fn bind(addresses: &[SocketAddr]) -> io::Result<Vec<(TcpListener, SocketAddr)>> {
    let mut failed = io::Error::new(io::ErrorKind::InvalidInput, "it names no address");
    let mut bound = Vec::new();
    for &address in addresses {
        match bind_one(address) {
            Ok(listener) => bound.push(listener),
            Err(error) => failed = error,
        }
    }
    match bound.is_empty() {
        true => Err(failed),
        false => Ok(bound),
    }
}

fn bind_one(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // On Windows it would let two servers share one address.
    #[cfg(not(windows))]
    socket.set_reuse_address(true)?;
    // Accepted connections inherit it. A megabyte in the system's buffer would hide that a client doesn't read.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_notsent_lowat(UNSENT_MAX)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from(socket);
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Returns how many connections the process can serve with the file descriptors it may have.
pub(super) fn connections_max() -> usize {
    connections_for(descriptors_max())
}

fn connections_for(descriptors: usize) -> usize {
    let reserved = (descriptors / 4).max(RESERVED_MIN);
    descriptors.saturating_sub(reserved).min(CONNECTIONS_MAX)
}

fn descriptors_max() -> usize {
    #[cfg(unix)]
    let max = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    #[cfg(not(unix))]
    let max: Option<u64> = None;
    max.map_or(usize::MAX, |max| usize::try_from(max).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_to_others() {
        assert_eq!(connections_for(1_024), 768);
        assert_eq!(connections_for(256), 192);
        assert_eq!(connections_for(80), 16);
        assert_eq!(connections_for(20), 0, "the server serves one per thread");
        assert_eq!(connections_for(usize::MAX), CONNECTIONS_MAX);
    }
}
