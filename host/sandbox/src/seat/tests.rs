//! Which answers of a plugin keep the contract.

use super::*;

/// Whether one opinion of a plugin with two reasons keeps the contract.
#[track_caller]
fn check_opinion(honest: bool, change: impl FnOnce(&mut OpinionRow)) {
    let mut opinion =
        OpinionRow { detail: u32::MAX, reason: 2, judgement: 2, class: 5, proof: 1, ..OpinionRow::default() };
    change(&mut opinion);
    assert_eq!(is_honest(&opinion, 2), honest, "{opinion:?}");
}

#[test]
fn opinions_are_checked_number_by_number() {
    check_opinion(true, |_| {});
    check_opinion(true, |it| *it = OpinionRow::default());
    check_opinion(true, |it| (it.judgement, it.reason) = (1, 0));
    check_opinion(true, |it| (it.judgement, it.reason) = (0, 1));
    check_opinion(false, |it| it.judgement = 3);
    check_opinion(false, |it| it.class = 6);
    check_opinion(false, |it| it.proof = 2);
    check_opinion(false, |it| it.reason = 3);
    check_opinion(false, |it| it.reason = 0);
    check_opinion(false, |it| it.reserved_a = 1);
    check_opinion(false, |it| it.reserved_b = 256);
}

#[test]
fn a_seat_moves_to_its_thread() {
    const fn is_send<T: Send>() {}
    is_send::<Seat>();
}
