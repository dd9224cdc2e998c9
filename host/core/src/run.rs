//! A run of frames: a few that are handed over together, so that the engine can read ahead.
//!
//! A packet's flow and source lie anywhere in tens of megabytes. One after the other, each packet waits for memory
//! several times; for a whole run the reads overlap and all of it waits as long as one. A capture's memory is only
//! lent for one frame, so a run keeps a copy, which costs a few nanoseconds.

use crate::flow::FlowKey;
use crate::frame::Frame;
use crate::frame::Link;
use crate::frame::Passage;
use crate::limits;
use crate::service::Transport;
use crate::table::Spot;
use crate::time::Instant;
use crate::wire::Packet;
use crate::wire::Upper;

/// Frames that are handed over together, at most [`limits::RUN_FRAMES`].
#[derive(Clone, Debug, Default)]
pub struct Run {
    bytes: Vec<u8>,
    frames: Vec<Held>,
    /// What reading ahead found of each frame.
    pub(crate) routes: Vec<Option<Route>>,
}

/// A frame whose bytes stand in the run's memory.
#[derive(Clone, Copy, Debug)]
struct Held {
    at: Instant,
    link: Link,
    passage: Passage,
    start: u32,
    captured: u32,
    wire_bytes: u32,
    sample_rate: u32,
}

/// Whose packet it is and where its flow belongs, by a service table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route {
    pub(crate) way: Way,
    pub(crate) flow: Spot,
    /// The service table by which this is so.
    pub(crate) table: u32,
}

/// Whose packet it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// To a service.
    Client(u32),
    /// From a service.
    Server(u32),
    /// To an own address, but to no service.
    Nobody,
    /// None of ours.
    Unmatched,
}

impl Way {
    /// The flow of such a packet and the site that it belongs to, if it has one.
    pub(crate) fn flow_key(self, packet: &Packet<'_>) -> Option<(FlowKey, u32)> {
        let transport = transport_of(packet)?;
        match self {
            Self::Client(site) => Some((client_key(packet, transport), site)),
            Self::Server(site) => Some((server_key(packet, transport), site)),
            Self::Nobody | Self::Unmatched => None,
        }
    }
}

/// The transport of a packet that has ports.
pub(crate) fn transport_of(packet: &Packet<'_>) -> Option<Transport> {
    match packet.upper {
        Upper::Tcp(_) => Some(Transport::Tcp),
        Upper::Udp => Some(Transport::Udp),
        Upper::Icmp | Upper::LaterFragment | Upper::Other => None,
    }
}

/// The flow of a packet that a client sent.
pub(crate) fn client_key(packet: &Packet<'_>, transport: Transport) -> FlowKey {
    FlowKey {
        client: packet.source,
        server: packet.destination,
        client_port: packet.source_port,
        server_port: packet.destination_port,
        transport,
    }
}

/// The flow of a packet that a server sent.
pub(crate) fn server_key(packet: &Packet<'_>, transport: Transport) -> FlowKey {
    FlowKey {
        client: packet.destination,
        server: packet.source,
        client_port: packet.destination_port,
        server_port: packet.source_port,
        transport,
    }
}

impl Run {
    /// Adds a frame. A run that is full takes it too, and is only slower for it.
    pub fn hold(&mut self, frame: &Frame<'_>) {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(frame.bytes);
        self.frames.push(Held {
            at: frame.at,
            link: frame.link,
            passage: frame.passage,
            start,
            captured: frame.bytes.len() as u32,
            wire_bytes: frame.wire_bytes,
            sample_rate: frame.sample_rate,
        });
    }

    /// Whether it is to be handed over now.
    pub fn is_full(&self) -> bool {
        self.frames.len() >= limits::RUN_FRAMES
    }

    /// Whether it holds no frame.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// How many frames it holds.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.frames.clear();
        self.routes.clear();
    }

    /// The frame of this number, if it holds so many.
    pub fn frame(&self, number: usize) -> Option<Frame<'_>> {
        let held = self.frames.get(number)?;
        Some(Frame {
            at: held.at,
            link: held.link,
            passage: held.passage,
            bytes: self.bytes.get(held.start as usize..)?.get(..held.captured as usize)?,
            wire_bytes: held.wire_bytes,
            sample_rate: held.sample_rate,
        })
    }
}
