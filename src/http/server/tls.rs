//! The configuration of TLS, from a certificate and its key.

use std::fmt::Display;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::error::ServerError;

/// Returns the configuration for a chain of certificates and the first one's key, both in PEM.
pub(super) fn config(certificates: &[u8], key: &[u8]) -> Result<ServerConfig, ServerError> {
    let refuse = |what| {
        move |error: &dyn Display| ServerError::Tls {
            what,
            problem: error.to_string(),
        }
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificates).collect();
    let chain = chain.map_err(|error| refuse("certificate")(&error))?;
    if chain.is_empty() {
        return Err(refuse("certificate")(&"it has no PEM block CERTIFICATE"));
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| refuse("key")(&error))?;
    let provider = rustls::crypto::ring::default_provider();
    let config = ServerConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .map_err(|error| refuse("certificate")(&error))?;
    let mut config = config
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| refuse("key")(&error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
