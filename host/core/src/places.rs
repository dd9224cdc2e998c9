//! Which service is behind an address and port: a flat index made anew with every service table.

use crate::hash::HashKey;
use crate::service::ServiceKey;
use crate::service::Transport;
use crate::wire::Address;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    ip: Address,
    port: u16,
    transport: Transport,
    site: u32,
}

/// The index.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    slots: Vec<Option<Place>>,
    key: HashKey,
    /// Whether a service stands for every address of the family.
    any_v4: bool,
    any_v6: bool,
    /// Sorted.
    own: Vec<Address>,
}

const ANY_V4: Address = Address::v4(0);
const ANY_V6: Address = Address::v6(0);

impl Places {
    /// An index of these services by their sites, on a node with the addresses `own`.
    pub(crate) fn new(sites: &[(ServiceKey, u32)], own: impl Iterator<Item = Address>, key: HashKey) -> Self {
        let slots = vec![None; (sites.len() * 2).next_power_of_two().max(8)];
        let mut places = Self { slots, key, any_v4: false, any_v6: false, own: own.collect() };
        for (service, site) in sites {
            let ip = Address::from(service.ip);
            places.any_v4 |= ip == ANY_V4;
            places.any_v6 |= ip == ANY_V6;
            if ip != ANY_V4 && ip != ANY_V6 {
                places.own.push(ip);
            }
            places.insert(Place { ip, port: service.port, transport: service.transport, site: *site });
        }
        places.own.sort_unstable();
        places.own.dedup();
        places
    }

    fn start(&self, ip: Address, port: u16, transport: Transport) -> usize {
        let tail = u64::from(port) << 8 | u64::from(transport.number());
        self.key.hash([ip.low, ip.high, tail]) as usize
    }

    fn insert(&mut self, place: Place) {
        let start = self.start(place.ip, place.port, place.transport);
        let mask = self.slots.len() - 1;
        for step in 0..self.slots.len() {
            let slot = &mut self.slots[(start.wrapping_add(step)) & mask];
            if slot.is_none() {
                *slot = Some(place);
                return;
            }
        }
    }

    /// The site of the service exactly there.
    pub(crate) fn exact(&self, ip: Address, port: u16, transport: Transport) -> Option<u32> {
        let start = self.start(ip, port, transport);
        let mask = self.slots.len() - 1;
        for step in 0..self.slots.len() {
            let place = self.slots[(start.wrapping_add(step)) & mask].as_ref()?;
            if place.port == port && place.ip == ip && place.transport == transport {
                return Some(place.site);
            }
        }
        None
    }

    /// The site of the service there: an exact match first, then one on every address.
    pub(crate) fn find(&self, ip: Address, port: u16, transport: Transport) -> Option<u32> {
        if let Some(site) = self.exact(ip, port, transport) {
            return Some(site);
        }
        match ip.is_v4() {
            true if self.any_v4 => self.exact(ANY_V4, port, transport),
            false if self.any_v6 => self.exact(ANY_V6, port, transport),
            _ => None,
        }
    }

    /// Whether the node owns this address.
    pub(crate) fn owns(&self, ip: Address) -> bool {
        self.own.binary_search(&ip).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::net::Ipv4Addr;

    use super::*;

    /// The longest walk to a free slot bounds every lookup.
    fn longest_walk(places: &Places) -> usize {
        let slots = places.slots.iter().chain(&places.slots);
        let (mut walk, mut longest) = (0, 0);
        for slot in slots {
            walk = if slot.is_some() { walk + 1 } else { 0 };
            longest = longest.max(walk);
        }
        longest
    }

    #[test]
    fn r5_a_lookup_costs_the_same_for_one_service_and_for_thousands_on_many_networks() {
        let service = |number: u32| {
            let ip = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 | (number % 256) << 8 | 1));
            let transport = if number.is_multiple_of(2) { Transport::Tcp } else { Transport::Udp };
            (ServiceKey { ip, port: 20_000 + (number / 256) as u16, transport }, number + 1)
        };
        for count in [1, 256, 4_096] {
            let services: Vec<_> = (0..count).map(service).collect();
            let places = Places::new(&services, std::iter::empty(), HashKey::new(1));
            assert!(longest_walk(&places) <= 32, "{count}: {}", longest_walk(&places));
            for (key, site) in services {
                assert_eq!(places.find(key.ip.into(), key.port, key.transport), Some(site));
            }
        }
    }
}
