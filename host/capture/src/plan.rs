//! What the kernel hands us of each packet: whose packets, and how many bytes of them.
//!
//! The filter goes by the node's own addresses, not by ports, because nobody's ports, fragments and ICMP
//! matter too. A packet's return value is its capture length. Everything here is pure: the program is
//! tested by interpreting it.

use std::collections::HashSet;
use std::net::IpAddr;

use ftagent_core::frame::Link;
use ftagent_core::frame::Passage;

use crate::bpf::*;
use crate::peek::Peek;

/// More addresses of one family than this are looked up in user space: each costs the kernel one
/// comparison a packet.
const OWN_PER_FAMILY_MAX: usize = 64;

/// Steps of capture length over the port range that fit the program; beyond them every port gets the most
/// that any wants.
const PORT_STEPS_MAX: usize = 512;

/// The kernel's ring must hold a frame in one block; no plan asks for more.
const CAPTURE_BYTES_MAX: u32 = 65_535;

/// SKF_AD_OFF + SKF_AD_PKTTYPE: which way the kernel says a packet goes.
const PACKET_TYPE: u32 = 0xffff_f004;
const PACKET_OUTGOING: u32 = 4;

/// Whose packets are captured, and how much of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapturePlan {
    /// The node's own addresses. Into the node, the destination must be one; out of it, the source. Empty:
    /// every IP packet is captured.
    pub own: Vec<IpAddr>,
    /// Captured of every packet, from the first byte of its link header.
    pub default_bytes: u16,
    /// Captured of packets of a server's port besides `default_bytes`, over TCP and UDP; the most counts if a
    /// port is named twice.
    pub per_port: Vec<(u16, u16)>,
}

impl Default for CapturePlan {
    /// Headers of every IP packet: Ethernet, two tags, the longest IPv4 and TCP headers but for 14 bytes.
    fn default() -> Self {
        Self { own: Vec::new(), default_bytes: 128, per_port: Vec::new() }
    }
}

impl CapturePlan {
    /// The largest capture length of this plan.
    pub fn bytes_max(&self) -> u32 {
        self.per_port.iter().map(|(_, bytes)| self.length(*bytes)).max().unwrap_or(self.length(0))
    }

    /// The addresses that user space must compare itself, because they are too many for the kernel's filter.
    pub(crate) fn own_in_user_space(&self) -> Option<HashSet<IpAddr>> {
        (!self.own_fits()).then(|| self.own.iter().copied().collect())
    }

    /// The filter of one socket.
    pub(crate) fn program(&self, link: Link, passage: Passage) -> Vec<Instruction> {
        Writer::new(self, passage).write(link)
    }

    fn own_fits(&self) -> bool {
        let v4 = self.own.iter().filter(|address| address.is_ipv4()).count();
        v4.max(self.own.len() - v4) <= OWN_PER_FAMILY_MAX
    }

    fn length(&self, extra_bytes: u16) -> u32 {
        (u32::from(self.default_bytes) + u32::from(extra_bytes)).clamp(1, CAPTURE_BYTES_MAX)
    }

    /// Where the capture length changes over the port range, sorted, the first at port 0.
    fn port_steps(&self) -> Vec<(u16, u32)> {
        let mut wanted = self.per_port.clone();
        wanted.sort_unstable();
        // Sorted by port and then by bytes, the last of each port is the most it wants.
        wanted.reverse();
        wanted.dedup_by_key(|(port, _)| *port);
        wanted.reverse();
        let mut steps = vec![(0, self.length(0))];
        let mut step = |port: u16, bytes: u32| match steps.last_mut() {
            Some(last) if last.0 == port => last.1 = bytes,
            Some(last) if last.1 == bytes => {}
            _ => steps.push((port, bytes)),
        };
        for (index, (port, bytes)) in wanted.iter().enumerate() {
            step(*port, self.length(*bytes));
            let next = wanted.get(index + 1).map(|(next, _)| *next);
            if let Some(after) = port.checked_add(1).filter(|after| Some(*after) != next) {
                step(after, self.length(0));
            }
        }
        if steps.len() > PORT_STEPS_MAX { vec![(0, self.bytes_max())] } else { steps }
    }
}

/// Whether a packet is the node's own, for plans whose addresses did not fit the kernel's filter.
pub(crate) fn is_own(own: &HashSet<IpAddr>, passage: Passage, peek: &Peek) -> bool {
    own.contains(if passage == Passage::Egress { &peek.source } else { &peek.destination })
}

/// Writes the program of one plan and one passage.
struct Writer<'a> {
    plan: &'a CapturePlan,
    out: Assembler,
    egress: bool,
    drop: Label,
    ports: Label,
    default: Label,
}

impl<'a> Writer<'a> {
    fn new(plan: &'a CapturePlan, passage: Passage) -> Self {
        let mut out = Assembler::default();
        let (drop, ports, default) = (out.label(), out.label(), out.label());
        Self { plan, out, egress: passage == Passage::Egress, drop, ports, default }
    }

    fn write(mut self, link: Link) -> Vec<Instruction> {
        let (v4, v6) = (self.out.label(), self.out.label());
        self.out.emit(LOAD_BYTE, PACKET_TYPE);
        if self.egress {
            self.out.jump_unless(IF_EQUAL, PACKET_OUTGOING, self.drop);
        } else {
            self.out.jump_if(IF_EQUAL, PACKET_OUTGOING, self.drop);
        }
        self.link(link, v4, v6);
        self.out.place(v4);
        self.own_v4();
        self.transport_v4();
        self.out.place(v6);
        self.own_v6();
        self.transport_v6();
        self.lengths();
        self.out.place(self.drop);
        self.out.emit(RETURN, 0);
        self.out.finish()
    }

    /// Sets X to where the IP header begins and goes to its version.
    fn link(&mut self, link: Link, v4: Label, v6: Label) {
        if link == Link::Ethernet {
            let typed = self.out.label();
            for (header_bytes, type_at) in [(14, 12), (18, 16), (22, 20)] {
                self.out.emit(SET_X, header_bytes);
                self.out.emit(LOAD_HALF, type_at);
                if type_at == 20 {
                    break;
                }
                // A tag that the network card left in the packet; the type stands four bytes further on.
                let tagged = self.out.label();
                self.out.jump_if(IF_EQUAL, 0x8100, tagged);
                self.out.jump_unless(IF_EQUAL, 0x88a8, typed);
                self.out.place(tagged);
            }
            self.out.place(typed);
            self.out.jump_if(IF_EQUAL, 0x0800, v4);
            self.out.jump_if(IF_EQUAL, 0x86dd, v6);
        } else {
            self.out.emit(SET_X, 0);
            self.out.emit(LOAD_BYTE, 0);
            self.out.emit(AND, 0xf0);
            self.out.jump_if(IF_EQUAL, 0x40, v4);
            self.out.jump_if(IF_EQUAL, 0x60, v6);
        }
        self.out.jump(self.drop);
    }

    /// Whether this filter looks at addresses at all.
    fn by_address(&self) -> bool {
        !self.plan.own.is_empty() && self.plan.own_fits()
    }

    fn own_v4(&mut self) {
        if !self.by_address() {
            return;
        }
        let own = self.out.label();
        self.out.emit(LOAD_WORD_AT_X, if self.egress { 12 } else { 16 });
        for address in &self.plan.own {
            if let IpAddr::V4(address) = address {
                self.out.jump_if(IF_EQUAL, address.to_bits(), own);
            }
        }
        self.out.jump(self.drop);
        self.out.place(own);
    }

    fn own_v6(&mut self) {
        if !self.by_address() {
            return;
        }
        let own = self.out.label();
        let at: u32 = if self.egress { 8 } else { 24 };
        for address in &self.plan.own {
            let IpAddr::V6(address) = address else { continue };
            let next = self.out.label();
            // The last word first: it differs most among the addresses of one network.
            for word in (0..4).rev() {
                self.out.emit(LOAD_WORD_AT_X, at + word * 4);
                let wanted = (address.to_bits() >> (96 - 32 * word)) as u32;
                self.out.jump_unless(IF_EQUAL, wanted, next);
            }
            self.out.jump(own);
            self.out.place(next);
        }
        self.out.jump(self.drop);
        self.out.place(own);
    }

    /// Sets X to the transport header of TCP and UDP and goes to the ports; the rest gets the default.
    fn transport_v4(&mut self) {
        let transport = self.out.label();
        self.out.emit(LOAD_HALF_AT_X, 6);
        self.out.jump_if(IF_ANY_BIT, 0x1fff, self.default);
        self.out.emit(LOAD_BYTE_AT_X, 9);
        self.out.jump_if(IF_EQUAL, 6, transport);
        self.out.jump_unless(IF_EQUAL, 17, self.default);
        self.out.place(transport);
        self.out.emit(LOAD_BYTE_AT_X, 0);
        self.out.emit(AND, 0x0f);
        self.out.emit(SHIFT_LEFT, 2);
        self.out.emit(ADD_X, 0);
        self.out.emit(A_TO_X, 0);
        self.out.jump(self.ports);
    }

    /// The same for IPv6; behind extension headers the default must do.
    fn transport_v6(&mut self) {
        let transport = self.out.label();
        self.out.emit(LOAD_BYTE_AT_X, 6);
        self.out.jump_if(IF_EQUAL, 6, transport);
        self.out.jump_unless(IF_EQUAL, 17, self.default);
        self.out.place(transport);
        self.out.emit(X_TO_A, 0);
        self.out.emit(ADD, 40);
        self.out.emit(A_TO_X, 0);
        self.out.jump(self.ports);
    }

    /// Returns the capture length of the server's port, found by halving.
    fn lengths(&mut self) {
        let steps = self.plan.port_steps();
        self.out.place(self.ports);
        // A load past the end would discard the packet; one that ends before its ports gets the default.
        self.out.emit(X_TO_A, 0);
        self.out.emit(ADD, 3);
        self.out.emit(A_TO_X, 0);
        self.out.emit(LOAD_LENGTH, 0);
        self.out.jump_unless(IF_ABOVE_X, 0, self.default);
        self.out.emit(X_TO_A, 0);
        self.out.emit(SUBTRACT, 3);
        self.out.emit(A_TO_X, 0);
        self.out.emit(LOAD_HALF_AT_X, if self.egress { 0 } else { 2 });
        self.halve(&steps);
        self.out.place(self.default);
        self.out.emit(RETURN, self.plan.length(0));
    }

    /// Depth is the logarithm of [`PORT_STEPS_MAX`].
    fn halve(&mut self, steps: &[(u16, u32)]) {
        if let [(_, bytes)] = steps {
            self.out.emit(RETURN, *bytes);
            return;
        }
        let (below, above) = steps.split_at(steps.len() / 2);
        let upper = self.out.label();
        self.out.jump_if(IF_AT_LEAST, u32::from(above[0].0), upper);
        self.halve(below);
        self.out.place(upper);
        self.halve(above);
    }
}

#[cfg(test)]
mod tests;
