//! The terminal while somebody watches: the alternate screen, given back however the watching ends. Control sequences
//! are those of ECMA-48 and xterm, which every terminal of the last decades knows.

use std::io::Read as _;
use std::io::Write as _;
use std::time::Duration;
use std::time::Instant;

use rustix::termios;
use rustix::termios::OptionalActions;
use rustix::termios::SpecialCodeIndex;
use rustix::termios::Termios;

/// Alternate screen, no cursor.
const TAKE: &str = "\x1b[?1049h\x1b[?25l";
/// Cursor, screen as it was.
const GIVE_BACK: &str = "\x1b[?25h\x1b[?1049l";
/// To the first place.
const HOME: &str = "\x1b[H";
/// Nothing behind the text of this line.
const REST_OF_LINE: &str = "\x1b[K";
/// Nothing below.
const REST_OF_SCREEN: &str = "\x1b[J";
/// Size of a terminal that does not tell it.
const ROWS: usize = 24;
const COLUMNS: usize = 80;

/// Keys that end the watching: `q`, Escape, and Ctrl-C, which a raw terminal hands over as a byte.
const QUIT: [u8; 4] = [b'q', b'Q', 0x1b, 3];

/// The screen; dropping it gives the terminal back.
#[derive(Debug)]
pub(super) struct Screen {
    before: Termios,
}

impl Screen {
    /// Takes the terminal.
    pub(super) fn take() -> std::io::Result<Self> {
        let before = termios::tcgetattr(std::io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        // A read waits a tenth of a second for a key, then says that there is none.
        raw.special_codes[SpecialCodeIndex::VMIN] = 0;
        raw.special_codes[SpecialCodeIndex::VTIME] = 1;
        termios::tcsetattr(std::io::stdin(), OptionalActions::Now, &raw)?;
        let screen = Self { before };
        write(TAKE)?;
        Ok(screen)
    }

    /// Draws a text that is made for so many rows; what is wider or higher is cut.
    pub(super) fn draw(&mut self, text: impl FnOnce(usize) -> String) -> std::io::Result<()> {
        let size = termios::tcgetwinsize(std::io::stdout()).ok().filter(|size| size.ws_row > 0);
        let (rows, columns) =
            size.map_or((ROWS, COLUMNS), |size| (usize::from(size.ws_row), usize::from(size.ws_col)));
        let text = text(rows);
        let lines = text.lines().take(rows).map(|line| line.chars().take(columns).collect::<String>());
        let drawn = lines.map(|line| line + REST_OF_LINE).collect::<Vec<_>>().join("\r\n");
        write(&format!("{HOME}{drawn}{REST_OF_SCREEN}"))
    }

    /// Waits for so long; says whether somebody wants to quit meanwhile, or the terminal is gone.
    pub(super) fn quits_within(&mut self, wait: Duration) -> bool {
        let end = Instant::now() + wait;
        let mut keys = [0; 64];
        while Instant::now() < end {
            match std::io::stdin().lock().read(&mut keys) {
                Ok(read) if keys[..read].iter().any(|key| QUIT.contains(key)) => return true,
                Ok(_) => {}
                Err(_) => return true,
            }
        }
        false
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing back.
        let _ = write(GIVE_BACK);
        let _ = termios::tcsetattr(std::io::stdin(), OptionalActions::Now, &self.before);
    }
}

fn write(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
