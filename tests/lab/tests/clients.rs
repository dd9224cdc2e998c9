//! Real servers and clients play in the lab, undisturbed: the yardstick for everything that is measured later. Needs
//! root, Docker, Node, Python and Debian's `bzflag-server`; the first run downloads.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::time::Duration;

use ftagent_lab::Clients;
use ftagent_lab::Docker;
use ftagent_lab::Lab;
use ftagent_lab::address;
use ftagent_lab::clients::Game;
use ftagent_lab::clients::Players;
use ftagent_lab::clock;

/// Serves a game, lets players join and stay, and none of their echoes may be lost.
fn check(game: Game, port: u16, at: Ipv4Addr) {
    let clients = Clients::fetch_default().expect("downloads");
    let lab = Lab::new().expect("a lab");
    let docker = Docker::start(&lab).expect("a daemon");
    let public = SocketAddr::from((at, port));
    let server = clients.serve(&docker, game, public).expect("a server");
    let meter = server.meter().expect("a meter");
    let sources = [21, 22].map(|n| IpAddr::from(address::player(n)));
    let player =
        clients.join(&lab, game, public, Players { name: "Player", sources: &sources }).expect("they join");
    let from_ms = clock::now_ms();
    std::thread::sleep(Duration::from_secs(4));
    let health = player.health(from_ms, clock::now_ms());
    println!("{game:?}: {health:?}, {:?}", meter.read().expect("counters"));
    assert!(health.echoes >= 2 && health.lost == 0 && health.disconnected == 0, "{game:?}: {health:?}");
    let arrived = meter.read().expect("counters");
    assert!(arrived.players > 10 && arrived.attackers == 0, "{arrived:?}");
}

#[test]
fn minecraft_java_plays() {
    check(Game::Java, 25565, address::NODE);
}

#[test]
fn minecraft_bedrock_plays() {
    check(Game::Bedrock, 19132, address::NEIGHBOUR);
}

#[test]
fn bzflag_plays() {
    check(Game::BzFlag, 5154, address::NODE);
}

#[test]
fn monitors_get_their_answers() {
    let clients = Clients::fetch_default().expect("downloads");
    let lab = Lab::new().expect("a lab");
    let docker = Docker::start(&lab).expect("a daemon");
    let servers =
        [("java", Game::Java, 25565), ("bedrock", Game::Bedrock, 19132), ("a2s", Game::Source, 27015)];
    for (kind, game, port) in servers {
        let public = SocketAddr::from((address::NODE, port));
        clients.serve(&docker, game, public).expect("a server");
        let mut query = clients.query(&lab, kind, public, 3).expect("a monitor");
        query.wait(Duration::from_secs(20)).expect("it ends");
        let answers = query.health(0, u64::MAX);
        assert_eq!((answers.echoes, answers.lost), (3, 0), "{kind}: {:?}", query.events());
    }
}
