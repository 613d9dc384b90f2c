//! `[server_group.passive_check]`: when real traffic shows that a backend fails.

use std::time::Duration;

use crate::config::PassiveCheck;
use crate::config::check::kind::Integer;
use crate::config::check::kind::seconds;
use crate::config::check::section::Section;

/// It is in force without the table, too.
pub(super) fn passive_check(group: &mut Section<'_, '_>) -> PassiveCheck {
    let table = group.table("passive_check");
    let mut section = Section::single("server_group.passive_check", table, group.output);
    let check = PassiveCheck {
        consecutive_failures: section.read(
            "consecutive_failures",
            &Integer(0..=1_000),
            DEFAULT.consecutive_failures,
        ),
        ejection_time: section.read("ejection_time", &seconds(1, 300), DEFAULT.ejection_time),
    };
    section.close();
    check
}

pub(super) const DEFAULT: PassiveCheck =
    PassiveCheck { consecutive_failures: 5, ejection_time: Duration::from_secs(10) };
