//! What breaks around the agent while an attack goes on: other people's hands in the packet filter, the link, the
//! disk, a plugin, full tables. Protection continues or fails open, says so, and heals within a second of the thing
//! it needs being back; players play on. Real network namespaces, a real dockerd, the real kernel; needs root,
//! docker.io, iptables, nftables and iproute2. Without them these tests fail, they never skip.
//!
//! One lab serves them all, one after the other; it ends with the process.

mod support;

use std::process::Command;
use std::time::Duration;

use ftagent_lab::Attack;
use ftagent_lab::address;
use ftagent_lab::attack::Vector;
use ftagent_lab::clock;
use serde_json::Value;
use support::Ran;
use support::after::After;
use support::fight::AFTER;
use support::fight::Fight;
use support::guest::trapping;
use support::node::Agent;
use support::node::SECOND_MS;
use support::node::Stage;
use support::node::another_build;
use support::node::java;
use support::node::public;
use support::node::stage;
use support::number;
use support::play::Playing;

/// Resident memory of the agent under any attack.
const RESIDENT_KIB: u64 = 128 * 1_024;

#[test]
fn what_others_remove_under_attack_stands_again_within_a_second() {
    let stage = stage();
    let fight = Fight::begin(&stage, &["--enforce"]);
    for (what, broken) in [
        ("a removed jump", "iptables -D DOCKER-USER -j FTAGENT"),
        ("a flushed chain of ours", "iptables -F FTAGENT"),
        ("a deleted table", "nft delete table inet ftagent"),
        ("an emptied set", "nft flush set inet ftagent armed4"),
    ] {
        let (_, gap) = fight.during(what, AFTER, || stage.node(broken));
        assert!(gap.longest_ms <= SECOND_MS, "{what}: {gap:?}");
        fight.protected(what);
    }
    fight.players_unharmed("while others removed things");
}

#[test]
fn a_server_is_protected_from_its_first_second_after_docker_was_restarted_under_attack() {
    let mut stage = stage();
    let to = public(25_565);
    let server = stage.server(&java(to));
    let agent = stage.agent(&["--enforce"]);
    agent.knows(to, "minecraft-java");
    let begun = clock::now_ms();
    let attack = Attack::new(Vector::SynFlood, to).packets(400_000).per_second(4_000);
    let flood = attack.lasting(Duration::from_secs(90)).start(&stage.lab).expect("an attack");
    agent.event("first-drop", begun, |_| true);
    let spec = server.spec().clone();
    stage.docker.restart().expect("it comes back");
    let _ = stage.docker.run(&["rm", "-f", "-v", &spec.uuid]);
    // What comes through is counted in the node: it sees the server's first packet.
    let after = After::count(&stage);
    let sent = flood.packets();
    let server = stage.server(&spec);
    std::thread::sleep(Duration::from_secs(3));
    let (through, offered) = (after.read().attackers, flood.packets() - sent);
    println!("docker restarted: {through} of {offered} came through while the server started");
    assert!(through * 3 < offered, "{through} of {offered}");
    flood.stop().expect("it ran");
    assert_eq!(stage.jumps().and_then(|jumps| jumps.first().copied()), Some(0));
    drop(after);
    server.remove().expect("it was there");
}

/// A test that fails leaves a link that the next one can use.
struct Down<'s> {
    stage: &'s Stage,
    routes: String,
}

impl<'s> Down<'s> {
    fn take(stage: &'s Stage) -> Self {
        let routes = stage.lab.dir().join("routes").display().to_string();
        stage.node("sysctl -qw net.ipv6.conf.uplink.keep_addr_on_down=1");
        stage.node(&format!("ip route save dev uplink > {routes}; ip link set uplink down"));
        Self { stage, routes }
    }
}

impl Drop for Down<'_> {
    fn drop(&mut self) {
        self.stage.node(&format!("ip link set uplink up; ip route restore < {}", self.routes));
    }
}

#[test]
fn a_link_that_goes_down_and_up_under_attack_is_watched_again() {
    let stage = stage();
    let fight = Fight::begin(&stage, &["--enforce"]);
    let link = Down::take(&stage);
    let down = "interface uplink is down";
    fight.agent.wait_for("told that it is down", Duration::from_secs(5), |status| {
        status["problems"].to_string().contains(down).then_some(())
    });
    let (_, gap) = fight.during("link up again", AFTER, || drop(link));
    assert!(gap.longest_ms <= SECOND_MS, "{gap:?}");
    fight.protected("link up again");
    fight.agent.wait_for("told that it is up", Duration::from_secs(3), |status| {
        (!status["problems"].to_string().contains(down)).then_some(())
    });
    for player in fight.players {
        let played = player.stop();
        println!("a player through a link that was down: {played:?}");
        assert!(played.echoes > 20, "{played:?}");
    }
}

#[test]
fn a_full_disk_takes_nothing_but_memory_of_the_mode() {
    let stage = stage();
    let to = public(25_565);
    let server = stage.server(&java(to));
    let places = stage.places();
    let state = places.state();
    // A file system of its own in the mount namespace that `ip netns exec NAMESPACE` brings, with room for what is
    // there at the start and a little more.
    let run = places.command(&["run", "--enforce"]);
    let mut words = run.get_args();
    let mut small = Command::new(run.get_program());
    small.args(words.by_ref().take(3));
    let script = "mkdir -p $0.kept; cp -a $0/. $0.kept; mount -t tmpfs -o size=64m none $0; cp -a $0.kept/. $0; exec \"$@\"";
    small.args(["sh", "-e", "-c", script]).arg(&state).args(words);
    let agent = Agent::start_by(places, small);
    agent.knows(to, "minecraft-java");
    let seen_by_it = format!("/proc/{}/root{}/filler", agent.pid(), state.display());
    let filled = Command::new("dd").args(["if=/dev/zero", "bs=64k", &format!("of={seen_by_it}")]).output();
    assert!(!filled.expect("dd").status.success(), "it ends where the disk does");

    let player = Playing::start(&stage, address::player(63), to);
    std::thread::sleep(Duration::from_secs(3));
    let begun = clock::now_ms();
    let attack = Attack::new(Vector::SynFlood, to).packets(40_000).per_second(4_000);
    let flood = attack.start(&stage.lab).expect("an attack");
    agent.event("first-drop", begun, |_| true);
    let said = agent.places.run(&["mode", "observe", "--server", server.uuid()]);
    assert!(format!("{said:?}").contains("not remembered"), "{said:?}");
    flood.stop().expect("it ran");
    player.unharmed("with a full disk");
    assert!(agent.status()["pid"] == agent.pid(), "it lives");

    std::fs::remove_file(&seen_by_it).expect("it was there");
    let said = agent.places.run(&["mode", "follow", "--server", server.uuid()]);
    assert_eq!(said.code, 0, "{said:?}");
}

#[test]
fn a_plugin_that_begins_to_trap_under_attack_costs_its_opinions_only() {
    let stage = stage();
    let fight = Fight::begin(&stage, &["--enforce"]);
    let file = fight.agent.places.plugins().join("java.wasm");
    let since_ms = clock::now_ms();
    // Longer than any measure lasts that was taken before.
    let (_, gap) = fight.during("a plugin that traps", Duration::from_secs(20), || {
        std::fs::write(&file, trapping("minecraft-java")).expect("writable")
    });
    fight.agent.event("plugin", since_ms, |said| said["name"] == "minecraft-java");
    assert!(gap.longest_ms <= SECOND_MS, "{gap:?}");
    fight.protected("by the host's own means");
    let told = |status: &Value| {
        let problems = status["problems"].to_string();
        problems.contains("minecraft-java").then_some(problems)
    };
    let problems = fight.agent.wait_for("told of the plugin", Duration::from_secs(3), told);
    assert!(problems.contains("quarantined"), "{problems}");

    let done_ms = clock::now_ms();
    std::fs::write(&file, another_build("minecraft-java", 9)).expect("writable");
    let (at_ms, _) = fight.agent.event("plugin", done_ms, |said| said["name"] == "minecraft-java");
    println!("a good plugin is in use after {} ms", at_ms - done_ms);
    assert!(at_ms - done_ms <= SECOND_MS, "{} ms", at_ms - done_ms);
    fight
        .agent
        .wait_for("healthy again", Duration::from_secs(3), |status| told(status).is_none().then_some(()));
    fight.protected("by a good plugin again");
    fight.players_unharmed("while a plugin trapped");
}

/// Resident memory of a process.
fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("every process has it");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn a_full_flow_table_neither_grows_nor_harms_players() {
    let stage = stage();
    let fight = Fight::begin(&stage, &["--enforce"]);
    let started = resident_kib(fight.agent.pid());
    let mut most = 0;
    // From 65,536 addresses and as many ports: each packet is a flow that was never seen before.
    let attack = Attack::new(Vector::SynFlood, public(25_565)).packets(300_000).per_second(30_000);
    let flood = attack.lasting(Duration::from_secs(12)).start(&stage.lab).expect("an attack");
    while flood.packets() < 250_000 && clock::wait_for(Duration::from_millis(200), || None::<()>).is_none() {
        most = most.max(resident_kib(fight.agent.pid()));
    }
    let sent = flood.stop().expect("it ran");
    let status = fight.agent.status();
    println!(
        "{} packets at {}/s: resident {started} KiB before, {most} KiB at most, lost at bounds {}",
        sent.packets,
        sent.packets_per_second(),
        status["packets"]["lost_at_bounds"]
    );
    assert!(most <= RESIDENT_KIB, "{most} KiB");
    assert!(number(&status, "packets.total") > 131_072, "more flows than there is room for");
    fight.players_unharmed("with a full flow table");
}

#[test]
fn who_played_before_the_start_is_settled_at_once_and_plays_on_through_a_flood() {
    let stage = stage();
    let to = public(25_565);
    let server = stage.server(&java(to));
    let meter = server.meter().expect("a meter");
    let player = Playing::start(&stage, address::player(64), to);
    std::thread::sleep(Duration::from_secs(2));
    let agent = stage.agent(&["--enforce"]);
    let explained: Value = agent.places.run(&["explain", "192.0.2.64", "--json"]).json(0);
    assert_eq!(explained["standing"], "settled", "{explained:#}");
    std::thread::sleep(Duration::from_secs(2));
    let begun = clock::now_ms();
    let attack = Attack::new(Vector::SynFlood, to).packets(40_000).per_second(4_000);
    let flood = attack.start(&stage.lab).expect("an attack");
    let (at_ms, _) = agent.event("first-drop", begun, |_| true);
    println!("first drop {} ms after the first packet", at_ms.saturating_sub(begun));
    let ((), gap) = support::play::gap(&meter, &flood, Duration::from_secs(3), || {});
    println!("a player from before the start: {gap:?}");
    flood.stop().expect("it ran");
    player.unharmed("from before the start");
    let ran: Ran = agent.places.run(&["explain", "192.0.2.64"]);
    assert!(!ran.fine().contains("seconds left"), "nothing is in force against it: {}", ran.out);
}
