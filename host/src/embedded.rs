//! What the program brings along, collected by `build.rs`: `PLUGINS` and `GAMES`, each with its path below the
//! repository.

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));
