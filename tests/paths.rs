//! Every way that packets take to a game server: published in IPv4 and IPv6, by Docker's rules and by its proxy, in
//! the node's own network, with the older iptables; and the switches on that way. On each the flood is dropped where
//! it should be, and the player plays on. Real network namespaces, a real dockerd, the real kernel; needs root,
//! docker.io, iptables, nftables and iproute2. Without them these tests fail, they never skip.
//!
//! One lab serves most of them, one after the other; it ends with the process.

mod support;

use std::net::IpAddr;
use std::net::SocketAddr;
use std::time::Duration;

use ftagent_lab::Attack;
use ftagent_lab::ServerSpec;
use ftagent_lab::address;
use ftagent_lab::attack::Vector;
use ftagent_lab::clock;
use ftagent_lab::docker::Options;
use serde_json::Value;
use support::after::After;
use support::node::Agent;
use support::node::SECOND_MS;
use support::node::Stage;
use support::node::java;
use support::node::public;
use support::node::service;
use support::node::stage;
use support::number;
use support::play::Playing;
use support::play::attacked;

/// One way to a server.
struct Way {
    name: &'static str,
    spec: ServerSpec,
    player: IpAddr,
    /// As the status says.
    path: &'static str,
    /// Where drops are counted: `marked` in `DOCKER-USER`, `early` at prerouting.
    hook: &'static str,
}

/// Packets that a hook has dropped, by the status.
fn dropped_at(status: &Value, to: SocketAddr, hook: &str) -> u64 {
    let services = status["firewall"]["services"].as_array().into_iter().flatten();
    let ours = services.filter(|service| {
        let key = &service["service"];
        key["ip"] == to.ip().to_string() && key["port"] == to.port() && key["transport"] == "tcp"
    });
    ours.map(|service| number(service, &format!("{hook}.packets"))).sum()
}

/// On this way a player plays on while a flood is dropped at the right place.
fn check(stage: &Stage, way: &Way) {
    let name = way.name;
    let to = way.spec.public();
    let server = stage.server(&way.spec);
    let agent = stage.agent(&["--enforce"]);
    agent.knows(to, "minecraft-java");
    let found = service(&agent.status(), to, "tcp").expect("it is known").clone();
    assert_eq!(found["path"], way.path, "{name}");
    let player = Playing::start(stage, way.player, to);
    std::thread::sleep(Duration::from_secs(4));
    let flood = attacked(stage, &agent, to);
    std::thread::sleep(Duration::from_secs(1));
    let after = After::count(stage);
    let sent = flood.packets();
    std::thread::sleep(Duration::from_secs(2));
    let (through, offered) = (after.read(), flood.packets() - sent);
    println!("{name}: {through:?} of {offered}");
    assert!(through.attackers * 10 < offered, "{name}: {through:?} of {offered}");
    assert!(through.players > 20, "{name}: {through:?}");
    let status = agent.status();
    let services = &status["firewall"]["services"];
    assert!(dropped_at(&status, to, way.hook) > 0, "{name}: nothing dropped `{}`: {services:#}", way.hook);
    flood.stop().expect("it ran");
    player.unharmed(name);
    drop(after);
    drop(agent.stop());
    server.remove().expect("it was there");
}

fn v6(port: u16) -> SocketAddr {
    SocketAddr::from((address::NODE_V6, port))
}

#[test]
fn d16_a_flood_is_dropped_on_every_way_to_a_server() {
    let stage = stage();
    for way in [
        Way {
            name: "published, IPv4",
            spec: java(public(25_565)),
            player: address::player(70).into(),
            path: "forwarded",
            hook: "marked",
        },
        Way {
            name: "published by docker-proxy, IPv6",
            spec: java(v6(25_566)),
            player: address::player_v6(70).into(),
            path: "local",
            hook: "early",
        },
        Way {
            name: "in the node's own network",
            spec: java(public(25_567)).host_network(),
            player: address::player(71).into(),
            path: "local",
            hook: "early",
        },
    ] {
        check(&stage, &way);
    }
}

/// Docker does not say whether it translates IPv6 itself; before version 27 it is taken not to, so such ports count as
/// the node's own. They are protected either way.
#[test]
fn d16_with_rules_of_docker_in_ipv6_too() {
    let _alone = stage();
    let stage = Stage::with(Options { ip6tables: true, ..Options::default() });
    check(
        &stage,
        &Way {
            name: "published, IPv6",
            spec: java(v6(25_565)),
            player: address::player_v6(72).into(),
            path: "local",
            hook: "early",
        },
    );
}

#[test]
fn a_node_with_the_older_iptables() {
    let _alone = stage();
    let stage = Stage::with(Options { legacy_iptables: true, ..Options::default() });
    assert!(stage.node("iptables-legacy -S DOCKER-USER").contains("RETURN"), "Docker uses the older tables");
    check(
        &stage,
        &Way {
            name: "published, iptables-legacy",
            spec: java(public(25_565)),
            player: address::player(73).into(),
            path: "forwarded",
            hook: "marked",
        },
    );
    let left = stage.node("iptables-legacy-save; nft list ruleset");
    assert!(!left.contains("FTAGENT") && !left.contains("ftagent"), "{left}");
}

#[test]
fn off_under_attack_lets_everything_through_within_a_second() {
    let stage = stage();
    let to = public(25_565);
    let server = stage.server(&java(to));
    let meter = server.meter().expect("a meter");
    let before = stage.rules(false);
    let agent = stage.agent(&["--enforce"]);
    agent.knows(to, "minecraft-java");
    let flood = attacked(&stage, &agent, to);
    let begun = clock::now_ms();
    agent.places.run(&["off"]).fine();
    let took = clock::now_ms() - begun;
    println!("`ftagent off` under attack took {took} ms");
    assert!(took <= SECOND_MS, "{took} ms");
    let after = stage.rules(false);
    assert!(after == before, "came or went:\n{after}\n---\n{before}");
    let ((), gap) = support::play::gap(&meter, &flood, Duration::from_secs(2), || {});
    println!("after `ftagent off`: {gap:?}");
    assert!(gap.through * 100 >= gap.offered * 98, "{gap:?}");
    flood.stop().expect("it ran");
}

#[test]
fn the_whole_node_drops_early_above_its_rate() {
    let stage = stage();
    let ports = [25_565, 25_566, 25_567];
    let servers: Vec<_> = ports.iter().map(|port| stage.server(&java(public(*port)))).collect();
    // Three floods of 4,000 a second, none of which is enough for its own service: the node's rate counts.
    let config = stage.lab.dir().join("early.toml");
    let text = "[firewall]\nearly-per-service = 100000\nearly-per-node = 6000\n";
    std::fs::write(&config, text).expect("the lab's folder can be written");
    let agent = stage.agent(&["--enforce", "--config", &config.display().to_string()]);
    ports.iter().for_each(|port| agent.knows(public(*port), "minecraft-java"));
    let floods: Vec<_> = ports
        .iter()
        .map(|port| {
            let attack = Attack::new(Vector::SynFlood, public(*port)).packets(80_000).per_second(4_000);
            attack.lasting(Duration::from_secs(20)).start(&stage.lab).expect("an attack")
        })
        .collect();
    let because = agent.wait_for("the node's rate", Duration::from_secs(10), |status| {
        let paths = status["firewall"]["paths"].to_string();
        paths.contains("the drop rate of the node").then_some(paths)
    });
    println!("{because}");
    std::thread::sleep(Duration::from_secs(1));
    let status = agent.status();
    for port in ports {
        assert!(
            dropped_at(&status, public(port), "early") > 0,
            "{port}: {:#}",
            status["firewall"]["services"]
        );
    }
    for flood in floods {
        flood.stop().expect("it ran");
    }
    drop(servers);
}

#[test]
fn two_services_are_observed_while_the_node_enforces() {
    let stage = stage();
    let ports = [25_565, 25_566, 25_567];
    let servers: Vec<_> = ports.iter().map(|port| stage.server(&java(public(*port)))).collect();
    let meters: Vec<_> = servers.iter().map(|server| server.meter().expect("a meter")).collect();
    let agent: Agent = stage.agent(&["--enforce"]);
    ports.iter().for_each(|port| agent.knows(public(*port), "minecraft-java"));
    for server in &servers[1..] {
        agent.mode(&["observe", "--server", server.uuid()]);
    }
    std::thread::sleep(Duration::from_secs(1));
    let begun = clock::now_ms();
    let floods: Vec<_> = ports
        .iter()
        .map(|port| {
            let attack = Attack::new(Vector::SynFlood, public(*port)).packets(12_000).per_second(2_000);
            attack.start(&stage.lab).expect("an attack")
        })
        .collect();
    agent.wait_for("drops", Duration::from_secs(10), |status| {
        (dropped_at(status, public(ports[0]), "marked") > 0).then_some(())
    });
    for (at, (flood, meter)) in floods.into_iter().zip(&meters).enumerate() {
        let sent = flood.finish().expect("it ran").packets;
        let arrived = meter.read().expect("counters").attackers;
        println!("{}: {arrived} of {sent} arrived", ports[at]);
        if at == 0 {
            assert!(arrived * 4 < sent, "enforced: {arrived} of {sent}");
        } else {
            // The wire itself may lose a few on a busy machine; our table says that it was not us.
            assert!(arrived * 100 >= sent * 98, "only observed: {arrived} of {sent}");
            let status = agent.status();
            let ours: u64 =
                ["marked", "early"].map(|hook| dropped_at(&status, public(ports[at]), hook)).iter().sum();
            assert_eq!(ours, 0, "only observed: {:#}", status["firewall"]["services"]);
        }
    }
    // One incident each, or one of all of them.
    let told = ["incident-opened", "incident-changed"].map(|what| agent.events(what, begun));
    for port in ports {
        let named = |said: &Value| said.to_string().contains(&format!("\"port\":{port}"));
        let told = told.iter().flatten().any(|(_, said)| named(said));
        assert!(told, "the attack on {port} is told of, observed or not");
    }
}
