//! Every scenario, in one binary so that they share one Keycloak.

mod harness;
