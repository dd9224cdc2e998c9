//! One container as Docker describes it → what the catalogue and the table need. No secret leaves this file but into
//! the catalogue's comparison.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

use bollard::models::ContainerInspectResponse;
use ftagent_core::game::ContainerFacts;
use ftagent_core::game::Published;
use ftagent_core::service::Path;
use ftagent_core::service::Transport;

use crate::limits;

/// A port of a container at an address of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Binding {
    pub(crate) ip: IpAddr,
    pub(crate) outside: u16,
    pub(crate) transport: Transport,
}

/// One container, read once: while it runs, none of this changes.
#[derive(Clone, Debug)]
pub(crate) struct Container {
    pub(crate) facts: ContainerFacts,
    pub(crate) panel: Option<String>,
    pub(crate) bindings: Vec<Binding>,
    /// Addresses at which a container on the node's network listens; empty for others.
    pub(crate) host_addresses: Vec<IpAddr>,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) has_v6: bool,
    pub(crate) unreadable_ports: usize,
}

impl Container {
    pub(crate) fn on_host_network(&self) -> bool {
        self.facts.published.is_none()
    }

    pub(crate) fn read(inspected: ContainerInspectResponse) -> Self {
        let config = inspected.config.unwrap_or_default();
        let env = environment(config.env.unwrap_or_default());
        let labels: BTreeMap<String, String> = config.labels.unwrap_or_default().into_iter().collect();
        let on_host = inspected.host_config.and_then(|host| host.network_mode).as_deref() == Some("host");
        let network = inspected.network_settings.unwrap_or_default();
        let endpoints = network.networks.unwrap_or_default();
        let texts =
            endpoints.values().flat_map(|endpoint| [&endpoint.ip_address, &endpoint.global_ipv6_address]);
        let mut addresses: Vec<IpAddr> = texts.flatten().filter_map(|text| text.parse().ok()).collect();
        addresses.sort_unstable();
        let mut command = config.entrypoint.unwrap_or_default();
        command.extend(config.cmd.unwrap_or_default());
        let mut bindings = Vec::new();
        let mut published = Vec::new();
        let mut unreadable_ports = 0;
        for (inside, outside) in network.ports.unwrap_or_default() {
            // A port that is exposed but not published has no list.
            for bound in outside.unwrap_or_default() {
                let host_port = bound.host_port.as_deref().unwrap_or("");
                let Some((port, binding)) =
                    binding(&inside, bound.host_ip.as_deref().unwrap_or(""), host_port)
                else {
                    unreadable_ports += usize::from(!inside.ends_with("/sctp"));
                    continue;
                };
                if !binding.ip.is_loopback() {
                    published.push(Published {
                        inside: port,
                        outside: binding.outside,
                        transport: binding.transport,
                    });
                    bindings.push(binding);
                }
            }
        }
        bindings.sort_unstable();
        published.sort_unstable();
        published.dedup();
        let panel = labels.get("Service").filter(|_| labels.contains_key("ContainerType")).cloned();
        let host_addresses = if on_host { host_addresses(&env) } else { Vec::new() };
        Self {
            facts: ContainerFacts {
                env,
                image: config.image.unwrap_or_default(),
                labels,
                command: command.join(" "),
                egg: None,
                features: Vec::new(),
                published: (!on_host).then_some(published),
            },
            panel,
            bindings,
            host_addresses,
            has_v6: addresses.iter().any(IpAddr::is_ipv6),
            addresses,
            unreadable_ports,
        }
    }

    /// Where the packets of a binding go. IPv4 is always forwarded by DNAT. IPv6 is only where Docker writes ip6tables
    /// rules and the container has an IPv6 address; otherwise docker-proxy takes it on a socket of the node.
    pub(crate) fn path(&self, ip: IpAddr, ip6tables: bool) -> Path {
        match ip {
            IpAddr::V4(_) => Path::Forwarded,
            IpAddr::V6(_) if ip6tables && self.has_v6 => Path::Forwarded,
            IpAddr::V6(_) => Path::Local,
        }
    }
}

fn environment(list: Vec<String>) -> BTreeMap<String, String> {
    let pairs = list.into_iter().take(limits::VARIABLES_MAX).filter_map(|text| {
        let (name, value) = text.split_once('=')?;
        let mut end = value.len().min(limits::VARIABLE_BYTES_MAX);
        while !value.is_char_boundary(end) {
            end -= 1;
        }
        Some((name.to_owned(), value[..end].to_owned()))
    });
    pairs.collect()
}

/// `25565/tcp` at an address and port of the node: the port inside and the binding.
fn binding(inside: &str, host_ip: &str, host_port: &str) -> Option<(u16, Binding)> {
    let (port, transport) = inside.split_once('/')?;
    let transport = match transport {
        "tcp" => Transport::Tcp,
        "udp" => Transport::Udp,
        _ => return None,
    };
    let ip = if host_ip.is_empty() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { host_ip.parse().ok()? };
    let outside = host_port.parse().ok().filter(|port| *port > 0)?;
    Some((port.parse().ok()?, Binding { ip, outside, transport }))
}

/// A server on the node's network listens where its allocation says, otherwise everywhere.
fn host_addresses(env: &BTreeMap<String, String>) -> Vec<IpAddr> {
    let said = env.get("SERVER_IP").and_then(|ip| ip.trim().parse::<IpAddr>().ok());
    match said.filter(|ip| !ip.is_unspecified() && !ip.is_loopback()) {
        Some(ip) => vec![ip],
        None => vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bindings_are_read_or_left_out() {
        let check = |inside: &str, ip: &str, port: &str, want: Option<(u16, &str, u16)>| {
            let got = binding(inside, ip, port).map(|(inside, at)| (inside, at.ip.to_string(), at.outside));
            assert_eq!(
                got,
                want.map(|(inside, ip, port)| (inside, ip.to_owned(), port)),
                "{inside} {ip} {port}"
            );
        };
        check("25565/tcp", "203.0.113.10", "25565", Some((25565, "203.0.113.10", 25565)));
        check("25565/udp", "", "30000", Some((25565, "0.0.0.0", 30000)));
        check("25565/tcp", "::", "25565", Some((25565, "::", 25565)));
        check("25565/sctp", "", "1", None);
        check("25565", "", "1", None);
        check("1/tcp", "", "0", None);
        check("1/tcp", "", "70000", None);
        check("1/tcp", "nowhere", "1", None);
    }

    #[test]
    fn variables_are_bounded_and_cut_between_characters() {
        let long = format!("LONG={}", "ä".repeat(limits::VARIABLE_BYTES_MAX));
        let env = environment(vec!["A=b=c".to_owned(), "no value".to_owned(), long]);
        assert_eq!(env.get("A").map(String::as_str), Some("b=c"));
        assert_eq!(env.len(), 2);
        assert!(env["LONG"].len() <= limits::VARIABLE_BYTES_MAX);
    }

    #[test]
    fn a_server_on_the_nodes_network_listens_where_its_allocation_says() {
        let check = |ip: &str, want: &[&str]| {
            let env = BTreeMap::from([("SERVER_IP".to_owned(), ip.to_owned())]);
            let got: Vec<String> = host_addresses(&env).iter().map(ToString::to_string).collect();
            assert_eq!(got, want);
        };
        check("203.0.113.10", &["203.0.113.10"]);
        check("0.0.0.0", &["0.0.0.0", "::"]);
        check("127.0.0.1", &["0.0.0.0", "::"]);
        check("", &["0.0.0.0", "::"]);
    }
}
