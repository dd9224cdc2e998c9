//! What an operator may expect, case by case, from outside. Each test bears the number of its case: D detection, M
//! mitigation, L lifecycle, S security. Real network namespaces, a real dockerd, the real kernel; needs root,
//! docker.io, iptables, nftables and iproute2. Without them these tests fail, they never skip.
//!
//! One lab serves them all, one after the other; it ends with the process.

mod support;

use std::collections::HashSet;
use std::fmt::Write as _;
use std::io::Read as _;
use std::io::Write as _;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;
use std::time::Instant;

use ftagent_lab::Attack;
use ftagent_lab::address;
use ftagent_lab::attack::Sources;
use ftagent_lab::attack::Vector;
use ftagent_lab::clock;
use serde_json::Value;
use support::node::Agent;
use support::node::SECOND_MS;
use support::node::Stage;
use support::node::dropped;
use support::node::java;
use support::node::public;
use support::node::stage;
use support::play::NullPinger;
use support::play::attacked;

/// 100 Mbit/s, in pieces of a hundredth of a second.
static PIECE: [u8; 125_000] = [0x5a; 125_000];
/// How long something is downloaded.
const DOWNLOAD: Duration = Duration::from_secs(6);

/// Somebody out there who serves downloads at 100 Mbit/s, to so many who come.
fn download_server(stage: &Stage, port: u16, visitors: usize) -> (SocketAddr, std::thread::JoinHandle<u64>) {
    let listener = stage.lab.players().within(|| TcpListener::bind((address::player(90), port)));
    let listener = listener.expect("the players' namespace is there").expect("it listens");
    let at = listener.local_addr().expect("it listens");
    let thread = std::thread::spawn(move || {
        let mut open: Vec<TcpStream> =
            (0..visitors).map(|_| listener.accept().expect("somebody comes").0).collect();
        let (begun, mut sent, mut pieces) = (Instant::now(), 0, 0_u32);
        while begun.elapsed() < DOWNLOAD {
            let turn = pieces as usize % open.len();
            open[turn].write_all(&PIECE).expect("the other end reads");
            sent += PIECE.len() as u64;
            pieces += 1;
            std::thread::sleep((Duration::from_millis(10) * pieces).saturating_sub(begun.elapsed()));
        }
        sent
    });
    (at, thread)
}

/// Reads from that many connections until their other end is done; how much.
fn download(from: SocketAddr, connections: usize) -> u64 {
    let streams: Vec<_> =
        (0..connections).map(|_| TcpStream::connect(from).expect("it is reachable")).collect();
    let read = streams.into_iter().map(|mut stream| {
        std::thread::spawn(move || std::io::copy(&mut stream, &mut std::io::sink()).expect("it is sent"))
    });
    let reading: Vec<_> = read.collect();
    reading.into_iter().map(|thread| thread.join().expect("it does not panic")).sum()
}

/// Nothing was told of and nothing was dropped.
fn calm(agent: &Agent, since_ms: u64, what: &str) {
    for event in ["incident-opened", "first-hostile", "lease", "first-drop"] {
        assert_eq!(agent.events(event, since_ms), Vec::new(), "{what}");
    }
    assert_eq!(dropped(&agent.status()), 0, "{what}");
}

#[test]
fn d12_d13_downloads_of_the_node_and_of_a_container_are_no_attack() {
    let stage = stage();
    let server = stage.server(&java(public(25_565)));
    let agent = stage.agent(&["--enforce"]);
    agent.knows(public(25_565), "minecraft-java");
    let since_ms = clock::now_ms();

    let (at, serving) = download_server(&stage, 8_001, 1);
    let got = stage.lab.node().within(|| download(at, 1)).expect("the node is there");
    assert_eq!(got, serving.join().expect("it does not panic"), "d12: whole");
    println!("d12: the node got {} Mbit/s", got * 8 / 1_000_000 / DOWNLOAD.as_secs());
    calm(&agent, since_ms, "d12");

    // The same by a container, over 30 connections of its own.
    let (at, serving) = download_server(&stage, 8_002, 30);
    let got = server.within(|| download(at, 30)).expect("the container is there");
    assert_eq!(got, serving.join().expect("it does not panic"), "d13: whole");
    println!("d13: the container got {} Mbit/s", got * 8 / 1_000_000 / DOWNLOAD.as_secs());
    calm(&agent, since_ms, "d13");
}

#[test]
fn d14_a_flood_at_a_published_port_is_told_of_as_what_it_is() {
    let stage = stage();
    let to = public(25_565);
    let _server = stage.server(&java(to));
    let agent = stage.agent(&["--enforce"]);
    agent.knows(to, "minecraft-java");
    let begun = clock::now_ms();
    // Now and then a segment for the node itself.
    let aside = Attack::new(Vector::AckFlood, public(22)).packets(120).per_second(20);
    let aside = aside.start(&stage.lab).expect("an attack");
    let flood = Attack::new(Vector::RandomUdp(400), to).packets(80_000).per_second(20_000);
    let sent = flood.run(&stage.lab).expect("sent");
    let (_, opened) = agent.event("incident-opened", begun, |said| said.to_string().contains("/udp"));
    println!("d14: {} of {}/s at {}", opened["reason"], sent.packets_per_second(), opened["service"]);
    assert_eq!(opened["service"], format!("{to}/udp"), "{opened}");
    assert!(
        !agent
            .events("incident-opened", begun)
            .iter()
            .any(|(_, said)| said["service"] == format!("{to}/tcp"))
    );
    aside.stop().expect("it ran");
}

#[test]
fn l2_l11_a_constant_flood_is_one_incident_and_a_clean_stop_leaves_nothing() {
    let stage = stage();
    let to = public(25_565);
    let _server = stage.server(&java(to));
    let before = stage.rules(false);
    let agent = stage.agent(&["--enforce"]);
    agent.knows(to, "minecraft-java");
    let begun = clock::now_ms();
    let flood = Attack::new(Vector::SynFlood, to).packets(100_000).per_second(3_000);
    flood.lasting(Duration::from_secs(30)).run(&stage.lab).expect("sent");
    let told = |what: &str| agent.events(what, begun).len();
    assert_eq!((told("incident-opened"), told("incident-closed")), (1, 0), "l2: open as long as it lasts");
    let ended = clock::now_ms();
    agent.event("incident-closed", begun, |_| true);
    println!("l2: closed {} ms after the end", clock::now_ms() - ended);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!((told("incident-opened"), told("incident-closed")), (1, 1), "l2: closed once");

    let flood = attacked(&stage, &agent, to);
    drop(agent.stop());
    flood.stop().expect("it ran");
    let after = stage.rules(false);
    assert!(after == before, "l11: came or went:\n{after}\n---\n{before}");
}

/// The lease that bots with real connections get; `false` if none came.
fn leased(agent: &Agent, since_ms: u64, source: IpAddr) -> bool {
    let wanted = source.to_string();
    let lease = |said: &Value| said["source"].as_str() == Some(&wanted);
    clock::wait_for(Duration::from_secs(10), || {
        agent.events("lease", since_ms).iter().any(|(_, said)| lease(said)).then_some(())
    })
    .is_some()
}

#[test]
fn m1_nothing_of_a_blocked_source_reaches_the_container() {
    let stage = stage();
    let to = public(25_565);
    let server = stage.server(&java(to));
    let agent = stage.agent(&["--enforce"]);
    agent.knows(to, "minecraft-java");
    let since_ms = clock::now_ms();
    let bots: Vec<_> = (0..3).map(|n| NullPinger::start(&stage, address::bot(n), to)).collect();
    let blocked = IpAddr::from(address::bot(0));
    assert!(leased(&agent, since_ms, blocked), "{:?}", agent.events("lease", since_ms));
    drop(bots);
    std::thread::sleep(Duration::from_millis(300));
    let meter = server.meter().expect("a meter");
    let flood =
        Attack::new(Vector::AckFlood, to).from(Sources::As(blocked)).packets(20_000).per_second(10_000);
    let sent = flood.run(&stage.lab).expect("sent");
    let arrived = meter.read().expect("counters").attackers;
    println!("m1: {arrived} of {} at {}/s arrived", sent.packets, sent.packets_per_second());
    assert_eq!(arrived, 0);
}

#[test]
fn m2_an_attacker_in_ipv6_is_blocked_and_read_back() {
    let stage = stage();
    let to = SocketAddr::from((address::NODE_V6, 25_565));
    let _server = stage.server(&java(to));
    let agent = stage.agent(&["--enforce"]);
    agent.knows(to, "minecraft-java");
    let since_ms = clock::now_ms();
    let source: IpAddr = "2001:db8:2::77".parse().expect("an address");
    let bots: Vec<_> = (0..3).map(|_| NullPinger::start(&stage, source, to)).collect();
    let (_, lease) = agent.event("lease", since_ms, |_| true);
    assert!(lease["source"].as_str().is_some_and(|from| from.starts_with("2001:db8:2:")), "{lease}");
    let held = || stage.node("nft list set inet ftagent leases6").contains("2001:db8:2::").then_some(());
    clock::wait_for(Duration::from_secs(2), held).expect("it is in the kernel");
    let explained = agent.places.run(&["explain", "2001:db8:2::77"]);
    println!("m2: {}", explained.fine().lines().next().unwrap_or_default());
    drop(bots);
}

#[test]
fn m3_sources_at_a_thousand_services_are_blocked_at_once_and_by_no_rule_each() {
    let stage = stage();
    let to = public(25_565);
    let _server = stage.server(&java(to));
    let mut text = String::new();
    for port in 30_000..31_000 {
        let _ = write!(
            text,
            "[[services]]\naddress = '203.0.113.10'\nport = {port}\nprotocol = 'tcp'\ngame = 'minecraft-java'\n"
        );
    }
    let config = stage.lab.dir().join("thousand.toml");
    std::fs::write(&config, text).expect("the lab's folder can be written");
    let agent = stage.agent(&["--enforce", "--config", &config.display().to_string()]);
    agent.knows(to, "minecraft-java");
    assert!(agent.status()["services"].as_array().is_some_and(|services| services.len() > 1_000));
    let rules = || {
        let listing = stage.node("nft -a -t list table inet ftagent; iptables-save");
        // Rules; sets, counters and limits open a block.
        let rule = |line: &&str| line.contains("# handle") && !line.contains("{ # handle");
        listing.lines().filter(|line| rule(line) || line.starts_with("-A ")).count()
    };
    let rules_before = rules();
    // All are connected before the first says anything: who is proven is blocked by name, if the ladder comes to that.
    let bots = NullPinger::many(&stage, 50, to);
    let rules_before = rules_before.max(rules());
    let since_ms = clock::now_ms();
    bots.begin();
    let told = || agent.events("lease", since_ms);
    let sources = |told: &[(u64, Value)]| {
        let of = |(_, said): &(u64, Value)| said["source"].as_str().map(str::to_owned);
        told.iter().filter_map(of).collect::<HashSet<_>>()
    };
    let held = || stage.node("nft list set inet ftagent leases4");
    clock::wait_for(Duration::from_secs(10), || (sources(&told()).len() >= 50).then_some(()));
    // Whoever was told of stands in the kernel as soon as anybody can look.
    let asked_ms = clock::now_ms();
    let (told, there) = (told(), held());
    let wanted = sources(&told);
    let missing: Vec<_> = wanted.iter().filter(|source| !there.contains(source.as_str())).collect();
    println!("m3: {} of 50 blocked, read back {} ms later", wanted.len(), clock::now_ms() - asked_ms);
    assert!(!wanted.is_empty(), "nobody was blocked");
    assert!(missing.is_empty(), "told of and not in the kernel: {missing:?}\n{there}");
    let added = rules().saturating_sub(rules_before);
    println!("m3: {added} rules more");
    assert!(added <= 20, "sets, not rules: {added} rules more");
    drop(bots);
}

/// Sends bytes to the agent's socket and reads what comes within a second.
fn asked(socket: &std::path::Path, request: &str) -> String {
    let mut stream = UnixStream::connect(socket).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(1))).expect("it is a socket");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = Vec::new();
    let mut buffer = [0; 4_096];
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        answer.extend(&buffer[..read]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn s1_s2_s3_no_text_that_comes_over_the_socket_does_anything() {
    let stage = stage();
    let server = stage.server(&java(public(25_565)));
    let agent = stage.agent(&["--enforce"]);
    agent.knows(public(25_565), "minecraft-java");
    let socket = agent.places.runtime().join("agent.sock");
    // A first one by the product's own words, so that a refusal below is one of the words.
    let order = |body: &str| {
        let length = body.len();
        let head =
            "POST /v1/mode HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n";
        asked(&socket, &format!("{head}Content-Length: {length}\r\n\r\n{body}"))
    };
    let fine = order(r#"{"mode":"enforce","server":null,"try_seconds":null}"#);
    assert!(fine.starts_with("HTTP/1.1 200"), "{fine}");
    let before = stage.rules(true);
    let mark = stage.lab.dir().join("ran");
    for text in [
        "iptables -F",
        "iptables -X DOCKER-USER",
        "iptables -P FORWARD DROP",
        "iptables --flush",
        "iptables -t nat -F; true",
        "nft flush ruleset",
        "nft delete table inet ftagent",
        "ip route add blackhole 192.0.2.0/24",
        "sysctl -w net.ipv4.ip_forward=0",
        "$(touch MARK)",
        "`touch MARK`",
        "x; touch MARK #",
        "x\n touch MARK",
    ] {
        let text = text.replace("MARK", &mark.display().to_string());
        let quoted = Value::from(text.as_str()).to_string();
        for body in [
            format!(r#"{{"mode":{quoted},"server":null,"try_seconds":null}}"#),
            format!(r#"{{"mode":"observe","server":{quoted},"try_seconds":null}}"#),
            format!(r#"{{"command":{quoted}}}"#),
            quoted.clone(),
        ] {
            let answer = order(&body);
            assert!(answer.starts_with("HTTP/1.1 4"), "{body}: {answer}");
        }
        // Nor as an argument, where an operator's own script may have put it.
        let ran = agent.places.run(&["mode", "observe", "--server", &text]);
        assert_ne!(ran.code, 0, "{ran:?}");
        assert_ne!(agent.places.run(&["explain", &text]).code, 0);
    }
    assert!(!mark.exists(), "something ran");
    assert_eq!(stage.rules(true), before);
    assert!(stage.has_table() && stage.jumps() == Some(vec![0]));
    assert_eq!(agent.status()["mode"]["node"], "enforce");
    drop(server);
}

#[test]
fn s14_an_idle_connection_keeps_nobody_from_being_answered() {
    let stage = stage();
    let agent = stage.agent(&[]);
    let socket = agent.places.runtime().join("agent.sock");
    let idle: Vec<_> = (0..100).map(|_| UnixStream::connect(&socket).expect("it listens")).collect();
    let mut half = UnixStream::connect(&socket).expect("it listens");
    half.write_all(b"GET /v1/status HTTP/1.1\r\nHost: ").expect("it reads");
    let asked = Instant::now();
    agent.status();
    println!("s14: answered in {:?} beside {} idle connections", asked.elapsed(), idle.len());
    assert!(asked.elapsed() < Duration::from_millis(SECOND_MS));
}
