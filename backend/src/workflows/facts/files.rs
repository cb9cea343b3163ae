//! What the files of the servers tell k3s.

use coxswain_wire::Fact;

use super::super::PreflightContext;
use super::{at_once, fail};
use crate::steps::ApiHost;
use crate::steps::server_files::FilesLook;

/// The files of each server, or what stands in the way of reading them or of restarting k3s with them.
pub(in crate::workflows) async fn of_servers<'a>(
    context: &PreflightContext,
    servers: &'a [ApiHost],
) -> Vec<(&'a ApiHost, Result<FilesLook, Fact>)> {
    at_once(servers.iter().map(|server| look(context, server)).collect()).await
}

async fn look<'a>(
    context: &PreflightContext,
    server: &'a ApiHost,
) -> (&'a ApiHost, Result<FilesLook, Fact>) {
    const ADVICE: &str = "Correct the file on this server, then look again.";
    let refused = |why: String| fail(&server.name, "Files", why, ADVICE);
    let look = match FilesLook::take(&*context.services.world, server.host).await {
        Ok(Ok(look)) if look.needs_reload => Err(fail(
            &server.name,
            "Files",
            "k3s.service was changed, and systemd has not read it again: the next restart would change more than this run",
            "Look at the change, and run systemctl daemon-reload on this server.",
        )),
        Ok(Ok(look)) => Ok(look),
        Ok(Err(error)) => Err(refused(error.to_string())),
        Err(failure) => Err(refused(failure.into_error().message)),
    };
    (server, look)
}
