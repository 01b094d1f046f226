//! Who may do what: the roles of members and the actions that pages and routes ask for. The only place that decides it.
//! Called by whoever answers a person; API keys have scopes instead (`auth/scopes.rs`).

/// What a member may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Administrator,
    /// Everything outside production; inside, looking and triggering syncs.
    ProductionSupport,
    /// Everything outside production, which stays closed.
    DevelopmentFullAccess,
}

impl Role {
    pub const ALL: [Role; 3] = [Role::Administrator, Role::ProductionSupport, Role::DevelopmentFullAccess];

    /// Its name in settings and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Administrator => "administrator",
            Role::ProductionSupport => "production_support",
            Role::DevelopmentFullAccess => "development_full_access",
        }
    }

    /// The role of this name.
    pub fn find(name: &str) -> Option<Self> {
        Role::ALL.into_iter().find(|role| role.as_str() == name)
    }

    /// Its name for people.
    pub fn title(self) -> &'static str {
        match self {
            Role::Administrator => "Administrator",
            Role::ProductionSupport => "Production support",
            Role::DevelopmentFullAccess => "Development, full access",
        }
    }

    /// What it means, as a sentence.
    pub fn meaning(self) -> &'static str {
        match self {
            Role::Administrator => "May do everything.",
            Role::ProductionSupport => {
                "May do everything outside production. In production: look at everything but secrets, and trigger syncs."
            }
            Role::DevelopmentFullAccess => {
                "May do everything outside production, and cannot enter production."
            }
        }
    }

    /// Whether a member with this role may do `action` in such an environment.
    pub fn may(self, action: Action, zone: Zone) -> bool {
        use Action::*;
        match (self, action) {
            (_, BeHere) | (Role::Administrator, _) => true,
            (
                _,
                ManageConnectUi | ManageEnvironments | ManageProviders | ManageTeam | ReadAudit | SeeHealth,
            ) => false,
            (_, Read | TriggerSyncs | Write | ReadSecrets) if zone == Zone::Development => true,
            (Role::ProductionSupport, Read | TriggerSyncs) => true,
            (_, Read | TriggerSyncs | Write | ReadSecrets) => false,
        }
    }
}

/// Something that a member wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Be logged in: the own profile.
    BeHere,
    /// Look at integrations, connections, syncs and logs of an environment.
    Read,
    TriggerSyncs,
    /// Change or delete what an environment holds.
    Write,
    /// See or make API keys, secrets of integrations and credentials of connections.
    ReadSecrets,
    ManageConnectUi,
    /// Make, rename, delete environments, and set their production flag.
    ManageEnvironments,
    /// Define providers for the whole server.
    ManageProviders,
    /// Members, roles, invitations.
    ManageTeam,
    ReadAudit,
    /// Look at the state of the server: database, queues, replicas, jobs, settings.
    SeeHealth,
}

/// The kind of environment in which something is done. What concerns no environment counts as production.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    Development,
    Production,
}

impl Zone {
    /// The zone of an environment with this production flag.
    pub fn of(is_production: bool) -> Self {
        if is_production { Zone::Production } else { Zone::Development }
    }
}

#[cfg(test)]
mod tests {
    use super::Action::*;
    use super::*;

    #[test]
    fn roles_may_what_the_table_says() {
        // Administrator, production support, development: as in the documentation.
        let table = [
            (Zone::Development, vec![BeHere, Read, TriggerSyncs, Write, ReadSecrets], [true, true, true]),
            (Zone::Production, vec![BeHere], [true, true, true]),
            (Zone::Production, vec![Read, TriggerSyncs], [true, true, false]),
            (Zone::Production, vec![Write, ReadSecrets], [true, false, false]),
            (
                Zone::Development,
                vec![ManageTeam, ManageConnectUi, ManageEnvironments, ManageProviders, ReadAudit, SeeHealth],
                [true, false, false],
            ),
            (
                Zone::Production,
                vec![ManageTeam, ManageConnectUi, ManageEnvironments, ManageProviders, ReadAudit, SeeHealth],
                [true, false, false],
            ),
        ];
        for (zone, actions, expected) in table {
            for action in actions {
                assert_eq!(Role::ALL.map(|role| role.may(action, zone)), expected, "{action:?} in {zone:?}");
            }
        }
    }

    #[test]
    fn roles_are_found_by_name() {
        for role in Role::ALL {
            assert_eq!(Role::find(role.as_str()), Some(role));
        }
        assert_eq!(Role::find("owner"), None);
    }
}
