//! Runs scenarios: all of them without ftagent, then, on servers that were started afresh, all of them with it.

use std::path::PathBuf;
use std::time::Duration;

use super::Before;
use super::Flood;
use super::Kind;
use super::PACKETS_MAX;
use super::Report;
use super::Row;
use super::Scenario;
use super::Seat;
use super::life::Life;
use super::outcome::Joins;
use super::outcome::Outcome;
use super::stage;
use super::stage::Counted;
use super::stage::Stage;
use super::stranger;
use super::watch;
use super::watch::Watch;
use crate::Agent;
use crate::Attack;
use crate::Clients;
use crate::Crowd;
use crate::Player;
use crate::address;
use crate::agent::Start;
use crate::clients::Game;
use crate::clock;
use crate::crowd;
use crate::crowd::Stay;
use crate::kernel::Reader;

/// How long players play before the first flood: long enough for ftagent to know also those as players whose opening it
/// did not see and whose game its plugin cannot read without it (30 s).
const CALM_FIRST: Duration = Duration::from_secs(40);
/// And before every other one.
const CALM: Duration = Duration::from_secs(3);
/// Newcomers a second while a flood lasts.
const NEWCOMERS_PER_SECOND: u64 = 1;
/// How long after a flood's beginning its later part begins.
const LATER: Duration = Duration::from_secs(2);
/// How long an all-clear is waited for.
const ALL_CLEAR: Duration = Duration::from_secs(30);
/// How long a flood lasts of which only the first drop is measured.
const ONSET: Duration = Duration::from_secs(2);
/// Monitors ask so much longer than a scenario lasts: what is before and after it takes time too.
const MONITORING_MORE: Duration = Duration::from_secs(120);
/// How long newcomers are waited for after the flood.
const NEWCOMERS: Duration = Duration::from_secs(10);

/// What to run and how.
pub struct Plan<'p> {
    /// The program, `.../ftagent`.
    pub program: PathBuf,
    /// Real servers and clients.
    pub clients: &'p Clients,
    /// What to run, in this order.
    pub scenarios: Vec<Scenario>,
    /// How long floods last where the scenario does not say.
    pub lasting: Duration,
    /// Only without ftagent.
    pub undefended_only: bool,
    /// Only with it.
    pub defended_only: bool,
    /// So many more beginnings of each attack, of which only the first drop is measured.
    pub more_onsets: u64,
    /// A stranger's attacker that is run beside the floods.
    pub attack_command: Option<String>,
    /// Told what is being done.
    pub say: &'p dyn Fn(&str),
}

/// Runs everything.
pub fn run(plan: &Plan<'_>) -> anyhow::Result<Report> {
    let seats = seats(&plan.scenarios);
    let further = plan.scenarios.iter().map(|scenario| scenario.further).max().unwrap_or(0);
    (plan.say)(&format!(
        "lab: one node, one dockerd, {} servers and their players",
        seats.len() + usize::from(further)
    ));
    let mut stage = Stage::new(plan.clients, &seats, further)?;
    let mut rows: Vec<Row> = plan.scenarios.iter().map(Row::new).collect();
    if !plan.defended_only {
        for (scenario, row) in plan.scenarios.iter().zip(&mut rows) {
            match (Once { plan, scenario, stage: &mut stage, agent: &mut None }).run() {
                Ok(outcome) => {
                    (plan.say)(&format!("undefended  {:<24} {}", scenario.name, outcome.line()));
                    row.undefended = Some(outcome);
                }
                Err(error) => row.fails("undefended", &error, plan.say),
            }
        }
    }
    if !plan.undefended_only {
        if !plan.defended_only {
            (plan.say)("the servers are started afresh");
            stage.serve_afresh()?;
        }
        (plan.say)("ftagent run --enforce");
        let mut agent = Some(start(plan, &stage, &seats, "ftagent")?);
        // It gets to know the players while they hardly move; `first-start-under-fire` is the hard way.
        stage.play_at(&[]);
        std::thread::sleep(CALM_FIRST);
        for (scenario, row) in plan.scenarios.iter().zip(&mut rows) {
            let mut once = Once { plan, scenario, stage: &mut stage, agent: &mut agent };
            match once.run() {
                Ok(outcome) => {
                    (plan.say)(&format!("defended    {:<24} {}", scenario.name, outcome.line()));
                    row.defended = Some(outcome);
                    row.more_first_drops_us = once.more_onsets();
                }
                Err(error) => row.fails("defended", &error, plan.say),
            }
            // It was ended for the sake of what failed then.
            if agent.is_none() {
                agent = Some(start(plan, &stage, &seats, "ftagent")?);
            }
        }
        if let Some(agent) = agent {
            agent.end()?;
        }
    }
    Ok(Report::new(rows))
}

/// The servers that these scenarios need; a neighbour is always there.
fn seats(scenarios: &[Scenario]) -> Vec<Seat> {
    let needed =
        |seat: &Seat| *seat == Seat::Neighbour || scenarios.iter().any(|scenario| scenario.needs(*seat));
    Seat::ALL.into_iter().filter(needed).collect()
}

impl Scenario {
    fn needs(&self, seat: Seat) -> bool {
        let warm_up = self.warm_up.iter().flat_map(|(floods, _)| floods);
        self.seats.contains(&seat)
            || self.people.iter().any(|people| people.seat == seat)
            || self.floods.iter().chain(warm_up).any(|flood| flood.aim == super::Aim::At(seat))
    }
}

fn start(plan: &Plan<'_>, stage: &Stage, seats: &[Seat], folder: &str) -> anyhow::Result<Agent> {
    let arguments = vec!["--enforce".to_owned()];
    let start = Start { program: plan.program.clone(), arguments, folder: folder.to_owned() };
    Agent::start(&stage.docker, &start, &stage::games(seats, stage.further.len()))
}

/// One run of one scenario.
struct Once<'o, 'p> {
    plan: &'o Plan<'p>,
    scenario: &'o Scenario,
    stage: &'o mut Stage,
    /// None while nobody defends.
    agent: &'o mut Option<Agent>,
}

/// What is known when the floods are over.
struct Measured {
    before: Counted,
    later: Counted,
    after: Counted,
    dropped: u64,
    onset: watch::Onset,
    /// Milliseconds: the beginning, the last attack packet, the end of the measurement.
    began_ms: u64,
    over_ms: u64,
    sent: u64,
    processor_ms: Option<u64>,
    stranger_said: Vec<String>,
}

impl Once<'_, '_> {
    fn run(&mut self) -> anyhow::Result<Outcome> {
        self.stage.play_at(&[]);
        let mut restarted = self.stage.rest()?;
        restarted.extend(self.stage.heal()?);
        let mut crowds = self.before()?;
        if !restarted.is_empty() && self.agent.is_some() {
            std::thread::sleep(CALM_FIRST);
        }
        self.stage.play_at(&self.scenario.seats);
        std::thread::sleep(CALM);
        self.warm_up()?;
        self.say_who_is_known();
        let newcomers = self.newcomers();
        let monitors = self.monitors()?;
        let measured = self.measure(&mut crowds, newcomers)?;
        let mut outcome = self.outcome(&measured, &crowds);
        for monitor in monitors {
            outcome.real = outcome.real.and(&monitor.health(measured.began_ms, clock::now_ms()));
        }
        outcome.servers_restarted = restarted.len() as u64;
        self.all_clear(&measured, &mut outcome);
        self.wait_for_newcomers(&crowds);
        self.stage.forget_attackers();
        outcome.joins = Joins::of(&crowds.iter().flat_map(|(_, crowd)| crowd.stays()).collect::<Vec<_>>());
        drop(crowds);
        if self.scenario.before == Before::Reboot {
            self.stage.let_join()?;
        }
        Ok(outcome)
    }

    /// What happens to ftagent before, and who else is there. The number says how many of a crowd join during it.
    fn before(&mut self) -> anyhow::Result<Vec<(u64, Crowd)>> {
        let seats: Vec<Seat> = self.stage.places.iter().map(|place| place.seat).collect();
        let mut crowds = Vec::new();
        if self.scenario.before == Before::Reboot {
            for place in &mut self.stage.places {
                (place.real, place.light) = (None, None);
            }
        }
        for people in self.scenario.people.iter().filter(|people| people.joining_per_second == 0) {
            // They are there already: they come one after the other, and a slow server is waited for.
            let plan = crowd::Plan { joining_per_second: 10, stay: Stay::Always, ..self.crowd(people) };
            let crowd = Crowd::start(&self.stage.lab, plan);
            let playing = crowd.wait_until_in(stage::JOINING);
            anyhow::ensure!(playing == crowd.players(), "{playing} of {} are in", crowd.players());
            crowds.push((0, crowd));
        }
        if let Some(agent) = self.agent.take() {
            let folder = format!("ftagent-{}", self.scenario.name);
            *self.agent = Some(match self.scenario.before {
                Before::Running => agent,
                Before::Reboot => {
                    agent.end()?;
                    start(self.plan, self.stage, &seats, "ftagent")?
                }
                Before::FirstStart(before) => {
                    agent.end()?;
                    let agent = start(self.plan, self.stage, &seats, &folder)?;
                    std::thread::sleep(before);
                    agent
                }
            });
        }
        Ok(crowds)
    }

    /// Says how many of the players ftagent knows as such: whom it does not know it cannot keep.
    fn say_who_is_known(&self) {
        let Some(Ok(status)) = self.agent.as_ref().map(Agent::status) else { return };
        let services = status["services"].as_array().into_iter().flatten();
        let known: Vec<String> = services
            .filter(|service| service["players"].as_u64() > Some(0))
            .map(|service| format!("{} at port {}", service["players"], service["port"]))
            .collect();
        (self.plan.say)(&format!("{}: ftagent knows as players {}", self.scenario.name, known.join(", ")));
    }

    fn crowd(&self, people: &super::People) -> crowd::Plan {
        crowd::Plan {
            game: people.seat.game(),
            public: people.seat.public(),
            from: people.from.clone(),
            per_second: people.per_second,
            joining_per_second: people.joining_per_second,
            stay: Stay::Once,
        }
    }

    /// Public server lists, each a client that nobody here wrote.
    fn monitors(&self) -> anyhow::Result<Vec<Player>> {
        let kind = |seat: Seat| match seat.game() {
            Game::Java | Game::BzFlag => "java",
            Game::Bedrock => "bedrock",
            Game::Source => "a2s",
        };
        let (lab, clients) = (&self.stage.lab, &self.stage.clients);
        let times = (self.scenario.lasting(self.plan.lasting) + MONITORING_MORE).as_secs() as u32 * 4;
        let asks = |&seat: &Seat| clients.query(lab, kind(seat), seat.public(), times);
        let mut monitors: Vec<Player> =
            self.scenario.monitored.iter().map(asks).collect::<anyhow::Result<_>>()?;
        if self.scenario.further > 0 {
            let ports: Vec<u16> = self.stage.further.iter().map(|further| further.public.port()).collect();
            monitors.push(clients.query_in_turn(lab, "a2s", address::NODE.into(), &ports, times)?);
        }
        Ok(monitors)
    }

    fn warm_up(&self) -> anyhow::Result<()> {
        let Some((floods, lasting)) = &self.scenario.warm_up else { return Ok(()) };
        let running: Vec<_> =
            floods.iter().map(|flood| self.flood(flood, *lasting)).collect::<anyhow::Result<_>>()?;
        running.into_iter().try_for_each(|attack| attack.finish().map(drop))
    }

    fn flood(&self, flood: &Flood, lasting: Duration) -> anyhow::Result<crate::attack::Running> {
        let attack = Attack::new(flood.vector, flood.aim.target()).from(flood.sources);
        let attack = attack.per_second(flood.per_second).packets(PACKETS_MAX).lasting(lasting);
        let attack = attack.pattern(flood.pattern).over_ports(flood.aim.ports());
        if flood.beside_players { attack.beside_players() } else { attack }.start(&self.stage.lab)
    }

    /// Who joins while it lasts: those that the scenario names, else some at each server that is looked at.
    fn newcomers(&self) -> Vec<crowd::Plan> {
        if self.scenario.further > 0 {
            return stage::guests(self.stage);
        }
        let named: Vec<_> =
            self.scenario.people.iter().filter(|people| people.joining_per_second > 0).collect();
        if !named.is_empty() {
            return named.into_iter().map(|people| self.crowd(people)).collect();
        }
        let seconds = self.scenario.lasting(self.plan.lasting).as_secs();
        let count = (seconds.saturating_sub(1) * NEWCOMERS_PER_SECOND).max(1) as u16;
        let seats = self.scenario.seats.iter();
        let plan = |&seat: &Seat| crowd::Plan {
            game: seat.game(),
            public: seat.public(),
            from: stage::newcomers(seat, count),
            per_second: 20,
            joining_per_second: NEWCOMERS_PER_SECOND,
            stay: Stay::Once,
        };
        seats.map(plan).collect()
    }

    fn measure(
        &mut self,
        crowds: &mut Vec<(u64, Crowd)>,
        newcomers: Vec<crowd::Plan>,
    ) -> anyhow::Result<Measured> {
        let lab = self.stage.lab.clone();
        let mut reader = Reader::open(&lab.node().path())?;
        let before = self.stage.count(&[])?;
        let dropped_before = watch::dropped(&mut reader)?;
        // Where nothing attacks there is nothing to see, and watching costs much of a processor.
        let attacked = !self.scenario.is_calm() || self.plan.attack_command.is_some();
        let watch = attacked.then(|| Watch::start(&lab)).transpose()?;
        let processor = self.agent.as_ref().map(Agent::processor_ms);
        let (began_ms, lasting) = (clock::now_ms(), self.scenario.lasting(self.plan.lasting));
        crowds.extend(newcomers.into_iter().map(|plan| (1, Crowd::start(&lab, plan))));
        let floods = self.scenario.floods.iter();
        let running: Vec<_> =
            floods.map(|flood| self.flood(flood, lasting)).collect::<anyhow::Result<_>>()?;
        let stranger = self.plan.attack_command.as_deref();
        let stranger = stranger.map(|command| stranger::start(&lab, command, lasting)).transpose()?;
        std::thread::sleep(LATER.min(lasting));
        let later = self.stage.count_now()?;
        if self.scenario.further > 0 {
            self.live(crowds, began_ms, lasting);
        }
        let ends_ms = began_ms + lasting.as_millis() as u64;
        std::thread::sleep(Duration::from_millis(ends_ms.saturating_sub(clock::now_ms())));
        let stranger_said = stranger.map(stranger::Running::end).transpose()?.unwrap_or_default();
        let mut sent = 0;
        for attack in running {
            sent += attack.finish()?.packets;
        }
        let over_ms = clock::now_ms();
        let processor_ms = self.agent.as_ref().zip(processor).map(|(agent, was)| agent.processor_ms() - was);
        let onset = watch.map(Watch::end).transpose()?.unwrap_or_default();
        crowds.iter().for_each(|(_, crowd)| crowd.pause(true));
        let after = self.stage.count(&[])?;
        crowds.iter().for_each(|(_, crowd)| crowd.pause(false));
        let dropped = watch::dropped(&mut reader)?.saturating_sub(dropped_before);
        Ok(Measured {
            before,
            later,
            after,
            dropped,
            onset,
            began_ms,
            over_ms,
            sent,
            processor_ms,
            stranger_said,
        })
    }

    /// Lets people come and go, and tells every five minutes how it goes.
    fn live(&self, crowds: &[(u64, Crowd)], began_ms: u64, lasting: Duration) {
        let guests: Vec<&Crowd> = crowds.iter().map(|(_, crowd)| crowd).collect();
        let mut each_minute = |minutes: u64, there: usize| {
            if !minutes.is_multiple_of(5) {
                return;
            }
            let incidents = self.agent.as_ref().map(|agent| agent.incidents_since(began_ms));
            let (name, incidents) = (self.scenario.name, incidents.unwrap_or_default());
            let text = format!(
                "{minutes} minutes are over, {there} guests are there, {} incidents",
                incidents.len()
            );
            (self.plan.say)(&format!("{name}: {text} {}", incidents.join("; ")));
        };
        Life::new(guests.len(), began_ms, lasting).live(self.stage, &guests, &mut each_minute);
    }

    fn outcome(&self, measured: &Measured, crowds: &[(u64, Crowd)]) -> Outcome {
        let Measured { before, later, after, .. } = *measured;
        let lasted_ms = (measured.over_ms - measured.began_ms).max(1);
        let (home, node, inside) =
            (after.home - before.home, after.node - before.node, after.containers - before.containers);
        let (late_node, late_inside) = (after.node - later.node, after.containers - later.containers);
        // A stranger may send from anywhere.
        let any = self.plan.attack_command.is_some();
        let attack =
            |arrived: crate::meter::Arrived| arrived.attackers + if any { arrived.others } else { 0 };
        let (from_ms, to_ms) = (measured.began_ms, clock::now_ms());
        let real = self.stage.real_health(from_ms, to_ms);
        let light_disconnected = self.stage.light_disconnected(from_ms, to_ms);
        let light: u64 = light_disconnected.iter().map(|(_, lost)| lost).sum();
        let others: u64 = crowds.iter().map(|(_, crowd)| crowd.disconnected(from_ms, to_ms)).sum();
        let onset = measured.onset;
        Outcome {
            lasted_ms,
            sent: measured.sent,
            attack_at_node: attack(node),
            attack_per_second: attack(node) * 1_000 / lasted_ms,
            attack_in_containers: attack(inside),
            later_at_node: attack(late_node),
            later_in_containers: attack(late_inside),
            dropped: measured.dropped,
            first_drop_us: onset.first_drop_us(),
            first_drop_apart_us: onset.apart_us,
            players_sent: home.players,
            players_lost: home.players.saturating_sub(inside.players),
            players_lost_on_wire: home.players.saturating_sub(node.players),
            newcomers_sent: home.newcomers,
            newcomers_lost: home.newcomers.saturating_sub(inside.newcomers),
            disconnected: real.disconnected + light + others,
            light_disconnected,
            real,
            joins: Joins::default(),
            genuine_leased: self.genuine_leased(measured.began_ms),
            processor_permille: measured.processor_ms.map(|ms| ms * 1_000 / lasted_ms),
            stranger_said: measured.stranger_said.clone(),
            ..Outcome::default()
        }
    }

    /// First drops of more beginnings of the same attack, in microseconds, 0 for none; one that cannot be run is left
    /// out.
    fn more_onsets(&mut self) -> Vec<u64> {
        let again = |_| match self.onset() {
            Ok(first_drop_us) => Some(first_drop_us.unwrap_or(0)),
            Err(error) => {
                (self.plan.say)(&format!("{}: another onset: {error:#}", self.scenario.name));
                None
            }
        };
        let count = if self.scenario.begins_from_peace() { self.plan.more_onsets } else { 0 };
        (0..count).filter_map(again).collect()
    }

    fn onset(&self) -> anyhow::Result<Option<u64>> {
        std::thread::sleep(CALM);
        let watch = Watch::start(&self.stage.lab)?;
        let floods = self.scenario.floods.iter();
        let running: Vec<_> = floods.map(|flood| self.flood(flood, ONSET)).collect::<anyhow::Result<_>>()?;
        std::thread::sleep(ONSET);
        running.into_iter().try_for_each(|attack| attack.finish().map(drop))?;
        let onset = watch.end()?;
        if let Some(agent) = self.agent.as_ref() {
            clock::wait_for(ALL_CLEAR, || (agent.open_incidents() == 0).then_some(()));
        }
        self.stage.forget_attackers();
        Ok(onset.first_drop_us())
    }

    /// Players' addresses among those that ftagent says it leased, and among those that the kernel's sets hold.
    fn genuine_leased(&self, since_ms: u64) -> Vec<String> {
        let Some(agent) = self.agent.as_ref() else { return Vec::new() };
        let told = agent.of("lease").into_iter().filter(|event| event.at_ms >= since_ms);
        let mut sources: Vec<String> =
            told.filter_map(|event| event.said["source"].as_str().map(str::to_owned)).collect();
        let sets = ["leases", "wide_leases", "node_leases", "node_wide_leases"];
        for set in sets.iter().flat_map(|set| [format!("{set}4"), format!("{set}6")]) {
            let listed = self.stage.lab.node().run("nft", &["list", "set", "inet", "ftagent", &set]);
            let listed = listed.unwrap_or_default();
            sources.extend(listed.split([' ', '\n', '\t', ',', '{', '}']).map(str::to_owned));
        }
        let address = |text: &String| text.split('/').next().unwrap_or("").parse().ok();
        sources.retain(|text| address(text).is_some_and(address::is_players));
        sources.sort_unstable();
        sources.dedup();
        sources
    }

    /// Waits until every incident is closed.
    fn all_clear(&self, measured: &Measured, outcome: &mut Outcome) {
        let Some(agent) = self.agent.as_ref() else { return };
        let of = |what| agent.of(what).into_iter().filter(|event| event.at_ms >= measured.began_ms);
        let cleared = clock::wait_for(ALL_CLEAR, || (agent.open_incidents() == 0).then_some(()));
        outcome.incidents_say = agent.incidents_since(measured.began_ms);
        outcome.incidents = outcome.incidents_say.len() as u64;
        outcome.services = agent.services().unwrap_or(0);
        (outcome.memory_kib, outcome.memory_most_kib) = agent.memory_kib();
        outcome.not_cleared = cleared.is_none();
        let last_ms = of("incident-closed").map(|event| event.at_ms).max();
        if cleared.is_some() {
            outcome.all_clear_ms = last_ms.map(|at| at.saturating_sub(measured.over_ms));
        }
    }

    fn wait_for_newcomers(&self, crowds: &[(u64, Crowd)]) {
        clock::wait_for(NEWCOMERS, || crowds.iter().all(|(_, crowd)| crowd.is_settled()).then_some(()));
    }
}

impl Scenario {
    /// Whether it is an attack out of a calm that a few seconds restore.
    fn begins_from_peace(&self) -> bool {
        let alone = self.people.is_empty() && self.warm_up.is_none() && !self.floods.is_empty();
        self.stopped_min().is_some() && alone && self.before == Before::Running
    }

    /// In thousandths, what must be stopped of it; nothing where it must only hurt nobody.
    pub(crate) fn stopped_min(&self) -> Option<u64> {
        if let Kind::Attack { stopped_min } = self.kind { Some(stopped_min) } else { None }
    }
}
