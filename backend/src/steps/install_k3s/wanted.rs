//! What an installed node must be like before the step is done.

use coxswain_engine::step::StepFailure;
use coxswain_k3s::install::{Release, Role, Source};
use tokio::time::Instant;

use super::Params;
use crate::steps::Services;
use crate::steps::healthy::{self, Healthy, Part, Wanted};
use crate::steps::unit::UnitLook;

/// Looks at a node whose unit is active. `Err` inside: what is missing.
pub(super) async fn healthy(
    services: &Services,
    params: &Params,
    look: &UnitLook,
    deadline: Instant,
) -> Result<Result<Healthy, String>, StepFailure> {
    if let Err(why) = same_arguments(params, look)? {
        return Ok(Err(why));
    }
    let part = match (&params.request.role, &params.via) {
        (Role::FirstServer | Role::JoinServer { .. }, via) => Part::Server { via: via.as_ref() },
        (Role::Agent { .. }, Some(via)) => Part::Agent { via },
        (Role::Agent { .. }, None) => {
            return Err(StepFailure::fatal("the step names no server for the agent"));
        }
    };
    let version = version(&params.request.source);
    let wanted = Wanted {
        node: &params.node,
        part,
        version: version.as_deref(),
        deadline,
    };
    healthy::healthy(&*services.world, wanted).await
}

/// k3s runs with the arguments that this step gives it: another installation does not count.
fn same_arguments(params: &Params, look: &UnitLook) -> Result<Result<(), String>, StepFailure> {
    let wanted = params
        .request
        .k3s_args()
        .map_err(|e| StepFailure::fatal(e.to_string()))?;
    Ok(if look.words().as_ref() == Some(&wanted) {
        Ok(())
    } else {
        Err("k3s runs with other arguments".to_owned())
    })
}

/// The version that was asked for, if one was.
fn version(source: &Source) -> Option<String> {
    match source {
        Source::Online {
            release: Release::Version(version),
            ..
        } => Some(version.to_string()),
        Source::Online {
            release: Release::Channel(_),
            ..
        }
        | Source::AirGap { .. } => None,
    }
}
