//! The task that ties gate, couriers and receivers together. It owns all of them; others only hold [`Alerts`].

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::SystemTime;

use ftagent_core::effect::Notice as CoreNotice;
use ftagent_core::incident::Incident;
use ftagent_core::time::Instant;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::task::JoinSet;

use crate::AlertError;
use crate::courier::Counts;
use crate::courier::Courier;
use crate::courier::Letter;
use crate::courier::Next;
use crate::courier::Outcome;
use crate::exec::Program;
use crate::gate::Gate;
use crate::gate::Known;
use crate::limits;
use crate::notice::Because;
use crate::notice::Moment;
use crate::notice::Speaker;
use crate::notice::What;
use crate::settings::Settings;
use crate::store;
use crate::store::Store;
use crate::store::Stored;
use crate::webhook::Webhook;

/// How one receiver is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// `webhook https://host` or `exec /path`.
    pub receiver: String,
    /// Notices that wait.
    pub waiting: u64,
    /// Notices it took.
    pub delivered: u64,
    /// Notices it refused for good.
    pub refused: u64,
    /// Tries that failed.
    pub failed: u64,
    /// Notices that were lost because too many waited.
    pub dropped: u64,
    /// Taken for dead; it is probed once a minute.
    pub open: bool,
    /// What went wrong last, until something goes right.
    pub trouble: Option<String>,
}

/// The end that everybody may hold. When the last one is dropped, the task spends two more seconds on what waits,
/// writes down the rest and ends.
#[derive(Clone, Debug)]
pub struct Alerts {
    changes: mpsc::Sender<(What, Arc<Incident>)>,
    lost: Arc<AtomicU64>,
    /// Written by the task alone.
    told: Arc<Mutex<Vec<Told>>>,
}

impl Alerts {
    /// Tells of an incident; other notices are passed over. Never waits.
    pub fn tell(&self, notice: &CoreNotice) {
        let change = match notice {
            CoreNotice::IncidentOpened(incident) => (What::Opened, Arc::clone(incident)),
            CoreNotice::IncidentChanged(incident) => (What::Changed, Arc::clone(incident)),
            CoreNotice::IncidentClosed(incident) => (What::Closed, Arc::clone(incident)),
            CoreNotice::FirstHostile { .. } => return,
        };
        if self.changes.try_send(change).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Changes that were lost because the task did not keep up.
    pub fn lost_full(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// How the receivers are.
    pub fn told(&self) -> Vec<Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Checks the settings and starts the task; `None` if there is nobody to tell.
///
/// # Errors
/// A setting that cannot work, so that it is found at the start and not in an attack.
pub fn start(settings: &Settings) -> Result<Option<(Alerts, JoinHandle<()>)>, AlertError> {
    if !settings.tells_anybody() {
        return Ok(None);
    }
    let post = Post::new(settings)?;
    let (changes, coming) = mpsc::channel(limits::WAITING_CHANGES);
    let alerts = Alerts { changes, lost: Arc::default(), told: Arc::clone(&post.told) };
    Ok(Some((alerts, tokio::spawn(post.work(coming)))))
}

/// One receiver's way.
#[derive(Clone, Debug)]
enum Way {
    Webhook(Arc<Webhook>),
    Exec(Arc<Program>),
}

#[derive(Debug)]
struct Receiver {
    name: &'static str,
    shown: String,
    way: Way,
    courier: Courier,
    trouble: Option<String>,
}

/// What was going on beside the task.
enum Done {
    Answered(usize, Outcome, String),
    Saved(Result<(), AlertError>),
}

struct Post {
    speaker: Speaker,
    gate: Gate,
    receivers: Vec<Receiver>,
    store: Store,
    started: std::time::Instant,
    going_on: JoinSet<Done>,
    /// Something changed since it was written down last.
    dirty: bool,
    saving: bool,
    /// The last write failed and people know.
    unsaved: bool,
    told: Arc<Mutex<Vec<Told>>>,
}

impl Post {
    fn new(settings: &Settings) -> Result<Self, AlertError> {
        let store = Store::new(&settings.state_dir);
        let stored = store.read().unwrap_or_else(|warning| {
            tracing::warn!("{warning}");
            Stored::default()
        });
        let mut receivers = Vec::new();
        let mut add = |name: &'static str, shown: String, way: Way| {
            let waits = stored.waiting.iter().find(|(known, _)| known == name);
            let waits = waits.map_or_else(Vec::new, |(_, letters)| letters.clone());
            let courier = Courier::new(settings.pace, waits);
            receivers.push(Receiver { name, shown, way, courier, trouble: None });
        };
        if let Some(webhook) = &settings.webhook {
            let webhook = Webhook::new(webhook, settings.pace.answer_ms)?;
            add("webhook", format!("webhook {}", webhook.shown()), Way::Webhook(Arc::new(webhook)));
        }
        if let Some(program) = Program::new(&settings.exec, settings.pace.answer_ms)? {
            add("exec", format!("exec {}", program.shown()), Way::Exec(Arc::new(program)));
        }
        let node_id = store::node_id(&settings.state_dir)?;
        let mut post = Self {
            speaker: Speaker { node_id, node: settings.node.clone(), names: settings.names },
            gate: Gate::new(settings.severity_min, settings.pace.change_ms),
            receivers,
            store,
            started: std::time::Instant::now(),
            going_on: JoinSet::new(),
            dirty: true,
            saving: false,
            unsaved: false,
            told: Arc::default(),
        };
        post.end_all(&stored.open);
        post.publish();
        Ok(post)
    }

    async fn work(mut self, mut coming: mpsc::Receiver<(What, Arc<Incident>)>) {
        loop {
            let wake_ms = self.dispatch();
            self.save();
            tokio::select! {
                change = coming.recv() => match change {
                    Some((what, incident)) => self.change(what, &incident),
                    None => break,
                },
                Some(done) = self.going_on.join_next(), if !self.going_on.is_empty() => self.done(done),
                () = tokio::time::sleep(Duration::from_millis(wake_ms.unwrap_or(0))), if wake_ms.is_some() => {}
            }
            self.publish();
        }
        self.end().await;
    }

    /// The agent ends: what is open ends for the receivers too, and what cannot be told now is told after the next
    /// start.
    async fn end(mut self) {
        let open: Vec<Known> = self.gate.known().values().cloned().collect();
        self.end_all(&open);
        let last = tokio::time::Instant::now() + Duration::from_millis(limits::LAST_MS);
        while self.dispatch().is_some() || !self.going_on.is_empty() {
            match tokio::time::timeout_at(last, self.going_on.join_next()).await {
                Ok(Some(done)) => self.done(done),
                Ok(None) | Err(_) => break,
            }
        }
        self.going_on.shutdown().await;
        if let Err(error) = self.store.write(&self.stored()) {
            tracing::warn!("notices that wait are lost: {error}");
        }
    }

    /// Tells the receivers that these incidents are over for them.
    fn end_all(&mut self, open: &[Known]) {
        for known in open {
            self.post(What::Closed, known.notices + 1, Because::AgentEnded, &known.last);
            self.gate.forget(known.last.id);
        }
    }

    fn change(&mut self, what: What, incident: &Incident) {
        let now = self.now();
        if let Some((what, notice)) = self.gate.judge(now, what, incident) {
            self.post(what, notice, Because::Over, incident);
        }
    }

    fn post(&mut self, what: What, notice: u32, because: Because, incident: &Incident) {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let at_unix_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let said = self.speaker.notice(&Moment { what, notice, because, at_unix_ms }, incident);
        let body = serde_json::to_string(&said).expect("plain values can be written");
        let id = format!("{}-{notice}", said.id);
        for receiver in &mut self.receivers {
            let (id, body) = (id.clone(), body.clone());
            receiver.courier.take(Letter { id, incident: incident.id, what, body });
        }
        self.dirty = true;
    }

    /// Sends what can be sent; milliseconds until there may be more.
    fn dispatch(&mut self) -> Option<u64> {
        let now = self.now();
        let mut wake_ms: Option<u64> = None;
        for (at, receiver) in self.receivers.iter_mut().enumerate() {
            match receiver.courier.next(now) {
                Next::Rest => {}
                Next::At(then) => {
                    let wait_ms = then.micros_since(now).div_ceil(1_000);
                    wake_ms = Some(wake_ms.map_or(wait_ms, |known| known.min(wait_ms)));
                }
                Next::Send(letter) => {
                    let (id, body, way) = (letter.id.clone(), letter.body.clone(), receiver.way.clone());
                    receiver.courier.sent();
                    self.going_on.spawn(async move {
                        let (outcome, says) = match way {
                            Way::Webhook(webhook) => webhook.send(&id, body).await,
                            Way::Exec(program) => program.run(body).await,
                        };
                        Done::Answered(at, outcome, says)
                    });
                }
            }
        }
        wake_ms
    }

    fn done(&mut self, done: Result<Done, tokio::task::JoinError>) {
        let now = self.now();
        match done {
            Ok(Done::Answered(at, outcome, says)) => {
                let Some(receiver) = self.receivers.get_mut(at) else { return };
                receiver.courier.answered(now, outcome);
                receiver.tell_of(outcome, says);
                self.dirty |= matches!(outcome, Outcome::Delivered | Outcome::Refused);
            }
            Ok(Done::Saved(result)) => {
                self.saving = false;
                match result {
                    Ok(()) => self.unsaved = false,
                    Err(error) if !self.unsaved => {
                        tracing::warn!("notices that wait would not survive a restart: {error}");
                        self.unsaved = true;
                    }
                    Err(_) => {}
                }
            }
            Err(error) => tracing::error!(%error, "a notice was not sent"),
        }
    }

    /// Writes down what waits, beside the sending: a disk that hangs stops nothing.
    fn save(&mut self) {
        if !self.dirty || self.saving {
            return;
        }
        (self.dirty, self.saving) = (false, true);
        let (store, stored) = (self.store.clone(), self.stored());
        self.going_on.spawn_blocking(move || Done::Saved(store.write(&stored)));
    }

    fn stored(&self) -> Stored {
        let waiting = self.receivers.iter();
        let waiting = waiting.map(|r| (r.name.to_owned(), r.courier.waiting().cloned().collect()));
        Stored { version: 0, waiting: waiting.collect(), open: self.gate.known().values().cloned().collect() }
    }

    fn publish(&self) {
        let told = self.receivers.iter().map(Receiver::told).collect();
        // Only this task writes; a panic while writing cannot leave half a list.
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = told;
    }

    fn now(&self) -> Instant {
        Instant::from_micros(u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX))
    }
}

impl Receiver {
    /// Says in the log what changed for the worse or the better, once.
    fn tell_of(&mut self, outcome: Outcome, says: String) {
        let shown = &self.shown;
        match outcome {
            Outcome::Delivered if self.trouble.take().is_some() => {
                tracing::info!("{shown} takes notices again")
            }
            Outcome::Delivered => {}
            Outcome::Refused => {
                tracing::warn!("{shown} refused a notice: {says}");
                self.trouble = Some(says);
            }
            Outcome::Failed | Outcome::FailedFor(_) => {
                if self.trouble.is_none() {
                    tracing::warn!("{shown} does not take notices: {says}");
                }
                self.trouble = Some(says);
            }
        }
    }

    fn told(&self) -> Told {
        let Counts { delivered, refused, failed, dropped } = self.courier.counts;
        Told {
            receiver: self.shown.clone(),
            waiting: self.courier.waiting().len() as u64,
            delivered,
            refused,
            failed,
            dropped,
            open: self.courier.is_open(),
            trouble: self.trouble.clone(),
        }
    }
}
