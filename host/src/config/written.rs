//! The written form: TOML to [`Config`], with all mistakes at once.

use std::collections::BTreeMap;
use std::ops::Range;

use ftagent_api::views::Mode;
use ftagent_core::game::Finding;
use ftagent_core::service::Role;
use ftagent_core::service::Transport;
use ipnet::IpNet;
use toml::de::DeTable;

use super::AlertConfig;
use super::Config;
use super::ForensicsConfig;
use super::ServerConfig;
use super::StaticService;
use super::reader::Findings;
use super::reader::Table;
use crate::prefix;
use crate::prefix::Network;

const MODES: &[(&str, Mode)] =
    &[("observe", Mode::Observe), ("limit", Mode::Limit), ("enforce", Mode::Enforce)];
const TRANSPORTS: &[(&str, Transport)] = &[("tcp", Transport::Tcp), ("udp", Transport::Udp)];
const ROLES: &[(&str, Role)] = &[
    ("game", Role::Game),
    ("query", Role::Query),
    ("rcon", Role::Rcon),
    ("voice", Role::Voice),
    ("http", Role::Http),
    ("file", Role::File),
    ("beacon", Role::Beacon),
];

/// Takes what `$read` found, if anything, in place of the default.
macro_rules! set {
    ($place:expr, $read:expr) => {
        if let Some(value) = $read {
            $place = value;
        }
    };
}

/// Reads a configuration. With findings, the configuration holds what could be read.
pub(super) fn parse(file: &str, text: &str) -> (Config, Vec<Finding>) {
    let findings = Findings::new(file, text);
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let at = error.span().unwrap_or(0..0);
        findings.add(at, error.message().trim().to_owned(), None);
    }
    let config = top(Table::new(document.get_ref(), &findings), &findings);
    (config, findings.into_sorted())
}

fn top(mut table: Table<'_, '_>, findings: &Findings<'_>) -> Config {
    let mut config = Config::default();
    set!(config.mode, table.choice("mode", MODES));
    set!(config.interfaces, table.list("interfaces", "an interface's name"));
    set!(config.docker_socket, table.parsed("docker-socket", "a path"));
    set!(config.all_containers, table.flag("all-containers"));
    set!(config.runtime_dir, table.parsed("runtime-dir", "a path"));
    set!(config.state_dir, table.parsed("state-dir", "a path"));
    set!(config.games_dir, table.parsed("games-dir", "a path"));
    config.plugins_dir = table.parsed("plugins-dir", "a path");
    if let Some(mut capture) = table.table("capture") {
        set!(config.capture_packets_per_second, capture.number("packets-per-second", 1_000..=10_000_000));
        set!(config.capture_ring_mib, capture.number("ring-mib", 1..=1_024));
        set!(config.capture_link_mbit, capture.number("link-mbit", 0..=10_000_000));
        capture.finish();
    }
    if let Some(mut firewall) = table.table("firewall") {
        set!(config.firewall_mark_bit, firewall.number("mark-bit", 0..=31));
        set!(config.firewall_early_per_service, firewall.number("early-per-service", 100..=100_000_000));
        set!(config.firewall_early_per_node, firewall.number("early-per-node", 100..=100_000_000));
        set!(config.firewall_never_block, networks(&mut firewall, "never-block"));
        let always = firewall.value("always-block").map(toml::Spanned::span);
        set!(config.firewall_always_block, networks(&mut firewall, "always-block"));
        if let Some(at) = always {
            refuse_blocks(&config, &at, findings);
        }
        firewall.finish();
    }
    config.alert = AlertConfig::read(&mut table, findings);
    config.forensics = ForensicsConfig::read(&mut table);
    config.services = services(&mut table, findings);
    config.servers = servers(&mut table);
    table.finish();
    config
}

fn services(table: &mut Table<'_, '_>, findings: &Findings<'_>) -> Vec<StaticService> {
    let mut services = Vec::new();
    for (at, mut entry) in table.tables("services") {
        services.extend(service(&at, &mut entry, findings));
        entry.finish();
    }
    services
}

fn service(at: &Range<usize>, entry: &mut Table<'_, '_>, findings: &Findings<'_>) -> Option<StaticService> {
    let required = |entry: &mut Table<'_, '_>, key: &'static str| {
        let there = entry.value(key).is_some();
        if !there {
            findings.add(at.clone(), format!("this service has no `{key}`"), None);
        }
        there
    };
    for key in ["port", "protocol", "game"] {
        required(entry, key);
    }
    let address = entry.parsed("address", "an IP address");
    let port = entry.number("port", 1..=65_535);
    let transport = entry.choice("protocol", TRANSPORTS);
    let game: Option<String> = entry.parsed("game", "a game's id");
    let role = entry.choice("role", ROLES);
    let server = entry.parsed("server", "a name");
    let flags = entry.list("flags", "a flag's name").unwrap_or_default();
    Some(StaticService { address, port: port?, transport: transport?, game: game?, role, server, flags })
}

fn servers(table: &mut Table<'_, '_>) -> BTreeMap<String, ServerConfig> {
    let mut servers = BTreeMap::new();
    for (name, mut entry) in table.named_tables("servers") {
        let server = ServerConfig {
            mode: entry.choice("mode", MODES),
            attack_packets_per_second: entry.number("attack-packets-per-second", 1..=1_000_000_000),
            attack_bits_per_second: entry.number("attack-bits-per-second", 1..=10_000_000_000_000),
            syn_proxy: entry.flag("syn-proxy").unwrap_or(false),
        };
        servers.insert(name, server);
        entry.finish();
    }
    servers
}

/// Networks, or single addresses, which stand for themselves.
fn networks(table: &mut Table<'_, '_>, key: &'static str) -> Option<Vec<IpNet>> {
    let read: Vec<Network> = table.list(key, "a network such as 192.0.2.0/24")?;
    Some(read.into_iter().map(|network| network.0).collect())
}

/// What can never be blocked is a mistake in the file, not a surprise later.
fn refuse_blocks(config: &Config, at: &Range<usize>, findings: &Findings<'_>) {
    for network in &config.firewall_always_block {
        if let Err(why) = prefix::may_be_blocked(*network) {
            findings.add(at.clone(), format!("{network} cannot be blocked: {why}"), None);
        }
        let guarded = config.firewall_never_block.iter().find(|never| prefix::overlap(never, network));
        if let Some(never) = guarded {
            findings.add(at.clone(), format!("{network} is also in `never-block`, as {never}"), None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let (_, findings) = parse("config.toml", text);
        let found: Vec<_> = findings.iter().map(|finding| finding.says.as_str()).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn an_empty_file_is_the_default() {
        assert_eq!(parse("config.toml", ""), (Config::default(), Vec::new()));
    }

    #[test]
    fn everything_can_be_set() {
        let (config, findings) = parse(
            "config.toml",
            "mode = 'enforce'\ninterfaces = ['eth0']\n[capture]\nring-mib = 8\n[firewall]\nmark-bit = 7\n\
             never-block = ['192.0.2.0/24']\nalways-block = ['198.51.100.7', '2001:db8::/32']\n[[services]]\naddress = '203.0.113.10'\nport = 25565\nprotocol = 'tcp'\n\
             game = 'minecraft-java'\n[servers.lobby]\nmode = 'limit'\nattack-packets-per-second = 9\nsyn-proxy = true\n",
        );
        assert_eq!(findings, []);
        assert_eq!(config.mode, Mode::Enforce);
        assert_eq!(config.capture_ring_mib, 8);
        assert_eq!(config.firewall_mark_bit, 7);
        assert_eq!(config.services.len(), 1);
        assert_eq!(config.firewall_always_block.len(), 2);
        assert_eq!(config.servers["lobby"].mode, Some(Mode::Limit));
        assert_eq!(config.servers["lobby"].attack_packets_per_second, Some(9));
        assert!(config.servers["lobby"].syn_proxy);
    }

    #[test]
    fn all_mistakes_are_reported_at_once() {
        check(
            "mod = 'enforce'\ninterfaces = 'eth0'\n[capture]\nring-mib = 0\n[[services]]\nport = 70000\nprotocol = 'tpc'\n",
            &[
                "there is no setting `mod` here",
                "`interfaces` is a list",
                "`ring-mib` is a whole number from 1 to 1024",
                "this service has no `game`",
                "`port` is a whole number from 1 to 65535",
                "`protocol` is one of `tcp`, `udp`",
            ],
        );
    }

    #[test]
    fn what_cannot_be_blocked_is_a_mistake() {
        check(
            "[firewall]\nnever-block = ['198.51.100.0/25']\nalways-block = ['198.51.100.0/24', '10.0.0.0/8', 'x', '1.2.3.4/33']\n",
            &[
                "198.51.100.0/24 is also in `never-block`, as 198.51.100.0/25",
                "10.0.0.0/8 cannot be blocked: it is private (RFC 1918)",
                "this is not a network such as 192.0.2.0/24",
                "this is not a network such as 192.0.2.0/24",
            ],
        );
    }

    #[test]
    fn whom_to_tell_is_checked() {
        check(
            "[alert]\nsecret-file = '/x'\nexec = ['tell; rm']\nmin-severity = 'hgh'\nnames = 1\n[forensics]\npcap = 'all'\ndays = 0\n",
            &[
                "`secret-file` signs a `webhook`, and there is none",
                "`exec` begins with the whole path of a program",
                "`min-severity` is one of `low`, `medium`, `high`, `critical`",
                "`names` is `true` or `false`",
                "`pcap` is one of `off`, `heads`, `full`",
                "`days` is a whole number from 1 to 365",
            ],
        );
    }

    #[test]
    fn broken_toml_is_a_finding_and_not_the_end() {
        let (config, findings) = parse("config.toml", "mode = 'enforce'\ninterfaces = [\n");
        assert!(!findings.is_empty());
        assert_eq!(config.mode, Mode::Enforce);
    }
}
