//! One title as typed data, after its `game.toml` was checked.

use std::sync::Arc;

use crate::service::Role;
use crate::service::Transport;

/// A port that a game uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortRule {
    /// What it is for.
    pub role: Role,
    /// Whether the game speaks TCP there.
    pub tcp: bool,
    /// Whether the game speaks UDP there.
    pub udp: bool,
    /// The port where nobody said otherwise.
    pub port: Option<u16>,
    /// The port as a distance from the game port of this server; comes before `port`.
    pub offset: Option<i32>,
    /// Container variables that carry the port; the first that holds one counts, before `offset` and `port`.
    pub variables: Vec<Arc<str>>,
    /// A switch: the rule counts only where this container variable is set to yes.
    pub when: Option<Arc<str>>,
    /// The game never speaks the other transport on this port, so whatever comes there is hostile.
    pub only: bool,
    /// The plugin that judges it.
    pub plugin: Arc<str>,
}

impl PortRule {
    /// Whether the game speaks this transport there.
    pub fn speaks(&self, transport: Transport) -> bool {
        match transport {
            Transport::Tcp => self.tcp,
            Transport::Udp => self.udp,
        }
    }
}

/// A container variable, with or without the value that it must have.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Variable {
    /// Its name.
    pub name: Arc<str>,
    /// Its value; without one it is enough that the variable is there.
    pub value: Option<Arc<str>>,
}

/// What tells a game for certain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Whole egg names, normalised. The game's name, id and aliases always belong to them.
    pub eggs: Vec<Arc<str>>,
    /// Last path parts of Docker images that serve only this game.
    pub images: Vec<Arc<str>>,
    /// Words of the startup command that stand next to each other, normalised.
    pub startup: Vec<Vec<String>>,
    /// Container variables that only this game's eggs have.
    pub variables: Vec<Variable>,
}

/// What only points at a game: two different kinds together are believed, one alone is not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// Last path parts of Docker images.
    pub images: Vec<Arc<str>>,
    /// Container variables.
    pub variables: Vec<Variable>,
    /// Features that a panel declares for an egg.
    pub features: Vec<Arc<str>>,
}

/// Where the numbers come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// A page, or a path in a public repository.
    pub url: Arc<str>,
    /// What it says.
    pub says: Arc<str>,
}

/// One title.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The full title in kebab-case.
    pub id: Arc<str>,
    /// The title as people write it.
    pub name: Arc<str>,
    /// Short names that are accepted wherever an id is.
    pub aliases: Vec<Arc<str>>,
    /// Its ports; the first is the game port.
    pub ports: Vec<PortRule>,
    /// What tells it for certain.
    pub marks: Marks,
    /// What points at it.
    pub hints: Hints,
    /// What backs its numbers.
    pub sources: Vec<Source>,
    /// The operator's word that this profile takes over a game or an egg that another profile owns.
    pub take_over: bool,
    /// The file that it came from, for findings.
    pub file: Arc<str>,
}
