//! The check of requests without authentication: only clients on this machine are served, under a host name of loopback, and
//! no web pages of other origins.

use actix_web::HttpRequest;
use actix_web::http::header::{HOST, HeaderName, ORIGIN};

use crate::base::excerpt::excerpt;
use crate::http::error::ApiError;
use crate::http::server::listener::Listener;

/// Bytes of a host that a refusal repeats.
const HOST_MAX: usize = 100;

/// Refuses a request that doesn't come from this machine.
pub(crate) fn check(http: &HttpRequest) -> Result<(), ApiError> {
    check_addresses(http)?;
    let host = host(http);
    if !host.is_empty() && !is_loopback(host) {
        let port = Listener::of(http).address.port();
        return Err(refuse(&format!(
            "whose Host is a name of loopback, and '{}' is not one: send it to http://localhost:{port} or http://127.0.0.1:{port} (a proxy in front has to set that Host)",
            excerpt(host, HOST_MAX)
        )));
    }
    check_origin(http, host)
}

/// Both ends of the connection must be loopback addresses.
fn check_addresses(http: &HttpRequest) -> Result<(), ApiError> {
    // Where others can connect, a proxy on this machine may forward their requests.
    let listener = Listener::of(http).address;
    if !listener.ip().to_canonical().is_loopback() {
        return Err(refuse(&format!(
            "on listeners of loopback addresses, and {listener} is not one: bind 127.0.0.1"
        )));
    }
    // A request that a test made has no peer.
    match http.peer_addr() {
        Some(peer) if !peer.ip().to_canonical().is_loopback() => Err(refuse(&format!(
            "from loopback addresses, and {} is not one: send it from this machine",
            peer.ip()
        ))),
        _ => Ok(()),
    }
}

/// A page that a browser got from another origin may not use this server.
fn check_origin(http: &HttpRequest, host: &str) -> Result<(), ApiError> {
    let Some(origin) = header(http, &ORIGIN) else {
        return Ok(());
    };
    let same = |origin: &str| {
        origin
            .split_once("://")
            .is_some_and(|(_, from)| from == host)
    };
    match origin {
        Some(origin) if same(origin) => Ok(()),
        origin => Err(ApiError::access_denied(format!(
            "a page of the origin '{}' may not use this server, which has no authentication",
            origin.unwrap_or("?")
        ))),
    }
}

/// Returns the host that the request names, empty if it names none.
fn host(http: &HttpRequest) -> &str {
    match (http.uri().authority(), header(http, &HOST)) {
        // HTTP/2 has it there, and where both are present it counts (RFC 9112, 3.2.2).
        (Some(authority), _) => authority.as_str(),
        (None, Some(host)) => host.unwrap_or("?"),
        (None, None) => "",
    }
}

/// Returns a header, which is `Some(None)` if it isn't text.
fn header<'h>(http: &'h HttpRequest, name: &HeaderName) -> Option<Option<&'h str>> {
    let value = http.headers().get(name)?;
    Some(value.to_str().ok())
}

/// Returns the refusal, which names the requests that are served and the setting that serves others.
fn refuse(served: &str) -> ApiError {
    ApiError::access_denied(format!(
        "This server has no credentials, so it serves only requests {served}; or give it credentials, so that requests from anywhere are served if they are signed: LambdaApi::credentials, --auth FILE of the example lambda_api"
    ))
}

/// Returns whether a host, with or without a port, is a name of loopback.
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
    fn only_loopback_peers_are_served() {
        let host = "127.0.0.1:9000";
        assert!(!refused("127.0.0.1:1", host, None));
        assert!(!refused("[::1]:1", "[::1]:9000", None));
        assert!(!refused("[::ffff:127.0.0.1]:1", host, None));
        assert!(refused("192.168.0.7:1", host, None));
        assert!(refused("[::ffff:10.0.0.1]:1", host, None));
    }

    /// A name that an attacker's DNS gave this machine is not a name of loopback.
    #[test]
    fn only_host_names_of_loopback_are_served() {
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
    fn the_host_of_an_absolute_target_overrides_the_header() {
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
    fn a_page_of_another_origin_is_refused() {
        let host = "localhost:9000";
        assert!(!refused("127.0.0.1:1", host, Some("http://localhost:9000")));
        for origin in ["https://evil.example", "null", "http://localhost:9001", ""] {
            assert!(refused("127.0.0.1:1", host, Some(origin)), "{origin}");
        }
    }
}
