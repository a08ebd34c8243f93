//! Roles and groups in Keycloak's claims, or where the verifier's paths found them. Three types, so that a client role cannot be taken for a
//! realm role, and neither for a group.

use super::{ClaimArray, ClaimValue, Claims};

macro_rules! names {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name<'c> {
            values: Option<ClaimArray<'c>>,
            names: &'c [String],
        }

        impl<'c> $name<'c> {
            fn of(value: Option<ClaimValue<'c>>) -> Self {
                // Anything but an array counts as empty.
                Self { values: value.and_then(|value| value.as_array()), names: &[] }
            }

            fn named(names: &'c [String]) -> Self {
                Self { values: None, names }
            }

            /// Whether `name` is among them, byte for byte.
            pub fn contains(&self, name: &str) -> bool {
                self.iter().any(|own| own == name)
            }

            /// The names, in the order of the token.
            pub fn iter(&self) -> impl Iterator<Item = &'c str> + use<'c> {
                let values = self.values.clone().into_iter().flatten();
                let values = values.filter_map(|value| value.as_str());
                values.chain(self.names.iter().map(String::as_str))
            }

            /// Whether there are none.
            pub fn is_empty(&self) -> bool {
                self.iter().next().is_none()
            }
        }
    };
}

names! {
    /// Roles valid in the whole realm: `realm_access.roles`, or those at the verifier's paths.
    RealmRoles
}

names! {
    /// Roles valid at one client only: `resource_access.<client>.roles`, or those at the verifier's path.
    ClientRoles
}

names! {
    /// Groups the person is a member of: `groups`, or those at the verifier's paths; Keycloak's are usually full paths like
    /// `/finance`.
    Groups
}

impl Claims {
    /// Roles of the realm.
    pub fn realm_roles(&self) -> RealmRoles<'_> {
        if let Some(names) = &self.names {
            return RealmRoles::named(&names.roles);
        }
        RealmRoles::of(self.member("realm_access").and_then(|access| access.get("roles")))
    }

    /// Roles at the client `client`.
    pub fn client_roles(&self, client: &str) -> ClientRoles<'_> {
        if let Some(names) = &self.names {
            let roles = names.client_roles.get(client);
            return ClientRoles::named(roles.map(Vec::as_slice).unwrap_or_default());
        }
        let access = self.member("resource_access").and_then(|access| access.get(client));
        ClientRoles::of(access.and_then(|access| access.get("roles")))
    }

    /// Groups.
    pub fn groups(&self) -> Groups<'_> {
        if let Some(names) = &self.names {
            return Groups::named(&names.groups);
        }
        Groups::of(self.member("groups"))
    }
}
