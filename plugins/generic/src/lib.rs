//! Any game on either transport: the default where no plugin knows the game.
//!
//! It knows what no client of any game sends, and nothing else. What it cannot tell is unknown; a conversation that
//! goes both ways for a while is called play, which by itself gives nobody a better standing.

mod judge;

ftagent_plugin::plugin!(manifest = "plugin.toml", judge = judge::judge);

#[cfg(test)]
mod tests;
