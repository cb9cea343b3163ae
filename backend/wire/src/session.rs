//! First start, sign-in, users and roles.

use serde::{Deserialize, Serialize};

use crate::{Timestamp, UserId};

/// What a user may do. Each role is a set of [`Permission`]s, see [`Role::allows`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    /// Download kubeconfigs: whoever has one is admin of the cluster, past every gate.
    Kubeconfig,
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
            Permission::Administer | Permission::Kubeconfig => matches!(self, Role::Admin),
        }
    }

    /// Whether an admin may grant [`Permission::Kubeconfig`] to a user of this role: admins have it, and
    /// who only looks must not get it.
    #[must_use]
    pub fn takes_kubeconfig(self) -> bool {
        match self {
            Role::Operator | Role::Approver => true,
            Role::Viewer | Role::Admin => false,
        }
    }
}

/// `GET /boot`: what the page needs before anybody has signed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Session {
    /// Who.
    pub user: UserId,
    /// Sign-in name.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// They may also download kubeconfigs.
    pub kubeconfig: bool,
    /// Goes back in the header [`crate::CSRF_HEADER`] of every change.
    pub csrf: String,
}

impl Session {
    /// Whether they may: by role, or because an admin granted it.
    #[must_use]
    pub fn may(&self, permission: Permission) -> bool {
        let granted =
            permission == Permission::Kubeconfig && self.kubeconfig && self.role.takes_kubeconfig();
        granted || self.role.allows(permission)
    }
}

/// `POST /setup`: makes the first admin, once.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SignInRequest {
    /// Sign-in name.
    pub name: String,
    /// Password.
    pub password: String,
}

/// A user as an admin sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct User {
    /// Identifier.
    pub id: UserId,
    /// Sign-in name.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// An admin granted them to download kubeconfigs.
    pub kubeconfig: bool,
    /// When the account was made.
    pub created_at: Timestamp,
}

/// `POST /users`.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// Sign-in name: 1 to 64 of letters, digits, `.`, `-`, `_`.
    pub name: String,
    /// At least 12 characters.
    pub password: String,
    /// What they may do.
    pub role: Role,
}

/// `PUT /users/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct UserChange {
    /// Whether they may download kubeconfigs. Refused for viewers; admins may anyway.
    pub kubeconfig: bool,
}
