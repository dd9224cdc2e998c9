//! Real servers and clients that nobody here wrote, pinned in `tests/clients` by lock file and hashes.
//!
//! All downloads come first, with retries, into a folder outside git; afterwards nothing needs a network. Install
//! scripts of packages are never run: one of them would download a program.

use std::fs::File;
use std::hash::DefaultHasher;
use std::hash::Hash;
use std::hash::Hasher;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;

use crate::Lab;
use crate::Player;
use crate::Server;
use crate::ServerSpec;
use crate::clock;
use crate::command;
use crate::docker::Docker;

/// How often a download is tried.
const TRIES: u32 = 4;
/// How long a server may take from its start to its first `listening`.
const LISTENING: Duration = Duration::from_secs(30);
/// How long a player may take to join.
const JOINING: Duration = Duration::from_secs(40);

/// The downloaded programs.
#[derive(Clone, Debug)]
pub struct Clients {
    /// Holds `node_modules` and `python`.
    packages: PathBuf,
    /// Holds the scripts.
    scripts: PathBuf,
}

/// The players of one client process.
#[derive(Clone, Copy, Debug)]
pub struct Players<'a> {
    /// What their names begin with.
    pub name: &'a str,
    /// Minecraft Java: one player from each of these addresses. The other clients cannot choose, and are one player
    /// from the players' first address.
    pub sources: &'a [IpAddr],
}

impl Players<'_> {
    fn joining(&self, game: Game) -> usize {
        if game == Game::Java { self.sources.len() } else { 1 }
    }
}

/// A game that the lab can serve and play.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Game {
    /// Minecraft Java, server and client from npm.
    Java,
    /// Minecraft Bedrock, server and client from npm.
    Bedrock,
    /// Source queries: the server is ours, the client is from PyPI.
    Source,
    /// BZFlag, server and text client from Debian.
    BzFlag,
}

impl Clients {
    /// Downloads what is pinned, unless it is there already, into a folder below `cache`.
    pub fn fetch(cache: &Path) -> anyhow::Result<Self> {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../clients");
        let scripts = scripts.canonicalize().context("the folder tests/clients is gone")?;
        let mut pins = DefaultHasher::new();
        for pin in ["package.json", "package-lock.json", "requirements.txt"] {
            std::fs::read(scripts.join(pin)).with_context(|| format!("cannot read {pin}"))?.hash(&mut pins);
        }
        let packages = cache.join(format!("clients-{:016x}", pins.finish()));
        std::fs::create_dir_all(&packages).with_context(|| format!("cannot make {}", packages.display()))?;
        // Tests of several processes may come here at once: the first one works, the others wait.
        let lock = File::create(packages.join("lock")).context("cannot write the cache of clients")?;
        lock.lock().context("cannot lock the cache of clients")?;
        let complete = packages.join("complete");
        if !complete.exists() {
            install_npm(&scripts, &packages)?;
            install_python(&scripts, &packages)?;
            std::fs::write(&complete, "").context("cannot write the cache of clients")?;
        }
        Ok(Self { packages, scripts })
    }

    /// The folder that [`Clients::fetch`] is called with where nothing else is said: beside cargo's own products.
    #[must_use]
    pub fn cache() -> PathBuf {
        match std::env::var_os("CARGO_TARGET_DIR") {
            Some(target) => PathBuf::from(target),
            None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"),
        }
    }

    /// Downloads into [`Clients::cache`].
    pub fn fetch_default() -> anyhow::Result<Self> {
        Self::fetch(&Self::cache())
    }

    /// A server of that game, not yet started.
    #[must_use]
    pub fn spec(&self, game: Game, public: SocketAddr) -> ServerSpec {
        let node = "/usr/bin/node";
        let spec = match game {
            Game::Java => {
                ServerSpec::new("ghcr.io/pterodactyl/yolks:java_21", public, &[node, "/lab/java-server.js"])
                    .startup("java -Xms128M -XX:MaxRAMPercentage=95.0 -jar {{SERVER_JARFILE}}")
                    .variable("SERVER_JARFILE", "server.jar")
                    .variable("MINECRAFT_VERSION", "1.20.4")
            }
            Game::Bedrock => ServerSpec::new(
                "ghcr.io/pterodactyl/yolks:debian",
                public,
                &[node, "-r", "/lab/no-native-raknet.js", "/lab/bedrock-server.js"],
            )
            .startup("./bedrock_server")
            .variable("BEDROCK_VERSION", "1.20.80"),
            Game::Source => ServerSpec::new(
                "ghcr.io/pterodactyl/games:source",
                public,
                &["/usr/bin/python3", "/lab/a2s-server.py"],
            )
            .startup("./srcds_run -game csgo -console -port {{SERVER_PORT}} +map {{SRCDS_MAP}}")
            .variable("SRCDS_APPID", "740")
            .variable("SRCDS_MAP", "de_lab"),
            Game::BzFlag => {
                let port = public.port().to_string();
                let program = ["/usr/games/bzfs", "-p", &port, "-d"];
                ServerSpec::new("ghcr.io/pterodactyl/yolks:debian", public, &program)
                    .startup("./bzfs -p {{SERVER_PORT}}")
            }
        };
        spec.variable("NODE_PATH", "/clients/node_modules")
            .mount(&self.packages, "/clients")
            .mount(&self.scripts, "/lab")
    }

    /// Starts a server of that game and waits until it listens.
    pub fn serve(&self, docker: &Docker, game: Game, public: SocketAddr) -> anyhow::Result<Server> {
        let server = docker.run_server(&self.spec(game, public))?;
        self.listening(&server, game)?;
        Ok(server)
    }

    /// Waits until a server of that game listens.
    pub fn listening(&self, server: &Server, game: Game) -> anyhow::Result<()> {
        if game != Game::BzFlag {
            return server.wait_for("\"listening\"", LISTENING);
        }
        // It prints nothing when it is ready; a connection within the container's own network does it no harm.
        let port = server.spec().port;
        let ready = || {
            server.within(|| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()).ok()?.then_some(())
        };
        clock::wait_for(LISTENING, ready).context("bzfs does not listen")
    }

    /// Starts players and waits until all have joined.
    pub fn join(
        &self,
        lab: &Lab,
        game: Game,
        public: SocketAddr,
        players: Players<'_>,
    ) -> anyhow::Result<Player> {
        let mut player = self.play(lab, game, public, players)?;
        player.wait_for_all("joined", players.joining(game), JOINING)?;
        Ok(player)
    }

    /// Starts players.
    pub fn play(
        &self,
        lab: &Lab,
        game: Game,
        public: SocketAddr,
        players: Players<'_>,
    ) -> anyhow::Result<Player> {
        let (host, port, name) = (public.ip().to_string(), public.port().to_string(), players.name);
        let sources: Vec<String> = players.sources.iter().map(ToString::to_string).collect();
        let sources = sources.join(",");
        let (program, script, more): (&str, &str, &[&str]) = match game {
            Game::Java => ("node", "java-player.js", &[&host, &port, name, &sources]),
            Game::Bedrock => ("node", "bedrock-player.js", &[&host, &port, name]),
            Game::Source => ("python3", "query.py", &["a2s", &host, &port, "1000000"]),
            Game::BzFlag => ("python3", "bzflag-player.py", &[&host, &port, name]),
        };
        let mut command = lab.players().command(program);
        if game == Game::Bedrock {
            command.arg("-r").arg(self.scripts.join("no-native-raknet.js"));
        }
        command.arg(self.scripts.join(script)).args(more);
        Player::start(name, self.with_packages(command))
    }

    /// Asks a server `times` times as a public monitor does (`java`, `bedrock` or `a2s`).
    pub fn query(&self, lab: &Lab, kind: &str, public: SocketAddr, times: u32) -> anyhow::Result<Player> {
        self.query_in_turn(lab, kind, public.ip(), &[public.port()], times)
    }

    /// Asks the servers of these ports in turn, `times` questions in all.
    pub fn query_in_turn(
        &self,
        lab: &Lab,
        kind: &str,
        host: IpAddr,
        ports: &[u16],
        times: u32,
    ) -> anyhow::Result<Player> {
        let mut command = lab.players().command("python3");
        let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
        let (host, ports, times) = (host.to_string(), ports.join(","), times.to_string());
        command.arg(self.scripts.join("query.py")).args([kind, &host, &ports, &times]);
        Player::start(kind, self.with_packages(command))
    }

    fn with_packages(&self, mut command: Command) -> Command {
        command.env("NODE_PATH", self.packages.join("node_modules"));
        command.env("PYTHONPATH", self.packages.join("python")).env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }
}

/// Installs what the lock file names, and nothing else.
fn install_npm(scripts: &Path, packages: &Path) -> anyhow::Result<()> {
    for pin in ["package.json", "package-lock.json"] {
        std::fs::copy(scripts.join(pin), packages.join(pin)).with_context(|| format!("cannot copy {pin}"))?;
    }
    retry("npm", || {
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
        command::output(npm.current_dir(packages))
    })
}

/// Installs what the requirements name, by their hashes.
fn install_python(scripts: &Path, packages: &Path) -> anyhow::Result<()> {
    retry("pip", || {
        let mut pip = Command::new("python3");
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--require-hashes",
            "--only-binary",
            ":all:",
            "--no-deps",
        ]);
        pip.args(["--upgrade", "--no-compile", "--target"]).arg(packages.join("python"));
        command::output(pip.arg("--requirement").arg(scripts.join("requirements.txt")))
    })
}

/// Tries again after 2, 4 and 8 seconds.
fn retry(what: &str, download: impl Fn() -> anyhow::Result<String>) -> anyhow::Result<()> {
    let mut tried = 0;
    loop {
        tried += 1;
        match download() {
            Ok(_) => return Ok(()),
            Err(error) if tried == TRIES => {
                return Err(error).context(format!("{what} failed {TRIES} times"));
            }
            Err(_) => std::thread::sleep(Duration::from_secs(1 << tried)),
        }
    }
}
