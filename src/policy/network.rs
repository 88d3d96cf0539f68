//! A network: the IP addresses with a common prefix.

use std::net::IpAddr;

#[derive(Clone, Copy, Debug)]
pub(super) struct Network {
    address: IpAddr,
    /// The length of the prefix, in bits.
    prefix: u32,
}

impl Network {
    /// Reads `10.0.0.0/8`, or one address. Returns `None` for any other text.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            // A length has neither a sign nor more than three digits.
            Some(text) if text.len() > 3 || !text.bytes().all(|byte| byte.is_ascii_digit()) => {
                return None;
            }
            Some(text) => text.parse().ok().filter(|prefix| *prefix <= bits)?,
            None => bits,
        };
        Some(Self { address, prefix })
    }

    /// Returns whether the address is in the network. An IPv4 address that is mapped into IPv6 counts as IPv4.
    pub(super) fn contains(self, address: IpAddr) -> bool {
        let same_prefix = |own: u128, other: u128, bits: u32| {
            let shift = bits - self.prefix;
            shift == bits || own >> shift == other >> shift
        };
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                same_prefix(own.to_bits().into(), other.to_bits().into(), 32)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                same_prefix(own.to_bits(), other.to_bits(), 128)
            }
            _ => false,
        }
    }
}
