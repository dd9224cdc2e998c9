//! What is kept of genuine packets, so that a measure can be tried on them before it is taken.
//!
//! Only packets of flows that are proven or better are kept, and during an attack only those of flows that began
//! before it: an attacker must not be able to put his own packets here. Openings are sent before a flow is proven;
//! they wait until it is.

mod head;

use std::collections::BTreeMap;

pub(crate) use head::Head;

use crate::limits;
use crate::manifest::Class;
use crate::service::ServiceKey;
use crate::table::Ref;
use crate::time::Instant;
use crate::wire::Address;

/// Of what one player sends later, one in so many is kept.
const ONE_IN: u32 = 8;
/// Openings and queries of one client at most: who asks all day must not crowd out the others.
const OF_ONE_CLIENT: usize = 8;
/// An opening waits for so long for its flow to be proven.
const WAITS_MS: u64 = 60_000;

/// The newest of at most `N`.
#[derive(Clone, Debug)]
struct Ring<const N: usize> {
    heads: Vec<Head>,
    next: usize,
}

impl<const N: usize> Default for Ring<N> {
    fn default() -> Self {
        Self { heads: Vec::new(), next: 0 }
    }
}

impl<const N: usize> Ring<N> {
    fn push(&mut self, head: Head) {
        if self.heads.len() < N {
            self.heads.push(head);
        } else {
            self.heads[self.next] = head;
            self.next = (self.next + 1) % N;
        }
    }

    /// As [`Self::push`], but where there are many of the same client already, one of those makes room.
    fn push_fairly(&mut self, head: Head) {
        let mut same = self.heads.iter().enumerate().filter(|(_, other)| other.client == head.client);
        match same.nth(OF_ONE_CLIENT - 1).map(|(at, _)| at) {
            Some(at) => self.heads[at] = head,
            None => self.push(head),
        }
    }
}

/// Openings and queries of one service.
#[derive(Clone, Debug, Default)]
struct Kept {
    openings: Ring<{ limits::RETAINED_OPENINGS }>,
    queries: Ring<{ limits::RETAINED_QUERIES }>,
}

/// Packets of one proven flow.
#[derive(Clone, Debug)]
struct Player {
    flow: Ref,
    service: ServiceKey,
    heads: Ring<{ limits::RETAINED_HEADS }>,
}

/// An opening whose flow is not proven yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    pub(crate) flow: Ref,
    pub(crate) service: ServiceKey,
    pub(crate) at: Instant,
    pub(crate) head: Head,
}

/// Everything that is kept, of all services.
#[derive(Clone, Debug, Default)]
pub(crate) struct Retained {
    services: BTreeMap<ServiceKey, Kept>,
    /// By the slot of the flow.
    players: BTreeMap<u32, Player>,
    pending: Vec<Pending>,
    next: usize,
}

/// What a measure would have hit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tried {
    /// By class: how many were tried, and how many hit.
    pub(crate) classes: [(u32, u32); 6],
    /// Of the player who would lose most: how many were tried, and how many hit.
    pub(crate) worst: (u32, u32),
}

impl Tried {
    /// How many were tried.
    pub(crate) fn of(&self) -> u32 {
        self.classes.iter().map(|(of, _)| of).sum()
    }

    /// How many would have been hit.
    pub(crate) fn hit(&self) -> u32 {
        self.classes.iter().map(|(_, hit)| hit).sum()
    }

    /// How many of a class were tried.
    pub(crate) fn of_class(&self, class: Class) -> u32 {
        self.classes[class as usize].0
    }

    fn add(&mut self, head: &Head, hit: bool) {
        let (of, hits) = &mut self.classes[head.class as usize];
        *of += 1;
        *hits += u32::from(hit);
    }
}

impl Retained {
    /// A packet of a flow that is proven or better; false if there is no room.
    pub(crate) fn keep(&mut self, flow: Ref, service: ServiceKey, head: Head) -> bool {
        if matches!(head.class, Class::Opening | Class::Query) {
            return self.keep_question(service, head);
        }
        let known = self.players.get(&flow.slot).is_some_and(|player| player.flow == flow);
        if !known {
            if self.players.len() >= limits::RETAINED_PLAYERS && !self.players.contains_key(&flow.slot) {
                return false;
            }
            self.players.insert(flow.slot, Player { flow, service, heads: Ring::default() });
        }
        if let Some(player) = self.players.get_mut(&flow.slot) {
            player.heads.push(head);
        }
        true
    }

    fn keep_question(&mut self, service: ServiceKey, head: Head) -> bool {
        if self.services.len() >= limits::RETAINED_SERVICES && !self.services.contains_key(&service) {
            return false;
        }
        let kept = self.services.entry(service).or_default();
        match head.class {
            Class::Query => kept.queries.push_fairly(head),
            _ => kept.openings.push_fairly(head),
        }
        true
    }

    /// Whether the `number`th packet of a proven flow is one of those that are kept. Which ones is scattered, and
    /// differs from flow to flow: games send in step, and every eighth packet may always be of one kind.
    pub(crate) fn samples(flow: Ref, number: u32) -> bool {
        let mut mixed = number.wrapping_add(flow.slot.wrapping_mul(0x85eb_ca6b));
        mixed = (mixed ^ mixed >> 16).wrapping_mul(0x7feb_352d);
        mixed = (mixed ^ mixed >> 15).wrapping_mul(0x846c_a68b);
        number < limits::RETAINED_HEADS as u32 || mixed < u32::MAX / ONE_IN
    }

    /// An opening of a stranger. `proven` says of a flow whether it is proven by now.
    pub(crate) fn await_proof(&mut self, pending: Pending, proven: impl Fn(Ref) -> bool) {
        if self.pending.len() < limits::RETAINED_PENDING {
            return self.pending.push(pending);
        }
        let old = std::mem::replace(&mut self.pending[self.next], pending);
        self.next = (self.next + 1) % limits::RETAINED_PENDING;
        if proven(old.flow) {
            self.keep_question(old.service, old.head);
        }
    }

    /// Keeps the openings of those who are proven by now, and forgets those who waited for too long.
    pub(crate) fn promote(&mut self, at: Instant, proven: impl Fn(Ref) -> bool) {
        let mut pending = std::mem::take(&mut self.pending);
        pending.retain(|opening| {
            let is_proven = proven(opening.flow);
            if is_proven {
                self.keep_question(opening.service, opening.head);
            }
            !is_proven && at.millis_since(opening.at) < WAITS_MS
        });
        self.pending = pending;
        self.next = 0;
    }

    /// Makes room where half of all players or services are kept: of those who are gone.
    pub(crate) fn forget(&mut self, there: impl Fn(Ref) -> bool, serves: impl Fn(&ServiceKey) -> bool) {
        if self.services.len() > limits::RETAINED_SERVICES / 2 {
            self.services.retain(|service, _| serves(service));
        }
        if self.players.len() > limits::RETAINED_PLAYERS / 2 {
            self.players.retain(|_, player| there(player.flow));
        }
    }

    /// Tries a measure on all that is kept of a service.
    pub(crate) fn try_on(&self, service: &ServiceKey, hits: impl Fn(&Head) -> bool) -> Tried {
        let mut tried = Tried::default();
        for player in self.players.values().filter(|player| player.service == *service) {
            let mut mine = (0, 0);
            for head in &player.heads.heads {
                let hit = hits(head);
                tried.add(head, hit);
                mine = (mine.0 + 1, mine.1 + u32::from(hit));
            }
            if mine.1 * tried.worst.0.max(1) > tried.worst.1 * mine.0 {
                tried.worst = mine;
            }
        }
        if let Some(kept) = self.services.get(service) {
            for head in kept.openings.heads.iter().chain(&kept.queries.heads) {
                tried.add(head, hits(head));
            }
        }
        tried
    }

    /// Whether somebody has been playing from this address.
    pub(crate) fn plays_from(&self, service: &ServiceKey, client: Address) -> bool {
        let mut here = self.players.values().filter(|player| player.service == *service);
        // All packets of a flow are from one address.
        here.any(|player| player.heads.heads.first().is_some_and(|head| head.client == client))
    }

    /// Everything that is kept of a service.
    pub(crate) fn heads(&self, service: &ServiceKey) -> Vec<&Head> {
        let players = self.players.values().filter(|player| player.service == *service);
        let questions = self.services.get(service).into_iter();
        let questions = questions.flat_map(|kept| kept.openings.heads.iter().chain(&kept.queries.heads));
        players.flat_map(|player| player.heads.heads.iter()).chain(questions).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::FlowKey;
    use crate::question::PacketRow;
    use crate::service::Transport;
    use crate::wire::Address;

    fn service() -> ServiceKey {
        ServiceKey { ip: std::net::Ipv4Addr::LOCALHOST.into(), port: 1, transport: Transport::Udp }
    }

    fn head(client: u32, class: Class) -> Head {
        let key = FlowKey {
            client: Address::v4(client),
            server: Address::v4(0),
            client_port: 1,
            server_port: 1,
            transport: Transport::Udp,
        };
        Head::of(&PacketRow::default(), b"", &key, class)
    }

    fn flow(slot: u32) -> Ref {
        Ref { slot, generation: 1 }
    }

    #[test]
    fn what_is_kept_has_its_bounds() {
        let mut retained = Retained::default();
        for number in 0..100_000u32 {
            let class = [Class::Play, Class::Opening, Class::Query][number as usize % 3];
            retained.keep(flow(number % 5_000), service(), head(number, class));
        }
        let tried = retained.try_on(&service(), |_| true);
        assert!(tried.of_class(Class::Play) <= (limits::RETAINED_PLAYERS * limits::RETAINED_HEADS) as u32);
        assert_eq!((tried.of_class(Class::Opening), tried.of_class(Class::Query)), (200, 200));
        assert_eq!((tried.hit(), retained.players.len()), (tried.of(), limits::RETAINED_PLAYERS));
        retained.forget(|flow| flow.slot < 10, |_| true);
        assert!(retained.players.len() <= 10);
    }

    #[test]
    fn one_client_does_not_crowd_out_the_others() {
        let mut retained = Retained::default();
        (0..100).for_each(|client| _ = retained.keep(flow(client), service(), head(client, Class::Query)));
        (0..5_000).for_each(|_| _ = retained.keep(flow(7), service(), head(7, Class::Query)));
        let tried = retained.try_on(&service(), |head| head.client == Address::v4(7));
        assert_eq!((tried.of(), tried.hit()), (107, 8));
    }

    #[test]
    fn an_opening_counts_once_its_flow_is_proven() {
        let mut retained = Retained::default();
        let at = Instant::from_millis(1_000);
        for slot in 0..2_000 {
            let pending =
                Pending { flow: flow(slot), service: service(), at, head: head(slot, Class::Opening) };
            retained.await_proof(pending, |flow| flow.slot % 100 == 0);
        }
        assert!(retained.pending.len() <= limits::RETAINED_PENDING);
        retained.promote(at, |flow| flow.slot % 100 == 0);
        assert_eq!(retained.try_on(&service(), |_| true).of(), 20);
        retained.promote(at.plus_millis(WAITS_MS), |_| false);
        assert!(retained.pending.is_empty());
    }
}
