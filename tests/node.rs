//! `ftagent run` on a node: what it finds without configuration, which mode holds, what it follows, and what it leaves
//! when it is told to go. Real network namespaces, a real dockerd, the real kernel; needs root, docker.io, iptables,
//! nftables and iproute2. Without them these tests fail, they never skip.
//!
//! One lab serves them all, one after the other; it ends with the process.

mod support;

use std::net::SocketAddr;
use std::net::TcpStream;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ftagent_lab::Attack;
use ftagent_lab::address;
use ftagent_lab::attack::Vector;
use ftagent_lab::clock;
use serde_json::Value;
use support::Ran;
use support::node::Agent;
use support::node::SECOND_MS;
use support::node::Stage;
use support::node::another_build;
use support::node::bedrock;
use support::node::copy_slowly;
use support::node::java;
use support::node::public;
use support::node::service;
use support::node::stage;
use support::number;
use support::packets::hex;

/// Rules that an operator, fail2ban or a firewall script put there.
const FOREIGN: &str = "iptables -I DOCKER-USER -s 192.0.2.99 -m comment --comment 'the operator' -j ACCEPT
iptables -I DOCKER-USER -s 198.51.100.200 -j DROP
iptables -t mangle -A PREROUTING -i uplink -p udp --dport 9 -j MARK --set-mark 0x10/0x10
nft add table inet foreign
nft add chain inet foreign c '{ type filter hook prerouting priority -150; policy accept; }'
nft add rule inet foreign c ip saddr 192.0.2.98 counter accept";

const FOREIGN_GONE: &str = "iptables -t mangle -F PREROUTING; nft delete table inet foreign";

/// Lines of a listing that are neither about our chain nor about its jump.
fn without_chain(rules: &str) -> Vec<&str> {
    let mut within = false;
    let mut kept = Vec::new();
    for line in rules.lines() {
        within |= line.trim() == "chain FTAGENT {";
        if !within && !line.contains("FTAGENT") && !line.trim().is_empty() {
            kept.push(line);
        }
        within &= line.trim() != "}";
    }
    kept
}

/// What is in one listing and not in the other.
fn assert_same(now: &[&str], before: &[&str]) {
    let more: Vec<_> = now.iter().filter(|line| !before.contains(line)).collect();
    let less: Vec<_> = before.iter().filter(|line| !now.contains(line)).collect();
    assert!(now == before, "came: {more:#?}\nwent: {less:#?}");
}

/// The same of whole listings.
fn assert_as_before(now: &str, before: &str) {
    assert_same(&now.lines().collect::<Vec<_>>(), &before.lines().collect::<Vec<_>>());
}

#[test]
fn without_configuration_it_finds_the_node_and_changes_no_foreign_rule() {
    let stage = stage();
    let _server = stage.server(&java(public(25_565)));
    let neighbour = SocketAddr::from((address::NEIGHBOUR, 25_565));
    let _neighbour = stage.server(&java(neighbour));
    stage.node(FOREIGN);
    let before = stage.rules(true);
    let agent = stage.agent(&[]);
    agent.knows(public(25_565), "minecraft-java");
    agent.knows(neighbour, "minecraft-java");
    let status = agent.status();
    assert_eq!(status["mode"]["node"], "observe");
    let interfaces = status["interfaces"].as_array().expect("a list");
    assert_eq!(interfaces.len(), 1, "each packet is counted once: {interfaces:?}");
    assert_eq!(interfaces[0]["name"], "uplink");
    let tcp = service(&status, public(25_565), "tcp").expect("it is known");
    assert_eq!((&tcp["judged_by"], &tcp["path"]), (&"minecraft-java".into(), &"forwarded".into()));
    let udp = service(&status, public(25_565), "udp").expect("Wings publishes both");
    assert_eq!(udp["judged_by"], "wrong-transport");
    assert_eq!(status["problems"], Value::Array(Vec::new()));
    for line in ["watching uplink", "2 servers", "ftagent mode enforce", "--try 10m"] {
        assert!(agent.log().contains(line), "the first lines do not say `{line}`:\n{}", agent.log());
    }

    // A flood is seen, counted and told, and still nothing of it is dropped and no foreign rule is changed.
    let sent = Attack::new(Vector::SynFlood, public(25_565)).packets(2_000).per_second(2_000);
    let meter = _server.meter().expect("a meter");
    let begun = clock::now_ms();
    sent.run(&stage.lab).expect("an attack");
    agent.event("incident-opened", begun, |_| true);
    let arrived = meter.read().expect("counters");
    assert_eq!(arrived.attackers, 2_000, "observing drops nothing");
    assert_as_before(&stage.rules(true), &before);
    assert_eq!(stage.jumps(), Some(Vec::new()));
    agent.stop();
    assert_as_before(&stage.rules(false), &before);
    stage.node(FOREIGN_GONE);
}

#[test]
fn enforce_is_live_remembered_and_can_be_tried() {
    let stage = stage();
    let _server = stage.server(&java(public(25_565)));
    stage.node(FOREIGN);
    let before = stage.rules(true);
    let agent = stage.agent(&[]);
    agent.knows(public(25_565), "minecraft-java");
    assert_eq!(stage.jumps(), Some(Vec::new()));

    let begun = clock::now_ms();
    assert!(agent.mode(&["enforce"]).contains("enforce mode"));
    let jumped = || stage.jumps().is_some_and(|jumps| jumps == [0]).then(clock::now_ms);
    let at_ms = clock::wait_for(Duration::from_secs(5), jumped).expect("the jump is there and first");
    assert!(at_ms - begun <= SECOND_MS, "after {} ms", at_ms - begun);
    agent.event("mode", begun, |said| said["node"] == "enforce");
    let with_ours = stage.rules(true);
    assert_same(&without_chain(&with_ours), &without_chain(&before));

    // Remembered over a restart.
    let agent = Agent::start(agent.stop(), &[]);
    assert_eq!(agent.status()["mode"]["node"], "enforce");
    clock::wait_for(Duration::from_secs(5), || stage.jumps().filter(|jumps| jumps == &[0]))
        .expect("the jump is there and first");

    // Tried: it goes back by itself, also out of the chain.
    agent.mode(&["observe"]);
    let said = agent.mode(&["enforce", "--try", "2s"]);
    assert!(said.contains("goes back in") && said.contains("ftagent mode enforce"), "{said}");
    assert_eq!(agent.status()["mode"]["node"], "enforce");
    agent.wait_for("back in observe", Duration::from_secs(5), |status| {
        (status["mode"]["node"] == "observe").then_some(())
    });
    clock::wait_for(Duration::from_secs(2), || stage.jumps().filter(Vec::is_empty)).expect("no jump");
    assert_same(&without_chain(&stage.rules(true)), &without_chain(&before));
    // Confirmed: it stays.
    agent.mode(&["enforce", "--try", "2s"]);
    agent.mode(&["enforce"]);
    std::thread::sleep(Duration::from_millis(3_500));
    assert_eq!(agent.status()["mode"]["node"], "enforce");

    // One server observes while the node enforces.
    let server = _server.uuid();
    assert!(agent.mode(&["observe", "--server", server]).contains(server));
    let status = agent.wait_for("observing one", Duration::from_secs(3), |status| {
        service(status, public(25_565), "tcp").filter(|s| s["mode"] == "observe").map(|_| status.clone())
    });
    assert_eq!(status["mode"]["node"], "enforce");
    agent.places.run(&["mode", "observe", "--server", "nobody"]).fails(2, &["no server `nobody`"]);
    drop(agent.stop());
    stage.node(FOREIGN_GONE);
}

#[test]
fn a_second_one_is_refused_and_told_who_runs() {
    let stage = stage();
    let agent = stage.agent(&[]);
    let ran = agent.places.run(&["run"]);
    ran.fails(3, &["another ftagent is running", &agent.pid().to_string()]);
    assert_eq!(agent.status()["pid"], agent.pid());
}

#[test]
fn off_leaves_nothing_and_stays_off_until_on() {
    let stage = stage();
    let _server = stage.server(&java(public(25_565)));
    stage.node(FOREIGN);
    let before = stage.rules(false);
    let agent = stage.agent(&["--enforce"]);
    agent.knows(public(25_565), "minecraft-java");
    clock::wait_for(Duration::from_secs(5), || stage.jumps().filter(|jumps| jumps == &[0])).expect("a jump");
    Attack::new(Vector::SynFlood, public(25_565))
        .packets(2_000)
        .per_second(2_000)
        .run(&stage.lab)
        .expect("sent");
    assert_ne!(stage.rules(false), before);

    // While it runs: everything goes within a second and does not come back.
    let begun = clock::now_ms();
    let off = agent.places.run(&["off"]);
    assert!(clock::now_ms() - begun <= SECOND_MS, "off took {} ms", clock::now_ms() - begun);
    for part in ["switched off", "ftagent on", "FTAGENT", "table"] {
        assert!(off.fine().contains(part), "no `{part}` in\n{}", off.out);
    }
    assert_as_before(&stage.rules(false), &before);
    std::thread::sleep(Duration::from_secs(2));
    assert_as_before(&stage.rules(false), &before);
    agent.mode(&["enforce"]);
    std::thread::sleep(Duration::from_millis(500));
    assert_as_before(&stage.rules(false), &before);

    // And through a restart.
    let places = agent.stop();
    places.run(&["run"]).fails(3, &["switched off", "ftagent on"]);
    assert_as_before(&stage.rules(false), &before);
    assert!(places.run(&["on"]).fine().contains("switched on"));
    let agent = Agent::start(places, &[]);
    clock::wait_for(Duration::from_secs(5), || stage.jumps().filter(|jumps| jumps == &[0])).expect("a jump");
    // Nobody needs a running agent, a socket or a configuration to switch off what one has left behind.
    let places = agent.kill();
    places.run(&["off"]).fine();
    assert_as_before(&stage.rules(false), &before);
    stage.node(FOREIGN_GONE);
}

#[test]
fn without_docker_it_says_so_and_runs() {
    let stage = stage();
    let mut places = stage.places();
    places.docker_socket = "/nowhere/docker.sock".into();
    let doctor = places.run(&["doctor", "--json"]);
    let checks = doctor.json(1);
    let docker = checks["checks"].as_array().into_iter().flatten().find(|check| check["name"] == "docker");
    let docker = docker.expect("Docker is checked");
    assert!(
        docker["ok"] == false && docker["mend"].as_str().is_some_and(|mend| !mend.is_empty()),
        "{docker}"
    );
    let config = stage.lab.dir().join("static.toml");
    let text = "[[services]]\naddress = '203.0.113.10'\nport = 27015\nprotocol = 'udp'\ngame = 'cs2'\n";
    std::fs::write(&config, text).expect("the lab's folder can be written");
    let agent = Agent::start(places, &["--config", &config.display().to_string()]);
    let status = agent.status();
    let problems = status["problems"].to_string();
    assert!(
        problems.contains("Docker is unreachable") && problems.contains("/nowhere/docker.sock"),
        "{problems}"
    );
    let known = service(&status, public(27_015), "udp").expect("what was written down is protected");
    assert_eq!(known["game"], "counter-strike-2");
}

#[test]
fn what_is_missing_is_named() {
    let stage = stage();
    let places = stage.places();
    places.run(&["run", "--interface", "nosuch0"]).fails(3, &["nosuch0"]);
    // Without the programs that install the rules.
    let ip = Ran::of(Command::new("sh").args(["-c", "command -v ip"]));
    let empty = stage.lab.folder("empty").expect("the lab's folder can be written");
    let mut bare = Command::new(ip.fine().trim());
    bare.args(places.command(&["run"]).get_args()).env("PATH", empty);
    Ran::of(&mut bare).fails(3, &["nft"]);
}

#[test]
fn doctor_finds_a_healthy_node_healthy_and_names_a_missing_jump() {
    let stage = stage();
    let server = stage.server(&java(public(25_565)));
    let agent = stage.agent(&["--enforce"]);
    agent.knows(public(25_565), "minecraft-java");
    clock::wait_for(Duration::from_secs(5), || stage.jumps().filter(|jumps| jumps == &[0])).expect("a jump");
    // Forwarded traffic moves the bare counter.
    Attack::new(Vector::Icmp, public(25_565)).packets(50).per_second(500).run(&stage.lab).expect("sent");
    stage
        .lab
        .players()
        .within(|| {
            let _ = TcpStream::connect_timeout(&server.spec().public(), Duration::from_secs(2));
        })
        .expect("the players' namespace is there");
    let ran = agent.places.run(&["doctor", "--json"]);
    let checks = ran.json(0);
    assert_eq!(checks["healthy"], true, "{checks:#}");
    for name in
        ["privileges", "plugins", "docker", "services", "capture", "timeouts", "docker-user-v4", "mark"]
    {
        let there = checks["checks"].as_array().into_iter().flatten().any(|check| check["name"] == name);
        assert!(there, "{name} is not checked: {checks:#}");
    }
    let places = agent.kill();
    stage.node("iptables -D DOCKER-USER -j FTAGENT");
    let ran = places.run(&["doctor"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.out.contains("BAD") && ran.out.contains("mend: "), "{}", ran.out);
}

#[test]
fn a_server_that_restarts_moves_or_disappears_is_followed_within_a_second() {
    let stage = stage();
    let agent = stage.agent(&[]);
    let followed = |what: &str, done_ms: u64, since_ms: u64| {
        let (at_ms, _) = agent.event("services", since_ms, |_| true);
        println!("{what}: seen {} ms after Docker was done", at_ms as i64 - done_ms as i64);
        assert!(at_ms <= done_ms + SECOND_MS, "{what}: {} ms later", at_ms - done_ms);
    };
    let spec = java(public(25_565));
    let mut since_ms = clock::now_ms();
    let server = stage.server(&spec);
    followed("it came", clock::now_ms(), since_ms);
    agent.knows(public(25_565), "minecraft-java");

    // Wings makes a new container at every start of a server; what is known of it stays while it is stopped.
    since_ms = clock::now_ms();
    server.remove().expect("it was there");
    let server = stage.server(&spec);
    let done_ms = clock::now_ms();
    agent.knows(public(25_565), "minecraft-java");
    assert!(agent.events("services", since_ms).iter().all(|(at_ms, _)| *at_ms <= done_ms + SECOND_MS));

    // The same server on another port.
    since_ms = clock::now_ms();
    let mut moved = spec.clone();
    moved.port = 25_570;
    moved.program = java(public(25_570)).program;
    server.remove().expect("it was there");
    since_ms = since_ms.max(clock::now_ms());
    let server = stage.server(&moved);
    followed("it moved", clock::now_ms(), since_ms);
    agent.knows(public(25_570), "minecraft-java");
    agent.wait_for("only the new port", Duration::from_secs(3), |status| {
        service(status, public(25_565), "tcp").is_none().then_some(())
    });

    // Gone. What came in its place is another server with its own game.
    since_ms = clock::now_ms();
    server.remove().expect("it was there");
    let other = stage.server(&bedrock(public(25_570)));
    followed("another came", clock::now_ms(), since_ms);
    agent.wait_for("the other game", Duration::from_secs(3), |status| {
        service(status, public(25_570), "udp").filter(|s| s["game"] == "minecraft-bedrock").map(|_| ())
    });
    other.remove().expect("it was there");
}

/// Sends one RakNet ping after the other from a player's address until told to stop; how many were sent.
struct Pings {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<u64>,
}

impl Pings {
    fn start(stage: &Stage, to: SocketAddr) -> Self {
        let socket = stage.lab.players().within(|| UdpSocket::bind((address::player(33), 0)));
        let socket = socket.expect("the players' namespace is there").expect("a socket");
        let ping = hex("01 1122334455667788 00ffff00fefefefefdfdfdfd12345678 0000000000000000");
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut sent = 0;
            while !told.load(Ordering::Relaxed) {
                // Nobody answers at that port in the container; its refusals are not our concern.
                sent += u64::from(socket.send_to(&ping, to).is_ok());
                std::thread::sleep(Duration::from_millis(4));
            }
            sent
        });
        Self { stop, thread }
    }

    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("it does not panic")
    }
}

fn plugin<'s>(status: &'s Value, name: &str) -> &'s Value {
    let plugins = status["plugins"].as_array().expect("a list");
    plugins.iter().find(|plugin| plugin["name"] == name).unwrap_or_else(|| panic!("no {name} in {plugins:?}"))
}

#[test]
fn a_plugin_is_used_within_a_second_and_no_packet_is_lost_meanwhile() {
    let stage = stage();
    let to = public(19_132);
    let _server = stage.server(&bedrock(to));
    let agent = stage.agent(&[]);
    agent.wait_for("the game", Duration::from_secs(5), |status| {
        service(status, to, "udp").filter(|s| s["game"] == "minecraft-bedrock").map(|_| ())
    });
    let folder = agent.places.plugins();
    let pings = Pings::start(&stage, to);
    let in_use = |what: &str, done_ms: u64, since_ms: u64| {
        let (at_ms, _) = agent.event("plugin", since_ms, |said| said["name"] == "minecraft-bedrock");
        println!("{what}: in use {} ms later", at_ms as i64 - done_ms as i64);
        assert!(at_ms <= done_ms + SECOND_MS, "{what}: {} ms later", at_ms - done_ms);
    };

    // Renamed into place.
    let file = folder.join("bedrock.wasm");
    std::fs::write(folder.join("bedrock.part"), another_build("minecraft-bedrock", 1)).expect("writable");
    let since_ms = clock::now_ms();
    std::fs::rename(folder.join("bedrock.part"), &file).expect("the same folder");
    in_use("renamed", clock::now_ms(), since_ms);
    let first = plugin(&agent.status(), "minecraft-bedrock")["digest"].clone();

    // Copied over it in two halves: the half is never loaded.
    let since_ms = clock::now_ms();
    copy_slowly(&file, &another_build("minecraft-bedrock", 2));
    in_use("copied", clock::now_ms(), since_ms);
    assert!(agent.events("plugin", since_ms).iter().all(|(_, said)| said["refused"].is_null()));
    let second = agent.wait_for("another digest", Duration::from_secs(3), |status| {
        let digest = plugin(status, "minecraft-bedrock")["digest"].clone();
        (digest != first).then_some(digest)
    });

    // A broken one is refused with the reason, and the old one stays.
    let since_ms = clock::now_ms();
    let cut: Vec<u8> = another_build("minecraft-bedrock", 3).into_iter().take(9_000).collect();
    std::fs::write(&file, cut).expect("writable");
    let (_, refused) = agent.event("plugin", since_ms, |said| !said["refused"].is_null());
    assert!(refused["refused"].as_str().is_some_and(|why| why.contains("bedrock.wasm")), "{refused}");
    let status = agent.wait_for("told", Duration::from_secs(3), |status| {
        status["problems"].to_string().contains("bedrock.wasm").then(|| status.clone())
    });
    let stays = plugin(&status, "minecraft-bedrock");
    assert_eq!((&stays["digest"], &stays["health"]), (&second, &"healthy".into()));

    // Writable by others: not ours.
    let since_ms = clock::now_ms();
    let loose = folder.join("loose.part");
    std::fs::write(&loose, another_build("generic", 4)).expect("writable");
    std::fs::set_permissions(&loose, std::fs::Permissions::from_mode(0o666)).expect("it is ours");
    std::fs::rename(&loose, folder.join("loose.wasm")).expect("the same folder");
    let (_, refused) = agent.event("plugin", since_ms, |said| !said["refused"].is_null());
    assert!(refused["refused"].as_str().is_some_and(|why| why.contains("others than root")), "{refused}");

    // Taken away: the built-in one is back.
    let since_ms = clock::now_ms();
    std::fs::remove_file(&file).expect("it was there");
    in_use("removed", clock::now_ms(), since_ms);

    let sent = pings.stop();
    assert!(sent > 300, "only {sent} packets were sent meanwhile");
    let judged = |status: &Value| {
        let service = service(status, to, "udp").expect("it is known");
        [number(service, "genuine"), number(service, "hostile"), number(service, "unknown")]
    };
    agent.wait_for("every packet judged", Duration::from_secs(4), |status| {
        (judged(status).iter().sum::<u64>() >= sent).then_some(())
    });
    let status = agent.status();
    assert_eq!(judged(&status), [sent, 0, 0], "each ping is a genuine query");
    for lost in ["lost_ring_full", "lost_damaged", "effects_lost"] {
        assert_eq!(number(&status["packets"], lost), 0, "{lost}");
    }
}
