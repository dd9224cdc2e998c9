//! The stage of all scenarios: one node with one dockerd, its servers, the real clients and the light players on them.

use std::net::IpAddr;
use std::net::SocketAddr;
use std::time::Duration;
use std::time::Instant;

use super::Seat;
use super::life;
use crate::Clients;
use crate::Crowd;
use crate::Docker;
use crate::Lab;
use crate::Meter;
use crate::Player;
use crate::Server;
use crate::address;
use crate::clients::Game;
use crate::clients::Players;
use crate::crowd;
use crate::crowd::Stay;
use crate::docker::Options;
use crate::meter::Arrived;
use crate::player::Health;

/// Light players of each server.
pub(crate) const LIGHT_PLAYERS: u16 = 50;
/// What each sends a second at the servers that are looked at.
pub(crate) const FULL_RATE: u64 = 30;
/// And at the others.
const IDLE_RATE: u64 = 1;
/// How long players may take to join on a busy machine.
pub(crate) const JOINING: Duration = Duration::from_secs(90);
/// How long a server may be busy after a flood.
const RESTING: Duration = Duration::from_secs(15);
/// At rest it uses less than half a processor for so long.
const RESTED: Duration = Duration::from_millis(500);
/// How long light players may take.
const JOINING_LIGHT: Duration = Duration::from_secs(12);

/// The port of the first further server; the others have those after it.
const FURTHER_PORT: u16 = 27_101;

/// A server and who plays there.
pub(crate) struct Place {
    pub(crate) seat: Seat,
    pub(crate) server: Server,
    pub(crate) meter: Meter,
    pub(crate) real: Option<Player>,
    pub(crate) light: Option<Crowd>,
}

/// A server of the lab's own kind beside the places: guests play there or nobody.
pub(crate) struct Further {
    pub(crate) public: SocketAddr,
    server: Server,
    meter: Meter,
}

/// Everything. Fields are dropped from top to bottom.
pub(crate) struct Stage {
    pub(crate) places: Vec<Place>,
    pub(crate) further: Vec<Further>,
    /// What the players send.
    home: Meter,
    /// What arrives at the node.
    node: Meter,
    pub(crate) clients: Clients,
    pub(crate) docker: Docker,
    pub(crate) lab: Lab,
}

/// All meters at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counted {
    pub(crate) home: Arrived,
    pub(crate) node: Arrived,
    pub(crate) containers: Arrived,
}

impl Stage {
    /// Makes the lab, starts the servers of these seats and so many further ones, and lets players join.
    pub(crate) fn new(clients: &Clients, seats: &[Seat], further: u16) -> anyhow::Result<Self> {
        let lab = Lab::new()?;
        let ip6tables = seats.iter().any(|seat| seat.is_v6());
        // Below one common group all containers together would get the share of one busy process, and fifty servers
        // would stand still whenever the machine has other work.
        let flags = if further > 0 { vec!["--cgroup-parent=/".to_owned()] } else { Vec::new() };
        let options = Options { ip6tables, flags, ..Options::default() };
        let docker = Docker::start_with(&lab, options)?;
        let home = Meter::install_at_home(&lab)?;
        let node = Meter::install_on_interface(&lab.node().path(), "uplink")?;
        let clients = clients.clone();
        let mut stage = Self { places: Vec::new(), further: Vec::new(), home, node, clients, docker, lab };
        for &seat in seats {
            let server = stage.docker.run_server(&stage.clients.spec(seat.game(), seat.public()))?;
            let meter = server.meter()?;
            stage.places.push(Place { seat, server, meter, real: None, light: None });
        }
        for number in 0..further {
            let public = SocketAddr::new(address::NODE.into(), FURTHER_PORT + number);
            let server = stage.docker.run_server(&stage.clients.spec(Game::Source, public))?;
            let meter = server.meter()?;
            stage.further.push(Further { public, server, meter });
        }
        for further in &stage.further {
            stage.clients.listening(&further.server, Game::Source)?;
        }
        for place in &stage.places {
            stage.clients.listening(&place.server, place.seat.game())?;
        }
        stage.let_join()?;
        Ok(stage)
    }

    /// Starts all servers afresh, as Wings does at a restart: what an undefended flood broke in them must not count
    /// against the defence.
    pub(crate) fn serve_afresh(&mut self) -> anyhow::Result<()> {
        let seats: Vec<Seat> = self.places.iter().map(|place| place.seat).collect();
        seats.into_iter().try_for_each(|seat| self.restart(seat))?;
        self.let_join()
    }

    /// Sees to it that all play: whoever lost the connection comes back by himself, and where somebody cannot, the
    /// server is started afresh. Returns which were.
    pub(crate) fn heal(&mut self) -> anyhow::Result<Vec<Seat>> {
        let ails = |place: &Place| {
            let light = place.light.as_ref();
            let all_in = light.is_none_or(|crowd| crowd.wait_until_in(JOINING_LIGHT) == crowd.players());
            !all_in || !place.real_plays()
        };
        let ailing: Vec<Seat> =
            self.places.iter().filter(|place| ails(place)).map(|place| place.seat).collect();
        for &seat in &ailing {
            self.restart(seat)?;
        }
        self.let_join()?;
        Ok(ailing)
    }

    fn restart(&mut self, seat: Seat) -> anyhow::Result<()> {
        let Some(at) = self.places.iter().position(|place| place.seat == seat) else { return Ok(()) };
        let Place { server, real, light, .. } = self.places.remove(at);
        drop((real, light));
        server.remove()?;
        let server = self.docker.run_server(&self.clients.spec(seat.game(), seat.public()))?;
        self.clients.listening(&server, seat.game())?;
        let meter = server.meter()?;
        self.places.insert(at, Place { seat, server, meter, real: None, light: None });
        Ok(())
    }

    /// Lets players join where none are, and waits for them.
    pub(crate) fn let_join(&mut self) -> anyhow::Result<()> {
        for place in &mut self.places {
            if place.real.is_none() && has_real_players(place.seat) {
                let sources = [real_player(place.seat)];
                let players = Players { name: "Player", sources: &sources };
                let public = place.seat.public();
                place.real = Some(self.clients.play(&self.lab, place.seat.game(), public, players)?);
            }
        }
        // The real ones first: each costs seconds of a processor to start.
        for place in &mut self.places {
            if let Some(real) = &mut place.real {
                real.wait_for("joined", JOINING)?;
            }
        }
        for place in &mut self.places {
            if place.light.is_none() {
                let plan = crowd::Plan {
                    game: place.seat.game(),
                    public: place.seat.public(),
                    from: light_players(place.seat),
                    per_second: IDLE_RATE,
                    joining_per_second: 10,
                    stay: Stay::Always,
                };
                place.light = Some(Crowd::start(&self.lab, plan));
            }
        }
        for place in &self.places {
            if let Some(light) = &place.light {
                let playing = light.wait_until_in(JOINING);
                let all = light.players();
                anyhow::ensure!(playing == all, "{playing} of {all} light players join {:?}", place.seat);
            }
        }
        Ok(())
    }

    /// Forgets the connections of attackers that the node still remembers: for a minute or two they would fill its
    /// table and spoil what comes after.
    pub(crate) fn forget_attackers(&self) {
        let v4 = [address::FORGED_RANGE, address::BOTS_RANGE, address::MANY_BOTS_RANGE];
        let v6 = [address::FORGED_RANGE_V6, address::BOTS_RANGE_V6];
        let all = v4.map(|range| ("ipv4", range)).into_iter().chain(v6.map(|range| ("ipv6", range)));
        for (family, range) in all {
            // It fails where there is nothing to forget.
            let _ = self.lab.node().run("conntrack", &["-D", "-f", family, "-s", range]);
        }
    }

    /// Waits until no server is busy with what a flood left it: it would spoil what comes after. One that does not get over it
    /// is started afresh. Returns which were.
    pub(crate) fn rest(&mut self) -> anyhow::Result<Vec<Seat>> {
        let deadline = Instant::now() + RESTING;
        loop {
            let used = |place: &Place| place.server.processor_ms();
            let before: Vec<u64> = self.places.iter().map(used).collect();
            std::thread::sleep(RESTED);
            let used = self.places.iter().map(used).zip(before).map(|(now, was)| now.saturating_sub(was));
            let busy: Vec<Seat> = used
                .zip(&self.places)
                .filter(|(ms, _)| u128::from(*ms) * 2 > RESTED.as_millis())
                .map(|(_, place)| place.seat)
                .collect();
            if busy.is_empty() {
                return Ok(busy);
            }
            if Instant::now() >= deadline {
                busy.iter().try_for_each(|seat| self.restart(*seat))?;
                self.let_join()?;
                return Ok(busy);
            }
        }
    }

    /// From now on players of these seats play at full rate, the others idly.
    pub(crate) fn play_at(&self, seats: &[Seat]) {
        for place in &self.places {
            let rate = if seats.contains(&place.seat) { FULL_RATE } else { IDLE_RATE };
            place.light.iter().for_each(|crowd| crowd.play_at(rate));
        }
    }

    /// Reads all meters while the light players hold still, so that nothing of theirs is on its way.
    pub(crate) fn count(&self, also: &[Crowd]) -> anyhow::Result<Counted> {
        let crowds = || self.places.iter().filter_map(|place| place.light.as_ref()).chain(also);
        crowds().for_each(|crowd| crowd.pause(true));
        std::thread::sleep(Duration::from_millis(150));
        let counted = self.count_now();
        crowds().for_each(|crowd| crowd.pause(false));
        counted
    }

    /// Reads all meters.
    pub(crate) fn count_now(&self) -> anyhow::Result<Counted> {
        let (home, node) = (self.home.read()?, self.node.read()?);
        let mut containers = Arrived::default();
        let further = self.further.iter().map(|further| &further.meter);
        for meter in self.places.iter().map(|place| &place.meter).chain(further) {
            let arrived = meter.read()?;
            containers.players += arrived.players;
            containers.newcomers += arrived.newcomers;
            containers.attackers += arrived.attackers;
            containers.others += arrived.others;
        }
        Ok(Counted { home, node, containers })
    }

    /// How the real clients fared between two times.
    pub(crate) fn real_health(&self, from_ms: u64, to_ms: u64) -> Health {
        let real = self.places.iter().filter_map(|place| place.real.as_ref());
        real.fold(Health::default(), |sum, player| sum.and(&player.health(from_ms, to_ms)))
    }

    /// How many light players lost their connections between two times, where any did.
    pub(crate) fn light_disconnected(&self, from_ms: u64, to_ms: u64) -> Vec<(Seat, u64)> {
        let lost = |place: &Place| place.light.as_ref().map_or(0, |crowd| crowd.disconnected(from_ms, to_ms));
        self.places.iter().map(|place| (place.seat, lost(place))).filter(|(_, lost)| *lost > 0).collect()
    }
}

impl Place {
    /// Whether the real client still plays; one that lost its connection ends itself.
    fn real_plays(&self) -> bool {
        self.real
            .as_ref()
            .is_none_or(|player| player.events().iter().all(|event| event.said["event"] != "disconnected"))
    }
}

/// Real clients cost a process of a hundred megabytes each; these are enough to see that they fare as the light ones.
fn has_real_players(seat: Seat) -> bool {
    matches!(seat, Seat::Java | Seat::Neighbour | Seat::Bedrock)
}

fn real_player(seat: Seat) -> IpAddr {
    address::player(if seat == Seat::Neighbour { 22 } else { 21 }).into()
}

/// The addresses of a server's light players.
fn light_players(seat: Seat) -> Vec<IpAddr> {
    let first = match seat {
        Seat::Java => 50,
        Seat::Neighbour => 250,
        Seat::Bedrock => 100,
        Seat::Source => 150,
        Seat::JavaV6 => 0x100,
        Seat::SourceV6 => 0x200,
    };
    let count = if seat == Seat::Neighbour { 4 } else { LIGHT_PLAYERS };
    let at = |number: u16| match seat.is_v6() {
        true => IpAddr::from(address::player_v6(number)),
        false => IpAddr::from(address::player(number as u8)),
    };
    (first..first + count).map(at).collect()
}

/// Newcomers of a scenario: addresses that nobody plays from.
pub(crate) fn newcomers(seat: Seat, count: u16) -> Vec<IpAddr> {
    let at = |number: u16| match seat.is_v6() {
        true => IpAddr::from(address::player_v6(0x1000 + number)),
        false => IpAddr::from(address::newcomer(number)),
    };
    (0..count).map(at).collect()
}

/// Guests of all servers of a stage, the places' first, each with addresses of their own.
pub(crate) fn guests(stage: &Stage) -> Vec<crowd::Plan> {
    let places = stage.places.iter().map(|place| (place.seat.game(), place.seat.public()));
    let all = places.chain(stage.further.iter().map(|further| (Game::Source, further.public)));
    let plan = |(at, (game, public)): (usize, (Game, SocketAddr))| {
        let first = at as u16 * life::GUESTS;
        let address = |number: u16| match public.is_ipv6() {
            true => IpAddr::from(address::player_v6(0x1000 + number)),
            false => IpAddr::from(address::newcomer(number)),
        };
        let from = (first..first + life::GUESTS).map(address).collect();
        crowd::Plan { game, public, from, per_second: 1, joining_per_second: 0, stay: Stay::Guests }
    };
    all.enumerate().map(plan).collect()
}

/// The games that ftagent must know of these seats and further servers.
pub(crate) fn games(seats: &[Seat], further: usize) -> Vec<(&'static str, usize)> {
    let of = |game: Game| seats.iter().filter(|seat| seat.game() == game).count();
    let all = [
        ("minecraft-java", of(Game::Java)),
        ("minecraft-bedrock", of(Game::Bedrock)),
        ("counter-strike-global-offensive", of(Game::Source) + further),
    ];
    all.into_iter().filter(|(_, count)| *count > 0).collect()
}
