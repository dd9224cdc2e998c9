//! Waves of attack, and what each did: how much was sent, how much reached the containers, which hook dropped how
//! much, and how the players fared.

use std::net::SocketAddr;
use std::time::Duration;

use ftagent_lab::Attack;
use ftagent_lab::Lab;
use ftagent_lab::Sent;
use ftagent_lab::attack::Sources;
use ftagent_lab::attack::Vector;
use ftagent_lab::clock;
use ftagent_lab::meter;
use ftagent_lab::player::Health;

use super::stage::Stage;

/// How long a wave lasts while nobody defends.
pub(crate) const UNDEFENDED: Duration = Duration::from_secs(5);
/// How long it lasts while ftagent does.
pub(crate) const DEFENDED: Duration = Duration::from_secs(9);
/// What comes through in this time is not held against the defence: it has to see the attack first.
const REACTION: Duration = Duration::from_secs(3);
/// How often the counters are read: each reading starts six programs on a busy machine.
const SAMPLE: Duration = Duration::from_millis(400);
/// Packets in a wave at most; a second bound beside time.
const PACKETS_MAX: u64 = 2_000_000;

/// What is sent to one server.
struct Part {
    vector: Vector,
    seat: usize,
    sources: Sources,
    packets_per_second: u64,
}

/// Several floods at once.
pub(crate) struct Wave {
    pub(crate) name: &'static str,
    says: &'static str,
    parts: Vec<Part>,
}

/// The attacked Java server and the Bedrock server, by their place on the stage.
const JAVA: usize = 0;
const BEDROCK: usize = 1;

impl Wave {
    /// Less than 20,000 packets a second a service: `DOCKER-USER` drops.
    pub(crate) fn below() -> Self {
        let part =
            |vector, seat, sources, packets_per_second| Part { vector, seat, sources, packets_per_second };
        Self {
            name: "below",
            says: "a flood below the early-drop rate: bad handshakes from 60 bots, forged SYNs, random and \
                   reflected UDP",
            parts: vec![
                part(Vector::BadHandshake, JAVA, Sources::Bots(60), 120),
                part(Vector::SynFlood, JAVA, Sources::Forged, 3_000),
                part(Vector::RandomUdp(512), BEDROCK, Sources::Forged, 5_000),
                part(Vector::Reflection(None), BEDROCK, Sources::Forged, 2_000),
            ],
        }
    }

    /// More than that: the early hook drops.
    pub(crate) fn above() -> Self {
        let part =
            |vector, seat, sources, packets_per_second| Part { vector, seat, sources, packets_per_second };
        Self {
            name: "above",
            says: "a flood above it: 60,000 random UDP packets a second from forged sources",
            parts: vec![
                part(Vector::RandomUdp(64), BEDROCK, Sources::Forged, 60_000),
                part(Vector::SynFlood, JAVA, Sources::Forged, 3_000),
            ],
        }
    }

    pub(crate) fn says(&self) -> &'static str {
        self.says
    }
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub(crate) struct Sample {
    pub(crate) at_ms: u64,
    /// Attackers' packets that have reached containers.
    pub(crate) reached: u64,
    /// What the DROP rule of `FTAGENT` in `DOCKER-USER` has counted.
    pub(crate) docker_user: u64,
    /// What the early hook's own counter says.
    pub(crate) early: u64,
}

/// What a wave did.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Outcome {
    pub(crate) wave: &'static str,
    pub(crate) began_ms: u64,
    pub(crate) ended_ms: u64,
    pub(crate) sent_packets: u64,
    pub(crate) sent_per_second: u64,
    pub(crate) reached_packets: u64,
    /// Packets a second that reached containers once the reaction time was over.
    pub(crate) reached_per_second_later: u64,
    pub(crate) docker_user_dropped: u64,
    pub(crate) early_dropped: u64,
    pub(crate) players: Health,
    pub(crate) neighbours: Health,
    /// First moments at which a counter had moved.
    pub(crate) docker_user_first_ms: Option<u64>,
    pub(crate) early_first_ms: Option<u64>,
}

/// Runs a wave and waits for its end.
pub(crate) fn run(stage: &Stage, wave: &Wave, lasting: Duration) -> anyhow::Result<Outcome> {
    let mut samples = vec![sample(stage)?];
    let began_ms = clock::now_ms();
    let mut running = Vec::new();
    for part in &wave.parts {
        let target: SocketAddr = stage.seats[part.seat].public;
        let attack = Attack::new(part.vector, target).from(part.sources).per_second(part.packets_per_second);
        running.push(attack.packets(PACKETS_MAX).lasting(lasting).start(&stage.lab)?);
    }
    while clock::now_ms() < began_ms + lasting.as_millis() as u64 {
        std::thread::sleep(SAMPLE);
        samples.push(sample(stage)?);
    }
    let sent = running.into_iter().map(|attack| attack.finish()).collect::<anyhow::Result<Vec<Sent>>>()?;
    let ended_ms = clock::now_ms();
    // Echoes that were asked for at the end are lost, or not, two seconds later.
    std::thread::sleep(Duration::from_millis(2_200));
    Ok(outcome(stage, wave, &sent, &samples, (began_ms, ended_ms)))
}

fn outcome(stage: &Stage, wave: &Wave, sent: &[Sent], samples: &[Sample], time: (u64, u64)) -> Outcome {
    let (began_ms, ended_ms) = time;
    let first = samples.first().copied().unwrap_or_default();
    let last = samples.last().copied().unwrap_or_default();
    let reacted_ms = began_ms + REACTION.as_millis() as u64;
    let later = samples.iter().find(|sample| sample.at_ms >= reacted_ms).copied().unwrap_or(last);
    let moved = |count: fn(&Sample) -> u64| {
        samples.iter().find(|sample| count(sample) > count(&first)).map(|sample| sample.at_ms)
    };
    let sent_packets = sent.iter().map(|sent| sent.packets).sum();
    let per_second = |packets: u64, ms: u64| packets * 1_000 / ms.max(1);
    Outcome {
        wave: wave.name,
        began_ms,
        ended_ms,
        sent_packets,
        sent_per_second: per_second(sent_packets, ended_ms - began_ms),
        reached_packets: last.reached - first.reached,
        reached_per_second_later: per_second(last.reached - later.reached, last.at_ms - later.at_ms),
        docker_user_dropped: last.docker_user.saturating_sub(first.docker_user),
        early_dropped: last.early.saturating_sub(first.early),
        players: stage.health(false, began_ms, clock::now_ms()),
        neighbours: stage.health(true, began_ms, clock::now_ms()),
        docker_user_first_ms: moved(|sample| sample.docker_user),
        early_first_ms: moved(|sample| sample.early),
    }
}

fn sample(stage: &Stage) -> anyhow::Result<Sample> {
    let reached = stage.reached()?;
    let docker_user = meter::chain(&stage.lab, "iptables", "FTAGENT").unwrap_or_default();
    let docker_user =
        docker_user.iter().filter(|rule| rule.text.starts_with("DROP")).map(|rule| rule.packets).sum();
    Ok(Sample { at_ms: clock::now_ms(), reached, docker_user, early: early(&stage.lab) })
}

/// The early hook's counter of all services, by `nft`; nothing where the table is not there.
fn early(lab: &Lab) -> u64 {
    let Ok(text) = lab.node().run("nft", &["list", "counter", "inet", "ftagent", "node_early4"]) else {
        return 0;
    };
    let mut words = text.split_whitespace().skip_while(|word| *word != "packets");
    words.nth(1).and_then(|packets| packets.parse().ok()).unwrap_or(0)
}
