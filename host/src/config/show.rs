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
    line(config.alert.shown().trim_end().to_owned());
    line(config.forensics.shown().trim_end().to_owned());
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
        line(format!("syn-proxy = {}  # whether the kernel may answer SYNs for it", server.syn_proxy));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::written;
    use super::*;

    #[test]
    fn c07_whatever_is_set_is_shown_and_read_back() {
        let text = "mode = 'limit'\ninterfaces = ['eth7']\ndocker-socket = '/d'\nall-containers = true\n\
                    runtime-dir = '/r'\nstate-dir = '/s'\nplugins-dir = '/p'\ngames-dir = '/g'\n[capture]\n\
                    packets-per-second = 5000\nring-mib = 7\nlink-mbit = 900\n[firewall]\nmark-bit = 3\n\
                    early-per-service = 300\nearly-per-node = 400\nnever-block = ['192.0.2.0/24']\n\
                    always-block = ['198.51.100.0/24']\n[alert]\nexec = ['/bin/true']\nmin-severity = 'high'\n\
                    names = true\nnode = 'n'\n[forensics]\npcap = 'full'\ndays = 3\ntotal-mib = 99\n[servers.a]\nmode = 'observe'\n\
                    attack-packets-per-second = 5\nattack-bits-per-second = 6\nsyn-proxy = true\n";
        let (config, findings) = written::parse("config.toml", text);
        assert_eq!(findings, []);
        let (read, findings) = written::parse("config.toml", &shown(&config));
        assert_eq!(findings, []);
        assert_eq!(read, config);
        // Each setting that is shown was set to something else than its default.
        let defaults = shown(&Config::default());
        let set = shown(&config);
        let same: Vec<_> =
            defaults.lines().filter(|line| line.contains(" = ") && set.contains(line)).collect();
        assert_eq!(same, Vec::<&str>::new());
    }

    #[test]
    fn what_is_shown_can_be_read_back() {
        let (read, findings) = written::parse("config.toml", &shown(&Config::default()));
        assert_eq!(findings, []);
        let expected = Config { plugins_dir: Some(Config::default().plugins_dir()), ..Config::default() };
        assert_eq!(read, expected);
    }
}
