//! Scenarios: what is sent to whom while who plays, measured the same way without ftagent and with it.
//!
//! A scenario is one entry of [`table::all`]; nothing else has to be written for a new one. Every number comes from
//! counters and clocks that ftagent does not own: packet meters in the namespaces of players, node and containers,
//! the kernel's time stamp of the first attack packet, the counters of the rules that drop, `/proc`, and the clients'
//! own words. Only what ftagent alone can know is taken from it: that an incident is over, and whom it leased.

mod check;
mod life;
mod outcome;
mod report;
mod run;
mod stage;
mod stranger;
pub mod table;
mod watch;

use std::net::IpAddr;
use std::net::SocketAddr;
use std::time::Duration;

use crate::address;
use crate::attack::Pattern;
use crate::attack::Sources;
use crate::attack::Vector;
use crate::clients::Game;

pub use check::Check;
pub use outcome::Joins;
pub use outcome::Outcome;
pub use report::Report;
pub use report::Row;
pub use run::Plan;
pub use run::run;
pub use stranger::COMMAND_SECONDS_MAX;

/// Packets in one flood at most; a second bound beside time.
pub(crate) const PACKETS_MAX: u64 = 6_000_000;
/// Packets a second of one scenario at most.
pub const PACKETS_PER_SECOND_MAX: u64 = 100_000;

/// A server on the stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seat {
    /// Minecraft Java, npm server.
    Java,
    /// The same on the same port of the node's other address; attacked in the carpet alone.
    Neighbour,
    /// Minecraft Bedrock, npm server.
    Bedrock,
    /// A Source game; the server is the lab's own.
    Source,
    /// Minecraft Java over IPv6.
    JavaV6,
    /// A Source game over IPv6.
    SourceV6,
}

impl Seat {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Java, Self::Neighbour, Self::Bedrock, Self::Source, Self::JavaV6, Self::SourceV6];

    /// What is served there.
    #[must_use]
    pub fn game(self) -> Game {
        match self {
            Self::Java | Self::Neighbour | Self::JavaV6 => Game::Java,
            Self::Bedrock => Game::Bedrock,
            Self::Source | Self::SourceV6 => Game::Source,
        }
    }

    /// Where players find it.
    #[must_use]
    pub fn public(self) -> SocketAddr {
        let at = |address: IpAddr, port: u16| SocketAddr::new(address, port);
        match self {
            Self::Java => at(address::NODE.into(), 25_565),
            Self::Neighbour => at(address::NEIGHBOUR.into(), 25_565),
            Self::Bedrock => at(address::NODE.into(), 19_132),
            Self::Source => at(address::NODE.into(), 27_015),
            Self::JavaV6 => at(address::NODE_V6.into(), 25_565),
            Self::SourceV6 => at(address::NODE_V6.into(), 27_015),
        }
    }

    /// Whether it is reached over IPv6.
    #[must_use]
    pub fn is_v6(self) -> bool {
        matches!(self, Self::JavaV6 | Self::SourceV6)
    }
}

/// Where a flood goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// At a server.
    At(Seat),
    /// At so many ports of an address, from the first on.
    Ports(IpAddr, u16, u16),
}

impl Aim {
    fn target(self) -> SocketAddr {
        match self {
            Self::At(seat) => seat.public(),
            Self::Ports(address, first, _) => SocketAddr::new(address, first),
        }
    }

    fn ports(self) -> u16 {
        if let Self::Ports(_, _, count) = self { count } else { 1 }
    }
}

/// One flood of a scenario.
#[derive(Clone, Copy, Debug)]
pub struct Flood {
    /// What is sent.
    pub vector: Vector,
    /// Where to.
    pub aim: Aim,
    /// From whom.
    pub sources: Sources,
    /// How much: packets a second, or connections.
    pub per_second: u64,
    /// How the rate goes.
    pub pattern: Pattern,
    /// The attacker shares the players' network.
    pub beside_players: bool,
}

impl Flood {
    /// Evenly from one kind of sources to one place.
    #[must_use]
    pub fn new(vector: Vector, aim: Aim, sources: Sources, per_second: u64) -> Self {
        let pattern = Pattern::Steady;
        Self { vector, aim, sources, per_second, pattern, beside_players: false }
    }

    /// With its rate going so.
    #[must_use]
    pub fn pattern(mut self, pattern: Pattern) -> Self {
        self.pattern = pattern;
        self
    }

    /// From the players' network.
    #[must_use]
    pub fn beside_players(mut self) -> Self {
        self.beside_players = true;
        self
    }
}

/// People beside those who always play.
#[derive(Clone, Debug)]
pub struct People {
    /// Where.
    pub seat: Seat,
    /// From which addresses, one each.
    pub from: Vec<IpAddr>,
    /// Packets of each a second.
    pub per_second: u64,
    /// So many of them join each second; 0 is all before the measurement begins.
    pub joining_per_second: u64,
}

/// What ftagent is told to do before the measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// It has been running for some time.
    Running,
    /// It is started for the first time so long before the flood, while people play.
    FirstStart(Duration),
    /// It is started again, and all players come back during the measurement.
    Reboot,
}

/// What must come of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An attack, of which so much of a thousand must be stopped before the containers.
    Attack {
        /// In thousandths.
        stopped_min: u64,
    },
    /// Nobody may be hurt; whatever else is sent may pass or not.
    Harmless,
}

/// One scenario.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name, in kebab-case.
    pub name: &'static str,
    /// One line for people.
    pub says: &'static str,
    /// What must come of it.
    pub kind: Kind,
    /// What is sent.
    pub floods: Vec<Flood>,
    /// What is sent before, and for how long.
    pub warm_up: Option<(Vec<Flood>, Duration)>,
    /// The servers whose players play at full rate.
    pub seats: Vec<Seat>,
    /// People beside those.
    pub people: Vec<People>,
    /// What ftagent is told to do before.
    pub before: Before,
    /// How long it lasts where that is part of what it is.
    pub lasting: Option<Duration>,
    /// What was cut short, and from what; told with the figures.
    pub cut: Option<String>,
    /// Servers that public lists ask all the time, with clients that nobody here wrote.
    pub monitored: Vec<Seat>,
    /// Servers of the lab's own kind beside the seats. Where there are some, guests come to all servers and leave
    /// again, and lists ask these too.
    pub further: u16,
}

impl Scenario {
    /// Names in a selection that are no scenario's.
    #[must_use]
    pub fn unknown<'n>(all: &[Self], names: &'n [String]) -> Vec<&'n str> {
        let known = |name: &&String| all.iter().any(|scenario| scenario.name == name.as_str());
        names.iter().filter(|name| !known(name)).map(String::as_str).collect()
    }

    /// Whether nobody sends anything in it but players and who asks servers: an incident in it is a false one.
    #[must_use]
    pub fn is_calm(&self) -> bool {
        self.kind == Kind::Harmless && self.floods.is_empty()
    }

    /// How long its floods last.
    #[must_use]
    pub fn lasting(&self, default: Duration) -> Duration {
        self.lasting.unwrap_or(default)
    }
}
