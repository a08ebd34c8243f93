//! Directives and sections of Apache's configuration.
//!
//! Only the `Require` of a plain, `RequireAny` or `RequireAll` list is read. A section that narrows them in another way lets no
//! caller in.

use std::collections::BTreeMap;

use super::super::draft::Draft;
use super::super::patterns::Pattern;
use super::PASSES;
use super::locations::{Context, Location, require};

/// Sections of all virtual hosts.
#[derive(Default)]
pub(super) struct Sites {
    /// Names of the virtual hosts; the first is the server outside them.
    pub(super) names: Vec<Option<String>>,
    /// In the order of the file, in which later ones replace earlier ones.
    pub(super) locations: Vec<Location>,
    /// Site, path and target of each `ProxyPass`.
    pub(super) proxied: Vec<(usize, String, String)>,
}

/// A section that is open.
enum Section {
    Site,
    /// The index of the location.
    Location(usize),
    List(Context),
    /// `<If>`, `<Limit>` and the like.
    Narrower,
    Transparent,
}

/// Reads directives outside of locations by their lower-case names, and all sections.
pub(super) fn read(text: &str, draft: &mut Draft) -> (BTreeMap<String, Vec<String>>, Sites) {
    let mut set: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut sites = Sites { names: vec![None], ..Sites::default() };
    let mut open: Vec<Section> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        let words = words(line);
        let Some((first, rest)) = words.split_first() else { continue };
        if first.starts_with("</") {
            open.pop();
            continue;
        }
        let name = first.trim_start_matches('<').trim_end_matches('>').to_ascii_lowercase();
        if first.starts_with('<') {
            let section = sites.begin(&name, rest, &open, draft);
            open.push(section);
            continue;
        }
        sites.directive(&name, rest, &open, &mut set, draft);
    }
    (set, sites)
}

impl Sites {
    fn begin(
        &mut self,
        name: &str,
        rest: &[String],
        open: &[Section],
        draft: &mut Draft,
    ) -> Section {
        let argument =
            |at: usize| rest.get(at).map(|word| word.trim_end_matches('>')).unwrap_or_default();
        let site = self.site(open);
        match name {
            "virtualhost" => {
                self.names.push(None);
                Section::Site
            }
            "location" if argument(0) != "~" => self.add(Location {
                path: Some(argument(0).to_owned()),
                site,
                ..Location::default()
            }),
            "location" | "locationmatch" => {
                let regex = if name == "location" { argument(1) } else { argument(0) };
                let path = Pattern::of_regex(regex)
                    .filter(|pattern| pattern.is_everything_below() && !pattern.narrower)
                    .map(|pattern| pattern.literal().to_owned());
                if path.is_none() {
                    draft.lost(
                        "LocationMatch",
                        "its expression is no plain prefix; write its rule by hand",
                    );
                }
                self.add(Location { path, site, ..Location::default() })
            }
            // Files are served by Apache alone: only one that asks for a sign-in is of interest.
            "directory" | "directorymatch" => self.add(Location {
                path: Some("/".to_owned()),
                site,
                of_files: true,
                ..Location::default()
            }),
            "requireall" => self.list(Context::All, open),
            "requireany" => self.list(Context::Any, open),
            "ifmodule" | "ifdefine" | "ifversion" => Section::Transparent,
            _ => Section::Narrower,
        }
    }

    fn add(&mut self, location: Location) -> Section {
        self.locations.push(location);
        Section::Location(self.locations.len() - 1)
    }

    /// A list of requirements; one within another, and a second one, are not read.
    fn list(&mut self, context: Context, open: &[Section]) -> Section {
        let nested = open.iter().any(|section| matches!(section, Section::List(_)));
        if let Some(location) = self.location(open) {
            location.unread |= nested || location.lists > 0;
            location.lists += 1;
        }
        Section::List(context)
    }

    fn site(&self, open: &[Section]) -> usize {
        if open.iter().any(|section| matches!(section, Section::Site)) {
            self.names.len() - 1
        } else {
            0
        }
    }

    /// The location that is open.
    fn location(&mut self, open: &[Section]) -> Option<&mut Location> {
        let index = open.iter().rev().find_map(|section| match section {
            Section::Location(index) => Some(*index),
            _ => None,
        })?;
        self.locations.get_mut(index)
    }

    fn directive(
        &mut self,
        name: &str,
        rest: &[String],
        open: &[Section],
        set: &mut BTreeMap<String, Vec<String>>,
        draft: &mut Draft,
    ) {
        let argument = rest.first().cloned().unwrap_or_default();
        let site = self.site(open);
        let narrowed = open.iter().any(|section| matches!(section, Section::Narrower));
        let context = open.iter().rev().find_map(|section| match section {
            Section::List(context) => Some(*context),
            _ => None,
        });
        let location = self.location(open);
        match (name, location) {
            ("require", Some(location)) => {
                require(rest, context.unwrap_or(Context::Plain), location, draft);
                location.unread |= narrowed;
            }
            ("require", None) if !narrowed => {
                draft.lost(
                    "Require",
                    "it stands outside a Location; write it in `access` of the routes",
                );
            }
            ("authtype", Some(location)) => {
                let kind = argument.to_ascii_lowercase();
                location.openid |= kind == "openid-connect" || kind == "auth-openidc";
                location.bearer |= kind == "oauth20" || kind == "auth-openidc";
            }
            ("oidcunauthaction", Some(location)) => {
                location.challenge = argument == "401";
                if argument == "pass" {
                    draft.weak("OIDCUnAuthAction pass", PASSES);
                }
            }
            ("proxypass", location) => {
                let (path, target) = match location.and_then(|location| location.path.clone()) {
                    Some(place) => (place, argument),
                    None => (argument, rest.get(1).cloned().unwrap_or_default()),
                };
                if target != "!" {
                    self.proxied.push((site, path, target));
                }
            }
            ("servername", None) => {
                let host = argument.split("://").last().unwrap_or_default();
                if let Some(name) = self.names.get_mut(site) {
                    *name = host.split(':').next().map(str::to_owned);
                }
            }
            ("listen" | "sslcertificatefile" | "sslcertificatekeyfile" | "sslproxyverify", _) => {
                set.entry(name.to_owned()).or_default().extend(rest.iter().cloned());
            }
            _ if name.starts_with("oidc") => {
                set.entry(name.to_owned()).or_default().extend(rest.iter().cloned());
            }
            _ => {}
        }
    }
}

/// The words of a directive.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quoted) = (String::new(), false);
    let mut any = false;
    for character in line.chars() {
        match character {
            '"' => {
                quoted = !quoted;
                any = true;
            }
            blank if blank.is_whitespace() && !quoted => {
                if any || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                any = false;
            }
            other => word.push(other),
        }
    }
    if any || !word.is_empty() {
        words.push(word);
    }
    words
}
