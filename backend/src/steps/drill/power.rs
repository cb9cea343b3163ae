//! The power of a host, as another host switches it.

use std::time::Duration;

use coxswain_engine::step::StepFailure;
use coxswain_wire::PowerControl;

use super::super::failure;
use crate::world::{RemoteCommand, World};

/// For a control to switch.
const SWITCHED: Duration = Duration::from_secs(90);

/// The power of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Power {
    /// It is on.
    On,
    /// It is off.
    Off,
}

/// Whether a host has power, by its control.
pub(crate) async fn power(world: &dyn World, control: &PowerControl) -> Result<Power, StepFailure> {
    let command = typed(&control.status)?.sudo();
    let name = command.name().to_owned();
    let answer = world
        .run(control.via, command)
        .await
        .and_then(|o| o.ok(&name))
        .map_err(failure::world)?;
    told(&answer.text()).ok_or_else(|| {
        failure::fatal(
            format!(
                "{} does not say whether the power is on: {:?}",
                control.status.join(" "),
                answer.text().chars().take(200).collect::<String>()
            ),
            "Correct the host's power control: its status must print on or off, running or shut off.",
        )
    })
}

/// What a status says; nothing if it says both or neither.
fn told(text: &str) -> Option<Power> {
    let lower = text.to_ascii_lowercase();
    let has = |wanted: &str| {
        lower
            .split(|c: char| !c.is_ascii_alphanumeric())
            .any(|word| word == wanted)
    };
    match (has("on") || has("running"), has("off")) {
        (true, false) => Some(Power::On),
        (false, true) => Some(Power::Off),
        (true, true) | (false, false) => None,
    }
}

/// Switches it, unless it is so already: some controls refuse to switch off what is off, or toggle.
///
/// # Errors
/// The control does not work. Switching on is tried even if nobody can say whether it is off.
pub(crate) async fn switch(
    world: &dyn World,
    control: &PowerControl,
    wanted: Power,
) -> Result<(), StepFailure> {
    match (power(world, control).await, wanted) {
        (Ok(now), wanted) if now == wanted => return Ok(()),
        (Ok(_), _) => {}
        (Err(failure), Power::On) => {
            let why = failure.into_error().message;
            tracing::warn!(why, "switching on without knowing whether it is off");
        }
        (Err(failure), Power::Off) => return Err(failure),
    }
    let words = match wanted {
        Power::On => &control.on,
        Power::Off => &control.off,
    };
    let command = typed(words)?.sudo().timeout(SWITCHED);
    let name = command.name().to_owned();
    world
        .run(control.via, command)
        .await
        .and_then(|o| o.ok(&name))
        .map_err(failure::world)?;
    Ok(())
}

fn typed(words: &[String]) -> Result<RemoteCommand, StepFailure> {
    let (program, args) = words
        .split_first()
        .ok_or_else(|| StepFailure::fatal("the power control has no command"))?;
    Ok(RemoteCommand::program(program).args(args))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn power_is_read_as_tools_say_it() {
        for (text, power) in [
            ("on\n", Some(Power::On)),
            ("Chassis Power is off\n", Some(Power::Off)),
            ("running\n", Some(Power::On)),
            ("shut off\n", Some(Power::Off)),
            ("button\n", None),
            ("on or off?", None),
            ("", None),
        ] {
            assert_eq!(told(text), power, "{text}");
        }
    }
}
