//! The SYN proxy: the kernel answers SYNs with cookies and hands over only handshakes that were completed.
//!
//! ```text
//! SYN ─► judge: notrack (armed) ─► not translated, so it comes to the node ─► input: answered with a cookie
//! ACK ─► not of a tracked connection (tcp_loose = 0) ─► input: cookie good? the kernel sends the SYN itself,
//!        through OUTPUT, where Docker's rules translate it, to the container; the connection is tracked from there
//! ```
//!
//! What must stay true: only what takes SYNs away lies behind `armed`; the chain that ends handshakes stays some
//! seconds longer, and the objects stay as long as the table, because the kernel translates timestamps of the
//! connections that it began while one stands. The node's own value of `nf_conntrack_tcp_loose` is written down
//! before it is changed, and given back when no handshake can be open, by `off`, and at the next start.
//!
//! *Measured* on kernel 6.18 with iptables-nft: it works for forwarded ports in both families, by the rules that
//! Docker makes in the OUTPUT chain of `nat`; without those the server is never reached.

use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::FirewallError;
use crate::config::Mode;
use crate::key::Family;
use crate::program;
use crate::set::Kind;
use crate::structure::TABLE;
use crate::wall::Wall;

/// Whether connections are tracked whose beginning was not seen; of the network namespace that we are in.
const LOOSE: &str = "/proc/sys/net/netfilter/nf_conntrack_tcp_loose";

fn script(stands: bool) -> String {
    let hook = "type filter hook input priority -10; policy accept;";
    let mut out = format!("add chain inet {TABLE} proxies {{ {hook} }}\nflush chain inet {TABLE} proxies\n");
    if !stands {
        let _ = writeln!(out, "delete chain inet {TABLE} proxies");
        return out;
    }
    let _ = writeln!(out, "add rule inet {TABLE} proxies iifname != @uplinks return");
    for (ip, digit) in [("ip", Family::V4.digit()), ("ip6", Family::V6.digit())] {
        let proxy = format!("synproxy name {ip} daddr . th dport . meta l4proto map @proxies{digit}");
        let _ = writeln!(out, "add rule inet {TABLE} proxies ct state invalid,untracked {proxy}");
    }
    out
}

impl Wall {
    /// Makes the chain stand where a service needs it, and takes it away where none does any more.
    pub(crate) fn sync_proxy(&mut self) -> Result<(), FirewallError> {
        let wanted = self.wanted.size(Kind::Proxies) > 0 && self.structure.mode != Mode::Observe;
        if wanted == self.proxy_stands {
            if !wanted {
                // An earlier run may have been killed.
                loosen(&self.config.state_dir)?;
            }
            return Ok(());
        }
        program::nft(&script(wanted))?;
        self.proxy_stands = wanted;
        self.reconcile.note_structure(self.netlink.fingerprint()?);
        if wanted { tighten(&self.config.state_dir) } else { loosen(&self.config.state_dir).map(drop) }
    }
}

/// Writes the node's value down, unless an earlier run did, and sets it to 0.
fn tighten(state_dir: &Path) -> Result<(), FirewallError> {
    let kept = state_dir.join("tcp_loose");
    if !kept.exists() {
        let value = fs::read_to_string(LOOSE).map_err(io("reading", LOOSE))?;
        fs::write(&kept, value).map_err(io("writing", &kept.display().to_string()))?;
    }
    fs::write(LOOSE, "0").map_err(io("writing", LOOSE))
}

/// Gives the node's value back; `false` if it was not changed. Whoever set another one meanwhile keeps it.
pub(crate) fn loosen(state_dir: &Path) -> Result<bool, FirewallError> {
    let kept = state_dir.join("tcp_loose");
    let value = match fs::read_to_string(&kept) {
        Ok(value) => value,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(io("reading", &kept.display().to_string())(error)),
    };
    let now = fs::read_to_string(LOOSE).map_err(io("reading", LOOSE))?;
    if now.trim() == "0" && matches!(value.trim(), "0" | "1") {
        fs::write(LOOSE, value.trim()).map_err(io("writing", LOOSE))?;
    }
    fs::remove_file(&kept).map_err(io("removing", &kept.display().to_string()))?;
    Ok(true)
}

fn io(doing: &str, what: &str) -> impl FnOnce(std::io::Error) -> FirewallError + use<> {
    let doing = format!("{doing} {what}");
    move |source| FirewallError::Io { doing, source }
}
