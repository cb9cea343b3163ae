//! Step kinds of the panel, one file each, and the registry the engine finds them in.
//!
//! A step kind speaks to machines only through [`crate::world`] and to the panel only through
//! [`services`]. Its scripts are constant; values reach them as positional parameters.

pub mod arm_drill_timer;
pub(crate) mod certificates;
pub mod compare_inventory;
pub mod configure_haproxy;
pub mod copy_snapshot;
pub mod delete_snapshots;
pub mod delete_stuck_pods;
pub mod disarm_drill_timer;
pub mod drain_node;
pub mod drill;
pub mod drop_serving;
pub mod edit_sans;
pub mod end_fault;
pub mod fetch_kubeconfig;
pub mod forget_password;
pub mod hold_k3s;
pub mod inject_fault;
pub mod install_k3s;
pub mod keep_names;
pub mod keep_serving;
pub mod keep_start;
pub mod leave_cluster;
pub mod list_backups;
pub mod list_snapshots;
pub mod look;
pub mod move_token;
pub mod observe_drill;
pub mod place_k3s;
pub mod place_token;
pub mod read_token;
pub mod record_cluster;
pub mod rejoin_server;
pub mod remove_backups;
pub mod remove_haproxy;
pub mod remove_k3s;
pub mod renew_serving;
pub mod report_drill;
pub mod reset_cluster;
pub mod resolve_release;
pub mod restart_into;
pub mod restart_k3s;
pub mod rotate_certificates;
pub mod rotate_token;
pub mod run_command;
pub mod save_snapshot;
pub mod serve_names;
pub mod serve_renewed;
pub mod services;
pub mod steady_state;
pub mod stop_k3s;
pub mod stop_servers;
pub mod uncordon_node;
pub mod verify_cluster;
pub mod verify_restore;
pub mod verify_token;
pub mod verify_versions;

pub(crate) mod configured;
pub(crate) mod dead;
pub(crate) mod etcd;
mod failure;
mod haproxy;
pub(crate) mod healthy;
pub(crate) mod inspect;
mod jobs;
pub(crate) mod kube;
mod leave;
mod log;
pub(crate) mod node_files;
pub(crate) mod quorum;
pub(crate) mod restart;
mod sections;
pub(crate) mod server_files;
pub(crate) mod serving;
pub(crate) mod snapshots;
pub(crate) mod stats;
pub(crate) mod survey;
pub mod sweep;
pub(crate) mod told_token;
pub(crate) mod unit;
pub(crate) mod way;

use std::sync::Arc;

use coxswain_engine::step::{Registry, StepContext, StepFailure, StepKind};
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use kube::ApiHost;

pub use services::Services;

/// All step kinds.
#[must_use]
pub fn kinds(services: &Services) -> Vec<Arc<dyn StepKind>> {
    vec![
        Arc::new(arm_drill_timer::ArmDrillTimer(services.clone())),
        Arc::new(compare_inventory::CompareInventory(services.clone())),
        Arc::new(configure_haproxy::ConfigureHaproxy(services.clone())),
        Arc::new(copy_snapshot::CopySnapshot(services.clone())),
        Arc::new(delete_snapshots::DeleteSnapshots(services.clone())),
        Arc::new(delete_stuck_pods::DeleteStuckPods(services.clone())),
        Arc::new(disarm_drill_timer::DisarmDrillTimer(services.clone())),
        Arc::new(drain_node::DrainNode(services.clone())),
        Arc::new(drop_serving::DropServing(services.clone())),
        Arc::new(edit_sans::EditSans(services.clone())),
        Arc::new(end_fault::EndFault(services.clone())),
        Arc::new(fetch_kubeconfig::FetchKubeconfig(services.clone())),
        Arc::new(forget_password::ForgetPassword(services.clone())),
        Arc::new(hold_k3s::HoldK3s(services.clone())),
        Arc::new(inject_fault::InjectFault(services.clone())),
        Arc::new(install_k3s::InstallK3s(services.clone())),
        Arc::new(keep_names::KeepNames(services.clone())),
        Arc::new(keep_serving::KeepServing(services.clone())),
        Arc::new(keep_start::KeepStart(services.clone())),
        Arc::new(leave_cluster::LeaveCluster(services.clone())),
        Arc::new(list_backups::ListBackups(services.clone())),
        Arc::new(list_snapshots::ListSnapshots(services.clone())),
        Arc::new(look::Look(services.clone())),
        Arc::new(move_token::MoveToken(services.clone())),
        Arc::new(place_k3s::PlaceK3s(services.clone())),
        Arc::new(place_token::PlaceToken(services.clone())),
        Arc::new(observe_drill::ObserveDrill(services.clone())),
        Arc::new(read_token::ReadToken(services.clone())),
        Arc::new(report_drill::ReportDrill(services.clone())),
        Arc::new(record_cluster::RecordCluster(services.clone())),
        Arc::new(remove_haproxy::RemoveHaproxy(services.clone())),
        Arc::new(rejoin_server::RejoinServer(services.clone())),
        Arc::new(remove_k3s::RemoveK3s(services.clone())),
        Arc::new(reset_cluster::ResetCluster(services.clone())),
        Arc::new(remove_backups::RemoveBackups(services.clone())),
        Arc::new(renew_serving::RenewServing(services.clone())),
        Arc::new(resolve_release::ResolveRelease(services.clone())),
        Arc::new(restart_into::RestartInto(services.clone())),
        Arc::new(restart_k3s::RestartK3s(services.clone())),
        Arc::new(run_command::RunCommand(services.clone())),
        Arc::new(rotate_certificates::RotateCertificates(services.clone())),
        Arc::new(rotate_token::RotateToken(services.clone())),
        Arc::new(save_snapshot::SaveSnapshot(services.clone())),
        Arc::new(steady_state::SteadyState(services.clone())),
        Arc::new(stop_k3s::StopK3s(services.clone())),
        Arc::new(uncordon_node::UncordonNode(services.clone())),
        Arc::new(stop_servers::StopServers(services.clone())),
        Arc::new(serve_names::ServeNames(services.clone())),
        Arc::new(serve_renewed::ServeRenewed(services.clone())),
        Arc::new(verify_cluster::VerifyCluster(services.clone())),
        Arc::new(verify_restore::VerifyRestore(services.clone())),
        Arc::new(verify_token::VerifyToken(services.clone())),
        Arc::new(verify_versions::VerifyVersions(services.clone())),
    ]
}

/// The registry of all step kinds.
#[must_use]
pub fn registry(services: &Services) -> Registry {
    Registry::new(kinds(services))
}

/// Whether parameters decode, for [`StepKind::check`].
fn check<T: DeserializeOwned>(params: &Value) -> Result<(), String> {
    serde_json::from_value::<T>(params.clone())
        .map(drop)
        .map_err(|e| e.to_string())
}

/// What [`StepKind::prepare`] stored.
fn memo<T: DeserializeOwned>(context: &StepContext) -> Result<T, StepFailure> {
    serde_json::from_value(context.memo.clone()).map_err(|e| {
        StepFailure::fatal(format!(
            "what was noted before the step does not decode: {e}"
        ))
    })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    /// Every script that a step may run is one for any POSIX shell.
    #[test]
    fn scripts_are_posix_shell() {
        let scripts = [
            super::unit::LOOK,
            super::etcd::LOOK,
            super::etcd::REMOVE,
            super::inspect::INSPECT,
            super::look::LOOK,
            super::move_token::PLACES,
            super::place_k3s::PUT_BACK,
            super::place_k3s::FORGET,
            super::place_k3s::KEPT,
            super::resolve_release::CHANNEL,
            super::resolve_release::BINARY,
            super::rotate_token::ROTATE,
            super::rotate_token::CAN,
            super::verify_token::TRY,
            super::survey::host::FILES,
            super::run_command::FOLLOW,
            super::run_command::SHELL,
            super::remove_k3s::REMOVE,
            super::restart::RESTART,
            super::stop_k3s::STOP,
            super::stop_k3s::START,
            super::save_snapshot::SAVE,
            super::snapshots::LOOK,
            super::snapshots::HASH,
            super::snapshots::ROOM,
            super::copy_snapshot::APPEND,
            super::copy_snapshot::FINISH,
            super::copy_snapshot::REMOVE,
            super::hold_k3s::HOLD,
            super::hold_k3s::GIVE_BACK,
            super::stop_servers::HALT,
            super::stop_servers::RELEASE,
            super::reset_cluster::RESET,
            super::rejoin_server::KEYS,
            super::rejoin_server::REJOIN,
            super::rejoin_server::ASIDE,
            super::rejoin_server::SETTLE,
            super::delete_snapshots::DELETE,
            super::delete_snapshots::LEFT,
            super::server_files::LIST,
            super::server_files::RELOAD,
            super::serving::RENEW,
            super::certificates::LOOK,
            super::certificates::BACKUPS,
            super::remove_backups::REMOVE,
            super::rotate_certificates::ROTATE,
            super::rotate_certificates::CAN,
            super::stats::STAT,
            super::drill::scripts::STOP,
            super::drill::scripts::KILL,
            super::drill::scripts::START,
            super::drill::scripts::CUT,
            super::drill::scripts::MEND,
            super::drill::scripts::RULES,
            super::drill::timer::ARM,
            super::drill::timer::LOOK,
            super::drill::timer::DISARM,
            super::haproxy::TAKE_OVER,
            super::haproxy::STATE,
        ];
        for script in scripts {
            let checked = Command::new("sh")
                .args(["-n", "-c", script.text])
                .output()
                .unwrap();
            assert!(checked.status.success(), "{}: {checked:?}", script.name);
        }
    }
}
