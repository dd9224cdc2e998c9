//! The stage: a lab with Docker, three game servers, and the players on them.

use std::net::IpAddr;
use std::net::SocketAddr;
use std::time::Duration;

use ftagent_lab::Clients;
use ftagent_lab::Docker;
use ftagent_lab::Lab;
use ftagent_lab::Meter;
use ftagent_lab::Player;
use ftagent_lab::Server;
use ftagent_lab::address;
use ftagent_lab::clients::Game;
use ftagent_lab::clients::Players;
use ftagent_lab::player::Health;

/// A server and what is known of it.
pub(crate) struct Seat {
    pub(crate) game: Game,
    pub(crate) public: SocketAddr,
    /// Attacked by nobody; on the same port as one that is.
    pub(crate) is_neighbour: bool,
    pub(crate) meter: Meter,
    pub(crate) players: Option<Player>,
    /// The container; the daemon's end removes it.
    server: Server,
}

/// Everything the demo plays on. Fields are dropped from top to bottom.
pub(crate) struct Stage {
    pub(crate) seats: Vec<Seat>,
    pub(crate) docker: Docker,
    pub(crate) lab: Lab,
}

/// Port of both Java servers.
const JAVA: u16 = 25_565;
/// Port of the Bedrock server.
const BEDROCK: u16 = 19_132;
/// How long players may take to join on a busy machine.
const JOINING: Duration = Duration::from_secs(40);

impl Stage {
    /// Makes the lab, starts the servers and lets players join.
    pub(crate) fn new(clients: &Clients) -> anyhow::Result<Self> {
        let lab = Lab::new()?;
        let docker = Docker::start(&lab)?;
        let mut stage = Self { seats: Vec::new(), docker, lab };
        stage.serve(clients)?;
        Ok(stage)
    }

    /// Starts the servers, all at once because each takes seconds to load, and lets players join. Servers that were
    /// there are removed first, as Wings does at a restart: what an undefended flood broke in them must not count
    /// against the defence.
    pub(crate) fn serve(&mut self, clients: &Clients) -> anyhow::Result<()> {
        for seat in self.seats.drain(..) {
            drop(seat.players);
            seat.server.remove()?;
        }
        let plan = [
            (Game::Java, SocketAddr::from((address::NODE, JAVA)), false),
            (Game::Bedrock, SocketAddr::from((address::NODE, BEDROCK)), false),
            (Game::Java, SocketAddr::from((address::NEIGHBOUR, JAVA)), true),
        ];
        for (game, public, is_neighbour) in plan {
            let server = self.docker.run_server(&clients.spec(game, public))?;
            let meter = server.meter()?;
            self.seats.push(Seat { game, public, is_neighbour, meter, players: None, server });
        }
        for seat in &self.seats {
            clients.listening(&seat.server, seat.game)?;
        }
        self.join(clients)
    }

    /// Lets players join everywhere.
    fn join(&mut self, clients: &Clients) -> anyhow::Result<()> {
        for (number, seat) in self.seats.iter_mut().enumerate() {
            let first = 20 + 10 * number as u8;
            let sources = [first, first + 1].map(|n| IpAddr::from(address::player(n)));
            let players = Players { name: "Player", sources: &sources };
            seat.players = Some(clients.play(&self.lab, seat.game, seat.public, players)?);
        }
        for seat in &mut self.seats {
            let count = if seat.game == Game::Java { 2 } else { 1 };
            if let Some(players) = &mut seat.players {
                players.wait_for_all("joined", count, JOINING)?;
            }
        }
        Ok(())
    }

    /// How players of attacked servers, and those of their neighbours, fared between two times.
    pub(crate) fn health(&self, of_neighbours: bool, from_ms: u64, to_ms: u64) -> Health {
        let seats = self.seats.iter().filter(|seat| seat.is_neighbour == of_neighbours);
        seats
            .filter_map(|seat| Some(seat.players.as_ref()?.health(from_ms, to_ms)))
            .fold(Health::default(), |sum, one| sum.and(&one))
    }

    /// Attackers' packets that have reached any container.
    pub(crate) fn reached(&self) -> anyhow::Result<u64> {
        self.seats.iter().map(|seat| Ok(seat.meter.read()?.attackers)).sum()
    }
}
