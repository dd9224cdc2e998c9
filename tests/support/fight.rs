//! A running attack that is being dropped, and what comes through while something happens.

use std::time::Duration;

use ftagent_lab::Attack;
use ftagent_lab::Meter;
use ftagent_lab::address;
use ftagent_lab::attack::Running;
use ftagent_lab::attack::Vector;
use ftagent_lab::clock;

use super::node::Agent;
use super::node::Stage;
use super::node::dropped;
use super::node::java;
use super::node::public;
use super::play::Gap;
use super::play::Playing;
use super::play::gap;

/// How long something is watched after it was done.
pub const AFTER: Duration = Duration::from_secs(3);

/// A flood that is being dropped, two players, and the agent that does it.
pub struct Fight {
    pub agent: Agent,
    pub flood: Running,
    pub meter: Meter,
    pub players: Vec<Playing>,
    _server: ftagent_lab::Server,
}

impl Fight {
    pub fn begin(stage: &Stage, arguments: &[&str]) -> Self {
        let to = public(25_565);
        let server = stage.server(&java(to));
        let meter = server.meter().expect("a meter");
        let agent = stage.agent(arguments);
        agent.knows(to, "minecraft-java");
        let players = (60..62).map(|n| Playing::start(stage, address::player(n), to)).collect();
        // So long that everybody plays when it begins.
        std::thread::sleep(Duration::from_secs(4));
        let begun = clock::now_ms();
        let flood = Attack::new(Vector::SynFlood, to).packets(400_000).per_second(4_000);
        let flood = flood.lasting(Duration::from_secs(90)).start(&stage.lab).expect("an attack");
        agent.event("first-drop", begun, |_| true);
        // The measures settle.
        std::thread::sleep(Duration::from_secs(1));
        Self { agent, flood, meter, players, _server: server }
    }

    /// Does something while the flood goes on and measures what came through.
    pub fn during<T: Send>(&self, what: &str, after: Duration, work: impl FnOnce() -> T + Send) -> (T, Gap) {
        let (done, gap) = gap(&self.meter, &self.flood, after, work);
        println!("{what}: {gap:?}");
        (done, gap)
    }

    /// Replaces the agent by what `work` makes of it while the flood goes on.
    pub fn replaced(self, what: &str, work: impl FnOnce(Agent) -> Agent + Send) -> (Self, Gap) {
        let Self { agent, flood, meter, players, _server } = self;
        let (agent, measured) = gap(&meter, &flood, AFTER, move || work(agent));
        println!("{what}: {measured:?}");
        (Self { agent, flood, meter, players, _server }, measured)
    }

    /// The same; its work goes on within so long, and it remembers what it was told.
    pub fn replaced_within(
        self,
        most_ms: u64,
        stage: &Stage,
        what: &str,
        work: impl FnOnce(Agent) -> Agent + Send,
    ) -> Self {
        let (fight, gap) = self.replaced(what, work);
        assert!(gap.longest_ms <= most_ms, "{what}: {gap:?}");
        assert_eq!(stage.jumps(), Some(vec![0]), "{what}");
        assert_eq!(fight.agent.status()["mode"]["node"], "enforce", "{what}: remembered");
        fight.protected(what);
        fight
    }

    /// Less than one in ten comes through.
    pub fn protected(&self, what: &str) {
        let ((), gap) = self.during(&format!("{what}, afterwards"), Duration::from_secs(1), || {});
        assert!(gap.through * 10 < gap.offered, "{what}: {gap:?}");
        let before = dropped(&self.agent.status());
        let more = |status: &_| (dropped(status) > before).then_some(());
        self.agent.wait_for("drops are counted", Duration::from_secs(3), more);
    }

    /// Nobody was disconnected.
    pub fn players_stay(self) {
        for player in self.players {
            player.stop();
        }
        self.flood.stop().expect("it ran");
    }

    /// Nobody was disconnected, and nobody waited for long.
    pub fn players_unharmed(self, what: &str) {
        for player in self.players {
            player.unharmed(what);
        }
        self.flood.stop().expect("it ran");
    }
}
