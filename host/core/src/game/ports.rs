//! What each port of a recognised container is for and who judges it.
//!
//! The word of this server's own variables comes first, then the distance to its game port, then the game's default.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::GENERIC;
use super::UNKNOWN;
use super::catalog::Catalog;
use super::profile::PortRule;
use super::profile::Profile;
use super::recognise::ContainerFacts;
use super::recognise::Published;
use crate::service::Judging;
use crate::service::Role;
use crate::service::Transport;

/// One port of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecognisedPort {
    /// The port as the world sees it.
    pub port: u16,
    /// The transport.
    pub transport: Transport,
    /// What it is for.
    pub role: Role,
    /// Who judges it.
    pub judging: Judging,
    /// Switches for the plugin.
    pub flags: u64,
}

/// Variables whose meaning is the same in every egg. A name that merely contains `PORT` is not here
/// (`PORTFORWARD_ENABLE`, `UPLOAD_CRASH_REPORT` and `MISC_SUPPORT` are no ports).
const VARIABLES: [(&str, Role); 36] = [
    ("SERVER_PORT", Role::Game),
    ("QUERY_PORT", Role::Query),
    ("QPORT", Role::Query),
    ("VR_QUERY_PORT", Role::Query),
    ("SERVER_QUERY_PORT", Role::Query),
    ("STEAM_QUERY_PORT", Role::Query),
    ("PING_PORT", Role::Query),
    ("RCON_PORT", Role::Rcon),
    ("RCPORT", Role::Rcon),
    ("VR_RCON_PORT", Role::Rcon),
    ("TELNET_PORT", Role::Rcon),
    ("XMLRPC_PORT", Role::Rcon),
    ("HARMONY_PORT", Role::Rcon),
    ("TSSERVER_QUERY_SSH_PORT", Role::Rcon),
    ("WEB_PORT", Role::Http),
    ("HTTP_PORT", Role::Http),
    ("SERVER_WEBPORT", Role::Http),
    ("WEB_ADMIN_PORT", Role::Http),
    ("WEBSERVER_PORT", Role::Http),
    ("REMOTEAPI_PORT", Role::Http),
    ("METRICS_PORT", Role::Http),
    ("APP_PORT", Role::Http),
    ("TXHOST_TXA_PORT", Role::Http),
    ("TXADMIN_PORT", Role::Http),
    ("TSSERVER_QUERY_HTTP_PORT", Role::Http),
    ("TV_PORT", Role::Voice),
    ("TSSERVER_DEFAULT_PORT", Role::Voice),
    ("FILE_PORT", Role::File),
    ("TSSERVER_FILE_TRANSFER_PORT", Role::File),
    ("BLOBSYNC_PORT", Role::File),
    ("BEACON_PORT", Role::Beacon),
    ("STEAM_PORT", Role::Game),
    ("SERVER_STEAMPORT", Role::Game),
    ("RELIABLE_PORT", Role::Game),
    ("QUEUE_PORT", Role::Game),
    ("CUBEPORT", Role::Game),
];

/// How a rule came to its port; the strongest comes first where several rules name one port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Said {
    Variable,
    GamePort,
    Default,
}

/// A rule with the port that it means on this server.
struct Placed<'p> {
    rule: &'p PortRule,
    port: u16,
    said: Said,
}

impl Catalog {
    pub(super) fn judge_ports(
        &self,
        profile: Option<&Profile>,
        certain: bool,
        facts: &ContainerFacts,
    ) -> Vec<RecognisedPort> {
        let placed = profile.map(|profile| place(profile, facts)).unwrap_or_default();
        let published = match &facts.published {
            Some(published) => published.clone(),
            None => on_node(&placed, facts),
        };
        let mut ports: Vec<RecognisedPort> = Vec::with_capacity(published.len());
        for at in published {
            let (role, judging) = judge(&placed, certain, at, &facts.env);
            let flags = match &judging {
                Judging::Plugin(plugin) => self.flags_of(plugin, &facts.env),
                Judging::WrongTransport => 0,
            };
            ports.push(RecognisedPort { port: at.outside, transport: at.transport, role, judging, flags });
        }
        ports.sort_by_key(|port| (port.port, port.transport));
        ports.dedup_by_key(|port| (port.port, port.transport));
        ports
    }

    /// How a port that somebody named as this game's is judged: (game id, role, judging). A game that nobody knows is
    /// judged by `generic`.
    pub fn judge_named(&self, game: &str, port: u16, transport: Transport) -> (Arc<str>, Role, Judging) {
        let Some(profile) = self.resolve(game) else {
            return (UNKNOWN.into(), Role::Unknown, Judging::Plugin(GENERIC.into()));
        };
        let rules = || profile.ports.iter().filter(|rule| rule.when.is_none());
        let here = rules().find(|rule| rule.port == Some(port) && rule.speaks(transport));
        let game_port = |rule: &&PortRule| rule.offset == Some(0) || rule.port == default_game_port(profile);
        let rule = here.or_else(|| rules().filter(game_port).find(|rule| rule.speaks(transport)));
        let (role, judging) = match rule {
            Some(rule) => (rule.role, Judging::Plugin(rule.plugin.clone())),
            None => match rules().filter(game_port).find(|rule| rule.only) {
                Some(rule) => (rule.role, Judging::WrongTransport),
                None => (Role::Unknown, Judging::Plugin(GENERIC.into())),
            },
        };
        (profile.id.clone(), role, judging)
    }

    /// The switches of a plugin by name, for services that an operator wrote down. Unknown names are handed back.
    pub fn flags_named<'n>(&self, plugin: &str, names: &[&'n str]) -> (u64, Vec<&'n str>) {
        let flags = self.flags.get(plugin).map_or(&[][..], Vec::as_slice);
        let mut bits = 0;
        let mut unknown = Vec::new();
        for name in names {
            match flags.iter().position(|flag| *flag.name == **name) {
                Some(at) => bits |= 1 << at,
                None => unknown.push(*name),
            }
        }
        (bits, unknown)
    }

    fn flags_of(&self, plugin: &str, env: &BTreeMap<String, String>) -> u64 {
        let flags = self.flags.get(plugin).map_or(&[][..], Vec::as_slice);
        let set = |name: &Option<Arc<str>>| name.as_ref().is_some_and(|name| is_yes(env.get(&**name)));
        flags.iter().enumerate().filter(|(_, flag)| set(&flag.env)).fold(0, |bits, (at, _)| bits | 1 << at)
    }
}

fn is_yes(value: Option<&String>) -> bool {
    let value = value.map(|value| value.trim().to_lowercase());
    matches!(value.as_deref(), Some("1" | "true" | "yes" | "on"))
}

/// A port out of a variable; empty, `-1`, `0` and words are none.
fn port_in(env: &BTreeMap<String, String>, name: &str) -> Option<u16> {
    env.get(name)?.trim().parse().ok().filter(|port| *port > 0)
}

fn default_game_port(profile: &Profile) -> Option<u16> {
    profile.ports.first().and_then(|rule| rule.port)
}

/// The port on which this server plays, as the server itself sees it.
fn game_port(profile: &Profile, facts: &ContainerFacts) -> Option<u16> {
    if let Some(port) = port_in(&facts.env, "SERVER_PORT") {
        return Some(port);
    }
    let default = default_game_port(profile);
    let Some(published) = &facts.published else { return default };
    if published.iter().any(|at| Some(at.inside) == default) {
        return default;
    }
    let first = published.first()?.inside;
    published.iter().all(|at| at.inside == first).then_some(first).or(default)
}

fn place<'p>(profile: &'p Profile, facts: &ContainerFacts) -> Vec<Placed<'p>> {
    let game = game_port(profile, facts);
    let mut placed = Vec::new();
    for (at, rule) in profile.ports.iter().enumerate() {
        if rule.when.as_ref().is_some_and(|when| !is_yes(facts.env.get(&**when))) {
            continue;
        }
        let mut variable = rule.variables.iter().find_map(|name| port_in(&facts.env, name));
        if at == 0 {
            // Where a query port is set to the game port, it stays the game port.
            variable = variable.or(game);
        }
        let offset = if at == 0 { Some(0) } else { rule.offset };
        let beside = offset
            .and_then(|offset| i32::from(game?).checked_add(offset))
            .and_then(|port| u16::try_from(port).ok())
            .filter(|port| *port > 0);
        let found = [
            (variable, Said::Variable),
            (beside, Said::GamePort),
            (rule.port.filter(|_| offset.is_none()), Said::Default),
        ];
        let found = found.into_iter().find_map(|(port, said)| port.map(|port| (port, said)));
        if let Some((port, said)) = found {
            placed.push(Placed { rule, port, said });
        }
    }
    placed.sort_by_key(|placed| placed.said);
    placed
}

fn judge(
    placed: &[Placed<'_>],
    certain: bool,
    at: Published,
    env: &BTreeMap<String, String>,
) -> (Role, Judging) {
    let here = || placed.iter().filter(|placed| placed.port == at.inside);
    if let Some(placed) = here().find(|placed| placed.rule.speaks(at.transport)) {
        return (placed.rule.role, Judging::Plugin(placed.rule.plugin.clone()));
    }
    // A weak guess must not turn somebody's players into attackers.
    if let Some(placed) = here().find(|placed| placed.rule.only).filter(|_| certain) {
        return (placed.rule.role, Judging::WrongTransport);
    }
    let by_name = VARIABLES.iter().find(|(name, _)| port_in(env, name) == Some(at.inside));
    (by_name.map_or(Role::Unknown, |(_, role)| *role), Judging::Plugin(GENERIC.into()))
}

/// The ports of a container that shares the node's network: what its variables say and what stands beside its game
/// port. A mere default may be another server's port.
fn on_node(placed: &[Placed<'_>], facts: &ContainerFacts) -> Vec<Published> {
    let said = placed.iter().filter(|placed| placed.said != Said::Default).map(|placed| placed.port);
    let named = VARIABLES.iter().filter_map(|(name, _)| port_in(&facts.env, name));
    let mut ports: Vec<u16> = said.chain(named).collect();
    ports.sort_unstable();
    ports.dedup();
    let both = |port| {
        [Transport::Tcp, Transport::Udp].map(|transport| Published { inside: port, outside: port, transport })
    };
    ports.into_iter().flat_map(both).collect()
}
