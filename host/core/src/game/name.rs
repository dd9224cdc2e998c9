//! Names: normalised, cut into words, compared. A name is never found inside another word.

/// A title or egg name for comparison: lower case, without `[...]`, `(...)`, punctuation, and the words that panels
/// add. `Garry's Mod [SteamCMD]` becomes `garrys mod`.
pub fn normalise(name: &str) -> String {
    let mut bare = String::with_capacity(name.len());
    let mut open = 0_usize;
    for c in name.chars() {
        match c {
            '[' | '(' => open += 1,
            ']' | ')' => open = open.saturating_sub(1),
            _ if open > 0 => {}
            // An apostrophe joins (`Garry's` is `garrys`); all other punctuation separates.
            '\'' | '’' | '`' => {}
            c if c.is_alphanumeric() => bare.extend(c.to_lowercase()),
            _ => bare.push(' '),
        }
    }
    let added_by_panels = ["egg", "pterodactyl", "pelican"];
    let words: Vec<&str> = bare.split_whitespace().filter(|word| !added_by_panels.contains(word)).collect();
    words.join(" ")
}

/// The words of a command, in order and lower case: cut at white space, quotes and shell separators, paths reduced
/// to their last part, also behind `=`.
pub(super) fn command_words(command: &str) -> Vec<String> {
    let cut = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ';' | '&' | '|' | '(' | ')' | '`');
    let words = command.split(cut).filter(|word| !word.is_empty());
    words.map(|word| word.rsplit('/').next().unwrap_or(word).to_lowercase()).collect()
}

/// Whether `phrase` stands in `words` as whole words next to each other.
pub(super) fn holds_phrase(words: &[String], phrase: &[String]) -> bool {
    !phrase.is_empty() && words.windows(phrase.len()).any(|window| window == phrase)
}

/// The last part of an image's path with its tag: `ghcr.io/pterodactyl/games:rust` is `games:rust`. A digest is cut off.
pub(super) fn image_part(image: &str) -> String {
    let bare = image.split('@').next().unwrap_or(image);
    bare.rsplit('/').next().unwrap_or(bare).to_lowercase()
}

/// Whether an image part fits a pattern, which may end in `*`.
pub(super) fn image_fits(part: &str, pattern: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => part.starts_with(start),
        None => part == pattern,
    }
}

/// Which of `known` was probably meant: at most a third of the letters differ.
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let limit = (word.chars().count() / 3).max(1);
    let close = known.into_iter().map(|known| (distance(word, known), known));
    close
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// Letters to insert, remove, replace or swap with their neighbour, of at most 64 letters each.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(64).collect();
    let b: Vec<char> = b.chars().take(64).collect();
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_without_decoration() {
        let check = |name: &str, want: &str| assert_eq!(normalise(name), want, "{name}");
        check("Garry's Mod", "garrys mod");
        check("Counter-Strike: Source", "counter strike source");
        check("DayZ (Experimental)", "dayz");
        check("egg-pterodactyl-paper [beta]", "paper");
        check("7 Days To Die", "7 days to die");
        check("Valheim  BepINex", "valheim bepinex");
        check("))((", "");
        check("", "");
    }

    #[test]
    fn commands_are_cut_into_words() {
        let check = |command: &str, phrase: &str, want: bool| {
            let phrase = command_words(phrase);
            assert_eq!(holds_phrase(&command_words(command), &phrase), want, "{command} / {phrase:?}");
        };
        check("\"./RustDedicated -batchmode\"", "rustdedicated", true);
        check("./srcds_run -game csgo -console", "-game csgo", true);
        check("./srcds_run -game csgo_test", "-game csgo", false);
        check("./TrustDedicated", "rustdedicated", false);
        check("java -jar spark.jar", "ark", false);
        check("", "x", false);
        check("x", "", false);
    }

    #[test]
    fn images_are_matched_on_their_last_part() {
        assert_eq!(image_part("ghcr.io/pterodactyl/games:rust"), "games:rust");
        assert_eq!(image_part("games:rust@sha256:00"), "games:rust");
        assert_eq!(image_part("localhost:5000/itzg/minecraft-server"), "minecraft-server");
        assert!(image_fits("yolks:java_21", "yolks:java_*"));
        assert!(!image_fits("games:rusty", "games:rust"));
    }

    #[test]
    fn the_nearest_name_is_close() {
        assert_eq!(nearest("rpoto", ["port", "proto", "role"]), Some("proto"));
        assert_eq!(nearest("minecraft-jav", ["minecraft-java", "rust"]), Some("minecraft-java"));
        assert_eq!(nearest("zebra", ["port", "proto"]), None);
    }
}
