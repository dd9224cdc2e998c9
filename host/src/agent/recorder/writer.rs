//! The thread that writes: one file for each incident, one stream for each recording by hand. It owns the disk; the
//! shard only puts messages into its queue.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufWriter;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::RecvTimeoutError;
use std::sync::mpsc::SyncSender;
use std::sync::mpsc::sync_channel;
use std::time::Duration;
use std::time::SystemTime;

use ftagent_capture::Anonymiser;
use ftagent_capture::write::Bounds;
use ftagent_capture::write::PcapngWriter;
use ftagent_core::time::Instant;
use tokio::sync::mpsc;

use super::files::Files;
use super::kept::Kept;
use super::limits;
use crate::agent::clock;
use crate::config::ForensicsConfig;

/// What the shard tells the writer.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "few wait at a time, and the large one is sent once a recording"
)]
pub(crate) enum Message {
    /// An incident opened.
    Incident { id: u64, comment: String },
    /// Somebody reads a recording.
    Stream {
        id: u64,
        comment: String,
        anonymiser: Option<Anonymiser>,
        blocks: mpsc::Sender<Vec<u8>>,
        gone: Arc<AtomicBool>,
    },
    /// Packets of one of them, in order.
    Packets { id: u64, packets: Vec<Kept> },
    /// It is over.
    End { id: u64 },
}

/// Starts the thread. It ends, with every file whole, when the sending end is dropped.
pub(crate) fn start(
    folder: PathBuf,
    config: &ForensicsConfig,
) -> std::io::Result<(SyncSender<Message>, std::thread::JoinHandle<()>)> {
    let (messages, received) = sync_channel(limits::WAITING);
    let files = Files::new(folder, config);
    let writer = Writer { files, open: HashMap::new(), line: Vec::new() };
    let thread =
        std::thread::Builder::new().name("recorder".to_owned()).spawn(move || writer.work(&received))?;
    Ok((messages, thread))
}

enum Sink {
    File(BufWriter<File>),
    Stream { blocks: mpsc::Sender<Vec<u8>>, gone: Arc<AtomicBool> },
}

/// A stream takes each block whole or not at all, so that the file stays one whatever is lost.
impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::File(file) => file.write(bytes),
            Self::Stream { blocks, gone } => {
                if let Err(mpsc::error::TrySendError::Closed(_)) = blocks.try_send(bytes.to_vec()) {
                    gone.store(true, Ordering::Relaxed);
                }
                Ok(bytes.len())
            }
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::File(file) => file.flush(),
            Self::Stream { .. } => Ok(()),
        }
    }
}

struct Open {
    pcap: PcapngWriter<Sink>,
    anonymiser: Option<Anonymiser>,
}

struct Writer {
    files: Files,
    open: HashMap<u64, Open>,
    /// A packet that was made fit to be given away.
    line: Vec<u8>,
}

impl Writer {
    fn work(mut self, messages: &Receiver<Message>) {
        self.files.tidy();
        loop {
            match messages.recv_timeout(Duration::from_secs(limits::TIDY_SECONDS)) {
                Ok(message) => {
                    if let Err(error) = self.obey(message) {
                        tracing::warn!("packets of an incident are not kept: {error:#}");
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.files.tidy(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn obey(&mut self, message: Message) -> anyhow::Result<()> {
        match message {
            Message::Incident { id, comment } => {
                self.files.tidy();
                let file = self.files.create(id)?;
                let bounds = Bounds { packets_max: limits::FILE_PACKETS, bytes_max: limits::FILE_BYTES };
                let pcap = PcapngWriter::new(Sink::File(BufWriter::new(file)), &comment, bounds)?;
                self.open.insert(id, Open { pcap, anonymiser: None });
            }
            Message::Stream { id, comment, anonymiser, blocks, gone } => {
                let bounds = Bounds { packets_max: limits::RECORD_PACKETS, bytes_max: limits::RECORD_BYTES };
                let pcap = PcapngWriter::new(Sink::Stream { blocks, gone }, &comment, bounds)?;
                self.open.insert(id, Open { pcap, anonymiser });
            }
            Message::Packets { id, packets } => {
                let Some(open) = self.open.get_mut(&id) else { return Ok(()) };
                if let Err(error) = write(open, &packets, &mut self.line) {
                    self.open.remove(&id);
                    return Err(error.into());
                }
            }
            Message::End { id } => {
                if let Some(mut ended) = self.open.remove(&id) {
                    ended.pcap.sink().flush()?;
                }
            }
        }
        Ok(())
    }
}

fn write(open: &mut Open, packets: &[Kept], line: &mut Vec<u8>) -> std::io::Result<()> {
    let start_us = clock_start_us();
    for kept in packets {
        let at = Instant::from_micros(start_us.saturating_add(kept.at.as_micros()));
        let mut frame = kept.frame(at);
        if let Some(anonymiser) = &open.anonymiser {
            if !anonymiser.frame(&frame, kept.says.shareable_bytes(), line) {
                continue;
            }
            frame.bytes = line;
        }
        open.pcap.frame(&frame, &kept.says.to_string())?;
    }
    // Whoever looks during an attack finds everything up to now.
    open.pcap.sink().flush()
}

/// When our clock began, in microseconds since 1970; asked anew each time, because the wall clock may be set.
fn clock_start_us() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX).saturating_sub(clock::now().as_micros())
}
