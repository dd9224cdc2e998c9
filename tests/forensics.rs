//! What is left of an attack on a real node: packets on the disk with their judgement, a webhook that was told, a
//! recording by hand. Real network namespaces, a real dockerd; needs root, docker.io, iptables, nftables and iproute2.

mod support;

use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Read as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use ftagent_capture::CaptureFile;
use ftagent_capture::Ended;
use ftagent_lab::Attack;
use ftagent_lab::attack::Vector;
use ftagent_lab::clock;
use nix::sys::signal::Signal;
use serde_json::Value;
use support::Ran;
use support::node::Agent;
use support::node::Stage;
use support::node::java;
use support::node::public;
use support::node::stage;

const SECRET: &str = "a secret that is long enough";

/// A request as it came.
#[derive(Clone, Debug)]
struct Came {
    head: String,
    body: Vec<u8>,
}

impl Came {
    fn header(&self, name: &str) -> &str {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let found = lines.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.unwrap_or_else(|| panic!("no {name} in {}", self.head)).1
    }

    fn said(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

/// A receiver on the node that takes everything.
struct Receiver {
    at: SocketAddr,
    came: Arc<Mutex<Vec<Came>>>,
}

impl Receiver {
    fn start(stage: &Stage) -> Self {
        let listener = stage.lab.node().within(|| TcpListener::bind("127.0.0.1:0"));
        let listener = listener.expect("the node is there").expect("its loopback is up");
        let (at, came) = (listener.local_addr().expect("it is bound"), Arc::new(Mutex::new(Vec::new())));
        let kept = Arc::clone(&came);
        // It ends with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut lines = BufReader::new(stream);
                let mut head = String::new();
                while lines.read_line(&mut head).is_ok_and(|bytes| bytes > 2) {}
                let length = head.lines().find_map(|line| {
                    line.to_ascii_lowercase().strip_prefix("content-length: ").and_then(|n| n.parse().ok())
                });
                let mut body = vec![0; length.unwrap_or(0)];
                if lines.read_exact(&mut body).is_ok() {
                    kept.lock().expect("nobody panics").push(Came { head, body });
                }
                let _ = lines
                    .get_mut()
                    .write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
            }
        });
        Self { at, came }
    }

    fn came(&self) -> Vec<Came> {
        self.came.lock().expect("nobody panics").clone()
    }
}

/// A configuration that tells the receiver.
fn configuration(stage: &Stage, at: SocketAddr, name: &str) -> PathBuf {
    let dir = stage.lab.folder(name).expect("the lab's folder can be written");
    let (secret, config) = (dir.join("secret"), dir.join("config.toml"));
    std::fs::write(&secret, SECRET).expect("writable");
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).expect("it is ours");
    let text = format!("[alert]\nwebhook = 'http://{at}/hook'\nsecret-file = '{}'\n", secret.display());
    std::fs::write(&config, text).expect("writable");
    config
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).permissions().mode()
        & 0o777
}

/// The comments of a capture that must be whole, and all its bytes.
fn read(path: &Path) -> (Vec<String>, Vec<u8>) {
    let mut file = CaptureFile::open(path).expect("a capture");
    let (mut comments, mut bytes) = (Vec::new(), Vec::new());
    while let Some(frame) = file.next_frame() {
        bytes.extend_from_slice(frame.bytes);
        comments.push(file.comment().to_owned());
    }
    assert_eq!(file.ended(), Some(&Ended::Clean), "{}", path.display());
    // Wireshark's own reader agrees, where it is installed.
    if Ran::of(Command::new("sh").args(["-c", "command -v capinfos"])).code == 0 {
        let said = Ran::of(Command::new("capinfos").args(["-c", "-M"]).arg(path));
        let counted = format!("Number of packets:   {}", comments.len());
        assert!(said.fine().contains(&counted), "{}", said.out);
    }
    (comments, bytes)
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn l01_l14_an_attack_is_told_from_its_opening_to_its_end_and_its_packets_are_kept() {
    let stage = stage();
    let server = stage.server(&java(public(25_565)));
    let receiver = Receiver::start(&stage);
    let config = configuration(&stage, receiver.at, "telling");
    let agent = Agent::start(stage.places(), &["--config", &config.display().to_string()]);
    agent.knows(public(25_565), "minecraft-java");
    let begun = clock::now_ms();
    Attack::new(Vector::SynFlood, public(25_565))
        .packets(6_000)
        .per_second(2_000)
        .run(&stage.lab)
        .expect("sent");
    let (_, opened) = agent.event("incident-opened", begun, |_| true);
    let id = opened["incident"]["id"].as_u64().expect("a number");
    let ended = clock::wait_for(Duration::from_secs(60), || {
        let came = receiver.came();
        came.last().is_some_and(|came| came.said()["what"] == "incident-closed").then_some(came)
    });
    let came =
        ended.unwrap_or_else(|| panic!("its end was not told: {:?}\n{}", receiver.came(), agent.log()));
    assert_eq!(came[0].said()["what"], "incident-opened");
    for (number, request) in came.iter().enumerate() {
        let said = request.said();
        assert_eq!(said["id"], came[0].said()["id"], "one id");
        assert_eq!(said["notice"], number as u64 + 1, "in order, each once");
        assert_eq!(said["server"], server.uuid());
        assert_eq!(said["target"], "203.0.113.10:25565/tcp");
        let seconds = request.header("x-ftagent-timestamp").parse().expect("seconds");
        let expected = format!("v1={}", ftagent_alert::signature(SECRET.as_bytes(), seconds, &request.body));
        assert_eq!(request.header("x-ftagent-signature"), expected);
    }
    let opened_ms = came[0].said()["at_unix_ms"].as_u64().expect("a time");
    println!("told {} times; opened told at {opened_ms}", came.len());

    // What was kept, with its judgement.
    let folder = agent.places.state().join("incidents");
    let path = folder.join(format!("{id}.pcapng"));
    assert_eq!((mode(&path), mode(&folder)), (0o600, 0o700));
    let (comments, bytes) = read(&path);
    let hostile = comments.iter().filter(|comment| comment.starts_with("hostile minecraft-java/")).count();
    println!("{} packets kept, {hostile} of them hostile: {}", comments.len(), comments[comments.len() / 2]);
    assert!(hostile > 200 && comments.len() < 6_000, "{hostile} of {}", comments.len());
    assert!(holds(&bytes, &[203, 0, 113, 10]), "it holds the server's address");
    assert_eq!(agent.status()["packets"]["unrecorded"], 0);

    // Taken out, as it is and fit to be given away; without a running agent.
    let places = agent.stop();
    let number = id.to_string();
    for (share, name) in [(None, "all.pcapng"), (Some("--share"), "share.pcapng")] {
        let output = folder.with_file_name(name);
        let shown = output.display().to_string();
        let arguments: Vec<&str> =
            ["incidents", "pcap", &number, "-o", &shown].into_iter().chain(share).collect();
        assert_eq!(places.run(&arguments).code, 0, "{arguments:?}");
        let (copied, bytes) = read(&output);
        assert_eq!(copied, comments);
        assert_eq!(holds(&bytes, &[203, 0, 113, 10]), share.is_none(), "{name}");
        assert_eq!(mode(&output), 0o600);
    }
    places.run(&["incidents", "pcap", "999"]).fails(2, &["no packets of incident 999"]);
}

/// L18: people are told though the wall is not there, and nobody waits for it.
#[test]
fn l18_an_alert_goes_out_though_the_wall_is_taken_away() {
    let stage = stage();
    stage.server(&java(public(25_565)));
    let receiver = Receiver::start(&stage);
    let config = configuration(&stage, receiver.at, "walled");
    let agent = Agent::start(stage.places(), &["--config", &config.display().to_string(), "--enforce"]);
    agent.knows(public(25_565), "minecraft-java");
    agent.places.run(&["off"]).fine();
    agent.wait_for("off", Duration::from_secs(5), |status| {
        (status["firewall"]["is_off"] == true).then_some(())
    });
    let attack = Attack::new(Vector::SynFlood, public(25_565)).packets(4_000).per_second(2_000);
    attack.run(&stage.lab).expect("sent");
    let told = clock::wait_for(Duration::from_secs(20), || receiver.came().first().cloned());
    let told = told.unwrap_or_else(|| panic!("nobody was told\n{}", agent.log()));
    assert_eq!(told.said()["what"], "incident-opened");
}

/// L17: a recording begins at any moment, also the first of its server.
#[test]
fn l17_a_server_is_recorded_by_hand_and_a_recording_that_is_stopped_is_whole() {
    let stage = stage();
    let server = stage.server(&java(public(25_565)));
    let agent = stage.agent(&[]);
    agent.knows(public(25_565), "minecraft-java");
    let dir = stage.lab.folder("recordings").expect("the lab's folder can be written");
    let output = |name: &str| dir.join(name).display().to_string();
    let flood = || {
        let attack = Attack::new(Vector::SynFlood, public(25_565)).packets(2_000).per_second(1_000);
        attack.start(&stage.lab).expect("sent")
    };

    // By the beginning of its uuid, to the end of its time.
    let running = flood();
    let begun = clock::now_ms();
    let plain = output("plain.pcapng");
    let ran = agent.places.run(&["record", &server.uuid()[..8], "--for", "2s", "-o", &plain]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!((1_900..6_000).contains(&(clock::now_ms() - begun)), "{} ms", clock::now_ms() - begun);
    running.finish().expect("sent");
    let (comments, bytes) = read(dir.join("plain.pcapng").as_path());
    assert!(comments.len() > 500, "{} packets", comments.len());
    assert!(holds(&bytes, &[203, 0, 113, 10]));
    assert_eq!(mode(Path::new(&plain)), 0o600);

    // By its address, anonymised, and stopped by Ctrl-C.
    let running = flood();
    let shared = output("shared.pcapng");
    let mut command =
        agent.places.command(&["record", "203.0.113.10:25565", "--for", "60s", "-o", &shared, "--anonymise"]);
    let mut recording = command.spawn().expect("it starts");
    std::thread::sleep(Duration::from_millis(1_500));
    let pid = nix::unistd::Pid::from_raw(i32::try_from(recording.id()).expect("a process id"));
    nix::sys::signal::kill(pid, Signal::SIGINT).expect("it runs");
    assert!(recording.wait().expect("it ends").success());
    running.finish().expect("sent");
    let (comments, bytes) = read(dir.join("shared.pcapng").as_path());
    assert!(comments.len() > 100, "{} packets", comments.len());
    assert!(!holds(&bytes, &[203, 0, 113, 10]), "its address is in it");
    assert!(holds(&bytes, &25_565_u16.to_be_bytes()), "ports stay");

    agent.places.run(&["record", "nobody", "-o", &output("no")]).fails(2, &["no server `nobody`"]);
    assert!(!dir.join("no").exists());
}
