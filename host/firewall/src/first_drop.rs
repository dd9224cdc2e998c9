//! When the first packet of an attack was dropped, by the kernel's own clock.
//!
//! Each dropped packet offers its service to a set of the kernel's, with an hour to live; only the first is taken in.
//! What is left of the hour tells when that was. (`last` statements tell of the last packet, and nft 1.0.6 of
//! Debian 12 does not know them.)

use ftagent_core::effect::Effect;
use ftagent_core::effect::Notice;
use ftagent_core::service::ServiceKey;
use ftagent_core::time::Instant;

use crate::FirewallError;
use crate::key::Family;
use crate::key::Key;
use crate::limits;
use crate::plan::Change;
use crate::set::Element;
use crate::set::Kind;
use crate::set::SetId;
use crate::set::Value;
use crate::wall::Wall;

fn at(service: &ServiceKey) -> Element {
    let set = SetId { kind: Kind::FirstDrop, family: Family::of(service.ip) };
    Element { set, key: Key::service(service) }
}

impl Wall {
    /// Forgets earlier drops at services where an attack begins, before its measures are taken.
    pub(crate) fn await_drops(&mut self, effects: &[Effect], now: Instant) -> Result<(), FirewallError> {
        let mut begun = Vec::new();
        for effect in effects {
            match effect {
                Effect::Notice(Notice::IncidentOpened(incident)) => {
                    let services = incident.services().flat_map(|service| self.wanted.on_addresses(&service));
                    let services: Vec<_> = services.collect();
                    self.drops_of.extend(services.iter().map(|service| (*service, incident.id)));
                    begun.extend(services);
                }
                // An attack may reach further services later.
                Effect::Notice(Notice::IncidentChanged(incident)) => {
                    for service in incident.services().flat_map(|service| self.wanted.on_addresses(&service))
                    {
                        if self.drops_of.insert(service, incident.id) != Some(incident.id) {
                            begun.push(service);
                        }
                    }
                }
                Effect::Notice(Notice::IncidentClosed(incident)) => {
                    let id = incident.id;
                    let awaiting = &mut self.awaiting_drop;
                    self.drops_of.retain(|service, of| {
                        if *of == id {
                            awaiting.remove(service);
                        }
                        *of != id
                    });
                }
                _ => (),
            }
        }
        begun.retain(|service| self.wanted.services().binary_search(service).is_ok());
        if begun.is_empty() || self.is_off {
            return Ok(());
        }
        let forget = |service| Change::Remove { at: at(service), was: Value::None };
        let changes: Vec<_> = begun.iter().map(forget).collect();
        self.awaiting_drop.extend(begun);
        self.send(&changes, now)
    }

    /// When the first packets were dropped, once for each attack.
    pub(crate) fn first_drops(&mut self, now: Instant) -> Vec<(ServiceKey, Instant)> {
        let mut found = Vec::new();
        for service in std::mem::take(&mut self.awaiting_drop) {
            // A table that is gone is repaired by the tick; until then there was no drop.
            let held = self.netlink.element(&at(&service)).ok().flatten();
            match held.and_then(|held| held.left_ms) {
                Some(left_ms) => {
                    let ago_us = limits::FIRST_DROP_MS.saturating_sub(left_ms) * 1_000;
                    found.push((service, Instant::from_micros(now.as_micros().saturating_sub(ago_us))));
                }
                None => {
                    self.awaiting_drop.insert(service);
                }
            }
        }
        found
    }
}
