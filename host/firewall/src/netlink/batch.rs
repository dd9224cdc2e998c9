//! Changes of elements and objects as one transaction.
//!
//! A renewal is always add, delete, add of the key: before kernel 6.12 adding an element that is there leaves its
//! timeout as it was and says nothing. The first add makes sure that there is something to delete.

use std::sync::Arc;

use super::message::Writer;
use super::message::kernel::*;
use crate::limits;
use crate::plan::Change;
use crate::set::Element;
use crate::set::Object;
use crate::set::SetId;
use crate::set::Value;
use crate::structure::TABLE;

/// Which of the three steps of a change goes into a message.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// What stands there, so that the delete finds it.
    AddWas,
    Delete,
    Add,
}

/// Writes the changes as one transaction: objects first, then elements set by set, then objects that go.
pub fn write(sequence: u32, changes: &[Change]) -> Writer {
    let mut writer = Writer::after(sequence);
    writer.begin();
    for change in changes {
        if let Change::AddObject { name, object } = change {
            new_object(&mut writer, name, *object);
        }
    }
    let mut at = 0;
    while at < changes.len() {
        let Some(set) = set_of(&changes[at]) else {
            at += 1;
            continue;
        };
        let run = changes[at..].iter().take_while(|change| set_of(change) == Some(set)).count();
        for group in changes[at..at + run].chunks(limits::ELEMENTS_PER_MESSAGE) {
            for step in [Step::AddWas, Step::Delete, Step::Add] {
                elements(&mut writer, set, step, group);
            }
        }
        at += run;
    }
    for change in changes {
        if let Change::RemoveObject { name, object } = change {
            delete_object(&mut writer, name, *object);
        }
    }
    writer.end();
    writer
}

fn set_of(change: &Change) -> Option<SetId> {
    match change {
        Change::Add { at, .. } | Change::Renew { at, .. } | Change::Remove { at, .. } => Some(at.set),
        Change::AddObject { .. } | Change::RemoveObject { .. } => None,
    }
}

fn elements(writer: &mut Writer, set: SetId, step: Step, changes: &[Change]) {
    let takes_part = |change: &&Change| match change {
        Change::Add { .. } => step == Step::Add,
        Change::Renew { .. } => true,
        Change::Remove { .. } => step != Step::Add,
        Change::AddObject { .. } | Change::RemoveObject { .. } => false,
    };
    if !changes.iter().any(|change| takes_part(&change)) {
        return;
    }
    let (kind, flags) = match step {
        Step::Delete => (NFT_MSG_DELSETELEM, 0),
        Step::AddWas | Step::Add => (NFT_MSG_NEWSETELEM, NLM_F_CREATE),
    };
    writer.message(kind, flags, NFPROTO_INET, |message| {
        message.text(NFTA_SET_ELEM_LIST_TABLE, TABLE);
        message.text(NFTA_SET_ELEM_LIST_SET, &set.name());
        message.nest(NFTA_SET_ELEM_LIST_ELEMENTS, |list| {
            for change in changes.iter().filter(takes_part) {
                list.nest(NFTA_LIST_ELEM, |element| one(element, step, change));
            }
        });
    });
}

/// One element as this step needs it; a delete names the key alone.
fn one(element: &mut Writer, step: Step, change: &Change) {
    let (at, value, for_ms) = match (change, step) {
        (Change::Add { at, value, for_ms }, _) => (at, value, *for_ms),
        (Change::Renew { at, was, for_ms, .. }, Step::AddWas) => (at, was, *for_ms),
        (Change::Renew { at, value, for_ms, .. }, _) => (at, value, *for_ms),
        (Change::Remove { at, was }, _) => (at, was, None),
        (Change::AddObject { .. } | Change::RemoveObject { .. }, _) => return,
    };
    key(element, at);
    if step == Step::Delete {
        return;
    }
    if let Some(for_ms) = for_ms {
        element.u64(NFTA_SET_ELEM_TIMEOUT, for_ms);
    }
    match value {
        Value::None => (),
        Value::Object(name, _) => element.text(NFTA_SET_ELEM_OBJREF, name),
        Value::UpTo { per_second } => element.nest(NFTA_SET_ELEM_EXPR, |expr| {
            expr.text(NFTA_EXPR_NAME, "limit");
            expr.nest(NFTA_EXPR_DATA, |data| limit(data, u64::from(*per_second), *per_second, 0));
        }),
    }
}

/// The key of an element.
pub fn key(element: &mut Writer, at: &Element) {
    element.nest(NFTA_SET_ELEM_KEY, |data| data.attribute(NFTA_DATA_VALUE, at.key.as_bytes()));
}

fn limit(data: &mut Writer, per_second: u64, burst: u32, flags: u32) {
    data.u64(NFTA_LIMIT_RATE, per_second);
    data.u64(NFTA_LIMIT_UNIT, 1);
    data.u32(NFTA_LIMIT_BURST, burst);
    data.u32(NFTA_LIMIT_TYPE, 0);
    data.u32(NFTA_LIMIT_FLAGS, flags);
}

fn new_object(writer: &mut Writer, name: &Arc<str>, object: Object) {
    writer.message(NFT_MSG_NEWOBJ, NLM_F_CREATE, NFPROTO_INET, |message| {
        message.text(NFTA_OBJ_TABLE, TABLE);
        message.text(NFTA_OBJ_NAME, name);
        message.u32(NFTA_OBJ_TYPE, object_type(object));
        message.nest(NFTA_OBJ_DATA, |data| match object {
            Object::Counter => {
                data.u64(NFTA_COUNTER_BYTES, 0);
                data.u64(NFTA_COUNTER_PACKETS, 0);
            }
            Object::LimitOver { per_second, burst } => limit(data, per_second, burst, NFT_LIMIT_F_INV),
            Object::SynProxy { segment_bytes, window_scale } => {
                data.attribute(NFTA_SYNPROXY_MSS, &segment_bytes.to_be_bytes());
                data.attribute(NFTA_SYNPROXY_WSCALE, &[window_scale]);
                data.u32(NFTA_SYNPROXY_FLAGS, SYNPROXY_OPTIONS);
            }
        });
    });
}

fn delete_object(writer: &mut Writer, name: &Arc<str>, object: Object) {
    writer.message(NFT_MSG_DELOBJ, 0, NFPROTO_INET, |message| {
        message.text(NFTA_OBJ_TABLE, TABLE);
        message.text(NFTA_OBJ_NAME, name);
        message.u32(NFTA_OBJ_TYPE, object_type(object));
    });
}

fn object_type(object: Object) -> u32 {
    match object {
        Object::Counter => NFT_OBJECT_COUNTER,
        Object::LimitOver { .. } => NFT_OBJECT_LIMIT,
        Object::SynProxy { .. } => NFT_OBJECT_SYNPROXY,
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::messages;
    use super::*;
    use crate::key::Family;
    use crate::key::Key;
    use crate::set::Kind;

    /// The messages of a batch as words, so that a test reads as what the kernel does.
    fn words(changes: &[Change]) -> Vec<String> {
        let writer = write(0, changes);
        messages(writer.bytes())
            .map(|message| {
                let attributes = message.attributes();
                let set = attributes.text(NFTA_SET_ELEM_LIST_SET).unwrap_or_default().to_owned();
                let elements = attributes.nest(NFTA_SET_ELEM_LIST_ELEMENTS);
                let elements = elements.into_iter().flatten().map(|(_, element)| {
                    let element = super::super::message::Attributes::within(element);
                    let key = element.nest(NFTA_SET_ELEM_KEY).unwrap().get(NFTA_DATA_VALUE).unwrap();
                    let timeout =
                        element.u64(NFTA_SET_ELEM_TIMEOUT).map_or(String::new(), |ms| format!(" {ms} ms"));
                    format!("{:?}{timeout}", Key::from_kernel(key).unwrap())
                });
                let elements = elements.collect::<Vec<_>>().join(", ");
                match message.kind & 0xff {
                    NFT_MSG_NEWSETELEM => format!("add {set} {elements}"),
                    NFT_MSG_DELSETELEM => format!("delete {set} {elements}"),
                    NFNL_MSG_BATCH_BEGIN if message.kind >> 8 == 0 => "begin".to_owned(),
                    NFNL_MSG_BATCH_END if message.kind >> 8 == 0 => "end".to_owned(),
                    NFT_MSG_NEWOBJ => "new object".to_owned(),
                    NFT_MSG_DELOBJ => "delete object".to_owned(),
                    other => format!("message {other}"),
                }
            })
            .collect()
    }

    fn at(kind: Kind) -> Element {
        Element { set: SetId { kind, family: Family::V4 }, key: Key::address("192.0.2.1".parse().unwrap()) }
    }

    #[test]
    fn renewal_is_add_delete_add_in_one_transaction() {
        let at = at(Kind::NodeLeases);
        let renew = Change::Renew { at, was: Value::None, value: Value::None, for_ms: Some(9_000) };
        assert_eq!(
            words(&[renew]),
            [
                "begin",
                "add node_leases4 c0000201 9000 ms",
                "delete node_leases4 c0000201",
                "add node_leases4 c0000201 9000 ms",
                "end"
            ]
        );
    }

    #[test]
    fn removal_cannot_miss_and_objects_frame_their_elements() {
        let at = at(Kind::Crowd);
        let limit = Object::LimitOver { per_second: 1, burst: 1 };
        let changes = [
            Change::RemoveObject { name: "old".into(), object: limit },
            Change::Remove { at, was: Value::None },
            Change::AddObject { name: "new".into(), object: limit },
        ];
        assert_eq!(
            words(&changes),
            ["begin", "new object", "add crowd4 c0000201", "delete crowd4 c0000201", "delete object", "end"]
        );
    }
}
