//! `ftagent run` in the node of a lab, and what the node's packet filter holds.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::OnceLock;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ftagent_lab::Docker;
use ftagent_lab::Lab;
use ftagent_lab::Player;
use ftagent_lab::Server;
use ftagent_lab::ServerSpec;
use ftagent_lab::address;
use ftagent_lab::clock;
use ftagent_lab::docker::Options;
use nix::sys::signal::Signal;
use serde_json::Value;

use super::FTAGENT;
use super::Ran;
use super::state_dir;

/// What must be true within a second must be true within this, on a machine whose two cores do other things too.
pub const SECOND_MS: u64 = 1_000;
/// How long a start may take on a busy machine, the first compilation of the plugins included.
const READY: Duration = Duration::from_secs(60);
/// How long it may take to take its rules out and end.
const ENDING: Duration = Duration::from_secs(10);

/// How many agents this process has started; part of their folders' names.
static AGENTS: AtomicU32 = AtomicU32::new(0);

/// A lab with a Docker daemon.
pub struct Stage {
    pub docker: Docker,
    pub lab: Lab,
}

impl Stage {
    pub fn new() -> Self {
        Self::with(Options::default())
    }

    /// A lab of its own, with a daemon that is started otherwise.
    pub fn with(options: Options) -> Self {
        let lab = Lab::new().expect("a lab (needs root)");
        let docker = Docker::start_with(&lab, options).expect("a daemon");
        Self { docker, lab }
    }

    /// Places for an agent that has never run.
    pub fn places(&self) -> Places {
        let number = AGENTS.fetch_add(1, Ordering::Relaxed);
        let dir = self.lab.folder(&format!("agent-{number}")).expect("the lab's folder can be written");
        let places =
            Places { namespace: self.lab.node().name().to_owned(), docker_socket: self.docker.socket(), dir };
        // Compiled plugins outlive the tests, so that a start takes as long as it does on a node.
        let (kept, state) = (state_dir().join("compiled"), places.state());
        std::fs::create_dir_all(&state).expect("the lab's folder can be written");
        if kept.exists() {
            Ran::of(Command::new("cp").arg("-a").arg(kept).arg(&state)).fine();
        }
        places
    }

    /// An agent that has never run.
    pub fn agent(&self, arguments: &[&str]) -> Agent {
        Agent::start(self.places(), arguments)
    }

    /// A game server made of busybox: it echoes what comes over TCP and is deaf for UDP.
    pub fn server(&self, spec: &ServerSpec) -> Server {
        self.docker.run_server(spec).expect("a server")
    }

    /// Runs a program in the node.
    pub fn node(&self, line: &str) -> String {
        let ran = Ran::of(self.lab.node().command("sh").args(["-e", "-c", line]));
        assert_eq!(ran.code, 0, "{line}: {ran:?}");
        ran.out
    }

    /// Everything that the node's packet filter holds, without counters, and without the table of ours if so asked.
    pub fn rules(&self, without_ours: bool) -> String {
        let saved = self.node("iptables-save; ip6tables-save");
        let saved = saved.lines().filter(|line| !line.starts_with('#'));
        // `:CHAIN POLICY [packets:bytes]`
        let saved: Vec<_> = saved.map(|line| line.split(" [").next().unwrap_or(line).to_owned()).collect();
        let mut kept = saved;
        let mut ours = false;
        for line in self.node("nft list ruleset").lines() {
            if line.starts_with("table ") {
                ours = without_ours && line.starts_with("table inet ftagent");
            }
            if !ours {
                kept.push(without_counters(line));
            }
        }
        kept.join("\n")
    }

    /// Where our jump stands in `DOCKER-USER`, from 0, and how many there are; `None` without the chain.
    pub fn jumps(&self) -> Option<Vec<usize>> {
        let listing = self.lab.node().run("iptables", &["-w", "5", "-S", "DOCKER-USER"]).ok()?;
        let rules = listing.lines().filter(|line| line.starts_with("-A "));
        let ours = rules.enumerate().filter(|(_, rule)| rule.ends_with("-j FTAGENT"));
        Some(ours.map(|(at, _)| at).collect())
    }

    /// Whether our table stands.
    pub fn has_table(&self) -> bool {
        self.lab.node().run("nft", &["list", "table", "inet", "ftagent"]).is_ok()
    }
}

/// The node's first address at a port.
pub fn public(port: u16) -> SocketAddr {
    SocketAddr::from((address::NODE, port))
}

/// The lab, for one test at a time. A test that failed leaves a node that the next one can use.
pub fn stage() -> MutexGuard<'static, Stage> {
    static STAGE: OnceLock<Mutex<Stage>> = OnceLock::new();
    let mut stage =
        STAGE.get_or_init(|| Mutex::new(Stage::new())).lock().unwrap_or_else(PoisonError::into_inner);
    if let Ok(all) = stage.docker.run(&["ps", "-aq"]) {
        for container in all.split_whitespace() {
            let _ = stage.docker.run(&["rm", "-f", "-v", container]);
        }
    }
    // Places of its own, so that nothing stays switched off.
    stage.places().run(&["off"]);
    if stage.jumps().is_none() {
        stage.docker.restart().expect("it brings its chains back");
    }
    stage.node("iptables -F DOCKER-USER; iptables -A DOCKER-USER -j RETURN");
    stage
}

/// `counter packets 3 bytes 180` becomes `counter`.
fn without_counters(line: &str) -> String {
    let mut words: Vec<&str> = line.split(' ').collect();
    while let Some(at) = words.windows(4).position(|four| four[0] == "packets" && four[2] == "bytes") {
        words.drain(at..at + 4);
    }
    words.join(" ")
}

/// A busybox that looks like a Minecraft Java server to whoever reads its container.
pub fn java(public: SocketAddr) -> ServerSpec {
    echo("ghcr.io/pterodactyl/yolks:java_21", public).variable("MINECRAFT_VERSION", "1.20.4")
}

/// A busybox that looks like a Bedrock server.
pub fn bedrock(public: SocketAddr) -> ServerSpec {
    echo("ghcr.io/pterodactyl/yolks:debian", public)
        .startup("./bedrock_server")
        .variable("BEDROCK_VERSION", "1.20.80")
}

/// A busybox that echoes over TCP.
pub fn echo(image: &str, public: SocketAddr) -> ServerSpec {
    let port = public.port().to_string();
    ServerSpec::new(image, public, &["/busybox", "nc", "-ll", "-p", &port, "-e", "/busybox", "cat"])
}

/// Where an agent keeps its things.
#[derive(Clone, Debug)]
pub struct Places {
    namespace: String,
    dir: PathBuf,
    pub docker_socket: PathBuf,
}

impl Places {
    pub fn state(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// Where its socket is.
    pub fn runtime(&self) -> PathBuf {
        self.dir.join("run")
    }

    pub fn plugins(&self) -> PathBuf {
        self.state().join("plugins")
    }

    /// `ftagent` in the node, with these places. The namespace's own /sys is needed, hence `ip netns exec`.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace, FTAGENT]);
        command.arg("--runtime-dir").arg(self.runtime());
        command.arg("--state-dir").arg(self.state());
        command.arg("--docker-socket").arg(&self.docker_socket);
        command.args(arguments);
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(&mut self.command(arguments))
    }
}

/// A running agent; killed when dropped.
#[derive(Debug)]
pub struct Agent {
    process: Child,
    pub places: Places,
    /// `ftagent events`: a client like any other, as far as listening goes.
    events: Option<Player>,
}

impl Agent {
    /// Starts it and waits until it answers.
    pub fn start(places: Places, arguments: &[&str]) -> Self {
        let run = places.command(&[&["run"], arguments].concat());
        Self::start_by(places, run)
    }

    /// The same with a disk of 48 MiB for its state, which nobody else sees.
    pub fn start_on_small_disk(places: Places, arguments: &[&str]) -> Self {
        let line = "mount -t tmpfs -o size=48m tmpfs \"$0\" && exec \"$@\"";
        std::fs::create_dir_all(places.state()).expect("the lab's folder can be written");
        let plain = places.command(&["run"]);
        // `ip netns exec NAME` makes a mount namespace of its own.
        let all: Vec<_> = plain.get_args().collect();
        let (before, after) = all.split_at(3);
        let mut run = Command::new(plain.get_program());
        run.args(before).args(["sh", "-c", line]).arg(places.state()).args(after).args(arguments);
        Self::start_by(places, run)
    }

    /// The same by a command of one's own, which must become the agent.
    pub fn start_by(places: Places, mut run: Command) -> Self {
        let log = File::options().create(true).append(true).open(places.dir.join("log")).expect("a log");
        let errors = log.try_clone().expect("a log");
        run.stdin(Stdio::null()).stdout(log).stderr(errors);
        let mut agent = Self { process: run.spawn().expect("it starts"), places, events: None };
        let answered = clock::wait_for(READY, || {
            if let Ok(Some(status)) = agent.process.try_wait() {
                return Some(Err(status));
            }
            let ran = agent.places.run(&["status", "--json"]);
            (ran.code == 0).then_some(Ok(()))
        });
        assert!(matches!(answered, Some(Ok(()))), "the agent does not run: {answered:?}\n{}", agent.log());
        agent.listen();
        // The first event may come as soon as somebody listens; a mode that does not change is a cheap one.
        agent
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Everything it has written to its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.places.dir.join("log")).unwrap_or_default()
    }

    /// What `ftagent status --json` says now.
    pub fn status(&self) -> Value {
        self.places.run(&["status", "--json"]).json(0)
    }

    /// Asks for the status until the question has an answer.
    pub fn wait_for<T>(&self, what: &str, timeout: Duration, question: impl Fn(&Value) -> Option<T>) -> T {
        let mut last = Value::Null;
        let answer = clock::wait_for(timeout, || {
            last = self.status();
            question(&last)
        });
        answer.unwrap_or_else(|| panic!("not {what} within {timeout:?}\n{last:#}\n{}", self.log()))
    }

    /// Waits until it protects that port as that game.
    pub fn knows(&self, public: SocketAddr, game: &str) {
        self.wait_for(&format!("{public} as {game}"), Duration::from_secs(10), |status| {
            service(status, public, "tcp").filter(|service| service["game"] == game).map(|_| ())
        });
    }

    /// Events of a kind since a moment of the monotonic clock: when they happened, and what they say.
    pub fn events(&self, what: &str, since_ms: u64) -> Vec<(u64, Value)> {
        let heard = self.events.as_ref().map(Player::events).unwrap_or_default();
        let of_kind = heard.into_iter().map(|event| event.said).filter(|said| said["what"] == what);
        let timed = of_kind.filter_map(|said| Some((said["at_ms"].as_u64()?, said)));
        timed.filter(|(at_ms, _)| *at_ms >= since_ms).collect()
    }

    /// Waits for an event of a kind that the question says yes to.
    pub fn event(&self, what: &str, since_ms: u64, wanted: impl Fn(&Value) -> bool) -> (u64, Value) {
        let found = clock::wait_for(Duration::from_secs(10), || {
            self.events(what, since_ms).into_iter().find(|(_, said)| wanted(said))
        });
        found.unwrap_or_else(|| {
            panic!("no event `{what}`: {:#?}\n{}", self.events(what, since_ms), self.log())
        })
    }

    /// Changes the mode, which must go well.
    pub fn mode(&self, arguments: &[&str]) -> String {
        let ran = self.places.run(&[&["mode"], arguments].concat());
        ran.fine().to_owned()
    }

    /// Ends it as an operator does, and waits; its places stay for the next.
    pub fn stop(self) -> Places {
        self.end(Signal::SIGTERM)
    }

    /// Ends it as an upgrade does: what stands in the kernel is left to the next start.
    pub fn leave(self) -> Places {
        self.end(Signal::SIGUSR1)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.process.id()).expect("a process id");
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).expect("it runs");
    }

    /// Listens to its events again, after it was begun anew.
    pub fn listen(&mut self) {
        let events = Player::start("ftagent events", self.places.command(&["events"])).expect("it listens");
        self.events = Some(events);
    }

    fn end(mut self, signal: Signal) -> Places {
        self.events = None;
        self.signal(signal);
        let ended = clock::wait_for(ENDING, || self.process.try_wait().ok().flatten());
        assert!(ended.is_some_and(|status| status.success()), "{ended:?}\n{}", self.log());
        self.places.clone()
    }

    /// Kills it without a chance to clean up.
    pub fn kill(mut self) -> Places {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it ran");
        self.places.clone()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("--- the agent's log\n{}", self.log());
        }
    }
}

/// A service in a status, by its public place.
pub fn service<'s>(status: &'s Value, public: SocketAddr, protocol: &str) -> Option<&'s Value> {
    status["services"].as_array()?.iter().find(|service| {
        service["address"] == public.ip().to_string()
            && service["port"] == public.port()
            && service["protocol"] == protocol
    })
}

/// What dropped packets are counted as in the status: by the rule in `DOCKER-USER` and early.
pub fn dropped(status: &Value) -> u64 {
    let services = status["firewall"]["services"].as_array().into_iter().flatten();
    let hooks =
        services.flat_map(|service| ["marked", "early"].map(|hook| service[hook]["packets"].as_u64()));
    hooks.flatten().sum()
}

/// The built component of a plugin, made another file by a custom section that nobody reads.
pub fn another_build(plugin: &str, mark: u8) -> Vec<u8> {
    let file = super::root().join("plugins/prebuilt").join(format!("{plugin}.wasm"));
    let mut component = std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    component.extend([0, 3, 1, b'x', mark]);
    component
}

/// Writes a file that counts only when it is closed, in two halves with a pause between them.
pub fn copy_slowly(file: &Path, bytes: &[u8]) {
    use std::io::Write as _;
    let mut open = File::create(file).expect("the folder can be written");
    let (first, second) = bytes.split_at(bytes.len() / 2);
    open.write_all(first).expect("the folder can be written");
    std::thread::sleep(Duration::from_millis(300));
    open.write_all(second).expect("the folder can be written");
}
