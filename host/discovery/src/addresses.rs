//! The node's own addresses.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::Error;

/// All addresses of this node's interfaces, without loopback. Bridges of containers are among them: a packet to a
/// gateway is a packet to this node.
pub fn own_addresses() -> Result<BTreeSet<IpAddr>, Error> {
    let interfaces = nix::ifaddrs::getifaddrs().map_err(|source| Error::Addresses { source })?;
    let addresses = interfaces.filter_map(|interface| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
    });
    Ok(addresses.filter(|ip| !ip.is_loopback() && !ip.is_unspecified()).collect())
}

#[cfg(test)]
mod tests {
    #[test]
    fn loopback_is_not_among_them() {
        let own = super::own_addresses().expect("this machine has interfaces");
        assert!(own.iter().all(|ip| !ip.is_loopback()), "{own:?}");
    }
}
