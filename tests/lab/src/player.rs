//! A real client in the players' namespace, and what it says of itself.
//!
//! A client prints one JSON object a line: `{"event": "joined"}`, `{"event": "echo", "number": 3, "ms": 1.2}`,
//! `{"event": "lost", "number": 4}` for an echo that did not come within its time, `{"event": "disconnected",
//! "why": "..."}`. Each line gets the time at which it was read.

use std::io::BufRead;
use std::io::BufReader;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use anyhow::Context;
use anyhow::bail;
use serde_json::Value;

use crate::clock;

/// One line of a client.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Event {
    /// When it was read, on the monotonic clock.
    pub at_ms: u64,
    /// What it says.
    pub said: Value,
}

/// How a client fared during some time.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Health {
    /// Echoes that came back.
    pub echoes: u64,
    /// Echoes that did not come back within their time.
    pub lost: u64,
    /// The slowest echo but one in twenty, in milliseconds.
    pub latency_p95_ms: f64,
    /// How often it lost its connection.
    pub disconnected: u64,
}

impl Health {
    /// Adds another client's.
    #[must_use]
    pub fn and(self, other: &Self) -> Self {
        Self {
            echoes: self.echoes + other.echoes,
            lost: self.lost + other.lost,
            latency_p95_ms: self.latency_p95_ms.max(other.latency_p95_ms),
            disconnected: self.disconnected + other.disconnected,
        }
    }

    /// Echoes asked for.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.echoes + self.lost
    }
}

/// A running client; ends when dropped.
#[derive(Debug)]
pub struct Player {
    name: String,
    process: Child,
    events: Arc<Mutex<Vec<Event>>>,
}

impl Player {
    /// Starts a client. The command decides where: see [`crate::Namespace::command`].
    pub fn start(name: &str, mut command: Command) -> anyhow::Result<Self> {
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start client {name}"))?;
        let events = Arc::new(Mutex::new(Vec::new()));
        let stdout = process.stdout.take().expect("it was asked to be a pipe");
        let stderr = process.stderr.take().expect("it was asked to be a pipe");
        // The threads end when the process does, which holds the other ends.
        let heard = Arc::clone(&events);
        std::thread::spawn(move || listen(stdout, &heard));
        let heard = Arc::clone(&events);
        std::thread::spawn(move || listen(stderr, &heard));
        Ok(Self { name: name.to_owned(), process, events })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Everything it has said.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until it has said `event`.
    pub fn wait_for(&mut self, event: &str, timeout: Duration) -> anyhow::Result<Event> {
        self.wait_for_all(event, 1, timeout)
    }

    /// Waits until it has said `event` so many times, and returns the last of them.
    pub fn wait_for_all(&mut self, event: &str, times: usize, timeout: Duration) -> anyhow::Result<Event> {
        let said = |player: &Self| {
            let events = player.events();
            events.into_iter().filter(|heard| heard.said["event"] == event).nth(times.saturating_sub(1))
        };
        let answer = clock::wait_for(timeout, || {
            let found = said(self);
            let mut ended = || matches!(self.process.try_wait(), Ok(Some(_)) | Err(_));
            found.map(Some).or_else(|| ended().then_some(None))
        });
        // It may have said it just before it ended.
        match answer.flatten().or_else(|| said(self)) {
            Some(event) => Ok(event),
            None => bail!(
                "client {} did not say `{event}` {times} times within {timeout:?}; it said\n{}",
                self.name,
                self.said()
            ),
        }
    }

    /// Waits until it ends by itself; the lines of its last words are in [`Player::events`].
    pub fn wait(&mut self, timeout: Duration) -> anyhow::Result<()> {
        let status = clock::wait_for(timeout, || self.process.try_wait().ok().flatten())
            .with_context(|| format!("client {} goes on after {timeout:?}\n{}", self.name, self.said()))?;
        // What is still in the pipes is read within a moment.
        std::thread::sleep(Duration::from_millis(50));
        if !status.success() {
            bail!("client {} ended with {status}\n{}", self.name, self.said());
        }
        Ok(())
    }

    /// How it fared between two times.
    #[must_use]
    pub fn health(&self, from_ms: u64, to_ms: u64) -> Health {
        health(&self.events(), from_ms, to_ms)
    }

    fn said(&self) -> String {
        let events = self.events();
        let last = events.iter().filter(|event| event.said["event"] != "lost").rev().take(20);
        last.map(|event| format!("  {}\n", event.said)).collect()
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Reads lines until the end; a line that is no JSON is kept as `{"event": "printed"}`.
fn listen(stream: impl std::io::Read, events: &Mutex<Vec<Event>>) {
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let at_ms = clock::now_ms();
        let said = serde_json::from_str::<Value>(&line)
            .ok()
            .filter(Value::is_object)
            .unwrap_or_else(|| serde_json::json!({ "event": "printed", "line": line }));
        events.lock().unwrap_or_else(PoisonError::into_inner).push(Event { at_ms, said });
    }
}

fn health(events: &[Event], from_ms: u64, to_ms: u64) -> Health {
    let mut health = Health::default();
    let mut latencies = Vec::new();
    for event in events.iter().filter(|event| (from_ms..to_ms).contains(&event.at_ms)) {
        match event.said["event"].as_str() {
            Some("echo") => {
                health.echoes += 1;
                latencies.push(event.said["ms"].as_f64().unwrap_or(0.0));
            }
            Some("lost") => health.lost += 1,
            Some("disconnected") => health.disconnected += 1,
            _ => {}
        }
    }
    latencies.sort_by(f64::total_cmp);
    let rank = (latencies.len() * 95).div_ceil(100).saturating_sub(1);
    health.latency_p95_ms = latencies.get(rank).copied().unwrap_or(0.0);
    health
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_counts_only_its_time() {
        let event = |at_ms, said: Value| Event { at_ms, said };
        let events = [
            event(5, serde_json::json!({ "event": "lost" })),
            event(10, serde_json::json!({ "event": "echo", "ms": 2.0 })),
            event(15, serde_json::json!({ "event": "echo", "ms": 8.0 })),
            event(16, serde_json::json!({ "event": "disconnected" })),
            event(20, serde_json::json!({ "event": "lost" })),
        ];
        let expected = Health { echoes: 2, lost: 0, latency_p95_ms: 8.0, disconnected: 1 };
        assert_eq!(health(&events, 10, 20), expected);
        assert_eq!(health(&events, 100, 200), Health::default());
    }
}
