//! The keeper: one thread that writes what must outlive a restart. A disk may be slow or full, so nobody waits for
//! it: whoever has something to keep hands it over, and what the disk does not take is tried again.
//!
//! What must stay true: a disk that takes nothing is said once and changes nothing else.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::mpsc::SyncSender;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use ftagent_api::views::IncidentState;
use ftagent_api::views::IncidentView;
use ftagent_core::baseline::Learnt;
use ftagent_core::incident::Incident;
use ftagent_core::time::Instant;

use super::clock;
use super::events::Events;
use super::incident;
use crate::limits;
use crate::state;
use crate::state::incidents::Log;
use crate::state::incidents::Past;

/// Things that may wait for the disk; further ones are lost and come again with the next change.
const QUEUE_MAX: usize = 1_024;
/// How often to look at what waits.
const LOOK: Duration = Duration::from_millis(500);

/// What the keeper can be told.
pub(crate) enum Keep {
    /// An incident is new, or more is known of it.
    Incident(Arc<Incident>),
    /// No rule on this node can help against an incident; what to tell the provider.
    Beyond(u64, String),
    /// What was learnt about the services.
    Learnt(Learnt),
    /// Write what waits, and end.
    End,
}

/// What others may see of it.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// The incidents that are open now, by id.
    pub(crate) open: BTreeMap<u64, IncidentView>,
    /// What cannot be written, by what it is.
    pub(crate) problems: BTreeMap<&'static str, String>,
}

/// The end that things are handed to.
#[derive(Clone, Debug)]
pub(crate) struct Keeper {
    sender: SyncSender<Keep>,
    kept: Arc<Mutex<Kept>>,
}

impl Keeper {
    /// Starts the thread. `past` is what the log held; what was open in it was interrupted.
    pub(crate) fn start(
        state_dir: PathBuf,
        past: Past,
        events: Events,
    ) -> std::io::Result<(Self, std::thread::JoinHandle<()>)> {
        let (sender, received) = sync_channel(QUEUE_MAX);
        let kept = Arc::new(Mutex::new(Kept::default()));
        let mut desk = Desk {
            log: Log::new(&state_dir),
            state_dir,
            events,
            kept: kept.clone(),
            open: BTreeMap::new(),
            ended: VecDeque::new(),
            closed: VecDeque::new(),
        };
        let unfinished = past.incidents.into_values().filter(|past| past.state == IncidentState::Open);
        desk.ended.extend(
            unfinished.map(|unfinished| IncidentView { state: IncidentState::Interrupted, ..unfinished }),
        );
        let thread =
            std::thread::Builder::new().name("keeper".to_owned()).spawn(move || desk.work(&received))?;
        Ok((Self { sender, kept }, thread))
    }

    /// Hands something over. Never waits.
    pub(crate) fn keep(&self, what: Keep) {
        if self.sender.try_send(what).is_err() {
            tracing::warn!("the disk does not keep up; something was not written");
        }
    }

    /// Has everything written that waits, and ends.
    pub(crate) fn end(self, thread: std::thread::JoinHandle<()>) {
        // If the thread is gone there is nothing to end.
        let _ = self.sender.send(Keep::End);
        if thread.join().is_err() {
            tracing::error!("the keeper panicked; the last minutes are not remembered");
        }
    }

    /// The incidents that are open now.
    pub(crate) fn open(&self) -> Vec<IncidentView> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).open.values().cloned().collect()
    }

    /// What cannot be written.
    pub(crate) fn problems(&self) -> Vec<String> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).problems.values().cloned().collect()
    }
}

/// An incident that goes on.
struct Open {
    view: IncidentView,
    written_at: Instant,
    waits: bool,
}

/// The thread's belongings.
struct Desk {
    state_dir: PathBuf,
    log: Log,
    events: Events,
    kept: Arc<Mutex<Kept>>,
    open: BTreeMap<u64, Open>,
    /// Last records that the disk has not taken yet, oldest first.
    ended: VecDeque<IncidentView>,
    /// What was closed lately: its number, when, and when it began. What is told of it from before that is late.
    closed: VecDeque<(u64, Instant, u64)>,
}

impl Desk {
    fn work(&mut self, received: &Receiver<Keep>) {
        loop {
            match received.recv_timeout(LOOK) {
                Ok(Keep::Incident(incident)) => self.incident(&incident, clock::now(), state::unix_ms()),
                Ok(Keep::Beyond(id, says)) => self.beyond(id, says),
                Ok(Keep::Learnt(learnt)) => {
                    let written = state::learnt::write(&self.state_dir, &learnt);
                    self.told("learnt", "what was learnt", written);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Keep::End) | Err(RecvTimeoutError::Disconnected) => break,
            }
            self.write(clock::now(), limits::LOG_EVERY_MS);
        }
        self.write(clock::now(), 0);
    }

    fn incident(&mut self, incident: &Incident, now: Instant, now_unix_ms: u64) {
        let closed = self.closed.iter().find(|(id, ..)| *id == incident.id);
        if closed.is_some_and(|(_, at, _)| incident.changed_at <= *at) {
            return;
        }
        let known = self.open.get(&incident.id);
        // A pulsing attack is one incident that opens again.
        let began = known.map(|open| open.view.began_unix_ms).or(closed.map(|(.., began)| *began));
        let began = began.unwrap_or_else(|| incident::unix_ms(incident.opened_at, now, now_unix_ms));
        let mut view = incident::view(incident, began);
        view.beyond_this_node = known.and_then(|open| open.view.beyond_this_node.clone());
        if view.beyond_this_node.is_some() {
            "critical".clone_into(&mut view.severity);
        }
        if view.state == IncidentState::Open {
            let written_at = known.map_or(Instant::START, |open| open.written_at);
            self.open.insert(view.id, Open { view, written_at, waits: true });
        } else {
            self.open.remove(&view.id);
            self.closed.retain(|(id, ..)| *id != view.id);
            self.closed.push_back((view.id, incident.changed_at, view.began_unix_ms));
            if self.closed.len() > limits::LOG_WAITING {
                self.closed.pop_front();
            }
            self.ended.push_back(view);
        }
        self.publish();
    }

    fn beyond(&mut self, id: u64, says: String) {
        let Some(open) = self.open.get_mut(&id) else { return };
        open.waits |= open.view.beyond_this_node.is_none();
        open.view.beyond_this_node = Some(says);
        "critical".clone_into(&mut open.view.severity);
        self.publish();
    }

    fn publish(&self) {
        let open = self.open.iter().map(|(id, open)| (*id, open.view.clone())).collect();
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).open = open;
    }

    /// Writes what is due: ends at once, changes of what goes on every so often.
    fn write(&mut self, now: Instant, every_ms: u64) {
        let mut written = None;
        while let Some(ended) = self.ended.front() {
            let result = self.log.append(ended);
            let fine = result.is_ok();
            written = Some(result);
            if !fine {
                break;
            }
            self.ended.pop_front();
        }
        while self.ended.len() > limits::LOG_WAITING {
            self.ended.pop_front();
        }
        for open in self.open.values_mut() {
            let due = open.written_at == Instant::START || now.millis_since(open.written_at) >= every_ms;
            if !open.waits || !due || matches!(written, Some(Err(_))) {
                continue;
            }
            let result = self.log.append(&open.view);
            (open.written_at, open.waits) = (now, result.is_err());
            written = Some(result);
        }
        if let Some(result) = written {
            self.told("incidents", "the incident log", result);
        }
    }

    /// Says a problem once, when it begins, and once that it is over.
    fn told(&self, what: &'static str, name: &str, written: anyhow::Result<()>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        match written {
            Err(error) => {
                let says = format!("{name} cannot be written: {error:#}; protection goes on");
                if kept.problems.insert(what, says.clone()).is_none() {
                    tracing::error!("{says}");
                    self.events.send(clock::now(), "problem", &BTreeMap::from([("says", says)]));
                }
            }
            Ok(()) => {
                if kept.problems.remove(what).is_some() {
                    tracing::info!("{name} can be written again");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::incidents;

    fn desk(state_dir: &std::path::Path) -> Desk {
        Desk {
            state_dir: state_dir.to_path_buf(),
            log: Log::new(state_dir),
            events: Events::new(),
            kept: Arc::default(),
            open: BTreeMap::new(),
            ended: VecDeque::new(),
            closed: VecDeque::new(),
        }
    }

    fn incident(id: u64, at_ms: u64, closed: bool) -> Incident {
        Incident {
            id,
            opened_at: Instant::from_millis(1_000),
            changed_at: Instant::from_millis(at_ms),
            closed_at: closed.then(|| Instant::from_millis(at_ms)),
            ..Incident::default()
        }
    }

    fn lines(dir: &std::path::Path) -> usize {
        std::fs::read_to_string(dir.join("incidents/log.jsonl")).map_or(0, |text| text.lines().count())
    }

    #[test]
    fn what_goes_on_is_written_now_and_then_and_its_end_at_once() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut desk = desk(dir.path());
        // Milliseconds since the start, whether it is over then, and how many records there are afterwards.
        for (at_ms, closed, records) in
            [(1_000, false, 1), (2_000, false, 1), (6_100, false, 2), (6_200, false, 2), (6_300, true, 3)]
        {
            let now = Instant::from_millis(at_ms);
            desk.incident(&incident(1, at_ms, closed), now, 500_000 + at_ms);
            desk.write(now, limits::LOG_EVERY_MS);
            assert_eq!(lines(dir.path()), records, "at {at_ms} ms");
        }
        let past = incidents::read(dir.path()).expect("readable");
        assert_eq!(past.incidents[&1].began_unix_ms, 501_000);
        assert_eq!(past.incidents[&1].ended_unix_ms, Some(506_300));
    }

    #[test]
    fn a_clock_that_is_set_does_not_move_the_beginning() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut desk = desk(dir.path());
        desk.incident(&incident(1, 1_000, false), Instant::from_millis(1_000), 500_000);
        desk.incident(&incident(1, 3_000, false), Instant::from_millis(3_000), 9_000_000);
        assert_eq!(desk.open[&1].view.began_unix_ms, 500_000);
        assert_eq!(desk.open[&1].view.changed_unix_ms, 502_000);
    }

    #[test]
    fn a_pulse_opens_its_incident_again_and_late_news_does_not() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut desk = desk(dir.path());
        // Milliseconds, whether it is closed then, and whether it is open afterwards.
        for (at_ms, closed, open) in [
            (1_000, false, true),
            (3_000, true, false),
            (2_900, false, false),
            (9_000, false, true),
            (9_900, true, false),
        ] {
            desk.incident(&incident(1, at_ms, closed), Instant::from_millis(at_ms), 500_000 + at_ms);
            assert_eq!(desk.open.contains_key(&1), open, "at {at_ms} ms");
            desk.write(Instant::from_millis(at_ms), 0);
        }
        let past = incidents::read(dir.path()).expect("readable");
        assert_eq!(past.incidents[&1].state, IncidentState::Closed);
        assert_eq!((past.incidents[&1].began_unix_ms, past.incidents[&1].lasted_ms), (501_000, 8_900));
    }

    #[test]
    fn what_no_rule_here_can_help_against_stays_said() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut desk = desk(dir.path());
        desk.incident(&incident(1, 1_000, false), Instant::from_millis(1_000), 0);
        desk.beyond(1, "the link is full".to_owned());
        desk.beyond(2, "nobody knows it".to_owned());
        desk.incident(&incident(1, 2_000, true), Instant::from_millis(2_000), 0);
        desk.write(Instant::from_millis(2_000), 0);
        let past = incidents::read(dir.path()).expect("readable");
        assert_eq!(past.incidents[&1].severity, "critical");
        assert_eq!(past.incidents[&1].beyond_this_node.as_deref(), Some("the link is full"));
    }

    #[test]
    fn a_disk_that_takes_nothing_is_said_once_and_tried_again() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let blocked = dir.path().join("incidents");
        std::fs::write(&blocked, b"a file where a folder should be").expect("writable");
        let mut desk = desk(dir.path());
        for at_ms in [1_000, 7_000, 13_000] {
            let now = Instant::from_millis(at_ms);
            desk.incident(&incident(1, at_ms, at_ms == 13_000), now, 0);
            desk.write(now, limits::LOG_EVERY_MS);
            assert_eq!(desk.kept.lock().expect("no panic").problems.len(), 1, "at {at_ms} ms");
        }
        std::fs::remove_file(&blocked).expect("it is ours");
        desk.write(Instant::from_millis(13_500), limits::LOG_EVERY_MS);
        assert!(desk.kept.lock().expect("no panic").problems.is_empty());
        assert_eq!(incidents::read(dir.path()).expect("readable").incidents[&1].state, IncidentState::Closed);
    }
}
