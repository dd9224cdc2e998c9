//! The whole configuration as TOML, so that the documented default is the real one.

use std::fmt::Write as _;

use super::Config;

/// Every setting with its value, as a file that could be used.
pub(crate) fn shown(config: &Config) -> String {
    let mut text = String::new();
    let mut line = |line: String| writeln!(text, "{line}").expect("a String takes everything");
    match &config.file {
        Some(file) => line(format!("# from {}", file.display())),
        None => line("# no file: these are the defaults".to_owned()),
    }
    line(format!("mode = {:?}  # of the first start; `ftagent mode` is remembered", config.mode.to_string()));
    line(format!("interfaces = {:?}  # empty: find them", config.interfaces));
    line(format!("docker-socket = {:?}", config.docker_socket));
    line(format!("all-containers = {}  # false: only those that a panel made", config.all_containers));
    line(format!("runtime-dir = {:?}", config.runtime_dir));
    line(format!("state-dir = {:?}", config.state_dir));
    line(format!("plugins-dir = {:?}", config.plugins_dir()));
    line(format!("games-dir = {:?}", config.games_dir));
    line("\n[capture]".to_owned());
    line(format!(
        "packets-per-second = {}  # above this, flows are sampled",
        config.capture_packets_per_second
    ));
    line(format!("ring-mib = {}  # memory of each capture ring", config.capture_ring_mib));
    line(format!("link-mbit = {}  # what the link carries; 0: as the card says", config.capture_link_mbit));
    line("\n[firewall]".to_owned());
    line(format!("mark-bit = {}", config.firewall_mark_bit));
    line(format!("early-per-service = {}  # drops a second", config.firewall_early_per_service));
    line(format!("early-per-node = {}  # drops a second", config.firewall_early_per_node));
    let never: Vec<_> = config.firewall_never_block.iter().map(ToString::to_string).collect();
    line(format!("never-block = {never:?}  # these are never dropped or limited"));
    let always: Vec<_> = config.firewall_always_block.iter().map(ToString::to_string).collect();
    line(format!("always-block = {always:?}  # nothing of these comes in"));
    for service in &config.services {
        line("\n[[services]]".to_owned());
        if let Some(address) = service.address {
            line(format!("address = \"{address}\""));
        }
        line(format!("port = {}", service.port));
        line(format!("protocol = {:?}", service.transport.name()));
        line(format!("game = {:?}", service.game));
        if let Some(role) = service.role {
            line(format!("role = {:?}", format!("{role:?}").to_lowercase()));
        }
        if let Some(server) = &service.server {
            line(format!("server = {server:?}"));
        }
        line(format!("flags = {:?}", service.flags));
    }
    for (name, server) in &config.servers {
        line(format!("\n[servers.{name:?}]"));
        if let Some(mode) = server.mode {
            line(format!("mode = {:?}", mode.to_string()));
        }
        if let Some(limit) = server.attack_packets_per_second {
            line(format!("attack-packets-per-second = {limit}  # at one of its ports"));
        }
        if let Some(limit) = server.attack_bits_per_second {
            line(format!("attack-bits-per-second = {limit}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::written;
    use super::*;

    #[test]
    fn what_is_shown_can_be_read_back() {
        let (read, findings) = written::parse("config.toml", &shown(&Config::default()));
        assert_eq!(findings, []);
        let expected = Config { plugins_dir: Some(Config::default().plugins_dir()), ..Config::default() };
        assert_eq!(read, expected);
    }
}
