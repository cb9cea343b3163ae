//! First start, sign-in, users and roles.

use serde::{Deserialize, Serialize};

use crate::{Timestamp, UserId};

/// What a user may do. Each role is a set of [`Permission`]s, see [`Role::allows`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Looks at everything that is not secret.
    Viewer,
    /// Keeps the inventory, starts and steers runs.
    Operator,
    /// Decides at gates.
    Approver,
    /// Everything, users included.
    Admin,
}

/// What one route asks of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Permission {
    /// Read inventory, runs, audit.
    View,
    /// Change the inventory; start and steer runs.
    Operate,
    /// Decide at gates.
    Approve,
    /// Manage users.
    Administer,
}

impl Role {
    /// All roles, weakest first.
    pub const ALL: [Role; 4] = [Role::Viewer, Role::Operator, Role::Approver, Role::Admin];

    /// The only place that says which role may do what.
    #[must_use]
    pub fn allows(self, permission: Permission) -> bool {
        match permission {
            Permission::View => true,
            Permission::Operate => matches!(self, Role::Operator | Role::Admin),
            Permission::Approve => matches!(self, Role::Approver | Role::Admin),
            Permission::Administer => matches!(self, Role::Admin),
        }
    }
}

/// `GET /boot`: what the page needs before anybody has signed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot {
    /// Version of the panel.
    pub version: String,
    /// True until the first user exists.
    pub setup_needed: bool,
    /// The caller's session, if there is one.
    pub session: Option<Session>,
}

/// The signed-in user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Who.
    pub user: UserId,
    /// Sign-in name.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Goes back in the header [`crate::CSRF_HEADER`] of every change.
    pub csrf: String,
}

/// `POST /setup`: makes the first admin, once.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetupRequest {
    /// The one-time secret that the panel printed at its first start.
    pub secret: String,
    /// Sign-in name of the first admin.
    pub name: String,
    /// At least 12 characters.
    pub password: String,
}

/// `POST /session`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignInRequest {
    /// Sign-in name.
    pub name: String,
    /// Password.
    pub password: String,
}

/// A user as an admin sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Identifier.
    pub id: UserId,
    /// Sign-in name.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// When the account was made.
    pub created_at: Timestamp,
}

/// `POST /users`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// Sign-in name: 1 to 64 of letters, digits, `.`, `-`, `_`.
    pub name: String,
    /// At least 12 characters.
    pub password: String,
    /// What they may do.
    pub role: Role,
}
