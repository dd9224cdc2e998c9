//! The wall under attack on a real node: what is dropped and where, whom it spares, that nothing outlives the agent,
//! and that what others remove stands again. Real network namespaces, a real dockerd, the real kernel; needs root,
//! docker.io, iptables, nftables and iproute2. Without them these tests fail, they never skip.
//!
//! One lab serves them all, one after the other; it ends with the process.

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use ftagent_lab::Attack;
use ftagent_lab::Meter;
use ftagent_lab::address;
use ftagent_lab::attack::Vector;
use ftagent_lab::clock;
use ftagent_lab::meter;
use serde_json::Value;
use support::node::Agent;
use support::node::Places;
use support::node::SECOND_MS;
use support::node::Stage;
use support::node::dropped;
use support::node::java;
use support::node::public;
use support::node::stage;
use support::play::NullPinger;
use support::play::Playing;
use support::play::attacked;

/// The dead man's switch, and a second.
const DEAD: Duration = Duration::from_secs(11);

/// Of so many packets of two kinds, all arrive.
fn all_arrive(stage: &Stage, meter: &Meter) {
    for vector in [Vector::SynFlood, Vector::EmptyUdp] {
        let before = meter.read().expect("counters");
        let attack = Attack::new(vector, public(25_565)).packets(400).per_second(2_000);
        let sent = attack.run(&stage.lab).expect("sent");
        let arrived = meter.read().expect("counters") - before;
        assert_eq!(arrived.attackers, sent.packets, "{vector:?}");
    }
}

#[test]
fn killed_at_any_moment_nothing_is_dropped_eleven_seconds_later_and_the_next_start_adopts() {
    let stage = stage();
    let server = stage.server(&java(public(25_565)));
    let meter = server.meter().expect("a meter");
    let mut places = stage.places();
    for round in 0..2 {
        let agent = Agent::start(places, &["--enforce"]);
        agent.knows(public(25_565), "minecraft-java");
        let running = attacked(&stage, &agent, public(25_565));
        // A moment that nobody chose.
        std::thread::sleep(Duration::from_micros(clock::now_us() % 2_300_000));
        let before = meter.read().expect("counters");
        let sent = running.packets();
        places = agent.kill();
        let killed = std::time::Instant::now();
        std::thread::sleep(Duration::from_millis(300));
        let through = (meter.read().expect("counters") - before).attackers;
        let offered = running.packets() - sent;
        println!("round {round}: {through} of {offered} through right after the kill");
        assert!(through < offered, "something was dropped when it was killed");
        running.stop().expect("it ran");
        std::thread::sleep(DEAD.saturating_sub(killed.elapsed()));
        all_arrive(&stage, &meter);
    }
    // What is left is taken over: one table, one jump, and drops again.
    let agent = Agent::start(places, &[]);
    assert_eq!(agent.status()["mode"]["node"], "enforce", "remembered");
    drop(attacked(&stage, &agent, public(25_565)));
    assert_eq!(stage.jumps(), Some(vec![0]));
    assert_eq!(agent.status()["problems"], Value::Array(Vec::new()));
    let chain = meter::chain(&stage.lab, "iptables", "FTAGENT").expect("the chain");
    assert_eq!(chain.len(), 2, "a bare counter and one rule: {chain:?}");
    assert!(chain[1].packets > 0, "the rule that an operator reads drops: {chain:?}");
}

#[test]
fn a_flood_is_dropped_where_the_operator_looks_and_the_neighbour_is_unharmed() {
    let stage = stage();
    let server = stage.server(&java(public(25_565)));
    let beside = SocketAddr::from((address::NEIGHBOUR, 25_565));
    let neighbour = stage.server(&java(beside));
    let (meter, meter_beside) = (server.meter().expect("a meter"), neighbour.meter().expect("a meter"));
    let agent = stage.agent(&["--enforce"]);
    agent.knows(public(25_565), "minecraft-java");
    agent.knows(beside, "minecraft-java");
    let running = attacked(&stage, &agent, public(25_565));
    std::thread::sleep(Duration::from_secs(1));
    let (before, sent) = (meter.read().expect("counters"), running.packets());
    let dropped_before = meter::dropped_in_docker_user(&stage.lab);
    std::thread::sleep(Duration::from_secs(2));
    let through = (meter.read().expect("counters") - before).attackers;
    let offered = running.packets() - sent;
    assert!(through * 5 < offered, "{through} of {offered} came through");
    let counted = meter::dropped_in_docker_user(&stage.lab) - dropped_before;
    assert!(counted * 10 >= (offered - through) * 8, "DOCKER-USER counts {counted} of {}", offered - through);
    // A stranger at the neighbour is answered, and its flood-shaped packets pass: it is not under attack.
    let some =
        Attack::new(Vector::SynFlood, beside).packets(30).per_second(30).run(&stage.lab).expect("sent");
    assert_eq!(meter_beside.read().expect("counters").attackers, some.packets);
    running.stop().expect("it ran");
    assert!(dropped(&agent.status()) > 0);
    agent.event("incident-closed", 0, |_| true);
}

#[test]
fn players_play_on_through_a_flood() {
    let stage = stage();
    let _server = stage.server(&java(public(25_565)));
    let agent = stage.agent(&["--enforce"]);
    agent.knows(public(25_565), "minecraft-java");
    let players: Vec<_> =
        (40..43).map(|n| Playing::start(&stage, address::player(n), public(25_565))).collect();
    // So long that everybody plays when it begins.
    std::thread::sleep(Duration::from_secs(5));
    let running = attacked(&stage, &agent, public(25_565));
    let newcomer = Playing::start(&stage, address::player(44), public(25_565));
    std::thread::sleep(Duration::from_secs(9));
    let played = newcomer.stop();
    println!("a new player had {} echoes within 9 s", played.echoes);
    assert!(played.echoes > 15, "a new player joins within 8 s and plays on: {played:?}");
    players.into_iter().for_each(|player| player.unharmed("a player"));
    running.stop().expect("it ran");
    let leases = agent.status()["firewall"]["leases"].to_string();
    assert!(!leases.contains("192.0.2."), "{leases}");
}

#[test]
fn who_attacks_with_real_connections_is_leased_and_explained() {
    let stage = stage();
    let _server = stage.server(&java(public(25_565)));
    let agent = stage.agent(&["--enforce"]);
    agent.knows(public(25_565), "minecraft-java");
    let begun = clock::now_ms();
    let bots: Vec<_> = (0..3).map(|n| NullPinger::start(&stage, address::bot(n), public(25_565))).collect();
    let (_, lease) = agent.event("lease", begun, |_| true);
    let source = lease["source"].as_str().expect("an address").to_owned();
    assert!(source.starts_with("198.51.100."), "{lease}");
    assert!(lease["reason"].as_str().is_some_and(|reason| reason.contains("null-ping")), "{lease}");
    // What is in force is read back from the kernel some times a second.
    let in_force = || {
        let explained = agent.places.run(&["explain", &source, "--json"]).json(0);
        assert_eq!(explained["standing"], "proven", "{explained:#}");
        explained["leases_in_force"].as_array().is_some_and(|leases| !leases.is_empty()).then_some(())
    };
    clock::wait_for(Duration::from_secs(2), in_force).expect("the lease is in force");
    let text = agent.places.run(&["explain", &source]);
    assert!(text.fine().contains("null-ping") && text.out.contains("seconds left"), "{}", text.out);
    drop(bots);
    let player = agent.places.run(&["explain", "192.0.2.10", "--json"]).json(0);
    assert_eq!(player["leases_in_force"], Value::Array(Vec::new()));
}

/// Breaks something of the wall and measures until it stands again; `good` is asked every 20 ms.
fn mended(stage: &Stage, what: &str, broken: &str, good: impl Fn() -> bool) {
    assert!(good(), "{what}: it was not whole before");
    stage.node(broken);
    let begun = clock::now_ms();
    assert!(!good() || clock::now_ms() - begun < 300, "{what}: breaking it did nothing");
    let whole = clock::wait_for(Duration::from_secs(5), || good().then(clock::now_ms));
    let whole = whole.unwrap_or_else(|| panic!("{what}: not mended\n{}", stage.rules(false)));
    println!("{what}: mended after {} ms", whole - begun);
    assert!(whole - begun <= SECOND_MS, "{what}: mended after {} ms", whole - begun);
}

#[test]
fn what_others_remove_stands_again_within_a_second() {
    let stage = stage();
    let server = stage.server(&java(public(25_565)));
    let meter = server.meter().expect("a meter");
    let agent = stage.agent(&["--enforce"]);
    agent.knows(public(25_565), "minecraft-java");
    let first = || stage.jumps().is_some_and(|jumps| jumps == [0]);
    clock::wait_for(Duration::from_secs(5), || first().then_some(())).expect("a jump");
    let table = || stage.has_table();

    mended(&stage, "a removed jump", "iptables -D DOCKER-USER -j FTAGENT", first);
    mended(&stage, "a rule before the jump", "iptables -I DOCKER-USER -s 192.0.2.97 -j ACCEPT", first);
    mended(&stage, "a deleted table", "nft delete table inet ftagent", table);
    assert!(agent.status()["mode"]["node"] == "enforce");

    // Docker's chains gone under attack: our table drops early within a second, and doctor says what mends it.
    let running = attacked(&stage, &agent, public(25_565));
    stage.node("iptables -F");
    std::thread::sleep(Duration::from_millis(SECOND_MS));
    let (before, sent) = (meter.read().expect("counters"), running.packets());
    std::thread::sleep(Duration::from_secs(1));
    let through = (meter.read().expect("counters") - before).attackers;
    let offered = running.packets() - sent;
    assert!(through * 5 < offered, "iptables -F: {through} of {offered} came through a second later");
    let needs_docker = |what: &str| {
        let early = |status: &Value| {
            let paths = status["firewall"]["paths"].as_array().cloned().unwrap_or_default();
            paths.iter().any(|path| path["family"] == "v4" && path["docker_user"] == false).then_some(())
        };
        agent.wait_for(&format!("{what}: told"), Duration::from_secs(5), early);
        let doctor = agent.places.run(&["doctor"]);
        assert_eq!(doctor.code, 1, "{what}: {doctor:?}");
        assert!(doctor.out.contains("systemctl restart docker"), "{what}: {}", doctor.out);
    };
    needs_docker("iptables -F");
    running.stop().expect("it ran");

    stage.node("nft flush ruleset");
    let begun = clock::now_ms();
    let at_ms = clock::wait_for(Duration::from_secs(5), || table().then(clock::now_ms)).expect("our table");
    assert!(at_ms - begun <= SECOND_MS, "nft flush ruleset: our table stood after {} ms", at_ms - begun);
    needs_docker("nft flush ruleset");
}

#[test]
fn after_a_restart_of_docker_chain_and_jump_stand_within_a_second() {
    let mut stage = stage();
    let server = stage.server(&java(public(25_565)));
    let spec = server.spec().clone();
    let agent = stage.agent(&["--enforce"]);
    agent.knows(public(25_565), "minecraft-java");
    let first = |jumps: &Vec<usize>| jumps.first() == Some(&0);
    clock::wait_for(Duration::from_secs(5), || stage.jumps().filter(first)).expect("a jump");
    // As after `nft flush ruleset` or a firewall script's restart: only dockerd can bring its chains back.
    stage.node("nft flush ruleset");
    let node = stage.lab.node().path();
    let watch = std::thread::spawn(move || {
        let jumps = || {
            let mut list = ftagent_lab::namespace::enter(&node, "iptables");
            let listing = ftagent_lab::command::output(list.args(["-w", "5", "-S", "DOCKER-USER"])).ok()?;
            Some(listing.contains("-j FTAGENT"))
        };
        let chain = clock::wait_for(Duration::from_secs(40), || jumps().map(|_| clock::now_ms()))?;
        let jump = clock::wait_for(Duration::from_secs(20), || jumps()?.then(clock::now_ms))?;
        Some((chain, jump))
    });
    stage.docker.restart().expect("it comes back");
    let (chain, jump) = watch.join().expect("it does not panic").expect("chain and jump are there");
    println!("the jump stood {} ms after DOCKER-USER", jump - chain);
    assert!(jump - chain <= SECOND_MS, "the jump stood {} ms after DOCKER-USER", jump - chain);
    let _ = stage.docker.run(&["rm", "-f", "-v", &spec.uuid]);
    let server = stage.server(&spec);
    agent.knows(public(25_565), "minecraft-java");
    drop(attacked(&stage, &agent, public(25_565)));
    assert!(stage.jumps().is_some_and(|jumps| first(&jumps)));
    assert!(meter::dropped_in_docker_user(&stage.lab) > 0);
    let places: Places = agent.stop();
    places.run(&["off"]).fine();
    drop(server);
}
