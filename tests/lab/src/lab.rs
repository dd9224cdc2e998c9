//! The lab itself: three namespaces and the wire between them.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;

use anyhow::Context;
use anyhow::ensure;

use crate::address;
use crate::command;
use crate::namespace::Namespace;
use crate::sweep::Sweeper;

/// How many labs this process has made; part of their names.
static LABS: AtomicU32 = AtomicU32::new(0);

/// A handle on the lab; the lab ends when the last handle is dropped (servers, players and attacks hold one each).
#[derive(Clone, Debug)]
pub struct Lab {
    inner: Arc<Inner>,
}

/// Fields are dropped from top to bottom: the sweeper last, because it waits for the removal of all else.
#[derive(Debug)]
struct Inner {
    name: String,
    dir: PathBuf,
    sweeper: Sweeper,
    node: Namespace,
    players: Namespace,
    attackers: Namespace,
}

impl Lab {
    /// Makes the three namespaces and connects them.
    pub fn new() -> anyhow::Result<Self> {
        ensure!(nix::unistd::geteuid().is_root(), "the lab makes network namespaces: run as root");
        let name = format!("ft{}-{}", std::process::id(), LABS.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(&name);
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let sweeper = Sweeper::start(&name, &dir)?;
        let inner = Inner {
            sweeper,
            node: Namespace::new(&format!("{name}-node"))?,
            players: Namespace::new(&format!("{name}-players"))?,
            attackers: Namespace::new(&format!("{name}-attackers"))?,
            name,
            dir,
        };
        command::shell(&wire(&inner.name)).context("cannot lay the lab's wire")?;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// What every name of this lab begins with, e.g. `ft123-0`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// A folder that is removed with the lab.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.inner.dir
    }

    /// Where Docker, the game servers and ftagent run; its interface towards the world is `uplink`.
    #[must_use]
    pub fn node(&self) -> &Namespace {
        &self.inner.node
    }

    /// Where players are; its interface is `home`.
    #[must_use]
    pub fn players(&self) -> &Namespace {
        &self.inner.players
    }

    /// Where attackers are, and the bridge `wire` that connects all.
    #[must_use]
    pub fn attackers(&self) -> &Namespace {
        &self.inner.attackers
    }

    /// Makes a folder within the lab's.
    pub fn folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.inner.dir.join(name);
        std::fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The namespaces' own drops run after this one and find their work done: processes in them must end first.
        self.sweeper.sweep();
    }
}

/// The script that lays the wire: fixed neighbours, so that a flood cannot crowd out ARP, and whole ranges that are
/// local to the players and to the attackers, so that any address of them can be bound without being configured.
fn wire(name: &str) -> String {
    let gateways = (address::PLAYERS_GATEWAY, address::ATTACKERS_GATEWAY);
    let gateways_v6 = (address::PLAYERS_GATEWAY_V6, address::ATTACKERS_GATEWAY_V6);
    let (node_mac, players_mac, wire_mac) = ("02:00:00:00:00:10", "02:00:00:00:00:01", "02:00:00:00:00:fa");
    let mut script = String::new();
    for part in ["node", "players", "attackers"] {
        script += &format!(
            "nsenter --net=/run/netns/{name}-{part} sysctl -qw net.ipv4.conf.all.rp_filter=0 \
             net.ipv4.conf.default.rp_filter=0 net.ipv6.conf.all.accept_dad=0 \
             net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.default.accept_ra=0 net.ipv4.icmp_ratelimit=0 net.ipv6.ip_nonlocal_bind=1\n"
        );
    }
    script += &format!(
        "nsenter --net=/run/netns/{name}-players sysctl -qw net.ipv4.ip_local_port_range='{} 65535'\n",
        address::PLAYERS_PORTS_BEGIN
    );
    script += &format!(
        "ip -n {name}-attackers link add wire address {wire_mac} type bridge
ip link add uplink netns {name}-node address {node_mac} type veth peer name to-node netns {name}-attackers
ip link add home netns {name}-players address {players_mac} type veth peer name to-players netns {name}-attackers
ip -n {name}-attackers link set to-node master wire up
ip -n {name}-attackers link set to-players master wire up
ip -n {name}-attackers link set wire up
ip -n {name}-node link set uplink up
ip -n {name}-players link set home up
"
    );
    script += &addresses(name);
    // Everyone knows everyone's hardware address for good.
    for (part, link, neighbours) in [
        (
            "node",
            "uplink",
            vec![(gateways.0, gateways_v6.0, players_mac), (gateways.1, gateways_v6.1, wire_mac)],
        ),
        (
            "players",
            "home",
            vec![
                (address::NODE, address::NODE_V6, node_mac),
                (address::NEIGHBOUR, address::NEIGHBOUR_V6, node_mac),
            ],
        ),
        (
            "attackers",
            "wire",
            vec![
                (address::NODE, address::NODE_V6, node_mac),
                (address::NEIGHBOUR, address::NEIGHBOUR_V6, node_mac),
            ],
        ),
    ] {
        for (v4, v6, mac) in neighbours {
            for address in [v4.to_string(), v6.to_string()] {
                script += &format!(
                    "ip -n {name}-{part} neigh replace {address} lladdr {mac} dev {link} nud permanent\n"
                );
            }
        }
    }
    script
}

/// Addresses and routes of the three namespaces.
fn addresses(name: &str) -> String {
    let (node, neighbour) = (address::NODE, address::NEIGHBOUR);
    let (node_v6, neighbour_v6) = (address::NODE_V6, address::NEIGHBOUR_V6);
    let (players, attackers) = (address::PLAYERS_GATEWAY, address::ATTACKERS_GATEWAY);
    let (players_v6, attackers_v6) = (address::PLAYERS_GATEWAY_V6, address::ATTACKERS_GATEWAY_V6);
    let (player, player_v6) = (address::player(10), address::player_v6(10));
    let mut script = format!(
        "ip -n {name}-node addr add {node}/24 dev uplink
ip -n {name}-node addr add {neighbour}/24 dev uplink
ip -n {name}-node addr add {node_v6}/64 dev uplink nodad
ip -n {name}-node addr add {neighbour_v6}/64 dev uplink nodad
ip -n {name}-node route add default via {players}
ip -n {name}-node -6 route add default via {players_v6}
ip -n {name}-players addr add {players}/24 dev home
ip -n {name}-players addr add {players_v6}/64 dev home nodad
ip -n {name}-attackers addr add {attackers}/24 dev wire
ip -n {name}-attackers addr add {attackers_v6}/64 dev wire nodad
ip -n {name}-players addr add {player}/32 dev lo
ip -n {name}-players addr add {player_v6}/128 dev lo nodad
ip -n {name}-players route replace 203.0.113.0/24 dev home src {player}
"
    );
    for range in [address::BOTS_RANGE, address::MANY_BOTS_RANGE, address::FORGED_RANGE] {
        script += &format!("ip -n {name}-node route add {range} via {attackers}\n");
    }
    for range in [address::BOTS_RANGE_V6, address::FORGED_RANGE_V6] {
        script += &format!("ip -n {name}-node -6 route add {range} via {attackers_v6}\n");
    }
    for (part, range) in [
        ("players", address::PLAYERS_RANGE),
        ("players", address::NEWCOMERS_RANGE),
        ("attackers", address::BOTS_RANGE),
        ("attackers", address::MANY_BOTS_RANGE),
    ] {
        script += &format!("ip -n {name}-{part} route add local {range} dev lo\n");
    }
    for (part, range) in [("players", address::PLAYERS_RANGE_V6), ("attackers", address::BOTS_RANGE_V6)] {
        script += &format!("ip -n {name}-{part} -6 route add local {range} dev lo\n");
    }
    script
}
