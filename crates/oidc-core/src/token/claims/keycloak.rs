//! Roles and groups in Keycloak's claims, or where the verifier's paths found them. Three types, so that a client role cannot be taken for a
//! realm role, and neither for a group.

use serde_json::Value;

use super::Claims;

macro_rules! names {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name<'c> {
            values: &'c [Value],
            names: &'c [String],
        }

        impl<'c> $name<'c> {
            fn of(value: Option<&'c Value>) -> Self {
                // Anything but an array counts as empty.
                let values = value.and_then(Value::as_array).map(Vec::as_slice);
                Self { values: values.unwrap_or_default(), names: &[] }
            }

            fn named(names: &'c [String]) -> Self {
                Self { values: &[], names }
            }

            /// Whether `name` is among them, byte for byte.
            pub fn contains(&self, name: &str) -> bool {
                self.iter().any(|own| own == name)
            }

            /// The names, in the order of the token.
            pub fn iter(&self) -> impl Iterator<Item = &'c str> + use<'c> {
                let values = self.values.iter().filter_map(Value::as_str);
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
        RealmRoles::of(self.members().get("realm_access").and_then(|access| access.get("roles")))
    }

    /// Roles at the client `client`.
    pub fn client_roles(&self, client: &str) -> ClientRoles<'_> {
        if let Some(names) = &self.names {
            let roles = names.client_roles.get(client);
            return ClientRoles::named(roles.map(Vec::as_slice).unwrap_or_default());
        }
        let access = self.members().get("resource_access").and_then(|access| access.get(client));
        ClientRoles::of(access.and_then(|access| access.get("roles")))
    }

    /// Groups.
    pub fn groups(&self) -> Groups<'_> {
        if let Some(names) = &self.names {
            return Groups::named(&names.groups);
        }
        Groups::of(self.members().get("groups"))
    }
}
