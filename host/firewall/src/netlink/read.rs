//! Reading the kernel back: counters, elements, chains, rules, the generation.

use std::hash::DefaultHasher;
use std::hash::Hash;
use std::hash::Hasher;

use super::Netlink;
use super::message::Attributes;
use super::message::Writer;
use super::message::kernel::*;
use crate::FirewallError;
use crate::key::Family;
use crate::key::Key;
use crate::set::Element;
use crate::set::Object;
use crate::structure::TABLE;

/// What a counter says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Packets so far.
    pub packets: u64,
    /// Bytes so far.
    pub bytes: u64,
}

/// An element as the kernel holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its key.
    pub key: Key,
    /// Milliseconds that it has left; `None` if it has no end.
    pub left_ms: Option<u64>,
    /// The object that it refers to.
    pub object: Option<String>,
    /// Packets a second, if it carries a limit.
    pub up_to_per_second: Option<u64>,
}

impl Held {
    fn parse(element: Attributes<'_>) -> Option<Self> {
        let key = Key::from_kernel(element.nest(NFTA_SET_ELEM_KEY)?.get(NFTA_DATA_VALUE)?)?;
        let limit = element.nest(NFTA_SET_ELEM_EXPR).and_then(|expr| expr.nest(NFTA_EXPR_DATA));
        Some(Self {
            key,
            left_ms: element.u64(NFTA_SET_ELEM_EXPIRATION),
            object: element.text(NFTA_SET_ELEM_OBJREF).map(str::to_owned),
            up_to_per_second: limit.and_then(|data| data.u64(NFTA_LIMIT_RATE)),
        })
    }
}

impl Netlink {
    /// The number of the last change of nf_tables in this namespace, whoever made it.
    pub fn generation(&mut self) -> Result<u32, FirewallError> {
        let mut generation = 0;
        self.ask(
            "reading the nf_tables generation",
            NFT_MSG_GETGEN,
            0,
            NFPROTO_UNSPEC,
            |_| (),
            |message| {
                generation = message.attributes().u32(NFTA_GEN_ID).unwrap_or_default();
            },
        )?;
        Ok(generation)
    }

    /// Hands every counter of our table to `each`, by name.
    pub fn counters(&mut self, mut each: impl FnMut(&str, Tally)) -> Result<(), FirewallError> {
        let request = |message: &mut Writer| {
            message.text(NFTA_OBJ_TABLE, TABLE);
            message.u32(NFTA_OBJ_TYPE, NFT_OBJECT_COUNTER);
        };
        self.ask("reading counters", NFT_MSG_GETOBJ, NLM_F_DUMP, NFPROTO_INET, request, |message| {
            let object = message.attributes();
            if let (Some(name), Some(data)) = (object.text(NFTA_OBJ_NAME), object.nest(NFTA_OBJ_DATA)) {
                let packets = data.u64(NFTA_COUNTER_PACKETS).unwrap_or_default();
                each(name, Tally { packets, bytes: data.u64(NFTA_COUNTER_BYTES).unwrap_or_default() });
            }
        })
    }

    /// The limits of our table, by name.
    pub fn limits(&mut self) -> Result<Vec<(String, Object)>, FirewallError> {
        let mut limits = Vec::new();
        let request = |message: &mut Writer| {
            message.text(NFTA_OBJ_TABLE, TABLE);
            message.u32(NFTA_OBJ_TYPE, NFT_OBJECT_LIMIT);
        };
        self.ask("reading limits", NFT_MSG_GETOBJ, NLM_F_DUMP, NFPROTO_INET, request, |message| {
            let object = message.attributes();
            if let (Some(name), Some(data)) = (object.text(NFTA_OBJ_NAME), object.nest(NFTA_OBJ_DATA)) {
                let per_second = data.u64(NFTA_LIMIT_RATE).unwrap_or_default();
                let burst = data.u32(NFTA_LIMIT_BURST).unwrap_or_default();
                limits.push((name.to_owned(), Object::LimitOver { per_second, burst }));
            }
        })?;
        Ok(limits)
    }

    /// The SYN proxies of our table, by name.
    pub fn syn_proxies(&mut self) -> Result<Vec<(String, Object)>, FirewallError> {
        let mut proxies = Vec::new();
        let request = |message: &mut Writer| {
            message.text(NFTA_OBJ_TABLE, TABLE);
            message.u32(NFTA_OBJ_TYPE, NFT_OBJECT_SYNPROXY);
        };
        self.ask("reading SYN proxies", NFT_MSG_GETOBJ, NLM_F_DUMP, NFPROTO_INET, request, |message| {
            let object = message.attributes();
            if let (Some(name), Some(data)) = (object.text(NFTA_OBJ_NAME), object.nest(NFTA_OBJ_DATA)) {
                let bytes = data.get(NFTA_SYNPROXY_MSS).and_then(|mss| mss.try_into().ok());
                let segment_bytes = bytes.map_or(0, u16::from_be_bytes);
                let scale = data.get(NFTA_SYNPROXY_WSCALE).and_then(|scale| scale.first());
                let window_scale = scale.copied().unwrap_or_default();
                proxies.push((name.to_owned(), Object::SynProxy { segment_bytes, window_scale }));
            }
        })?;
        Ok(proxies)
    }

    /// All elements of one of our sets; empty if there is no such set.
    pub fn elements(&mut self, set: &str) -> Result<Vec<Held>, FirewallError> {
        let mut held = Vec::new();
        let request = |message: &mut Writer| {
            message.text(NFTA_SET_ELEM_LIST_TABLE, TABLE);
            message.text(NFTA_SET_ELEM_LIST_SET, set);
        };
        self.ask("reading a set", NFT_MSG_GETSETELEM, NLM_F_DUMP, NFPROTO_INET, request, |message| {
            let list = message.attributes().nest(NFTA_SET_ELEM_LIST_ELEMENTS);
            let elements = list.into_iter().flatten().map(|(_, element)| Attributes::within(element));
            held.extend(elements.filter_map(Held::parse));
        })?;
        Ok(held)
    }

    /// One element, if it is there.
    pub fn element(&mut self, at: &Element) -> Result<Option<Held>, FirewallError> {
        let mut held = None;
        let request = |message: &mut Writer| {
            message.text(NFTA_SET_ELEM_LIST_TABLE, TABLE);
            message.text(NFTA_SET_ELEM_LIST_SET, &at.set.name());
            message.nest(NFTA_SET_ELEM_LIST_ELEMENTS, |list| {
                list.nest(NFTA_LIST_ELEM, |element| super::batch::key(element, at));
            });
        };
        self.ask("reading an element", NFT_MSG_GETSETELEM, 0, NFPROTO_INET, request, |message| {
            let list = message.attributes().nest(NFTA_SET_ELEM_LIST_ELEMENTS);
            let first = list.and_then(|mut list| list.next());
            held = first.and_then(|(_, element)| Held::parse(Attributes::within(element)));
        })?;
        Ok(held)
    }

    /// The names of the sets of our table.
    pub fn sets(&mut self) -> Result<Vec<String>, FirewallError> {
        let mut names = Vec::new();
        let request = |message: &mut Writer| message.text(NFTA_SET_TABLE, TABLE);
        self.ask(
            "reading the names of sets",
            NFT_MSG_GETSET,
            NLM_F_DUMP,
            NFPROTO_INET,
            request,
            |message| {
                names.extend(message.attributes().text(NFTA_SET_NAME).map(str::to_owned));
            },
        )?;
        Ok(names)
    }

    /// Whether our table is there.
    pub fn has_table(&mut self) -> Result<bool, FirewallError> {
        let mut found = false;
        let request = |message: &mut Writer| message.text(NFTA_TABLE_NAME, TABLE);
        self.ask("looking for our table", NFT_MSG_GETTABLE, 0, NFPROTO_INET, request, |_| found = true)?;
        Ok(found)
    }

    /// Whether iptables-nft holds this chain of its `filter` table.
    pub fn has_filter_chain(&mut self, family: Family, chain: &str) -> Result<bool, FirewallError> {
        let mut found = false;
        let request = |message: &mut Writer| {
            message.text(NFTA_CHAIN_TABLE, "filter");
            message.text(NFTA_CHAIN_NAME, chain);
        };
        self.ask("looking for a chain", NFT_MSG_GETCHAIN, 0, family.nfproto(), request, |_| found = true)?;
        Ok(found)
    }

    /// A number that changes with any chain or rule of our table; `None` if the table is not there.
    pub fn fingerprint(&mut self) -> Result<Option<u64>, FirewallError> {
        if !self.has_table()? {
            return Ok(None);
        }
        let mut hasher = DefaultHasher::new();
        let request = |message: &mut Writer| message.text(NFTA_RULE_TABLE, TABLE);
        self.ask("reading our rules", NFT_MSG_GETRULE, NLM_F_DUMP, NFPROTO_INET, request, |message| {
            message.attribute_bytes().hash(&mut hasher);
        })?;
        // The kernel does not filter chains by table.
        self.ask(
            "reading our chains",
            NFT_MSG_GETCHAIN,
            NLM_F_DUMP,
            NFPROTO_INET,
            |_| (),
            |message| {
                if message.attributes().text(NFTA_CHAIN_TABLE) == Some(TABLE) {
                    message.attribute_bytes().hash(&mut hasher);
                }
            },
        )?;
        Ok(Some(hasher.finish()))
    }

    /// Removes our table with all that is in it; `false` if it was not there.
    pub fn delete_table(&mut self, name: &str) -> Result<bool, FirewallError> {
        let mut writer = Writer::after(self.sequence);
        writer.begin();
        writer.message(NFT_MSG_DELTABLE, 0, NFPROTO_INET, |message| message.text(NFTA_TABLE_NAME, name));
        writer.end();
        match self.transact(&writer)?.first() {
            None => Ok(true),
            Some(refused) if refused.errno == nix::errno::Errno::ENOENT => Ok(false),
            Some(refused) => Err(FirewallError::kernel("removing a table", refused.errno)),
        }
    }

    /// Whether this kernel gives an element a new life when it is added, deleted and added in one transaction.
    /// Tried in a table of its own that no packet meets, and that is gone afterwards.
    pub fn renews_timeouts(&mut self) -> Result<bool, FirewallError> {
        const PROBE: &str = "ftagent_probe";
        let mut writer = Writer::after(self.sequence);
        let element = |writer: &mut Writer, kind: u16, flags: u16, timeout_ms: Option<u64>| {
            writer.message(kind, flags, NFPROTO_INET, |message| {
                message.text(NFTA_SET_ELEM_LIST_TABLE, PROBE);
                message.text(NFTA_SET_ELEM_LIST_SET, "probe");
                message.nest(NFTA_SET_ELEM_LIST_ELEMENTS, |list| {
                    list.nest(NFTA_LIST_ELEM, |element| {
                        element.nest(NFTA_SET_ELEM_KEY, |data| data.attribute(NFTA_DATA_VALUE, &[1; 4]));
                        timeout_ms.into_iter().for_each(|ms| element.u64(NFTA_SET_ELEM_TIMEOUT, ms));
                    });
                });
            });
        };
        writer.begin();
        writer.message(NFT_MSG_NEWTABLE, NLM_F_CREATE, NFPROTO_INET, |message| {
            message.text(NFTA_TABLE_NAME, PROBE)
        });
        writer.message(NFT_MSG_NEWSET, NLM_F_CREATE, NFPROTO_INET, |message| {
            message.text(NFTA_SET_TABLE, PROBE);
            message.text(NFTA_SET_NAME, "probe");
            message.u32(NFTA_SET_FLAGS, NFT_SET_TIMEOUT);
            message.u32(NFTA_SET_KEY_TYPE, 0);
            message.u32(NFTA_SET_KEY_LEN, 4);
            message.u32(NFTA_SET_ID, 1);
        });
        element(&mut writer, NFT_MSG_NEWSETELEM, NLM_F_CREATE, Some(2_000));
        writer.end();
        let mut refused = self.transact(&writer)?;
        let mut writer = Writer::after(self.sequence);
        writer.begin();
        element(&mut writer, NFT_MSG_NEWSETELEM, NLM_F_CREATE, Some(60_000));
        element(&mut writer, NFT_MSG_DELSETELEM, 0, None);
        element(&mut writer, NFT_MSG_NEWSETELEM, NLM_F_CREATE, Some(60_000));
        writer.end();
        refused.extend(self.transact(&writer)?);
        let mut left_ms = 0;
        let request = |message: &mut Writer| {
            message.text(NFTA_SET_ELEM_LIST_TABLE, PROBE);
            message.text(NFTA_SET_ELEM_LIST_SET, "probe");
        };
        self.ask("reading the probe", NFT_MSG_GETSETELEM, NLM_F_DUMP, NFPROTO_INET, request, |message| {
            let list = message.attributes().nest(NFTA_SET_ELEM_LIST_ELEMENTS);
            let first = list.and_then(|mut list| list.next()).map(|(_, element)| Attributes::within(element));
            // The kernel may send an empty list behind the full one.
            left_ms = first.and_then(|first| first.u64(NFTA_SET_ELEM_EXPIRATION)).unwrap_or(left_ms);
        })?;
        self.delete_table(PROBE)?;
        Ok(refused.is_empty() && left_ms > 2_000)
    }
}
