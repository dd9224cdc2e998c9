//! generic
use ftagent_plugin::{Opinion, Packet};
ftagent_plugin::plugin!(manifest = "plugin.toml", judge = judge);
fn judge(packet: &Packet<'_>, _flow: &mut u64, _source: &mut u64) -> Opinion {
    match ftagent_plugin::checks::tcp::junk(packet) {
        Some(_) => Opinion::hostile(ftagent_plugin::Class::None, reason::TCP_WITHOUT_FLAGS),
        None => Opinion::unknown(),
    }
}
