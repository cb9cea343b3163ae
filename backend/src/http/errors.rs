//! The only place where an error becomes HTTP.
//!
//! A handler returns a [`Failure`]; its response carries it to [`super::envelope`], which knows the request's
//! number and writes the body.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use coxswain_engine::engine::CommandError;
use coxswain_engine::handle::Refusal;
use coxswain_engine::store::StoreError;

use crate::auth::{AuthError, PasswordError};
use crate::planner::PlanError;
use crate::store::{ChangeError, DbError};
use crate::vault::VaultError;
use crate::world::WorldError;

/// Answer of a handler.
pub(super) type Answer<T> = Result<T, Failure>;

/// What goes wrong on purpose or by accident, as the caller will read it.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) field: Option<String>,
    pub(super) retry_after_s: Option<u64>,
    /// For the log only.
    pub(super) cause: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Failure {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            field: None,
            retry_after_s: None,
            cause: None,
        }
    }

    /// 422 that names a field.
    pub(super) fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: Some(field.into()),
            ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_field", message)
        }
    }

    pub(super) fn not_found(what: impl std::fmt::Display) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            format!("There is no {what}."),
        )
    }

    pub(super) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", message)
    }

    /// 500; what happened goes to the log and not to the caller.
    pub(super) fn internal(cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        let message = "The panel failed at this; its log says why, under the request's number.";
        Self {
            cause: Some(Arc::new(cause)),
            ..Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<DbError> for Failure {
    fn from(error: DbError) -> Self {
        Failure::internal(error)
    }
}

impl From<ChangeError> for Failure {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Field { field, message } => Failure::field(field, message),
            ChangeError::NotFound(what) => Failure::not_found(what),
            ChangeError::Conflict(message) => Failure::conflict(message),
            ChangeError::Db(error) => error.into(),
        }
    }
}

impl From<PasswordError> for Failure {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::TooShort | PasswordError::TooLong => {
                Failure::field("password", error.to_string())
            }
            PasswordError::Busy => Failure {
                retry_after_s: Some(5),
                ..Failure::new(StatusCode::SERVICE_UNAVAILABLE, "busy", error.to_string())
            },
            PasswordError::Broken(_) => Failure::internal(error),
        }
    }
}

impl From<AuthError> for Failure {
    fn from(error: AuthError) -> Self {
        let message = error.to_string();
        match error {
            AuthError::Wrong => {
                Failure::new(StatusCode::UNAUTHORIZED, "wrong_credentials", message)
            }
            AuthError::SetupRefused => Failure {
                field: Some("secret".to_owned()),
                ..Failure::new(StatusCode::FORBIDDEN, "setup_refused", message)
            },
            AuthError::Throttled(wait) => Failure {
                retry_after_s: Some(wait.as_secs().max(1)),
                ..Failure::new(StatusCode::TOO_MANY_REQUESTS, "too_many_tries", message)
            },
            AuthError::Change(error) => error.into(),
            AuthError::Password(error) => error.into(),
            AuthError::Db(error) => error.into(),
        }
    }
}

impl From<VaultError> for Failure {
    fn from(error: VaultError) -> Self {
        Failure::internal(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound(run) => Failure::not_found(format!("run {run}")),
            StoreError::LockHeld { .. } => {
                Failure::new(StatusCode::CONFLICT, "locked", error.to_string())
            }
            StoreError::Conflict(_) | StoreError::Broken(_) => Failure::internal(error),
        }
    }
}

impl From<CommandError> for Failure {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Store(error) => error.into(),
            CommandError::Refused(refusal) => refusal.into(),
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        let conflict = |code| Failure::new(StatusCode::CONFLICT, code, message.clone());
        match &refusal {
            Refusal::NotNow { .. } => conflict("not_now"),
            Refusal::Outdated { .. } => conflict("outdated"),
            Refusal::Blocked { .. } => conflict("blocked"),
            Refusal::ConfirmationMissing { .. } => Failure::field("confirm", message),
            Refusal::CommentMissing => Failure::field("comment", message),
            Refusal::JobMayBeAlive { .. } => Failure {
                field: Some("dead_hosts".to_owned()),
                ..conflict("job_may_be_alive")
            },
            Refusal::NothingToUndo => conflict("nothing_to_undo"),
        }
    }
}

impl From<WorldError> for Failure {
    fn from(error: WorldError) -> Self {
        let message = match error.advice() {
            Some(advice) => format!("{error}. {advice}"),
            None => error.to_string(),
        };
        Failure::new(StatusCode::BAD_GATEWAY, "host_failed", message)
    }
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::UnknownWorkflow(name) => {
                Failure::field("workflow", format!("There is no workflow {name}."))
            }
            PlanError::Field { field, message } => Failure::field(field, message),
            PlanError::Db(error) => error.into(),
        }
    }
}
