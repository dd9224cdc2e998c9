//! Every bound of this crate: its unit and what happens there.

use std::time::Duration;

/// Containers that are looked at. More are left out, and a finding says so.
pub const CONTAINERS_MAX: usize = 4_096;

/// Services in the table. More are left out, and a finding says so.
pub const SERVICES_MAX: usize = 65_536;

/// Variables of one container that are read. The others are not seen.
pub const VARIABLES_MAX: usize = 1_024;

/// Bytes of one variable that are read. A longer one is cut.
pub const VARIABLE_BYTES_MAX: usize = 16_384;

/// Containers that are asked about at the same time. The others wait.
pub const INSPECTIONS_AT_ONCE_MAX: usize = 8;

/// Seconds that Docker may take for one answer. Then it counts as unreachable.
pub const ANSWER_SECONDS_MAX: u64 = 20;

/// The longest pause between two attempts to reach Docker, so that its return is seen within a second.
pub const RETRY_MAX: Duration = Duration::from_millis(800);

/// The first pause; it doubles up to the longest.
pub const RETRY_MIN: Duration = Duration::from_millis(100);

/// The shortest pause between two looks: what happens meanwhile is read together.
pub const LOOK_PAUSE: Duration = Duration::from_millis(60);
