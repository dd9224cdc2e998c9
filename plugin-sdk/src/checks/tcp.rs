//! TCP segments that no client's stack sends to a listening server, whatever the game.
//!
//! Sources: RFC 9293 (3.1 flags, 3.5 opening), RFC 1122 4.2.2.6 (SYN should carry MSS), captured floods (SYN
//! without options and window 0 to port 25565; SYN, ECE and CWR without options to port 30120; SYN-ACK from 7,000
//! web servers). Payload in a SYN is legal only with fast open (RFC 7413), so a stack that does it shows the option.

use crate::packet::Packet;
use crate::tcp::{TcpFlags, TcpOptions};

/// What is wrong with a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Junk {
    /// No flag at all (a null scan). Every segment after the SYN has ACK, or is a RST (RFC 9293 3.10.7).
    NoFlags,
    /// FIN, PSH and URG without ACK (a Christmas tree scan), or more: only SYN and RST go without ACK.
    WithoutAck,
    /// SYN and FIN: opens and closes at once (RFC 9293 3.5 has no such state).
    SynFin,
    /// SYN and RST.
    SynRst,
    /// SYN and ACK from outside to a listening port: a server's answer to a forged SYN, so a reflection.
    SynAck,
    /// A SYN with payload and without the fast open option (RFC 7413 3).
    SynWithPayload,
    /// A SYN without any option. Every mainstream stack sends MSS (RFC 1122 4.2.2.6 says "should", so a minimal
    /// stack may be legal): hardly ever a player.
    SynWithoutOptions,
    /// A fragment of TCP: stacks size segments to the path (RFC 9293 3.7.1), so clients of games do not fragment.
    Fragment,
}

/// What is wrong with this segment to the server, if anything. Only for TCP towards the server; `None` for the
/// rest. The most certain finding first.
pub fn junk(packet: &Packet<'_>) -> Option<Junk> {
    if !packet.is_tcp() || !packet.is_to_server() {
        return None;
    }
    if packet.is_fragment() {
        // Behind the first fragment the header's fields are somebody's payload.
        return Some(Junk::Fragment);
    }
    let flags = packet.tcp_flags();
    // ECE and CWR say nothing about the connection's state (RFC 3168 6.1.1).
    let state = flags.0 & 0x3f;
    if state == 0 {
        return Some(Junk::NoFlags);
    }
    if !flags.has(TcpFlags::SYN) {
        let without_ack = !flags.any(TcpFlags::ACK.with(TcpFlags::RST));
        return without_ack.then_some(Junk::WithoutAck);
    }
    if flags.has(TcpFlags::FIN) {
        return Some(Junk::SynFin);
    }
    if flags.has(TcpFlags::RST) {
        return Some(Junk::SynRst);
    }
    if flags.has(TcpFlags::ACK) {
        // Where the server spoke first, it opened a connection from this port and this is the answer.
        return (!packet.two_way()).then_some(Junk::SynAck);
    }
    let options = packet.tcp_options();
    if !packet.payload().is_empty() && !options.has(TcpOptions::FAST_OPEN) {
        return Some(Junk::SynWithPayload);
    }
    options.is_empty().then_some(Junk::SynWithoutOptions)
}
