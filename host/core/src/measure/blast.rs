//! Whether a measure would hit too many of the genuine packets that are kept. The limits are those of the design.

use std::sync::Arc;

use crate::limits;
use crate::manifest::Class;
use crate::retained::Tried;

/// Of a class at most so many in a thousand may be hit.
const CLASS_PER_MILLE: u32 = 5;
/// Of one player's packets at most so many in a hundred.
const PLAYER_PER_CENT: u32 = 5;

const CLASSES: [(Class, &str); 6] = [
    (Class::None, "unnamed packets"),
    (Class::Opening, "openings"),
    (Class::Query, "queries"),
    (Class::Join, "joins"),
    (Class::Play, "play"),
    (Class::Control, "control packets"),
];

/// Why a measure must not be taken, or `None` if it may. With too little retained only what is `declared`
/// impossible may.
pub(crate) fn refusal(tried: &Tried, declared: bool) -> Option<Arc<str>> {
    let of = tried.of();
    if !declared && of < limits::RETAINED_ENOUGH {
        let enough = limits::RETAINED_ENOUGH;
        return Some(format!("only {of} genuine packets are retained, {enough} are needed").into());
    }
    for (class, name) in CLASSES {
        let (of, hit) = tried.classes[class as usize];
        if u64::from(hit) * 1_000 > u64::from(of) * u64::from(CLASS_PER_MILLE) {
            return Some(format!("would hit {hit} of {of} retained {name}").into());
        }
    }
    let (of, hit) = tried.worst;
    if u64::from(hit) * 100 > u64::from(of) * u64::from(PLAYER_PER_CENT) {
        return Some(format!("would hit {hit} of {of} retained packets of one player").into());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(class: Class, of: u32, hit: u32, worst: (u32, u32)) -> Tried {
        let mut tried = Tried { worst, ..Tried::default() };
        tried.classes[Class::Control as usize].0 = 600;
        tried.classes[class as usize] = (of, hit);
        tried
    }

    #[test]
    fn half_a_per_cent_of_a_class_is_allowed_and_more_is_not() {
        assert_eq!(refusal(&tried(Class::Query, 200, 1, (32, 0)), false), None);
        let refused = refusal(&tried(Class::Query, 200, 2, (32, 0)), false);
        assert_eq!(refused.as_deref(), Some("would hit 2 of 200 retained queries"));
        assert!(refusal(&tried(Class::Opening, 3, 1, (32, 0)), true).is_some(), "declared ones too");
    }

    #[test]
    fn one_player_counts_alone() {
        assert_eq!(refusal(&tried(Class::Play, 9_000, 1, (32, 1)), false), None);
        let refused = refusal(&tried(Class::Play, 9_000, 2, (32, 2)), false);
        assert_eq!(refused.as_deref(), Some("would hit 2 of 32 retained packets of one player"));
    }

    #[test]
    fn with_little_retained_only_what_is_declared_may_be_taken() {
        assert!(refusal(&Tried::default(), false).is_some());
        assert_eq!(refusal(&Tried::default(), true), None);
    }
}
