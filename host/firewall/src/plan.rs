//! What must change so that the kernel holds what is wanted. Pure: two tables in, a list out.

use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;

use ftagent_core::time::Instant;

use crate::set::Element;
use crate::set::Object;
use crate::set::Value;

/// How much longer an element must be wanted than it lives before it is renewed.
const RENEW_SLACK_MS: u64 = 500;

/// One change of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// An element that is not there yet.
    Add { at: Element, value: Value, for_ms: Option<u64> },
    /// An element gets a new life, and another value if `was` differs.
    Renew { at: Element, was: Value, value: Value, for_ms: Option<u64> },
    /// An element goes.
    Remove { at: Element, was: Value },
    /// An object that elements will refer to.
    AddObject { name: Arc<str>, object: Object },
    /// An object that nothing refers to any more.
    RemoveObject { name: Arc<str>, object: Object },
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let life = |for_ms: &Option<u64>| for_ms.map_or(String::new(), |ms| format!(" for {ms} ms"));
        match self {
            Self::Add { at, value, for_ms } => {
                write!(f, "add {} {:?}{}{}", at.set.name(), at.key, text(value), life(for_ms))
            }
            Self::Renew { at, value, for_ms, .. } => {
                write!(f, "renew {} {:?}{}{}", at.set.name(), at.key, text(value), life(for_ms))
            }
            Self::Remove { at, .. } => write!(f, "remove {} {:?}", at.set.name(), at.key),
            Self::AddObject { name, .. } => write!(f, "add object {name}"),
            Self::RemoveObject { name, .. } => write!(f, "remove object {name}"),
        }
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::None => String::new(),
        Value::Object(name, _) => format!(" -> {name}"),
        Value::UpTo { per_second } => format!(" up to {per_second}/s"),
    }
}

/// How long an element lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Until {
    /// The kernel forgets it then.
    Time(Instant),
    /// Until it is removed.
    Removed,
}

impl Until {
    /// Whether it is over.
    pub fn is_over(self, now: Instant) -> bool {
        matches!(self, Self::Time(at) if at <= now)
    }

    /// Milliseconds left, at least one.
    fn left_ms(self, now: Instant) -> Option<u64> {
        match self {
            Self::Time(at) => Some(at.millis_since(now).max(1)),
            Self::Removed => None,
        }
    }
}

/// What we believe the kernel holds.
#[derive(Clone, Debug, Default)]
pub struct Present {
    /// Elements.
    pub elements: HashMap<Element, (Value, Until)>,
    /// Objects.
    pub objects: HashSet<Arc<str>>,
    /// Objects that are no longer referred to and wait for their removal.
    pub litter: Vec<(Arc<str>, Object)>,
}

impl Present {
    /// Takes note of a change that the kernel took.
    pub fn note(&mut self, change: &Change, now: Instant) {
        match change {
            Change::Add { at, value, for_ms } => self.put(*at, value, *for_ms, now),
            Change::Renew { at, was, value, for_ms } => {
                if was != value {
                    self.drop_object(was);
                }
                self.put(*at, value, *for_ms, now);
            }
            Change::Remove { at, was } => {
                self.elements.remove(at);
                self.drop_object(was);
            }
            Change::AddObject { name, .. } => {
                self.objects.insert(name.clone());
            }
            Change::RemoveObject { name, .. } => {
                self.objects.remove(name);
            }
        }
    }

    fn put(&mut self, at: Element, value: &Value, for_ms: Option<u64>, now: Instant) {
        let until = for_ms.map_or(Until::Removed, |ms| Until::Time(now.plus_millis(ms)));
        self.elements.insert(at, (value.clone(), until));
    }

    fn drop_object(&mut self, value: &Value) {
        // As long as a SYN proxy stands, the kernel translates for the connections that it began, so it stays.
        if let Value::Object(_, Object::SynProxy { .. }) = value {
            return;
        }
        if let Value::Object(name, object) = value {
            self.litter.push((name.clone(), *object));
        }
    }

    /// Forgets what the kernel has forgotten by itself.
    pub fn forget(&mut self, at: &Element) {
        if let Some((value, _)) = self.elements.remove(at) {
            self.drop_object(&value);
        }
    }
}

/// The changes for these elements.
pub fn plan(
    wanted: &HashMap<Element, (Value, Until)>,
    present: &Present,
    elements: impl IntoIterator<Item = Element>,
    now: Instant,
) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut objects = HashSet::new();
    for at in elements {
        let want = wanted.get(&at).filter(|(_, until)| !until.is_over(now));
        let have = present.elements.get(&at).filter(|(_, until)| !until.is_over(now));
        let change = match (want, have) {
            (Some((value, until)), None) => {
                Change::Add { at, value: value.clone(), for_ms: until.left_ms(now) }
            }
            (Some((value, until)), Some((was, lives))) => {
                if value == was && !outlives(*until, *lives) {
                    continue;
                }
                Change::Renew { at, was: was.clone(), value: value.clone(), for_ms: until.left_ms(now) }
            }
            (None, Some((was, _))) => Change::Remove { at, was: was.clone() },
            (None, None) => continue,
        };
        if let Change::Add { value: Value::Object(name, object), .. }
        | Change::Renew { value: Value::Object(name, object), .. } = &change
            && !present.objects.contains(name)
            && objects.insert(name.clone())
        {
            changes.push(Change::AddObject { name: name.clone(), object: *object });
        }
        changes.push(change);
    }
    changes
}

/// Whether the life that is wanted differs from the one there by enough to be worth a transaction.
fn outlives(wanted: Until, present: Until) -> bool {
    match (wanted, present) {
        (Until::Time(wanted), Until::Time(present)) => {
            wanted.millis_since(present) >= RENEW_SLACK_MS || present.millis_since(wanted) >= RENEW_SLACK_MS
        }
        (Until::Removed, Until::Removed) => false,
        _ => true,
    }
}
