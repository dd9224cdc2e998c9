//! From known servers and the operator's words to the table of services. No I/O.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::sync::Arc;

use ftagent_core::game::Catalog;
use ftagent_core::game::RecognisedPort;
use ftagent_core::game::UNKNOWN;
use ftagent_core::service::Judging;
use ftagent_core::service::Path;
use ftagent_core::service::Service;
use ftagent_core::service::ServiceKey;
use ftagent_core::service::Services;

use crate::config::Config;
use crate::config::StaticService;
use crate::facts::Container;
use crate::limits;
use crate::servers::Known;
use crate::servers::Servers;
use crate::snapshot::Finding;
use crate::snapshot::Server;
use crate::snapshot::State;

/// Servers, the table, and what is odd about them.
pub(crate) struct Table {
    pub(crate) servers: Vec<Server>,
    pub(crate) services: Services,
    pub(crate) findings: BTreeSet<Finding>,
}

/// What stands in the table of services, from everything that is known.
pub(crate) fn build(
    config: &Config,
    catalog: &Catalog,
    known: &Servers,
    own: &BTreeSet<IpAddr>,
    ip6tables: bool,
) -> Table {
    let mut findings = BTreeSet::new();
    let written: Vec<Written> =
        config.services.iter().map(|service| written(service, catalog, &mut findings)).collect();
    let mut servers = Vec::new();
    for (id, known) in known.iter() {
        servers.push(server(id, known, catalog, ip6tables, &written, &mut findings));
    }
    let services = together(&written, &servers, own, &mut findings);
    Table { servers, services, findings }
}

/// One line of the operator, for one family or one address.
struct Written {
    /// Whether the operator named the server; otherwise a found one keeps its own name.
    named: bool,
    services: Vec<Service>,
}

fn written(line: &StaticService, catalog: &Catalog, findings: &mut BTreeSet<Finding>) -> Written {
    let (game, role, judging) = catalog.judge_named(&line.game, line.port, line.transport);
    if &*game == UNKNOWN && line.game != UNKNOWN {
        let hint = catalog.nearest(&line.game).map(|close| format!("did you mean `{close}`?"));
        let says = format!("nobody knows a game `{}`; port {} is judged as unknown", line.game, line.port);
        findings.insert(Finding { says, hint });
    }
    let judging = match &line.plugin {
        Some(plugin) => Judging::Plugin(plugin.as_str().into()),
        None => judging,
    };
    let mut flags = 0;
    if let Judging::Plugin(plugin) = &judging {
        let names: Vec<&str> = line.flags.iter().map(String::as_str).collect();
        let (bits, unknown) = catalog.flags_named(plugin, &names);
        flags = bits;
        for name in unknown {
            findings
                .insert(Finding { says: format!("plugin `{plugin}` has no switch `{name}`"), hint: None });
        }
    }
    let server = line.server.clone().unwrap_or_else(|| format!("{}-{}", line.port, line.transport.name()));
    let anywhere = vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    let services = line.ip.map_or(anywhere, |ip| vec![ip]).into_iter().map(|ip| Service {
        key: ServiceKey { ip, port: line.port, transport: line.transport },
        server: server.as_str().into(),
        game: game.clone(),
        role: line.role.unwrap_or(role),
        judging: judging.clone(),
        path: line.path,
        flags,
    });
    Written { named: line.server.is_some(), services: services.collect() }
}

fn server(
    id: &Arc<str>,
    known: &Known,
    catalog: &Catalog,
    ip6tables: bool,
    written: &[Written],
    findings: &mut BTreeSet<Finding>,
) -> Server {
    let container = &known.container;
    let found = catalog.recognise(&container.facts);
    let keys = places(container, &found.ports, ip6tables);
    let mut services: Vec<Arc<Service>> = Vec::with_capacity(keys.len());
    for (ip, path, port) in keys {
        let mut service = Service {
            key: ServiceKey { ip, port: port.port, transport: port.transport },
            server: id.clone(),
            game: found.game.clone(),
            role: port.role,
            judging: port.judging.clone(),
            path,
            flags: port.flags,
        };
        if let Some((line, named)) = word_on(&service.key, written) {
            let server = if named { line.server.clone() } else { id.clone() };
            service = Service { key: service.key, server, path, ..line.clone() };
        }
        services.push(Arc::new(service));
    }
    if known.state == State::Running && services.is_empty() {
        findings.insert(Finding {
            says: format!("server {id} runs but publishes no port that can be reached"),
            hint: None,
        });
    }
    if container.unreadable_ports > 0 {
        let says = format!("server {id} has {} ports that cannot be read", container.unreadable_ports);
        findings.insert(Finding { says, hint: None });
    }
    Server {
        id: id.clone(),
        state: known.state,
        panel: container.panel.as_deref().map(Into::into),
        game: found.game,
        certain: found.certain,
        evidence: found.evidence,
        on_host_network: container.on_host_network(),
        addresses: container.addresses.clone(),
        services,
    }
}

/// Each port of a container at each address where it can be reached.
fn places<'p>(
    container: &Container,
    ports: &'p [RecognisedPort],
    ip6tables: bool,
) -> Vec<(IpAddr, Path, &'p RecognisedPort)> {
    let mut places = Vec::new();
    for port in ports {
        for ip in &container.host_addresses {
            places.push((*ip, Path::Local, port));
        }
        let same = |binding: &&crate::facts::Binding| {
            binding.outside == port.port && binding.transport == port.transport
        };
        for binding in container.bindings.iter().filter(same) {
            places.push((binding.ip, container.path(binding.ip, ip6tables), port));
        }
    }
    places
}

/// The operator's word on a found service: the one on its address first, then the one on every address.
fn word_on<'w>(key: &ServiceKey, written: &'w [Written]) -> Option<(&'w Service, bool)> {
    let lines = || written.iter().flat_map(|line| line.services.iter().map(|service| (service, line.named)));
    let of_port = |service: &Service| service.key.port == key.port && service.key.transport == key.transport;
    lines().find(|(service, _)| service.key == *key).or_else(|| {
        lines().find(|(service, _)| {
            let ip = service.key.ip;
            of_port(service) && ip.is_unspecified() && ip.is_ipv4() == key.ip.is_ipv4()
        })
    })
}

/// The operator's services, then those of running servers, then those of stopped ones: the first of a key stays.
fn together(
    written: &[Written],
    servers: &[Server],
    own: &BTreeSet<IpAddr>,
    findings: &mut BTreeSet<Finding>,
) -> Services {
    let of = |running: bool| servers.iter().filter(move |server| (server.state == State::Running) == running);
    let mut taken: HashMap<ServiceKey, Arc<str>> = HashMap::new();
    for service in of(true).flat_map(|server| &server.services) {
        if let Some(first) = taken.insert(service.key, service.server.clone())
            && first != service.server
        {
            findings.insert(Finding {
                says: format!("servers {first} and {} both have {}", service.server, service.key),
                hint: Some("give one of them another port or address".to_owned()),
            });
        }
    }
    // A found service carries the operator's word already and knows its server and path better.
    let found = of(true).chain(of(false)).flat_map(|server| server.services.iter());
    let alone =
        written.iter().flat_map(|line| &line.services).filter(|service| !taken.contains_key(&service.key));
    let mut all: Vec<Service> = alone.cloned().chain(found.map(|service| (**service).clone())).collect();
    if all.len() > limits::SERVICES_MAX {
        findings.insert(Finding {
            says: format!("{} services are too many; the last ones are left out", all.len()),
            hint: Some(format!("at most {} are looked at", limits::SERVICES_MAX)),
        });
        all.truncate(limits::SERVICES_MAX);
    }
    Services::new(all, own.iter().copied())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;
    use std::time::Instant;

    use bollard::models::ContainerConfig;
    use bollard::models::ContainerInspectResponse;
    use bollard::models::HostConfig;
    use bollard::models::NetworkSettings;
    use bollard::models::PortBinding;
    use ftagent_core::service::Transport;

    use super::*;

    const JAVA: &str = "name = \"Java\"\naliases = [\"mc\"]\n[[ports]]\nrole = \"game\"\nproto = \"tcp\"\nport = 25565\n\
                        only = true\nplugin = \"minecraft-java\"\n[match]\nvariables = [\"VANILLA_VERSION\"]\n";

    fn catalog() -> Catalog {
        Catalog::built_in(&[("java.toml", JAVA)]).0
    }

    fn container(env: &[&str], bound: &[(&str, &str)], host: bool) -> Arc<Container> {
        let ports = bound.iter().map(|(inside, ip)| {
            let port = inside.split('/').next().map(str::to_owned);
            let binding = PortBinding { host_ip: Some((*ip).to_owned()), host_port: port };
            ((*inside).to_owned(), Some(vec![binding]))
        });
        Arc::new(Container::read(ContainerInspectResponse {
            config: Some(ContainerConfig {
                env: Some(env.iter().map(|text| (*text).to_owned()).collect()),
                ..ContainerConfig::default()
            }),
            host_config: Some(HostConfig {
                network_mode: Some(if host { "host" } else { "pterodactyl_nw" }.to_owned()),
                ..HostConfig::default()
            }),
            network_settings: Some(NetworkSettings {
                ports: Some(ports.collect()),
                ..NetworkSettings::default()
            }),
            ..ContainerInspectResponse::default()
        }))
    }

    fn line(ip: Option<&str>, port: u16, game: &str) -> StaticService {
        StaticService {
            server: None,
            ip: ip.map(|ip| ip.parse().expect("an address")),
            port,
            transport: Transport::Udp,
            game: game.to_owned(),
            role: None,
            plugin: None,
            flags: vec![],
            path: Path::Local,
        }
    }

    fn check(lines: Vec<StaticService>, found: &[(&str, Arc<Container>)], want: &[&str], findings: &[&str]) {
        let config = Config { services: lines, ..Config::default() };
        let mut servers = Servers::default();
        let running =
            found.iter().map(|(name, container)| ((*name).into(), "id".to_owned(), container.clone()));
        servers.update(running.collect(), Instant::now(), Duration::from_secs(1));
        let table = build(&config, &catalog(), &servers, &BTreeSet::new(), true);
        let mut got: Vec<String> = table
            .services
            .iter()
            .map(|service| {
                let who = match &service.judging {
                    Judging::Plugin(name) => name.to_string(),
                    Judging::WrongTransport => "wrong".to_owned(),
                };
                format!("{} {} {} {who} {:?}", service.key, service.server, service.game, service.path)
            })
            .collect();
        got.sort();
        assert_eq!(got, want);
        let says: Vec<String> = table.findings.into_iter().map(|finding| finding.says).collect();
        assert_eq!(says, findings);
    }

    #[test]
    fn the_operators_word_comes_before_what_was_found() {
        let java = container(&["VANILLA_VERSION=1", "SERVER_PORT=9"], &[("9/udp", "203.0.113.1")], false);
        let found = [("uuid", java)];
        check(vec![], &found, &["203.0.113.1:9/udp uuid java wrong Forwarded"], &[]);
        check(
            vec![StaticService { plugin: Some("generic".into()), ..line(Some("203.0.113.1"), 9, "mc") }],
            &found,
            &["203.0.113.1:9/udp uuid java generic Forwarded"],
            &[],
        );
        check(
            vec![line(None, 9, "jvaa")],
            &found,
            &[
                "0.0.0.0:9/udp 9-udp unknown generic Local",
                "203.0.113.1:9/udp uuid unknown generic Forwarded",
                "[::]:9/udp 9-udp unknown generic Local",
            ],
            &["nobody knows a game `jvaa`; port 9 is judged as unknown"],
        );
        check(
            vec![StaticService { server: Some("mine".into()), ..line(Some("203.0.113.2"), 9, "mc") }],
            &found,
            &["203.0.113.1:9/udp uuid java wrong Forwarded", "203.0.113.2:9/udp mine java wrong Local"],
            &[],
        );
    }

    #[test]
    fn two_servers_may_share_a_port_on_two_addresses_but_not_on_one() {
        let at = |ip| container(&["SERVER_PORT=9"], &[("9/tcp", ip)], false);
        check(
            vec![],
            &[("a", at("203.0.113.1")), ("b", at("203.0.113.2"))],
            &[
                "203.0.113.1:9/tcp a unknown generic Forwarded",
                "203.0.113.2:9/tcp b unknown generic Forwarded",
            ],
            &[],
        );
        check(
            vec![],
            &[("a", at("203.0.113.1")), ("b", at("203.0.113.1"))],
            &["203.0.113.1:9/tcp a unknown generic Forwarded"],
            &["servers a and b both have 203.0.113.1:9/tcp"],
        );
    }

    #[test]
    fn host_network_and_proxied_ipv6_are_local() {
        let host = container(&["SERVER_IP=203.0.113.1", "SERVER_PORT=9", "VANILLA_VERSION=1"], &[], true);
        check(
            vec![],
            &[("a", host)],
            &["203.0.113.1:9/tcp a java minecraft-java Local", "203.0.113.1:9/udp a java wrong Local"],
            &[],
        );
        let v6 = container(&["SERVER_PORT=9"], &[("9/tcp", "2001:db8::1")], false);
        check(vec![], &[("a", v6)], &["[2001:db8::1]:9/tcp a unknown generic Local"], &[]);
        let loopback = container(&["SERVER_PORT=9"], &[("9/tcp", "127.0.0.1")], false);
        check(vec![], &[("a", loopback)], &[], &["server a runs but publishes no port that can be reached"]);
    }
}
