//! Light players join real servers, play undisturbed and lose nothing: the yardstick for what scenarios count. Needs
//! root, Docker, Node and Python; the first run downloads.

use std::net::IpAddr;
use std::net::SocketAddr;
use std::time::Duration;

use ftagent_lab::Clients;
use ftagent_lab::Crowd;
use ftagent_lab::Docker;
use ftagent_lab::Lab;
use ftagent_lab::Meter;
use ftagent_lab::address;
use ftagent_lab::clients::Game;
use ftagent_lab::crowd::Plan;
use ftagent_lab::crowd::Stay;

fn check(game: Game, port: u16) {
    let clients = Clients::fetch_default().expect("downloads");
    let lab = Lab::new().expect("a lab");
    let docker = Docker::start(&lab).expect("a daemon");
    let public = SocketAddr::from((address::NODE, port));
    let server = clients.serve(&docker, game, public).expect("a server");
    let (home, meter) = (Meter::install_at_home(&lab).expect("a meter"), server.meter().expect("a meter"));
    let from = (50..60).map(|n| IpAddr::from(address::player(n))).collect();
    let plan = Plan { game, public, from, per_second: 20, joining_per_second: 10, stay: Stay::Always };
    let crowd = Crowd::start(&lab, plan);
    assert_eq!(
        crowd.wait_until_in(Duration::from_secs(20)),
        10,
        "{:?}\n{}",
        crowd.seen(),
        server.log().expect("a log")
    );
    // Longer than the silence after which a player says that it lost its connection.
    std::thread::sleep(Duration::from_secs(8));
    assert_eq!((crowd.playing(), crowd.disconnected(0, u64::MAX)), (10, 0), "{:?}", crowd.seen());
    crowd.pause(true);
    std::thread::sleep(Duration::from_millis(300));
    let (sent, arrived) = (home.read().expect("counters"), meter.read().expect("counters"));
    println!("{game:?}: {sent:?}, {arrived:?}");
    assert!(sent.players > 1_000, "{sent:?}");
    assert_eq!(sent.players, arrived.players);
    assert_eq!((sent.attackers, arrived.attackers), (0, 0));
}

#[test]
fn minecraft_java_is_played_lightly() {
    check(Game::Java, 25565);
}

#[test]
fn minecraft_bedrock_is_played_lightly() {
    check(Game::Bedrock, 19132);
}

#[test]
fn a_source_game_is_played_lightly() {
    check(Game::Source, 27015);
}
