//! One life of the agent, from the first look at the node to the last rule withdrawn.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::SyncSender;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use anyhow::Context as _;
use ftagent_alert::Alerts;
use ftagent_api::server;
use ftagent_api::server::CaptureBlocks;
use ftagent_api::server::Desk;
use ftagent_api::server::RecordQuery;
use ftagent_api::server::Request;
use ftagent_api::views::BlockChange;
use ftagent_api::views::Mode;
use ftagent_capture::Interface;
use ftagent_capture::LiveCapture;
use ftagent_core::Engine;
use ftagent_core::baseline::Learnt;
use ftagent_core::effect::Effects;
use ftagent_discovery::Snapshot;
use ftagent_firewall::Wall;
use ftagent_firewall::WallStatus;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio::sync::broadcast;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::Part;
use super::again;
use super::again::Again;
use super::again::Parting;
use super::alert;
use super::blocks::Blocks;
use super::clock;
use super::enforcer;
use super::enforcer::Enforcer;
use super::enforcer::Order;
use super::events::Events;
use super::folder;
use super::folder::Change;
use super::keeper::Keep;
use super::keeper::Keeper;
use super::look;
use super::modes::Modes;
use super::plugins::PluginSet;
use super::pressure::Pressure;
use super::pressure::Reading;
use super::quiet::Quiet;
use super::recorder;
use super::recorder::Recorder;
use super::recorder::Recording;
use super::seats::Seats;
use super::shard::Control;
use super::shard::Shard;
use super::shard::ShardReport;
use super::status;
use crate::config::Config;
use crate::exit::Exit;
use crate::exit::Failure;
use crate::exit::Outcome;
use crate::limits;
use crate::prefix::Network;
use crate::state;

/// Orders and controls that may wait. The threads look at them every few milliseconds.
const QUEUE_MAX: usize = 1_024;
/// How long the enforcer may take to do what an operator says.
const DONE_WITHIN: Duration = Duration::from_secs(2);
/// How long the shard may take to report before the status goes out without it.
const REPORT_WITHIN: Duration = Duration::from_millis(500);
/// How long ending may take for the sake of notices that wait.
const TOLD_WITHIN: Duration = Duration::from_secs(4);

/// Everything that the main task owns.
struct Agent {
    config: Config,
    interfaces: Vec<(Interface, String)>,
    plugins: PluginSet,
    modes: Modes,
    blocks: Blocks,
    events: Events,
    snapshot: Arc<Snapshot>,
    controls: SyncSender<Control>,
    orders: SyncSender<Order>,
    wall: Arc<Mutex<Option<WallStatus>>>,
    keeper: Keeper,
    pressure: Pressure,
    quiet: Quiet,
    alerts: Option<Alerts>,
    /// Recordings asked for so far.
    recordings: u64,
    started: ftagent_core::time::Instant,
}

/// Builds, spawns, waits and drains.
pub(super) async fn live(config: &Config, enforce: bool, without: Option<Part>) -> Outcome {
    let started = clock::now();
    let again = Again::of(config)?;
    let mut plugins = PluginSet::built_in(super::sandbox(config)?)?;
    let folder = config.plugins_dir();
    super::private_folder(&folder).with_context(|| format!("failed to make {}", folder.display()))?;
    for refused in plugins.load_folder(&folder) {
        tracing::warn!("{refused}");
    }
    let looking = look::start(config, &plugins).await?;
    let interfaces = look::interfaces(config, &looking.snapshot())?;
    let (modes, warning) = Modes::open(config, enforce);
    warn(warning);
    let (blocks, warning) = Blocks::open(config);
    warn(warning);
    let telling = alert::start(config)?;
    let (messages, recording) = recorder::start(recorder::folder(config), &config.forensics)?;
    let events = Events::new();
    let past = state::incidents::read(&config.state_dir).unwrap_or_else(|error| {
        tracing::warn!("the incident log cannot be read, so incidents are numbered anew: {error}");
        state::incidents::Past::default()
    });
    let learnt = learnt(config, &past);
    let (keeper, writing) = Keeper::start(config.state_dir.clone(), past, events.clone())?;
    let wall = Arc::new(Mutex::new(None));
    let (controls, told) = sync_channel(QUEUE_MAX);
    let (orders, enforcer) = {
        let shared = (events.clone(), keeper.clone(), wall.clone());
        spawn_enforcer(config, &looking.snapshot(), &interfaces, &modes, controls.clone(), shared, without)?
    };
    let shard =
        spawn_shard(config, &interfaces, &looking.snapshot(), &plugins, &orders, (told, learnt), without)?;
    let agent = Agent {
        config: config.clone(),
        interfaces,
        plugins,
        modes,
        blocks,
        events,
        snapshot: looking.snapshot(),
        controls,
        orders: orders.clone(),
        wall,
        keeper: keeper.clone(),
        pressure: Pressure::default(),
        quiet: Quiet::default(),
        alerts: telling.as_ref().map(|(alerts, _)| alerts.clone()),
        recordings: 0,
        started,
    };
    agent.control(Control::Recorder(Recorder::new(config.forensics.pcap, messages)));
    agent.introduce();
    agent.tell_blocks();
    let parting = agent.wait(looking, shard, &again).await;
    again::tell_service(if matches!(parting, Ok(Parting::Again)) { "RELOADING=1" } else { "STOPPING=1" });
    drain(&orders, enforcer, !matches!(parting, Ok(Parting::Withdraw)));
    keeper.end(writing);
    if !matches!(parting, Ok(Parting::Again)) {
        // Whoever begins again has no time for this; what waits is on the disk.
        end_telling(telling, recording).await;
    }
    match parting? {
        Parting::Withdraw | Parting::Leave => Ok(Exit::Fine),
        Parting::Again => Err(again.begin().into()),
    }
}

fn warn(warning: Option<String>) {
    if let Some(warning) = warning {
        tracing::warn!("{warning}");
    }
}

/// What an earlier life has learnt. Its numbers of incidents count on, also after a crash.
fn learnt(config: &Config, past: &state::incidents::Past) -> Learnt {
    let read = state::learnt::read::<Learnt>(&config.state_dir);
    let mut learnt = read.unwrap_or_else(|warning| {
        warn(Some(warning));
        None
    });
    let known = past.incidents.keys().next_back().copied().unwrap_or(0);
    let learnt_before = learnt.take().unwrap_or_default();
    Learnt { last_incident: learnt_before.last_incident.max(known), ..learnt_before }
}

/// Opens the wall here, where a failure can still stop the start, and gives it to its thread.
fn spawn_enforcer(
    config: &Config,
    snapshot: &Snapshot,
    interfaces: &[(Interface, String)],
    modes: &Modes,
    controls: SyncSender<Control>,
    (events, keeper, status): (Events, Keeper, Arc<Mutex<Option<WallStatus>>>),
    without: Option<Part>,
) -> Result<(SyncSender<Order>, std::thread::JoinHandle<()>), Failure> {
    let now = clock::now();
    let mut wall = Wall::open(look::wall_config(config, snapshot, interfaces, modes.node(), without), now)?;
    for refused in wall.set_lists(&config.firewall_always_block, &[], now)? {
        tracing::warn!("{refused}");
    }
    let (orders, received) = sync_channel(QUEUE_MAX);
    let enforcer = Enforcer::new(wall, (received, controls), events, keeper, status);
    let thread = std::thread::Builder::new().name("enforcer".to_owned()).spawn(|| enforcer.work())?;
    Ok((orders, thread))
}

/// Opens the capture here for the same reason. The receiver resolves when the shard has ended, with its error.
fn spawn_shard(
    config: &Config,
    interfaces: &[(Interface, String)],
    snapshot: &Snapshot,
    plugins: &PluginSet,
    orders: &SyncSender<Order>,
    (controls, learnt): (Receiver<Control>, Learnt),
    without: Option<Part>,
) -> Result<oneshot::Receiver<String>, Failure> {
    let plan = look::capture_plan(&snapshot.services, plugins, config.forensics.pcap);
    let watched: Vec<_> = interfaces.iter().map(|(interface, _)| interface.clone()).collect();
    let capture = LiveCapture::open(&watched, &plan, look::capture_options(config))?;
    let mut engine = Engine::new(look::engine_config(), plugins.roster(), snapshot.services.clone());
    ftagent_capture::prefer_large_pages(engine.tables());
    engine.restore(learnt);
    adopt_connections(&mut engine, orders);
    let seats = if without == Some(Part::Plugin) { Seats::default() } else { Seats::new(&plugins.plugins()) };
    let shard =
        Shard { capture, engine, seats, controls, orders: orders.clone(), alerts: None, recorder: None };
    let (ended, end) = oneshot::channel();
    std::thread::Builder::new().name("shard".to_owned()).spawn(move || {
        let why = shard.work().map_or_else(|error| error.to_string(), |()| String::new());
        // The main task may be gone already.
        let _ = ended.send(why);
    })?;
    Ok(end)
}

/// Players who are connected already have their lanes from the first second on.
fn adopt_connections(engine: &mut Engine, orders: &SyncSender<Order>) {
    let connections = match ftagent_firewall::connections() {
        Ok(connections) => connections,
        Err(error) => {
            return tracing::warn!("players of TCP who are connected settle within seconds: {error}");
        }
    };
    let mut effects = Effects::default();
    engine.adopt(clock::now(), &connections, &mut effects);
    if orders.try_send(Order::Effects(effects.asked)).is_err() {
        tracing::warn!("the enforcer is not there yet; lanes are asked for again within seconds");
    }
}

/// Both end by themselves once the shard has let go of its ends; telling spends two seconds on what waits.
async fn end_telling(telling: alert::Telling, recording: std::thread::JoinHandle<()>) {
    if let Some((alerts, task)) = telling {
        drop(alerts);
        if tokio::time::timeout(TOLD_WITHIN, task).await.is_err() {
            tracing::warn!("notices that wait are told after the next start");
        }
    }
    if recording.join().is_err() {
        tracing::error!("the recorder panicked; the last packets of an incident are lost");
    }
}

fn drain(orders: &SyncSender<Order>, enforcer: std::thread::JoinHandle<()>, keep: bool) {
    // A full queue is emptied by the thread that reads it; if that is gone there is nothing to drain.
    let _ = orders.send(Order::End { keep });
    if enforcer.join().is_err() {
        tracing::error!("the enforcer panicked; what it left ends by itself within 11 s");
    }
}

impl Agent {
    /// The first lines: what is watched, what would happen, how to make it happen.
    fn introduce(&self) {
        for (interface, because) in &self.interfaces {
            tracing::info!("watching {}: {because}", interface.name);
        }
        if let Some(alerts) = &self.alerts {
            self.control(Control::Alerts(alerts.clone()));
        }
        tracing::info!(
            "{} services of {} servers",
            self.snapshot.services.len(),
            self.snapshot.servers.len()
        );
        for finding in &self.snapshot.findings {
            tracing::warn!("{}", finding.says);
        }
        match self.modes.node() {
            Mode::Limit => tracing::info!(
                "limiting: shapes are dropped and strangers limited, no address is blocked; `ftagent mode enforce` \
                 blocks too, `ftagent mode observe` stops dropping"
            ),
            Mode::Observe => tracing::info!(
                "observing: attacks are told of and counted, nothing is dropped; `ftagent mode enforce` drops, \
                 `ftagent mode enforce --try 10m` goes back unless confirmed"
            ),
            Mode::Enforce => tracing::info!(
                "enforcing; `ftagent mode observe` stops dropping, `ftagent off` takes all out"
            ),
        }
    }

    async fn wait(
        mut self,
        mut looking: look::Looking,
        mut shard: oneshot::Receiver<String>,
        again: &Again,
    ) -> Result<Parting, Failure> {
        let (publish, published) = watch::channel(Arc::new(self.status(None)));
        let (requests, mut asked) = mpsc::channel(QUEUE_MAX);
        let mut server = self.serve(published, requests)?;
        let (_watcher, mut changes) = folder::watch(&self.config.plugins_dir())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut leave = signal(SignalKind::user_defined1())?;
        let mut reload = signal(SignalKind::hangup())?;
        let mut second = tokio::time::interval(Duration::from_secs(1));
        let mut minute = tokio::time::interval(Duration::from_secs(limits::LEARNT_EVERY_SECONDS));
        minute.reset();
        self.tell_services();
        again::tell_service("READY=1");
        let parting = loop {
            tokio::select! {
                _ = terminate.recv() => break Parting::Withdraw,
                _ = interrupt.recv() => break Parting::Withdraw,
                _ = leave.recv() => break Parting::Leave,
                _ = reload.recv() => match tokio::task::block_in_place(|| again.check()) {
                    Ok(()) => break Parting::Again,
                    Err(error) => self.refuse_reload(&error),
                },
                why = &mut shard => return Err(anyhow::anyhow!("capture ended: {}", why.unwrap_or_default()).into()),
                ended = &mut server => return Err(anyhow::anyhow!("the socket ended: {ended:?}").into()),
                snapshot = looking.changed() => self.follow(snapshot),
                Some(change) = changes.recv() => {
                    self.change_plugin(&change);
                    looking.reread(&self.config, &self.plugins);
                }
                Some(request) = asked.recv() => self.answer(request).await,
                _ = second.tick() => {
                    if self.modes.revert_if_due() {
                        self.mode_changed();
                    }
                    self.blocks.end(state::unix_seconds());
                    let report = self.report().await;
                    self.feel_pressure();
                    for incident in report.iter().flat_map(|report| &report.incidents) {
                        self.keeper.keep(Keep::Incident(incident.clone()));
                    }
                    publish.send_replace(Arc::new(self.status(report)));
                }
                _ = minute.tick() => {
                    self.control(Control::WallClock(clock::wall_micros_at_start()));
                    self.keep_learnt().await;
                }
            }
        };
        self.keep_learnt().await;
        Ok(parting)
    }

    /// Looks at what no rule can mend, and says of each incident what to tell the provider while that is full.
    fn feel_pressure(&mut self) {
        let names: Vec<_> = self.interfaces.iter().map(|(interface, _)| interface.name.as_str()).collect();
        self.pressure.observe(Reading::take(clock::now(), &names, self.config.capture_link_mbit));
        let dev = std::fs::read_to_string("/proc/net/dev").unwrap_or_default();
        self.quiet.observe(clock::now(), &dev, &names);
        for incident in self.keeper.open() {
            let Some(says) = self.pressure.beyond(&incident) else { return };
            if incident.beyond_this_node.is_none() {
                tracing::error!("incident {}: {says}", incident.id);
                let about = serde_json::json!({ "incident": incident.id, "says": says });
                self.events.send(clock::now(), "beyond-this-node", &about);
            }
            self.keeper.keep(Keep::Beyond(incident.id, says));
        }
    }

    /// Has what was learnt written down.
    async fn keep_learnt(&self) {
        let (reply, learnt) = oneshot::channel();
        self.control(Control::Learnt(reply));
        if let Ok(Ok(learnt)) = tokio::time::timeout(REPORT_WITHIN, learnt).await {
            self.keeper.keep(Keep::Learnt(learnt));
        }
    }

    fn refuse_reload(&self, error: &anyhow::Error) {
        tracing::error!("not begun anew, everything goes on as before: {error:#}");
        let about = std::collections::BTreeMap::from([("says", format!("not begun anew: {error:#}"))]);
        self.events.send(clock::now(), "problem", &about);
    }

    fn serve(
        &self,
        status: watch::Receiver<Arc<ftagent_api::views::Status>>,
        requests: mpsc::Sender<Request>,
    ) -> Result<JoinHandle<Result<(), ftagent_api::ApiError>>, Failure> {
        let dir = &self.config.runtime_dir;
        super::private_folder(dir).with_context(|| format!("failed to make {}", dir.display()))?;
        let events: broadcast::Sender<_> = self.events.sender();
        let socket = self.config.socket();
        let desk = Desk { status, events, requests };
        Ok(tokio::spawn(async move { server::serve(&socket, desk).await }))
    }

    /// The node looks different now.
    fn follow(&mut self, snapshot: Arc<Snapshot>) {
        if snapshot.services != self.snapshot.services {
            tracing::info!("{} services of {} servers", snapshot.services.len(), snapshot.servers.len());
            let about = std::collections::BTreeMap::from([("services", snapshot.services.len())]);
            self.events.send(clock::now(), "services", &about);
        }
        self.snapshot = snapshot;
        self.tell_services();
    }

    /// Tells both threads which services there are and which mode holds for them.
    fn tell_services(&self) {
        let services = look::services_as_ruled(&self.config, &self.modes, &self.snapshot.services);
        let plan = look::capture_plan(&services, &self.plugins, self.config.forensics.pcap);
        self.control(Control::Services(services.clone(), plan));
        self.control(Control::FixedLimits(look::fixed_limits(&self.config, &services)));
        let modes = services.iter().map(|service| (service.key, self.modes.of(&service.server))).collect();
        let modes = enforcer::Modes { node: self.modes.node(), services: modes };
        if self.orders.try_send(Order::Services(services, modes)).is_err() {
            tracing::error!("the enforcer does not keep up; it learns of the services a second later");
        }
    }

    fn mode_changed(&self) {
        tracing::info!("{} mode", self.modes.node());
        self.events.send(clock::now(), "mode", &self.modes.view());
        self.tell_services();
    }

    fn change_plugin(&mut self, change: &Change) {
        let at = match change {
            Change::Came(path) => match self.plugins.load_file(path) {
                Ok(at) => at,
                Err(error) => {
                    tracing::warn!("{error}");
                    let about = std::collections::BTreeMap::from([("refused", error.to_string())]);
                    self.events.send(clock::now(), "plugin", &about);
                    return;
                }
            },
            Change::Went(path) => match self.plugins.forget_file(path) {
                Some(at) => at,
                None => return,
            },
        };
        let Some(plugin) = self.plugins.plugins().get(at).cloned() else { return };
        let seat = plugin.seat().inspect_err(|error| tracing::error!("{error}")).ok();
        self.control(Control::Plugin { at, roster: self.plugins.roster(), seat });
        let manifest = plugin.manifest();
        tracing::info!("plugin {} {} is in use", manifest.name, manifest.version);
        let about =
            std::collections::BTreeMap::from([("name", &manifest.name), ("version", &manifest.version)]);
        self.events.send(clock::now(), "plugin", &about);
    }

    async fn answer(&mut self, request: Request) {
        match request {
            Request::Blocks { change, reply } => {
                let changed = match &change {
                    Some(change) => self.change_block(change).await,
                    None => Ok(()),
                };
                // Whoever asked may have left.
                let _ = reply.send(changed.map(|()| self.blocks.view()));
            }
            Request::Mode { change, reply } => {
                let known = |server: &String| self.snapshot.services.iter().any(|s| *s.server == **server);
                let changed = match &change.server {
                    Some(server) if change.mode.is_some() && !known(server) => {
                        Err(format!("no server `{server}`; `ftagent services` lists them"))
                    }
                    _ => self.modes.change(&change),
                };
                if changed.is_ok() {
                    self.mode_changed();
                }
                // Whoever asked may have left.
                let _ = reply.send(changed.map(|()| self.modes.view()));
            }
            Request::Record { query, reply } => self.record(&query, reply),
            Request::Explain { address, reply } => {
                let (explained, explanation) = oneshot::channel();
                self.control(Control::Explain(address, explained));
                let leases = self.leases_of(address);
                tokio::spawn(async move {
                    let Ok(explanation) = explanation.await else { return };
                    // Whoever asked may have left.
                    let _ = reply.send(status::explained(&explanation, leases));
                });
            }
        }
    }

    /// Says what was remembered of networks, before the first service is protected.
    fn tell_blocks(&self) {
        for (network, wish) in self.blocks.wishes() {
            if self.orders.try_send(Order::Wish(network, wish, None)).is_err() {
                tracing::error!("the enforcer does not keep up; {network} is not ruled on as remembered");
            }
        }
    }

    /// Has the wall do what an operator says of a network, and remembers it if the wall took it.
    async fn change_block(&mut self, change: &BlockChange) -> Result<(), String> {
        let network: Network =
            change.prefix.parse().map_err(|why| format!("`{}` is {why}", change.prefix))?;
        let wish = self.blocks.wish(network.0, change.ruling, change.for_seconds)?;
        let (reply, done) = oneshot::channel();
        if self.orders.try_send(Order::Wish(network.0, wish, Some(reply))).is_err() {
            return Err("the enforcer does not keep up; ask again".to_owned());
        }
        match tokio::time::timeout(DONE_WITHIN, done).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(why))) => return Err(why),
            _ => return Err("the enforcer did not answer in time".to_owned()),
        }
        self.blocks.took(network.0, change.ruling, change.for_seconds);
        let ruling = change.ruling.map_or("unblock".to_owned(), |ruling| ruling.to_string());
        tracing::info!("{ruling} {} by hand", network.0);
        self.events.send(clock::now(), "blocks", change);
        Ok(())
    }

    /// Has the shard record a server; the blocks of the file go from the recorder to whoever asked.
    fn record(&mut self, query: &RecordQuery, reply: oneshot::Sender<Result<CaptureBlocks, String>>) {
        self.recordings += 1;
        let asked = recorder::services_of(&self.snapshot.services, &query.server).and_then(|services| {
            let anonymiser =
                query.anonymise.then(|| recorder::anonymiser(&self.config.state_dir)).transpose();
            let anonymiser = anonymiser.map_err(|error| format!("{error:#}"))?;
            let (blocks, received) = mpsc::channel(Recording::BLOCKS);
            let comment = format!("ftagent recording of {} s", query.seconds);
            let (number, seconds) = (self.recordings, query.seconds);
            Ok((Recording { number, services, seconds, comment, anonymiser, blocks }, received))
        });
        let (recording, received) = match asked {
            Ok(asked) => asked,
            Err(why) => {
                // Whoever asked may have left.
                let _ = reply.send(Err(why));
                return;
            }
        };
        let (begun, beginning) = oneshot::channel();
        self.control(Control::Record(recording, begun));
        tokio::spawn(async move {
            let begun = beginning.await.unwrap_or(false);
            let answer = if begun {
                Ok(received)
            } else {
                Err("too much is recorded at the moment; ask again".to_owned())
            };
            // Whoever asked may have left.
            let _ = reply.send(answer);
        });
    }

    fn leases_of(&self, address: std::net::IpAddr) -> serde_json::Value {
        let wall = self.wall.lock().unwrap_or_else(PoisonError::into_inner);
        let leases = wall.iter().flat_map(|wall| &wall.leases).filter(|lease| lease.source == address);
        serde_json::to_value(leases.collect::<Vec<_>>()).unwrap_or_default()
    }

    fn control(&self, control: Control) {
        if self.controls.try_send(control).is_err() {
            tracing::error!("the capture thread does not keep up");
        }
    }

    async fn report(&self) -> Option<ShardReport> {
        let (reply, report) = oneshot::channel();
        self.control(Control::Report(reply));
        tokio::time::timeout(REPORT_WITHIN, report).await.ok()?.ok()
    }

    fn status(&self, report: Option<ShardReport>) -> ftagent_api::views::Status {
        let wall = self.wall.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut status = status::view(&status::Parts {
            started: self.started,
            modes: &self.modes,
            blocks: &self.blocks,
            interfaces: &self.interfaces,
            snapshot: &self.snapshot,
            plugins: &self.plugins,
            report: report.as_ref(),
            wall: wall.as_ref(),
            keeper: &self.keeper,
            pressure: &self.pressure,
            quiet: &self.quiet,
        });
        status.problems.extend(self.alerts.iter().flat_map(alert::problems));
        status
    }
}
