//! Without authentication only this machine is served: loopback addresses, under a name that is loopback's, and no page that
//! a browser got elsewhere.

use actix_web::HttpRequest;
use actix_web::http::header::{HOST, ORIGIN};

use crate::base::excerpt::excerpt;
use crate::http::error::ApiError;
use crate::http::server::listener::Listener;

/// Bytes of a host that a refusal repeats.
const HOST_MAX: usize = 100;

/// Refuses whoever isn't on this machine.
pub(crate) fn check(http: &HttpRequest) -> Result<(), ApiError> {
    // Where others can connect, a proxy on this machine may speak for them.
    let listener = Listener::of(http).address;
    if !listener.ip().to_canonical().is_loopback() {
        return Err(refuse(&format!(
            "on listeners of loopback addresses, and {listener} is not one: bind 127.0.0.1"
        )));
    }
    let peer = http.peer_addr();
    // A request that a test made has no peer.
    if let Some(peer) = peer.filter(|peer| !peer.ip().to_canonical().is_loopback()) {
        return Err(refuse(&format!(
            "from loopback addresses, and {} is not one: send it from this machine",
            peer.ip()
        )));
    }
    let header = |name| http.headers().get(name).map(|value| value.to_str());
    let host = match (http.uri().authority(), header(HOST)) {
        // HTTP/2 has it there, and where both are it counts (RFC 9112, 3.2.2).
        (Some(authority), _) => authority.as_str(),
        (None, Some(host)) => host.unwrap_or("?"),
        (None, None) => "",
    };
    if !host.is_empty() && !is_loopback(host) {
        let port = listener.port();
        return Err(refuse(&format!(
            "whose Host is a name of loopback, and '{}' is not one: send it to http://localhost:{port} or http://127.0.0.1:{port} (a proxy in front has to set that Host)",
            excerpt(host, HOST_MAX)
        )));
    }
    match header(ORIGIN) {
        None => Ok(()),
        Some(Ok(origin))
            if origin
                .split_once("://")
                .is_some_and(|(_, from)| from == host) =>
        {
            Ok(())
        }
        Some(origin) => Err(ApiError::access_denied(format!(
            "a page of the origin '{}' may not use this server, which has no authentication",
            origin.unwrap_or("?")
        ))),
    }
}

/// What is served, and how to ask so; or what to configure.
fn refuse(served: &str) -> ApiError {
    ApiError::access_denied(format!(
        "This server has no credentials, so it serves only requests {served}; or give it credentials, so that requests from anywhere are served if they are signed: LambdaApi::credentials, --auth FILE of the example lambda_api"
    ))
}

/// Is this host, with or without a port, a name of loopback?
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let name = name.to_ascii_lowercase();
    let address = name.parse::<std::net::IpAddr>();
    name == "localhost"
        || name.ends_with(".localhost")
        || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn refused(peer: &str, host: &str, origin: Option<&str>) -> bool {
        let mut request = TestRequest::get()
            .peer_addr(peer.parse().unwrap())
            .insert_header(("host", host));
        if let Some(origin) = origin {
            request = request.insert_header(("origin", origin));
        }
        check(&request.to_http_request()).is_err()
    }

    #[test]
    fn only_this_machine_is_served() {
        let host = "127.0.0.1:9000";
        assert!(!refused("127.0.0.1:1", host, None));
        assert!(!refused("[::1]:1", "[::1]:9000", None));
        assert!(!refused("[::ffff:127.0.0.1]:1", host, None));
        assert!(refused("192.168.0.7:1", host, None));
        assert!(refused("[::ffff:10.0.0.1]:1", host, None));
    }

    /// A name that an attacker's server gave this machine is no name of loopback.
    #[test]
    fn only_names_of_loopback_are_served() {
        for host in [
            "localhost",
            "LOCALHOST:9000",
            "api.localhost",
            "127.8.9.1:80",
            "[::1]",
        ] {
            assert!(!refused("127.0.0.1:1", host, None), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example:9000",
            "10.0.0.1",
            "127.0.0.1.evil",
        ] {
            assert!(refused("127.0.0.1:1", host, None), "{host}");
        }
    }

    #[test]
    fn the_host_of_an_absolute_target_counts() {
        let refused = |uri| {
            let request = TestRequest::get()
                .uri(uri)
                .insert_header((HOST, "localhost"));
            check(&request.to_http_request()).is_err()
        };
        assert!(!refused("http://127.0.0.1:9000/_redrive/stats"));
        assert!(refused("http://evil.example/_redrive/stats"));
    }

    #[test]
    fn no_page_from_elsewhere_is_served() {
        let host = "localhost:9000";
        assert!(!refused("127.0.0.1:1", host, Some("http://localhost:9000")));
        for origin in ["https://evil.example", "null", "http://localhost:9001", ""] {
            assert!(refused("127.0.0.1:1", host, Some(origin)), "{origin}");
        }
    }
}
