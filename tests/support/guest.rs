//! Components written as text, out of the parts in `tests/guests`.

/// A plugin that traps whenever it is asked, with the manifest of a real one, so that it takes that one's place.
pub fn trapping(plugin: &str) -> Vec<u8> {
    let root = super::root();
    let read = |file: &str| {
        let file = root.join(file);
        std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    };
    let (prelude, traps) = (read("tests/guests/prelude.wat"), read("tests/guests/traps/guest.wat"));
    let component = read("tests/guests/component.wat")
        .replace("{{module}}", &format!("(core module $guest\n{prelude}\n{traps})"))
        .replace("{{extra}}", "")
        .replace("{{export}}", "classify");
    let mut bytes = wat::parse_str(component).expect("the guests' parts are right");
    let name = b"ftagent:manifest";
    let content = read(&format!("plugins/{plugin}/plugin.toml"));
    let body = [&[name.len() as u8][..], name, content.as_bytes()].concat();
    bytes.push(0);
    bytes.extend(leb128(body.len()));
    bytes.extend(body);
    bytes
}

fn leb128(mut rest: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while rest > 0x7f {
        bytes.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
    bytes
}
