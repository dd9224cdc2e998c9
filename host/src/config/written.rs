//! The written form: TOML to [`Config`], with all mistakes at once.

use std::collections::BTreeMap;
use std::ops::Range;

use ftagent_api::views::Mode;
use ftagent_core::game::Finding;
use ftagent_core::service::Role;
use ftagent_core::service::Transport;
use toml::de::DeTable;

use super::Config;
use super::StaticService;
use super::reader::Findings;
use super::reader::Table;

const MODES: &[(&str, Mode)] = &[("observe", Mode::Observe), ("enforce", Mode::Enforce)];
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
        capture.finish();
    }
    if let Some(mut firewall) = table.table("firewall") {
        set!(config.firewall_mark_bit, firewall.number("mark-bit", 0..=31));
        set!(config.firewall_early_per_service, firewall.number("early-per-service", 100..=100_000_000));
        set!(config.firewall_early_per_node, firewall.number("early-per-node", 100..=100_000_000));
        set!(config.firewall_never_block, firewall.list("never-block", "a network such as 192.0.2.0/24"));
        firewall.finish();
    }
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

fn servers(table: &mut Table<'_, '_>) -> BTreeMap<String, Mode> {
    let mut modes = BTreeMap::new();
    for (name, mut entry) in table.named_tables("servers") {
        if let Some(mode) = entry.choice("mode", MODES) {
            modes.insert(name, mode);
        }
        entry.finish();
    }
    modes
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
             never-block = ['192.0.2.0/24']\n[[services]]\naddress = '203.0.113.10'\nport = 25565\nprotocol = 'tcp'\n\
             game = 'minecraft-java'\n[servers.lobby]\nmode = 'observe'\n",
        );
        assert_eq!(findings, []);
        assert_eq!(config.mode, Mode::Enforce);
        assert_eq!(config.capture_ring_mib, 8);
        assert_eq!(config.firewall_mark_bit, 7);
        assert_eq!(config.services.len(), 1);
        assert_eq!(config.servers["lobby"], Mode::Observe);
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
    fn broken_toml_is_a_finding_and_not_the_end() {
        let (config, findings) = parse("config.toml", "mode = 'enforce'\ninterfaces = [\n");
        assert!(!findings.is_empty());
        assert_eq!(config.mode, Mode::Enforce);
    }
}
