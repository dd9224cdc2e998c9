//! Our netlink against the kernel and against what `nft` says.

mod rig;

use ftagent_firewall::netlink::Netlink;
use rig::Rig;

#[test]
fn the_kernel_renews_timeouts_and_the_probe_leaves_nothing() {
    Rig::new("nft").run(|rig| {
        let before = rig.listings();
        assert!(Netlink::open().unwrap().renews_timeouts().unwrap());
        assert_eq!(rig.listings(), before);
    });
}
