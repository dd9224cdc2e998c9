//! The agent's life while an attack goes on: upgrades, restarts, crashes, and what breaks around it. Protection
//! continues or fails open, says so, and heals within a second of the thing it needs being back. What came through is
//! measured by counters in the container's own network. Real network namespaces, a real dockerd, the real kernel;
//! needs root, docker.io, iptables, nftables and iproute2. Without them these tests fail, they never skip.
//!
//! One lab serves them all, one after the other; it ends with the process.

mod support;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use ftagent_lab::clock;
use nix::sys::signal::Signal;
use support::FTAGENT;
use support::Ran;
use support::fight::Fight;
use support::node::Agent;
use support::node::SECOND_MS;
use support::node::java;
use support::node::public;
use support::node::stage;
use support::play::gap;

/// How long an upgrade may leave a server without protection.
const UPGRADE_MS: u64 = 200;

#[test]
fn l12_upgrades_reloads_and_crashes_under_attack() {
    let stage = stage();
    let mut fight = Fight::begin(&stage, &["--enforce"]);
    type Replace = fn(Agent) -> Agent;
    let ways: [(&str, Replace); 3] = [
        ("an upgrade (SIGUSR1, then a start)", |agent| Agent::start(agent.leave(), &[])),
        ("a reload (SIGHUP)", |mut agent| {
            let before = agent.status()["uptime_seconds"].as_u64();
            std::thread::sleep(Duration::from_millis(1_100));
            agent.signal(Signal::SIGHUP);
            let anew = clock::wait_for(Duration::from_secs(20), || {
                let ran = agent.places.run(&["status", "--json"]);
                let status: serde_json::Value = serde_json::from_str(&ran.out).ok()?;
                (status["uptime_seconds"].as_u64() <= before && status["pid"] == agent.pid()).then_some(())
            });
            assert!(anew.is_some(), "it was not begun anew\n{}", agent.log());
            agent.listen();
            agent
        }),
        ("a crash (SIGKILL), then a start", |agent| Agent::start(agent.kill(), &[])),
    ];
    for (what, replace) in ways {
        fight = fight.replaced_within(UPGRADE_MS, &stage, what, replace);
    }
    fight.players_unharmed("through all of that");
}

/// Whoever stops it wants nothing dropped: a start protects again, and until then players have what the server gives them.
#[test]
fn l12_a_start_protects_again_what_a_stop_gave_up() {
    let stage = stage();
    let fight = Fight::begin(&stage, &["--enforce"]);
    let again = |agent: Agent| Agent::start(agent.stop(), &[]);
    let what = "a stop (SIGTERM), then a start";
    fight.replaced_within(10 * SECOND_MS, &stage, what, again).players_stay();
}

#[test]
fn a_reload_with_a_mistake_in_the_configuration_changes_nothing() {
    let stage = stage();
    let _server = stage.server(&java(public(25_565)));
    let config = stage.lab.dir().join("reload.toml");
    std::fs::write(&config, "mode = 'enforce'\n").expect("the lab's folder can be written");
    let agent = stage.agent(&["--config", &config.display().to_string()]);
    agent.knows(public(25_565), "minecraft-java");
    std::fs::write(&config, "mode = 'enforce'\nmodus = 'observe'\n")
        .expect("the lab's folder can be written");
    let since_ms = clock::now_ms();
    // Who listens since a moment ago may not have been heard by the agent yet.
    let told = clock::wait_for(Duration::from_secs(5), || {
        agent.signal(Signal::SIGHUP);
        std::thread::sleep(Duration::from_millis(200));
        let mut problems = agent.events("problem", since_ms).into_iter().map(|(_, told)| told);
        problems.find(|told| told.to_string().contains("modus"))
    });
    let told = told.expect("the mistake is told");
    assert!(told["says"].as_str().is_some_and(|says| says.contains("reload.toml")), "{told}");
    agent.knows(public(25_565), "minecraft-java");
    assert_eq!(agent.status()["mode"]["node"], "enforce");
}

/// The service unit: section, key, value, without comments.
fn unit() -> Vec<(String, String, String)> {
    let file = support::root().join("host/ftagent.service");
    let text = std::fs::read_to_string(&file).expect("the unit lies beside the program");
    let mut section = String::new();
    let mut settings = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match (line.strip_prefix('['), line.split_once('=')) {
            (Some(name), _) => section = name.trim_end_matches(']').to_owned(),
            (None, Some((key, value))) => settings.push((section.clone(), key.to_owned(), value.to_owned())),
            (None, None) => panic!("`{line}` is no setting"),
        }
    }
    settings
}

/// All values of a setting, as words.
fn setting(section: &str, key: &str) -> Vec<String> {
    let found = unit().into_iter().filter(|(s, k, _)| s == section && k == key);
    found.flat_map(|(.., value)| value.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[test]
fn c10_the_service_begins_this_program_before_docker_and_hands_over_on_restart() {
    let has = |section: &str, key: &str, word: &str| {
        assert!(setting(section, key).iter().any(|is| is == word), "{key} names no {word}");
    };
    assert_eq!(setting("Service", "ExecStart"), ["/usr/bin/ftagent", "run"]);
    has("Unit", "Before", "docker.service");
    has("Unit", "After", "nftables.service");
    has("Unit", "ConditionPathExists", "!/var/lib/ftagent/off");
    has("Service", "Restart", "always");
    has("Service", "Type", "notify");
    has("Service", "RestartKillSignal", "SIGUSR1");
    assert!(setting("Service", "KillSignal").is_empty(), "a stop withdraws everything");
    has("Service", "ExecReload", "-HUP");
    has("Service", "MemoryDenyWriteExecute", "no");
    has("Install", "WantedBy", "multi-user.target");

    // What systemd itself says of it, with the program of this test in its place.
    let text = std::fs::read_to_string(support::root().join("host/ftagent.service")).expect("the unit");
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = folder.path().join("ftagent.service");
    std::fs::write(&file, text.replace("/usr/bin/ftagent", FTAGENT)).expect("writable");
    let Ok(said) = Command::new("systemd-analyze").arg("verify").arg(&file).output() else {
        println!("systemd-analyze is not installed here: the unit was only read");
        return;
    };
    let (out, err) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(said.status.success() && out.is_empty() && err.is_empty(), "{out}{err}");
}

/// `ftagent` in the node as the unit confines it: no more capabilities, nothing gained by executing, and only these
/// folders and those of the unit can be written. What the unit says of system calls and address families is left to
/// systemd itself.
fn confined(agent: &Path, command: &Command) -> Command {
    let capabilities = setting("Service", "CapabilityBoundingSet");
    let capabilities: Vec<_> = capabilities
        .iter()
        .map(|name| format!("+{}", name.trim_start_matches("CAP_").to_ascii_lowercase()))
        .collect();
    let mut writable = setting("Service", "ReadWritePaths");
    writable.push(agent.display().to_string());
    let binds: String = writable.iter().map(|path| format!("mount --bind {path} {path}; ")).collect();
    // `ip netns exec NAMESPACE PROGRAM ...`, which brings a mount namespace of its own.
    let mut words = command.get_args();
    let mut confined = Command::new(command.get_program());
    confined.args(words.by_ref().take(3));
    let script = format!("{binds} mount -o remount,bind,ro /; exec \"$@\"");
    confined.args(["sh", "-e", "-c", &script, "confined"]);
    confined.args([
        "setpriv",
        "--no-new-privs",
        "--bounding-set",
        &format!("-all,{}", capabilities.join(",")),
    ]);
    confined.args(words);
    confined
}

#[test]
fn c11_everything_works_in_the_sandbox_of_the_service() {
    let stage = stage();
    let to = public(25_565);
    let server = stage.server(&java(to));
    let meter = server.meter().expect("a meter");
    let places = stage.places();
    let folder = places.state().parent().expect("it lies in the agent's folder").to_owned();
    let run = confined(&folder, &places.command(&["run", "--enforce"]));
    let agent = Agent::start_by(places, run);
    agent.knows(to, "minecraft-java");
    assert_eq!(agent.status()["problems"], serde_json::json!([]));
    for forbidden in ["cannot prefer", "not remembered", "denied", "not permitted", "Read-only"] {
        assert!(!agent.log().contains(forbidden), "{}", agent.log());
    }
    let flood = support::play::attacked(&stage, &agent, to);
    std::thread::sleep(Duration::from_secs(1));
    let ((), through) = gap(&meter, &flood, Duration::from_secs(1), || {});
    assert!(through.through * 10 < through.offered, "{through:?}");
    // What is repaired is repaired by programs that it starts, which are confined too.
    stage.node("iptables -D DOCKER-USER -j FTAGENT; nft delete table inet ftagent");
    let whole = || (stage.has_table() && stage.jumps() == Some(vec![0])).then_some(());
    clock::wait_for(Duration::from_secs(3), whole).expect("table and jump stand again");
    flood.stop().expect("it ran");
    let doctor = confined(&folder, &agent.places.command(&["doctor"]));
    let doctor = Ran::of(&mut { doctor });
    assert_eq!(doctor.code, 0, "{doctor:?}");
    agent.mode(&["observe"]);
    let agent = Agent::start(agent.stop(), &[]);
    assert_eq!(agent.status()["mode"]["node"], "observe", "remembered");
}
